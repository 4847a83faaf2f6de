"""Checks tokens of a server against HF transformers on the CPU, by the teacher-forced rule.

    python -m vllm_cann_demo.verify MODEL IN.json OUT.json

**The rule.** Let p be a prompt with the first tokens of its answer, t the token that the server chose next, and L the logits of HF
transformers for p in a wider dtype (float32; float64 for a server in float32) with the same weights. The gap of t is max(L) - L[t]. It is 0
where both choose the same token. Each prefix is the server's own, so one difference does not change what is asked of later tokens.

**The bound.** The server's logits are L + e, where e comes from rounding. It chose t, so L[t] + e[t] >= L[m] + e[m] for HF's choice m,
and the gap is at most the pair error e[t] - e[m]. This error has two parts:

- The last step rounds logits to bfloat16. Between 16 and 32, where the largest ones of a language model are, bfloat16 numbers are 1/8
  apart. An error that is uniform in +-1/16 has the standard deviation 1/(16 sqrt(3)) = 0.036, a difference of two sqrt(2) * 0.036 = 0.051.
- Each of some ten roundings per layer (norms, projections, rotary embedding, attention, products, sums) adds a relative error of up to
  2**-9, and later layers carry it to the logits. How strongly depends on the weights, so that it is measured: HF transformers in the
  server's dtype rounds at the same places.

A pair error is a sum of many independent errors, so it is close to normal. `pair_rms` is the root mean square of HF's own pair errors, over
all positions and the TOP tokens of each that compete with its first. The bound is SIGMAS * pair_rms: with as much rounding as HF's own, a
normal error passes it once in 10**9, and with half as much again once in 30,000. A computation that is wrong, not only rounded,
changes logits by several units.

SmolLM2-135M-Instruct in bfloat16, 12 questions, 598 positions: pair_rms 0.097 (so 0.08 from the layers), kurtosis 3.8 (normal: 3), largest
of 5,382 pair errors 0.46, largest gap of HF's own bfloat16 tokens 0.09. The bound is 0.58. The largest gap of vLLM's tokens on SoftNPU is
0.14 (337 positions, 331 without a gap); a token that neither would choose has gaps of 19 to 24.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIGMAS = 6
TOP = 10
WIDER = {"bfloat16": "float32", "float16": "float32", "float32": "float64"}


class VerificationError(RuntimeError):
    """HF transformers could not compute. The message is one sentence."""


@dataclass(frozen=True)
class Verdict:
    """What HF transformers says of some answers.

    Attributes:
        gaps: for each token of the answers, how far its logit is below HF's largest
        pair_rms: root mean square of HF's own pair errors in the server's dtype
        dtype: the server's dtype
    """

    gaps: list[float]
    pair_rms: float
    dtype: str

    @property
    def bound(self) -> float:
        """The largest gap that rounding explains."""
        return SIGMAS * self.pair_rms

    @property
    def good(self) -> bool:
        """Whether rounding explains every token. Not a number is never good."""
        return bool(self.gaps) and all(gap <= self.bound for gap in self.gaps)

    def __str__(self) -> str:
        first = sum(gap == 0 for gap in self.gaps)
        return (
            f"tokens against HF transformers in {WIDER[self.dtype]} on the CPU: {first} of {len(self.gaps)} are its first choice, "
            f"the largest gap is {max(self.gaps):.2g}; rounding to {self.dtype} explains {self.bound:.2g}"
        )


def verify(model: Path, dtype: str, pairs: Sequence[tuple[list[int], list[int]]], directory: Path) -> Verdict:
    """Judges answers, each given as token ids of the prompt and of the answer, in a process of its own.

    Raises:
        VerificationError: the process failed; its output is in `directory`/verify.log
    """
    log = directory / "verify.log"
    with tempfile.TemporaryDirectory(dir=directory) as scratch, log.open("wb") as output:
        source, target = Path(scratch, "in.json"), Path(scratch, "out.json")
        source.write_text(json.dumps({"dtype": dtype, "pairs": pairs}))
        command = [sys.executable, "-m", "vllm_cann_demo.verify", str(model), str(source), str(target)]
        environment = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
        status = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False).returncode
        if status:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise VerificationError(f"HF transformers ended with status {status} on the CPU: {' '.join(last)} (log: {log})")
        return Verdict(**json.loads(target.read_text()), dtype=dtype)


def judge(path: str, dtype: str, pairs: Sequence[tuple[list[int], list[int]]]) -> dict[str, Any]:
    """The gaps and `pair_rms` of answers, computed in this process."""
    # transformers imports torch_npu where it is installed.
    sys.modules["torch_npu"] = None  # type: ignore[assignment]
    import torch
    from transformers import AutoModelForCausalLM

    def load(name: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, name)).eval()

    # The same weights for both: those of the server's dtype.
    narrow = load(dtype)
    wide = load(dtype).to(getattr(torch, WIDER[dtype]))
    gaps: list[float] = []
    squares: list[torch.Tensor] = []
    with torch.no_grad():
        for prompt, answer in pairs:
            ids = torch.tensor([prompt + answer])
            at = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
            logits = wide(ids).logits[0, at].double()
            gaps += (logits.amax(1) - logits[torch.arange(len(answer)), torch.tensor(answer)]).tolist()
            top = logits.topk(TOP).indices
            errors = (narrow(ids).logits[0, at].double() - logits).gather(1, top)
            squares.append((errors[:, 1:] - errors[:, :1]).square().flatten())
    return {"gaps": gaps, "pair_rms": torch.cat(squares).mean().sqrt().item()}


def main() -> None:
    """Runs one job."""
    model, source, target = sys.argv[1:]
    job = json.loads(Path(source).read_text())
    Path(target).write_text(json.dumps(judge(model, job["dtype"], job["pairs"])))


if __name__ == "__main__":
    main()

"""HF transformers on the CPU, as a process without torch_npu: the reference of the serving tests.

Each line of its input is a job, and each line of its output a result.

* {"model", "make"} makes a model of tiny.py, and gives {}.
* {"model", "dtype", "greedy": [[ids]...], "new_tokens"} gives {"tokens": [[ids]...], "seconds"}.
* {"model", "dtype", "forced": [[prompt ids, answer ids]...]} gives, for each answer position, HF's own token, how far the answer's logit
  is below it, the largest difference of any logit from float32 HF, the most that an answer's float32 logit is below the largest one, and
  the spread (standard deviation) of float32 logits.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from pathlib import Path

# transformers imports torch_npu where it is installed, and torch does, too; `softnpu run` asks it to.
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
sys.modules["torch_npu"] = None  # type: ignore[assignment]

import tiny  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402


@torch.no_grad()
def greedy(model: torch.nn.Module, prompts: list[list[int]], new_tokens: int) -> dict:
    """Greedy continuations of exactly `new_tokens` tokens."""
    begun = time.monotonic()
    tokens = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=None,
        )
        tokens.append(out[0, len(prompt) :].tolist())
    return {"tokens": tokens, "seconds": time.monotonic() - begun}


@torch.no_grad()
def forced(model: torch.nn.Module, wide: torch.nn.Module, pairs: list[tuple[list[int], list[int]]]) -> dict:
    """Compares given answers with what the model itself says at each of their positions."""
    differing, largest, below, spread = [], 0.0, 0.0, []
    for prompt, answer in pairs:
        ids = torch.tensor([prompt + answer])
        at = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
        logits = model(ids).logits[0, at].float()
        exact = wide(ids).logits[0, at]
        largest = max(largest, (logits - exact).abs().max().item())
        taken = exact.gather(1, torch.tensor(answer)[:, None])[:, 0]
        below = max(below, (exact.max(1).values - taken).max().item())
        spread.append(exact.std().item())
        for row, token in zip(logits, answer, strict=True):
            if row.argmax().item() != token:
                differing.append((row.max() - row[token]).item())
    return {
        "differing": differing,
        "largest": largest,
        "below": below,
        "spread": sum(spread) / len(spread),
        "positions": sum(len(answer) for _, answer in pairs),
    }


@functools.lru_cache(maxsize=2)
def load(path: str, dtype: torch.dtype) -> torch.nn.Module:
    """A model in evaluation mode."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()


def run(job: dict) -> dict:
    """The result of a job."""
    path = job["model"]
    if "make" in job:
        tiny.make(job["make"], Path(path))
        return {}
    model = load(path, getattr(torch, job["dtype"]))
    torch.set_num_threads(job.get("threads", 2))
    if "greedy" in job:
        return greedy(model, job["greedy"], job["new_tokens"])
    return forced(model, load(path, torch.float32), job["forced"])


def main() -> None:
    """Runs jobs until the input ends. What libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()

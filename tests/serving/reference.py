"""HF transformers on the CPU, as a process without torch_npu: the reference of the serving tests.

python reference.py MODEL IN.json OUT.json. In: {"dtype", "greedy": [[ids]...], "new_tokens"} gives {"tokens": [[ids]...], "seconds"};
{"dtype", "forced": [[prompt ids, answer ids]...]} gives, for each answer position, HF's own token, how far the answer's logit is below
it, the largest difference of any logit from float32 HF, the most that an answer's float32 logit is below the largest one, and the spread
(standard deviation) of float32 logits.
"""

from __future__ import annotations

import json
import os
import sys
import time

# transformers imports torch_npu where it is installed, and torch does, too; `softnpu run` asks it to.
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
sys.modules["torch_npu"] = None  # type: ignore[assignment]

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


def main() -> None:
    """Runs one job."""
    path, source, target = sys.argv[1:]
    with open(source) as file:
        job = json.load(file)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, job["dtype"])).eval()
    torch.set_num_threads(job.get("threads", 2))
    if "greedy" in job:
        result = greedy(model, job["greedy"], job["new_tokens"])
    else:
        result = forced(
            model,
            AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval(),
            job["forced"],
        )
    with open(target, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()

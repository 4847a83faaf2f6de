"""Generates with HF transformers on the CPU, once for each line of stdin, and prints the seconds that it took.

    hf_generate.py MODEL DTYPE TOKENS THREADS PROMPTS

PROMPTS is JSON: lists of token ids, which are one batch, padded at the left. A process without torch_npu.
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


def main() -> None:
    """Runs the command line."""
    path, dtype, tokens, threads, prompts = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5])
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.monotonic()
        with torch.no_grad():
            out = model.generate(ids, attention_mask=mask, min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False)
        seconds = time.monotonic() - begun
        if out.shape != (len(prompts), longest + tokens):
            raise RuntimeError(f"the model made {tuple(out.shape)} tokens of {len(prompts)} prompts, {tokens} each were asked for")
        print(seconds, flush=True)


if __name__ == "__main__":
    main()

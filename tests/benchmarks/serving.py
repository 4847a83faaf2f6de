"""Tokens per second of vLLM on SoftNPU, strict and with checks off, against HF transformers on the CPU, in one run.

tools/bazel run //tests/benchmarks:serving

All three decode the same prompts, 8 at a time, 64 new tokens each, in bfloat16, with one thread for torch (what vLLM's engine takes).
Three rounds, interleaved; the first request of each server is not counted.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from vllm_cann_demo.server import Server
from vllm_cann_demo.task import VOCABULARY, questions

MODEL = Path(os.environ["MODEL"]).absolute().parent
BATCH, TOKENS, ROUNDS = 8, 64, 3

_HF = """
import sys, time
sys.modules["torch_npu"] = None
import torch
from transformers import AutoModelForCausalLM
path, tokens, prompts = sys.argv[1], int(sys.argv[2]), eval(sys.argv[3])
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()
longest = max(map(len, prompts))
ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
mask = (ids != 0).long()
print("ready", flush=True)
for line in sys.stdin:
    begun = time.monotonic()
    with torch.no_grad():
        model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, eos_token_id=None)
    print(time.monotonic() - begun, flush=True)
"""


def ask(url: str, prompts: list[list[int]]) -> float:
    """Seconds for all prompts of a batch in one request."""
    body = {"model": "m", "prompt": prompts, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    begun = time.monotonic()
    httpx.post(f"{url}/v1/completions", json=body, timeout=300).raise_for_status()
    return time.monotonic() - begun


def main() -> None:
    """Measures and prints a table."""
    ids = {word: i for i, word in enumerate(VOCABULARY)}
    prompts = [[ids[w] for w in q.prompt.split()] for q in questions(1, BATCH, least=20, most=20)]
    seconds: dict[str, list[float]] = {"softnpu strict": [], "softnpu off": [], "HF transformers": []}
    options = ["--served-model-name", "m", "--max-model-len", "1024", "--gpu-memory-utilization", "0.5", "--no-enable-prefix-caching"]
    with ExitStack() as stack:
        urls = {}
        for checks in ("strict", "off"):
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = stack.enter_context(Server(MODEL, directory, options, ["--memory", "1GiB", "--checks", checks]))
            urls[f"softnpu {checks}"] = server.url
            print(f"softnpu {checks}: ready after {server.startup_seconds:.1f} s", flush=True)
        hf = subprocess.Popen(
            [sys.executable, "-c", _HF, str(MODEL), str(TOKENS), repr(prompts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        stack.callback(hf.kill)
        assert hf.stdin is not None
        assert hf.stdout is not None
        while hf.stdout.readline().strip() != "ready":
            pass
        for round_ in range(ROUNDS + 1):
            for name, url in urls.items():
                taken = ask(url, prompts)
                if round_:
                    seconds[name].append(taken)
            hf.stdin.write("go\n")
            taken = float(hf.stdout.readline())
            if round_:
                seconds["HF transformers"].append(taken)
    base = statistics.median(seconds["HF transformers"])
    print(f"{BATCH} prompts of {len(prompts[0])} tokens, {TOKENS} new tokens each, bfloat16; median of {ROUNDS} (lowest .. highest)")
    for name, values in seconds.items():
        rates = [BATCH * TOKENS / v for v in values]
        print(
            f"{name:16} {statistics.median(rates):8.1f} tokens/s ({min(rates):.1f} .. {max(rates):.1f}), "
            f"{base / statistics.median(values):.2f} x HF"
        )


if __name__ == "__main__":
    main()

"""Tokens per second of SmolLM2-135M-Instruct: vLLM on SoftNPU against HF transformers on the same cores, in one run.

    tools/bazel run //tests/benchmarks:smollm2 [-- --dtype float32 --rounds 3 --checks off]

Both decode the same 8 prompts at once, greedily, 40 new tokens each. HF transformers takes as many threads as --threads says, vLLM what it
takes by itself. Rounds alternate, so that the other engine is idle meanwhile; the first round of each is not counted. The last line for
each dtype is the ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from tokenizers import Tokenizer
from vllm_cann_demo.server import Server

MODEL = Path(os.environ["MODEL"]).absolute().parent
TOKENS = 40
PROMPTS = [
    "What is the capital of France?",
    "How many days are there in a week?",
    "Why is the sky blue?",
    "Explain in two sentences what photosynthesis is.",
    "Name three primary colours.",
    "Write a haiku about the sea.",
    "Who wrote Romeo and Juliet?",
    "At what temperature does water boil?",
]

_HF = """
import sys, time
sys.modules["torch_npu"] = None
import torch
from transformers import AutoModelForCausalLM
path, dtype, tokens, threads, prompts = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), eval(sys.argv[5])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()
longest = max(map(len, prompts))
ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
print("ready", flush=True)
for line in sys.stdin:
    begun = time.monotonic()
    with torch.no_grad():
        out = model.generate(ids, attention_mask=mask, min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False)
    assert out.shape == (len(prompts), longest + tokens)
    print(time.monotonic() - begun, flush=True)
"""


def ask(url: str, prompts: list[list[int]]) -> float:
    """Seconds for all prompts in one request."""
    body = {"model": "m", "prompt": prompts, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    begun = time.monotonic()
    reply = httpx.post(f"{url}/v1/completions", json=body, timeout=300).raise_for_status()
    seconds = time.monotonic() - begun
    made = reply.json()["usage"]["completion_tokens"]
    if made != TOKENS * len(prompts):
        raise RuntimeError(f"the server made {made} tokens, {TOKENS * len(prompts)} were asked for")
    return seconds


def measure(dtype: str, rounds: int, checks: str, threads: int) -> None:
    """Runs both engines and prints their rates."""
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    prompts = [tokenizer.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n").ids for text in PROMPTS]
    options = ["--served-model-name", "m", "--max-model-len", "1024", "--gpu-memory-utilization", "0.5", "--no-enable-prefix-caching"]
    names = ("vLLM on SoftNPU", "HF transformers")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(Server(MODEL, directory, [*options, "--dtype", dtype], ["--memory", "2GiB", "--checks", checks]))
        hf = subprocess.Popen(
            [sys.executable, "-c", _HF, str(MODEL), dtype, str(TOKENS), str(threads), repr(prompts)],
            env={**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        stack.callback(hf.kill)
        assert hf.stdin is not None
        assert hf.stdout is not None
        if hf.stdout.readline().strip() != "ready":
            raise RuntimeError("HF transformers did not start")
        for round_ in range(rounds + 1):
            ours = ask(server.url, prompts)
            hf.stdin.write("go\n")
            theirs = float(hf.stdout.readline())
            if round_:
                seconds[names[0]].append(ours)
                seconds[names[1]].append(theirs)
    print(f"{dtype}, checks {checks}: {len(prompts)} prompts, {TOKENS} new tokens each, median of {rounds} (lowest .. highest)")
    for name, values in seconds.items():
        rates = [TOKENS * len(prompts) / value for value in values]
        print(f"  {name:16} {statistics.median(rates):7.1f} tokens/s ({min(rates):.1f} .. {max(rates):.1f})")
    ratio = statistics.median(seconds[names[1]]) / statistics.median(seconds[names[0]])
    print(f"  ratio {ratio:.2f}", flush=True)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checks", choices=("strict", "off"), default="strict")
    parser.add_argument("--threads", type=int, default=2, help="of HF transformers")
    arguments = parser.parse_args()
    for dtype in arguments.dtype:
        measure(dtype, arguments.rounds, arguments.checks, arguments.threads)


if __name__ == "__main__":
    main()

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
import tempfile
from pathlib import Path

from tokenizers import Tokenizer
from vllm_cann_demo.server import Server

from tests.benchmarks.generation import SERVE, Transformers, alternate, ask, rates

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


def measure(dtype: str, rounds: int, checks: str, threads: int) -> None:
    """Runs both engines and prints their rates."""
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    prompts = [tokenizer.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n").ids for text in PROMPTS]
    with (
        tempfile.TemporaryDirectory() as directory,
        Server(MODEL, Path(directory), [*SERVE, "--dtype", dtype], ["--memory", "2GiB", "--checks", checks]) as server,
        Transformers(MODEL, dtype, TOKENS, threads, prompts) as hf,
    ):
        seconds = alternate({"vLLM on SoftNPU": lambda: ask(server.url, prompts, TOKENS), "HF transformers": hf.generate}, rounds)
    print(f"{dtype}, checks {checks}: {len(prompts)} prompts, {TOKENS} new tokens each, median of {rounds} (lowest .. highest)")
    for name, values in seconds.items():
        print(f"  {name:16}{rates(values, TOKENS * len(prompts))}")
    ours, theirs = map(statistics.median, seconds.values())
    print(f"  ratio {theirs / ours:.2f}", flush=True)


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

"""Tokens per second of vLLM on SoftNPU, strict and with checks off, against HF transformers on the CPU, in one run.

tools/bazel run //tests/benchmarks:serving

All three decode the same prompts, 8 at a time, 64 new tokens each, in bfloat16, with one thread for torch (what vLLM's engine takes).
Three rounds, interleaved; the first request of each server is not counted.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from vllm_cann_demo.server import Server
from vllm_cann_demo.task import VOCABULARY, questions

from tests.benchmarks.generation import SERVE, Transformers, alternate, ask, rates

MODEL = Path(os.environ["MODEL"]).absolute().parent
BATCH, TOKENS, ROUNDS = 8, 64, 3


def main() -> None:
    """Measures and prints a table."""
    ids = {word: i for i, word in enumerate(VOCABULARY)}
    prompts = [[ids[w] for w in q.prompt.split()] for q in questions(1, BATCH, least=20, most=20)]
    with ExitStack() as stack:
        engines = {}
        for checks in ("strict", "off"):
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = stack.enter_context(Server(MODEL, directory, SERVE, ["--memory", "1GiB", "--checks", checks]))
            engines[f"softnpu {checks}"] = partial(ask, server.url, prompts, TOKENS)
            print(f"softnpu {checks}: ready after {server.startup_seconds:.1f} s", flush=True)
        hf = stack.enter_context(Transformers(MODEL, "bfloat16", TOKENS, 1, prompts))
        seconds = alternate({**engines, "HF transformers": hf.generate}, ROUNDS)
    base = statistics.median(seconds["HF transformers"])
    print(f"{BATCH} prompts of {len(prompts[0])} tokens, {TOKENS} new tokens each, bfloat16; median of {ROUNDS} (lowest .. highest)")
    for name, values in seconds.items():
        print(f"{name:16} {rates(values, BATCH * TOKENS)}, {base / statistics.median(values):.2f} x HF")


if __name__ == "__main__":
    main()

"""Modelled times of the LoRA kernels against their limits: run with `tools/bazel run //tests/benchmarks:lora`.

Limits are those of moe.py. A product counts as one operation on an element in shrink (product and sum are one instruction), and as two in
expand, where sums of neighbours are an instruction of their own. Weights that are no floats count once more. Prints docs/lora.md's table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np

import softnpu
from tests.benchmarks.moe import PROFILE, TOKENS, Work, busiest, measure, show_lines, size
from tests.benchmarks.plans import plan

KERNELS = softnpu.load("cc/kernels/lora/lora.twin.so")
ADAPTERS = 4
# Qwen3-8B: input and slices of the layers that have adapters.
LAYERS = {"qkv": (4096, (4096, 1024, 1024)), "o": (4096, (4096,)), "gate and up": (4096, (12288, 12288)), "down": (12288, (4096,))}


def blank(*shape: int) -> np.ndarray:
    """bfloat16."""
    return np.zeros(shape, np.uint16)


def indices(tokens: int) -> np.ndarray:
    """Decoding: a request of each adapter in turn. Prefill: a prompt for each."""
    one = np.arange(tokens) % ADAPTERS
    return (np.sort(one) if tokens > 1000 else one).astype(np.int64)


def works(tokens: int, rank: int, name: str) -> Iterator[Work]:
    """The two launches of a layer."""
    width, slices = LAYERS[name]
    asked, used = indices(tokens), min(tokens, ADAPTERS)
    absent = [None] * (3 - len(slices))
    h = np.zeros((len(slices), tokens, rank), np.float32)

    def work(kernel: str, tensors: Sequence[np.ndarray | None], options: dict, weights: Sequence[np.ndarray], moved: int, per: int) -> Work:
        launch = plan(kernel, tensors, options, PROFILE)
        elements = sum(one.size for one in weights) // ADAPTERS
        return Work(
            f"{kernel} {name}, rank {rank}, {tokens} tokens",
            launch,
            tensors,
            moved + size(h, asked) + size(*weights) // ADAPTERS * used,
            elements * (per * tokens + used),
        )

    x, a = blank(tokens, width), [blank(ADAPTERS, rank, width) for _ in slices]
    yield work("lora_shrink", [x, *a, *absent, asked, h], {"scale": 1.0}, a, size(x), 1)
    y, b = blank(tokens, sum(slices)), [blank(ADAPTERS, one, rank) for one in slices]
    yield work("lora_expand", [h, *b, *absent, asked, y], {"offset": 0, "adds": True}, b, 2 * size(y), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", help="only works whose names contain this")
    parser.add_argument("--lines", type=int, default=0, help="print the lines on which the busiest core spends most time")
    options = parser.parse_args()
    print("| kernel | cores | MB | modelled us | limit us | ratio | pipes |")
    print("|---|---|---|---|---|---|---|")
    for rank in (16, 64):
        for name in LAYERS if rank == 16 else ("qkv",):
            for tokens in TOKENS:
                for work in works(tokens, rank, name):
                    if options.match not in work.name:
                        continue
                    report = measure(work, KERNELS, None)
                    assert report.microseconds is not None
                    limit = work.limit()
                    print(
                        f"| {work.name} | {work.plan.cores} | {work.bytes / 1e6:.2f} | {report.microseconds:.1f} | {limit:.1f} "
                        f"| {report.microseconds / limit:.2f} | {busiest(report)} |",
                        flush=True,
                    )
                    show_lines(report, options.lines)


if __name__ == "__main__":
    main()

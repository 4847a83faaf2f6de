"""Modelled times of the mixture-of-experts kernels against their limits: run with `tools/bazel run //tests/benchmarks:moe`.

A limit is the head of the launch with as many cores as the kernel takes, and the larger of two times: all bytes that have to be read or
written at the HBM's rate, and all elements that have to be computed with at the vector units' rate. Prints the table of docs/moe.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import softnpu
from tests.benchmarks.plans import Plans, integers

KERNELS = softnpu.load("cc/kernels/moe/moe.twin.so")
PROFILE = "ascend910b3"
CLOCK, HBM, CORES = 1800.0, 832.0, 40  # cycles per microsecond, bytes per cycle of the chip
HEAD, HEAD_PER_CORE = 1.4, 0.05  # microseconds
TOKENS = (1, 64, 4096)
BFLOAT16 = 27


@dataclass
class Work:
    """A launch, the bytes that it has to move, and the elements that it has to compute with."""

    name: str
    kernel: str
    tiling: bytes
    cores: int
    arguments: list[Any]
    bytes: int
    elements: int = 0  # of 4 bytes
    operations: int = 1  # that the formula needs with each of them

    def limit(self, operations: int = 0) -> float:
        """Microseconds; with another number of operations on an element."""
        computed = self.elements * (operations or self.operations) / 64 / min(self.cores, CORES)
        return HEAD + HEAD_PER_CORE * self.cores + max(self.bytes / HBM, computed) / CLOCK


def size(*arrays: np.ndarray) -> int:
    return sum(array.nbytes for array in arrays)


def gating(plans: Plans) -> Iterator[Work]:
    for name, experts, k, bias, groups, kept, mode, norm, rows in (
        ("DeepSeek-V3", 256, 8, 1, 8, 4, 1, 1, 0),
        ("Qwen3-MoE", 128, 8, 0, 1, 1, 0, 0, 0),
        ("Mixtral", 8, 2, 0, 1, 1, 0, 0, 0),
        ("Mixtral, finished and row_idx", 8, 2, 0, 1, 1, 0, 0, 1),  # as moe_gating_top_k_softmax
        ("Mixtral, sqrt-softplus", 8, 2, 0, 1, 1, 0, 2, 0),
    ):
        for tokens in TOKENS:
            numbers = integers(tokens, experts, k, bias, rows, rows, 0, kept, groups, mode, 1 - rows, norm)
            scale = (np.ctypeslib.ctypes.c_double * 2)(2.5, 1e-20)
            tiling, cores = plans.ask("plan_moe_gating_top_k", PROFILE, CORES, BFLOAT16, numbers, scale)
            x = np.random.default_rng(1).integers(0x3F00, 0x4100, (tokens, experts)).astype(np.uint16)
            b = np.full(experts, 0x3F00, np.uint16)
            y, idx = np.zeros((tokens, k), np.uint16), np.zeros((tokens, k), np.int32)
            more = [np.zeros(tokens, np.uint8), np.zeros_like(idx)] if rows else []
            finished, row_idx = more or (None, None)
            arguments = [x, b if bias else None, finished, y, idx, row_idx, None, tiling]
            moved = size(x, y, idx, *more)
            yield Work(f"gating {name}, {tokens} tokens", "moe_gating_top_k_bfloat16", tiling, cores, arguments, moved, x.size)


# Hidden size, experts, experts of a token.
MODELS = {"DeepSeek-V3": (7168, 256, 8), "Qwen3-MoE": (2048, 128, 8), "Mixtral": (4096, 8, 2)}


def experts_of(tokens: int, experts: int, k: int) -> np.ndarray:
    random = np.random.default_rng(2)
    return np.argsort(random.random((tokens, experts)), axis=1)[:, :k].astype(np.int32)


# Of init_routing: quantisation, how counts are given (-1: not), by row numbers, with a capacity, and the models that show it.
ROUTINGS = {
    "init_routing_v2": (-1, 1, False, False, tuple(MODELS)),
    "init_routing_v2, int8": (1, 1, False, False, ("DeepSeek-V3",)),
    "init_routing_v2, static int8": (0, 1, False, False, ("Qwen3-MoE",)),
    "init_routing_v2, key-value": (-1, 2, False, False, ("Qwen3-MoE",)),
    "init_routing_v2, capacity": (-1, 1, False, True, ("Qwen3-MoE",)),
    "init_routing": (-1, -1, True, False, ("Qwen3-MoE",)),
    "token_permute": (-1, -1, False, False, ("Qwen3-MoE",)),
}


def init_routing(plans: Plans) -> Iterator[Work]:
    for text, (quant, counted, by_rows, is_capped, models) in ROUTINGS.items():
        for name in models:
            hidden, experts, k = MODELS[name]
            for tokens in TOKENS:
                pairs = tokens * k
                capacity = -(-pairs // experts) if is_capped else 0
                rows = experts * capacity if capacity else pairs
                numbers = integers(tokens, k, hidden, 3, rows, 0, experts, capacity, 0, counted, quant, int(quant == 0), int(by_rows))
                tiling, cores = plans.ask("plan_moe_init_routing", PROFILE, CORES, BFLOAT16, numbers)
                x, idx = np.zeros((tokens, hidden), np.uint16), experts_of(tokens, experts, k)
                out = np.zeros((rows, hidden), np.int8 if quant >= 0 else np.uint16)
                places = np.zeros(pairs, np.int32)
                counts = np.zeros((experts, max(counted, 1)), np.int64) if counted >= 0 else None
                scales = np.zeros(pairs, np.float32) if quant == 1 else None
                factor = [np.ones(1, np.float32), np.zeros(1, np.float32)] if quant == 0 else [None, None]
                numbered = np.arange(pairs, dtype=np.int32).reshape(k, tokens).T.copy() if by_rows else None
                sorted_experts = np.zeros(pairs, np.int32) if by_rows else None
                results = [out, places, sorted_experts, counts, scales]
                arguments = [x, idx, numbered, *factor, *results, np.zeros(1 << 20, np.int32), tiling]
                kernel = "moe_init_routing" + ("_quant_bfloat16" if quant >= 0 else "")
                moved = size(*(a for a in (x, idx, numbered, *results) if a is not None))
                yield Work(f"{text} {name}, {tokens} tokens", kernel, tiling, cores, arguments, moved, x.size if quant >= 0 else 0)


def finalize(plans: Plans) -> Iterator[Work]:
    for name, (hidden, _, k) in MODELS.items():
        for full in (False, True) if name == "Qwen3-MoE" else (False,):
            for tokens in TOKENS:
                pairs, experts = tokens * k, 128 if full else 0
                numbers = integers(tokens, k, pairs, hidden, 0, 2 if full else 0, experts, 1 if full else 0)
                tiling, cores = plans.ask("plan_moe_finalize_routing", PROFILE, CORES, BFLOAT16, numbers)
                rows, out = np.zeros((pairs, hidden), np.uint16), np.zeros((tokens, hidden), np.uint16)
                scales = np.zeros((tokens, k), np.float32)
                index = np.random.default_rng(3).permutation(pairs).astype(np.int32)
                skips = [np.zeros_like(out), np.zeros_like(out)] if full else [None, None]
                bias, idx = (np.zeros((experts, hidden), np.uint16), experts_of(tokens, experts, k)) if full else (None, None)
                arguments = [rows, *skips, bias, scales, index, idx, out, tiling]
                moved = size(*(a for a in arguments if isinstance(a, np.ndarray)))
                text = "finalize_routing, skips and bias" if full else "token_unpermute"
                elements = rows.size * (2 if full else 1) + out.size * (2 if full else 0)
                yield Work(f"{text} {name}, {tokens} tokens", "moe_finalize_routing_bfloat16", tiling, cores, arguments, moved, elements)


def expert_tokens(plans: Plans) -> Iterator[Work]:
    for tokens in TOKENS:
        tiling, cores = plans.ask("plan_moe_compute_expert_tokens", PROFILE, CORES, tokens * 8, 256)
        numbers, out = np.sort(experts_of(tokens, 256, 8).ravel()), np.zeros(256, np.int32)
        arguments = [numbers, out, tiling]
        yield Work(
            f"compute_expert_tokens of 256, {tokens} tokens", "moe_compute_expert_tokens", tiling, cores, arguments, size(numbers, out)
        )


WORKS = {"gating": gating, "init_routing": init_routing, "finalize": finalize, "expert_tokens": expert_tokens}


def show_lines(report: softnpu.Report, count: int) -> None:
    """The lines on which the core that works longest spends most."""
    spent: Counter[tuple[str, ...]] = Counter()
    number: Counter[tuple[str, ...]] = Counter()
    whole: Counter[str] = Counter()
    for core, pipe, name, place, begin, end in report.slices:
        whole[core] += end - begin  # type: ignore[assignment]
        spent[core, pipe, name, place] += end - begin  # type: ignore[assignment]
        number[core, pipe, name, place] += 1
    for key, time in spent.most_common():
        if count > 0 and key[0] == whole.most_common(1)[0][0]:
            print(f"    {time:8.2f} us {number[key]:6d} times  {' '.join(key[1:])}")
            count -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=WORKS, nargs="*", default=list(WORKS))
    parser.add_argument("--lines", type=int, default=0, help="print the lines on which the busiest core spends most time")
    parser.add_argument("--match", default="", help="only works whose names contain this")
    options = parser.parse_args()
    plans = Plans()
    print("| kernel | cores | MB | modelled us | limit us | ratio | pipes |")
    print("|---|---|---|---|---|---|---|")
    for name in options.only:
        for work in (work for work in WORKS[name](plans) if options.match in work.name):
            trace = Path(tempfile.gettempdir(), "moe.pftrace") if options.lines else None
            report = softnpu.launch(
                KERNELS[work.kernel],
                *work.arguments,
                blocks=work.cores,
                profile=PROFILE,
                checks="off",
                time=True,
                l2="cold",
                trace_file=trace,
            )
            assert report.microseconds is not None
            pipes = ", ".join(f"{pipe} {share:.0%}" for pipe, share in sorted(report.busy.items(), key=lambda item: -item[1])[:3])
            limit = work.limit()
            print(
                f"| {work.name} | {work.cores} | {work.bytes / 1e6:.2f} | {report.microseconds:.1f} | {limit:.1f} "
                f"| {report.microseconds / limit:.2f} | {pipes} |"
            )
            show_lines(report, options.lines)


if __name__ == "__main__":
    main()

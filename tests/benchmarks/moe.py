"""Modelled times of the mixture-of-experts kernels against their limits: run with `tools/bazel run //tests/benchmarks:moe`.

A limit is the head of the launch with as many cores as the kernel takes, and the larger of two times: all bytes that have to be read or
written at the HBM's rate, and all elements that have to be computed with at the vector units' rate. Prints the table of docs/moe.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import softnpu
from softnpu.kernels import Twin
from tests.benchmarks.plans import Plan, plan

PROFILE = "ascend910b3"
CLOCK, HBM, CORES = 1800.0, 832.0, 40  # cycles per microsecond, bytes per cycle of the chip
HEAD, HEAD_PER_CORE = 1.4, 0.05  # microseconds
TOKENS = (1, 64, 4096)


@dataclass
class Work:
    """A launch, the bytes that it has to move, and the elements that it has to compute with."""

    name: str
    plan: Plan
    arguments: Sequence[Any]  # of the kernel, before the tiling
    bytes: int
    elements: int = 0  # of 4 bytes
    operations: int = 1  # that the formula needs with each of them

    def limit(self, operations: int = 0) -> float:
        """Microseconds; with another number of operations on an element."""
        computed = self.elements * (operations or self.operations) / 64 / min(self.plan.cores, CORES)
        return HEAD + HEAD_PER_CORE * self.plan.cores + max(self.bytes / HBM, computed) / CLOCK


def measure(work: Work, kernels: Twin, trace_file: Path | None = None) -> softnpu.Report:
    """Modelled time of a launch without checks, on a cold L2."""
    return softnpu.launch(
        kernels[work.plan.kernel],
        *work.arguments,
        work.plan.tiling,
        blocks=work.plan.cores,
        profile=PROFILE,
        checks="off",
        time=True,
        l2="cold",
        trace_file=trace_file,
    )


def busiest(report: softnpu.Report) -> str:
    """The three pipes with the most to do."""
    return ", ".join(f"{pipe} {share:.0%}" for pipe, share in sorted(report.busy.items(), key=lambda item: -item[1])[:3])


def size(*arrays: np.ndarray | None) -> int:
    """Bytes of those that are there."""
    return sum(array.nbytes for array in arrays if array is not None)


def gating() -> Iterator[Work]:
    for name, experts, k, has_bias, groups, kept, mode, norm, has_rows in (
        ("DeepSeek-V3", 256, 8, True, 8, 4, 1, 1, False),
        ("Qwen3-MoE", 128, 8, False, 1, 1, 0, 0, False),
        ("Mixtral", 8, 2, False, 1, 1, 0, 0, False),
        ("Mixtral, finished and row_idx", 8, 2, False, 1, 1, 0, 0, True),  # as moe_gating_top_k_softmax
        ("Mixtral, sqrt-softplus", 8, 2, False, 1, 1, 0, 2, False),
    ):
        options = {
            "k": k,
            "k_group": kept,
            "group_count": groups,
            "group_select_mode": mode,
            "renorm": 0 if has_rows else 1,
            "norm_type": norm,
            "routed_scaling_factor": 2.5,
            "eps": 1e-20,
        }
        for tokens in TOKENS:
            x = np.random.default_rng(1).integers(0x3F00, 0x4100, (tokens, experts)).astype(np.uint16)
            bias = np.full(experts, 0x3F00, np.uint16) if has_bias else None
            y, idx = np.zeros((tokens, k), np.uint16), np.zeros((tokens, k), np.int32)
            finished, row_idx = (np.zeros(tokens, np.bool_), np.zeros_like(idx)) if has_rows else (None, None)
            tensors = [x, bias, finished, y, idx, row_idx, None]
            launch = plan("moe_gating_top_k", tensors, options, PROFILE)
            yield Work(f"gating {name}, {tokens} tokens", launch, tensors, size(x, finished, y, idx, row_idx), x.size)


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


def init_routing() -> Iterator[Work]:
    for text, (quant, counted, by_rows, is_capped, models) in ROUTINGS.items():
        for name in models:
            hidden, experts, k = MODELS[name]
            for tokens in TOKENS:
                pairs = tokens * k
                capacity = -(-pairs // experts) if is_capped else 0
                rows = experts * capacity if capacity else pairs
                options = {
                    "first_expert": 0,
                    "experts": experts,
                    "capacity": capacity,
                    "row_idx_type": 0,
                    "tokens_type": max(counted, 0),
                    "quant_mode": quant,
                }
                x, idx = np.zeros((tokens, hidden), np.uint16), experts_of(tokens, experts, k)
                numbered = np.arange(pairs, dtype=np.int32).reshape(k, tokens).T.copy() if by_rows else None
                factor = [np.ones(1, np.float32), np.zeros(1, np.float32)] if quant == 0 else [None, None]
                results = [
                    np.zeros((rows, hidden), np.int8 if quant >= 0 else np.uint16),
                    np.zeros(pairs, np.int32),
                    np.zeros(pairs, np.int32) if by_rows else None,
                    np.zeros((experts, 2) if counted == 2 else experts, np.int64) if counted >= 0 else None,
                    np.zeros(rows, np.float32) if quant == 1 else None,
                ]
                tensors = [x, idx, numbered, *factor, *results, np.zeros(1 << 20, np.int32)]
                launch = plan("moe_init_routing", tensors, options, PROFILE)
                moved = size(x, idx, numbered, *results)
                yield Work(f"{text} {name}, {tokens} tokens", launch, tensors, moved, x.size if quant >= 0 else 0)


def finalize() -> Iterator[Work]:
    for name, (hidden, _, k) in MODELS.items():
        for full in (False, True) if name == "Qwen3-MoE" else (False,):
            for tokens in TOKENS:
                pairs, experts = tokens * k, 128
                rows, out = np.zeros((pairs, hidden), np.uint16), np.zeros((tokens, hidden), np.uint16)
                scales = np.zeros((tokens, k), np.float32)
                index = np.random.default_rng(3).permutation(pairs).astype(np.int32)
                skips = [np.zeros_like(out), np.zeros_like(out)] if full else [None, None]
                bias, idx = (np.zeros((experts, hidden), np.uint16), experts_of(tokens, experts, k)) if full else (None, None)
                tensors = [rows, *skips, bias, scales, index, idx, out]
                launch = plan("moe_finalize_routing", tensors, {"k": k, "by_column": full}, PROFILE)
                text = "finalize_routing, skips and bias" if full else "token_unpermute"
                elements = rows.size * (2 if full else 1) + out.size * (2 if full else 0)
                yield Work(f"{text} {name}, {tokens} tokens", launch, tensors, size(*tensors), elements)


def expert_tokens() -> Iterator[Work]:
    for tokens in TOKENS:
        tensors = [np.sort(experts_of(tokens, 256, 8).ravel()), np.zeros(256, np.int32)]
        launch = plan("moe_compute_expert_tokens", tensors, {}, PROFILE)
        yield Work(f"compute_expert_tokens of 256, {tokens} tokens", launch, tensors, size(*tensors))


WORKS = {"gating": gating, "init_routing": init_routing, "finalize": finalize, "expert_tokens": expert_tokens}


def show_lines(report: softnpu.Report, count: int) -> None:
    """The lines on which the core that works longest spends most."""
    spent: Counter[tuple[str, ...]] = Counter()
    number: Counter[tuple[str, ...]] = Counter()
    whole: Counter[str] = Counter()
    for core, pipe, name, place, begin, end in report.slices:
        whole[core] += end - begin
        spent[core, pipe, name, place] += end - begin
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
    kernels = softnpu.load("cc/kernels/moe/moe.twin.so")
    print("| kernel | cores | MB | modelled us | limit us | ratio | pipes |")
    print("|---|---|---|---|---|---|---|")
    for name in options.only:
        for work in (work for work in WORKS[name]() if options.match in work.name):
            trace = Path(tempfile.gettempdir(), "moe.pftrace") if options.lines else None
            report = measure(work, kernels, trace)
            assert report.microseconds is not None
            limit = work.limit()
            print(
                f"| {work.name} | {work.plan.cores} | {work.bytes / 1e6:.2f} | {report.microseconds:.1f} | {limit:.1f} "
                f"| {report.microseconds / limit:.2f} | {busiest(report)} |"
            )
            show_lines(report, options.lines)


if __name__ == "__main__":
    main()

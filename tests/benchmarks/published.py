"""Modelled against published times: run with `tools/bazel run //tests/benchmarks:published`; prints the table of docs/modelled-time.md."""

from __future__ import annotations

import math
import time

import numpy as np

import softnpu

KERNELS = softnpu.load("tests/benchmarks/kernels/published.twin.so")
SIZES = {"half": 2, "bfloat16": 2, "float": 4, "16": 2, "32": 4}

# Kernel, shape, microseconds on a 910B2, why the model differs.
CASES = [
    ("rms_norm_half", (32 * 128, 768), 21.2),
    ("rms_norm_bfloat16", (32 * 128, 2048), 64.6),
    ("rms_norm_float", (8 * 512, 8192), 145.8),
    ("exp_half", (8192, 8192), 143.2),
    ("exp_float", (8192, 8192), 354.2),
    ("exp_bfloat16", (4096, 4096), 58.9),
    ("exp_float", (2048, 2048), 29.1),
    ("transpose_32", (2048, 2048), 40.3),
    ("transpose_16", (4096, 4096), 70.6),
    ("transpose_32", (8192, 8192), 555.0),
    ("rope_half", (16 * 512, 16, 128), 89.56),
    ("rope_float", (7 * 1021, 31, 64), 113.2),
    ("rope_half", (13 * 511, 13, 128), 73.08),
    ("rope_half", (16 * 61, 16, 128), 41.3),
]


def arguments(kernel: str, shape: tuple[int, ...]) -> tuple:
    size = SIZES[kernel.rsplit("_", 1)[1]]
    dtype = np.float32 if size == 4 else np.float16
    x = np.zeros(shape, dtype)
    if kernel.startswith("exp"):
        count = math.prod(shape)
        tile = 8192
        while count % tile or count // tile < 48:
            tile //= 2
        return x, np.zeros_like(x), count, tile
    if kernel.startswith("rms"):
        return x, np.zeros(shape[1], dtype), np.zeros_like(x), *shape
    if kernel.startswith("transpose"):
        return x, np.zeros_like(x), *shape
    table = (shape[0], shape[2])
    return x, np.zeros_like(x), np.zeros(table, dtype), np.zeros(table, dtype), *shape


def main() -> None:
    print("| kernel | shape | published us | modelled us, cold L2 | ratio | warm L2 | ratio | busiest pipe (cold) |")
    print("|---|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {"cold": [], "warm": []}
    start = time.monotonic()
    for kernel, shape, published in CASES:
        row = f"| {kernel} | {' x '.join(map(str, shape))} | {published:g} |"
        busiest = ""
        for l2, found in ratios.items():
            report = softnpu.launch(KERNELS[kernel], *arguments(kernel, shape), blocks=48, profile="ascend910b2", checks="off", l2=l2)
            assert report.microseconds is not None
            found.append(report.microseconds / published)
            row += f" {report.microseconds:.1f} | {found[-1]:.2f} |"
            pipe, share = max(report.busy.items(), key=lambda item: item[1])
            busiest = busiest or f" {pipe} {share:.0%} |"
        print(row + busiest)
    for l2, found in ratios.items():
        mean = math.exp(sum(map(math.log, found)) / len(found))
        spread = math.exp(math.sqrt(sum(math.log(r / mean) ** 2 for r in found) / len(found)))
        print(f"\n{l2} L2: geometric mean {mean:.2f}, spread (one standard deviation of the logarithm) a factor of {spread:.2f}.")
    print(f"{time.monotonic() - start:.0f} s on the host.")


if __name__ == "__main__":
    main()

"""A corpus of kernels as public repositories write them, run by pytest's fixtures of softnpu and compared with numpy.

Tolerances: a float that is rounded n times on the way is within n units of its last place; `ulps` says n, for the type of the result.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softnpu

if zig := os.environ.get("ZIG"):
    os.environ["CXX"] = f"{Path(zig).resolve()} c++"
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(Path(os.environ.get("TEST_TMPDIR", "/tmp")) / "zig"))

FOLDER = Path(__file__).with_name("corpus")
F32, F16, I32 = np.float32, np.float16, np.int32


def bf16(x: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 as bits, ties to even."""
    bits = np.ascontiguousarray(x, F32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(F32)


@dataclass
class Launch:
    """Arguments, and (array, what it has to hold, units of the last place) for each result."""

    arguments: list[Any]
    results: list[tuple[np.ndarray, np.ndarray, float]]
    blocks: int = 1
    offset: np.ndarray | None = None  # magnitude of a term that may cancel in the result
    options: dict[str, Any] | None = None


@dataclass
class Case:
    kernel: str
    make: Callable[[np.random.Generator], Launch]
    auto_sync: bool = False


def normal(rng: np.random.Generator, *shape: int, dtype: Any = F32) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def out(x: np.ndarray) -> softnpu.Output:
    return softnpu.Output(x)


def gelu_half(rng: np.random.Generator) -> Launch:
    x = normal(rng, 1003, dtype=F16)
    y, wide = np.zeros_like(x), x.astype(np.float64)
    return Launch([x, out(y), x.size, 64], [(y, wide / (1 + np.exp(-1.702 * wide)), 1)], blocks=3)


def gelu_bf16(rng: np.random.Generator) -> Launch:
    x = bf16(normal(rng, 500))
    y, wide = np.zeros_like(x), from_bf16(x).astype(np.float64)
    want = wide / (1 + np.exp(-1.702 * wide))
    return Launch([x, out(y), x.size, 96], [(y, bf16(want), 0)], blocks=2)


def mul_in_place(rng: np.random.Generator) -> Launch:
    x, y = (rng.integers(-1000, 1000, 2048).astype(I32) for _ in range(2))
    return Launch([x, y, x.size], [(x, x * y, 0)], blocks=4)


def reverse_rows(rng: np.random.Generator) -> Launch:
    x = normal(rng, 11, 48, dtype=F16)
    y = np.zeros_like(x)
    return Launch([x, out(y), 11, 48], [(y, x[::-1], 0)], blocks=3)


def swiglu_rows(rng: np.random.Generator) -> Launch:
    x = normal(rng, 9, 2 * 64, dtype=F16)
    y, wide = np.zeros((9, 64), F16), x.astype(np.float64)
    gate, up = wide[:, :64], wide[:, 64:]
    return Launch([x, out(y), 9, 64], [(y, gate / (1 + np.exp(-gate)) * up, 1)], blocks=4)


def saxpy(rng: np.random.Generator) -> Launch:
    x, y = normal(rng, 2, 5, 512), normal(rng, 2, 5, 512)
    return Launch([x, y, 0.37, 5], [(y, np.float64(F32(0.37)) * x + y, 1)], blocks=2)


def normalise_rows(rng: np.random.Generator) -> Launch:
    x = rng.random((7, 256)).astype(F32) + F32(0.5)
    y = np.zeros_like(x)
    # A tree of 8 levels of positive terms, a reciprocal, a product.
    return Launch([x, out(y), 7], [(y, x / x.astype(np.float64).sum(1, keepdims=True), 10)], blocks=3)


def maximum(rng: np.random.Generator) -> Launch:
    x = normal(rng, 6, 128, dtype=F16)
    y = np.zeros(128, F16)
    return Launch([x, out(y), 6], [(y, x.max(0), 0)])


def layer_norm(rng: np.random.Generator) -> Launch:
    x, gamma, beta = normal(rng, 5, 128), normal(rng, 128), normal(rng, 128)
    y, wide = np.zeros_like(x), x.astype(np.float64)
    centred = wide - wide.mean(1, keepdims=True)
    want = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * gamma + beta
    # The sum with beta may cancel, so the difference of both is compared: beta is exact, and the sum is rounded once more.
    return Launch([x, gamma, beta, out(y), 5, 128, 1e-5], [(y, want, 12)], blocks=2, offset=np.abs(beta))


def rms_norm(rng: np.random.Generator) -> Launch:
    x, gamma = normal(rng, 6, 256, dtype=F16), normal(rng, 256, dtype=F16)
    y, wide = np.zeros_like(x), x.astype(np.float64)
    want = wide / np.sqrt((wide**2).mean(1, keepdims=True) + 1e-6) * gamma
    return Launch([x, gamma, out(y), 6, 256], [(y, want, 1)], blocks=4)


def softmax_rows(rng: np.random.Generator) -> Launch:
    x = normal(rng, 9, 64)
    y, e = np.zeros_like(x), np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    # exp magnifies the rounding of x - max by its size, below 8.
    return Launch([x, out(y), 9, 64], [(y, e / e.sum(1, keepdims=True), 20)], blocks=4)


def histogram(rng: np.random.Generator) -> Launch:
    x = rng.integers(0, 1 << 20, 256).astype(I32)
    counts = np.zeros(16, I32)
    return Launch([x, out(counts), 256], [(counts, np.bincount(x & 15, minlength=16), 0)])


def column_sums(rng: np.random.Generator) -> Launch:
    x = rng.integers(-8, 8, (13, 64)).astype(F32)
    y = np.zeros(64, F32)
    return Launch([x, y, 13, 64], [(y, x.sum(0), 0)], blocks=4)


def argmax_rows(rng: np.random.Generator) -> Launch:
    x = normal(rng, 5, 192)
    y = np.zeros(5, I32)
    return Launch([x, out(y), 5, 192], [(y, x.argmax(1), 0)])


def blocks_and_pairs(rng: np.random.Generator) -> Launch:
    x = rng.integers(-100, 100, 1024).astype(F16)
    maxima, pairs = np.zeros(64, F16), np.zeros(512, F16)
    return Launch(
        [x, out(maxima), out(pairs)],
        [(maxima, x.reshape(64, 16).max(1), 0), (pairs, x.reshape(512, 2).sum(1), 0)],
    )


def ragged_row_sums(rng: np.random.Generator) -> Launch:
    x = rng.integers(-50, 50, (6, 21)).astype(F32)
    y = np.zeros(6, F32)
    return Launch([x, out(y), 6, 21], [(y, x.sum(1), 0)])


def running_sums(rng: np.random.Generator) -> Launch:
    x = rng.integers(-50, 50, (4, 64)).astype(F32)
    y = np.zeros_like(x)
    return Launch([x, out(y)], [(y, x.cumsum(1), 0)])


def sort_with_places(rng: np.random.Generator) -> Launch:
    x = rng.permutation(256).astype(F32)
    values, places = np.zeros(256, F32), np.zeros(256, np.uint32)
    order = np.argsort(-x, kind="stable")
    return Launch([x, out(values), out(places)], [(values, x[order], 0), (places, order, 0)])


def merge_four_runs(rng: np.random.Generator) -> Launch:
    x = rng.permutation(128).astype(F16)
    records = np.zeros(512, F16)
    order = np.argsort(-x, kind="stable")
    want = np.zeros(512, F16)
    want[::4] = x[order]
    want.view(np.uint32)[1::2] = order
    return Launch([x, records], [(records.view(np.uint32)[1::2], order, 0), (records[::4], want[::4], 0)])


def top_k(rng: np.random.Generator) -> Launch:
    x = np.stack([rng.permutation(64) for _ in range(2)]).astype(F32)
    values, places = np.zeros((2, 8), F32), np.zeros((2, 8), I32)
    order = np.argsort(-x, axis=1, kind="stable")[:, :8]
    return Launch([x, out(values), out(places)], [(values, np.take_along_axis(x, order, 1), 0), (places, order, 0)])


def compress(rng: np.random.Generator) -> Launch:
    x = normal(rng, 256)
    y, counts, kept = np.zeros(256, F32), np.zeros(8, np.uint32), x[x > F32(0.25)]
    return Launch(
        [x, out(y), counts, 0.25],
        [(y, np.concatenate([kept, np.zeros(256 - kept.size)]), 0), (counts[:1], np.array([kept.size]), 0)],
    )


def embedding(rng: np.random.Generator) -> Launch:
    table, at = normal(rng, 40, 32, dtype=F16), rng.integers(-40, 40, 17).astype(np.int64)
    y = np.zeros((17, 32), F16)
    return Launch([table, at, out(y), 17, 32, 40], [(y, table[at], 0)], blocks=4)


def take(rng: np.random.Generator) -> Launch:
    x, at = normal(rng, 128), rng.integers(0, 128, 128).astype(I32)
    y = np.zeros_like(x)
    return Launch([x, at, out(y)], [(y, x[at], 0)])


def index_add(rng: np.random.Generator) -> Launch:
    x, at = rng.integers(-9, 9, (12, 16)).astype(F32), rng.integers(0, 5, 12).astype(I32)
    y = np.ones((5, 16), F32)
    want = y.copy()
    np.add.at(want, at, x)
    return Launch([x, at, y, 12, 16], [(y, want, 0)], blocks=3)


def transpose_64(rng: np.random.Generator) -> Launch:
    x = normal(rng, 64, 64, dtype=F16)
    y = np.zeros_like(x)
    return Launch([x, out(y)], [(y, x.T, 0)])


def masked_fill(rng: np.random.Generator) -> Launch:
    x, mask = normal(rng, 512, dtype=F16), rng.integers(0, 2, 512).astype(np.uint8)
    y = np.zeros_like(x)
    return Launch([x, mask, out(y), -5.0], [(y, np.where(mask, F16(-5), x), 0)])


def dynamic_quant(rng: np.random.Generator) -> Launch:
    x = normal(rng, 3, 64, dtype=F16)
    y, scales = np.zeros((3, 64), np.int8), np.zeros(3, F32)
    want = (np.abs(x).max(1).astype(F32) / F32(127)).astype(F32)
    q = np.rint(x.astype(F32) * (F32(1) / want)[:, None])
    return Launch([x, out(y), out(scales), 3, 64], [(y, q, 0), (scales, want, 1)])


def dequant(rng: np.random.Generator) -> Launch:
    x, scale = rng.integers(-128, 128, (4, 128)).astype(np.int8), normal(rng, 128, dtype=F16)
    y = np.zeros((4, 128), F16)
    return Launch([x, scale, out(y), 4], [(y, x.astype(F16) * scale, 0)])


def roundings(rng: np.random.Generator) -> Launch:
    x = np.concatenate([np.arange(-8, 8) / 2, normal(rng, 48) * 100]).astype(F32)
    y = np.zeros((5, 64), I32)
    away = np.trunc(x + np.copysign(F32(0.5), x))
    want = np.stack([np.rint(x), np.floor(x), np.ceil(x), away, np.trunc(x)])
    return Launch([x, out(y)], [(y, want, 0)])


def bits(rng: np.random.Generator) -> Launch:
    x = rng.integers(0, 1 << 16, 256).astype(np.uint16)
    x[1] |= 1
    y, counts = np.zeros_like(x), np.zeros(4, np.int64)
    word = int(x[0]) | int(x[1]) << 16
    first = (word & -word).bit_length() - 1
    want = np.array([word.bit_count(), 64 - word.bit_length(), first, 3])
    return Launch([x, out(y), out(counts), np.uint16(0x0F0F)], [(y, (x & 0x0F0F) | (x >> 4), 0), (counts, want, 0)])


PARAMS = np.dtype([("rows", "u4"), ("columns", "u4"), ("alpha", "f4", 4), ("strides", "i8", 2)], align=True)


def scale_by_struct(rng: np.random.Generator) -> Launch:
    x, y = normal(rng, 6, 40), np.zeros((6, 48), F32)
    params = np.array([(6, 32, (1, 2, -0.5, 4), (40, 48))], PARAMS)
    want = y.copy()
    want[:, :32] = x[:, :32] * np.resize(params["alpha"][0], 6)[:, None]
    return Launch([x, y, params.view(np.uint8)], [(y, want, 0)])


def running_max(rng: np.random.Generator) -> Launch:
    x = rng.integers(-99, 99, 37).astype(I32)
    y = np.zeros_like(x)
    return Launch([x, out(y), 37], [(y, np.maximum.accumulate(x), 0)])


def add_to_each(rng: np.random.Generator) -> Launch:
    tensors = [normal(rng, 8, 4), normal(rng, 64)]
    words: list[Any] = [0]
    for i, x in enumerate(tensors):
        words += [x.ndim | i << 32, *x.shape]
    words[0] = len(words) * 8
    return Launch([softnpu.Addresses([*words, *tensors]), 1.5, 2], [(x, x + F32(1.5), 0) for x in tensors])


def product_by_queues(rng: np.random.Generator) -> Launch:
    a, b = rng.integers(-9, 9, (32, 64)).astype(F16), rng.integers(-9, 9, (64, 48)).astype(F16)
    c = np.zeros((32, 48), F32)
    return Launch([a, b, out(c)], [(c, a.astype(F32) @ b.astype(F32), 0)])


def product_int8(rng: np.random.Generator) -> Launch:
    a, b = rng.integers(-128, 128, (16, 64)).astype(np.int8), rng.integers(-128, 128, (64, 32)).astype(np.int8)
    c = np.zeros((16, 32), F16)
    want = (a.astype(np.int64) @ b.astype(np.int64)).astype(F32) * F32(0.0078125)
    return Launch([a, b, out(c), 0.0078125], [(c, want, 1)])


def matmul_leaky(rng: np.random.Generator) -> Launch:
    tiling = np.zeros(1, softnpu.tiling(softnpu.include_dir() / "ascendc/tilings.h", "TCubeTiling"))
    fields = {"usedCoreNum": 2, "M": 64, "N": 32, "Ka": 48, "Kb": 48, "singleCoreM": 32, "singleCoreN": 32, "singleCoreK": 48}
    for name, value in (fields | {"baseM": 16, "baseN": 16, "baseK": 16, "isBias": 1}).items():
        tiling[name] = value
    a, b = rng.integers(-9, 9, (64, 48)).astype(F16), rng.integers(-9, 9, (48, 32)).astype(F16)
    bias, c = rng.integers(-9, 9, 32).astype(F32), np.zeros((64, 32), F32)
    want = a.astype(F32) @ b.astype(F32) + bias
    want = np.where(want < 0, want * F32(0.001), want)
    return Launch([a, b, bias, out(c), softnpu.Workspace(1024), tiling], [(c, want, 1)])


def centre(rng: np.random.Generator) -> Launch:
    x = rng.integers(-50, 50, (4, 128)).astype(F32)
    y = np.zeros_like(x)
    return Launch([x, out(y), softnpu.Workspace(4 * 32), 128], [(y, x - x.mean(dtype=F32), 0)], blocks=4)


def append_in_turn(_: np.random.Generator) -> Launch:
    values, sync = np.zeros(8, I32), np.zeros(8 * 4, I32)
    return Launch([values, sync], [(values, np.array([4, 100, 101, 102, 103, 0, 0, 0]), 0)], blocks=4)


def product_then_relu(rng: np.random.Generator) -> Launch:
    a, b = (rng.integers(-9, 9, (16, 16)).astype(F16) for _ in range(2))
    c = np.zeros((16, 16), F32)
    want = np.maximum(a.astype(F32) @ b.astype(F32), 0)
    return Launch([a, b, out(c), softnpu.Workspace(1024)], [(c, want, 0)])


def product_then_scale(rng: np.random.Generator) -> Launch:
    a, b = (rng.integers(-9, 9, (16, 16)).astype(F16) for _ in range(2))
    c = np.zeros((16, 16), F32)
    return Launch([a, b, out(c), softnpu.Workspace(1024)], [(c, a.astype(F32) @ b.astype(F32) / 2, 0)])


def square(rng: np.random.Generator) -> Launch:
    x = normal(rng, 4, 3, 256, dtype=F16)
    y = np.zeros_like(x)
    return Launch([x, out(y), 3], [(y, x * x, 0)], blocks=4)


def reciprocal(dtype: Any) -> Callable[[np.random.Generator], Launch]:
    def make(rng: np.random.Generator) -> Launch:
        x = (rng.random((2, 128)) + 0.5).astype(dtype)
        y = np.zeros_like(x)
        return Launch([x, out(y), 1], [(y, 1 / x.astype(np.float64), 1)], blocks=2)

    return make


def words(*values: int) -> Callable[[np.random.Generator], Launch]:
    def make(_: np.random.Generator) -> Launch:
        y = np.zeros(len(values), I32)
        return Launch([out(y)], [(y, np.array(values), 0)])

    return make


def shift(key: int) -> Callable[[np.random.Generator], Launch]:
    def make(rng: np.random.Generator) -> Launch:
        x = normal(rng, 64)
        y, by = np.zeros_like(x), F32(1.25)
        tiling = np.array([(64, 1.25)], np.dtype([("count", "u4"), ("by", "f4")]))
        want = {1: x + by, 2: x - by, 10000000000000000003: x * by}[key]
        return Launch([x, out(y), None, tiling.view(np.uint8)], [(y, want, 0)], options={"tiling_key": key})

    return make


def welford_norm(rng: np.random.Generator) -> Launch:
    x = (normal(rng, 5, 256) + F32(0.25)).astype(F32)
    y, wide = np.zeros_like(x), x.astype(np.float64)
    centred = wide - wide.mean(1, keepdims=True)
    want = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    # Mean and sum of squares are rounded after each of 4 tiles (8 roundings), then a root, a quotient and two roundings follow; the
    # difference from the mean is measured by the size of x.
    return Launch([x, out(y), 5, 256, 64], [(y, want, 16)], blocks=2, offset=np.abs(wide))


def layer_norm_rstd(rng: np.random.Generator) -> Launch:
    x, gamma, beta = normal(rng, 8, 64, dtype=F16), normal(rng, 64, dtype=F16), normal(rng, 64, dtype=F16)
    y, mean, rstd = np.zeros_like(x), np.zeros(8, F32), np.zeros(8, F32)
    wide = x.astype(np.float64)
    centre = wide.mean(1)
    scale = 1 / np.sqrt(((wide - centre[:, None]) ** 2).mean(1) + np.float64(F32(1e-3)))
    want = (wide - centre[:, None]) * scale[:, None] * gamma + beta
    # One rounding of each result. The mean may cancel, and so may the sum with beta: they are exact before that.
    return Launch([x, gamma, beta, out(y), out(mean), out(rstd), 8, 64], [(y, want, 1), (mean, centre, 1), (rstd, scale, 1)])


def group_norm(rng: np.random.Generator) -> Launch:
    x, gamma, beta = normal(rng, 2, 8, 16), normal(rng, 8), normal(rng, 8)
    y, wide = np.zeros_like(x), x.astype(np.float64).reshape(2, 4, 32)
    centred = wide - wide.mean(2, keepdims=True)
    normed = (centred / np.sqrt((centred**2).mean(2, keepdims=True) + np.float64(F32(1e-5)))).reshape(2, 8, 16)
    return Launch([x, gamma, beta, out(y), 2, 8, 16, 4], [(y, normed * gamma[:, None] + beta[:, None], 1)])


def flash_sums(rng: np.random.Generator) -> Launch:
    x = normal(rng, 4, 96)
    y, wide = np.zeros((2, 4, 8), F32), x.astype(np.float64)
    largest = wide.max(1)
    sums = np.exp(wide - largest[:, None]).sum(1)
    want = np.stack([sums, largest])[:, :, None] * np.ones(8)
    # Two updates, each with a rounded sum and the factor's product.
    return Launch([x, out(y), 4, 96, 32], [(y, want, 4)])


def dequant_columns(rng: np.random.Generator) -> Launch:
    x, scale = rng.integers(-(1 << 20), 1 << 20, (6, 32)).astype(I32), (rng.random(32) / 999).astype(F32)
    y = np.zeros((6, 32), np.uint16)
    return Launch([x, scale, out(y), 6, 32], [(y, bf16(x.astype(F32) * scale), 0)])


def fractals(x: np.ndarray, width: int = 16) -> np.ndarray:
    """A matrix in NZ: columns of fractals of 16 rows."""
    rows, columns = x.shape
    return np.ascontiguousarray(x.reshape(rows, columns // width, width).transpose(1, 0, 2))


def product_nz(rng: np.random.Generator) -> Launch:
    a, b = normal(rng, 48, 32, dtype=F16), normal(rng, 32, 64, dtype=F16)
    c = np.zeros((4, 48, 16), F32)
    want = a.astype(np.float64) @ b
    # 32 products, which are exact, are added in float.
    size = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    return Launch([a, fractals(b), out(c), 48, 64, 32], [(c, fractals(want), 16)], offset=fractals(size))


def product_scaled(rng: np.random.Generator) -> Launch:
    a, b = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((64, 32), (64, 48)))
    scale = (rng.random(48) / 3000).astype(F32)
    c = np.zeros((32, 48), F16)
    want = ((a.T.astype(I32) @ b.astype(I32)).astype(F32) * scale).astype(F16)
    return Launch([a, b, scale.view(np.uint32).astype(np.uint64), out(c), 32, 48, 64], [(c, want, 0)])


def product_heads(rng: np.random.Generator) -> Launch:
    q, k = normal(rng, 2, 16, 3, 32, dtype=F16), normal(rng, 2, 48, 3, 32, dtype=F16)
    c = np.zeros((2, 3, 16, 48), F32)
    want = np.einsum("bsnd,btnd->bnst", q.astype(np.float64), k.astype(np.float64))
    size = np.einsum("bsnd,btnd->bnst", np.abs(q).astype(np.float64), np.abs(k).astype(np.float64))
    return Launch([q, k, out(c), 2, 16, 48, 3, 32], [(c, want, 16)], offset=size)


def product_of_ub(rng: np.random.Generator) -> Launch:
    a, b = normal(rng, 16, 32, dtype=F16), normal(rng, 32, 48, dtype=F16)
    c = np.zeros((16, 48), F32)
    size = np.abs(2 * a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    return Launch([a, b, out(c), 16, 48, 32], [(c, 2 * a.astype(np.float64) @ b, 16)], offset=size)


CASES = {
    "queues": [
        Case("gelu_half", gelu_half),
        Case("gelu_bf16", gelu_bf16),
        Case("mul_in_place", mul_in_place),
        Case("reverse_rows", reverse_rows),
        Case("swiglu_rows", swiglu_rows),
    ],
    "handsync": [Case("saxpy_ping_pong", saxpy), Case("normalise_rows", normalise_rows), Case("maximum_with_barriers", maximum)],
    "autosync": [
        Case(name, make, auto_sync=True)
        for name, make in [("layer_norm", layer_norm), ("rms_norm", rms_norm), ("softmax_rows", softmax_rows), ("histogram", histogram)]
    ],
    "reductions": [
        Case("column_sums", column_sums),
        Case("argmax_rows", argmax_rows),
        Case("blocks_and_pairs", blocks_and_pairs),
        Case("ragged_row_sums", ragged_row_sums),
        Case("running_sums", running_sums),
    ],
    "sorts": [
        Case("sort_with_places", sort_with_places),
        Case("merge_four_runs", merge_four_runs),
        Case("top_k", top_k),
        Case("compress", compress),
    ],
    "gathers": [
        Case("embedding", embedding),
        Case("take", take),
        Case("index_add", index_add),
        Case("transpose_64", transpose_64),
        Case("masked_fill", masked_fill),
    ],
    "casts": [Case("dynamic_quant", dynamic_quant), Case("dequant", dequant), Case("roundings", roundings), Case("bits", bits)],
    "pointers": [Case("scale_by_struct", scale_by_struct), Case("running_max", running_max), Case("add_to_each", add_to_each)],
    "cube": [Case("product_by_queues", product_by_queues), Case("product_int8", product_int8), Case("matmul_leaky", matmul_leaky)],
    "cores": [Case("centre", centre), Case("append_in_turn", append_in_turn), Case("product_then_relu", product_then_relu)],
    "norms": [
        Case("welford_norm", welford_norm),
        Case("layer_norm_rstd", layer_norm_rstd),
        Case("group_norm", group_norm),
        Case("flash_sums", flash_sums),
        Case("dequant_columns", dequant_columns),
    ],
    "products": [
        Case("product_nz", product_nz),
        Case("product_scaled", product_scaled),
        Case("product_heads", product_heads),
        Case("product_of_ub", product_of_ub),
    ],
    "kinds": [Case("product_then_scale", product_then_scale)],
    "forms": [
        Case("square", square),
        Case("reciprocal_float", reciprocal(F32)),
        Case("reciprocal_half", reciprocal(F16)),
        Case("by_index", words(7, 2, 10, 2)),
        *(Case("shift", shift(key)) for key in (1, 2, 10000000000000000003)),
    ],
}
CASES["specialised"] = [Case("widths", words(4, 2, 4, -1))]
ALL = [(source, case) for source, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("source", "case"), ALL, ids=[f"{source}-{case.kernel}" for source, case in ALL])
def test_kernel(source: str, case: Case, softnpu_build: Any, softnpu_launch: Any) -> None:
    kernels = softnpu_build(FOLDER / f"{source}.cpp", auto_sync=case.auto_sync)
    launch = case.make(np.random.default_rng(len(case.kernel)))
    wanted = [want.copy() for _, want, _ in launch.results]
    report = softnpu_launch(kernels[case.kernel], *launch.arguments, blocks=launch.blocks, **(launch.options or {}))
    assert report.warnings == ()
    for (got, _, ulps), want in zip(launch.results, wanted, strict=True):
        if ulps == 0:
            np.testing.assert_array_equal(got, want.astype(got.dtype))
        else:
            size = np.maximum(np.abs(want), np.finfo(got.dtype).smallest_normal)
            size = size if launch.offset is None else size + launch.offset
            error = np.abs(got.astype(np.float64) - want) / (np.finfo(got.dtype).eps * size)
            assert error.max() <= ulps, f"{error.max():.2f} units of the last place"


def test_all_kernels_are_found_in_their_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "softnpu", "build", str(FOLDER), "--json", "--auto-sync", "on", "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    found = {Path(built["source"]).stem: built["kernels"] for built in json.loads(done.stdout)["built"]}
    assert found == {source: list(dict.fromkeys(case.kernel for case in cases)) for source, cases in CASES.items()}

"""The kernels of tests/benchmarks/kernels/published.cpp compute what they should, under all checks and in several orders of cores."""

from __future__ import annotations

import numpy as np
import pytest

import softnpu

KERNELS = softnpu.load("tests/benchmarks/kernels/published.twin.so")
RANDOM = np.random.default_rng(7)
RUN = {"profile": "ascend910b2", "blocks": 5, "schedules": 3}


def bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 to bfloat16 bits, to nearest even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def ulp(values: np.ndarray, bits: int) -> np.ndarray:
    """The last place of numbers with `bits` bits of significand, away from the ends of their range."""
    return np.exp2(np.floor(np.log2(np.maximum(np.abs(values), 2.0**-14))) - bits + 1)


# float: one rounding of the library's exp, which is off by less than 1 ulp. 16 bits: that, rounded once.
@pytest.mark.parametrize(("kind", "bits"), [("half", 11), ("bfloat16", 8), ("float", 24)])
def test_exp(kind: str, bits: int) -> None:
    x = RANDOM.standard_normal(64 * 7).astype(np.float32)
    if kind == "bfloat16":
        data, out = bfloat16(x), np.zeros(x.size, np.uint16)
    else:
        data = x.astype(np.float16 if kind == "half" else np.float32)
        out = np.zeros_like(data)
    softnpu.launch(KERNELS[f"exp_{kind}"], data, softnpu.Output(out), x.size, 64, **RUN)
    exact = np.exp((from_bfloat16(data) if kind == "bfloat16" else data).astype(np.float64))
    found = (from_bfloat16(out) if kind == "bfloat16" else out).astype(np.float64)
    assert (np.abs(found - exact) <= (1.0 if kind == "float" else 0.5 + 2.0**-10) * ulp(exact, bits)).all()


# The sum of `width` squares in float is off by less than (log2(width) + 2) 2^-24 of itself (a tree), its root by half of that, and each of
# five more operations by 2^-24; then one rounding to the type.
@pytest.mark.parametrize(("kind", "bits"), [("half", 11), ("bfloat16", 8), ("float", 24)])
def test_rms_norm(kind: str, bits: int) -> None:
    rows, width = 13, 256
    x = RANDOM.standard_normal((rows, width)).astype(np.float32)
    gamma = RANDOM.standard_normal(width).astype(np.float32)
    if kind == "bfloat16":
        data, scale, out = bfloat16(x), bfloat16(gamma), np.zeros((rows, width), np.uint16)
    else:
        data, scale = (a.astype(np.float16 if kind == "half" else np.float32) for a in (x, gamma))
        out = np.zeros_like(data)
    softnpu.launch(KERNELS[f"rms_norm_{kind}"], data, scale, softnpu.Output(out), rows, width, **RUN)
    exact_x, exact_gamma, found = ((from_bfloat16(a) if kind == "bfloat16" else a).astype(np.float64) for a in (data, scale, out))
    exact = exact_x / np.sqrt((exact_x**2).mean(axis=1, keepdims=True) + 1e-6) * exact_gamma
    bound = np.abs(exact) * (np.log2(width) / 2 + 6) * 2.0**-24 + 0.5 * ulp(exact, bits)
    assert (np.abs(found - exact) <= bound).all()


@pytest.mark.parametrize(("kind", "side", "dtype"), [("16", 128, np.uint16), ("32", 64, np.uint32)])
def test_transpose(kind: str, side: int, dtype: type) -> None:
    x: np.ndarray = RANDOM.integers(0, 1 << 16, (side * 3, side * 2)).astype(dtype)
    out: np.ndarray = np.zeros((side * 2, side * 3), dtype)
    softnpu.launch(KERNELS[f"transpose_{kind}"], x, softnpu.Output(out), side * 3, side * 2, **RUN)
    assert (out == x.T).all()


# Two products and a sum, each rounded once to the type.
@pytest.mark.parametrize(("kind", "bits", "width"), [("half", 11, 128), ("float", 24, 64), ("float", 24, 128)])
def test_rope(kind: str, bits: int, width: int) -> None:
    tokens, heads = 11, 3
    dtype = np.float16 if kind == "half" else np.float32
    query, key = (RANDOM.standard_normal((tokens, heads, width)).astype(dtype) for _ in range(2))
    angles = RANDOM.standard_normal((tokens, width // 2))
    cos = np.concatenate([np.cos(angles)] * 2, axis=1).astype(dtype)
    sin = np.concatenate([-np.sin(angles), np.sin(angles)], axis=1).astype(dtype)
    before = [a.astype(np.float64) for a in (query, key)]
    softnpu.launch(KERNELS[f"rope_{kind}"], query, key, cos, sin, tokens, heads, width, **RUN)
    for x, found in zip(before, (query, key), strict=True):
        swapped = np.concatenate([x[..., width // 2 :], x[..., : width // 2]], axis=-1)
        left, right = x * cos[:, None], swapped * sin[:, None]
        bound = 0.5 * (ulp(left, bits) + ulp(right, bits) + ulp(left + right, bits)) * 1.01
        assert (np.abs(found.astype(np.float64) - (left + right)) <= bound).all()

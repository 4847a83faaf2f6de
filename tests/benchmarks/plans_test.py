# tests/benchmarks/plans_test.py: plans from arrays, and the sentences about what does not fit.
from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.plans import plan

PROFILE = "ascend910b3"
ROWS, SLOTS = np.zeros((5, 2, 64), np.uint16), np.zeros(5, np.int64)
CACHE = np.zeros((3, 16, 2, 64), np.uint16)


def test_a_plan_has_the_words_of_the_kernel() -> None:
    made = plan("moe_compute_expert_tokens", [np.zeros(100, np.int32), np.zeros(256, np.int32)], {}, PROFILE)
    assert (made.kernel, made.cores) == ("moe_compute_expert_tokens", 32)
    assert np.frombuffer(made.tiling, "<u8").tolist() == [100, 256, 8]


def test_strides_are_in_elements() -> None:
    """The words of reshape_and_cache that differ are the bytes from token to token, of key and of value."""
    of = {}
    for name, rows in (("dense", ROWS), ("apart", np.zeros((5, 3, 2, 64), np.uint16)[:, 1])):
        made = plan("reshape_and_cache", [rows, rows, CACHE, CACHE, SLOTS], {"layout": "ND"}, PROFILE)
        of[name] = np.frombuffer(made.tiling, "<u8").tolist()
    differ = [(a, b) for a, b in zip(of["dense"], of["apart"], strict=True) if a != b]
    assert differ == [(2 * 64 * 2, 3 * 2 * 64 * 2)] * 2


def test_what_does_not_fit() -> None:
    tensors = [ROWS, None, CACHE, None, SLOTS]
    with pytest.raises(ValueError, match=r"^reshape_and_cache has the options layout; given are style$"):
        plan("reshape_and_cache", tensors, {"style": "ND"}, PROFILE)
    with pytest.raises(ValueError, match=r"^an array is float64; it can be float32, float16, int8"):
        plan("reshape_and_cache", [ROWS.astype(np.float64), *tensors[1:]], {"layout": "ND"}, PROFILE)
    with pytest.raises(ValueError, match=r"^reshape_and_cache has nothing to launch for these arguments$"):
        plan("reshape_and_cache", [*tensors[:4], SLOTS[:0]], {"layout": "ND"}, PROFILE)
    with pytest.raises(ValueError, match="no device profile 'ascend1'"):
        plan("reshape_and_cache", tensors, {"layout": "ND"}, "ascend1")

"""lora_expand: what shrink made, times the B of each token's adapter, added to slices of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import (
    CHECKS,
    FLOATS,
    INDICES,
    Arguments,
    calls,
    check_declaration,
    few,
    integers,
    launches,
    near,
    noise,
    on_another_device,
    refusals,
    refused,
    run,
    same,
    want,
    zeros,
)

from vllm_cann.ops.lora_expand import RANKS, lora_expand

F16, F32 = torch.float16, torch.float32


def legal(**changes: Any) -> Arguments:
    rows = {"y": noise(F16, 5, 96).npu(), "h": noise(F32, 1, 5, 8).npu()}
    return {**rows, "weights": [noise(F16, 2, 64, 8).npu()], "indices": integers(1, -1, 2, 5).npu()} | changes


def check(
    dtype: torch.dtype, rank: int, widths: Sequence[int], indices: torch.Tensor, offset: int = 0, behind: int = 0, adds: bool = True
) -> None:
    """The bound is that of lora_expand_test.cc; what is of no slice or has no adapter keeps its bits."""
    tokens = len(indices)
    y = noise(dtype, tokens, offset + sum(widths) + behind)
    h = noise(F32, len(widths), tokens, rank)
    weights = [noise(dtype, 3, width, rank, seed=i) for i, width in enumerate(widths)]
    found = y.npu()
    lora_expand(found, h.npu(), [one.npu() for one in weights], indices.npu(), offset, adds)
    expected, magnitude = want(reference.lora_expand, y, h, weights, indices, offset, adds)
    near(found, expected, (rank + 1) * 1.001 * 2**-24 * magnitude)
    kept = magnitude == 0
    same(found.cpu()[kept], expected[kept].to(dtype))


@pytest.mark.parametrize("index_dtype", INDICES, ids=str)
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_several_adapters_and_none(dtype: torch.dtype, rank: int, index_dtype: torch.dtype) -> None:
    check(dtype, rank, [128, 64, 64], torch.tensor([2, 0, 0, -1, 1, 1, 1, -1, 2], dtype=index_dtype))


@few()
@given(
    tokens=st.integers(1, 70),
    rank=st.sampled_from(RANKS),
    widths=st.lists(st.integers(1, 300), min_size=1, max_size=3),
    offset=st.integers(0, 40),
    behind=st.integers(0, 20),
    adds=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 99),
)
def test_any_sizes(tokens: int, rank: int, widths: list[int], offset: int, behind: int, adds: bool, dtype: torch.dtype, seed: int) -> None:
    check(dtype, rank, widths, integers(seed, -1, 3, tokens), offset, behind, adds)


@pytest.mark.parametrize("function", calls(lora_expand))
def test_rows_with_a_step_between_them(function: Callable[..., Any]) -> None:
    wide = noise(F32, 6, 100)
    h, weights, indices = noise(F32, 1, 6, 16), noise(F32, 2, 50, 16), integers(3, -1, 2, 6)
    found = wide.npu()
    function(found[:, 20:80], h.npu(), [weights.npu()], indices.npu(), 4)
    expected, magnitude = want(reference.lora_expand, wide, h, [weights], indices, 24)
    near(found, expected, 17 * 1.001 * 2**-24 * magnitude)


def test_no_tokens_and_no_columns_launch_nothing() -> None:
    no_tokens = zeros(0, 64), zeros(1, 0, 8), [zeros(2, 64, 8)], zeros(0, dtype=torch.int32)
    no_columns = zeros(3, 64), zeros(1, 3, 8), [zeros(2, 0, 8)], zeros(3, dtype=torch.int32)
    with launches(0):
        lora_expand(*no_tokens)
        lora_expand(*no_columns)


def test_an_adapter_that_does_not_exist_is_an_error_of_the_device() -> None:
    out = run(
        "ops.load(device)\n"
        "one = torch.ones(1, 2, 8).npu()\n"
        "ops.lora_expand.lora_expand(torch.ones(2, 64).npu(), one, [torch.ones(3, 64, 8).npu()], torch.tensor([-2, 0]).npu())\n"
        "torch.npu.synchronize()",
        check=False,
    )
    assert "Trap" in out, out
    assert "cc/kernels/lora/lora_common.h:" in out, out


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(lora_expand, utility, legal())


@pytest.mark.parametrize("adapter", [0, 1, -1])
def test_one_launch_whatever_the_contents(adapter: int) -> None:
    arguments = legal(indices=torch.full((5,), adapter).npu())
    with launches(1):
        lora_expand(**arguments)


@refusals(
    (lambda: legal(y=zeros(5, 96, 1, dtype=F16)), "y has 3 dimensions, not [tokens, columns]"),
    (lambda: legal(weights=[]), "there are 0 weights; a launch takes 1 to 3"),
    (lambda: legal(weights=[zeros(2, 64, 8)]), "weights0 is float32, but y is float16"),
    (lambda: legal(offset=33), "weights0 has 64 columns from 33 on; y has 96"),
    (lambda: legal(h=zeros(1, 5, 24), weights=[zeros(2, 64, 24, dtype=F16)]), "weights0 has the rank 24; it can be 8, 16, 32, 64 or 128"),
    (lambda: legal(h=zeros(1, 5, 8, dtype=F16)), "h is float16, not float32"),
    (lambda: legal(indices=zeros(5)), "indices is float32; it can be int32 or int64"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(lora_expand, change(), sentence)


def test_refused_on_another_device() -> None:
    on_another_device(lora_expand, legal())

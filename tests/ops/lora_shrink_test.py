"""lora_shrink: rows times the A of each row's adapter."""

from __future__ import annotations

from collections.abc import Callable
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

from vllm_cann.ops.lora_shrink import lora_shrink


def legal(**changes: Any) -> Arguments:
    x, weights = noise(torch.float16, 5, 64).npu(), [noise(torch.float16, 2, 8, 64).npu()]
    return {"x": x, "weights": weights, "indices": integers(1, -1, 2, 5).npu()} | changes


def check(dtype: torch.dtype, tokens: int, size: int, rank: int, slices: int, indices: torch.Tensor, scale: float = 1.0) -> None:
    """The bound is that of lora_shrink_test.cc."""
    x, weights = noise(dtype, tokens, size), [noise(dtype, 3, rank, size, seed=i) for i in range(slices)]
    found = lora_shrink(x.npu(), [one.npu() for one in weights], indices.npu(), scale)
    expected, magnitude = want(reference.lora_shrink, x, weights, indices, scale)
    near(found, expected, (size + 65) * 1.001 * 2**-24 * magnitude)


@pytest.mark.parametrize("index_dtype", INDICES, ids=str)
@pytest.mark.parametrize("rank", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_several_adapters_and_none(dtype: torch.dtype, rank: int, index_dtype: torch.dtype) -> None:
    check(dtype, 9, 200, rank, 3, torch.tensor([2, 0, 0, -1, 1, 1, 1, -1, 2], dtype=index_dtype))


@few()
@given(
    tokens=st.integers(1, 70),
    size=st.integers(1, 1500),
    rank=st.integers(1, 40),
    slices=st.integers(1, 3),
    scale=st.sampled_from([1.0, 0.37]),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 99),
)
def test_any_sizes(tokens: int, size: int, rank: int, slices: int, scale: float, dtype: torch.dtype, seed: int) -> None:
    check(dtype, tokens, size, rank, slices, integers(seed, -1, 3, tokens), scale)


@pytest.mark.parametrize("function", calls(lora_shrink))
def test_a_token_does_not_depend_on_the_others(function: Callable[..., Any]) -> None:
    """As bits: alone, a token's ranks are shared among more cores."""
    x, weights, indices = noise(torch.bfloat16, 40, 300).npu(), noise(torch.bfloat16, 3, 16, 300).npu(), integers(2, 0, 3, 40).npu()
    together = function(x, [weights], indices).cpu()
    for t in (0, 17, 39):
        same(function(x[t : t + 1], [weights], indices[t : t + 1])[:, 0], together[:, t])


def test_no_tokens_launch_nothing() -> None:
    x, weights, indices = zeros(0, 64), zeros(2, 8, 64), zeros(0, dtype=torch.int32)
    with launches(0):
        assert lora_shrink(x, [weights], indices).shape == (1, 0, 8)


def test_no_token_with_an_adapter() -> None:
    same(lora_shrink(**legal(indices=zeros(5, dtype=torch.int64) - 1)), torch.zeros(1, 5, 8))


def test_an_adapter_that_does_not_exist_is_an_error_of_the_device() -> None:
    out = run(
        "ops.load(device)\n"
        "ops.lora_shrink.lora_shrink(torch.ones(2, 64).npu(), [torch.ones(3, 8, 64).npu()], torch.tensor([2, 3]).npu())\n"
        "torch.npu.synchronize()",
        check=False,
    )
    assert "Trap" in out, out
    assert "cc/kernels/lora/lora_common.h:" in out, out


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(lora_shrink, utility, legal())


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_one_launch(slices: int) -> None:
    arguments = legal(weights=[noise(torch.float16, 2, 8, 64).npu()] * slices)
    with launches(1):
        lora_shrink(**arguments)


@pytest.mark.parametrize("adapter", [0, 1, -1])
def test_one_launch_whatever_the_contents(adapter: int) -> None:
    arguments = legal(indices=torch.full((5,), adapter).npu())
    with launches(1):
        lora_shrink(**arguments)


@refusals(
    (lambda: legal(x=zeros(64)), "x has the shape (64,); it must have 2 dimensions"),
    (lambda: legal(weights=[]), "there are 0 weights; a launch takes 1 to 3"),
    (lambda: legal(weights=legal()["weights"] * 4), "there are 4 weights; a launch takes 1 to 3"),
    (lambda: legal(weights=[zeros(2, 8, 64)]), "weights0 is float32, but x is float16"),
    (lambda: legal(weights=[zeros(2, 64, 8, dtype=torch.float16).transpose(1, 2)]), "weights0 has stride 8 in dimension 2"),
    (lambda: legal(indices=zeros(4, dtype=torch.int32)), "indices has 4 in dimension 0, the tokens are 5"),
    (lambda: legal(indices=zeros(5)), "indices is float32; it can be int32 or int64"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(lora_shrink, change(), sentence)


def test_refused_on_another_device() -> None:
    on_another_device(lora_shrink, legal())

"""moe_finalize_routing and moe_token_unpermute: the rows that experts made of each token are added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, FLOATS, Arguments, check_declaration, few, integers, launches, near, noise, same, want, zeros

from vllm_cann.ops.moe_finalize_routing import moe_finalize_routing, moe_token_unpermute
from vllm_cann.ops.moe_init_routing import moe_token_permute

FLOAT32 = torch.float32


def near_sum(found: torch.Tensor, terms: torch.Tensor) -> None:
    """`found` [tokens, H] is the sum over the second dimension of `terms` [tokens, n, H].

    With n terms of magnitudes m in all, float32 is wrong by at most (n + 1) 2^-24 m (moe_finalize_routing_test.cc).
    """
    near(found, terms.sum(1), (terms.shape[1] + 1) * 2**-24 * terms.abs().sum(1))


def permutation(seed: int, pairs: int) -> torch.Tensor:
    return torch.randperm(pairs, generator=torch.Generator().manual_seed(seed)).int()


def legal(**changes: Any) -> Arguments:
    optional = dict.fromkeys(("skip1", "skip2", "bias", "scales"))
    rows = noise(torch.float16, 5, 32).npu()
    return {"expanded_permuted_rows": rows, **optional, "expanded_src_to_dst_row": torch.arange(5).int().npu()} | changes


def legal_unpermute(**changes: Any) -> Arguments:
    return {"permuted_tokens": noise(FLOAT32, 10, 32).npu(), "sorted_indices": torch.arange(10).int().npu()} | changes


@pytest.mark.parametrize("probs_dtype", FLOATS, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_unpermute_weighs_and_adds(dtype: torch.dtype, probs_dtype: torch.dtype) -> None:
    rows, probs = noise(dtype, 12, 40), noise(probs_dtype, 4, 3)
    indices = torch.tensor([3, -1, 7, -12, 0, 1, 12, 2, 5, -1, -1, -1], dtype=torch.int32)
    found = moe_token_unpermute(rows.npu(), indices.npu(), probs.npu())
    near_sum(found, want(reference.moe_token_unpermute, rows, indices, probs))


def test_unpermute_without_probs_takes_rows() -> None:
    rows, order = noise(torch.bfloat16, 6, 9), torch.tensor([5, 0, 3, 1, 2, 4], dtype=torch.int32)
    same(moe_token_unpermute(rows.npu(), order.npu()), rows[order.long()])


@few()
@given(
    tokens=st.integers(1, 20), log_k=st.integers(0, 3), experts=st.integers(8, 12), dtype=st.sampled_from(FLOATS), seed=st.integers(0, 99)
)
def test_unpermute_undoes_permute(tokens: int, log_k: int, experts: int, dtype: torch.dtype, seed: int) -> None:
    """k is a power of two, and rows have the 8 bits of bfloat16, so each of the k shares, and all sums of them, are exact in float32."""
    k = 2**log_k
    rows = noise(torch.bfloat16, tokens, 32, seed=seed).to(dtype)
    out, places = moe_token_permute(rows.npu(), integers(seed, 0, experts, tokens, k).npu(), num_experts=experts)
    same(moe_token_unpermute(out, places, torch.full((tokens, k), 1 / k, dtype=dtype).npu()), rows)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_skips_and_biases_are_added(dtype: torch.dtype, mode: int) -> None:
    tokens, k, size, experts = 5, 3, 24, 4
    rows = noise(dtype, experts, 6, size)
    skips = [noise(dtype, tokens, size, seed=i) for i in (1, 2)]
    bias, scales = noise(dtype, experts, size, seed=3), noise(FLOAT32, tokens, k)
    number = integers(3, 0, experts, tokens, k)
    index = permutation(1, 24)[: tokens * k].reshape(tokens, k)
    index[1, 2] = index[4, 0] = -1
    index = (index if mode >= 2 else index.t()).flatten()
    found = moe_finalize_routing(
        (rows if mode % 2 else rows.flatten(0, 1)).npu(),
        *(skip.npu() for skip in skips),
        bias.npu(),
        scales.npu(),
        index.npu(),
        number.npu(),
        mode,
    )
    near_sum(found, want(reference.moe_finalize_routing, rows, skips, bias, scales, index, number, mode))


@few()
@given(
    tokens=st.integers(1, 20),
    k=st.integers(1, 6),
    dtype=st.sampled_from(FLOATS),
    has_bias=st.booleans(),
    skips=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
def test_numbering_by_column_and_by_row_give_the_same_bits(
    tokens: int, k: int, dtype: torch.dtype, has_bias: bool, skips: int, seed: int
) -> None:
    """And without skips and biases, those of unpermute. Some pairs are dropped."""
    rows, scales = noise(dtype, tokens * k, 24, seed=seed), noise(FLOAT32, tokens, k, seed=seed)
    index = permutation(seed, tokens * k).reshape(tokens, k)
    index[index % 5 == 0] = -1
    number = integers(seed, 0, 4, tokens, k)
    more = [noise(dtype, tokens, 24, seed=seed + i) for i in range(skips)]
    bias = noise(dtype, 4, 24, seed=seed) if has_bias else None
    optional = [*(skip.npu() for skip in more), *[None] * (2 - skips), None if bias is None else bias.npu()]
    found = [
        moe_finalize_routing(
            rows.npu(), *optional, scales.npu(), given_index.flatten().npu(), number.npu() if has_bias else None, mode
        ).cpu()
        for mode, given_index in ((0, index.t().contiguous()), (2, index))
    ]
    same(*found)
    near_sum(found[0], want(reference.moe_finalize_routing, rows, more, bias, scales, index.flatten(), number))
    if skips == 0 and bias is None:
        same(found[0], moe_token_unpermute(rows.npu(), index.flatten().npu(), scales.npu()).cpu())


def test_a_bias_of_no_experts() -> None:
    rows, index = noise(FLOAT32, 4, 16), torch.tensor([3, 0, 2, 1], dtype=torch.int32)
    experts = torch.zeros(2, 2, dtype=torch.int32)
    found = moe_finalize_routing(rows.npu(), None, None, rows[:0].npu(), None, index.npu(), experts.npu(), 2, 2)
    near_sum(found, want(reference.moe_finalize_routing, rows, [], rows[:0], torch.ones(2, 2), index, experts))


def test_rows_alone() -> None:
    rows, index = noise(FLOAT32, 8, 16), torch.tensor([7, 0, 3, -1, 2, 5], dtype=torch.int32)
    found = moe_finalize_routing(rows.npu(), None, None, None, None, index.npu(), None, 0, 2)
    near_sum(found, want(reference.moe_finalize_routing, rows, [], None, torch.ones(3, 2), index, None, 0))


def test_no_rows_launch_nothing() -> None:
    none, no_pairs, no_weights = zeros(0, 32, dtype=torch.float16), zeros(0, dtype=torch.int32), zeros(0, 2)
    with launches(0):
        assert moe_token_unpermute(none, no_pairs, no_weights).shape == (0, 32)
        assert moe_finalize_routing(none, None, None, None, no_weights, no_pairs, None, 2).shape == (0, 32)


VARIANTS: list[tuple[Callable[..., Any], Callable[[], Arguments]]] = [
    (moe_finalize_routing, legal),
    (
        moe_finalize_routing,
        lambda: legal(
            expanded_permuted_rows=noise(FLOAT32, 10, 32).npu(),
            skip1=noise(FLOAT32, 5, 32).npu(),
            bias=noise(FLOAT32, 8, 32).npu(),
            scales=noise(FLOAT32, 5, 2).npu(),
            expanded_src_to_dst_row=torch.arange(10).int().npu(),
            export_for_source_row=integers(2, 0, 8, 5, 2).npu(),
            drop_pad_mode=2,
        ),
    ),
    (moe_token_unpermute, legal_unpermute),
    (moe_token_unpermute, lambda: legal_unpermute(probs=noise(FLOAT32, 5, 2).npu())),
]


@pytest.mark.parametrize("utility", CHECKS)
@pytest.mark.parametrize(("function", "make"), VARIANTS)
def test_schema_and_fake(function: Callable[..., Any], make: Callable[[], Arguments], utility: str) -> None:
    check_declaration(function, utility, make())


@pytest.mark.parametrize(("function", "make"), VARIANTS)
def test_one_launch(function: Callable[..., Any], make: Callable[[], Arguments]) -> None:
    arguments = make()
    with launches(1):
        function(**arguments)


@pytest.mark.parametrize("place", [0, 7, -1])
def test_one_launch_whatever_the_contents(place: int) -> None:
    rows, places = noise(FLOAT32, 300, 16).npu(), torch.full((300,), place, dtype=torch.int32).npu()
    with launches(2):
        moe_token_unpermute(rows, places)
        moe_finalize_routing(rows, None, None, None, None, places)

"""moe_init_routing, moe_init_routing_v2 and moe_token_permute: rows of tokens in the order of their experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, FLOATS, Arguments, check_declaration, few, integers, launches, noise, refused, same, want, zeros

from vllm_cann.ops.moe_gating_top_k import moe_gating_top_k_softmax
from vllm_cann.ops.moe_init_routing import moe_init_routing, moe_init_routing_v2, moe_token_permute

FLOAT32 = torch.float32


def rows_and_experts(tokens: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    return noise(torch.float16, tokens, 32).npu(), integers(2, 0, 8, tokens, 2).npu()


def legal(**changes: Any) -> Arguments:
    x, experts = rows_and_experts()
    numbers = torch.arange(10).int().reshape(2, 5).t().contiguous().npu()
    return {"x": x, "row_idx": numbers, "expert_idx": experts, "active_num": 3} | changes


def legal_v2(**changes: Any) -> Arguments:
    x, experts = rows_and_experts()
    return {"x": x, "expert_idx": experts, "expert_num": 8} | changes


def legal_permute(**changes: Any) -> Arguments:
    x, experts = rows_and_experts()
    return {"tokens": x, "indices": experts} | changes


@few()
@given(tokens=st.integers(1, 40), k=st.integers(1, 4), first=st.integers(0, 4), number=st.integers(0, 9), seed=st.integers(0, 1000))
def test_a_stable_sort_and_the_counts_of_experts(tokens: int, k: int, first: int, number: int, seed: int) -> None:
    x, idx = noise(FLOAT32, tokens, 24, seed=seed), integers(seed, -2, 12, tokens, k)
    rows, places, counts = want(reference.moe_init_routing_v2, x, idx, first, first + number)
    keywords = {"expert_tokens_num_flag": True, "active_expert_range": [first, first + number]}
    out, found, found_counts, _ = moe_init_routing_v2(x.npu(), idx.npu(), expert_tokens_num_type=1, **keywords)
    same(found, places)
    same(out[: len(rows)], rows)  # rows behind them are not written
    same(found_counts, counts)
    _, found, sums, _ = moe_init_routing_v2(x.npu(), idx.npu(), expert_tokens_num_type=0, row_idx_type=1, **keywords)
    order, _ = want(reference.sorted_pairs, idx, first, first + number)
    same(found[: len(order)], order)
    assert bool((found.cpu()[len(order) :] == -1).all())
    same(sums, counts.cumsum(0))


@few()
@given(tokens=st.integers(1, 40), k=st.integers(1, 4), experts=st.integers(1, 12), seed=st.integers(0, 1000))
def test_a_permutation_has_every_pair(tokens: int, k: int, experts: int, seed: int) -> None:
    x = noise(torch.float16, tokens, 16, seed=seed)
    idx = integers(seed, 0, experts, tokens, k)
    out, places = moe_token_permute(x.npu(), idx.npu(), num_experts=experts)
    same(places.cpu().sort().values, torch.arange(tokens * k))
    same(out.cpu()[places.cpu().long()], x.repeat_interleave(k, 0))


def test_a_permutation_takes_slices_and_one_dimension() -> None:
    x, idx = noise(FLOAT32, 6, 16), torch.tensor([3, 1, 2, 0, 3, 1])
    for number, rest in ((None, 6), (0, 6), (4, 4), (-2, 4), (9, 6), (-9, 0)):
        out, places = moe_token_permute(x.npu(), idx.npu(), number)
        rows, want_places = want(reference.moe_token_permute, x, idx, number)
        assert len(rows) == rest
        same(out, rows)
        same(places, want_places)


@few()
@given(tokens=st.integers(1, 30), k=st.integers(1, 4), active=st.integers(1, 40), seed=st.integers(0, 1000))
def test_row_numbers_of_the_gate(tokens: int, k: int, active: int, seed: int) -> None:
    x, logits = noise(FLOAT32, tokens, 20, seed=seed), noise(FLOAT32, tokens, 12, seed=seed)
    _, idx, numbers = moe_gating_top_k_softmax(logits.npu(), None, k)
    found = moe_init_routing(x.npu(), numbers, idx, active)
    for one, expected in zip(found, want(reference.moe_init_routing, x, numbers, idx, active), strict=True):
        same(one, expected)


def test_a_capacity_drops_pairs_and_pads_with_zeros() -> None:
    x = noise(FLOAT32, 5, 8) + 10
    idx = torch.tensor([[0], [2], [0], [0], [1]], dtype=torch.int32)
    out, places, counts, _ = moe_init_routing_v2(
        x.npu(), idx.npu(), expert_num=3, expert_capacity=2, drop_pad_mode=1, expert_tokens_num_type=1, expert_tokens_num_flag=True
    )
    assert places.cpu().tolist() == [0, 4, 1, -1, 2]
    assert counts.cpu().tolist() == [3, 1, 1]
    rows, want_places, want_counts = want(reference.moe_init_routing_v2, x, idx, 0, 3, capacity=2)
    same(out, rows)
    same(places, want_places)
    same(counts, want_counts)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_quantisation(dtype: torch.dtype) -> None:
    """Half a step for rounding to an integer, and float32's roundings of numbers below 128: 127 * 10 * 2^-24 < 0.0001."""
    x, smooth = noise(dtype, 9, 40), noise(FLOAT32, 4, 40).abs() + 0.5
    idx = integers(1, 0, 4, 9, 2)
    rows, _, _ = want(reference.moe_init_routing_v2, x, idx, 0, 4)
    out, _, _, scale = moe_init_routing_v2(x.npu(), idx.npu(), expert_num=4, quant_mode=1, scale=smooth.npu())
    smoothed = rows * smooth.double()[idx.flatten().sort(stable=True).values.long()]
    steps = smoothed.abs().amax(-1, keepdim=True) / 127
    torch.testing.assert_close(scale.cpu().double(), steps[:, 0], rtol=1e-6, atol=0)
    assert bool(((out.cpu().double() - smoothed / steps).abs() <= 0.5001).all())
    out, _, _, _ = moe_init_routing_v2(
        x.npu(), idx.npu(), expert_num=4, quant_mode=0, scale=torch.tensor([40.0]).npu(), offset=torch.tensor([3.0]).npu()
    )
    assert bool(((out.cpu().double() - (rows * 40 + 3).clamp(-128, 127)).abs() <= 0.5001).all())


def test_no_rows_launch_nothing() -> None:
    none, no_pairs = zeros(0, 32, dtype=torch.float16), zeros(0, 2, dtype=torch.int32)
    with launches(0):
        assert moe_init_routing_v2(none, no_pairs, expert_num=8)[0].shape == (0, 32)
        assert moe_init_routing(none, no_pairs, no_pairs, 3)[0].shape == (0, 32)
        assert moe_token_permute(none, no_pairs)[0].shape == (0, 32)


VARIANTS: list[tuple[Callable[..., Any], Callable[[], Arguments]]] = [
    (moe_init_routing, legal),
    (moe_init_routing_v2, lambda: legal_v2(expert_tokens_num_flag=True, scale=noise(FLOAT32, 5).npu())),
    (moe_init_routing_v2, lambda: legal_v2(quant_mode=1, expert_tokens_num_flag=True, expert_tokens_num_type=2)),
    (moe_init_routing_v2, lambda: legal_v2(drop_pad_mode=1, expert_capacity=2)),
    (moe_token_permute, legal_permute),
    (moe_token_permute, lambda: legal_permute(indices=integers(2, 0, 8, 5).npu(), num_out_tokens=3)),
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


@pytest.mark.parametrize("expert", [0, 7, -1])
@pytest.mark.parametrize("function", [moe_init_routing, moe_init_routing_v2, moe_token_permute])
def test_one_launch_whatever_the_contents(function: Callable[..., Any], expert: int) -> None:
    """All pairs have one expert, or none is kept."""
    x, pairs = noise(FLOAT32, 300, 16).npu(), torch.full((300, 4), expert, dtype=torch.int32).npu()
    arguments = {
        moe_init_routing: legal(x=x, row_idx=torch.arange(1200).int().reshape(4, 300).t().contiguous().npu(), expert_idx=pairs),
        moe_init_routing_v2: legal_v2(x=x, expert_idx=pairs),
        moe_token_permute: legal_permute(tokens=x, indices=pairs, num_experts=8),
    }[function]
    with launches(1):
        function(**arguments)


def test_refused_before_a_launch() -> None:
    sentence = "offset is given with quant_mode -1; it belongs to static quantisation (quant_mode 0)"
    refused(moe_init_routing_v2, legal_v2(offset=zeros(1)), sentence)
    refused(moe_init_routing_v2, legal_v2(expert_num=10**9), "the range of experts has 1000000000; it can have 0 to 10240")
    refused(moe_init_routing_v2, legal_v2(drop_pad_mode=1, expert_capacity=2**40), "; the limit is 16777216")
    refused(moe_init_routing_v2, legal_v2(expert_tokens_num_type=3), "expert_tokens_num_type is 3; it can be 0, 1 or 2")
    refused(moe_init_routing_v2, legal_v2(expert_idx=zeros(5, dtype=torch.int32)), "expert_idx (5,); both must have 2 dimensions")

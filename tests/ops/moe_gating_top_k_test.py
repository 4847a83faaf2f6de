"""moe_gating_top_k and moe_gating_top_k_softmax: the experts of each token, and their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, FLOATS, Arguments, check_declaration, few, integers, launches, near, noise, refusals, refused, same, want, zeros

from vllm_cann.ops.moe_gating_top_k import moe_gating_top_k, moe_gating_top_k_softmax

FLOAT16 = torch.float16
BOTH = [moe_gating_top_k, moe_gating_top_k_softmax]

# What a weight may be wrong by is derived in moe_gating_top_k_test.cc, in units of 2^-24 of it. A sigmoid: 4 units. A softmax: 2 for each
# unit of the range of logits and 4 for the exponentials, experts / 64 + 7 for their sum, 1 for the quotient. A sum of k weights, and the
# quotient by it: those of a weight, and k / 64 + 9. A factor: 1.
UNIT = 2**-24
SIGMOID = 4


def softmax_units(x: torch.Tensor) -> float:
    return 2 * (float((x.amax(-1) - x.amin(-1)).max()) + 2) + x.shape[-1] / 64 + 8


def legal(**changes: Any) -> Arguments:
    return {"x": noise(FLOAT16, 5, 32).npu(), "k": 4} | changes


def unfinished(rows: int = 5) -> torch.Tensor:
    return zeros(rows, dtype=torch.bool)


@pytest.mark.parametrize("is_finished", [False, True])
def test_logits_of_one_token(is_finished: bool) -> None:
    x, finished = noise(FLOAT16, 32).npu(), torch.tensor(is_finished).npu()
    y, experts, _ = moe_gating_top_k(x, 4, finished=finished)
    want_y, want_experts, _ = moe_gating_top_k(x.unsqueeze(0), 4, finished=finished.view(1))
    same(y, want_y[0].cpu())
    same(experts, want_experts[0].cpu())
    assert experts.eq(32).all().item() is is_finished


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_router_of_deepseek(dtype: torch.dtype) -> None:
    """Sigmoids; groups by their two best experts, with a bias that chooses and does not weigh."""
    x = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(i)) for i in range(21)]).sub(32).div(8).to(dtype)
    bias = noise(dtype, 64).abs()
    options = {"k_group": 3, "group_count": 8, "group_select_mode": 1, "norm_type": 1, "routed_scaling_factor": 2.5}
    y, found, scores = moe_gating_top_k(x.npu(), 6, bias=bias.npu(), out_flag=True, **options)
    want_y, want_experts, want_scores = want(reference.moe_gating_top_k, x, 6, bias=bias, **options)
    same(found, want_experts.int())
    near(y, want_y, (2 * SIGMOID + 10) * UNIT * want_y)
    assert scores.dtype == torch.float32
    near(scores, want_scores, SIGMOID * UNIT * want_scores)


@pytest.mark.parametrize("renorm", [0, 1])
def test_softmax_gives_experts_weights_and_numbers(renorm: int) -> None:
    x = noise(torch.float32, 3, 5, 60)
    finished = torch.tensor([[False, True, False, False, True]] * 3)
    y, experts, numbers = moe_gating_top_k_softmax(x.npu(), finished.npu(), 4, renorm)
    want_y, want_experts, want_numbers = want(reference.moe_gating_top_k_softmax, x, finished, 4, renorm)
    same(experts, want_experts.int())
    near(y, want_y, (softmax_units(x) * (1 + renorm) + 9) * UNIT * want_y)
    same(numbers, want_numbers.int())


@few()
@given(rows=st.integers(1, 5), experts=st.integers(1, 90), seed=st.integers(0, 1000))
def test_softmax_weights_of_all_experts_sum_to_one(rows: int, experts: int, seed: int) -> None:
    y, idx, _ = moe_gating_top_k(noise(torch.float32, rows, experts, seed=seed).npu(), experts)
    torch.testing.assert_close(y.cpu().sum(-1), torch.ones(rows), rtol=1e-6, atol=0)
    same(idx.cpu().sort(-1).values, torch.arange(experts).expand(rows, experts))
    assert bool((y.cpu().diff(dim=-1) <= 0).all())


@few()
@given(
    rows=st.integers(1, 6),
    groups=st.sampled_from([1, 2, 4, 8]),
    size=st.sampled_from([3, 8, 33]),
    kept=st.integers(1, 8),
    k=st.integers(1, 8),
    norm_type=st.integers(0, 1),
    seed=st.integers(0, 1000),
)
def test_ties_go_to_the_lower_number(rows: int, groups: int, size: int, kept: int, k: int, norm_type: int, seed: int) -> None:
    """Seven different logits, of which scores are increasing functions, so all steps have ties. Groups by their largest score."""
    kept = min(kept, groups)
    k = min(k, kept * size)
    x = integers(seed, -3, 4, rows, groups * size).float() / 2
    options = {"k_group": kept, "group_count": groups, "norm_type": norm_type, "renorm": 1, "routed_scaling_factor": 2.0}
    y, idx, _ = moe_gating_top_k(x.npu(), k, **options)
    same(idx, want(reference.moe_gating_top_k, x, k, **options)[1])
    assert bool((y.cpu().diff(dim=-1) <= 0).all())
    torch.testing.assert_close(y.cpu().sum(-1), torch.full((rows,), 2.0), rtol=1e-6, atol=0)


def test_no_rows_launch_nothing() -> None:
    none = zeros(0, 32, dtype=FLOAT16)
    with launches(0):
        y, idx, scores = moe_gating_top_k(none, 3, out_flag=True)
        of_softmax = moe_gating_top_k_softmax(none, None, 3)
    assert (y.shape, idx.shape, scores.shape) == ((0, 3), (0, 3), (0, 32))
    assert [t.shape for t in of_softmax] == [(0, 3)] * 3


VARIANTS: list[tuple[Callable[..., Any], Callable[[], Arguments]]] = [
    (moe_gating_top_k, legal),
    (
        moe_gating_top_k,
        lambda: legal(bias=noise(FLOAT16, 32).npu(), group_count=4, k_group=2, out_flag=True, finished=unfinished()),
    ),
    (moe_gating_top_k_softmax, legal),
    (moe_gating_top_k_softmax, lambda: legal(finished=unfinished())),
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


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_one_launch_whatever_the_contents(value: float, function: Callable[..., Any]) -> None:
    groups = {"group_count": 4, "k_group": 2, "group_select_mode": 1, "norm_type": 1} if function is moe_gating_top_k else {}
    arguments = legal(x=torch.full((300, 16), value).npu(), finished=torch.full((300,), value == 0).npu(), **groups)
    with launches(1):
        function(**arguments)


@refusals(
    (lambda: legal(x=zeros(32, 5).t()), "x has stride 5 in dimension 1; it has to be contiguous"),
    (lambda: legal(x=zeros(5, 32, dtype=torch.int32)), "x is int32; it can be float16, bfloat16 or float32"),
    (lambda: legal(k=0), "k is 0; it can be 1 to the 32 experts of 1 groups (k_group)"),
    (lambda: legal(k=33), "k is 33; it can be 1 to the 32 experts of 1 groups"),
    (lambda: legal(bias=zeros(8, dtype=FLOAT16)), "bias has 8 in dimension 0, x has experts: 32"),
    (lambda: legal(bias=torch.zeros(32, dtype=FLOAT16)), "bias is on cpu; all tensors must be on one NPU"),
    (lambda: legal(finished=zeros(5, dtype=FLOAT16)), "finished is float16, not bool"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(moe_gating_top_k, change(), sentence)

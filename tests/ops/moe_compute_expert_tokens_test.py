"""moe_compute_expert_tokens: how many entries of a sorted list belong to each expert or one before it."""

from __future__ import annotations

from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, Arguments, check_declaration, few, integers, launches, refusals, refused, same, want, zeros

from vllm_cann.ops.moe_compute_expert_tokens import moe_compute_expert_tokens


def legal(**changes: Any) -> Arguments:
    return {"sorted_experts": torch.arange(5).int().npu(), "num_expert": 4} | changes


@few()
@given(entries=st.integers(0, 60), experts=st.integers(1, 30), seed=st.integers(0, 99))
def test_running_sums(entries: int, experts: int, seed: int) -> None:
    numbers = integers(seed, 0, experts, entries).sort().values
    same(moe_compute_expert_tokens(numbers.npu(), experts), want(reference.moe_compute_expert_tokens, numbers, experts))


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(moe_compute_expert_tokens, utility, legal())


@pytest.mark.parametrize("expert", [0, 7, -1])
def test_one_launch_whatever_the_contents(expert: int) -> None:
    arguments = legal(sorted_experts=torch.full((300,), expert, dtype=torch.int32).npu())
    with launches(1):
        moe_compute_expert_tokens(**arguments)


@refusals(
    (lambda: legal(sorted_experts=zeros(5)), "sorted_experts is float32, not int32"),
    (lambda: legal(sorted_experts=torch.zeros(5).int()), "sorted_experts is on cpu; all tensors must be on one NPU"),
)
def test_refused_before_a_launch(change: Any, sentence: str) -> None:
    refused(moe_compute_expert_tokens, change(), sentence)

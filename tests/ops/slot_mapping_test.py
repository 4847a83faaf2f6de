"""slot_mapping: where in the cache a step's tokens go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, Arguments, check_declaration, few, integers, launches, refusals, refused, same, want, zeros

from vllm_cann.ops.slot_mapping import slot_mapping


def legal(**changes: Any) -> Arguments:
    return {
        "query_start_loc": torch.tensor([0, 2, 3], dtype=torch.int32).npu(),
        "positions": torch.arange(3).npu(),
        "block_table": zeros(2, 3, dtype=torch.int32),
        "slots": zeros(5, dtype=torch.int64),
        "num_tokens": 3,
        "block_size": 16,
    } | changes


def starts_of(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)


@few(12)
@given(
    lengths=st.lists(st.integers(0, 70), max_size=5),
    block=st.sampled_from([16, 48, 128]),
    world=st.integers(1, 4),
    more=st.integers(0, 40),
    seed=st.integers(0, 1000),
)
def test_every_token_has_a_slot_on_one_rank(lengths: list[int], block: int, world: int, more: int, seed: int) -> None:
    width, tokens = 12, sum(lengths)
    starts, table = starts_of(lengths), integers(seed, 0, 1000, len(lengths), width)
    positions = integers(seed + 1, 0, width * block, tokens).long()
    found = []
    for rank in range(world):
        slots = zeros(tokens + more, dtype=torch.int64)
        slot_mapping(starts.npu(), positions.npu(), table.npu(), slots, tokens, block, world, rank, 8, -1)
        same(slots, want(reference.slot_mapping, starts, positions, table, tokens + more, block, world, rank, 8))
        found.append(slots.cpu())
    of_ranks = torch.stack(found)
    assert (of_ranks[:, tokens:] == -1).all()
    assert ((of_ranks[:, :tokens] >= 0).sum(0) == 1).all()


@few(12)
@given(
    lengths=st.lists(st.integers(0, 70), min_size=1, max_size=5),
    block=st.sampled_from([16, 48]),
    first=st.integers(-40, 400),
    seed=st.integers(0, 99),
)
def test_circular_blocks_are_gone_round(lengths: list[int], block: int, first: int, seed: int) -> None:
    """Each request has one block, in which a token takes the place of the one that is a block's length before it."""
    tokens, starts = sum(lengths), starts_of(lengths)
    positions = torch.cat([torch.arange(first, first + n) for n in lengths])
    table = torch.randperm(50, generator=torch.Generator().manual_seed(seed))[: len(lengths)].int()[:, None]
    slots = zeros(tokens + 3, dtype=torch.int64)
    torch.ops.vllm_cann.slot_mapping(starts.npu(), positions.npu(), table.npu(), slots, tokens, block, is_circular=True)
    same(slots, want(reference.slot_mapping, starts, positions, table, tokens + 3, block, is_circular=True))


def test_no_slots_launch_nothing() -> None:
    none = zeros(0, dtype=torch.int32)
    arguments = legal(
        query_start_loc=zeros(1, dtype=torch.int32), positions=none, block_table=none.view(0, 3), slots=none.clone(), num_tokens=0
    )
    with launches(0):
        slot_mapping(**arguments)


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(slot_mapping, utility, legal())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[("positions", positions) for positions in ([0, 1, 2], [47, 0, 20])],
        *[("query_start_loc", starts) for starts in ([0, 2, 3], [0, 0, 0], [0, 3, 3])],
    ],
)
def test_one_launch_whatever_the_contents(name: str, content: list[int]) -> None:
    arguments = legal(**{name: torch.tensor(content).to(legal()[name].dtype).npu()})
    with launches(1):
        slot_mapping(**arguments)


@refusals(
    (lambda: legal(num_tokens=6), "slot_mapping: the number of tokens is 6; the limits are 0 and 3"),
    (lambda: legal(query_start_loc=zeros(3)), "query_start_loc is float32, not int32"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(slot_mapping, change(), sentence)

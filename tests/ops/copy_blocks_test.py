"""copy_blocks: blocks of all caches, copied by one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, Arguments, check_declaration, few, launches, noise, on_another_device, refusals, refused, same, want, zeros

from vllm_cann.ops.copy_blocks import copy_blocks


def legal(**changes: Any) -> Arguments:
    caches = [noise(torch.float16, 4, 16, 1, 8).npu() for _ in range(2)]
    return {"caches": caches, "mapping": torch.tensor([[0, 1]]).npu()} | changes


def test_all_caches_in_one_launch() -> None:
    caches = [noise(torch.bfloat16, 6, 16, 2, size, seed=size) for size in (64, 64, 8, 576)]
    on_device = [c.npu() for c in caches]
    mapping = torch.tensor([[0, 5], [3, 1], [0, 4]])
    with launches(1, copy=1):  # of the mapping
        torch.ops.vllm_cann.copy_blocks(on_device, mapping)
    for found, held in zip(on_device, caches, strict=True):
        same(found, want(reference.copy_blocks, held, mapping))
    copy_blocks(on_device, torch.tensor([[2, 0]]).npu())
    same(on_device[0][0], caches[0][2])


@few(12)
@given(blocks=st.integers(2, 9), copies=st.integers(0, 8), size=st.sampled_from([1, 8, 33]), seed=st.integers(0, 1000))
def test_copies_change_their_destinations_only(blocks: int, copies: int, size: int, seed: int) -> None:
    order = torch.randperm(blocks, generator=torch.Generator().manual_seed(seed))
    targets = order[: min(copies, blocks - 1)]
    sources = order[len(targets) :].repeat(blocks)[: len(targets)]
    mapping = torch.stack([sources, targets], 1)
    held = [noise(torch.int8, blocks, 16, 1, size, seed=seed + i) for i in range(3)]
    on_device = [h.npu() for h in held]
    copy_blocks(on_device, mapping)
    for found, before in zip(on_device, held, strict=True):
        same(found, want(reference.copy_blocks, before, mapping))


def test_no_caches_and_no_pairs_launch_nothing() -> None:
    arguments, no_pairs = legal(), torch.zeros(0, 2, dtype=torch.int64)
    copy_blocks(**arguments)  # the table of addresses is made once
    with launches(0):
        copy_blocks(arguments["caches"], no_pairs)
        copy_blocks([], no_pairs)


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(copy_blocks, utility, legal())


@pytest.mark.parametrize("pair", [[0, 1], [3, 2]], ids=str)
def test_one_launch_whatever_the_contents(pair: list[int]) -> None:
    arguments = legal(mapping=torch.tensor([pair]).npu())
    copy_blocks(**arguments)  # the table of addresses is made once
    with launches(1):
        copy_blocks(**arguments)


def test_another_device_than_the_current_one_is_refused() -> None:
    on_another_device(copy_blocks, legal())


@refusals(
    (lambda: legal(mapping=torch.tensor([[0, 4]])), "mapping names block 4; there are 4"),
    (lambda: legal(mapping=torch.tensor([[0, 1], [1, 2]])), "mapping has a destination that is another pair's"),
    (lambda: legal(mapping=torch.tensor([0, 1])), "mapping is torch.int64 (2,); it must be int64 with 2 dimensions"),
    (lambda: legal(mapping=zeros(2, 3, dtype=torch.int64)), "mapping has the shape (2, 3); it must be [pairs, 2]"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(copy_blocks, change(), sentence)

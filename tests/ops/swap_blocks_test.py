"""swap_blocks: copies between devices and host memory, without a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, Arguments, check_declaration, few, launches, noise, on_another_device, refusals, refused, same, want, zeros

from vllm_cann.ops.swap_blocks import swap_blocks


def legal(**changes: Any) -> Arguments:
    src, dst = noise(torch.float16, 4, 16, 1, 8).npu(), noise(torch.float16, 5, 16, 1, 8).npu()
    return {"src": src, "dst": dst, "mapping": torch.tensor([[0, 1]])} | changes


def test_a_mapping_of_any_strides() -> None:
    arguments = legal(mapping=torch.tensor([[0, 2], [1, 3]]).t())
    src, dst = arguments["src"].cpu(), arguments["dst"].cpu()
    swap_blocks(**arguments)
    same(arguments["dst"], want(reference.swap_blocks, src, dst, torch.tensor([[0, 1], [2, 3]])))


@pytest.mark.parametrize(("source", "target"), [("cpu", "npu"), ("npu", "cpu"), ("npu", "npu")])
def test_pairs_are_copied_in_their_order(source: str, target: str) -> None:
    """Blocks that are neighbours in both are one copy. Two pairs with one destination: the last one stays."""
    src, dst = noise(torch.float16, 6, 16, 2, 8), noise(torch.float16, 9, 16, 2, 8, seed=1)
    mapping = torch.tensor([[0, 8], [2, 3], [3, 4], [4, 5], [1, 0], [5, 8]])
    given_src, found = src.to(source), dst.to(target)
    with launches(0, copy=4):
        torch.ops.vllm_cann.swap_blocks(given_src, found, mapping)
    same(found, want(reference.swap_blocks, src, dst, mapping))


def test_within_a_cache_they_are_in_order() -> None:
    held = noise(torch.float16, 5, 16, 1, 8)
    found = held.npu()
    swap_blocks(found, found, torch.tensor([[0, 1], [1, 2], [2, 3]]))
    same(found, held[[0, 0, 0, 0, 4]])


@few(12)
@given(blocks=st.integers(1, 9), gap=st.integers(0, 5), seed=st.integers(0, 1000))
def test_blocks_that_are_swapped_out_come_back(blocks: int, gap: int, seed: int) -> None:
    """To any places of the host's cache, and from there to where they were; caches with other data between blocks."""
    generator = torch.Generator().manual_seed(seed)
    host, before = torch.full((blocks, 40 + gap), 7.0), noise(torch.float32, blocks, 40 + gap, seed=seed)
    device = before.npu()
    pairs = torch.stack([torch.randperm(blocks, generator=generator) for _ in range(2)], 1)[: blocks // 2 + 1]
    swap_blocks(device[:, :40], host[:, :40], pairs)
    torch.npu.synchronize()
    expected = torch.full_like(host, 7.0)
    expected[:, :40] = want(reference.swap_blocks, before[:, :40], expected[:, :40], pairs)
    same(host, expected)
    device.zero_()
    swap_blocks(host[:, :40], device[:, :40], pairs.flip(1))
    expected = torch.zeros_like(before)
    expected[pairs[:, 0], :40] = before[pairs[:, 0], :40]
    same(device, expected)


@pytest.mark.parametrize("wrong", [[[0, 6]], [[6, 0]], [[0, 1], [-1, 0]], [[0, 1], [2, -1]]])
def test_the_block_behind_the_last_is_refused(wrong: list[list[int]]) -> None:
    held, other = noise(torch.float16, 6, 16, 2, 8).npu(), torch.zeros(6, 16, 2, 8, dtype=torch.float16)
    with launches(0), pytest.raises(ValueError, match=r"swap_blocks: pair \d names block -?\d of the (src|dst), which has 6"):
        swap_blocks(held, other, torch.tensor(wrong))
    assert not other.any()  # not even the pairs before


def test_no_pairs_copy_nothing() -> None:
    held, no_pairs = noise(torch.float16, 4, 16, 2, 16).npu(), torch.zeros(0, 2, dtype=torch.int64)
    on_host = held.cpu()
    with launches(0):
        swap_blocks(held, on_host, no_pairs)


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(swap_blocks, utility, legal())


def test_another_device_than_the_current_one_is_refused() -> None:
    on_another_device(swap_blocks, legal(src=zeros(2, 1), dst=torch.zeros(2, 1)))


@refusals(
    (lambda: legal(src=torch.zeros(2, 1), dst=torch.zeros(2, 1)), "no tensor is on an NPU"),
    (lambda: legal(src=zeros(2, 1), dst=torch.zeros(2, 2)), "their blocks have to be alike"),
)
def test_refused_before_a_copy(change: Callable[[], Arguments], sentence: str) -> None:
    refused(swap_blocks, change(), sentence)


def test_tensors_on_the_host_alone_are_refused_through_torch() -> None:
    with pytest.raises(ValueError, match="no tensor is on an NPU"):
        torch.ops.vllm_cann.swap_blocks(torch.zeros(2), torch.zeros(2), torch.zeros(1, 2).long())

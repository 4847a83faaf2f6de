"""reshape_and_cache: bytes are copied, so results are exact, and slots that no token names keep what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from shared import (
    CHECKS,
    DTYPES,
    INDICES,
    LAYOUTS,
    Arguments,
    calls,
    check_declaration,
    laid_out,
    launches,
    noise,
    refusals,
    refused,
    same,
    want,
    zeros,
)

from vllm_cann.ops.reshape_and_cache import reshape_and_cache


def legal(**changes: Any) -> Arguments:
    return {
        "key": zeros(5, 2, 32),
        "value": zeros(5, 2, 16),
        "key_cache": zeros(3, 8, 2, 32),
        "value_cache": zeros(3, 8, 2, 16),
        "slot_mapping": torch.arange(5).npu(),
    } | changes


@pytest.mark.parametrize("call", calls(reshape_and_cache))
@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_are_in_their_slots(dtype: torch.dtype, index: torch.dtype, call: Callable[..., None]) -> None:
    tokens, heads, key_size, value_size, blocks, block = 37, 3, 40, 24, 6, 16
    key, value = noise(dtype, tokens, heads, key_size), noise(dtype, tokens, heads, value_size)
    caches = [noise(dtype, blocks, block, heads, size) for size in (key_size, value_size)]
    slots = torch.randperm(blocks * block, generator=torch.Generator().manual_seed(1))[:tokens]
    slots[[0, 5, 36]] = torch.tensor([-1, -7, -1])
    slots = slots.to(index)
    on_device = [cache.npu() for cache in caches]
    call(key.npu(), value.npu(), *on_device, slots.npu())
    for found, cache, rows in zip(on_device, caches, (key, value), strict=True):
        same(found, want(reference.reshape_and_cache, cache, rows, slots))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout: str, dtype: torch.dtype) -> None:
    tokens, heads, key_size, value_size, blocks, block = 29, 4, 64, 32, 5, 16
    key, value = noise(dtype, tokens, heads, key_size), noise(dtype, tokens, heads, value_size, seed=1)
    slots = torch.randperm(blocks * block, generator=torch.Generator().manual_seed(1))[:tokens]
    slots[[0, 7, 28]] = torch.tensor([-1, blocks * block, -5])
    caches = [noise(dtype, blocks, block, heads, size) for size in (key_size, value_size)]
    on_device = [laid_out(c, layout).npu() for c in caches]
    torch.ops.vllm_cann.reshape_and_cache(key.npu(), value.npu(), *on_device, slots.npu(), layout)
    for found, before, rows in zip(on_device, caches, (key, value), strict=True):
        same(found, laid_out(want(reference.reshape_and_cache, before, rows, slots).to(dtype), layout))


@pytest.mark.parametrize("slots", [0, 3, 5, 9])
def test_rows_without_a_slot_are_padding_and_slots_without_a_row(slots: int) -> None:
    key, value = noise(torch.float16, 5, 2, 32), noise(torch.float16, 5, 2, 32, seed=1)
    caches = [noise(torch.float16, 2, 16, 2, 32, seed=2 + i) for i in range(2)]
    on_device = [cache.npu() for cache in caches]
    places = torch.arange(slots) * 3
    torch.ops.vllm_cann.reshape_and_cache(key.npu(), value.npu(), *on_device, places.npu())
    for found, before, rows in zip(on_device, caches, (key, value), strict=True):
        same(found, want(reference.reshape_and_cache, before, rows, places))


def test_keys_alone() -> None:
    key, slots = noise(torch.bfloat16, 5, 1, 576), torch.tensor([3, -1, 0, 31, 7])
    held = torch.zeros(2, 16, 1, 576, dtype=torch.bfloat16)
    found = held.npu()
    torch.ops.vllm_cann.reshape_and_cache(key.npu(), None, found, None, slots.npu())
    same(found, want(reference.reshape_and_cache, held, key, slots))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_views_of_a_projection_and_of_one_cache(dtype: torch.dtype) -> None:
    """What a model passes: slices of a fused projection, and the halves of one cache with holes between its blocks."""
    tokens, heads, size, blocks, block = 21, 2, 32, 4, 8
    qkv = noise(dtype, tokens, 5 * heads * size)
    cache = noise(dtype, blocks, 2, block, heads, size)
    slots = torch.arange(3, 3 + tokens + 4)  # more slots than tokens: padding, not read
    device = qkv.npu()
    key, value = (device[:, at * heads * size : (at + 1) * heads * size].unflatten(1, (heads, size)) for at in (3, 4))
    assert not key.is_contiguous()
    on_device = cache.npu()
    reshape_and_cache(key, value, on_device[:, 0], on_device[:, 1], slots.npu())
    halves = [want(reference.reshape_and_cache, cache[:, half], rows, slots) for half, rows in enumerate((key, value))]
    same(on_device, torch.stack(halves, 1))


def test_no_tokens_launch_nothing() -> None:
    none, cache = zeros(0, 2, 32), noise(torch.float32, 2, 4, 2, 32).npu()
    held, no_slots = cache.cpu(), torch.empty(0, dtype=torch.int64, device="npu")
    with launches(0):
        reshape_and_cache(none, none, cache, cache, no_slots)
    same(cache, held)


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(reshape_and_cache, utility, legal())


@pytest.mark.parametrize("slots", [[0, 1, 2, 3, 4], [23, 0, 16, 9, 1], [-1] * 5, [24] * 5], ids=str)
def test_one_launch_whatever_the_contents(slots: list[int]) -> None:
    arguments = legal(slot_mapping=torch.tensor(slots).npu())
    with launches(1):
        reshape_and_cache(**arguments)


@refusals(
    (lambda: legal(key=zeros(5, 64)), "key has 2 dimensions, not [tokens, heads, size]"),
    (lambda: legal(value_cache=zeros(3, 8, 32)), "value_cache has 3 dimensions, not four: blocks first"),
    (lambda: legal(slot_mapping=torch.arange(5)), "slot_mapping is on cpu; all tensors must be on one NPU"),
    (lambda: legal(key=torch.zeros(5, 2, 32)), "key is on cpu; all tensors must be on one NPU"),
    (lambda: legal(value=None), "value and value_cache go together"),
    (lambda: legal(value=zeros(4, 2, 16)), "value has 4 in dimension 0, key has 5"),
    (lambda: legal(layout="BNSD"), "layout is 'BNSD'; there are ND, HND, NZ"),
    (
        lambda: legal(layout="NZ"),
        "key_cache has the shape [3, 8, 2, 32]; for heads of [2, 32] it has to be [3, 8, 2, 8]",
    ),
    (
        lambda: legal(key_cache=zeros(3, 8, 2, 16)),
        "key_cache has the shape [3, 8, 2, 16]; for heads of [2, 32] it has to be [3, 8, 2, 32]",
    ),
    (lambda: legal(value_cache=zeros(3, 4, 2, 16)), "value_cache has 3 blocks of 4, key_cache has 3 of 8"),
    (lambda: legal(value=zeros(5, 2, 16, dtype=torch.float16)), "value_cache is float32, but value is float16"),
    (lambda: legal(key_cache=zeros(3, 8, 2, 32, dtype=torch.int8)), "key_cache is int8, but key is float32"),
    (lambda: legal(slot_mapping=torch.arange(10).npu()[::2]), "slot_mapping has stride 2 in dimension 0; it has to be contiguous"),
    (lambda: legal(slot_mapping=zeros(5)), "slot_mapping is float32, not int32 or int64"),
    (
        lambda: {name: tensor.to(torch.int64) for name, tensor in legal().items()},
        "key is int64; it can be float16, bfloat16, float32, int8, uint8 or int32",
    ),
    (lambda: legal(key=zeros(5, 32, 2).transpose(1, 2)), "key has strides [64, 1, 2]; the heads of a token have to be contiguous"),
    (lambda: legal(value=zeros(5, 3, 16)[:, ::2]), "value has strides [48, 32, 1]; the heads of a token have to be contiguous"),
    # Keys and values of a slot side by side: between slots there is a hole.
    (
        lambda: legal(key_cache=zeros(3, 8, 2, 2, 32)[:, :, 0]),
        "key_cache has strides [1024, 128, 32, 1]; a block has to be contiguous",
    ),
    (
        lambda: legal(value_cache=zeros(3, 2, 8, 16).transpose(1, 2)),
        "value_cache has strides [256, 16, 128, 1]; a block has to be contiguous",
    ),
    (
        lambda: legal(key_cache=zeros(1, 8, 2, 32).expand(3, 8, 2, 32)),
        "key_cache has the block stride 0, less than a block's 512 elements",
    ),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(reshape_and_cache, change(), sentence)

"""transpose_kv_cache_by_block: the heads of blocks that several ranks filled."""

from __future__ import annotations

from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, DTYPES, Arguments, check_declaration, few, launches, noise, on_another_device, refused, run, same, want

from vllm_cann.ops.transpose_kv_cache_by_block import transpose_kv_cache_by_block


def legal(**changes: Any) -> Arguments:
    return {
        "key_caches": [noise(torch.float16, 4, 16, 2, 8).npu()],
        "value_caches": [noise(torch.float16, 4, 16, 2, 8).npu()],
        "block_ids": torch.tensor([1]).npu(),
        "splits": 2,
    } | changes


@pytest.mark.parametrize("dtype", [*DTYPES, torch.uint8], ids=str)
@pytest.mark.parametrize("splits", [1, 2, 4])
def test_every_dtype(dtype: torch.dtype, splits: int) -> None:
    """Elements of 1, 2 and 4 bytes, and views with other data between the blocks."""
    layers, blocks, block, heads, size = 3, 7, 16, 4, 24
    both = [noise(torch.int8, blocks, 2, block, heads, size * dtype.itemsize, seed=i) for i in range(layers)]  # as floats some are NaN
    on_device = [b.npu() for b in both]
    ids = torch.tensor([4, 0, 6])
    keys, values = ([b.view(dtype)[:, part] for b in on_device] for part in (0, 1))
    arguments = {"key_caches": keys, "value_caches": values, "block_ids": ids.npu(), "splits": splits}
    transpose_kv_cache_by_block(keys, values, ids[:0], splits)  # the table of addresses is made once
    with launches(int(splits > 1)):
        torch.ops.vllm_cann.transpose_kv_cache_by_block(**arguments)
    for found, held in zip(on_device, both, strict=True):
        same(found, torch.stack([want(reference.transpose_kv_cache_by_block, held[:, part], ids, splits) for part in (0, 1)], 1))


@few(12)
@given(
    splits=st.integers(1, 6),
    inner=st.integers(1, 3),
    block=st.sampled_from([16, 48]),
    size=st.sampled_from([8, 24, 33]),
    dtype=st.sampled_from([torch.uint8, torch.float16, torch.int32]),
    seed=st.integers(0, 1000),
)
def test_transposing_back_restores(splits: int, inner: int, block: int, size: int, dtype: torch.dtype, seed: int) -> None:
    """The values of a block stay in it; what is [splits, block size, x] in memory is undone with both exchanged."""
    blocks, heads = 5, splits * inner
    held = noise(torch.int8, blocks, block, heads, size * dtype.itemsize, seed=seed)
    ids = torch.randperm(blocks, generator=torch.Generator().manual_seed(seed))[: 1 + seed % blocks]
    found, other = held.npu(), held.npu()
    transpose_kv_cache_by_block([found.view(dtype)], [other.view(dtype)], ids.npu(), splits)
    same(found, want(reference.transpose_kv_cache_by_block, held, ids, splits))
    same(other, found.cpu())
    same(found.cpu().flatten(1).sort().values, held.flatten(1).sort().values)
    back = [c.view(dtype).view(blocks, splits, block, inner * size) for c in (found, other)]
    transpose_kv_cache_by_block(back[:1], back[1:], ids, block)
    same(found, held)
    same(other, held)


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [([0, 7], "block_ids names block 7; there are 7"), ([-1], "block_ids names block -1"), ([2, 3, 2], "block_ids has a block twice")],
)
def test_ids_on_the_host_are_checked(ids: list[int], sentence: str) -> None:
    held = noise(torch.float16, 7, 16, 4, 8)
    keys, values = held.npu(), held.npu()
    refused(transpose_kv_cache_by_block, legal(key_caches=[keys], value_caches=[values], block_ids=torch.tensor(ids)), sentence)
    same(keys, held)


def test_a_wrong_id_on_the_device_is_an_error_of_the_device() -> None:
    out = run(
        "from vllm_cann.ops.transpose_kv_cache_by_block import transpose_kv_cache_by_block\n"
        "ops.load(device)\n"
        "held = torch.zeros(7, 16, 4, 8, dtype=torch.float16).npu()\n"
        "transpose_kv_cache_by_block([held], [held.clone()], torch.tensor([7]).npu(), 2)\n"
        "torch.npu.synchronize()\n",
        check=False,
    )
    assert "transpose_kv_cache.cpp" in out


def test_no_caches_and_no_ids_launch_nothing() -> None:
    arguments, no_ids = legal(), torch.zeros(0, dtype=torch.int64)
    transpose_kv_cache_by_block(**arguments)  # the table of addresses is made once
    with launches(0):
        transpose_kv_cache_by_block(**(arguments | {"block_ids": no_ids}))
        transpose_kv_cache_by_block([], [], no_ids, 2)


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(transpose_kv_cache_by_block, utility, legal())


@pytest.mark.parametrize("block", [0, 3])
def test_one_launch_whatever_the_contents(block: int) -> None:
    arguments = legal(block_ids=torch.tensor([block]).npu())
    transpose_kv_cache_by_block(**arguments)  # the table of addresses is made once
    with launches(1):
        transpose_kv_cache_by_block(**arguments)


def test_another_device_than_the_current_one_is_refused() -> None:
    on_another_device(transpose_kv_cache_by_block, legal())


def test_splits_that_do_not_divide_the_heads_are_refused() -> None:
    arguments = legal()
    transpose_kv_cache_by_block(**(arguments | {"splits": 1}))  # the table of addresses is made once
    sentence = "transpose_kv_cache: 2 heads cannot be divided into 3 splits"
    refused(transpose_kv_cache_by_block, arguments | {"splits": 3}, sentence)


def test_keys_without_values_are_refused() -> None:
    refused(transpose_kv_cache_by_block, legal(value_caches=[]), "there are 1 key caches and 0 value caches")

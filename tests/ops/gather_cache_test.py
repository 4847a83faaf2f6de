"""gather_cache: what reshape_and_cache put into the cache comes out again."""

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
    DTYPES,
    LAYOUTS,
    Arguments,
    check_declaration,
    few,
    laid_out,
    launches,
    noise,
    refusals,
    refused,
    same,
    want,
    zeros,
)

from vllm_cann.ops.gather_cache import gather_cache
from vllm_cann.ops.reshape_and_cache import reshape_and_cache

FLOAT16 = torch.float16


def legal(**changes: Any) -> Arguments:
    return {
        "key_cache": zeros(2, 16, 2, 16, dtype=FLOAT16),
        "value_cache": zeros(2, 16, 2, 16, dtype=FLOAT16),
        "block_table": zeros(2, 3, dtype=torch.int32),
        "seq_lens": torch.ones(2, dtype=torch.int32).npu(),
        "key": zeros(2, 2, 16, dtype=FLOAT16),
        "value": zeros(2, 2, 16, dtype=FLOAT16),
    } | changes


@few(12)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    layout=st.sampled_from(LAYOUTS),
    sums=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_what_is_scattered_is_gathered(lengths: list[int], layout: str, sums: bool, seed: int) -> None:
    """Requests write all their tokens, and get the last ones of each back."""
    blocks, block, heads, size, width = 24, 16, 2, 32, 3
    generator = torch.Generator().manual_seed(seed)
    table = torch.randperm(blocks, generator=generator)[: len(lengths) * width].view(-1, width).int()
    key, value = (noise(FLOAT16, sum(lengths), heads, size, seed=seed + i) for i in range(2))
    slots = torch.cat([table[i].long().repeat_interleave(block)[:n] * block + torch.arange(n) % block for i, n in enumerate(lengths)])
    held = [laid_out(torch.zeros(blocks, block, heads, size, dtype=FLOAT16), layout).npu() for _ in range(2)]
    reshape_and_cache(key.npu(), value.npu(), *held, slots.npu(), layout)
    starts = torch.tensor([int(torch.randint(0, n + 1, (1,), generator=generator)) for n in lengths], dtype=torch.int32)
    left = torch.tensor(lengths, dtype=torch.int32) - starts
    given_lengths = torch.cat([torch.zeros(1, dtype=torch.int32), left.cumsum(0).int()]) if sums else left
    rows = [torch.full((int(left.sum()) + 2, heads, size), 7.0, dtype=FLOAT16).npu() for _ in range(2)]
    torch.ops.vllm_cann.gather_cache(*held, table.npu(), given_lengths.npu(), *rows, starts.npu(), layout)
    ends = torch.tensor(lengths).cumsum(0).tolist()
    for found, put in zip(rows, (key, value), strict=True):
        same(found[:-2], torch.cat([put[end - int(n) : end] for end, n in zip(ends, left, strict=True)]))
        same(found[-2:], torch.full((2, heads, size), 7.0, dtype=FLOAT16))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout: str, dtype: torch.dtype) -> None:
    """Keys and values of different sizes; starts within a block."""
    caches = [noise(dtype, 5, 16, 4, size) for size in (64, 32)]
    table = torch.tensor([[4, 0, 2], [1, 3, 0]], dtype=torch.int32)
    lens, starts = torch.tensor([20, 33], dtype=torch.int32), torch.tensor([13, 0], dtype=torch.int32)
    rows = [torch.zeros(53, 4, size, dtype=dtype).npu() for size in (64, 32)]
    on_device = [laid_out(cache, layout).npu() for cache in caches]
    gather_cache(*on_device, table.npu(), lens.npu(), *rows, starts.npu(), layout)
    for found, cache in zip(rows, caches, strict=True):
        same(found, want(reference.gather_cache, cache, table, lens, starts))


def test_no_requests_launch_nothing() -> None:
    arguments = legal(
        block_table=zeros(0, 3, dtype=torch.int32),
        seq_lens=zeros(0, dtype=torch.int32),
        key=zeros(0, 2, 16, dtype=FLOAT16),
        value=zeros(0, 2, 16, dtype=FLOAT16),
    )
    with launches(0):
        gather_cache(**arguments)


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(gather_cache, utility, legal())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[("seq_lens", lens) for lens in ([1, 1], [0, 0], [2, 0])],
        *[("block_table", table) for table in ([[0, 0, 0], [0, 0, 0]], [[1, 0, 1], [0, 1, 0]])],
    ],
)
def test_one_launch_whatever_the_contents(name: str, content: list[Any]) -> None:
    arguments = legal(**{name: torch.tensor(content, dtype=torch.int32).npu()})
    with launches(1):
        gather_cache(**arguments)


@refusals(
    (lambda: legal(block_table=torch.zeros(2, 3, dtype=torch.int32)), "block_table is on cpu"),
    (lambda: legal(key=torch.zeros(3, 1, 16)), "key is on cpu"),
    (lambda: legal(seq_starts=zeros(1, dtype=torch.int32)), "seq_starts has 1 in dimension 0, requests are 2"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(gather_cache, change(), sentence)

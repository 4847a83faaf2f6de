"""The operators of vllm_cann.ops.cache through torch, with unmodified torch_npu on SoftNPU.

Kernels are tested beside their sources; here are the ways from torch to them and back, refusals, and properties.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_npu  # noqa: F401
from counted import kernels_launched
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import CHECKS, noise

from vllm_cann import ops
from vllm_cann.ops.copy_blocks import copy_blocks
from vllm_cann.ops.gather_cache import gather_cache
from vllm_cann.ops.kv_rmsnorm_rope_cache import kv_rmsnorm_rope_cache
from vllm_cann.ops.reshape_and_cache import reshape_and_cache
from vllm_cann.ops.slot_mapping import slot_mapping
from vllm_cann.ops.swap_blocks import swap_blocks
from vllm_cann.ops.transpose_kv_cache_by_block import transpose_kv_cache_by_block

FEW = settings(max_examples=12, deadline=None, derandomize=True)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
LAYOUTS = ("ND", "HND", "NZ")


DIRECT: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        copy_blocks,
        gather_cache,
        kv_rmsnorm_rope_cache,
        reshape_and_cache,
        slot_mapping,
        swap_blocks,
        transpose_kv_cache_by_block,
    )
}


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))


def laid_out(nd: torch.Tensor, layout: str) -> torch.Tensor:
    """[blocks, block size, heads, size] in another layout."""
    if layout == "HND":
        return nd.transpose(1, 2).contiguous()
    if layout == "NZ":
        width = 32 // nd.element_size()
        return nd.flatten(2).unflatten(2, (-1, width)).transpose(1, 2).contiguous()
    return nd


# Scatter and gather: what was put into the cache comes out again.


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_scatter_into_every_layout(layout: str, dtype: torch.dtype) -> None:
    tokens, heads, key_size, value_size, blocks, block = 29, 4, 64, 32, 5, 16
    key, value = noise(dtype, tokens, heads, key_size), noise(dtype, tokens, heads, value_size, seed=1)
    slots = torch.randperm(blocks * block, generator=torch.Generator().manual_seed(1))[:tokens]
    slots[[0, 7, 28]] = torch.tensor([-1, blocks * block, -5])
    caches = [noise(dtype, blocks, block, heads, size) for size in (key_size, value_size)]
    on_device = [laid_out(c, layout).npu() for c in caches]
    torch.ops.vllm_cann.reshape_and_cache(key.npu(), value.npu(), *on_device, slots.npu(), layout)
    for found, before, rows in zip(on_device, caches, (key, value), strict=True):
        want = before.flatten(0, 1)
        for row, slot in zip(rows, slots.tolist(), strict=True):
            if 0 <= slot < blocks * block:
                want[slot] = row
        assert torch.equal(found.cpu(), laid_out(want.view_as(before), layout))


@pytest.mark.parametrize("slots", [0, 3, 5, 9])
def test_rows_without_a_slot_are_padding_and_slots_without_a_row(slots: int) -> None:
    key, value = noise(torch.float16, 5, 2, 32), noise(torch.float16, 5, 2, 32, seed=1)
    caches = [noise(torch.float16, 2, 16, 2, 32, seed=2 + i) for i in range(2)]
    on_device = [cache.npu() for cache in caches]
    places = torch.arange(slots) * 3
    torch.ops.vllm_cann.reshape_and_cache(key.npu(), value.npu(), *on_device, places.npu())
    for found, before, rows in zip(on_device, caches, (key, value), strict=True):
        want = before.flatten(0, 1).clone()
        stored = min(slots, 5)
        want[places[:stored]] = rows[:stored]
        assert torch.equal(found.cpu().flatten(0, 1), want)


def test_keys_alone() -> None:
    key, slots = noise(torch.bfloat16, 5, 1, 576), torch.tensor([3, -1, 0, 31, 7])
    held = torch.zeros(2, 16, 1, 576, dtype=torch.bfloat16).npu()
    torch.ops.vllm_cann.reshape_and_cache(key.npu(), None, held, None, slots.npu())
    want = torch.zeros(32, 1, 576, dtype=torch.bfloat16)
    want[[3, 0, 31, 7]] = key[[0, 2, 3, 4]]
    assert torch.equal(held.cpu().flatten(0, 1), want)


@FEW
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
    key, value = noise(torch.float16, sum(lengths), heads, size, seed=seed), noise(torch.float16, sum(lengths), heads, size, seed=seed + 1)
    slots = torch.cat([table[i].long().repeat_interleave(block)[:n] * block + torch.arange(n) % block for i, n in enumerate(lengths)])
    held = [torch.zeros(c, dtype=torch.float16).npu() for c in [laid_out(torch.empty(blocks, block, heads, size), layout).shape] * 2]
    if layout == "NZ":
        held = [torch.zeros(blocks, heads * size // 16, block, 16, dtype=torch.float16).npu() for _ in range(2)]
    reshape_and_cache(key.npu(), value.npu(), *held, slots.npu(), layout)
    starts = torch.tensor([int(torch.randint(0, n + 1, (1,), generator=generator)) for n in lengths], dtype=torch.int32)
    left = torch.tensor(lengths, dtype=torch.int32) - starts
    given_lengths = torch.cat([torch.zeros(1, dtype=torch.int32), left.cumsum(0).int()]) if sums else left
    rows = [torch.full((int(left.sum()) + 2, heads, size), 7.0, dtype=torch.float16).npu() for _ in range(2)]
    torch.ops.vllm_cann.gather_cache(*held, table.npu(), given_lengths.npu(), *rows, starts.npu(), layout)
    ends = torch.tensor(lengths).cumsum(0).tolist()
    for found, put in zip(rows, (key, value), strict=True):
        want = torch.cat([put[end - int(n) : end] for end, n in zip(ends, left, strict=True)])
        assert torch.equal(found.cpu()[:-2], want)
        assert torch.equal(found.cpu()[-2:], torch.full((2, heads, size), 7.0, dtype=torch.float16))


# Slots.


@FEW
@given(
    lengths=st.lists(st.integers(0, 70), max_size=5),
    block=st.sampled_from([16, 48, 128]),
    world=st.integers(1, 4),
    more=st.integers(0, 40),
    seed=st.integers(0, 1000),
)
def test_every_token_has_a_slot_on_one_rank(lengths: list[int], block: int, world: int, more: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    width, tokens = 12, sum(lengths)
    starts = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)
    positions = torch.randint(0, width * block, (tokens,), generator=generator)
    table = torch.randint(0, 1000, (len(lengths), width), generator=generator).int()
    found = []
    for rank in range(world):
        slots = torch.zeros(tokens + more, dtype=torch.int64).npu()
        slot_mapping(starts.npu(), positions.npu(), table.npu(), slots, tokens, block, world, rank, 8, -1)
        found.append(slots.cpu())
    of_ranks = torch.stack(found)
    assert (of_ranks[:, tokens:] == -1).all()
    assert ((of_ranks[:, :tokens] >= 0).sum(0) == 1).all()


@FEW
@given(
    lengths=st.lists(st.integers(0, 70), min_size=1, max_size=5),
    block=st.sampled_from([16, 48]),
    first=st.integers(-40, 400),
    seed=st.integers(0, 99),
)
def test_circular_blocks_are_gone_round(lengths: list[int], block: int, first: int, seed: int) -> None:
    """A block of each request, in which a token takes the place of the one that is a block's length before it."""
    tokens = sum(lengths)
    starts = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)
    positions = torch.cat([torch.arange(first, first + n) for n in lengths])
    table = torch.randperm(50, generator=torch.Generator().manual_seed(seed))[: len(lengths)].int()[:, None]
    slots = torch.zeros(tokens + 3, dtype=torch.int64).npu()
    torch.ops.vllm_cann.slot_mapping(starts.npu(), positions.npu(), table.npu(), slots, tokens, block, is_circular=True)
    found = slots.cpu()
    want = table[:, 0].long().repeat_interleave(torch.tensor(lengths)) * block + positions % block
    assert torch.equal(found[:tokens], want.masked_fill(positions < 0, -1))
    assert (found[tokens:] == -1).all()


# Copies of blocks.


def test_copy_blocks_of_all_caches_in_one_launch() -> None:
    caches = [noise(torch.bfloat16, 6, 16, 2, size, seed=size) for size in (64, 64, 8, 576)]
    on_device = [c.npu() for c in caches]
    mapping = torch.tensor([[0, 5], [3, 1], [0, 4]])
    before = kernels_launched()
    torch.ops.vllm_cann.copy_blocks(on_device, mapping)
    assert kernels_launched() == before + 1
    for found, held in zip(on_device, caches, strict=True):
        want = held.clone()
        want[[5, 1, 4]] = held[[0, 3, 0]]
        assert torch.equal(found.cpu(), want)
    copy_blocks(on_device, torch.tensor([[2, 0]]).npu())
    assert torch.equal(on_device[0].cpu()[0], caches[0][2])


@FEW
@given(blocks=st.integers(2, 9), copies=st.integers(0, 8), size=st.sampled_from([1, 8, 33]), seed=st.integers(0, 1000))
def test_copies_change_their_destinations_only(blocks: int, copies: int, size: int, seed: int) -> None:
    order = torch.randperm(blocks, generator=torch.Generator().manual_seed(seed))
    targets = order[: min(copies, blocks - 1)]
    sources = order[len(targets) :].repeat(blocks)[: len(targets)]
    held = [noise(torch.int8, blocks, 16, 1, size, seed=seed + i) for i in range(3)]
    on_device = [h.npu() for h in held]
    copy_blocks(on_device, torch.stack([sources, targets], 1))
    for found, before in zip(on_device, held, strict=True):
        before[targets] = before[sources]
        assert torch.equal(found.cpu(), before)


@FEW
@given(blocks=st.integers(1, 9), gap=st.integers(0, 5), seed=st.integers(0, 1000))
def test_blocks_that_are_swapped_out_come_back(blocks: int, gap: int, seed: int) -> None:
    """To any places of the host's cache, and from there to where they were; caches with other data between blocks."""
    generator = torch.Generator().manual_seed(seed)
    host, before = torch.full((blocks, 40 + gap), 7.0), noise(torch.float32, blocks, 40 + gap, seed=seed)
    device = before.npu()
    pairs = torch.stack([torch.randperm(blocks, generator=generator) for _ in range(2)], 1)[: blocks // 2 + 1]
    swap_blocks(device[:, :40], host[:, :40], pairs)
    torch.npu.synchronize()
    want = torch.full_like(host, 7.0)
    want[pairs[:, 1], :40] = before[pairs[:, 0], :40]
    assert torch.equal(host, want)
    device.zero_()
    swap_blocks(host[:, :40], device[:, :40], pairs.flip(1))
    want = torch.zeros_like(before)
    want[pairs[:, 0], :40] = before[pairs[:, 0], :40]
    assert torch.equal(device.cpu(), want)


@pytest.mark.parametrize(("source", "target"), [("cpu", "npu"), ("npu", "cpu"), ("npu", "npu")])
def test_swap_blocks(source: str, target: str) -> None:
    src, dst = noise(torch.float16, 6, 16, 2, 8).to(source), noise(torch.float16, 9, 16, 2, 8, seed=1).to(target)
    want = dst.cpu().clone()
    mapping = torch.tensor([[0, 8], [2, 3], [3, 4], [4, 5], [1, 0], [5, 8]])  # neighbours, and one block twice: the last one stays
    for a, b in mapping.tolist():
        want[b] = src.cpu()[a]
    torch.ops.vllm_cann.swap_blocks(src, dst, mapping)
    torch.npu.synchronize()
    assert torch.equal(dst.cpu(), want)


def test_swap_blocks_within_a_cache_are_in_order() -> None:
    held = noise(torch.float16, 5, 16, 1, 8)
    found = held.npu()
    swap_blocks(found, found, torch.tensor([[0, 1], [1, 2], [2, 3]]))
    assert torch.equal(found.cpu(), held[[0, 0, 0, 0, 4]])


@pytest.mark.parametrize("wrong", [[[0, 6]], [[6, 0]], [[0, 1], [-1, 0]], [[0, 1], [2, -1]]])
def test_swap_blocks_refuses_the_block_behind_the_last(wrong: list[list[int]]) -> None:
    held, other = noise(torch.float16, 6, 16, 2, 8).npu(), torch.zeros(6, 16, 2, 8, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"swap_blocks: pair \d names block -?\d of the (src|dst), which has 6"):
        swap_blocks(held, other, torch.tensor(wrong))
    torch.npu.synchronize()
    assert not other.any()  # not even the pairs before


# Heads of blocks.


def by_hand(held: torch.Tensor, ids: list[int], splits: int) -> torch.Tensor:
    """Gather, transpose, scatter."""
    out = held.clone()
    _, block, heads, size = held.shape
    picked = held[ids].reshape(len(ids), splits, block, heads // splits, size)
    out[ids] = picked.transpose(1, 2).reshape(len(ids), block, heads, size)
    return out


@pytest.mark.parametrize("dtype", [*DTYPES, torch.uint8], ids=str)
@pytest.mark.parametrize("splits", [1, 2, 4])
def test_transpose_kv_cache(dtype: torch.dtype, splits: int) -> None:
    """Elements of 1, 2 and 4 bytes, and views with other data between the blocks."""
    layers, blocks, block, heads, size = 3, 7, 16, 4, 24
    both = [(noise(torch.int8, blocks, 2, block, heads, size * dtype.itemsize, seed=i)).view(dtype) for i in range(layers)]
    on_device = [b.npu() for b in both]
    ids = [4, 0, 6]
    before = kernels_launched()
    keys, values = [b[:, 0] for b in on_device], [b[:, 1] for b in on_device]
    torch.ops.vllm_cann.transpose_kv_cache_by_block(keys, values, torch.tensor(ids), splits)
    assert kernels_launched() == before + (splits > 1)
    for found, held in zip(on_device, both, strict=True):
        # As bytes: noise may be NaN.
        want = torch.stack([by_hand(held[:, j].view(torch.uint8), ids, splits) for j in range(2)], 1)
        assert torch.equal(found.cpu().view(torch.uint8), want)


@FEW
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
    assert torch.equal(found.cpu(), by_hand(held, ids.tolist(), splits))
    assert torch.equal(other.cpu(), found.cpu())
    assert torch.equal(found.cpu().flatten(1).sort().values, held.flatten(1).sort().values)
    back = [c.view(dtype).view(blocks, splits, block, inner * size) for c in (found, other)]
    transpose_kv_cache_by_block(back[:1], back[1:], ids, block)
    assert torch.equal(found.cpu(), held)
    assert torch.equal(other.cpu(), held)


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [([0, 7], "block_ids names block 7; there are 7"), ([-1], "block_ids names block -1"), ([2, 3, 2], "block_ids has a block twice")],
)
def test_transpose_kv_cache_checks_ids(ids: list[int], sentence: str) -> None:
    held = noise(torch.float16, 7, 16, 4, 8)
    keys, values = held.npu(), held.npu()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        transpose_kv_cache_by_block([keys], [values], torch.tensor(ids), 2)
    assert torch.equal(keys.cpu(), held)


def test_a_wrong_id_on_the_device_is_an_error_of_the_device() -> None:
    import subprocess
    import sys

    # In a process of its own: the stream is lost.
    program = (
        "import torch, torch_npu; from vllm_cann import ops\n"
        "from vllm_cann.ops.transpose_kv_cache_by_block import transpose_kv_cache_by_block\n"
        "ops.load(torch.device('npu:0'))\n"
        "held = torch.zeros(7, 16, 4, 8, dtype=torch.float16).npu()\n"
        "transpose_kv_cache_by_block([held], [held.clone()], torch.tensor([7]).npu(), 2)\n"
        "torch.npu.synchronize()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )
    assert run.returncode != 0
    assert "transpose_kv_cache.cpp" in run.stderr + run.stdout, run.stderr[-3000:]


# Latent rows.


def latent(
    mode: str, dtype: torch.dtype, narrow: bool = False
) -> tuple[list[torch.Tensor], dict[str, Any], Callable[[list[torch.Tensor]], tuple[torch.Tensor, torch.Tensor]]]:
    """Arguments on the host, keywords, and the rows of both caches in the order of tokens."""
    sequences, seq, n, r, block, blocks = 2, 20, 512, 64, 16, 6
    kv, gamma = noise(dtype, sequences, 1, seq, n + r), noise(dtype, n, seed=1)
    angle = noise(torch.float32, sequences, 1, seq, r, seed=2)
    cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
    kind = torch.int8 if narrow else dtype
    tokens = torch.arange(sequences * seq)
    if mode == "Norm":
        index = (torch.arange(seq) * 3 % 32).repeat(sequences, 1)
        slots = index.flatten() + tokens // seq * 32
        shapes = [(sequences, 1, 32, size) for size in (r, n)]
    elif "BLK" in mode:
        index = torch.tensor([3, 0, 5, 1]) * block
        slots = index[tokens // seq * 2 + tokens % seq // block] + tokens % seq % block
    else:
        index = torch.randperm(blocks * block, generator=torch.Generator().manual_seed(3))[: sequences * seq]
        slots = index
    width = 32 // kind.itemsize
    if mode.endswith("NZ"):
        shapes = [(blocks, size // width, block, 1, width) for size in (r, n)]
    elif mode != "Norm":
        shapes = [(blocks, block, 1, size) for size in (r, n)]
    caches = [torch.zeros(shape, dtype=kind) for shape in shapes]
    keywords: dict[str, Any] = {"cache_mode": mode, "is_output_kv": True}
    if narrow:
        keywords |= {"k_rope_scale": torch.full((r,), 20.0), "c_kv_scale": torch.full((n,), 10.0), "c_kv_offset": torch.full((n,), 3.0)}

    def rows(held: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        found = [c.squeeze(3).transpose(1, 2).flatten(2) if mode.endswith("NZ") else c for c in held]
        k, ckv = (c.reshape(-1, size)[slots] for c, size in zip(found, (r, n), strict=True))
        return k, ckv

    return [kv, gamma, cos, sin, index, *caches], keywords, rows


@pytest.mark.parametrize("narrow", [False, True], ids=["kv", "int8"])
@pytest.mark.parametrize("mode", ["Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ"])
def test_latent_rows_in_every_mode(mode: str, narrow: bool) -> None:
    arguments, keywords, rows = latent(mode, torch.float32, narrow)
    kv, gamma, cos, sin = (t.double() for t in arguments[:4])
    on_device = [t.npu() for t in arguments]
    on_keywords = {k: v.npu() if isinstance(v, torch.Tensor) else v for k, v in keywords.items()}
    k_rope, c_kv = torch.ops.vllm_cann.kv_rmsnorm_rope_cache(*on_device, **on_keywords)
    x = kv[..., :512]
    want_norm = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gamma
    a, b = kv[..., 512::2], kv[..., 513::2]
    halves, turned = torch.cat([a, b], -1), torch.cat([-b, a], -1)
    want_rope = halves * cos + turned * sin
    # 30 roundings of float at most, see the test of the kernel.
    torch.testing.assert_close(c_kv.cpu().double(), want_norm, rtol=30 * 2**-24, atol=2**-40)
    torch.testing.assert_close(k_rope.cpu().double(), want_rope, rtol=0, atol=8 * 2**-24 * float(kv.abs().max()))
    k, ckv = rows([t.cpu() for t in on_device[5:]])
    if narrow:
        want_k, want_ckv = (want_rope * 20).clamp(-128, 127), (want_norm * 10 + 3).clamp(-128, 127)
        assert (k.double() - want_k.flatten(0, 2)).abs().max() <= 0.5 + 1e-4
        assert (ckv.double() - want_ckv.flatten(0, 2)).abs().max() <= 0.5 + 1e-4
    else:
        assert torch.equal(k, k_rope.cpu().flatten(0, 2))
        assert torch.equal(ckv, c_kv.cpu().flatten(0, 2))


@FEW
@given(tokens=st.integers(1, 40), block=st.sampled_from([16, 32]), padding=st.integers(0, 5), seed=st.integers(0, 1000))
def test_latent_rows_are_where_their_slots_are(tokens: int, block: int, padding: int, seed: int) -> None:
    """Whatever the order of tokens; slots that no token has keep what they hold, and rows do not touch each other."""
    blocks, n, r = 4, 64, 32
    generator = torch.Generator().manual_seed(seed)
    kv, gamma = noise(torch.float16, 1, 1, tokens, n + r, seed=seed), noise(torch.float16, n).npu()
    angle = noise(torch.float32, 1, 1, tokens, r, seed=seed)
    cos, sin = angle.cos().half(), angle.sin().half()
    slots = torch.randperm(blocks * block, generator=generator)[:tokens]
    slots[torch.randperm(tokens, generator=generator)[:padding]] = -1

    def run(order: torch.Tensor) -> list[torch.Tensor]:
        held = [torch.full((blocks, block, 1, size), 7.0, dtype=torch.float16).npu() for size in (r, n)]
        rows = [t[:, :, order].contiguous().npu() for t in (kv, cos, sin)]
        out = kv_rmsnorm_rope_cache(
            rows[0], gamma, *rows[1:], slots[order].contiguous().npu(), *held, cache_mode="PA", is_output_kv=True
        )
        return [t.cpu() for t in (*held, *out)]

    straight = torch.arange(tokens)
    found = run(straight)
    for held, rows in zip(found[:2], found[2:], strict=True):
        want = torch.full_like(held, 7.0).flatten(0, 2)
        want[slots[slots >= 0]] = rows[0, 0, slots >= 0]
        assert torch.equal(held.flatten(0, 2), want)
    for a, b in zip(found, run(straight.flip(0)), strict=True):
        assert torch.equal(a, b if b.shape[0] == blocks else b.flip(2))


# All of them: schemas, launches, refusals.


def small() -> dict[str, tuple[tuple, dict[str, Any]]]:
    def half(*shape: int) -> torch.Tensor:
        return noise(torch.float16, *shape).npu()

    table, lens = torch.zeros(2, 3, dtype=torch.int32).npu(), torch.ones(2, dtype=torch.int32).npu()
    arguments, keywords, _ = latent("PA", torch.float16)
    starts = torch.tensor([0, 2, 3], dtype=torch.int32).npu()
    return {
        "reshape_and_cache": ((half(3, 2, 16), half(3, 2, 16), half(2, 16, 2, 16), half(2, 16, 2, 16), torch.arange(3).npu()), {}),
        "gather_cache": ((half(2, 16, 2, 16), half(2, 16, 2, 16), table, lens, half(2, 2, 16), half(2, 2, 16)), {}),
        "slot_mapping": ((starts, torch.arange(3).npu(), table, torch.zeros(5, dtype=torch.int64).npu(), 3, 16), {}),
        "copy_blocks": (([half(4, 16, 1, 8), half(4, 16, 1, 8)], torch.tensor([[0, 1]]).npu()), {}),
        "swap_blocks": ((half(4, 16, 1, 8), half(5, 16, 1, 8), torch.tensor([[0, 1]])), {}),
        "transpose_kv_cache_by_block": (([half(4, 16, 2, 8)], [half(4, 16, 2, 8)], torch.tensor([1]).npu(), 2), {}),
        "kv_rmsnorm_rope_cache": (tuple(t.npu() for t in arguments), keywords),
    }


NAMES = ("reshape_and_cache", "gather_cache", "slot_mapping", "copy_blocks", "transpose_kv_cache_by_block", "kv_rmsnorm_rope_cache")


@pytest.mark.parametrize("utility", CHECKS)
@pytest.mark.parametrize("name", [*NAMES, "swap_blocks"])
def test_opcheck(name: str, utility: str) -> None:
    arguments, keywords = small()[name]
    torch.library.opcheck(getattr(torch.ops.vllm_cann, name).default, arguments, keywords, test_utils=utility)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_is_one_launch_and_copies_nothing(name: str) -> None:
    arguments, keywords = small()[name]
    DIRECT[name](*arguments, **keywords)  # a table of addresses is made once
    before = kernels_launched()
    DIRECT[name](*arguments, **keywords)
    assert kernels_launched() == before + 1


@pytest.mark.parametrize(
    ("name", "position", "contents"),
    [
        ("reshape_and_cache", 4, [[0, 1, 2], [31, 0, 16], [-1, -1, -1]]),
        ("gather_cache", 3, [[1, 1], [0, 0], [2, 0]]),
        ("gather_cache", 2, [[[0, 0, 0], [0, 0, 0]], [[1, 0, 1], [0, 1, 0]]]),
        ("slot_mapping", 1, [[0, 1, 2], [47, 0, 20]]),
        ("slot_mapping", 0, [[0, 2, 3], [0, 0, 0], [0, 3, 3]]),
        ("copy_blocks", 1, [[[0, 1]], [[3, 2]]]),
        ("transpose_kv_cache_by_block", 2, [[0], [3]]),
        ("kv_rmsnorm_rope_cache", 4, [list(range(40)), list(range(40, 80)), [-1] * 40]),
    ],
)
def test_launches_do_not_depend_on_contents(name: str, position: int, contents: list[list[int]]) -> None:
    for content in contents:
        arguments, keywords = small()[name]
        index = torch.tensor(content).to(arguments[position].dtype).npu()
        DIRECT[name](*arguments[:position], index, *arguments[position + 1 :], **keywords)
        before = kernels_launched()
        DIRECT[name](*arguments[:position], index, *arguments[position + 1 :], **keywords)
        assert kernels_launched() == before + 1


def test_nothing_to_do_launches_nothing() -> None:
    before = kernels_launched()
    none = torch.zeros(0, dtype=torch.int32).npu()
    held, no_pairs = noise(torch.float16, 4, 16, 2, 16).npu(), torch.zeros(0, 2, dtype=torch.int64)
    no_rows = held.new_empty(0, 2, 16)
    gather_cache(held, held, none.view(0, 3), none, no_rows, no_rows.clone())
    slot_mapping(none.new_zeros(1), none, none.view(0, 3), none.clone(), 0, 16)
    copy_blocks([held], no_pairs)
    copy_blocks([], no_pairs)
    swap_blocks(held, held.cpu(), no_pairs)
    transpose_kv_cache_by_block([held], [held.clone()], no_pairs[:, 0], 2)
    transpose_kv_cache_by_block([], [], no_pairs[:, 0], 2)
    for mode in ("Norm", "PA", "PA_NZ", "PA_BLK_BNSD"):
        arguments, keywords, _ = latent(mode, torch.float16)
        arguments[0], arguments[2], arguments[3] = (arguments[i][:, :, :0] for i in (0, 2, 3))
        arguments[4] = arguments[4][:, :0] if mode == "Norm" else arguments[4][:0]
        k_rope, c_kv = kv_rmsnorm_rope_cache(*(t.contiguous().npu() for t in arguments), **keywords)
        assert (k_rope.shape, c_kv.shape) == ((2, 1, 0, 64), (2, 1, 0, 512))
    assert kernels_launched() == before


def test_another_device_than_the_current_one_is_refused() -> None:
    calls = {name: small()[name][0] for name in ("copy_blocks", "transpose_kv_cache_by_block")}
    calls["swap_blocks"] = torch.zeros(2, 1).npu(), torch.zeros(2, 1), torch.zeros(1, 2).long()
    for name, arguments in calls.items():
        torch.npu.set_device(1)
        try:
            with pytest.raises(ValueError, match="the tensors are on npu:0, but the current device is npu:1"):
                DIRECT[name](*arguments)
        finally:
            torch.npu.set_device(0)


def changed(name: str, position: int, value: object) -> Callable[[], object]:
    def call() -> object:
        arguments, keywords = small()[name]
        return DIRECT[name](*arguments[:position], value, *arguments[position + 1 :], **keywords)

    return call


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (changed("reshape_and_cache", 1, None), "value and value_cache go together"),
        (lambda: reshape_and_cache(*small()["reshape_and_cache"][0], "BNSD"), "layout is 'BNSD'; there are ND, HND, NZ"),
        (lambda: reshape_and_cache(*small()["reshape_and_cache"][0], "NZ"), "key_cache has the shape [2, 16, 2, 16]; for heads of [2, 16] it has to be [2, 2, 2, 16]"),
        (changed("gather_cache", 2, torch.zeros(2, 3, dtype=torch.int32)), "block_table is on cpu"),
        (changed("gather_cache", 4, torch.zeros(3, 1, 16)), "key is on cpu"),
        (
            lambda: gather_cache(*small()["gather_cache"][0], torch.zeros(1, dtype=torch.int32).npu()),
            "seq_starts has 1 in dimension 0, requests are 2",
        ),
        (changed("slot_mapping", 4, 6), "slot_mapping: the number of tokens is 6; the limits are 0 and 3"),
        (changed("slot_mapping", 0, torch.zeros(3).npu()), "query_start_loc is float32, not int32"),
        (changed("copy_blocks", 1, torch.tensor([[0, 4]])), "mapping names block 4; there are 4"),
        (changed("copy_blocks", 1, torch.tensor([[0, 1], [1, 2]])), "mapping has a destination that is another pair's"),
        (changed("copy_blocks", 1, torch.tensor([0, 1])), "mapping is torch.int64 (2,); it must be int64 with 2 dimensions"),
        (lambda: swap_blocks(torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(1, 2).long()), "no tensor is on an NPU"),
        (lambda: torch.ops.vllm_cann.swap_blocks(torch.zeros(2), torch.zeros(2), torch.zeros(1, 2).long()), "no tensor is on an NPU"),
        (lambda: swap_blocks(torch.zeros(2, 1).npu(), torch.zeros(2, 2), torch.zeros(1, 2).long()), "their blocks have to be alike"),
        (changed("transpose_kv_cache_by_block", 3, 3), "transpose_kv_cache: 2 heads cannot be divided into 3 splits"),
        (changed("transpose_kv_cache_by_block", 1, []), "there are 1 key caches and 0 value caches"),
        (changed("kv_rmsnorm_rope_cache", 5, torch.zeros(6, 16, 1, 32, dtype=torch.float16).npu()), "k_cache has the shape [6, 16, 1, 32]; for heads of [1, 64] it has to be [6, 16, 1, 64]"),
        (changed("kv_rmsnorm_rope_cache", 4, torch.zeros(3).long().npu()), "index has 3 in dimension 0, the tokens of kv are 40"),
        (
            changed("kv_rmsnorm_rope_cache", 0, torch.zeros(2, 1, 20, 1152, dtype=torch.float16).npu()[..., ::2]),
            "kv has strides [23040, 11520, 1152, 2]; its tokens have to be one step apart, and their elements contiguous",
        ),
        (changed("kv_rmsnorm_rope_cache", 0, torch.zeros(2, 2, 20, 576).npu()), "kv has the shape [2, 2, 20, 576]; it has to be [sequences, 1, tokens, size]"),
    ],
)
def test_refused_before_a_launch(call: Callable[[], object], sentence: str) -> None:
    before = kernels_launched()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
    assert kernels_launched() == before

"""The operators of vllm_cann.ops through torch, with unmodified torch_npu on SoftNPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch_npu  # noqa: F401
from counted import kernels_launched
from shared import CHECKS, noise

from vllm_cann import _ops, ops
from vllm_cann.ops.reshape_and_cache import reshape_and_cache
from vllm_cann.ops.rotary_embedding import rotary_embedding

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INDICES = (torch.int32, torch.int64)
CALLS = ("direct", "torch.ops")


DIRECT = {"reshape_and_cache": reshape_and_cache, "rotary_embedding": rotary_embedding}


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))


def function(name: str, call: str) -> Callable[..., None]:
    return DIRECT[name] if call == "direct" else getattr(torch.ops.vllm_cann, name)


# reshape_and_cache: bytes are copied, so results are exact, and slots that no token names keep what they held.


def cached(cache: torch.Tensor, rows: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """What the cache holds afterwards, by a loop over tokens."""
    flat = cache.clone().flatten(0, 1)
    for row, slot in zip(rows, slots.tolist(), strict=False):
        if slot >= 0:
            flat[slot] = row
    return flat.view_as(cache)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("dtype", [*FLOATS, torch.int8], ids=str)
def test_reshape_and_cache(dtype: torch.dtype, index: torch.dtype, call: str) -> None:
    tokens, heads, key_size, value_size, blocks, block = 37, 3, 40, 24, 6, 16
    key = noise(dtype, tokens, heads, key_size)
    value = noise(dtype, tokens, heads, value_size)
    caches = [noise(dtype, blocks, block, heads, size) for size in (key_size, value_size)]
    slots = torch.randperm(blocks * block, generator=torch.Generator().manual_seed(1))[:tokens]
    slots[[0, 5, 36]] = torch.tensor([-1, -7, -1])
    slots = slots.to(index)
    on_device = [cache.npu() for cache in caches]
    function("reshape_and_cache", call)(key.npu(), value.npu(), *on_device, slots.npu())
    for found, cache, rows in zip(on_device, caches, (key, value), strict=True):
        assert torch.equal(found.cpu(), cached(cache, rows, slots))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int8], ids=str)
def test_reshape_and_cache_takes_views_of_qkv_and_of_one_cache(dtype: torch.dtype) -> None:
    """What a model passes: slices of a fused projection, and the halves of one cache with holes between its blocks."""
    tokens, heads, size, blocks, block = 21, 2, 32, 4, 8
    qkv = noise(dtype, tokens, 5 * heads * size)
    cache = noise(dtype, blocks, 2, block, heads, size)
    slots = torch.arange(3, 3 + tokens + 4)  # more entries than tokens: padding, not read as slots
    device = qkv.npu()
    key, value = (device[:, at * heads * size : (at + 1) * heads * size].unflatten(1, (heads, size)) for at in (3, 4))
    assert not key.is_contiguous()
    on_device = cache.npu()
    reshape_and_cache(key, value, on_device[:, 0], on_device[:, 1], slots.npu())
    want = cache.clone()
    for half, rows in enumerate((key, value)):
        want[:, half] = cached(cache[:, half], rows.cpu(), slots)
    assert torch.equal(on_device.cpu(), want)


def test_no_tokens_launch_nothing() -> None:
    key = torch.empty(0, 2, 32, device="npu")
    cache = noise(torch.float32, 2, 4, 2, 32).npu()
    table = noise(torch.float32, 8, 32).npu()
    index = torch.empty(0, dtype=torch.int64, device="npu")
    before, held = kernels_launched(), cache.cpu()
    reshape_and_cache(key, key, cache, cache, index)
    rotary_embedding(index, key, key, 32, table, True)
    assert kernels_launched() == before
    assert torch.equal(cache.cpu(), held)


# rotary_embedding: y = x1 c - x2 s in float32 from inputs that are exact, then one rounding. Each product is wrong by at most 2^-24 of
# itself and the sum by 2^-24 of itself, which is at most |x1 c| + |x2 s| =: m; together 2^-23 m (1 + 2^-24). The rounding into the dtype
# adds half a last place: `ROUNDING` of the result (float32 has had it already), or half the least subnormal of float16 (the others' are
# far below all values here).
ROUNDING = {torch.float32: 0.0, torch.float16: 2**-11, torch.bfloat16: 2**-8}
SUBNORMAL = 2**-25


def check_rotated(
    found: torch.Tensor,
    before: torch.Tensor,
    positions: torch.Tensor,
    table: torch.Tensor,
    head_size: int,
    is_neox: bool,
) -> None:
    """`found` [tokens, heads * head size] against double precision with the bound above."""
    rotary_dim = table.shape[1]
    heads = before.double().unflatten(1, (-1, head_size))
    got = found.double().unflatten(1, (-1, head_size))
    assert torch.equal(got[..., rotary_dim:], heads[..., rotary_dim:]), "the rest of a head is kept"
    cos, sin = table.double()[positions.long()][:, None, :].chunk(2, -1)

    def split(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x[..., :rotary_dim]
        return x.chunk(2, -1) if is_neox else (x[..., ::2], x[..., 1::2])  # type: ignore[return-value]

    first, second = split(heads)
    got_first, got_second = split(got)
    for y, a, b in (
        (got_first, first * cos, -second * sin),
        (got_second, second * cos, first * sin),
    ):
        want, arithmetic = a + b, 2**-23 * (1 + 2**-24) * (a.abs() + b.abs())
        bound = arithmetic + ROUNDING[found.dtype] * (want.abs() + arithmetic) + SUBNORMAL
        assert bool(((y - want).abs() <= bound).all())


def table_of(dtype: torch.dtype, positions: int, rotary_dim: int) -> torch.Tensor:
    angles = torch.outer(torch.arange(positions), 10000.0 ** -(torch.arange(0, rotary_dim, 2) / rotary_dim))
    return torch.cat([angles.cos(), angles.sin()], -1).to(dtype)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("is_neox", [True, False], ids=["neox", "gptj"])
@pytest.mark.parametrize("rotary_dim", [64, 40])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rotary_embedding(dtype: torch.dtype, rotary_dim: int, is_neox: bool, index: torch.dtype, call: str) -> None:
    tokens, heads, kv_heads, size, places = 29, 6, 2, 64, 512
    query = noise(dtype, tokens, heads * size)
    key = noise(dtype, tokens, kv_heads * size)
    positions = torch.randint(places, (tokens,), generator=torch.Generator().manual_seed(2), dtype=index)
    positions[:2] = torch.tensor([0, places - 1])
    table = table_of(dtype, places, rotary_dim)
    on_device = [query.npu(), key.npu()]
    function("rotary_embedding", call)(positions.npu(), *on_device, size, table.npu(), is_neox)
    for found, before in zip(on_device, (query, key), strict=True):
        check_rotated(found.cpu(), before, positions, table, size, is_neox)


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("is_neox", [True, False], ids=["neox", "gptj"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rotary_embedding_turns_views_of_qkv_and_nothing_else(dtype: torch.dtype, is_neox: bool, dims: int, with_key: bool) -> None:
    tokens, heads, kv_heads, size, rotary_dim = 11, 4, 2, 48, 32
    widths = [heads * size, kv_heads * size, kv_heads * size]
    qkv = noise(dtype, tokens, sum(widths))
    table = table_of(dtype, 64, rotary_dim)
    positions = torch.arange(50, 50 + tokens)
    on_device = qkv.npu()
    query, key, _ = on_device.split(widths, -1)
    if dims == 3:
        query, key = query.unflatten(1, (heads, size)), key.unflatten(1, (kv_heads, size))
    torch.ops.vllm_cann.rotary_embedding(positions.npu(), query, key if with_key else None, size, table.npu(), is_neox)
    found = on_device.cpu().split(widths, -1)
    before = qkv.split(widths, -1)
    turned = 2 if with_key else 1
    for got, was in zip(found[:turned], before[:turned], strict=True):
        check_rotated(got, was, positions, table, size, is_neox)
    for got, was in zip(found[turned:], before[turned:], strict=True):
        assert torch.equal(got, was)


# What Dynamo relies on.


def arguments_of(name: str) -> tuple[object, ...]:
    if name == "reshape_and_cache":
        key, cache = noise(torch.float16, 5, 2, 32).npu(), noise(torch.float16, 3, 8, 2, 32).npu()
        return key, key.clone(), cache, cache.clone(), torch.arange(5).npu()
    query = noise(torch.float16, 5, 4 * 32).npu()
    table = table_of(torch.float16, 16, 32).npu()
    return torch.arange(5).npu(), query, noise(torch.float16, 5, 64).npu(), 32, table, True


@pytest.mark.parametrize("utility", CHECKS)
@pytest.mark.parametrize("name", ["reshape_and_cache", "rotary_embedding"])
def test_opcheck(name: str, utility: str) -> None:
    overload = getattr(torch.ops.vllm_cann, name).default
    torch.library.opcheck(overload, arguments_of(name), test_utils=utility)
    if name == "rotary_embedding":
        positions, query, _, *rest = arguments_of(name)
        torch.library.opcheck(overload, (positions, query, None, *rest), test_utils=utility)


# Refusals: one sentence with the argument's name and value, before the device is given anything.


def cache_call(**changes: torch.Tensor) -> Callable[[], None]:
    """A legal call of reshape_and_cache, with some arguments changed."""

    def call() -> None:
        arguments = {
            "key": torch.zeros(5, 2, 32).npu(),
            "value": torch.zeros(5, 2, 16).npu(),
            "key_cache": torch.zeros(3, 8, 2, 32).npu(),
            "value_cache": torch.zeros(3, 8, 2, 16).npu(),
            "slot_mapping": torch.arange(5).npu(),
        }
        reshape_and_cache(**(arguments | changes))

    return call


def rotary_call(head_size: int = 32, **changes: torch.Tensor | None) -> Callable[[], None]:
    """A legal call of rotary_embedding, with some arguments changed."""

    def call() -> None:
        arguments = {
            "positions": torch.arange(5).npu(),
            "query": torch.zeros(5, 128).npu(),
            "key": torch.zeros(5, 2, 32).npu(),
            "cos_sin_cache": torch.zeros(16, 32).npu(),
        }
        rotary_embedding(**(arguments | changes), head_size=head_size, is_neox=True)

    return call


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(*shape, dtype=dtype, device="npu")


REFUSALS: list[tuple[Callable[[], Callable[[], None]], str]] = [
    (
        lambda: cache_call(key=zeros(5, 64)),
        "key has 2 dimensions, not [tokens, heads, size]",
    ),
    (
        lambda: cache_call(value_cache=zeros(3, 8, 32)),
        "value_cache has 3 dimensions, not four: blocks first",
    ),
    (
        lambda: cache_call(slot_mapping=torch.arange(5)),
        "slot_mapping is on cpu; all tensors must be on one NPU",
    ),
    (
        lambda: cache_call(key=torch.zeros(5, 2, 32)),
        "key is on cpu; all tensors must be on one NPU",
    ),
    (
        lambda: cache_call(value=zeros(4, 2, 16)),
        "value has 4 in dimension 0, key has 5",
    ),
    (
        lambda: cache_call(key_cache=zeros(3, 8, 2, 16)),
        "key_cache has the shape [3, 8, 2, 16]; for heads of [2, 32] it has to be [3, 8, 2, 32]",
    ),
    (
        lambda: cache_call(value_cache=zeros(3, 4, 2, 16)),
        "value_cache has 3 blocks of 4, key_cache has 3 of 8",
    ),
    (
        lambda: cache_call(value=zeros(5, 2, 16, dtype=torch.float16)),
        "value_cache is float32, but value is float16",
    ),
    (
        lambda: cache_call(key_cache=zeros(3, 8, 2, 32, dtype=torch.int8)),
        "key_cache is int8, but key is float32",
    ),
    (
        lambda: cache_call(slot_mapping=torch.arange(10).npu()[::2]),
        "slot_mapping has stride 2 in dimension 0; it has to be contiguous",
    ),
    (
        lambda: cache_call(slot_mapping=torch.arange(5).int().npu().float()),
        "slot_mapping is float32, not int32 or int64",
    ),
    (
        lambda: cache_call(
            key=zeros(5, 2, 32, dtype=torch.int64),
            value=zeros(5, 2, 16, dtype=torch.int64),
            key_cache=zeros(3, 8, 2, 32, dtype=torch.int64),
            value_cache=zeros(3, 8, 2, 16, dtype=torch.int64),
        ),
        "key is int64; it can be float16, bfloat16, float32, int8, uint8 or int32",
    ),
    (
        lambda: cache_call(key=zeros(5, 32, 2).transpose(1, 2)),
        "key has strides [64, 1, 2]; the heads of a token have to be contiguous",
    ),
    (
        lambda: cache_call(value=zeros(5, 3, 16)[:, ::2]),
        "value has strides [48, 32, 1]; the heads of a token have to be contiguous",
    ),
    (
        # Keys and values of a slot side by side: between slots there is a hole.
        lambda: cache_call(key_cache=zeros(3, 8, 2, 2, 32)[:, :, 0]),
        "key_cache has strides [1024, 128, 32, 1]; a block has to be contiguous",
    ),
    (
        lambda: cache_call(value_cache=zeros(3, 2, 8, 16).transpose(1, 2)),
        "value_cache has strides [256, 16, 128, 1]; a block has to be contiguous",
    ),
    (
        lambda: cache_call(key_cache=zeros(1, 8, 2, 32).expand(3, 8, 2, 32)),
        "key_cache has the block stride 0, less than a block's 512 elements",
    ),
    (
        lambda: rotary_call(cos_sin_cache=zeros(512)),
        "cos_sin_cache has 1 dimensions, not [positions, rotary_dim]",
    ),
    (
        lambda: rotary_call(query=zeros(5, 2, 2, 32)),
        "query has 4 dimensions, not [tokens, heads, size]",
    ),
    (
        lambda: rotary_call(positions=torch.arange(5)),
        "positions is on cpu; all tensors must be on one NPU",
    ),
    (
        lambda: rotary_call(key=torch.zeros(5, 64)),
        "key is on cpu; all tensors must be on one NPU",
    ),
    (
        lambda: rotary_call(query=zeros(4, 128)),
        "query has 4 tokens, the others have 5",
    ),
    (
        lambda: rotary_call(key=zeros(5, 64, dtype=torch.float16)),
        "key is float16, but cos_sin_cache is float32",
    ),
    (
        lambda: rotary_call(query=zeros(128, 5).t()),
        "query has strides [1, 5]; the heads of a token have to be contiguous",
    ),
    (
        lambda: rotary_call(key=zeros(5, 3, 32)[:, ::2]),
        "key has strides [96, 64, 1]; the heads of a token have to be contiguous",
    ),
    (
        lambda: rotary_call(key=zeros(5, 80)),
        "key has 80 elements per token, which are no heads of 32",
    ),
    (
        lambda: rotary_call(cos_sin_cache=zeros(32, 16).t()),
        "cos_sin_cache has strides [1, 16]; it has to be contiguous",
    ),
    (
        lambda: rotary_call(positions=torch.arange(10).npu()[::2]),
        "positions has stride 2 in dimension 0; it has to be contiguous",
    ),
    (
        lambda: rotary_call(positions=zeros(5)),
        "positions is float32, not int32 or int64",
    ),
    (
        lambda: rotary_call(
            query=zeros(5, 128, dtype=torch.int8),
            key=None,
            cos_sin_cache=zeros(16, 32, dtype=torch.int8),
        ),
        "cos_sin_cache is int8; it can be float16, bfloat16 or float32",
    ),
    (
        lambda: rotary_call(query=zeros(5, 128, dtype=torch.float64), cos_sin_cache=zeros(16, 32)),
        "query is float64, but cos_sin_cache is float32",
    ),
    (
        lambda: rotary_call(cos_sin_cache=zeros(16, 64)),
        "cos_sin_cache has rotary dimension 64, more than the head size 32 of query",
    ),
    (
        lambda: rotary_call(query=zeros(1, 128).expand(5, 128)),
        "query has the token stride 0, less than the 128 elements of a token",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSALS, ids=[text for _, text in REFUSALS])
def test_refused_before_a_launch(make: Callable[[], Callable[[], None]], sentence: str) -> None:
    call = make()
    before = kernels_launched()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
    assert kernels_launched() == before


def test_the_legal_calls_are_launched() -> None:
    """Of which the refused ones are variations."""
    before = kernels_launched()
    cache_call()()
    rotary_call()()
    torch.npu.synchronize()
    assert kernels_launched() == before + 2


# Order. torch_npu hands its operators over from a queue of its own, in another thread; our launch goes to the stream at once.


def filled(tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    key = torch.zeros(tokens, 2, 32, dtype=torch.float16, device="npu")
    cache = torch.zeros(4, 8, 2, 32, dtype=torch.float16, device="npu")
    slots = torch.arange(tokens).npu()
    torch.npu.synchronize()
    return key, cache, slots


def test_the_queue_of_torch_npu_is_on() -> None:
    assert os.environ.get("TASK_QUEUE_ENABLE", "1") == "1"


def test_launches_come_after_what_was_queued_and_before_what_is_queued_next() -> None:
    for _ in range(5):
        key, cache, slots = filled(32)
        values = torch.zeros_like(cache)
        for _ in range(30):
            key += 1
        reshape_and_cache(key, key, cache, values, slots)
        key.zero_()  # must not overtake the kernel that reads it
        seen = cache * 2
        cache.zero_()
        assert bool((seen == 60).all())
        assert bool((values == 30).all())
        assert bool((cache == 0).all())


def test_rotary_embedding_takes_its_turn_too() -> None:
    table = torch.tensor([[0.0] * 16 + [1.0] * 16], device="npu")  # a quarter turn
    positions = torch.zeros(8, dtype=torch.int64, device="npu")
    for _ in range(5):
        query = torch.zeros(8, 32, device="npu")
        torch.npu.synchronize()
        for _ in range(30):
            query[:, :16] += 1
        torch.ops.vllm_cann.rotary_embedding(positions, query, None, 32, table, True)
        query += 1
        want = torch.tensor([1.0] * 16 + [31.0] * 16).expand(8, 32)
        assert torch.equal(query.cpu(), want)


def test_events_order_side_streams_and_without_them_the_order_is_lost() -> None:
    # Keeps the main stream busy for far longer than the host needs to queue the rest.
    slow = torch.ones(1500, 1500, device="npu")

    def chain(wait: bool) -> bool:
        key, cache, slots = filled(32)
        side = torch.npu.Stream()
        ready, done = torch.npu.Event(), torch.npu.Event()
        slow @ slow
        for _ in range(30):
            key += 1
        ready.record()
        with torch.npu.stream(side):
            if wait:
                side.wait_event(ready)
            reshape_and_cache(key, key, cache, torch.zeros_like(cache), slots)
            cache *= 2
            done.record(side)
        torch.npu.current_stream().wait_event(done)
        seen = cache + 1
        torch.npu.synchronize()
        return bool((seen == 61).all())

    assert all(chain(wait=True) for _ in range(5))
    assert not all(chain(wait=False) for _ in range(5)), "delays show a missing wait"


def run(code: str, **environment: str) -> str:
    """The output of a program on this SoftNPU, with another environment."""
    prelude = "import torch, torch_npu\nfrom vllm_cann import ops\nfrom vllm_cann.ops.reshape_and_cache import reshape_and_cache\nfrom vllm_cann.ops.rotary_embedding import rotary_embedding\ndevice = torch.device('npu:0')\n"
    result = subprocess.run(
        [sys.executable, "-c", prelude + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# Launches that are prepared once.


def test_a_launch_is_prepared_for_what_it_depends_on() -> None:
    """Types, shapes, strides and options, not contents and addresses. The least recently used launch goes first."""
    reshape = _ops.Operator("reshape_and_cache")
    cache = torch.zeros(80, 8, 2, 16, dtype=torch.float16, device="npu")
    key = torch.zeros(600, 2, 16, dtype=torch.float16, device="npu")
    slots = torch.arange(600).npu()

    def call(tokens: int, key: torch.Tensor = key, index: torch.dtype = torch.int64, layout: str = "ND") -> tuple[int, int]:
        before = reshape.hits, reshape.misses
        reshape(key[:tokens], None, cache.view(key.dtype), None, slots[:tokens].to(index), layout)
        return reshape.hits - before[0], reshape.misses - before[1]

    hit, miss = (1, 0), (0, 1)
    assert call(4) == miss
    assert call(4, key.clone()) == hit
    assert call(5) == miss
    assert call(4, index=torch.int32) == miss
    assert call(4, key.view(torch.bfloat16)) == miss
    assert call(4, torch.zeros(600, 3, 16, dtype=torch.float16, device="npu")[:, :2]) == miss
    assert call(1) == miss
    assert call(1, torch.zeros(600, 3, 16, dtype=torch.float16, device="npu")[:, :2]) == hit  # one token is no step away from another
    with pytest.raises(ValueError, match="key_cache has the shape"):
        call(4, layout="HND")
    known = reshape.prepared
    for tokens in range(10, 10 + 512 - known):
        assert call(tokens) == miss
        assert call(4) == hit  # stays, as it is used
    assert reshape.prepared == 512
    assert call(600) == miss
    assert reshape.prepared == 512
    assert call(4) == hit
    assert call(5) == miss  # was the least recently used one
    torch.npu.synchronize()


def test_what_was_refused_is_refused_again() -> None:
    x = torch.zeros(1, 64, device="npu")
    for _ in range(2):
        with pytest.raises(ValueError, match="neighbours that are paired"):
            rotary_embedding(torch.zeros(1, dtype=torch.int64).npu(), x, None, 64, x, True, to_halves=True)


def test_another_device_than_the_current_one() -> None:
    out = run(
        "ops.load(device)\n"
        "def turn(i):\n"
        "    table = torch.full((1, 64), 2.0, device=f'npu:{i}')\n"
        "    x = torch.ones(1, 64, device=f'npu:{i}')\n"
        "    positions = torch.zeros(1, dtype=torch.int64, device=f'npu:{i}')\n"
        "    try:\n        rotary_embedding(positions, x, None, 64, table, False)\n"
        "    except (RuntimeError, ValueError) as error:\n        return str(error)\n"
        "    return x.cpu().unique().tolist()\n"
        "print(turn(0))\nprint(turn(1))\n"
        "torch.npu.set_device(1)\nprint(turn(1))\n"
        "torch.npu.set_device(0)\nprint(turn(1))\nprint(turn(0))\n"
    )
    first, refused, second, failed, again = out.splitlines()
    assert first == second == again == "[0.0, 4.0]"
    assert refused == failed == "rotary_embedding: the tensors are on npu:1, but the current device is npu:0"


def test_launches_wait_for_a_queue_that_lags() -> None:
    """Without workers a task runs in the thread that hands it over, so large additions hold the queue, and only the queue."""
    out = run(
        "ops.load(device)\n"
        "key = torch.zeros(1 << 13, 2, 512, device=device)\n"
        "cache = torch.zeros(1, 16, 2, 512, device=device)\n"
        "slots = torch.arange(16).npu()\n"
        "torch.npu.synchronize()\n"
        "for _ in range(5):\n    key += 1\n"
        "reshape_and_cache(key[:16], key[:16], cache, torch.zeros_like(cache), slots)\n"
        "print((cache == 5).all().item())\n",
        SOFTNPU_STREAMS="eager",
    )
    assert out.endswith("True\n")


# Failures of the device poison the process, so each is made in one of its own.


def test_a_fault_in_a_kernel_names_kernel_line_and_buffer() -> None:
    out = run(
        "ops.load(device)\n"
        "x = torch.zeros(2, 64, dtype=torch.float16, device=device)\n"
        "table = torch.zeros(4, 64, dtype=torch.float16, device=device)\n"
        "rotary_embedding(torch.tensor([0, 4]).npu(), x, None, 64, table, True)\n"
        "try:\n    torch.npu.synchronize()\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert "rotary_embedding_half" in out
    assert "cc/kernels/rotary/angles.h:" in out
    assert "outside the 512 bytes that SetGlobalBuffer gave the tensor" in out
    assert re.search(r"bytes \[\d+, \d+\) of GM allocation #\d+ \(\d+ bytes, device 0\)", out)


def test_a_wheel_without_kernels_says_so() -> None:
    out = run(
        "from pathlib import Path\n"
        "ops.kernel_directory = lambda: Path('/nowhere')\n"
        "try:\n    ops.load(device)\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert "vllm_cann's kernels cannot be loaded on Ascend910B3" in out
    assert "aclrtBinaryLoadFromFile('/nowhere/cache.ascend910b3.o') failed" in out


def test_an_operator_before_load_says_what_is_missing() -> None:
    out = run(
        "x = torch.zeros(1, 64, device=device)\n"
        "try:\n    rotary_embedding(torch.zeros(1, dtype=torch.int64).npu(), x, None, 64, x, True)\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert "the directory of the kernels is not set" in out

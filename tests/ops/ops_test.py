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

from vllm_cann import ops
from vllm_cann.ops import _arguments

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INDICES = (torch.int32, torch.int64)
CALLS = ("direct", "torch.ops")


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))


def function(name: str, call: str) -> Callable[..., None]:
    return getattr(ops if call == "direct" else torch.ops.vllm_cann, name)


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
    ops.reshape_and_cache(key, value, on_device[:, 0], on_device[:, 1], slots.npu())
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
    ops.reshape_and_cache(key, key, cache, cache, index)
    ops.rotary_embedding(index, key, key, 32, table, True)
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
        ops.reshape_and_cache(**(arguments | changes))

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
        ops.rotary_embedding(**(arguments | changes), head_size=head_size, is_neox=True)

    return call


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(*shape, dtype=dtype, device="npu")


REFUSALS: list[tuple[Callable[[], Callable[[], None]], str]] = [
    (
        lambda: cache_call(key=zeros(5, 64)),
        "key has the shape (5, 64); it must have 3 dimensions",
    ),
    (
        lambda: cache_call(value_cache=zeros(3, 8, 32)),
        "value_cache has the shape (3, 8, 32); it must have 4 dimensions",
    ),
    (
        lambda: cache_call(slot_mapping=torch.arange(5)),
        "slot_mapping is on cpu; all tensors must be on one NPU, and another is on npu:0",
    ),
    (
        lambda: cache_call(key=torch.zeros(5, 2, 32)),
        "key is on cpu; all tensors must be on one NPU",
    ),
    (
        lambda: cache_call(value=zeros(4, 2, 16)),
        "value is torch.float32 (4, 2, 16), but key is torch.float32 (5, 2, 32)",
    ),
    (
        lambda: cache_call(key_cache=zeros(3, 8, 2, 16)),
        "key_cache is torch.float32 (3, 8, 2, 16); for key, torch.float32 (5, 2, 32), a cache in ND is (3, 8, 2, 32)",
    ),
    (
        lambda: cache_call(value_cache=zeros(3, 4, 2, 16)),
        "the caches (3, 8, 2, 32) and (3, 4, 2, 16) have different blocks",
    ),
    (
        lambda: cache_call(value=zeros(5, 2, 16, dtype=torch.float16)),
        "value is torch.float16 (5, 2, 16), but key is torch.float32 (5, 2, 32)",
    ),
    (
        lambda: cache_call(key_cache=zeros(3, 8, 2, 32, dtype=torch.int8)),
        "key_cache is torch.int8 (3, 8, 2, 32); for key, torch.float32 (5, 2, 32), a cache in ND is (3, 8, 2, 32)",
    ),
    (
        lambda: cache_call(slot_mapping=torch.arange(10).npu()[::2]),
        "slot_mapping has the strides (2,); it must be contiguous",
    ),
    (
        lambda: cache_call(slot_mapping=torch.arange(5).int().npu().float()),
        "slot_mapping is torch.float32; it must be one of int32, int64",
    ),
    (
        lambda: cache_call(
            key=zeros(5, 2, 32, dtype=torch.int64),
            value=zeros(5, 2, 16, dtype=torch.int64),
            key_cache=zeros(3, 8, 2, 32, dtype=torch.int64),
            value_cache=zeros(3, 8, 2, 16, dtype=torch.int64),
        ),
        "key is torch.int64; it must be one of float32, float16, int8, bfloat16",
    ),
    (
        lambda: cache_call(key=zeros(5, 32, 2).transpose(1, 2)),
        "key has the strides (64, 1, 2); it must be contiguous but for the first of them",
    ),
    (
        lambda: cache_call(value=zeros(5, 3, 16)[:, ::2]),
        "value has the strides (48, 32, 1); it must be contiguous but for the first of them",
    ),
    (
        # Keys and values of a slot side by side: between slots there is a hole.
        lambda: cache_call(key_cache=zeros(3, 8, 2, 2, 32)[:, :, 0]),
        "key_cache has the strides (1024, 128, 32, 1); it must be contiguous but for the first of them",
    ),
    (
        lambda: cache_call(value_cache=zeros(3, 2, 8, 16).transpose(1, 2)),
        "value_cache has the strides (256, 16, 128, 1); it must be contiguous but for the first of them",
    ),
    (
        lambda: cache_call(key_cache=zeros(1, 8, 2, 32).expand(3, 8, 2, 32)),
        "key_cache has the block stride 0, less than a block's 512 elements",
    ),
    (
        lambda: rotary_call(cos_sin_cache=zeros(512)),
        "cos_sin_cache has the shape (512,); it must have 2 dimensions",
    ),
    (
        lambda: rotary_call(query=zeros(5, 2, 2, 32)),
        "query has the shape (5, 2, 2, 32); it must have 2 or 3 dimensions",
    ),
    (
        lambda: rotary_call(positions=torch.arange(5)),
        "positions is on cpu; all tensors must be on one NPU, and another is on npu:0",
    ),
    (
        lambda: rotary_call(key=torch.zeros(5, 64)),
        "key is on cpu; all tensors must be on one NPU, and another is on npu:0",
    ),
    (
        lambda: rotary_call(query=zeros(4, 128)),
        "query is torch.float32 (4, 128) for 5 positions and a table of torch.float32",
    ),
    (
        lambda: rotary_call(key=zeros(5, 64, dtype=torch.float16)),
        "key is torch.float16 (5, 64) for 5 positions and a table of torch.float32",
    ),
    (
        lambda: rotary_call(query=zeros(128, 5).t()),
        "query has the strides (1, 5); it must be contiguous but for the first of them",
    ),
    (
        lambda: rotary_call(key=zeros(5, 3, 32)[:, ::2]),
        "key has the strides (96, 64, 1); it must be contiguous but for the first of them",
    ),
    (
        lambda: rotary_call(key=zeros(5, 80)),
        "key has 80 elements per token, which are no heads of 32",
    ),
    (
        lambda: rotary_call(cos_sin_cache=zeros(32, 16).t()),
        "positions and cos_sin_cache must be contiguous",
    ),
    (
        lambda: rotary_call(positions=torch.arange(10).npu()[::2]),
        "positions and cos_sin_cache must be contiguous",
    ),
    (
        lambda: rotary_call(positions=zeros(5)),
        "positions is torch.float32; it must be one of int32, int64",
    ),
    (
        lambda: rotary_call(
            query=zeros(5, 128, dtype=torch.int8),
            key=None,
            cos_sin_cache=zeros(16, 32, dtype=torch.int8),
        ),
        "query is torch.int8; it must be one of float32, float16, bfloat16",
    ),
    (
        lambda: rotary_call(query=zeros(5, 128, dtype=torch.float64), cos_sin_cache=zeros(16, 32)),
        "query is torch.float64 (5, 128) for 5 positions and a table of torch.float32",
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
        ops.reshape_and_cache(key, key, cache, values, slots)
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
            ops.reshape_and_cache(key, key, cache, torch.zeros_like(cache), slots)
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
    prelude = "import torch, torch_npu\nfrom vllm_cann import ops\ndevice = torch.device('npu:0')\n"
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


def test_a_launch_is_prepared_for_what_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple] = []

    @_arguments.prepared
    def prepare(*arguments: object) -> int:
        seen.append(arguments)
        return len(seen)

    x = torch.zeros(4, 6, device="npu")
    calls = [
        ((x, None), (1, "ND")),
        ((x[:2], None), (1, "ND")),
        ((x.t(), None), (1, "ND")),
        ((x.view(6, 4), None), (1, "ND")),
        ((x.half(), None), (1, "ND")),
        ((None, x), (1, "ND")),
        ((x, x), (1, "ND")),
        ((x, None), (2, "ND")),
        ((x, None), (1, "NZ")),
    ]
    assert [prepare(*call) for call in calls] == list(range(1, len(calls) + 1))
    assert [prepare(*call) for call in calls] == list(range(1, len(calls) + 1))
    assert prepare((x.clone(), None), (1, "ND")) == 1
    monkeypatch.setattr(_arguments, "_MOST_PREPARED", len(calls) + 1)
    assert [prepare((x, None), (3 + i, "ND")) for i in range(3)] == [10, 11, 12]
    assert prepare((x, None), (4, "ND")) == 11
    assert prepare(*calls[0]) == 13  # forgotten


def test_what_was_refused_is_refused_again() -> None:
    x = torch.zeros(1, 64, device="npu")
    for _ in range(2):
        with pytest.raises(ValueError, match="neighbours that are paired"):
            ops.rotary_embedding(torch.zeros(1, dtype=torch.int64).npu(), x, None, 64, x, True, to_halves=True)


def test_another_device_than_the_current_one() -> None:
    out = run(
        "ops.load(device)\n"
        "def turn(i):\n"
        "    table = torch.full((1, 64), 2.0, device=f'npu:{i}')\n"
        "    x = torch.ones(1, 64, device=f'npu:{i}')\n"
        "    positions = torch.zeros(1, dtype=torch.int64, device=f'npu:{i}')\n"
        "    try:\n        ops.rotary_embedding(positions, x, None, 64, table, False)\n"
        "    except (RuntimeError, ValueError) as error:\n        return str(error)\n"
        "    return x.cpu().unique().tolist()\n"
        "print(turn(0))\nprint(turn(1))\n"
        "torch.npu.set_device(1)\nprint(turn(1))\n"
        "torch.npu.set_device(0)\nprint(turn(1))\nprint(turn(0))\n"
    )
    first, refused, second, failed, again = out.splitlines()
    assert first == second == again == "[0.0, 4.0]"
    assert refused == "the tensors are on npu:1, but the current device is npu:0"
    assert "failed with 107003" in failed
    assert "the stream is one of device 1, but device 0 is current" in failed


def test_launches_wait_for_a_queue_that_lags() -> None:
    """Without workers a task runs in the thread that hands it over, so large additions hold the queue, and only the queue."""
    out = run(
        "ops.load(device)\n"
        "key = torch.zeros(1 << 13, 2, 512, device=device)\n"
        "cache = torch.zeros(1, 16, 2, 512, device=device)\n"
        "slots = torch.arange(16).npu()\n"
        "torch.npu.synchronize()\n"
        "for _ in range(5):\n    key += 1\n"
        "ops.reshape_and_cache(key[:16], key[:16], cache, torch.zeros_like(cache), slots)\n"
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
        "ops.rotary_embedding(torch.tensor([0, 4]).npu(), x, None, 64, table, True)\n"
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
        "try:\n    ops.rotary_embedding(torch.zeros(1, dtype=torch.int64).npu(), x, None, 64, x, True)\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert "the directory of the kernels is not set" in out

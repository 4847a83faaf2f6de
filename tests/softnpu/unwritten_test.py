"""Reads of device memory that nobody has written stop, in operators and kernels, under unmodified torch_npu.

torch's caching allocator is off, so that every tensor is an allocation of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
import torch_npu

import softnpu
from vllm_cann import ops
from vllm_cann.ops.gather_cache import gather_cache
from vllm_cann.ops.reshape_and_cache import reshape_and_cache

SENTENCE = "is read where nobody has written"


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    yield
    softnpu.reset_device()


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="npu")


def index(*values: int) -> torch.Tensor:
    return torch.tensor(values, device="npu")


def stops(call: Callable[[], object], sentence: str = SENTENCE) -> None:
    with pytest.raises(RuntimeError) as error:
        call()
        torch.npu.synchronize()
    assert sentence in str(error.value)
    softnpu.reset_device()


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x + 1,
        lambda x: x.add_(1),
        lambda x: torch.ones(4, 4, device="npu") + x,
        lambda x: x @ torch.ones(4, 4, device="npu"),
        lambda x: torch.ones(4, 4, device="npu") @ x.t(),
        lambda x: x.sum(),
        lambda x: torch.softmax(x, -1),
        lambda x: torch.cat([torch.ones(1, 4, device="npu"), x]),
        lambda x: torch.where(x > 0, x, x),
        lambda x: x.to(torch.float16) + 0,
        lambda x: x[index(1)],
        lambda x: x[1, 2] + 1,
        lambda x: x.index_select(0, index(3)),
        lambda x: torch.gather(x, 0, index(0, 0, 0, 0).unsqueeze(0)),
        lambda x: torch.nn.functional.embedding(index(2), x),
        lambda x: torch_npu.npu_rms_norm(x, torch.ones(4, device="npu")),
    ],
)
def test_operators_that_read_an_empty_tensor_stop(read: Callable[[torch.Tensor], object]) -> None:
    stops(lambda: read(empty(4, 4)))


def test_the_sentence_names_the_operator_the_argument_and_the_place() -> None:
    x = empty(4, 4)
    x[:3] = 1
    stops(lambda: x.exp(), "aclnnExp: 'self' is read where nobody has written: offset 48 of allocation #")


@pytest.mark.parametrize("megabytes", [1, 65])
def test_size_makes_no_difference(megabytes: int) -> None:
    x = empty(megabytes << 20, dtype=torch.uint8)
    x[: (megabytes << 20) - 1] = 1
    assert x[5:7].cpu().tolist() == [1, 1]
    stops(lambda: x[-2:] + 0)


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x[1:3].fill_(2),
        lambda x: x[1:3].copy_(torch.ones(2, 4)),
        lambda x: x[1:3].copy_(torch.ones(4, 2, device="npu").t()),
        lambda x: x.index_copy_(0, index(1, 2), torch.ones(2, 4, device="npu")),
        lambda x: x.index_fill_(0, index(2, 1), 3.0),
        lambda x: x.index_put_((index(1, 2),), torch.ones(2, 4, device="npu")),
        lambda x: x.scatter_(0, torch.tensor([[1] * 4, [2] * 4], device="npu"), torch.ones(2, 4, device="npu")),
        lambda x: torch.add(torch.ones(2, 4, device="npu"), 1, out=x[1:3]),
        lambda x: x[1:3].normal_(),
    ],
)
def test_what_was_written_can_be_read_and_nothing_else(write: Callable[[torch.Tensor], object]) -> None:
    x = empty(4, 4)
    write(x)
    (x[1:3] + 1).cpu()
    stops(lambda: x[:2] + 1)
    stops(lambda: x[2:] + 1)


def test_operators_that_leave_elements_out_may_leave_them_unwritten() -> None:
    ones = torch.ones(2, 2, device="npu")
    assert torch.addmm(empty(2, 2), ones, ones, beta=0).cpu().eq(2).all()
    x = empty(4)
    mask = torch.tensor([True, False, True, False], device="npu")
    x.masked_fill_(mask, 1.0)
    stops(lambda: x + 0)
    x.masked_fill_(~mask, 0.0)
    assert x.cpu().tolist() == [1, 0, 1, 0]
    y = empty(4)
    y[:2] = 1
    y.index_add_(0, index(0, 1), torch.ones(2, device="npu"))
    y.scatter_add_(0, index(0), torch.ones(1, device="npu"))
    assert y[:2].cpu().tolist() == [3, 2]
    stops(lambda: y[2:] + 0)
    stops(lambda: y.index_add_(0, index(3), torch.ones(1, device="npu")))
    stops(lambda: empty(4).index_put_((index(1),), torch.ones(1, device="npu"), accumulate=True))
    source = empty(4)
    source[:2] = 7
    assert torch.zeros(4, device="npu").scatter_(0, index(0, 1), source).cpu().tolist() == [7, 7, 0, 0]
    stops(lambda: torch.zeros(4, device="npu").scatter_(0, index(0, 1, 2), source))


def test_an_output_of_unknown_size_is_written_as_far_as_it_is_found() -> None:
    found = torch.nonzero(torch.tensor([0, 1, 1, 0], device="npu"))
    assert found.cpu().tolist() == [[1], [2]]
    stops(lambda: found.as_strided((3,), (1,)) + 0)


def test_index_copy_beside_its_operand_in_one_storage() -> None:
    a = torch.arange(8.0, device="npu")
    torch.index_copy(a[:4], 0, index(0), torch.tensor([10.0], device="npu"), out=a[4:])
    assert a.cpu().tolist() == [0, 1, 2, 3, 10, 1, 2, 3]


def test_a_copy_takes_along_what_nobody_has_written() -> None:
    x = empty(4, 4)
    x[1] = 5
    for copy in (x.clone(), x.t().contiguous().t(), x.double()):
        assert copy[1].cpu().tolist() == [5] * 4
        stops(partial(torch.add, copy[0], 0))
    # What was there before is not either.
    z = torch.ones(4, 4, device="npu")
    z.copy_(x)
    assert z[1].cpu().tolist() == [5] * 4
    stops(lambda: z[2] + 1)


def test_padding_is_a_copy() -> None:
    x = empty(2, 2)
    x[1] = 5
    y = torch.nn.functional.pad(x, (1, 0, 0, 1), value=3)
    assert y[1:].cpu().tolist() == [[3, 5, 5], [3, 3, 3]]
    assert y[:, 0].cpu().tolist() == [3, 3, 3]
    stops(lambda: y[0, 1:] + 0)


def test_a_format_cast_is_a_copy() -> None:
    torch.npu.config.allow_internal_format = True
    try:
        x = empty(3, 20, dtype=torch.float16)
        x[1] = 5
        back = torch_npu.npu_format_cast(torch_npu.npu_format_cast(x, 29), 2)
        assert back[1].cpu().eq(5).all()
        stops(lambda: back[2] + 0)
    finally:
        torch.npu.config.allow_internal_format = False


def test_memory_that_was_freed_is_unwritten_again() -> None:
    x = torch.ones(1 << 20, device="npu")
    torch.npu.synchronize()
    address = x.data_ptr()
    del x
    y = empty(1 << 20)
    assert y.data_ptr() == address
    stops(lambda: y + 1)


def attention(length: int, written: int) -> torch.Tensor:
    """One query over a paged cache of 2 blocks, of which the first `written` places have keys and values."""
    heads, size, block = 2, 128, 128
    cache = torch.empty(2, 2, block, heads * size, dtype=torch.float16, device="npu")
    table = torch.tensor([[1, 0]], dtype=torch.int32, device="npu")
    for part in range(2):
        cache[part, 1, :written] = 1
    return torch_npu.npu_fused_infer_attention_score(
        torch.ones(1, heads, size, dtype=torch.float16, device="npu"),
        cache[0],
        cache[1],
        num_heads=heads,
        num_key_value_heads=heads,
        scale=1.0,
        input_layout="TND",
        block_table=table,
        block_size=block,
        actual_seq_lengths=[1],
        actual_seq_lengths_kv=[length],
        sparse_mode=3,
        atten_mask=torch.triu(torch.ones(2048, 2048, dtype=torch.int8), 1).npu(),
    )[0]


def test_attention_stops_at_a_place_of_the_cache_that_holds_nothing() -> None:
    assert torch.isfinite(attention(5, 5).cpu()).all()
    stops(lambda: attention(6, 5), "'key' is read where nobody has written")


def test_attention_stops_at_a_scale_that_holds_nothing() -> None:
    """Keys of int8: the scales of places that a length does not reach do not matter."""
    cache = torch.zeros(2, 128, 128, dtype=torch.int8, device="npu")
    scales = torch.empty(2, 1, 128, device="npu")
    scales[1, 0, :5] = 1

    def attend(length: int) -> torch.Tensor:
        return torch_npu.npu_fused_infer_attention_score(
            torch.ones(1, 1, 128, dtype=torch.float16, device="npu"),
            cache,
            cache,
            num_heads=1,
            input_layout="BSH",
            block_table=torch.tensor([[1, 0]], dtype=torch.int32, device="npu"),
            block_size=128,
            actual_seq_lengths_kv=[length],
            key_antiquant_scale=scales,
            value_antiquant_scale=scales,
            key_antiquant_mode=5,
            value_antiquant_mode=5,
        )[0]

    assert torch.isfinite(attend(5).cpu()).all()
    stops(lambda: attend(6), "'key_antiquant_scale' is read where nobody has written")


def test_kernels_mark_what_they_write_and_stop_at_the_rest() -> None:
    ops.load(torch.device("npu:0"))
    block, heads, size = 16, 1, 32
    cache = torch.empty(2, 4, block, heads, size, dtype=torch.float16, device="npu")
    keys = torch.ones(3, heads, size, dtype=torch.float16, device="npu")
    reshape_and_cache(keys, keys, cache[0], cache[1], torch.tensor([0, 1, 2], dtype=torch.int32, device="npu"))
    assert cache[1, 0, :3].cpu().eq(1).all()
    stops(lambda: cache[0, 0, 3] + 0)
    out = torch.empty(2, 4, heads, size, dtype=torch.float16, device="npu")
    table = torch.zeros(1, 1, dtype=torch.int32, device="npu")

    def gather(length: int) -> None:
        gather_cache(cache[0], cache[1], table, torch.tensor([length], dtype=torch.int32, device="npu"), out[0], out[1])
        torch.npu.synchronize()

    gather(3)
    assert out[0, :3].cpu().eq(1).all()
    stops(lambda: gather(4), "which was never written; the first is byte 0 of the 64 read (kernel gather_cache")


@pytest.mark.parametrize("megabytes", [1, 65])
def test_a_copy_to_the_host_shows_what_nobody_has_written(megabytes: int) -> None:
    """torch's fallback to the CPU copies outputs that nobody has written yet, so a copy does not stop."""
    x = empty(megabytes << 18)
    x[:2] = 1
    host = x.cpu()
    assert host[:2].tolist() == [1, 1]
    assert host[2:].isnan().all()
    assert torch.full_like(empty(3), 2).cpu().tolist() == [2, 2, 2]


def test_the_check_can_be_switched_off() -> None:
    code = "import torch, torch_npu; x = torch.empty(4, device='npu'); print((x + 1).isnan().all().item())"
    for option, found in (("ignore", "True"), ("stop", SENTENCE)):
        result = subprocess.run(
            [sys.executable, "-m", "softnpu", "run", "--memory", "64MiB", "--unwritten", option, "--", sys.executable, "-c", code],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert found in result.stdout + result.stderr

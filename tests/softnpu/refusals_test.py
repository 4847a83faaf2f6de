"""What the device refuses is refused by name, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch_npu

import softnpu

HEADS, KV_HEADS, SIZE, BLOCK = 4, 2, 128, 128


@pytest.fixture(autouse=True)
def _working_device() -> Iterator[None]:
    """A fault, or an operator that SoftNPU does not have, puts the device into error until it is reset."""
    yield
    softnpu.reset_device()


def attention(**changes: Any) -> torch.Tensor:
    """A legal call of the fused attention, with some arguments changed."""
    dtype = changes.pop("dtype", torch.float16)
    size = changes.pop("size", SIZE)
    block = changes.get("block_size", BLOCK)
    arguments: dict[str, Any] = {
        "query": torch.zeros(3, HEADS, size, dtype=dtype).npu(),
        "key": torch.zeros(2, block, KV_HEADS * size, dtype=dtype).npu(),
        "value": torch.zeros(2, block, KV_HEADS * size, dtype=dtype).npu(),
        "atten_mask": torch.triu(torch.ones(2048, 2048, dtype=torch.int8), 1).npu(),
        "block_table": torch.zeros(2, 1, dtype=torch.int32).npu(),
        "actual_seq_lengths": [1, 3],
        "actual_seq_lengths_kv": [1, 2],
        "num_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "input_layout": "TND",
        "sparse_mode": 3,
        "block_size": block,
        **changes,
    }
    inputs = [arguments.pop(name) for name in ("query", "key", "value")]
    out = torch_npu.npu_fused_infer_attention_score(*inputs, **arguments)[0]
    torch.npu.synchronize()
    return out


def dense(tokens: int = 3, keys: int = 5, **changes: Any) -> torch.Tensor:
    """A legal packed call over keys that are not paged, with some arguments changed."""
    arguments: dict[str, Any] = {
        "query": torch.zeros(tokens, HEADS, SIZE).half().npu(),
        "key": torch.zeros(keys, KV_HEADS, SIZE).half().npu(),
        "value": torch.zeros(keys, KV_HEADS, SIZE).half().npu(),
        "block_table": None,
        "block_size": 0,
        "actual_seq_lengths_kv": [2, 5],
        **changes,
    }
    return attention(**arguments)


def padded(layout: str, steps: int = 2, **changes: Any) -> torch.Tensor:
    """A legal call of two sequences of `steps` tokens over the paged cache, with some arguments changed."""
    query = torch.zeros(2, steps, HEADS, SIZE).half()
    query = {"BSH": query.flatten(2), "BSND": query, "BNSD": query.transpose(1, 2).contiguous()}[layout]
    arguments: dict[str, Any] = {"query": query.npu(), "input_layout": layout, "actual_seq_lengths": [1, 2], **changes}
    return attention(**arguments)


def whole(layout: str, batch: int = 2, heads: int = KV_HEADS, **changes: Any) -> torch.Tensor:
    """A legal padded call over keys that are not paged, 5 of them in each sequence, with some arguments changed."""
    keys = torch.zeros(batch, 5, heads, SIZE).half()
    keys = {"BSH": keys.flatten(2), "BSND": keys, "BNSD": keys.transpose(1, 2).contiguous()}[layout].npu()
    arguments: dict[str, Any] = {
        "key": keys,
        "value": keys,
        "block_table": None,
        "block_size": 0,
        "actual_seq_lengths_kv": [2, 5],
        **changes,
    }
    return padded(layout, **arguments)


@pytest.mark.parametrize("layout", ["BSH", "BSND", "BNSD"])
def test_the_legal_padded_calls_pass(layout: str) -> None:
    for call in (padded, whole):
        assert call(layout).numel() == call(layout, actual_seq_lengths_kv=[5]).numel() == 2 * 2 * HEADS * SIZE


# What the host checks of the fused attention: the code is the one of tiling.
ATTENTION_REFUSALS: list[tuple[Callable[[], object], str]] = [
    (lambda: attention(query=torch.zeros(5, HEADS, SIZE).half().npu()), "'actual_seq_lengths' ends at 3, 'query' has 5 tokens"),
    (lambda: attention(actual_seq_lengths=[1, 4]), "'actual_seq_lengths' holds 4 after 1: it is cumulative and ends at 3"),
    (lambda: attention(actual_seq_lengths=[-1, 3]), "'actual_seq_lengths' holds -1 after 0"),
    (lambda: attention(actual_seq_lengths=[]), "'actual_seq_lengths' has 0 entries, the limits are 1 and 4096"),
    (lambda: attention(actual_seq_lengths_kv=[1, 2, 3]), "'actual_seq_lengths_kv' has 3 entries for 2 sequences"),
    (lambda: attention(actual_seq_lengths_kv=[2]), "'actual_seq_lengths_kv' has 1 entries for 2 sequences"),
    (lambda: attention(actual_seq_lengths_kv=[-1, 2]), "'actual_seq_lengths_kv' gives a length of -1"),
    (
        lambda: attention(block_table=torch.zeros(1, 1, dtype=torch.int32).npu()),
        "'block_table' is int32 [1, 1], it must be int32 [2, blocks",
    ),
    (
        lambda: attention(block_table=torch.zeros(3, 1, dtype=torch.int32).npu()),
        "'block_table' is int32 [3, 1], it must be int32 [2, blocks",
    ),
    (lambda: attention(inner_precise=4), "'inner_precise' is 4, the limits are 0 and 3"),
    (lambda: attention(size=192), "the head size 192 in the layout TND, 192 for values, 4 query heads over 2 key heads"),
    (lambda: attention(size=80), "the head size 80 in the layout TND"),
    (lambda: dense(keys=8), "'actual_seq_lengths_kv' ends at 5, 'key' has 8 tokens"),
    (lambda: dense(actual_seq_lengths_kv=[2, 6]), "'actual_seq_lengths_kv' holds 6 after 2: it is cumulative and ends at 5"),
    (lambda: dense(actual_seq_lengths_kv=[5, 2]), "'actual_seq_lengths_kv' holds 2 after 5"),
    (lambda: dense(actual_seq_lengths_kv=[-1, 5]), "'actual_seq_lengths_kv' holds -1 after 0"),
    (lambda: dense(actual_seq_lengths_kv=[5]), "'actual_seq_lengths_kv' has 1 entries for 2 sequences"),
    (lambda: dense(actual_seq_lengths_kv=[1, 2, 5]), "'actual_seq_lengths_kv' has 3 entries for 2 sequences"),
    *(
        case
        for layout in ("BSH", "BSND", "BNSD")
        for case in (
            (
                lambda layout=layout: padded(layout, actual_seq_lengths_kv=[1, 2, 3]),
                "'actual_seq_lengths_kv' has 3 entries for 2 sequences",
            ),
            (lambda layout=layout: padded(layout, actual_seq_lengths=[1, 3]), "'actual_seq_lengths' holds 3, the limits are 0 and 2"),
            (lambda layout=layout: padded(layout, actual_seq_lengths=[-1, 2]), "'actual_seq_lengths' holds -1, the limits are 0 and 2"),
            (lambda layout=layout: padded(layout, actual_seq_lengths_kv=[1, 129]), "gives a length of 129, the limits are 0 and 128"),
            (lambda layout=layout: padded(layout, 1, inner_precise=2), "'inner_precise' is 2, the limits are 0 and 1"),
            (lambda layout=layout: whole(layout, actual_seq_lengths_kv=[1, 2, 3]), "'actual_seq_lengths_kv' has 3 entries for 2 sequences"),
            (lambda layout=layout: whole(layout, actual_seq_lengths_kv=[1, 6]), "gives a length of 6, the limits are 0 and 5"),
            (lambda layout=layout: whole(layout, 1), "with 2 key heads"),
            (lambda layout=layout: whole(layout, heads=1), "with 2 key heads"),
        )
    ),
]


@pytest.mark.parametrize("case", range(len(ATTENTION_REFUSALS)))
def test_attention_refuses_lengths_and_shapes(case: int) -> None:
    function, sentence = ATTENTION_REFUSALS[case]
    with pytest.raises(RuntimeError, match="561002") as error:
        function()
    assert sentence in str(error.value)


def nine(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty([1] * 9, dtype=dtype, device="npu")


INVALID: list[tuple[Callable[[], object], str]] = [
    (lambda: nine() + 1, "aclnnAdds: 'self' has 9 dimensions, the limit is 8"),
    (lambda: torch.ones(1).npu() * nine(), "has 9 dimensions, the limit is 8"),
    (lambda: torch.cat([nine(), nine()]), "has 9 dimensions, the limit is 8"),
    (lambda: nine().half().sum(-1), "has 9 dimensions, the limit is 8"),
    (lambda: nine(torch.int32) >> 1, "has 9 dimensions, the limit is 8"),
    (lambda: torch.ones(3).npu() >> 1, "'self' is float32 [3], a shift takes int8, int16, int32, int64 and uint8"),
    (lambda: torch.ones(3).bool().npu() >> torch.ones(3).int().npu(), "'self' is bool [3], a shift takes"),
    (lambda: torch.ones(3).int().npu() << torch.ones(3).npu(), "'other' is float32 [3], a shift takes"),
    (lambda: torch.ones(1).int().npu() >> torch.ones(3).int().npu(), "'other' int32 [3] cannot be broadcast to the shape of int32 [1]"),
    (lambda: torch.bitwise_and(torch.ones(3).npu(), 1), "a bitwise operator takes integers and bool, not float32 [3]"),
    (lambda: torch.ones(4, dtype=torch.int8).npu().index_fill_(0, torch.tensor([1]).npu(), 2), "'self' is int8 [4], it must be float32"),
    (
        lambda: torch.nn.functional.layer_norm(torch.ones(2, 4).half().npu(), (4,), *[torch.ones(4).bfloat16().npu()] * 2),
        "'weight' is bfloat16 [4], 'input' is float16 [2, 4]",
    ),
    (
        lambda: torch.nn.functional.layer_norm(torch.ones(2, 4).half().npu(), (4,), torch.ones(4).half().npu(), torch.ones(4).npu()),
        "'weight' is float16 [4], 'bias' is float32 [4]",
    ),
    (lambda: torch.nn.functional.hardswish(torch.ones(3, dtype=torch.int32).npu()), "it must be float32, float16 or bfloat16"),
]


@pytest.mark.parametrize("case", range(len(INVALID)))
def test_an_invalid_argument_is_named(case: int) -> None:
    function, sentence = INVALID[case]
    with pytest.raises(RuntimeError, match="161002") as error:
        function()
    assert sentence in str(error.value)


@pytest.mark.parametrize("bad", [4, -5, 2**40])
@pytest.mark.parametrize("name", ["index_copy", "index_add"])
def test_an_index_outside_is_an_error_of_the_device(name: str, bad: int) -> None:
    at = torch.tensor([1, bad]).npu()
    with pytest.raises(RuntimeError) as error:
        getattr(torch.zeros(4, 3).npu(), name)(0, at, torch.ones(2, 3).npu())
        torch.npu.synchronize()
    assert f"'index' holds {bad} at position 1, the limit is 4" in str(error.value)


def test_an_index_outside_is_skipped_by_a_fill() -> None:
    """As the operator's page says; torch on the CPU raises."""
    at = torch.tensor([4, 1, -5, -1]).npu()
    assert torch.zeros(4).npu().index_fill_(0, at, 2).cpu().tolist() == [0, 2, 0, 2]


def test_the_legal_call_passes() -> None:
    assert attention().shape == (3, HEADS, SIZE)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (
            lambda: torch.ones(4, 4, dtype=torch.float64).npu() @ torch.ones(4, 4, dtype=torch.float64).npu(),
            "a matrix product takes float32, float16 and bfloat16, not float64 [4, 4]",
        ),
        (
            lambda: torch_npu.npu_moe_gating_top_k_softmax(torch.ones(4, 4).npu(), k=2),
            "aclnnMoeGatingTopKSoftmax: SoftNPU does not implement this operator",
        ),
        (
            lambda: torch.ones(4, 4).npu().index_select(0, torch.tensor([9]).npu()),
            "'index' holds 9 at position 0, the limit is 4",
        ),
        (
            lambda: torch_npu.npu_add_rms_norm(*[torch.ones(2, 32).half().npu()] * 2, torch.ones(32).npu()),
            "'gamma' is float32 [32], 'x' is float16 [2, 32]",
        ),
        (
            lambda: attention(dtype=torch.float32),
            "'query' is float32 [3, 4, 128], it must be float16 or bfloat16",
        ),
        (lambda: attention(size=64), "the head size 64 in the layout TND"),
        (lambda: attention(size=120), "the head size 120: a multiple of 16"),
        (lambda: attention(atten_mask=None), "the argument 'atten_mask' is null"),
        (
            lambda: attention(atten_mask=torch.ones(3, 3, dtype=torch.int8).npu()),
            "need exactly [2048, 2048]",
        ),
        (lambda: attention(block_size=100), "the block size 100"),
        (
            lambda: attention(num_heads=3, query=torch.zeros(3, 3, SIZE).half().npu()),
            "3 query heads over 2 key heads",
        ),
        (
            lambda: attention(actual_seq_lengths=[2, 1]),
            "'actual_seq_lengths' holds 1 after 2: it is cumulative",
        ),
        (
            lambda: attention(actual_seq_lengths_kv=[1, 129]),
            "'actual_seq_lengths_kv' gives a length of 129, the limits are 0 and 128",
        ),
        (
            lambda: attention(actual_seq_lengths_kv=[1]),
            "'actual_seq_lengths_kv' has 1 entries for 2 sequences",
        ),
        (
            lambda: attention(block_table=torch.zeros(2, 1, dtype=torch.int64).npu()),
            "'block_table' is int64 [2, 1], it must be int32",
        ),
        (
            lambda: attention(block_table=torch.full((2, 1), 7, dtype=torch.int32).npu()),
            "block_table[0, 0] is 7, the cache has 2 blocks (undefined on the device)",
        ),
        (lambda: attention(sparse_mode=9), "sparse mode 9"),
    ],
)
def test_refusal_names_what_is_wrong(function: Callable[[], object], sentence: str) -> None:
    with pytest.raises(RuntimeError, match=r".") as error:
        function()
        torch.npu.synchronize()
    assert sentence in str(error.value)
    # A wrong call changes nothing. What the device met while it ran, or what SoftNPU cannot compute, stays until it is reset.
    if any(words in str(error.value) for words in ("undefined on the device", "does not implement")):
        with pytest.raises(RuntimeError) as later:
            torch.ones(2).npu()
        assert sentence in str(later.value)
        softnpu.reset_device()
    assert torch.equal((torch.ones(2).npu() + 1).cpu(), torch.full((2,), 2.0)), "the process goes on"

"""What the device refuses is refused by name, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_npu

import softnpu

HEADS, KV_HEADS, SIZE, BLOCK = 4, 2, 128, 128


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

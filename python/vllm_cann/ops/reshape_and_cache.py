"""Writes keys and values into the paged cache.

A cache is [blocks, block size, heads, head size] ("ND"), [blocks, heads, block size, head size] ("HND") or
[blocks, heads * head size / n, block size, n] ("NZ", n elements being 32 bytes). Blocks are contiguous; any step between blocks will do.
The slot of place p in block b is b * block size + p.
"""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("reshape_and_cache")


@operator(mutates=("key_cache", "value_cache"))
def reshape_and_cache(
    key: torch.Tensor,
    value: torch.Tensor | None,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
    slot_mapping: torch.Tensor,
    layout: str = "ND",
) -> None:
    """Writes keys and values into the paged cache, in place. Contract of torch_npu.npu_scatter_pa_kv_cache and of vLLM's reshape_and_cache:
    rows of keys without a slot are padding, and so are slots without a row.

    Args:
        key: [tokens, heads, key head size]; float32, float16, bfloat16, int8, uint8 or int32; any step between tokens
        value: [tokens, heads, value head size], same dtype; None together with value_cache: keys only
        key_cache: of the layout, same dtype
        value_cache: the same for value
        slot_mapping: int32 or int64, [slots], contiguous; unique slots; negative or beyond the cache: the token is skipped
        layout: "ND", "HND" or "NZ"

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed
    """
    _KERNEL(key, value, key_cache, value_cache, slot_mapping, layout)

"""Reads keys and values of requests from the paged cache. Layouts are those of ``reshape_and_cache``."""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("gather_cache")


@operator(mutates=("key", "value"))
def gather_cache(
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
    block_table: torch.Tensor,
    seq_lens: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor | None,
    seq_starts: torch.Tensor | None = None,
    layout: str = "ND",
) -> None:
    """Makes dense rows of what requests have in the paged cache, one request after the other. Contract of torch_npu.npu_gather_pa_kv_cache.

    Args:
        key_cache, value_cache: of the layout, float32, float16, bfloat16, int8, uint8 or int32; value_cache None together with value
        block_table: int32 [requests, blocks], contiguous
        seq_lens: int32 [requests], or [requests + 1] sums of lengths from 0 on
        key: [rows, heads, key head size], contiguous, written; rows beyond the sum of lengths keep what they hold
        value: the same for value_cache
        seq_starts: int32 [requests], the first position of each request that is wanted, need not be a multiple of the block size; None: 0
        layout: "ND", "HND" or "NZ"; rows are ND in any case

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed. Positions beyond block_table and blocks beyond the cache are errors of the device
    """
    _KERNEL(key_cache, value_cache, block_table, seq_lens, seq_starts, key, value, layout)

"""Reorders blocks that several ranks filled."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._cache_table import check_alike, check_range, on_device, table
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("transpose_kv_cache")


@operator(mutates=("key_caches", "value_caches"), on_host=True)
def transpose_kv_cache_by_block(
    key_caches: Sequence[torch.Tensor], value_caches: Sequence[torch.Tensor], block_ids: torch.Tensor, splits: int
) -> None:
    """Reorders blocks that were filled by `splits` ranks one after the other, in place, keys and values of all layers in one launch.

    The memory of a block, read as [splits, block size, heads / splits, head size], becomes [block size, heads, head size]. Contract of
    vllm-ascend's transpose_kv_cache_by_block.

    Args:
        key_caches, value_caches: [blocks, block size, heads, head size], one shape, any dtype of 1, 2 or 4 bytes; any step between blocks
        block_ids: int64 [n], unique; on the host they are checked here, on the device an id beyond the cache is an error of the device
        splits: divides heads; 1 changes nothing

    Raises:
        ValueError: shapes, dtypes or strides that do not fit; ids that there are not, or twice
        RuntimeError: the launch failed
    """
    if len(key_caches) != len(value_caches):
        raise ValueError(f"there are {len(key_caches)} key caches and {len(value_caches)} value caches")
    caches = [*key_caches, *value_caches]
    if not caches:
        return
    first = check_alike(caches)
    for i, cache in enumerate(caches):
        if cache.shape != first.shape:
            raise ValueError(f"cache {i} has the shape {tuple(cache.shape)}, but cache 0 {tuple(first.shape)}")
    if block_ids.device.type == "cpu" and block_ids.dim() == 1:
        check_range(block_ids, "block_ids", first.shape[0])
        if block_ids.unique().numel() != block_ids.numel():
            raise ValueError("block_ids has a block twice")
    ids = on_device(block_ids, "block_ids", 1, first.device)
    addresses = table(
        tuple(word for cache in caches for word in (cache.data_ptr(), cache.stride(0) * cache.element_size())), 2, first.device
    )
    _KERNEL(addresses, ids, first.element_size(), *first.shape, splits)

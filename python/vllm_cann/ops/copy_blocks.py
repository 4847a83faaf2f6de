"""Copies blocks within paged caches."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._cache_table import check_alike, check_range, on_device, table
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("copy_blocks")


@operator(mutates=("caches",), on_host=True)
def copy_blocks(caches: Sequence[torch.Tensor], mapping: torch.Tensor) -> None:
    """Copies block mapping[i, 0] over block mapping[i, 1] of every cache, in one launch. Contract of vLLM's copy_blocks.

    Args:
        caches: [blocks, ..], keys and values of all layers, one dtype, as many blocks each; blocks contiguous, any step between them
        mapping: int64 [pairs, 2]; on the host it is checked here, on the device a wrong block is an error of the device

    Raises:
        ValueError: caches that do not fit, blocks that there are not, a destination that another pair has as source or destination
        RuntimeError: the launch failed
    """
    if not caches:
        return
    first = check_alike(caches)
    if mapping.dim() == 2 and mapping.shape[1] != 2:
        raise ValueError(f"mapping has the shape {tuple(mapping.shape)}; it must be [pairs, 2]")
    if mapping.device.type == "cpu" and mapping.dim() == 2:
        check_range(mapping, "mapping", first.shape[0])
        destinations = mapping[:, 1].tolist()
        if len(set(destinations)) < len(destinations) or not set(destinations).isdisjoint(mapping[:, 0].tolist()):
            raise ValueError("mapping has a destination that is another pair's source or destination")
    pairs = on_device(mapping, "mapping", 2, first.device)
    sizes = [cache[0].numel() * cache.element_size() if cache.shape[0] else 1 for cache in caches]
    words = [
        word for cache, size in zip(caches, sizes, strict=True) for word in (cache.data_ptr(), cache.stride(0) * cache.element_size(), size)
    ]
    addresses = table(tuple(words), 3, first.device)
    whole = all(size % 32 == 0 for size in sizes)
    _KERNEL(addresses, pairs, first.shape[0], max(sizes), whole)

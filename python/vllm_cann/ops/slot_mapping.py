"""Where in the cache a step's tokens go: replaces a Triton kernel of vLLM."""

from __future__ import annotations

import torch

from vllm_cann.ops import cache


def compute_slot_mapping(
    num_tokens: int,
    max_num_tokens: int,
    query_start_loc_ptr: torch.Tensor,
    positions_ptr: torch.Tensor,
    block_table_ptr: torch.Tensor,
    block_table_stride: int,
    slot_mapping_ptr: torch.Tensor,
    KV_CACHE_BLOCK_SIZE: int,
    TOTAL_CP_WORLD_SIZE: int,
    TOTAL_CP_RANK: int,
    CP_KV_CACHE_INTERLEAVE_SIZE: int,
    PAD_ID: int,
    BLOCK_SIZE: int,
) -> None:
    """slot = block_table[request, position // block size] * block size + position % block size; the rest of the buffer is PAD_ID.

    With context parallelism, tokens of other ranks get PAD_ID, too. Parameters have the names of the kernel's, so that vLLM passes them by
    name; BLOCK_SIZE is a number of that kernel. All tensors are on the device; nothing waits for it.

    Raises:
        ValueError: shapes, dtypes or numbers that do not fit
    """
    cache.slot_mapping(
        query_start_loc_ptr,
        positions_ptr,
        block_table_ptr.view(-1, block_table_stride),
        slot_mapping_ptr[:max_num_tokens],
        num_tokens,
        KV_CACHE_BLOCK_SIZE,
        TOTAL_CP_WORLD_SIZE,
        TOTAL_CP_RANK,
        CP_KV_CACHE_INTERLEAVE_SIZE,
        PAD_ID,
    )

"""Where in the cache a step's tokens go: replaces a Triton kernel of vLLM."""

from __future__ import annotations

import torch


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

    Parameters have the names of the kernel's, so that vLLM passes them by name. All tensors are on the device; nothing waits for it.

    Raises:
        NotImplementedError: context parallelism
    """
    if TOTAL_CP_WORLD_SIZE != 1:
        raise NotImplementedError(f"context parallelism over {TOTAL_CP_WORLD_SIZE} ranks is not available on vllm_cann")
    slot_mapping_ptr[num_tokens:max_num_tokens].fill_(PAD_ID)
    if num_tokens == 0:
        return
    positions = positions_ptr[:num_tokens]
    lengths = query_start_loc_ptr[1:] - query_start_loc_ptr[:-1]
    numbers = torch.arange(lengths.shape[0], device=lengths.device)
    requests = torch.repeat_interleave(numbers, lengths, output_size=num_tokens)
    blocks = block_table_ptr[requests, torch.div(positions, KV_CACHE_BLOCK_SIZE, rounding_mode="floor")]
    slot_mapping_ptr[:num_tokens] = blocks.to(torch.int64) * KV_CACHE_BLOCK_SIZE + positions % KV_CACHE_BLOCK_SIZE

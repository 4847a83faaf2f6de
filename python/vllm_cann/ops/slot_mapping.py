"""Where in the cache a step's tokens go."""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("slot_mapping")


@operator(mutates=("slots",))
def slot_mapping(
    query_start_loc: torch.Tensor,
    positions: torch.Tensor,
    block_table: torch.Tensor,
    slots: torch.Tensor,
    num_tokens: int,
    block_size: int,
    world_size: int = 1,
    rank: int = 0,
    interleave: int = 1,
    pad_id: int = -1,
    is_circular: bool = False,
) -> None:
    """Writes the slots that a step's tokens go to.

    Contracts of vLLM's compute_slot_mapping, and of vllm-ascend's, which has circular blocks.

    Token t of request i, with p = positions[t] and o = p % (block_size * world_size), belongs to the rank o // interleave % world_size.
    There its slot is block_table[i, p // (block_size * world_size)] * block_size + o // (interleave * world_size) * interleave
    + o % interleave. Other tokens, and elements of slots without a token, get pad_id.

    Args:
        query_start_loc: int32 [requests + 1], sorted: the first token of each request
        positions: int32 or int64, at least [num_tokens]; below 2^24
        block_table: int32, at least [requests, blocks], contiguous
        slots: int32 or int64, at least [num_tokens], written completely
        interleave: divides block_size
        is_circular: each request has one block alone, which its tokens go round (a sliding window): the slot is block_table[i, 0] *
            block_size + p % block_size, and a token at a negative position gets pad_id. Not with a world_size above 1

    Raises:
        ValueError: shapes, dtypes or numbers that do not fit
        RuntimeError: the launch failed. Errors of the device: positions that are negative or beyond block_table, and of circular blocks
            those from 2^24 on
    """
    tensors = (query_start_loc, positions, block_table, slots)
    _KERNEL(*tensors, num_tokens, block_size, world_size, rank, interleave, pad_id, is_circular)


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
    slot_mapping(
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

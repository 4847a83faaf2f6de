"""Sorts the rows of tokens by their experts, and quantises them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("moe_init_routing")

_NONE, _DYNAMIC = -1, 1  # quant_mode; 0 is static quantisation

_MOST_EXPERTS = 10240
_MOST_ROWS = 2**24


def _check_sizes(x: torch.Tensor, expert_idx: torch.Tensor, name: str, experts: int, rows: int = 0) -> None:
    """Of what results are allocated from, before the plan sees them."""
    if x.dim() != 2 or expert_idx.dim() != 2:
        raise ValueError(f"x has the shape {tuple(x.shape)}, {name} {tuple(expert_idx.shape)}; both must have 2 dimensions")
    if not 0 <= experts <= _MOST_EXPERTS:
        raise ValueError(f"the range of experts has {experts}; it can have 0 to {_MOST_EXPERTS}")
    if rows > _MOST_ROWS:
        raise ValueError(f"a capacity for all experts has {rows} rows; the limit is {_MOST_ROWS}")


def _route(
    x: torch.Tensor,
    expert_idx: torch.Tensor,
    row_idx: torch.Tensor | None,
    scale: torch.Tensor | None,
    offset: torch.Tensor | None,
    rows: torch.Tensor,
    places: torch.Tensor,
    sorted_experts: torch.Tensor | None,
    counts: torch.Tensor | None,
    scales: torch.Tensor | None,
    *options: int,
) -> None:
    """`options`: the first expert, their number, the capacity, row_idx_type, the type of counts, quant_mode."""
    tensors = (x, expert_idx, row_idx, scale, offset, rows, places, sorted_experts, counts, scales)
    # Of the tensors it depends on expert_idx alone.
    words = _KERNEL.workspace_bytes(None, expert_idx, *[None] * 9, *options) // 4
    _KERNEL(*tensors, places.new_empty(words) if words else None, *options)


def _numbered_results(
    x: torch.Tensor, row_idx: torch.Tensor, expert_idx: torch.Tensor, active_num: int, num_experts: int = 1024
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens, k = expert_idx.shape
    places = expert_idx.new_empty(tokens * k, dtype=torch.int32)
    return x.new_empty(torch.sym_min(tokens, active_num) * k, x.shape[1]), places, torch.empty_like(places)


@operator(fake=_numbered_results)
def moe_init_routing(
    x: torch.Tensor, row_idx: torch.Tensor, expert_idx: torch.Tensor, active_num: int, num_experts: int = 1024
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sorts the rows of tokens by expert, pairs being numbered by row_idx. Contract of torch_npu.npu_moe_init_routing, and num_experts.

    Pairs are sorted by expert, stably, in the order in which they lie. The pair at place i with the number r = row_idx[token, j] has the
    row x[r % tokens], and element r of the second result is i. Pairs of experts outside of [0, num_experts) are skipped: their place is -1.
    Numbers outside of [0, tokens * k) have no row. Rows and sorted experts at places that no pair has hold nothing that is defined.

    Args:
        x: [tokens, H], any type of 1, 2 or 4 bytes, contiguous
        row_idx: int32 [tokens, k], j * tokens + token as a rule (moe_gating_top_k_softmax)
        expert_idx: int32 [tokens, k]
        active_num: the first min(tokens, active_num) * k places have rows
        num_experts: at most 10240; fewer cost less

    Returns:
        rows [min(tokens, active_num) * k, H]; places int32 [tokens * k]; sorted experts int32 [tokens * k]

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    if active_num < 0:
        raise ValueError(f"active_num is {active_num}; it must not be negative")
    _check_sizes(x, expert_idx, "expert_idx", num_experts)
    rows, places, sorted_experts = _numbered_results(x, row_idx, expert_idx, active_num)
    _route(x, expert_idx, row_idx, None, None, rows, places, sorted_experts, None, None, 0, num_experts, 0, 0, 0, _NONE)
    return rows, places, sorted_experts


def _range(expert_num: int, active_expert_range: Sequence[int] | None) -> tuple[int, int]:
    if not active_expert_range:
        if expert_num < 1:
            raise ValueError(f"expert_num is {expert_num}, and active_expert_range is empty; one of them must say which experts there are")
        return 0, expert_num
    if len(active_expert_range) != 2 or active_expert_range[1] < active_expert_range[0]:
        raise ValueError(f"active_expert_range is {list(active_expert_range)}; it must be a beginning and an end that is not below it")
    return active_expert_range[0], active_expert_range[1]


def _has_scales(quant_mode: int, scale: torch.Tensor | None) -> bool:
    """Rows have a scale: one that goes along with them, or that of dynamic quantisation."""
    return quant_mode == _DYNAMIC or (quant_mode < 0 and scale is not None)


def _routed_results(
    x: torch.Tensor,
    expert_idx: torch.Tensor,
    *,
    scale: torch.Tensor | None = None,
    active_num: int = -1,
    expert_capacity: int = -1,
    expert_num: int = -1,
    drop_pad_mode: int = 0,
    expert_tokens_num_type: int = 0,
    expert_tokens_num_flag: bool = False,
    quant_mode: int = -1,
    active_expert_range: Sequence[int] | None = None,
    **_: object,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    begin, end = _range(expert_num, active_expert_range)
    number = end - begin
    pairs = expert_idx.shape[0] * expert_idx.shape[1]
    rows = number * expert_capacity if drop_pad_mode else torch.sym_min(pairs, active_num) if active_num > 0 else pairs
    shape = (number, expert_capacity, x.shape[1]) if drop_pad_mode else (rows, x.shape[1])
    counts = (0,) if not expert_tokens_num_flag else (number, 2) if expert_tokens_num_type == 2 else (number,)
    return (
        x.new_empty(shape, dtype=torch.int8 if quant_mode >= 0 else x.dtype),
        expert_idx.new_empty(pairs, dtype=torch.int32),
        x.new_empty(counts, dtype=torch.int64),
        x.new_empty(rows if _has_scales(quant_mode, scale) else 0, dtype=torch.float32),
    )


@operator(fake=_routed_results)
def moe_init_routing_v2(
    x: torch.Tensor,
    expert_idx: torch.Tensor,
    *,
    scale: torch.Tensor | None = None,
    offset: torch.Tensor | None = None,
    active_num: int = -1,
    expert_capacity: int = -1,
    expert_num: int = -1,
    drop_pad_mode: int = 0,
    expert_tokens_num_type: int = 0,
    expert_tokens_num_flag: bool = False,
    quant_mode: int = -1,
    active_expert_range: Sequence[int] | None = None,
    row_idx_type: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sorts the rows of tokens by expert. Contract of torch_npu.npu_moe_init_routing_v2.

    Pairs (token, j) whose expert lies in the active range are sorted by expert, stably; the pair at place i has row i of the first result.
    Pairs of other experts, negative numbers among them, are skipped. Rows and scales at places that no pair has hold nothing that is
    defined, but with a capacity they are zero.

    Args:
        x: [tokens, H], contiguous; any type of 1, 2 or 4 bytes, for quantisation float32, float16 or bfloat16
        expert_idx: int32 or int64 [tokens, k]
        scale: float32; [tokens], taken along, without quantisation; [1] for static, [experts of the range, H] or None for dynamic
        offset: float32 [1] for static quantisation
        active_num: rows of the first result at most; -1 or 0: all
        expert_capacity: rows of an expert with drop_pad_mode 1; further pairs of it are dropped
        expert_num: number of experts, at most 10240
        drop_pad_mode: 0 or 1
        expert_tokens_num_type: 0 running sums, 1 counts, 2 (expert, count) of those that have pairs, then zeros (at most 5120 experts)
        expert_tokens_num_flag: give them
        quant_mode: -1 none, 0 static: x * scale + offset, 1 dynamic: x (* scale of the expert) / scale of the row; rounded to nearest even
        active_expert_range: [begin, end); empty: [0, expert_num)
        row_idx_type: the second result is 0 the place of each pair, 1 the pair of each place; -1 for none

    Returns:
        rows [places, H], or [experts of the range, expert_capacity, H]; int32 [tokens * k]; counts int64 [experts of the range],
        [.., 2] or [0]; scales float32 [places], or [0]

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    if drop_pad_mode not in (0, 1):
        raise ValueError(f"drop_pad_mode is {drop_pad_mode}; it can be 0 or 1")
    if drop_pad_mode == 1 and expert_capacity < 1:
        raise ValueError(f"expert_capacity is {expert_capacity}; with drop_pad_mode 1 it must be positive")
    if expert_tokens_num_type not in (0, 1, 2):
        raise ValueError(f"expert_tokens_num_type is {expert_tokens_num_type}; it can be 0, 1 or 2")
    begin, end = _range(expert_num, active_expert_range)
    _check_sizes(x, expert_idx, "expert_idx", end - begin, (end - begin) * expert_capacity if drop_pad_mode else 0)
    rows, places, counts, scales = _routed_results(
        x,
        expert_idx,
        scale=scale,
        active_num=active_num,
        expert_capacity=expert_capacity,
        drop_pad_mode=drop_pad_mode,
        expert_tokens_num_type=expert_tokens_num_type,
        expert_tokens_num_flag=expert_tokens_num_flag,
        quant_mode=quant_mode,
        active_expert_range=(begin, end),
    )
    wanted_counts = counts if expert_tokens_num_flag else None
    wanted_scales = scales if _has_scales(quant_mode, scale) else None
    capacity = expert_capacity if drop_pad_mode else 0
    options = (begin, end - begin, capacity, row_idx_type, expert_tokens_num_type, quant_mode)
    _route(x, expert_idx, None, scale, offset, rows, places, None, wanted_counts, wanted_scales, *options)
    return rows, places, counts, scales


def _permuted_results(
    tokens: torch.Tensor, indices: torch.Tensor, num_out_tokens: int | None = None, padded_mode: bool = False, num_experts: int = 1024
) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = indices.numel()
    rows = pairs
    if num_out_tokens:
        rows = torch.sym_max(0, pairs + num_out_tokens) if num_out_tokens < 0 else torch.sym_min(pairs, num_out_tokens)
    return tokens.new_empty(rows, tokens.shape[1]), indices.new_empty(pairs, dtype=torch.int32)


@operator(fake=_permuted_results)
def moe_token_permute(
    tokens: torch.Tensor, indices: torch.Tensor, num_out_tokens: int | None = None, padded_mode: bool = False, num_experts: int = 1024
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sorts the rows of tokens by index. Contract of torch_npu.npu_moe_token_permute, and num_experts.

    The entries of `indices` are sorted, stably; entry f = token * k + j comes to place sorted_indices[f], which gets the token's row.
    Entries outside of [0, num_experts) are skipped: their place is -1. Rows at places that no entry has hold nothing that is defined.

    Args:
        tokens: [tokens, H], any type of 1, 2 or 4 bytes, contiguous
        indices: int32 or int64 [tokens] or [tokens, k], as a rule the experts
        num_out_tokens: rows of the result; None or 0: all; negative: all but so many
        padded_mode: False
        num_experts: at most 10240; fewer cost less

    Returns:
        permuted rows; sorted_indices int32 [tokens * k]

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    if padded_mode:
        raise ValueError("padded_mode is True; only False is supported")
    experts = indices.unsqueeze(-1) if indices.dim() == 1 else indices
    _check_sizes(tokens, experts, "indices", num_experts)
    rows, places = _permuted_results(tokens, indices, num_out_tokens)
    _route(tokens, experts, None, None, None, rows, places, None, None, None, 0, num_experts, 0, 0, 0, _NONE)
    return rows, places

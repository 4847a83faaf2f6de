"""Operators of mixtures of experts: who computes what, and the rows that go there and back.

Each is registered as ``torch.ops.vllm_cann.<name>``, with a fake, and allocates its outputs. None of them reads the contents of a tensor on
the host: launches depend on shapes only, so they can be captured in a graph.
"""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._arguments import FLOAT_DTYPES, INDEX_DTYPES, address, check_dense, check_place, code, library, prepared, stream

# Rows that are only moved.
_ROW_DTYPES = {**FLOAT_DTYPES, torch.int8: 2, torch.int32: 3, torch.uint8: 4}
_INT32 = {torch.int32: 3}
_FLOAT32 = {torch.float32: 0}


@prepared
def _prepare_gate(
    x: torch.Tensor,
    bias: torch.Tensor | None,
    finished: torch.Tensor | None,
    k: int,
    row_idx: bool,
    out_flag: bool,
    k_group: int,
    group_count: int,
    group_select_mode: int,
    renorm: int,
    norm_type: int,
    routed_scaling_factor: float,
    eps: float,
) -> _ops.Launch:
    check_dense(x, "x", tuple(range(1, 9)), x)
    rows, experts = x.numel() // max(1, x.shape[-1]), x.shape[-1]
    if bias is not None:
        check_dense(bias, "bias", (1,), x)
        if bias.dtype != x.dtype or bias.shape[0] != experts:
            raise ValueError(f"bias is {bias.dtype} {tuple(bias.shape)} for {x.dtype} logits of {experts} experts")
    if finished is not None:
        check_dense(finished, "finished", (x.dim() - 1,), x)
        if finished.dtype != torch.bool or finished.shape != x.shape[:-1]:
            raise ValueError(f"finished is {finished.dtype} {tuple(finished.shape)} for logits of the shape {tuple(x.shape)}")
    dtype = code(FLOAT_DTYPES, x, "x")
    if k < 1:
        raise ValueError(f"k is {k}; it must be positive")
    return _ops.moe_gating_top_k(
        rows,
        experts,
        k,
        bias is not None,
        finished is not None,
        row_idx,
        out_flag,
        k_group,
        group_count,
        group_select_mode,
        renorm,
        norm_type,
        routed_scaling_factor,
        eps,
        dtype,
    )


def _gate(
    x: torch.Tensor, bias: torch.Tensor | None, finished: torch.Tensor | None, k: int, row_idx: bool, out_flag: bool, *options: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """`options` are those of _prepare_gate."""
    launch = _prepare_gate((x, bias, finished), (k, row_idx, out_flag, *options))
    y = x.new_empty(*x.shape[:-1], k)
    expert_idx = torch.empty_like(y, dtype=torch.int32)
    numbers = torch.empty_like(expert_idx) if row_idx else None
    scores = torch.empty_like(x, dtype=torch.float32) if out_flag else x.new_empty(0, dtype=torch.float32)
    addresses = (address(tensor) for tensor in (x, bias, finished, y, expert_idx, numbers))
    launch(*addresses, scores.data_ptr(), stream(x))
    return y, expert_idx, numbers, scores


def moe_gating_top_k(
    x: torch.Tensor,
    k: int,
    *,
    bias: torch.Tensor | None = None,
    finished: torch.Tensor | None = None,
    k_group: int = 1,
    group_count: int = 1,
    group_select_mode: int = 0,
    renorm: int = 0,
    norm_type: int = 0,
    out_flag: bool = False,
    routed_scaling_factor: float = 1.0,
    eps: float = 1e-20,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Chooses k experts of every row and weighs them. Arithmetic in float32, one rounding. Contract of torch_npu.npu_moe_gating_top_k.

    Scores s are the softmax (norm_type 0), the sigmoid (1) or the square root of the softplus (2) of the logits. The k_group best of
    group_count groups of experts take part: a group's score is the largest s + bias of its experts (group_select_mode 0) or the sum of the
    two largest (1). Of their experts those with the k largest s + bias are chosen, in falling order; of equal ones the lower number comes
    first. Weights are the s of the chosen, without bias; with norm_type 1 or renorm 1 divided by their sum + eps; times
    routed_scaling_factor. NaN among the logits of a row leaves open what that row chooses.

    Args:
        x: logits [.., experts], float32, float16 or bfloat16, contiguous; at most 2048 experts, also when groups are rounded up to 32
        k: 1 to k_group * experts / group_count
        bias: [experts], x's dtype
        finished: bool [..]; rows that are true get the expert number `experts`, which is none
        out_flag: give the scores of all experts

    Returns:
        weights [.., k] in x's dtype; experts int32 [.., k]; scores float32 [.., experts], or [0] without out_flag

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    options = (k_group, group_count, group_select_mode, renorm, norm_type, routed_scaling_factor, eps)
    y, expert_idx, _, scores = _gate(x, bias, finished, k, False, out_flag, *options)
    return y, expert_idx, scores


def moe_gating_top_k_softmax(
    x: torch.Tensor, finished: torch.Tensor | None = None, k: int = 1, renorm: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The k largest of each row's softmax, and numbers of (row, place) for v1 routing. Contract of torch_npu.npu_moe_gating_top_k_softmax.

    Args:
        x: logits [.., experts], float32, float16 or bfloat16, contiguous
        finished: bool [..]; rows that are true get the expert number `experts`, which is none
        k: experts of a row
        renorm: 1: the softmax of the k largest logits instead (npu_moe_gating_top_k_softmax_v2)

    Returns:
        weights [.., k] in x's dtype; experts int32 [.., k]; numbers int32 [.., k]: j * rows + row for place j

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    y, expert_idx, numbers, _ = _gate(x, None, finished, k, True, False, 1, 1, 0, renorm, 0, 1.0, 0.0)
    assert numbers is not None
    return y, expert_idx, numbers


def _plan_route(
    x: torch.Tensor,
    expert_idx: torch.Tensor,
    experts: tuple[int, int],
    out_rows: int,
    *,
    row_idx: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
    capacity: int = 0,
    row_idx_type: int = 0,
    tokens_type: int = -1,
    quant_mode: int = -1,
) -> tuple[_ops.Launch, int, int]:
    """The launch, the words of its workspace, and out_rows."""
    tokens, size = x.shape
    k, number = expert_idx.shape[1], experts[1] - experts[0]
    if number < 0:
        raise ValueError(f"the range of experts is [{experts[0]}, {experts[1]}); its end must not be below its beginning")
    words = _ops.moe_init_routing_workspace_words(tokens * k, number)
    launch = _ops.moe_init_routing(
        tokens,
        k,
        size,
        out_rows,
        words,
        experts[0],
        number,
        capacity,
        row_idx_type,
        max(tokens_type, 0),
        quant_mode,
        row_idx is not None,
        scale is not None,
        tokens_type >= 0,
        code(_ROW_DTYPES, x, "x"),
        code(INDEX_DTYPES, expert_idx, "expert_idx"),
    )
    return launch, words, out_rows


def _route(
    x: torch.Tensor,
    expert_idx: torch.Tensor,
    experts: tuple[int, int],
    plan: tuple[_ops.Launch, int, int],
    *,
    row_idx: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
    offset: torch.Tensor | None = None,
    tokens_type: int = -1,
    quant_mode: int = -1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows, places, sorted experts (with row_idx), counts (of a tokens_type from 0 on), scales."""
    launch, words, out_rows = plan
    pairs, number = expert_idx.shape[0] * expert_idx.shape[1], experts[1] - experts[0]
    rows = x.new_empty(out_rows, x.shape[1], dtype=torch.int8 if quant_mode >= 0 else x.dtype)
    places = expert_idx.new_empty(pairs, dtype=torch.int32)
    sorted_experts = places.new_empty(pairs if row_idx is not None else 0)
    counts = places.new_empty((number, 2) if tokens_type == 2 else (number if tokens_type >= 0 else 0,), dtype=torch.int64)
    has_scales = quant_mode == 1 or (quant_mode < 0 and scale is not None)
    scales = x.new_empty(out_rows if has_scales else 0, dtype=torch.float32)
    workspace = places.new_empty(words)
    inputs = (address(tensor) for tensor in (x, expert_idx, row_idx, scale, offset))
    outputs = (tensor.data_ptr() for tensor in (rows, places, sorted_experts, counts, scales, workspace))
    launch(*inputs, *outputs, stream(x))
    return rows, places, sorted_experts, counts, scales


def _check_pairs(x: torch.Tensor, expert_idx: torch.Tensor, name: str) -> None:
    check_dense(x, "x", (2,), x)
    check_dense(expert_idx, name, (2,), x)
    if expert_idx.shape[0] != x.shape[0]:
        raise ValueError(f"{name} has {expert_idx.shape[0]} rows for the {x.shape[0]} rows of x")


@prepared
def _prepare_numbered(
    x: torch.Tensor, row_idx: torch.Tensor, expert_idx: torch.Tensor, active_num: int, num_experts: int
) -> tuple[_ops.Launch, int, int]:
    _check_pairs(x, expert_idx, "expert_idx")
    check_dense(row_idx, "row_idx", (2,), x)
    code(_INT32, row_idx, "row_idx")
    code(_INT32, expert_idx, "expert_idx")
    if row_idx.shape != expert_idx.shape:
        raise ValueError(f"row_idx has the shape {tuple(row_idx.shape)}, expert_idx {tuple(expert_idx.shape)}")
    if active_num < 0:
        raise ValueError(f"active_num is {active_num}; it must not be negative")
    rows = min(x.shape[0], active_num) * expert_idx.shape[1]
    return _plan_route(x, expert_idx, (0, num_experts), rows, row_idx=row_idx)


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
    plan = _prepare_numbered((x, row_idx, expert_idx), (active_num, num_experts))
    out, places, sorted_experts, _, _ = _route(x, expert_idx, (0, num_experts), plan, row_idx=row_idx)
    return out, places, sorted_experts


def _range(expert_num: int, active_expert_range: list[int]) -> tuple[int, int]:
    if not active_expert_range:
        if expert_num < 1:
            raise ValueError(f"expert_num is {expert_num}, and active_expert_range is empty; one of them must say which experts there are")
        return 0, expert_num
    if len(active_expert_range) != 2:
        raise ValueError(f"active_expert_range is {active_expert_range}; it must have a beginning and an end")
    return active_expert_range[0], active_expert_range[1]


@prepared
def _prepare_routed(
    x: torch.Tensor,
    expert_idx: torch.Tensor,
    scale: torch.Tensor | None,
    offset: torch.Tensor | None,
    experts: tuple[int, int],
    active_num: int,
    drop_pad_mode: int,
    expert_capacity: int,
    expert_tokens_num_type: int,
    expert_tokens_num_flag: bool,
    quant_mode: int,
    row_idx_type: int,
) -> tuple[_ops.Launch, int, int]:
    _check_pairs(x, expert_idx, "expert_idx")
    for tensor, name in ((scale, "scale"), (offset, "offset")):
        if tensor is not None:
            check_dense(tensor, name, (1, 2), x)
            code(_FLOAT32, tensor, name)
    if scale is not None:
        number = experts[1] - experts[0]
        want = {-1: (x.shape[0],), 0: (1,), 1: (number, x.shape[1])}.get(quant_mode)
        if want is not None and tuple(scale.shape) != want:
            raise ValueError(f"scale has the shape {tuple(scale.shape)}; with quant_mode {quant_mode} it must be {want}")
    if quant_mode == 0 and (scale is None or offset is None or offset.shape != (1,)):
        raise ValueError("scale and offset must both be given, with one element each, for static quantisation (quant_mode 0)")
    if quant_mode != 0 and offset is not None:
        raise ValueError(f"offset is given with quant_mode {quant_mode}; it belongs to static quantisation (quant_mode 0)")
    if drop_pad_mode not in (0, 1):
        raise ValueError(f"drop_pad_mode is {drop_pad_mode}; it can be 0 or 1")
    if drop_pad_mode == 1 and expert_capacity < 1:
        raise ValueError(f"expert_capacity is {expert_capacity}; with drop_pad_mode 1 it must be positive")
    if expert_tokens_num_type not in (0, 1, 2):
        raise ValueError(f"expert_tokens_num_type is {expert_tokens_num_type}; it can be 0, 1 or 2")
    pairs = expert_idx.shape[0] * expert_idx.shape[1]
    rows = min(pairs, active_num) if active_num > 0 else pairs
    return _plan_route(
        x,
        expert_idx,
        experts,
        (experts[1] - experts[0]) * expert_capacity if drop_pad_mode else rows,
        scale=scale,
        capacity=expert_capacity if drop_pad_mode else 0,
        row_idx_type=row_idx_type,
        tokens_type=expert_tokens_num_type if expert_tokens_num_flag else -1,
        quant_mode=quant_mode,
    )


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
    active_expert_range: list[int] | None = None,
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
    experts = _range(expert_num, active_expert_range or [])
    tokens = (expert_tokens_num_type, expert_tokens_num_flag)
    options = (experts, active_num, drop_pad_mode, expert_capacity, *tokens, quant_mode, row_idx_type)
    out, places, _, counts, scales = _route(
        x,
        expert_idx,
        experts,
        _prepare_routed((x, expert_idx, scale, offset), options),
        scale=scale,
        offset=offset,
        tokens_type=expert_tokens_num_type if expert_tokens_num_flag else -1,
        quant_mode=quant_mode,
    )
    if drop_pad_mode:
        out = out.view(experts[1] - experts[0], expert_capacity, x.shape[1])
    return out, places, counts, scales


def _permuted_rows(pairs: int, num_out_tokens: int | None) -> int:
    if not num_out_tokens:
        return pairs
    return max(0, pairs + num_out_tokens) if num_out_tokens < 0 else min(pairs, num_out_tokens)


@prepared
def _prepare_permuted(
    tokens: torch.Tensor, indices: torch.Tensor, num_out_tokens: int | None, padded_mode: bool, num_experts: int
) -> tuple[_ops.Launch, int, int]:
    check_place(indices, "indices", (1, 2), tokens)
    pairs = indices.unsqueeze(-1) if indices.dim() == 1 else indices
    _check_pairs(tokens, pairs, "indices")
    if padded_mode:
        raise ValueError("padded_mode is True; only False is supported")
    rows = _permuted_rows(pairs.numel(), num_out_tokens)
    return _plan_route(tokens, pairs, (0, num_experts), rows)


def moe_token_permute(
    tokens: torch.Tensor,
    indices: torch.Tensor,
    num_out_tokens: int | None = None,
    padded_mode: bool = False,
    num_experts: int = 1024,
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
    plan = _prepare_permuted((tokens, indices), (num_out_tokens, padded_mode, num_experts))
    pairs = indices.unsqueeze(-1) if indices.dim() == 1 else indices
    out, places, _, _, _ = _route(tokens, pairs, (0, num_experts), plan)
    return out, places


@prepared
def _prepare_combine(
    rows: torch.Tensor,
    skip1: torch.Tensor | None,
    skip2: torch.Tensor | None,
    bias: torch.Tensor | None,
    scales: torch.Tensor | None,
    indices: torch.Tensor,
    experts: torch.Tensor | None,
    k: int,
    by_column: bool,
) -> _ops.Launch:
    check_dense(rows, "rows", (2,), rows)
    check_dense(indices, "indices", (1,), rows)
    code(_INT32, indices, "indices")
    if k < 1 or indices.shape[0] % k:
        raise ValueError(f"there are {indices.shape[0]} indices, which are no {k} for each token")
    tokens, size = indices.shape[0] // k, rows.shape[1]
    shapes: list[tuple[torch.Tensor | None, str, tuple[int, int]]] = [
        (scales, "scales", (tokens, k)),
        (skip1, "skip1", (tokens, size)),
        (skip2, "skip2", (tokens, size)),
        (experts, "experts", (tokens, k)),
        (bias, "bias", (bias.shape[0] if bias is not None and bias.dim() == 2 else 0, size)),
    ]
    for tensor, name, want in shapes:
        if tensor is None:
            continue
        check_dense(tensor, name, (2,), rows)
        if tuple(tensor.shape) != want:
            raise ValueError(f"{name} has the shape {tuple(tensor.shape)}; it must be {want}")
        if tensor.dtype != rows.dtype and (name.startswith("skip") or name == "bias"):
            raise ValueError(f"{name} is {tensor.dtype}, the rows are {rows.dtype}")
    if bias is not None:
        if experts is None:
            raise ValueError("bias is given without the experts of tokens")
        code(_INT32, experts, "experts")
    scale_dtype = 0 if scales is None else code(FLOAT_DTYPES, scales, "scales")
    return _ops.moe_finalize_routing(
        rows.shape[0],
        tokens,
        k,
        size,
        (skip1 is not None) + (skip2 is not None),
        0 if bias is None else bias.shape[0],
        bias is not None,
        scales is not None,
        by_column,
        code(FLOAT_DTYPES, rows, "rows"),
        scale_dtype,
    )


def _combine(
    rows: torch.Tensor,
    indices: torch.Tensor,
    k: int,
    *,
    by_column: bool = False,
    scales: torch.Tensor | None = None,
    skip1: torch.Tensor | None = None,
    skip2: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    experts: torch.Tensor | None = None,
) -> torch.Tensor:
    tensors = (rows, skip1, skip2, bias, scales, indices, experts)
    launch = _prepare_combine(tensors, (k, by_column))
    out = rows.new_empty(indices.shape[0] // k, rows.shape[1])
    launch(*map(address, tensors), out.data_ptr(), stream(rows))
    return out


def moe_token_unpermute(
    permuted_tokens: torch.Tensor,
    sorted_indices: torch.Tensor,
    probs: torch.Tensor | None = None,
    padded_mode: bool = False,
    restore_shape: list[int] | None = None,
) -> torch.Tensor:
    """Adds up the rows of each token. Contract of torch_npu.npu_moe_token_unpermute.

    out[t] = sum over j of probs[t, j] * permuted_tokens[sorted_indices[t * k + j]], in float32 and the order of j, with one rounding.
    An index that is negative, or not below the number of rows, adds nothing: what moe_token_permute gives for an entry that is skipped.

    Args:
        permuted_tokens: [rows, H], float32, float16 or bfloat16, contiguous
        sorted_indices: int32 [tokens * k]
        probs: [tokens, k] of any of these types, k at most 512; None: k is 1, and rows are taken as they are
        padded_mode: False
        restore_shape: None, it belongs to padded_mode

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    if padded_mode or restore_shape is not None:
        raise ValueError(f"padded_mode is {padded_mode} and restore_shape {restore_shape}; only False and None are supported")
    if probs is not None and probs.dim() != 2:
        raise ValueError(f"probs has the shape {tuple(probs.shape)}; it must have 2 dimensions")
    return _combine(permuted_tokens, sorted_indices, 1 if probs is None else probs.shape[1], scales=probs)


def moe_finalize_routing(
    expanded_permuted_rows: torch.Tensor,
    skip1: torch.Tensor | None,
    skip2: torch.Tensor | None,
    bias: torch.Tensor | None,
    scales: torch.Tensor | None,
    expanded_src_to_dst_row: torch.Tensor,
    export_for_source_row: torch.Tensor | None = None,
    drop_pad_mode: int = 0,
    k: int = 1,
) -> torch.Tensor:
    """Adds up the rows of each token. Contract of torch_npu.npu_moe_finalize_routing and its second version.

    out[i] = skip1[i] + skip2[i] + sum over j of scales[i, j] * (rows[index(i, j)] + bias[export_for_source_row[i, j]]), in float32 and
    this order, with one rounding. An index that is negative, or not below the number of rows, adds nothing, its bias neither: with a
    capacity those are the pairs that were dropped. An expert out of range has no bias.

    Args:
        expanded_permuted_rows: [rows, H], or [experts, capacity, H] with drop_pad_mode 1 or 3; float32, float16 or bfloat16, contiguous
        skip1, skip2: [tokens, H], same dtype; skip2 only beside skip1
        bias: [experts, H], same dtype
        scales: [tokens, k], any floating dtype; None: all are 1
        expanded_src_to_dst_row: int32 [tokens * k]; index(i, j) is element i + j * tokens (drop_pad_mode 0 and 1) or i * k + j (2 and 3)
        export_for_source_row: int32 [tokens, k], the experts; with bias only
        drop_pad_mode: 0 to 3
        k: rows of a token, at most 512, when scales is None

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    if drop_pad_mode not in (0, 1, 2, 3):
        raise ValueError(f"drop_pad_mode is {drop_pad_mode}; it can be 0, 1, 2 or 3")
    if skip1 is None and skip2 is not None:
        raise ValueError("skip2 is given without skip1")
    check_dense(expanded_permuted_rows, "expanded_permuted_rows", (3, 2) if drop_pad_mode % 2 else (2,), expanded_permuted_rows)
    if scales is not None and scales.dim() != 2:
        raise ValueError(f"scales has the shape {tuple(scales.shape)}; it must have 2 dimensions")
    return _combine(
        expanded_permuted_rows.flatten(0, -2),
        expanded_src_to_dst_row,
        k if scales is None else scales.shape[1],
        by_column=drop_pad_mode < 2,
        scales=scales,
        skip1=skip1,
        skip2=skip2,
        bias=bias,
        experts=export_for_source_row if bias is not None else None,
    )


@prepared
def _prepare_counts(sorted_experts: torch.Tensor, num_expert: int) -> _ops.Launch:
    check_dense(sorted_experts, "sorted_experts", (1,), sorted_experts)
    code(_INT32, sorted_experts, "sorted_experts")
    if num_expert < 1:
        raise ValueError(f"num_expert is {num_expert}; it must be positive")
    return _ops.moe_compute_expert_tokens(sorted_experts.shape[0], num_expert)


def moe_compute_expert_tokens(sorted_experts: torch.Tensor, num_expert: int) -> torch.Tensor:
    """For each expert the number of entries that are not above it. Contract of torch_npu.npu_moe_compute_expert_tokens.

    Args:
        sorted_experts: int32 [entries], in rising order (not checked), contiguous
        num_expert: at most 2048

    Returns:
        int32 [num_expert]

    Raises:
        ValueError: a shape, dtype or number that does not fit
        RuntimeError: the launch failed
    """
    launch = _prepare_counts((sorted_experts,), (num_expert,))
    out = sorted_experts.new_empty(num_expert)
    launch(sorted_experts.data_ptr(), out.data_ptr(), stream(sorted_experts))
    return out


def _fake_gating(x, k, *, out_flag=False, **_):  # type: ignore[no-untyped-def]
    y = x.new_empty(*x.shape[:-1], k)
    return y, torch.empty_like(y, dtype=torch.int32), x.new_empty(x.shape if out_flag else (0,), dtype=torch.float32)


def _fake_softmax(x, finished=None, k=1, renorm=0):  # type: ignore[no-untyped-def]
    y = x.new_empty(*x.shape[:-1], k)
    return y, torch.empty_like(y, dtype=torch.int32), torch.empty_like(y, dtype=torch.int32)


def _fake_routing(x, row_idx, expert_idx, active_num, num_experts=1024):  # type: ignore[no-untyped-def]
    tokens, k = expert_idx.shape
    places = expert_idx.new_empty(tokens * k, dtype=torch.int32)
    return x.new_empty(torch.sym_min(tokens, active_num) * k, x.shape[1]), places, torch.empty_like(places)


def _fake_routing_v2(  # type: ignore[no-untyped-def]
    x,
    expert_idx,
    *,
    scale=None,
    active_num=-1,
    expert_capacity=-1,
    expert_num=-1,
    drop_pad_mode=0,
    expert_tokens_num_type=0,
    expert_tokens_num_flag=False,
    quant_mode=-1,
    active_expert_range=None,
    **_,
):
    experts = _range(expert_num, active_expert_range or [])
    number = experts[1] - experts[0]
    pairs = expert_idx.shape[0] * expert_idx.shape[1]
    dtype = torch.int8 if quant_mode >= 0 else x.dtype
    rows = number * expert_capacity if drop_pad_mode else torch.sym_min(pairs, active_num) if active_num > 0 else pairs
    shape = (number, expert_capacity, x.shape[1]) if drop_pad_mode else (rows, x.shape[1])
    counts = (0,) if not expert_tokens_num_flag else (number, 2) if expert_tokens_num_type == 2 else (number,)
    has_scales = quant_mode == 1 or (quant_mode < 0 and scale is not None)
    return (
        x.new_empty(shape, dtype=dtype),
        x.new_empty(pairs, dtype=torch.int32),
        x.new_empty(counts, dtype=torch.int64),
        x.new_empty(rows if has_scales else 0, dtype=torch.float32),
    )


def _fake_permute(tokens, indices, num_out_tokens=None, padded_mode=False, num_experts=1024):  # type: ignore[no-untyped-def]
    pairs = indices.numel()
    if not num_out_tokens:
        rows = pairs
    else:
        rows = torch.sym_max(0, pairs + num_out_tokens) if num_out_tokens < 0 else torch.sym_min(pairs, num_out_tokens)
    return tokens.new_empty(rows, tokens.shape[1]), indices.new_empty(pairs, dtype=torch.int32)


def _fake_unpermute(permuted_tokens, sorted_indices, probs=None, padded_mode=False, restore_shape=None):  # type: ignore[no-untyped-def]
    return permuted_tokens.new_empty(sorted_indices.shape[0] if probs is None else probs.shape[0], permuted_tokens.shape[1])


def _fake_finalize(rows, skip1, skip2, bias, scales, indices, experts=None, drop_pad_mode=0, k=1):  # type: ignore[no-untyped-def]
    return rows.new_empty(indices.shape[0] // k if scales is None else scales.shape[0], rows.shape[-1])


def _register(schema: str, function, fake) -> None:  # type: ignore[no-untyped-def]
    name = schema.split("(")[0]
    library.define(schema)
    library.impl(name, function, "PrivateUse1")
    torch.library.register_fake(f"vllm_cann::{name}", fake, lib=library)


_register(
    "moe_gating_top_k(Tensor x, int k, *, Tensor? bias=None, Tensor? finished=None, int k_group=1, int group_count=1, "
    "int group_select_mode=0, int renorm=0, int norm_type=0, bool out_flag=False, float routed_scaling_factor=1.0, float eps=1e-20) "
    "-> (Tensor, Tensor, Tensor)",
    moe_gating_top_k,
    _fake_gating,
)
_register(
    "moe_gating_top_k_softmax(Tensor x, Tensor? finished=None, int k=1, int renorm=0) -> (Tensor, Tensor, Tensor)",
    moe_gating_top_k_softmax,
    _fake_softmax,
)
_register(
    "moe_init_routing(Tensor x, Tensor row_idx, Tensor expert_idx, int active_num, int num_experts=1024) -> (Tensor, Tensor, Tensor)",
    moe_init_routing,
    _fake_routing,
)
_register(
    "moe_init_routing_v2(Tensor x, Tensor expert_idx, *, Tensor? scale=None, Tensor? offset=None, int active_num=-1, "
    "int expert_capacity=-1, int expert_num=-1, int drop_pad_mode=0, int expert_tokens_num_type=0, bool expert_tokens_num_flag=False, "
    "int quant_mode=-1, int[] active_expert_range=[], int row_idx_type=0) -> (Tensor, Tensor, Tensor, Tensor)",
    moe_init_routing_v2,
    _fake_routing_v2,
)
_register(
    "moe_token_permute(Tensor tokens, Tensor indices, int? num_out_tokens=None, bool padded_mode=False, int num_experts=1024) "
    "-> (Tensor, Tensor)",
    moe_token_permute,
    _fake_permute,
)
_register(
    "moe_token_unpermute(Tensor permuted_tokens, Tensor sorted_indices, Tensor? probs=None, bool padded_mode=False, "
    "int[]? restore_shape=None) -> Tensor",
    moe_token_unpermute,
    _fake_unpermute,
)
_register(
    "moe_finalize_routing(Tensor expanded_permuted_rows, Tensor? skip1, Tensor? skip2, Tensor? bias, Tensor? scales, "
    "Tensor expanded_src_to_dst_row, Tensor? export_for_source_row=None, int drop_pad_mode=0, int k=1) -> Tensor",
    moe_finalize_routing,
    _fake_finalize,
)
_register(
    "moe_compute_expert_tokens(Tensor sorted_experts, int num_expert) -> Tensor",
    moe_compute_expert_tokens,
    lambda sorted_experts, num_expert: sorted_experts.new_empty(num_expert),
)

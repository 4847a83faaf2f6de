"""Adds up the rows that experts made of each token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

ROWS_IN_ORDER = 2  # drop_pad_mode: places are numbered token by token

_KERNEL = _ops.Operator("moe_finalize_routing")


def _unpermute_results(
    permuted_tokens: torch.Tensor, sorted_indices: torch.Tensor, probs: torch.Tensor | None = None, *_: object
) -> torch.Tensor:
    return permuted_tokens.new_empty((sorted_indices if probs is None else probs).shape[0], permuted_tokens.shape[-1])


@operator(fake=_unpermute_results)
def moe_token_unpermute(
    permuted_tokens: torch.Tensor,
    sorted_indices: torch.Tensor,
    probs: torch.Tensor | None = None,
    padded_mode: bool = False,
    restore_shape: Sequence[int] | None = None,
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
    if permuted_tokens.dim() != 2 or (probs is not None and probs.dim() != 2):
        shapes = [tuple(tensor.shape) for tensor in (permuted_tokens, probs) if tensor is not None]
        raise ValueError(f"permuted_tokens, and probs if given, must have 2 dimensions; the shapes are {shapes}")
    out = _unpermute_results(permuted_tokens, sorted_indices, probs)
    k = 1 if probs is None else probs.shape[-1]
    _KERNEL(permuted_tokens, None, None, None, probs, sorted_indices, None, out, k, False)
    return out


def _finalize_results(
    rows: torch.Tensor,
    skip1: object,
    skip2: object,
    bias: object,
    scales: torch.Tensor | None,
    indices: torch.Tensor,
    experts: object = None,
    drop_pad_mode: int = 0,
    k: int = 1,
) -> torch.Tensor:
    return rows.new_empty(indices.shape[0] // max(k, 1) if scales is None else scales.shape[0], rows.shape[-1])


@operator(fake=_finalize_results)
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
    if drop_pad_mode % 2 == 0 and expanded_permuted_rows.dim() != 2:
        shape = tuple(expanded_permuted_rows.shape)
        raise ValueError(f"expanded_permuted_rows has the shape {shape}; with drop_pad_mode {drop_pad_mode} it must have 2 dimensions")
    if expanded_permuted_rows.dim() not in (2, 3) or (scales is not None and scales.dim() != 2):
        shapes = [tuple(tensor.shape) for tensor in (expanded_permuted_rows, scales) if tensor is not None]
        raise ValueError(f"expanded_permuted_rows must have 2 or 3 dimensions, and scales 2; the shapes are {shapes}")
    rows, indices = expanded_permuted_rows, expanded_src_to_dst_row
    out = _finalize_results(rows, skip1, skip2, bias, scales, indices, k=k)
    k = k if scales is None else scales.shape[-1]
    experts = None if bias is None else export_for_source_row
    _KERNEL(rows, skip1, skip2, bias, scales, indices, experts, out, k, drop_pad_mode < 2)
    return out

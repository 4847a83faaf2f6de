"""Query, key and value from what a model's projection gives: normalised, rotated and taken apart by one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator, size

_KERNEL = _ops.Operator("qkv_rmsnorm_rope")
_SUMS = _ops.Operator("qkv_square_sums")


def _results(
    qkv: torch.Tensor,
    q_weight: object,
    k_weight: object,
    num_heads: int,
    num_kv_heads: int,
    head_size: int,
    *_: object,
    has_gate: bool = False,
    **__: object,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens, queries, keys = qkv.shape[0], size(num_heads * head_size), size(num_kv_heads * head_size)
    q, k, v = (qkv.new_empty(tokens, width) for width in (queries, keys, keys))
    return q, k, v, qkv.new_empty((tokens, queries) if has_gate else (0,))


@operator(fake=_results)
def qkv_rmsnorm_rope(
    qkv: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    num_heads: int,
    num_kv_heads: int,
    head_size: int,
    eps: float,
    *,
    cos_sin_cache: torch.Tensor | None = None,
    positions: torch.Tensor | None = None,
    cos: torch.Tensor | None = None,
    sin: torch.Tensor | None = None,
    q_bias: torch.Tensor | None = None,
    k_bias: torch.Tensor | None = None,
    has_gate: bool = False,
    norm_value: bool = False,
    mrope_section: Sequence[int] | None = None,
    mrope_interleaved: bool = False,
    square_sums: torch.Tensor | None = None,
    world_size: int = 1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Takes qkv apart; each head of query and key becomes x / sqrt(mean(x^2) + eps) * weight (+ bias), and its first elements are rotated.

    Rotation is NeoX style: element i is paired with i + rotary_dim / 2; the rest of a head stays as it is. Value and gate are copied.
    Arithmetic in float32, one rounding at the end. Contracts of vllm-ascend's qkv_rmsnorm_rope, split_qkv_rmsnorm_mrope,
    split_qkv_rmsnorm_rope_vnorm and split_qkv_tp_rmsnorm_rope, which round between the norm and the rotation, too.

    Args:
        qkv: [tokens, size], each token the heads of query, of key and of value; float32, float16 or bfloat16;
            tokens any step below 2 GiB apart
        q_weight, k_weight: [head size], in qkv's dtype; with square_sums [heads * head size] each, which have to fit into the UB
        num_heads, num_kv_heads: heads of query; of key, and of value
        head_size: elements of a head, at most 2040
        eps: what is added to the mean
        cos_sin_cache: [positions, rotary_dim], cosines then sines, contiguous, qkv's dtype; rotary_dim even, at most head_size,
            with three axes at most 256
        positions: int32 or int64 [tokens]; with mrope_section also [3, tokens]: time, height and width, which may lie apart
        cos, sin: [tokens, rotary_dim / 2] instead of cos_sin_cache and positions, qkv's dtype, rows contiguous and as far apart in both
        q_bias, k_bias: as the weights; both or none
        has_gate: each head of query has a head of gate behind it
        norm_value: value / sqrt(mean(value^2) + eps), without a weight; not with square_sums
        mrope_section, mrope_interleaved: which lanes take which axis of positions, as in rotary_embedding
        square_sums: float32 [tokens, 2], sums of qkv_square_sums over all devices: the mean is that of all heads of query, and of key
        world_size: devices whose sums were added, each with as many heads as this one

    Returns:
        query [tokens, heads * head size], key and value [tokens, KV heads * head size], gate as query or [0], all new and contiguous

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed. Positions that cos_sin_cache does not have are errors of the device
    """
    results = q, k, v, gate = _results(qkv, q_weight, k_weight, num_heads, num_kv_heads, head_size, has_gate=has_gate)
    tensors = (
        positions,
        qkv,
        q_weight,
        k_weight,
        q_bias,
        k_bias,
        cos_sin_cache,
        cos,
        sin,
        square_sums,
        q,
        k,
        v,
        gate if has_gate else None,
    )
    options = (num_heads, num_kv_heads, head_size, eps, has_gate, norm_value, mrope_section, mrope_interleaved, world_size)
    _KERNEL(*tensors, *options)
    return results


def _sums(qkv: torch.Tensor, num_heads: int, num_kv_heads: int, head_size: int, has_gate: bool = False) -> torch.Tensor:
    return qkv.new_empty(qkv.shape[0], 2, dtype=torch.float32)


@operator(fake=_sums)
def qkv_square_sums(qkv: torch.Tensor, num_heads: int, num_kv_heads: int, head_size: int, has_gate: bool = False) -> torch.Tensor:
    """The sums of squares of all elements of query, and of key, of each token: what a norm over the heads of several devices adds up.

    The first of two launches, as in vllm-ascend's split_qkv_tp_rmsnorm_rope: the caller adds the sums of all devices, and gives them to
    qkv_rmsnorm_rope. Arithmetic in float32.

    Args:
        qkv: [tokens, size], each token the heads of query, of key and of value; float32, float16 or bfloat16; any step between tokens
        num_heads, num_kv_heads: heads of query; of key, and of value
        head_size: elements of a head
        has_gate: each head of query has a head of gate behind it

    Returns:
        float32 [tokens, 2]

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    sums = _sums(qkv, num_heads, num_kv_heads, head_size)
    _SUMS(qkv, sums, num_heads, num_kv_heads, head_size, has_gate)
    return sums

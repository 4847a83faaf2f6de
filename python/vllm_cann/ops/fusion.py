"""Rotary operators as models and fusion passes for Ascend call them: ``torch.ops.vllm``, results in new tensors, inputs unchanged."""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator
from vllm_cann.ops.qkv_rmsnorm_rope import qkv_rmsnorm_rope as _qkv_rmsnorm_rope
from vllm_cann.ops.rotary_embedding import _check_out_dtype, rotary_embedding

_ROTATE = _ops.Operator("rotary_embedding")


def _like(positions: object, query: torch.Tensor, key: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor, torch.Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape)


@operator(fake=_like, namespace="vllm")
def npu_rotary_embedding(
    positions: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    cos_sin_cache: torch.Tensor,
    head_size: int,
    rotary_dim: int,
    is_neox_style: bool,
    offsets: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Query and key with the first rotary_dim elements of every head turned by their token's angles. Contract of vllm-ascend's operator.

    Arithmetic in float32, one rounding. The number of heads follows from the sizes; query and key may have different numbers.

    Args:
        positions: int32 or int64 [tokens]
        query, key: [tokens, heads * head size] or [tokens, heads, head size]; float32, float16 or bfloat16; any step between tokens
        cos_sin_cache: [positions, rotary_dim], cosines then sines, contiguous, query's dtype
        head_size: elements of a head
        rotary_dim: elements that are turned, even, at most head_size
        is_neox_style: element i is paired with i + rotary_dim / 2; otherwise neighbours are paired
        offsets: None
        out_dtype: query's, or None

    Returns:
        new contiguous tensors of the shapes of query and key

    Raises:
        NotImplementedError: offsets are given
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed. Positions that cos_sin_cache does not have are errors of the device
    """
    if offsets is not None:
        raise NotImplementedError("npu_rotary_embedding: offsets of batched rotary embeddings are not available")
    _check_out_dtype(out_dtype, query, "query")
    if rotary_dim != cos_sin_cache.shape[-1]:
        raise ValueError(f"rotary_dim is {rotary_dim}, and cos_sin_cache has {cos_sin_cache.shape[-1]} elements in a row")
    if rotary_dim == head_size and query.numel() and key.numel():
        results = _like(positions, query, key)
        q, k, turned_q, turned_k = (x.unflatten(1, (-1, head_size)) if x.dim() == 2 else x for x in (query, key, *results))
        style = "neox" if is_neox_style else "gptj"
        _ROTATE(positions, q, k, cos_sin_cache, None, None, turned_q, turned_k, head_size, style, False, None, False)
        return results
    # A kernel writes what it rotates; the rest of a head has to be there before.
    turned = query.clone(memory_format=torch.contiguous_format), key.clone(memory_format=torch.contiguous_format)
    rotary_embedding(positions, *turned, head_size, cos_sin_cache, is_neox_style)
    return turned


def _parts(
    input: torch.Tensor,
    cos_sin_cache: object,
    positions: object,
    q_weight: object,
    k_weight: object,
    q_hidden_size: int,
    kv_hidden_size: int,
    *_: object,
    **__: object,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens = input.shape[0]
    return input.new_empty(tokens, q_hidden_size), input.new_empty(tokens, kv_hidden_size), input.new_empty(tokens, kv_hidden_size)


@operator(fake=_parts, namespace="vllm")
def qkv_rmsnorm_rope(
    input: torch.Tensor,
    cos_sin_cache: torch.Tensor,
    positions: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    q_hidden_size: int,
    kv_hidden_size: int,
    head_dim: int,
    eps: float,
    q_bias: torch.Tensor | None = None,
    k_bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Takes input apart; each head of query and key is normalised and rotated. Contract of vllm-ascend's operator.

    ``torch.ops.vllm_cann.qkv_rmsnorm_rope`` says what happens; rotary_dim is the length of a row of cos_sin_cache.

    Args:
        input: [tokens, q_hidden_size + 2 * kv_hidden_size]
        cos_sin_cache: [positions, rotary_dim]
        positions: int32 or int64 [tokens]
        q_weight, k_weight: [head_dim]; q_bias, k_bias: the same, both or none
        q_hidden_size, kv_hidden_size: elements of all heads of query; of key, and of value
        head_dim: elements of a head
        eps: what is added to the mean of squares

    Returns:
        query [tokens, q_hidden_size], key and value [tokens, kv_hidden_size], new

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed. Positions that cos_sin_cache does not have are errors of the device
    """
    if head_dim < 1 or q_hidden_size % head_dim or kv_hidden_size % head_dim:
        raise ValueError(f"head_dim is {head_dim}, which does not divide q_hidden_size {q_hidden_size} and kv_hidden_size {kv_hidden_size}")
    heads, kv_heads = q_hidden_size // head_dim, kv_hidden_size // head_dim
    query, key, value, _ = _qkv_rmsnorm_rope(
        input,
        q_weight,
        k_weight,
        heads,
        kv_heads,
        head_dim,
        eps,
        cos_sin_cache=cos_sin_cache,
        positions=positions,
        q_bias=q_bias,
        k_bias=k_bias,
    )
    return query, key, value

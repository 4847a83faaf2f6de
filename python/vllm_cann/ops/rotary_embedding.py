"""Rotary embeddings: one kernel for all styles. Arithmetic in float32, one rounding."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("rotary_embedding")


def _check_out_dtype(out_dtype: torch.dtype | None, like: torch.Tensor, name: str) -> None:
    """Results have the dtype of an operand."""
    if out_dtype is not None and out_dtype != like.dtype:
        if out_dtype.itemsize == 1 and out_dtype.is_floating_point:
            raise ValueError(
                f"out_dtype is {out_dtype}: floats of 8 bits exist from Ascend 950 on, and this is {torch.npu.get_device_name()}"
            )
        raise ValueError(f"out_dtype is {out_dtype}; the result has that of {name}, {like.dtype}")


@operator(mutates=("query", "key"))
def rotary_embedding(
    positions: torch.Tensor | None,
    query: torch.Tensor,
    key: torch.Tensor | None,
    head_size: int,
    cos_sin_cache: torch.Tensor | None,
    is_neox: bool,
    inverse: bool = False,
    mrope_section: Sequence[int] | None = None,
    mrope_interleaved: bool = False,
    to_halves: bool = False,
    cos: torch.Tensor | None = None,
    sin: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> None:
    """Turns the first rotary_dim elements of every head by its token's angles, in place.

    Contracts of torch_npu's _npu_rotary_embedding, npu_mrope and npu_interleave_rope, of vllm-ascend's rope_forward_triton, and of vLLM's
    RotaryEmbedding and MRotaryEmbedding.

    Args:
        positions: int32 or int64 [tokens], or [.., ..] with as many elements, contiguous; with mrope_section also [3, tokens]: time,
            height and width
        query: [tokens, heads * head size] or [tokens, heads, head size]; float32, float16 or bfloat16; any step between tokens
        key: the same with its own number of heads, or None
        head_size: elements of a head
        cos_sin_cache: [positions, rotary_dim], cosines then sines, contiguous, query's dtype
        is_neox: element i is paired with i + rotary_dim / 2; otherwise neighbours are paired
        inverse: by the negative angle
        mrope_section: of rotary_dim / 2 lanes, how many take each axis of [3, tokens] positions, one section after the other
        mrope_interleaved: lanes i with i % 3 = a and i < 3 * mrope_section[a] take the axis a = 1 or 2, the others time
        to_halves: of neighbours that are paired, the first ones go to the first half, the second ones to the second (MLA)
        cos, sin: [tokens, rotary_dim / 2] instead of cos_sin_cache and positions, query's dtype, rows contiguous and as far apart in both
        out_dtype: query's, or None

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed. Positions that cos_sin_cache does not have are errors of the device
    """
    if is_neox and to_halves:
        raise ValueError("to_halves is for neighbours that are paired, is_neox pairs halves")
    _check_out_dtype(out_dtype, query, "query")
    if head_size < 1:
        raise ValueError(f"head_size is {head_size}; it must be positive")
    if cos is not None and cos.dim() == 2 and cos.shape[0] != query.shape[0]:
        raise ValueError(f"cos has {cos.shape[0]} rows for {query.shape[0]} tokens of query")
    if positions is not None and positions.dim() > 1 and mrope_section is None:
        if not positions.is_contiguous():
            raise ValueError(f"positions has the strides {positions.stride()}; it must be contiguous")
        positions = positions.view(-1)
    style = "neox" if is_neox else "pairs_to_halves" if to_halves else "gptj"
    tensors = (positions, query, key, cos_sin_cache, cos, sin, None, None)
    _KERNEL(*tensors, head_size, style, inverse, mrope_section, mrope_interleaved)


def _like(x: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    return x.new_empty(x.shape)


@operator(fake=_like)
def apply_rotary_emb(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    is_neox: bool = True,
    inverse: bool = False,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Heads turned by angles that are given for each place of a sequence, as vision models have them. Contract of vLLM's ApplyRotaryEmb.

    Queries and keys one after the other in the batch are turned by one launch.

    Args:
        x: [batch, tokens, heads, head size] or [tokens, heads, head size]; float32, float16 or bfloat16. A tensor whose heads are not
            contiguous, or whose tokens are not all one step apart, is copied first
        cos, sin: [tokens, rotary_dim / 2], x's dtype, rows contiguous
        is_neox: element i is paired with i + rotary_dim / 2; otherwise neighbours are paired
        inverse: by the negative angle
        out_dtype: x's, or None

    Returns:
        a new contiguous tensor of x's shape; elements from rotary_dim on are x's

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed
    """
    _check_out_dtype(out_dtype, x, "x")
    if x.dim() not in (3, 4) or cos.dim() != 2 or cos.shape[0] != x.shape[-3]:
        raise ValueError(
            f"x has the shape {tuple(x.shape)}, cos {tuple(cos.shape)}; they must be [.., tokens, heads, size], [tokens, angles]"
        )
    style = "neox" if is_neox else "gptj"
    heads, head_size = x.shape[-2:]
    shape = (x.numel() // max(1, heads * head_size), heads, head_size)
    if 2 * cos.shape[1] == head_size:
        rows = x.reshape(shape)
        overlaps = rows.shape[0] > 1 and rows.stride(0) < heads * head_size
        if overlaps or rows.stride(2) != 1 or (heads > 1 and rows.stride(1) != head_size):
            rows = rows.contiguous()
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        _KERNEL(None, rows, None, None, cos, sin, out.view(shape), None, head_size, style, inverse, None, False)
        return out
    # A kernel writes what it rotates; the rest of a head has to be there before.
    out = x.clone(memory_format=torch.contiguous_format)
    _KERNEL(None, out.view(shape), None, None, cos, sin, None, None, head_size, style, inverse, None, False)
    return out

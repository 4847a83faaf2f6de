"""Rotary embeddings: one kernel for all styles. Arithmetic in float32, one rounding."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._arguments import (
    FLOAT_DTYPES,
    INDEX_DTYPES,
    address,
    check_heads,
    check_out_dtype,
    check_place,
    code,
    library,
    prepared,
    stream,
)

_PAIRS, _HALVES, _PAIRS_TO_HALVES = 0, 1, 2


def _check_angles(cos: torch.Tensor, sin: torch.Tensor, tokens: int, x: torch.Tensor, name: str) -> None:
    for tensor, part in ((cos, "cos"), (sin, "sin")):
        check_place(tensor, part, (2,), x)
        if tensor.dtype != x.dtype or tensor.shape != cos.shape or tensor.shape[0] != tokens:
            raise ValueError(
                f"{part} is {tensor.dtype} {tuple(tensor.shape)}; for {name}, {x.dtype} {tuple(x.shape)}, it is [{tokens}, angles]"
            )
        check_heads(tensor, part)
    if cos.stride(0) != sin.stride(0):
        raise ValueError(f"cos has the strides {tuple(cos.stride())}, sin {tuple(sin.stride())}; they must be laid out alike")


@prepared
def _prepare(
    positions: torch.Tensor | None,
    query: torch.Tensor,
    key: torch.Tensor | None,
    cos_sin_cache: torch.Tensor | None,
    cos: torch.Tensor | None,
    sin: torch.Tensor | None,
    head_size: int,
    is_neox: bool,
    inverse: bool,
    mrope_section: tuple[int, ...] | None,
    mrope_interleaved: bool,
    to_halves: bool,
    out_dtype: torch.dtype | None,
) -> _ops.Launch:
    if is_neox and to_halves:
        raise ValueError("to_halves is for neighbours that are paired, is_neox pairs halves")
    if mrope_section is not None and len(mrope_section) != 3:
        raise ValueError(f"mrope_section is {list(mrope_section)}; it must have three numbers")
    check_place(query, "query", (2, 3), query)
    if cos is not None and sin is not None and cos_sin_cache is None and positions is None:
        if mrope_section is not None or mrope_interleaved:
            raise ValueError("mrope_section and mrope_interleaved are for positions; cos and sin are those of each token already")
        tokens, axes, index = query.shape[0], 0, INDEX_DTYPES[torch.int64]
        _check_angles(cos, sin, tokens, query, "query")
        rows, rotary_dim = tokens, 2 * cos.shape[1]
        table, stride = cos, cos.stride(0) if tokens > 1 else cos.shape[1]
    elif cos_sin_cache is not None and positions is not None and cos is None and sin is None:
        check_place(cos_sin_cache, "cos_sin_cache", (2,), query)
        check_place(positions, "positions", (1, 2), query)
        axes = 3 if mrope_section is not None and positions.dim() == 2 else 1
        if axes == 3 and positions.shape[0] != 3:
            raise ValueError(f"positions has the shape {tuple(positions.shape)}; with mrope_section it must be [tokens] or [3, tokens]")
        if not cos_sin_cache.is_contiguous() or not positions.is_contiguous():
            raise ValueError("positions and cos_sin_cache must be contiguous")
        tokens, index = positions.numel() // axes, code(INDEX_DTYPES, positions, "positions")
        rows, rotary_dim = cos_sin_cache.shape
        table, stride = cos_sin_cache, rotary_dim
    else:
        raise ValueError("angles are cos_sin_cache and positions, or cos and sin")
    check_out_dtype(out_dtype, query, "query")
    heads = []
    for tensor, name in [(query, "query")] + ([(key, "key")] if key is not None else []):
        check_place(tensor, name, (2, 3), query)
        if tensor.shape[0] != tokens or tensor.dtype != table.dtype:
            of = "positions and a table" if cos is None else "rows of cos and sin"
            raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)} for {tokens} {of} of {table.dtype}")
        check_heads(tensor, name)
        width = tensor.shape[1] if tensor.dim() == 2 else tensor.shape[1] * tensor.shape[2]
        if width % head_size:
            raise ValueError(f"{name} has {width} elements per token, which are no heads of {head_size}")
        heads.append(width // head_size)
    return _ops.rotary_embedding(
        tokens,
        heads[0],
        heads[1] if key is not None else 0,
        head_size,
        rotary_dim,
        rows,
        stride,
        query.stride(0),
        0 if key is None else key.stride(0),
        0,
        0,
        True,
        axes,
        *(mrope_section or (0, 0, 0)),
        mrope_interleaved,
        code(FLOAT_DTYPES, query, "query"),
        index,
        _HALVES if is_neox else _PAIRS_TO_HALVES if to_halves else _PAIRS,
        inverse,
    )


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
    section = None if mrope_section is None else tuple(mrope_section)
    launch = _prepare(
        (positions, query, key, cos_sin_cache, cos, sin),
        (head_size, is_neox, inverse, section, mrope_interleaved, to_halves, out_dtype),
    )
    table = cos if cos_sin_cache is None else cos_sin_cache
    launch(address(positions), query.data_ptr(), address(key), address(table), address(sin), 0, 0, stream(query))


@prepared
def _prepare_angles(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, is_neox: bool, inverse: bool, out_dtype: torch.dtype | None
) -> tuple[_ops.Launch, bool, bool]:
    """And whether it reads x as it lies, else a contiguous copy, and whether all of a head is rotated, else it is in place."""
    check_place(x, "x", (3, 4), x)
    check_out_dtype(out_dtype, x, "x")
    tokens, heads, size = x.shape[-3:]
    _check_angles(cos, sin, tokens, x, "x")
    rotary_dim = 2 * cos.shape[1]
    if rotary_dim > size:
        raise ValueError(f"cos has {cos.shape[1]} angles, which turn {rotary_dim} elements; the head size is {size}")
    is_dense = x.stride(-1) == 1 and (heads == 1 or x.stride(-2) == size) and x.stride(-3) >= heads * size
    is_dense = is_dense and (x.dim() == 3 or x.shape[0] <= 1 or x.stride(0) == tokens * x.stride(1))
    is_whole = rotary_dim == size
    launch = _ops.rotary_embedding(
        x.numel() // max(1, heads * size),
        heads,
        0,
        size,
        rotary_dim,
        tokens,
        cos.stride(0) if tokens > 1 else cos.shape[1],
        x.stride(-3) if is_dense and is_whole else heads * size,
        0,
        heads * size,
        0,
        not is_whole,
        0,
        0,
        0,
        0,
        False,
        code(FLOAT_DTYPES, x, "x"),
        9,
        _HALVES if is_neox else _PAIRS,
        inverse,
    )
    return launch, is_dense, is_whole


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
    launch, is_dense, is_whole = _prepare_angles((x, cos, sin), (is_neox, inverse, out_dtype))
    # A kernel writes what it rotates; the rest of a head has to be there before.
    if is_whole:
        x = x if is_dense else x.contiguous()
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        launch(0, x.data_ptr(), 0, cos.data_ptr(), sin.data_ptr(), out.data_ptr(), 0, stream(x))
    else:
        out = x.clone(memory_format=torch.contiguous_format)
        launch(0, out.data_ptr(), 0, cos.data_ptr(), sin.data_ptr(), 0, 0, stream(x))
    return out


library.define(
    "rotary_embedding(Tensor? positions, Tensor(a!) query, Tensor(b!)? key, int head_size, Tensor? cos_sin_cache, bool is_neox, "
    "bool inverse=False, int[]? mrope_section=None, bool mrope_interleaved=False, bool to_halves=False, Tensor? cos=None, "
    "Tensor? sin=None, ScalarType? out_dtype=None) -> ()"
)
library.define(
    "apply_rotary_emb(Tensor x, Tensor cos, Tensor sin, bool is_neox=True, bool inverse=False, ScalarType? out_dtype=None) -> Tensor"
)
library.impl("rotary_embedding", rotary_embedding, "PrivateUse1")
library.impl("apply_rotary_emb", apply_rotary_emb, "PrivateUse1")
torch.library.register_fake("vllm_cann::rotary_embedding", lambda *_, **__: None, lib=library)
torch.library.register_fake("vllm_cann::apply_rotary_emb", lambda x, *_, **__: x.new_empty(x.shape), lib=library)

"""Rotary embedding, and the same behind a norm of each head, in Triton. A program takes some tokens, a tile of heads at a time.

Any even rotary dimension: rows of the table are read by their own length, and lanes beyond it are masked. Launches depend on shapes only.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

# Programs of a launch: at most the vector cores of an Atlas A2.
_PROGRAMS = 48
# Heads of a tile: halves of a head's elements at float32, of which some eight are alive at once, fit into the memory of a core.
_TILE_BYTES = 96 * 1024
_ALIVE = 8


@triton.jit
def _rotate_heads(  # type: ignore[no-untyped-def]
    x,
    token,
    token_stride,
    first_head,
    heads,
    c,
    s,
    HEAD: tl.constexpr,
    HALF: tl.constexpr,
    LANES: tl.constexpr,
    TILE: tl.constexpr,
    NEOX: tl.constexpr,
):
    """Heads [first_head, first_head + TILE) of a token in place, by cosines and sines [LANES], of which HALF count."""
    head = first_head + tl.arange(0, TILE)
    lane = tl.arange(0, LANES)
    inside = (head[:, None] < heads) & (lane[None, :] < HALF)
    row = x + token * token_stride + head[:, None] * HEAD
    first = row + (lane[None, :] if NEOX else 2 * lane[None, :])
    second = first + (HALF if NEOX else 1)
    a = tl.load(first, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(second, mask=inside, other=0.0).to(tl.float32)
    tl.store(first, (a * c[None, :] - b * s[None, :]).to(x.dtype.element_ty), mask=inside)
    tl.store(second, (b * c[None, :] + a * s[None, :]).to(x.dtype.element_ty), mask=inside)


@triton.jit
def _rope(  # type: ignore[no-untyped-def]
    q,
    k,
    cos,
    sin,
    positions,
    tokens,
    q_stride,
    k_stride,
    cos_stride,
    sin_stride,
    q_heads,
    k_heads,
    HEAD: tl.constexpr,
    HALF: tl.constexpr,
    LANES: tl.constexpr,
    TILE: tl.constexpr,
    NEOX: tl.constexpr,
    BY_POSITION: tl.constexpr,
):
    lane = tl.arange(0, LANES)
    for token in range(tl.program_id(0), tokens, tl.num_programs(0)):
        row = tl.load(positions + token).to(tl.int64) if BY_POSITION else token
        c = tl.load(cos + row * cos_stride + lane, mask=lane < HALF, other=1.0).to(tl.float32)
        s = tl.load(sin + row * sin_stride + lane, mask=lane < HALF, other=0.0).to(tl.float32)
        for first in range(0, q_heads, TILE):
            _rotate_heads(q, token, q_stride, first, q_heads, c, s, HEAD, HALF, LANES, TILE, NEOX)
        for first in range(0, k_heads, TILE):
            _rotate_heads(k, token, k_stride, first, k_heads, c, s, HEAD, HALF, LANES, TILE, NEOX)


def _tile(lanes: int, heads: int) -> int:
    """Heads of a tile, a power of two: what there is, or what fits."""
    fits = max(1, _TILE_BYTES // (4 * _ALIVE * lanes))
    return min(triton.next_power_of_2(heads), 1 << (fits.bit_length() - 1))


def rope_forward_triton(
    q: torch.Tensor,
    k: torch.Tensor,
    cos: torch.Tensor | None = None,
    sin: torch.Tensor | None = None,
    cos_sin_cache: torch.Tensor | None = None,
    positions: torch.Tensor | None = None,
    rope_dim: int = -1,
    is_neox_style: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turns the first rope_dim elements of every head by its token's angles, in place. Contract of vllm-ascend's function of this name.

    Arithmetic in float32, one rounding. A tensor whose heads are not contiguous is copied first: use the results.

    Args:
        q: [tokens, heads, head size]; k: the same with its own number of heads
        cos, sin: [tokens, rope_dim / 2], the angles of each token; or
        cos_sin_cache, positions: [positions, rope_dim], cosines then sines, and int [tokens]; rope_dim says how many elements
        rope_dim: even, at most the head size; -1 with cos and sin: twice their length
        is_neox_style: element i is paired with i + rope_dim / 2; otherwise neighbours are paired

    Returns:
        q and k

    Raises:
        ValueError: angles are missing, or sizes do not fit
    """
    if cos_sin_cache is not None and positions is not None:
        if rope_dim != cos_sin_cache.shape[-1]:
            raise ValueError(f"rope_dim is {rope_dim}, and cos_sin_cache has {cos_sin_cache.shape[-1]} elements in a row")
        if positions.shape[0] != q.shape[0]:
            raise ValueError(f"there are {positions.shape[0]} positions for {q.shape[0]} tokens")
        cos, sin = cos_sin_cache[:, : rope_dim // 2], cos_sin_cache[:, rope_dim // 2 :]
    elif cos is None or sin is None:
        raise ValueError("angles are missing: give cos and sin, or cos_sin_cache and positions")
    else:
        rope_dim = 2 * cos.shape[-1] if rope_dim == -1 else rope_dim
        if rope_dim != 2 * cos.shape[-1] or cos.shape[0] != q.shape[0]:
            raise ValueError(f"cos has the shape {tuple(cos.shape)} for rope_dim {rope_dim} and {q.shape[0]} tokens")
        positions = None
    head_size = q.shape[-1]
    if rope_dim % 2 or rope_dim > head_size or k.shape[-1] != head_size:
        raise ValueError(f"rope_dim is {rope_dim}; it must be even and at most the head size, {head_size} of q and {k.shape[-1]} of k")
    q, k = (x if x.stride()[1:] == (head_size, 1) else x.contiguous() for x in (q, k))
    tokens, half = q.shape[0], rope_dim // 2
    if tokens == 0 or half == 0:
        return q, k
    lanes = triton.next_power_of_2(half)
    _rope[(min(tokens, _PROGRAMS),)](
        *(q, k, cos, sin, q if positions is None else positions, tokens),
        *(q.stride(0), k.stride(0), cos.stride(0), sin.stride(0), q.shape[1], k.shape[1]),
        HEAD=head_size,
        HALF=half,
        LANES=lanes,
        TILE=_tile(lanes, max(q.shape[1], k.shape[1])),
        NEOX=is_neox_style,
        BY_POSITION=positions is not None,
    )
    return q, k


@triton.jit
def _normed(x, row, weight, bias, place, inverse, HEAD: tl.constexpr, HAS_BIAS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Elements of a head at `place`, in float32: times `inverse` and the weight, plus the bias."""
    inside = place < HEAD
    value = tl.load(x + row + place, mask=inside, other=0.0).to(tl.float32) * inverse
    value = value * tl.load(weight + place, mask=inside, other=0.0).to(tl.float32)
    if HAS_BIAS:
        value = value + tl.load(bias + place, mask=inside, other=0.0).to(tl.float32)
    return value


@triton.jit
def _norm_rope_part(  # type: ignore[no-untyped-def]
    x,
    out,
    token,
    x_stride,
    begin,
    heads,
    weight,
    bias,
    angles,
    eps,
    HEAD: tl.constexpr,
    LANES: tl.constexpr,
    HALF: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    """Heads of query or of key of a token, which lie from element `begin` of its row on."""
    lane = tl.arange(0, LANES)
    # The element that a lane is paired with, and its angle; lanes that are not rotated are paired with themselves.
    is_first = lane < HALF
    is_second = (lane >= HALF) & (lane < 2 * HALF)
    other = tl.where(is_first, lane + HALF, tl.where(is_second, lane - HALF, lane))
    angle = tl.where(is_second, lane - HALF, lane)
    turned = is_first | is_second
    c = tl.load(angles + angle, mask=turned, other=1.0).to(tl.float32)
    s = tl.load(angles + HALF + angle, mask=turned, other=0.0).to(tl.float32)
    s = tl.where(is_first, -s, s)
    for head in range(heads):
        row = token * x_stride + begin + head * HEAD
        value = tl.load(x + row + lane, mask=lane < HEAD, other=0.0).to(tl.float32)
        inverse = 1.0 / tl.sqrt(tl.sum(value * value, axis=0) / HEAD + eps)
        own = _normed(x, row, weight, bias, lane, inverse, HEAD, HAS_BIAS)
        paired = _normed(x, row, weight, bias, other, inverse, HEAD, HAS_BIAS)
        result = own * c + paired * s
        tl.store(out + (token * heads + head) * HEAD + lane, result.to(out.dtype.element_ty), mask=lane < HEAD)


@triton.jit
def _split_norm_rope(  # type: ignore[no-untyped-def]
    x,
    q,
    k,
    v,
    table,
    positions,
    q_weight,
    k_weight,
    q_bias,
    k_bias,
    tokens,
    x_stride,
    table_stride,
    q_heads,
    kv_heads,
    eps,
    HEAD: tl.constexpr,
    LANES: tl.constexpr,
    HALF: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    lane = tl.arange(0, LANES)
    for token in range(tl.program_id(0), tokens, tl.num_programs(0)):
        row = table + tl.load(positions + token).to(tl.int64) * table_stride
        _norm_rope_part(x, q, token, x_stride, 0, q_heads, q_weight, q_bias, row, eps, HEAD, LANES, HALF, HAS_BIAS)
        _norm_rope_part(x, k, token, x_stride, q_heads * HEAD, kv_heads, k_weight, k_bias, row, eps, HEAD, LANES, HALF, HAS_BIAS)
        for head in range(kv_heads):
            at = token * x_stride + (q_heads + kv_heads + head) * HEAD
            value = tl.load(x + at + lane, mask=lane < HEAD, other=0.0)
            tl.store(v + (token * kv_heads + head) * HEAD + lane, value, mask=lane < HEAD)


def split_qkv_rmsnorm_rope(
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
    """Takes input apart; each head of query and key is normalised and rotated, halves being paired. Arithmetic in float32, one rounding.

    Args:
        input: [tokens, q_hidden_size + 2 * kv_hidden_size], rows contiguous
        cos_sin_cache: [positions, rotary_dim], cosines then sines; rotary_dim even, at most head_dim
        positions: int [tokens]
        q_weight, k_weight: [head_dim]; q_bias, k_bias: the same, both or none
        q_hidden_size, kv_hidden_size: elements of all heads of query; of key, and of value
        head_dim: elements of a head
        eps: what is added to the mean of squares

    Returns:
        query [tokens, q_hidden_size], key and value [tokens, kv_hidden_size], new

    Raises:
        ValueError: sizes do not fit
    """
    tokens, rotary_dim = input.shape[0], cos_sin_cache.shape[-1]
    if q_hidden_size % head_dim or kv_hidden_size % head_dim or input.shape[1] != q_hidden_size + 2 * kv_hidden_size:
        raise ValueError(f"rows of {input.shape[1]} elements are no heads of {head_dim}: {q_hidden_size} of query, 2 * {kv_hidden_size}")
    if rotary_dim % 2 or rotary_dim > head_dim:
        raise ValueError(f"rotary_dim is {rotary_dim}; it must be even and at most head_dim, {head_dim}")
    if (q_bias is None) != (k_bias is None):
        raise ValueError("of q_bias and k_bias only one is given")
    q, k, v = (input.new_empty(tokens, size) for size in (q_hidden_size, kv_hidden_size, kv_hidden_size))
    if tokens == 0:
        return q, k, v
    _split_norm_rope[(min(tokens, _PROGRAMS),)](
        *(input, q, k, v, cos_sin_cache, positions, q_weight, k_weight),
        *(q_weight if q_bias is None else q_bias, k_weight if k_bias is None else k_bias),
        *(tokens, input.stride(0), cos_sin_cache.stride(0), q_hidden_size // head_dim, kv_hidden_size // head_dim, eps),
        HEAD=head_dim,
        LANES=triton.next_power_of_2(head_dim),
        HALF=rotary_dim // 2,
        HAS_BIAS=q_bias is not None,
    )
    return q, k, v

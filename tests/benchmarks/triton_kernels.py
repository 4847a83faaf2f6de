"""Rotary embedding and softmax-top-k in Triton, for its interpreter. Written as for a GPU: a program takes `ROWS` tokens."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rotary(x, positions, cos_sin_cache, HEADS: tl.constexpr, HALF: tl.constexpr, ROWS: tl.constexpr):  # type: ignore[no-untyped-def]
    """x [tokens, HEADS, 2 HALF] in place, halves rotated by rows of cos_sin_cache [positions, 2 HALF]."""
    token = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    lane = tl.arange(0, HALF)
    row = tl.load(positions + token)[:, None] * (2 * HALF) + lane[None, :]
    c = tl.load(cos_sin_cache + row).to(tl.float32)[:, None, :]
    s = tl.load(cos_sin_cache + row + HALF).to(tl.float32)[:, None, :]
    head = tl.arange(0, HEADS)
    first = x + (token[:, None, None] * HEADS + head[None, :, None]) * (2 * HALF) + lane[None, None, :]
    second = first + HALF
    x1 = tl.load(first).to(tl.float32)
    x2 = tl.load(second).to(tl.float32)
    tl.store(first, (x1 * c - x2 * s).to(x.dtype.element_ty))
    tl.store(second, (x2 * c + x1 * s).to(x.dtype.element_ty))


@triton.jit
def softmax_top_k(logits, values, places, EXPERTS: tl.constexpr, TOP: tl.constexpr, ROWS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The TOP largest of the softmax of each row of logits [rows, EXPERTS], and where they are."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    expert = tl.arange(0, EXPERTS)
    x = tl.load(logits + row[:, None] * EXPERTS + expert[None, :])
    x = tl.exp(x - tl.max(x, axis=1)[:, None])
    x = x / tl.sum(x, axis=1)[:, None]
    for i in range(TOP):
        largest = tl.max(x, axis=1)
        place = tl.argmax(x, axis=1)
        tl.store(values + row * TOP + i, largest)
        tl.store(places + row * TOP + i, place)
        x = tl.where(expert[None, :] == place[:, None], -1.0, x)

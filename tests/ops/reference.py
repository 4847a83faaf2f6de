"""What the operators compute, by their definitions, in numpy: one function per operator.

Numbers are float64 or integers, so nothing here is rounded to an operator's dtype. No function writes its arguments.
Where a test needs the size of the terms that a result is a sum of, for an error bound, the function gives them, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


# Paged caches. Here a cache is [blocks, block size, heads, size]: slot s is row s of its first two dimensions.


def reshape_and_cache(cache: Array, rows: Array, slots: Array) -> Array:
    """The cache after rows [tokens, heads, size] were written to their slots; a slot that the cache lacks drops its row."""
    out = cache.copy().reshape(-1, *cache.shape[2:])
    for row, slot in zip(rows, slots, strict=False):
        if 0 <= slot < len(out):
            out[slot] = row
    return out.reshape(cache.shape)


def gather_cache(cache: Array, block_table: Array, seq_lens: Array, seq_starts: Array) -> Array:
    """Rows [sum of seq_lens, heads, size]: of each request seq_lens positions from seq_starts on."""
    positions = [np.arange(start, start + length) for start, length in zip(seq_starts, seq_lens, strict=True)]
    slots = [table[at // cache.shape[1]] * cache.shape[1] + at % cache.shape[1] for table, at in zip(block_table, positions, strict=True)]
    return cache.reshape(-1, *cache.shape[2:])[np.concatenate(slots)]


def slot_mapping(
    query_start_loc: Array,
    positions: Array,
    block_table: Array,
    num_slots: int,
    block_size: int,
    world_size: int = 1,
    rank: int = 0,
    interleave: int = 1,
    pad_id: int = -1,
    is_circular: bool = False,
) -> Array:
    """Slots [num_slots] of a step's tokens; pad_id where there is no token, or one of another rank."""
    out = np.full(num_slots, pad_id, np.int64)
    for blocks, (first, end) in zip(block_table, itertools.pairwise(query_start_loc), strict=False):
        for token in range(first, end):
            position = int(positions[token])
            if is_circular:
                is_here, page, place = position >= 0, 0, position % block_size
            else:
                page, offset = divmod(position, block_size * world_size)
                is_here = offset // interleave % world_size == rank
                place = offset // (interleave * world_size) * interleave + offset % interleave
            if is_here:
                out[token] = blocks[page] * block_size + place
    return out


def copy_blocks(cache: Array, mapping: Array) -> Array:
    """The cache after block mapping[i, 0] was copied over block mapping[i, 1]."""
    out = cache.copy()
    out[mapping[:, 1]] = cache[mapping[:, 0]]
    return out


def swap_blocks(src: Array, dst: Array, mapping: Array) -> Array:
    """dst after block mapping[i, 0] of src was copied over its block mapping[i, 1], in the order of i."""
    out = dst.copy()
    for source, target in mapping:
        out[target] = src[source]
    return out


def transpose_kv_cache_by_block(cache: Array, block_ids: Array, splits: int) -> Array:
    """The cache after blocks, read as [splits, block size, heads / splits, size], became [block size, heads, size]."""
    _, block_size, heads, size = cache.shape
    out = cache.copy()
    for block in block_ids:
        out[block] = cache[block].reshape(splits, block_size, heads // splits, size).swapaxes(0, 1).reshape(block_size, heads, size)
    return out


def kv_rmsnorm_rope_cache(kv: Array, gamma: Array, cos: Array, sin: Array, epsilon: float = 1e-5) -> tuple[Array, Array]:
    """Rotated parts [.., r] and normalised parts [.., n] of rows kv [.., n + r]; cos and sin are [.., r]."""
    n = len(gamma)
    even, odd = kv[..., n::2], kv[..., n + 1 :: 2]
    rotated = np.concatenate([even, odd], -1) * cos + np.concatenate([-odd, even], -1) * sin
    return rotated, rms_norm(kv[..., :n], gamma, epsilon)[0]


# Rotary embeddings and norms.


def rotary_angles(
    cos_sin_cache: Array, positions: Array, mrope_section: Sequence[int] | None = None, mrope_interleaved: bool = False
) -> tuple[Array, Array]:
    """Cosines and sines [tokens, rotary_dim / 2] of positions [tokens], or of [3, tokens] with sections."""
    lanes = cos_sin_cache.shape[1] // 2
    if mrope_section is None or positions.ndim == 1:
        rows = cos_sin_cache[positions]
        return rows[:, :lanes], rows[:, lanes:]
    if mrope_interleaved:
        axes = [a if a > 0 and lane < 3 * mrope_section[a] else 0 for lane in range(lanes) for a in [lane % 3]]
    else:
        axes = np.repeat(np.arange(3), mrope_section).tolist()
    cos, sin = (np.stack([cos_sin_cache[positions[axis], part * lanes + lane] for lane, axis in enumerate(axes)], -1) for part in (0, 1))
    return cos, sin


def rotary_embedding(x: Array, cos: Array, sin: Array, style: str = "neox", magnitudes: bool = False) -> Array:
    """Heads x [.., heads, size], the first rotary_dim elements turned by angles cos, sin [.., rotary_dim / 2].

    Args:
        style: "neox" pairs element i with i + rotary_dim / 2, "gptj" neighbours; "halves" pairs neighbours, and puts the first elements of
            all pairs first
        magnitudes: give |x1 cos| + |x2 sin| instead of x1 cos - x2 sin
    """
    lanes = cos.shape[-1]
    cos, sin = cos[..., None, :], sin[..., None, :]
    a, b = (x[..., :lanes], x[..., lanes : 2 * lanes]) if style == "neox" else (x[..., : 2 * lanes : 2], x[..., 1 : 2 * lanes : 2])
    if magnitudes:
        first, second = np.abs(a * cos) + np.abs(b * sin), np.abs(b * cos) + np.abs(a * sin)
    else:
        first, second = a * cos - b * sin, b * cos + a * sin
    turned = np.stack([first, second], -1).reshape(*a.shape[:-1], 2 * lanes) if style == "gptj" else np.concatenate([first, second], -1)
    rest = x[..., 2 * lanes :]
    return np.concatenate([turned, np.abs(rest) if magnitudes else rest], -1)


def rms_norm(x: Array, weight: Array, eps: float, bias: Array | None = None, mean_square: Array | None = None) -> tuple[Array, Array]:
    """x / sqrt(mean(x^2) + eps) * weight + bias over the last dimension, and the sum of the magnitudes of its terms."""
    mean = np.mean(x * x, -1, keepdims=True) if mean_square is None else mean_square
    scaled = x / np.sqrt(mean + eps) * weight
    return (scaled, np.abs(scaled)) if bias is None else (scaled + bias, np.abs(scaled) + np.abs(bias))


def split_qkv(qkv: Array, heads: int, kv_heads: int, size: int, has_gate: bool = False) -> tuple[Array, Array, Array, Array]:
    """Query, key, value [tokens, heads, size] of each token's row, and gate, which has no heads without has_gate."""
    step = size * (2 if has_gate else 1)
    query, key, value = np.split(qkv, [heads * step, heads * step + kv_heads * size], -1)
    query = query.reshape(-1, heads, step)
    key, value = (x.reshape(-1, kv_heads, size) for x in (key, value))
    return query[..., :size], key, value, query[..., size:] if has_gate else query[:, :0]


def qkv_square_sums(qkv: Array, heads: int, kv_heads: int, size: int, has_gate: bool = False) -> Array:
    """[tokens, 2]: the sums of squares of a token's query, and of its key."""
    query, key, _, _ = split_qkv(qkv, heads, kv_heads, size, has_gate)
    return np.stack([np.sum(x * x, (1, 2)) for x in (query, key)], -1)


# Mixtures of experts. A pair is a token and one of its experts; its number is token * k + j.


def moe_gating_top_k(
    x: Array,
    k: int,
    bias: Array | None = None,
    k_group: int = 1,
    group_count: int = 1,
    group_select_mode: int = 0,
    renorm: int = 0,
    norm_type: int = 0,
    routed_scaling_factor: float = 1.0,
) -> tuple[Array, Array, Array]:
    """Weights and experts [.., k] of logits x [.., experts], and all scores. Of equal scores the lower number comes first."""
    if norm_type == 0:
        powers = np.exp(x - x.max(-1, keepdims=True))
        scores = powers / powers.sum(-1, keepdims=True)
    else:
        scores = 1 / (1 + np.exp(-x)) if norm_type == 1 else np.sqrt(np.log1p(np.exp(x)))
    choice = scores if bias is None else scores + bias
    grouped = choice.reshape(*x.shape[:-1], group_count, -1)
    of_group = grouped.max(-1) if group_select_mode == 0 else np.sort(grouped)[..., -2:].sum(-1)
    kept = np.argsort(-of_group, -1, kind="stable")[..., :k_group]
    is_kept = (np.arange(group_count)[:, None] == kept[..., None, :]).any(-1)
    allowed = np.where(is_kept[..., None], grouped, -np.inf).reshape(x.shape)
    experts = np.argsort(-allowed, -1, kind="stable")[..., :k]
    weights = np.take_along_axis(scores, experts, -1)
    if renorm or norm_type == 1:
        weights = weights / weights.sum(-1, keepdims=True)
    return weights * routed_scaling_factor, experts, scores


def moe_gating_top_k_softmax(x: Array, finished: Array, k: int, renorm: int = 0) -> tuple[Array, Array, Array]:
    """Weights, experts and pair numbers j * rows + row, all [.., k]; a finished row has the expert that comes after the last."""
    weights, experts, _ = moe_gating_top_k(x, k, renorm=renorm)
    rows = experts.size // k
    numbers = np.arange(k) * rows + np.arange(rows)[:, None]
    return weights, np.where(finished[..., None], x.shape[-1], experts), numbers.reshape(experts.shape)


def sorted_pairs(expert_idx: Array, first: int, end: int) -> tuple[Array, Array]:
    """Pairs of experts in [first, end), sorted by expert, stably; and the place of every pair in that order, or -1."""
    experts = expert_idx.reshape(-1)
    [inside] = np.nonzero((experts >= first) & (experts < end))
    order = inside[np.argsort(experts[inside], kind="stable")]
    places = np.full(len(experts), -1)
    places[order] = np.arange(len(order))
    return order, places


def moe_init_routing(x: Array, row_idx: Array, expert_idx: Array, active_num: int) -> tuple[Array, Array, Array]:
    """Rows of the first places, the place of each number of row_idx, and the sorted experts."""
    order, _ = sorted_pairs(expert_idx, 0, int(expert_idx.max(initial=0)) + 1)
    numbers = row_idx.reshape(-1)[order]
    places = np.full(len(order), -1)
    places[numbers] = np.arange(len(order))
    return x[numbers % len(x)][: min(len(x), active_num) * expert_idx.shape[1]], places, expert_idx.reshape(-1)[order]


def moe_init_routing_v2(x: Array, expert_idx: Array, first: int, end: int, capacity: int = 0) -> tuple[Array, Array, Array]:
    """Rows in the order of experts [first, end), the place of each pair or -1, and the number of pairs of each expert.

    With a capacity, rows are [experts, capacity, H]: pairs beyond it are dropped, places without a pair are zeros.
    """
    k = expert_idx.shape[1]
    order, places = sorted_pairs(expert_idx, first, end)
    experts = expert_idx.reshape(-1)[order] - first
    counts = np.bincount(experts, minlength=end - first)
    if capacity == 0:
        return x[order // k], places, counts
    rows = np.zeros((end - first, capacity, x.shape[1]))
    places[:] = -1
    for expert in range(end - first):
        for place, pair in enumerate(order[experts == expert][:capacity]):
            rows[expert, place] = x[pair // k]
            places[pair] = expert * capacity + place
    return rows, places, counts


def moe_token_permute(tokens: Array, indices: Array, num_out_tokens: int | None = None, num_experts: int = 1024) -> tuple[Array, Array]:
    """Rows sorted by index, as many as wanted, and the place of each pair."""
    pairs = indices.reshape(len(tokens), -1)
    rows, places, _ = moe_init_routing_v2(tokens, pairs, 0, num_experts)
    wanted = num_out_tokens or pairs.size
    return rows[: max(0, pairs.size + wanted) if wanted < 0 else wanted], places


def moe_finalize_routing(
    rows: Array,
    skips: Sequence[Array],
    bias: Array | None,
    scales: Array,
    indices: Array,
    experts: Array | None = None,
    drop_pad_mode: int = 2,
) -> Array:
    """The terms [tokens, n, H] whose sum over n is the result: the skips, then the row of each pair. scales are [tokens, k]."""
    rows = rows.reshape(-1, rows.shape[-1])
    index = indices.reshape(scales.shape[::-1]).T if drop_pad_mode < 2 else indices.reshape(scales.shape)
    is_there = (index >= 0) & (index < len(rows))
    terms = rows[np.where(is_there, index, 0)]
    if bias is not None and experts is not None:
        of_pairs, is_known = np.zeros_like(terms), (experts >= 0) & (experts < len(bias))
        of_pairs[is_known] = bias[experts[is_known]]
        terms = terms + of_pairs
    terms = terms * scales[..., None] * is_there[..., None]
    return np.concatenate([*(skip[:, None] for skip in skips), terms], 1)


def moe_token_unpermute(rows: Array, indices: Array, probs: Array) -> Array:
    """The terms [tokens, k, H] whose sum over k is the result."""
    return moe_finalize_routing(rows, [], None, probs, indices)


def moe_compute_expert_tokens(sorted_experts: Array, num_expert: int) -> Array:
    """For each expert the number of entries that are not above it."""
    return np.array([np.count_nonzero(sorted_experts <= expert) for expert in range(num_expert)], np.int64)


# LoRA.


def lora_shrink(x: Array, weights: Sequence[Array], indices: Array, scale: float = 1.0) -> tuple[Array, Array]:
    """[slices, tokens, rank], 0 without an adapter, and the sums of the magnitudes of its terms."""

    def sums(rows: Array, of: Sequence[Array]) -> Array:
        return np.stack([[one[i] @ row if i >= 0 else np.zeros(one.shape[1]) for row, i in zip(rows, indices, strict=True)] for one in of])

    return scale * sums(x, weights), abs(scale) * sums(np.abs(x), [np.abs(one) for one in weights])


def lora_expand(y: Array, h: Array, weights: Sequence[Array], indices: Array, offset: int = 0, adds: bool = True) -> tuple[Array, Array]:
    """y with its slices, and the sums of the magnitudes of its terms; 0 where y is as it was."""
    out, magnitude = y.copy(), np.zeros_like(y)
    for one, rows in zip(weights, h, strict=True):
        at = slice(offset, offset + one.shape[1])
        for t, i in enumerate(indices):
            if i >= 0:
                kept = out[t, at] if adds else 0 * out[t, at]
                magnitude[t, at] = np.abs(kept) + np.abs(one[i]) @ np.abs(rows[t])
                out[t, at] = kept + one[i] @ rows[t]
            elif not adds:
                out[t, at] = 0
        offset += one.shape[1]
    return out, magnitude

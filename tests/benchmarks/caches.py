"""Modelled times of the cache and rotary kernels against their limits: run with `tools/bazel run //tests/benchmarks:caches`.

Limits are those of moe.py; an element counts for each operation that the formula needs with it, and in another column once. Prints the
table of docs/kernels.md, the block transpose against gather, transpose and scatter, and the rotary embeddings of a vision tower in one
launch and in five.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

import softnpu
from tests.benchmarks.moe import CLOCK, CORES, HBM, HEAD, HEAD_PER_CORE, PROFILE, TOKENS, Work, busiest, measure, size
from tests.benchmarks.plans import plan

CACHE = softnpu.load("cc/kernels/cache/cache.twin.so")
ROTARY = softnpu.load("cc/kernels/rotary/rotary.twin.so")
BLOCK = 128


def blank(*shape: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.zeros(shape, dtype)


def paged(layout: str, blocks: int, heads: int, head: int, dtype: Any = np.uint16) -> np.ndarray:
    """A paged cache of a layout."""
    lanes = 32 // np.dtype(dtype).itemsize
    block = {"ND": (BLOCK, heads, head), "HND": (heads, BLOCK, head), "NZ": (heads * head // lanes, BLOCK, lanes)}
    return blank(blocks, *block[layout], dtype=dtype)


def scatter() -> Iterator[Work]:
    """Llama-70B's cache on one of eight ranks (1 head), Qwen3-8B's (8 heads), and latent rows."""
    for name, heads, sizes in (("1 x 128", 1, (128, 128)), ("8 x 128", 8, (128, 128)), ("1 x 576, keys only", 1, (576,))):
        for layout in ("ND", "HND", "NZ"):
            for tokens in TOKENS:
                blocks = max(8, tokens // BLOCK + 1)
                # Decoding: a token each in a block of its own. Prefill: one after the other.
                slots = np.arange(tokens) if tokens > 1000 else np.random.default_rng(1).permutation(blocks * BLOCK)[:tokens]
                rows = [blank(tokens, heads, head) for head in sizes]
                caches = [paged(layout, blocks, heads, head) for head in sizes]
                absent = [None] * (2 - len(sizes))
                tensors = [*rows, *absent, *caches, *absent, slots.astype(np.int64)]
                launch = plan("reshape_and_cache", tensors, {"layout": layout}, PROFILE)
                yield Work(f"reshape_and_cache {layout} {name}, {tokens} tokens", launch, tensors, 2 * size(*rows) + 8 * tokens)


def gather() -> Iterator[Work]:
    for layout in ("ND", "HND", "NZ"):
        for requests, length in ((1, 1), (64, 1), (4, 1024), (16, 4096)):
            heads, width, rows = 8, 8192 // BLOCK, requests * length
            blocks = requests * width
            table = np.random.default_rng(1).permutation(blocks).reshape(requests, width).astype(np.int32)
            caches, out = [paged(layout, blocks, heads, 128) for _ in range(2)], [blank(rows, heads, 128) for _ in range(2)]
            tensors = [*caches, table, np.full(requests, length, np.int32), None, *out]
            launch = plan("gather_cache", tensors, {"layout": layout}, PROFILE)
            yield Work(f"gather_cache {layout} 8 x 128, {requests} x {length}", launch, tensors, 2 * size(*out))


def slots() -> Iterator[Work]:
    for requests, tokens in ((1, 1), (64, 64), (4, 4096)):
        width = 32768 // BLOCK
        options = {
            "num_tokens": tokens,
            "block_size": BLOCK,
            "world_size": 1,
            "rank": 0,
            "interleave": 1,
            "pad_id": -1,
            "is_circular": False,
        }
        starts = (np.arange(requests + 1) * (tokens // requests)).astype(np.int32)
        positions = np.tile(np.arange(tokens // requests), requests) + 1000
        table, out = np.random.default_rng(1).integers(0, 9999, (requests, width)).astype(np.int32), np.zeros(tokens, np.int64)
        tensors = [starts, positions, table, out]
        moved = size(starts, positions, out) + 4 * requests * (1 + tokens // requests // BLOCK)
        launch = plan("slot_mapping", tensors, options, PROFILE)
        yield Work(f"slot_mapping, {requests} requests, {tokens} tokens", launch, tensors, moved, tokens)


def copy_work(caches: int, pairs: int, heads: int) -> Work:
    block = BLOCK * heads * 128 * 2
    held = [blank(2 * pairs, block // 2) for _ in range(caches)]
    table = softnpu.Addresses([item for cache in held for item in (cache, block, block)])
    mapping = np.arange(2 * pairs).reshape(2, pairs).T.astype(np.int64).copy()
    options = {"num_blocks": 2 * pairs, "largest_block_bytes": block, "whole_blocks": True}
    launch = plan("copy_blocks", [blank(caches, 3, dtype=np.int64), mapping], options, PROFILE)
    name = f"copy_blocks, {pairs} of {heads} x 128 in {caches} caches"
    return Work(name, launch, [table, mapping], 2 * caches * pairs * block)


def copy_blocks() -> Iterator[Work]:
    for caches, pairs in ((2, 1), (128, 1), (128, 8)):
        yield copy_work(caches, pairs, 8)


def transpose_work(heads: int, splits: int, layers: int, ids: int) -> Work:
    caches, block = 2 * layers, BLOCK * heads * 128 * 2
    held = [blank(ids, block // 2) for _ in range(caches)]
    table = softnpu.Addresses([item for cache in held for item in (cache, block)])
    block_ids = np.arange(ids, dtype=np.int64)
    options = {"element_bytes": 2, "num_blocks": ids, "block_size": BLOCK, "heads": heads, "head_size": 128, "splits": splits}
    launch = plan("transpose_kv_cache", [blank(caches, 2, dtype=np.int64), block_ids], options, PROFILE)
    name = f"transpose_kv_cache {heads} x 128 in {splits}, {ids} blocks of {layers} layers"
    return Work(name, launch, [table, block_ids], 2 * caches * ids * block)


def transpose() -> Iterator[Work]:
    for heads, splits, layers, ids in ((4, 2, 1, 1), (4, 2, 16, 32), (4, 4, 16, 32), (8, 4, 16, 32)):
        yield transpose_work(heads, splits, layers, ids)


def latent() -> Iterator[Work]:
    for layout, narrow in (("ND", False), ("NZ", False), ("ND", True)):
        for tokens in TOKENS:
            blocks = max(8, tokens // BLOCK + 1)
            kv, gamma = blank(tokens, 1, 1, 576) + 0x3F80, blank(512)
            cos, sin = blank(tokens, 1, 1, 64), blank(tokens, 1, 1, 64)
            index = np.random.default_rng(1).permutation(blocks * BLOCK)[:tokens].astype(np.int64)
            caches = [paged(layout, blocks, 1, s, np.int8 if narrow else np.uint16) for s in (64, 512)]
            if layout == "NZ":  # the operator wants the one head before the lanes
                caches = [np.expand_dims(cache, 3) for cache in caches]
            weights = [np.ones(64, np.float32), np.ones(512, np.float32)] if narrow else [None, None]
            tensors = [kv, gamma, cos, sin, index, *caches, *weights, None, None, None, None]
            options = {"cache_mode": "PA_NZ" if layout == "NZ" else "PA", "epsilon": 1e-6}
            launch = plan("kv_rmsnorm_rope_cache", tensors, options, PROFILE)
            moved = size(kv, cos, sin, index) + tokens * 576 * (1 if narrow else 2)
            name = f"kv_rmsnorm_rope_cache {layout}{', int8' if narrow else ''}, {tokens} tokens"
            # Per element: to float, its square, the sum, division, gamma, and back; a scale and three more in int8.
            yield Work(name, launch, tensors, moved, tokens * 576, 10 if narrow else 6)


def positions_of(axes: int, tokens: int) -> np.ndarray:
    positions = np.random.default_rng(1).integers(0, 32768, (axes, tokens))
    return positions if axes > 1 else positions[0]


def rotary() -> Iterator[Work]:
    for text, style, heads, kv_heads, head, dim, sections in (
        ("NeoX 32+8 x 128", "neox", 32, 8, 128, 128, None),
        ("GPT-J 32+2 x 128, 64 turned", "gptj", 32, 2, 128, 64, None),
        ("three axes 32+8 x 128", "neox", 32, 8, 128, 128, (16, 24, 24)),
        ("pairs to halves 128+1 x 64", "pairs_to_halves", 128, 1, 64, 64, None),
    ):
        options = {"head_size": head, "style": style, "is_inverse": False, "mrope_section": sections, "mrope_interleaved": False}
        for tokens in TOKENS:
            q, k, table = blank(tokens, heads * head), blank(tokens, kv_heads * head), blank(32768, dim)
            positions = positions_of(3 if sections else 1, tokens)
            launch = plan("rotary_embedding", [positions, q, k, table, None, None, None, None], options, PROFILE)
            work = (q.size + k.size) * dim // head
            moved = 2 * work * 2 + positions.size * dim * 2 + positions.nbytes
            # Per element: to float, two products, a sum, and back.
            yield Work(f"rotary_embedding {text}, {tokens} tokens", launch, [positions, q, k, table, None, None, None], moved, work, 5)
    for patches in (1024, 4096):  # queries and keys of a vision model, one after the other
        yield by_angles(patches, 2)


def by_angles(patches: int, parts: int) -> Work:
    """Rotates the queries of a layer of Qwen2.5-VL's tower, or queries and keys."""
    options = {"head_size": 80, "style": "neox", "is_inverse": False, "mrope_section": None, "mrope_interleaved": False}
    x, cos, sin = blank(parts * patches, 16, 80), blank(patches, 40), blank(patches, 40)
    out = np.zeros_like(x)
    launch = plan("rotary_embedding", [None, x, None, None, cos, sin, out, None], options, PROFILE)
    arguments = [None, x, None, cos, sin, out, None]
    name = f"apply_rotary_emb 16 x 80, {f'{parts} x ' if parts > 1 else ''}{patches} tokens"
    return Work(name, launch, arguments, size(x, out, cos, sin), x.size, 5)


def fused() -> Iterator[Work]:
    """Query, key and value of Qwen3-32B on two devices and of Qwen3-30B-A3B, and of a model with twice the heads of query."""
    head = 128
    for heads, kv_heads in ((32, 4), (64, 4)):
        for text in ("", ", gate", ", bias", ", value too", ", three axes", ", all heads"):
            has_gate, has_bias, of_all, axes = text == ", gate", text == ", bias", text == ", all heads", 3 if text == ", three axes" else 1
            shape = {"num_heads": heads, "num_kv_heads": kv_heads, "head_size": head, "has_gate": has_gate}
            options = shape | {
                "epsilon": 1e-6,
                "norm_value": text == ", value too",
                "mrope_section": (24, 20, 20) if axes == 3 else None,
                "mrope_interleaved": False,
                "world_size": 1,
            }
            for tokens in TOKENS:
                qkv, table = blank(tokens, (heads * (2 if has_gate else 1) + 2 * kv_heads) * head) + 0x3F80, blank(32768, head)
                positions = positions_of(axes, tokens)
                weights = [blank(h * head if of_all else head) for h in (heads, kv_heads)]
                biases = weights if has_bias else [None, None]
                sums = np.ones((tokens, 2), np.float32) if of_all else None
                q, k, v = blank(tokens, heads * head), blank(tokens, kv_heads * head), blank(tokens, kv_heads * head)
                results = [q, k, v, np.zeros_like(q) if has_gate else None]
                before = [positions, qkv, *weights, *biases, table]
                launch = plan("qkv_rmsnorm_rope", [*before, None, None, sums, *results], options, PROFILE)
                moved = 2 * qkv.nbytes + positions.size * head * 2 + size(positions, sums)
                # Per element: to float, its square, the sum, factor, weight, two products, a sum, and back; the bias. Squares and their
                # sums are not there when they are given. The norm of value is not counted.
                each = 9 + has_bias - 2 * of_all
                work = q.size + k.size
                name = f"{heads}+{kv_heads} x 128{text}, {tokens} tokens"
                yield Work(f"qkv_rmsnorm_rope {name}", launch, [*before, None, sums, *results], moved, work, each)
                if sums is not None:
                    launch = plan("qkv_square_sums", [qkv, sums], shape, PROFILE)
                    yield Work(f"qkv_square_sums {name}", launch, [qkv, sums], (q.size + k.size) * 2 + tokens * 8, work, 3)


WORKS = {
    "scatter": scatter,
    "gather": gather,
    "slots": slots,
    "copy_blocks": copy_blocks,
    "transpose": transpose,
    "latent": latent,
    "rotary": rotary,
    "fused": fused,
}


def run(work: Work) -> softnpu.Report:
    return measure(work, ROTARY if work.plan.kernel.startswith(("rotary", "qkv")) else CACHE)


def by_steps() -> None:
    """The block transpose, and what it replaces: per layer and for keys and values each, blocks are gathered, transposed and scattered."""
    heads, splits, layers, ids = 4, 4, 16, 32
    one = run(transpose_work(heads, splits, layers, ids)).microseconds
    # Each step reads and writes the blocks of one cache: a copy of so many bytes is the least that it can take.
    step = run(copy_work(1, ids, heads)).microseconds
    assert one is not None
    assert step is not None
    launches = 2 * layers * 3
    print(f"\ntranspose_kv_cache: {one:.0f} us; {launches} launches of gather, transpose, scatter: {launches * step:.0f} us at least")
    print(
        f"{one / (launches * step):.2f} of the device time; with 10 us of the host per eager launch {one + 10:.0f} against "
        f"{launches * max(step, 10.0):.0f} us, {(one + 10) / (launches * max(step, 10.0)):.2f}"
    )


def vision_tower() -> None:
    """The rotary embeddings of Qwen2.5-VL-7B's vision tower for a picture: merged, and by five launches in each of its layers.

    The five: cosines and sines are doubled, queries and keys are rotated each, and laid behind each other. A launch that only moves bytes
    takes a copy's time, which is the least it can take.
    """
    layers = 32
    print("\n| patches | merged us | five launches us | ratio | launches |")
    print("|---|---|---|---|---|")
    for side in (448, 896, 1792):
        patches = (side // 14) ** 2
        one, half = (run(by_angles(patches, parts)).microseconds for parts in (2, 1))
        assert one is not None
        assert half is not None

        def moved(elements: int) -> float:
            """Microseconds for a copy of so many 16 bit numbers to their places."""
            return HEAD + HEAD_PER_CORE * CORES + 2 * 2 * elements / HBM / CLOCK

        five = 2 * moved(patches * 80) + 2 * half + moved(2 * patches * 16 * 80)
        print(f"| {patches} | {layers * one:.0f} | {layers * five:.0f} | {one / five:.2f} | {layers} instead of {5 * layers} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=WORKS, nargs="*", default=list(WORKS))
    options = parser.parse_args()
    print("| kernel | cores | MB | modelled us | limit us | ratio | counted once | pipes |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.only:
        for work in WORKS[name]():
            report = run(work)
            assert report.microseconds is not None
            limit = work.limit()
            figures = f"{work.bytes / 1e6:.2f} | {report.microseconds:.1f} | {limit:.1f} | {report.microseconds / limit:.2f}"
            figures += f" | {report.microseconds / work.limit(operations=1):.2f}"
            print(f"| {work.name} | {work.plan.cores} | {figures} | {busiest(report)} |", flush=True)
    if "transpose" in options.only:
        by_steps()
    if "rotary" in options.only:
        vision_tower()


if __name__ == "__main__":
    main()

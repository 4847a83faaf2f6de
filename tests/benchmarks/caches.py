"""Modelled times of the cache and rotary kernels against their limits: run with `tools/bazel run //tests/benchmarks:caches`.

Limits are those of moe.py; an element counts for each operation that the formula needs with it, and in another column once. Prints the
table of docs/kernels.md, and the block transpose against gather, transpose and scatter.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

import softnpu
from tests.benchmarks.moe import CORES, PROFILE, TOKENS, Work, size
from tests.benchmarks.plans import Plans, integers

CACHE = softnpu.load("cc/kernels/cache/cache.twin.so")
ROTARY = softnpu.load("cc/kernels/rotary/rotary.twin.so")
BFLOAT16, BLOCK = 27, 128


def blank(*shape: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.zeros(shape, dtype)


def scatter(plans: Plans) -> Iterator[Work]:
    """Llama-70B's cache on one of eight ranks (1 head), Qwen3-8B's (8 heads), and latent rows."""
    for name, heads, key, value in (("1 x 128", 1, 128, 128), ("8 x 128", 8, 128, 128), ("1 x 576, keys only", 1, 576, 0)):
        for layout, text in enumerate(("ND", "HND", "NZ")):
            for tokens in TOKENS:
                blocks = max(8, tokens // BLOCK + 1)
                tiling, cores = plans.ask(
                    "plan_reshape_and_cache",
                    PROFILE,
                    CORES,
                    layout,
                    BFLOAT16,
                    9,
                    integers(tokens, heads, key),
                    heads * key,
                    integers(tokens, heads if value else 0, value),
                    heads * value,
                    blocks,
                    BLOCK,
                    BLOCK * heads * key,
                    BLOCK * heads * value,
                )
                # Decoding: a token each in a block of its own. Prefill: one after the other.
                slots = np.arange(tokens) if tokens > 1000 else np.random.default_rng(1).permutation(blocks * BLOCK)[:tokens]
                rows = [blank(tokens, heads * s) for s in (key, value)]
                caches = [blank(blocks, BLOCK * heads * s) for s in (key, value)]
                arguments = [rows[0], rows[1] if value else None, caches[0], caches[1] if value else None, slots.astype(np.int64), tiling]
                work = 2 * size(*rows) + 8 * tokens
                yield Work(f"reshape_and_cache {text} {name}, {tokens} tokens", "reshape_and_cache", tiling, cores, arguments, work)


def gather(plans: Plans) -> Iterator[Work]:
    for layout, text in enumerate(("ND", "HND", "NZ")):
        for requests, length in ((1, 1), (64, 1), (4, 1024), (16, 4096)):
            heads, width, rows = 8, 8192 // BLOCK, requests * length
            blocks = requests * width
            tiling, cores = plans.ask(
                "plan_gather_cache",
                PROFILE,
                CORES,
                layout,
                BFLOAT16,
                rows,
                heads,
                128,
                128,
                blocks,
                BLOCK,
                BLOCK * heads * 128,
                BLOCK * heads * 128,
                requests,
                width,
                0,
                0,
            )
            table = np.random.default_rng(1).permutation(blocks).reshape(requests, width).astype(np.int32)
            caches, out = [blank(blocks, BLOCK * heads * 128) for _ in range(2)], [blank(rows, heads * 128) for _ in range(2)]
            lens = np.full(requests, length, np.int32)
            arguments = [*caches, table, lens, None, *out, tiling]
            yield Work(f"gather_cache {text} 8 x 128, {requests} x {length}", "gather_cache", tiling, cores, arguments, 2 * size(*out))


def slots(plans: Plans) -> Iterator[Work]:
    for requests, tokens in ((1, 1), (64, 64), (4, 4096)):
        width = 32768 // BLOCK
        numbers = integers(requests, tokens, tokens, tokens, width, BLOCK, 1, 0, 1, 9, 9, 0)
        tiling, cores = plans.ask("plan_slot_mapping", PROFILE, CORES, numbers)
        starts = (np.arange(requests + 1) * (tokens // requests)).astype(np.int32)
        positions = np.tile(np.arange(tokens // requests), requests) + 1000
        table, out = np.random.default_rng(1).integers(0, 9999, (requests, width)).astype(np.int32), np.zeros(tokens, np.int64)
        moved = size(starts, positions, out) + 4 * requests * (1 + tokens // requests // BLOCK)
        yield Work(
            f"slot_mapping, {requests} requests, {tokens} tokens",
            "slot_mapping",
            tiling,
            cores,
            [starts, positions, table, out, tiling],
            moved,
            tokens,
        )


def blocks_of(plans: Plans) -> Iterator[Work]:
    for caches, pairs in ((2, 1), (128, 1), (128, 8)):
        block = BLOCK * 8 * 128 * 2
        tiling, cores = plans.ask("plan_copy_blocks", PROFILE, CORES, caches, pairs, 2 * pairs, block, 1)
        held = [blank(2 * pairs, block // 2) for _ in range(caches)]
        table = softnpu.Addresses([item for cache in held for item in (cache, block, block)])
        mapping = np.arange(2 * pairs).reshape(2, pairs).T.astype(np.int64).copy()
        name = f"copy_blocks, {pairs} of 8 x 128 in {caches} caches"
        yield Work(name, "copy_blocks", tiling, cores, [table, mapping, tiling], 2 * caches * pairs * block)


def transpose_work(plans: Plans, heads: int, splits: int, layers: int, ids: int) -> Work:
    caches, block = 2 * layers, BLOCK * heads * 128 * 2
    tiling, cores = plans.ask("plan_transpose_kv_cache", PROFILE, CORES, 1, caches, ids, ids, BLOCK, heads, 128, splits)
    held = [blank(ids, block // 2) for _ in range(caches)]
    table = softnpu.Addresses([item for cache in held for item in (cache, block)])
    kernel = "transpose_kv_cache_shared" if np.frombuffer(tiling, np.int64)[7] > 1 else "transpose_kv_cache"
    arguments = [table, np.arange(ids, dtype=np.int64), tiling]
    name = f"transpose_kv_cache {heads} x 128 in {splits}, {ids} blocks of {layers} layers"
    return Work(name, kernel, tiling, cores, arguments, 2 * caches * ids * block)


def transpose(plans: Plans) -> Iterator[Work]:
    for heads, splits, layers, ids in ((4, 2, 1, 1), (4, 2, 16, 32), (4, 4, 16, 32), (8, 4, 16, 32)):
        yield transpose_work(plans, heads, splits, layers, ids)


def latent(plans: Plans) -> Iterator[Work]:
    for layout, narrow in ((0, 0), (2, 0), (0, 3)):
        for tokens in TOKENS:
            blocks = max(8, tokens // BLOCK + 1)
            numbers = integers(tokens, 1, 512, 64, 576, blocks, BLOCK, layout, 0, narrow, 0, 0, tokens)
            tiling, cores = plans.ask("plan_kv_rmsnorm_rope_cache", PROFILE, CORES, BFLOAT16, numbers)
            kv, gamma, cos, sin = blank(tokens, 576) + 0x3F80, blank(512), blank(tokens, 64), blank(tokens, 64)
            index = np.random.default_rng(1).permutation(blocks * BLOCK)[:tokens].astype(np.int64)
            kind = np.int8 if narrow else np.uint16
            caches = [blank(blocks, BLOCK * s, dtype=kind) for s in (64, 512)]
            weights = [np.ones(64, np.float32), np.ones(512, np.float32)] if narrow else [None, None]
            arguments = [kv, gamma, cos, sin, index, *caches, *weights, None, None, None, None, tiling]
            moved = size(kv, cos, sin, index) + tokens * 576 * (1 if narrow else 2)
            name = f"kv_rmsnorm_rope_cache {'NZ' if layout else 'ND'}{', int8' if narrow else ''}, {tokens} tokens"
            # Per element: to float, its square, the sum, division, gamma, and back; a scale and three more in int8.
            operations = 10 if narrow else 6
            yield Work(name, "kv_rmsnorm_rope_cache_bfloat16", tiling, cores, arguments, moved, tokens * 576, operations)


def rotary(plans: Plans) -> Iterator[Work]:
    for text, style, heads, kv_heads, head, dim, sections in (
        ("NeoX 32+8 x 128", 1, 32, 8, 128, 128, (0, 0, 0)),
        ("GPT-J 32+2 x 128, 64 turned", 0, 32, 2, 128, 64, (0, 0, 0)),
        ("three axes 32+8 x 128", 1, 32, 8, 128, 128, (16, 24, 24)),
        ("pairs to halves 128+1 x 64", 2, 128, 1, 64, 64, (0, 0, 0)),
    ):
        for tokens in TOKENS:
            axes = 3 if sum(sections) else 1
            numbers = integers(style, 0, 0, axes, *sections, 0, 0, 0)
            sides = [integers(tokens, h, head) for h in (heads, kv_heads)]
            tiling, cores = plans.ask(
                "plan_rotary_embedding", PROFILE, CORES, BFLOAT16, 9, sides[0], heads * head, sides[1], kv_heads * head, 32768, dim, numbers
            )
            q, k, table = blank(tokens, heads * head), blank(tokens, kv_heads * head), blank(32768, dim)
            positions = np.random.default_rng(1).integers(0, 32768, (axes, tokens))
            moved = 2 * (q.size + k.size) * dim // head * 2 + axes * tokens * dim * 2 + positions.nbytes
            # Per element: to float, two products, a sum, and back.
            work = (q.size + k.size) * dim // head
            arguments = [positions, q, k, table, None, None, None, tiling]
            yield Work(f"rotary_embedding {text}, {tokens} tokens", "rotary_embedding_bfloat16", tiling, cores, arguments, moved, work, 5)
    for tokens in (1024, 4096):  # queries and keys of a vision model, one after the other
        numbers = integers(1, 0, 40, 1, 0, 0, 0, 0, 16 * 80, 0)
        side, none = integers(2 * tokens, 16, 80), integers(2 * tokens, 0, 80)
        tiling, cores = plans.ask("plan_rotary_embedding", PROFILE, CORES, BFLOAT16, 9, side, 16 * 80, none, 0, tokens, 80, numbers)
        x, cos, sin = blank(2 * tokens, 16 * 80), blank(tokens, 40), blank(tokens, 40)
        out = np.zeros_like(x)
        arguments = [None, x, None, cos, sin, out, None, tiling]
        name, moved = f"apply_rotary_emb 16 x 80, 2 x {tokens} tokens", size(x, out, cos, sin)
        yield Work(name, "rotary_embedding_bfloat16", tiling, cores, arguments, moved, x.size, 5)


def fused(plans: Plans) -> Iterator[Work]:
    """Query, key and value of Qwen3-32B on two devices and of Qwen3-30B-A3B, and of a model with twice the heads of query."""
    variants = {
        "": {},
        ", gate": {"gate": 1},
        ", bias": {"bias": 1},
        ", value too": {"value": 1},
        ", three axes": {"axes": 3},
        ", all heads": {"sums": 1},
    }
    for heads, kv_heads in ((32, 4), (64, 4)):
        for text, has in variants.items():
            for tokens in TOKENS:
                head, axes, gate = 128, has.get("axes", 1), has.get("gate", 0)
                width = (heads * (1 + gate) + 2 * kv_heads) * head
                shape = (tokens, heads, kv_heads, head, width, gate)
                sections = (24, 20, 20) if axes == 3 else (0, 0, 0)
                flags = (0, has.get("bias", 0), has.get("sums", 0), 1, has.get("value", 0))
                numbers = integers(*shape, head, 32768, axes, tokens, *sections, *flags)
                epsilon = (np.ctypeslib.ctypes.c_double * 1)(1e-6)
                tiling, cores = plans.ask("plan_qkv_rmsnorm_rope", PROFILE, CORES, BFLOAT16, 9, numbers, epsilon)
                qkv, table = blank(tokens, width) + 0x3F80, blank(32768, head)
                positions = np.random.default_rng(1).integers(0, 32768, (axes, tokens))
                of_all = has.get("sums", 0)
                weights = [blank(h * head if of_all else head) for h in (heads, kv_heads)]
                biases = weights if has.get("bias", 0) else [None, None]
                sums = np.ones((tokens, 2), np.float32) if of_all else None
                q, k, v = blank(tokens, heads * head), blank(tokens, kv_heads * head), blank(tokens, kv_heads * head)
                results = [q, k, v, np.zeros_like(q) if gate else None]
                moved = 2 * qkv.nbytes + axes * tokens * head * 2 + positions.nbytes + (0 if sums is None else sums.nbytes)
                # Per element: to float, its square, the sum, factor, weight, two products, a sum, and back; the bias. Squares and their
                # sums are not there when they are given. The norm of value is not counted.
                each = 9 + has.get("bias", 0) - 2 * of_all
                work = q.size + k.size
                arguments = [positions, qkv, *weights, *biases, table, None, sums, *results, tiling]
                name = f"{heads}+{kv_heads} x 128{text}, {tokens} tokens"
                yield Work(f"qkv_rmsnorm_rope {name}", "qkv_rmsnorm_rope_bfloat16", tiling, cores, arguments, moved, work, each)
                if of_all:
                    tiling, cores = plans.ask("plan_qkv_square_sums", PROFILE, CORES, BFLOAT16, integers(*shape))
                    moved, arguments = (q.size + k.size) * 2 + tokens * 8, [qkv, sums, tiling]
                    yield Work(f"qkv_square_sums {name}", "qkv_square_sums_bfloat16", tiling, cores, arguments, moved, work, 3)


WORKS = {
    "scatter": scatter,
    "gather": gather,
    "slots": slots,
    "copy_blocks": blocks_of,
    "transpose": transpose,
    "latent": latent,
    "rotary": rotary,
    "fused": fused,
}


def run(work: Work) -> softnpu.Report:
    twin = ROTARY if work.kernel.startswith(("rotary", "qkv")) else CACHE
    return softnpu.launch(twin[work.kernel], *work.arguments, blocks=work.cores, profile=PROFILE, checks="off", time=True, l2="cold")


def by_steps(plans: Plans) -> None:
    """The block transpose, and what it replaces: per layer and for keys and values each, blocks are gathered, transposed and scattered."""
    heads, splits, layers, ids = 4, 4, 16, 32
    one = run(transpose_work(plans, heads, splits, layers, ids)).microseconds
    # Each step reads and writes the blocks of one cache: a copy of so many bytes is the least that it can take.
    block = BLOCK * heads * 128 * 2
    tiling, cores = plans.ask("plan_copy_blocks", PROFILE, CORES, 1, ids, 2 * ids, block, 1)
    held = blank(2 * ids, block // 2)
    mapping = np.arange(2 * ids).reshape(2, ids).T.astype(np.int64).copy()
    step = run(Work("step", "copy_blocks", tiling, cores, [softnpu.Addresses([held, block, block]), mapping, tiling], 0)).microseconds
    assert one is not None
    assert step is not None
    launches = 2 * layers * 3
    print(f"\ntranspose_kv_cache: {one:.0f} us; {launches} launches of gather, transpose, scatter: {launches * step:.0f} us at least")
    print(
        f"{one / (launches * step):.2f} of the device time; with 10 us of the host per eager launch {one + 10:.0f} against "
        f"{launches * max(step, 10.0):.0f} us, {(one + 10) / (launches * max(step, 10.0)):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=WORKS, nargs="*", default=list(WORKS))
    options = parser.parse_args()
    plans = Plans()
    print("| kernel | cores | MB | modelled us | limit us | ratio | counted once | pipes |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.only:
        for work in WORKS[name](plans):
            report = run(work)
            assert report.microseconds is not None
            pipes = ", ".join(f"{pipe} {share:.0%}" for pipe, share in sorted(report.busy.items(), key=lambda item: -item[1])[:3])
            limit = work.limit()
            figures = f"{work.bytes / 1e6:.2f} | {report.microseconds:.1f} | {limit:.1f} | {report.microseconds / limit:.2f}"
            figures += f" | {report.microseconds / work.limit(operations=1):.2f}"
            print(f"| {work.name} | {work.cores} | {figures} | {pipes} |", flush=True)
    if "transpose" in options.only:
        by_steps(plans)


if __name__ == "__main__":
    main()

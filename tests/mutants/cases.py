"""Inputs of every kernel, small ones that reach all its paths, and what numpy says of the results."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import softnpu
from softnpu import profiles

Check = Callable[[], str]


@dataclass
class Case:
    """A launch. `check` gives the empty text when the results are right. Arrays are changed by the launch: a case runs once."""

    name: str
    kernel: str
    blocks: int
    arguments: list[Any]
    check: Check
    profile: str = "ascend910b3"
    schedules: int = 1


# Types: elements as the kernel knows them; bfloat16 are 16 bits of a float.
TYPES = {"half": (np.float16, 1, 10, -14), "bfloat16": (np.uint16, 27, 7, -126), "float": (np.float32, 0, 23, -126)}


def rounded(values: np.ndarray, kind: str) -> np.ndarray:
    """Elements of a type, to the nearest, ties to even."""
    if kind != "bfloat16":
        return values.astype(TYPES[kind][0])
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def exact(values: np.ndarray, kind: str) -> np.ndarray:
    """The elements as doubles."""
    if kind != "bfloat16":
        return values.astype(np.float64)
    return (values.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def last_place(values: np.ndarray, kind: str) -> np.ndarray:
    """The unit in the last place of each value."""
    _, _, mantissa, least = TYPES[kind]
    exponent = np.frexp(values)[1] - 1
    return np.ldexp(1.0, np.maximum(np.where(values == 0, least, exponent), least) - mantissa)


def within(out: np.ndarray, want: np.ndarray, bound: np.ndarray, what: str) -> str:
    """A sentence when a value is off by more than its bound."""
    wrong = ~(np.abs(out - want) <= bound)
    return f"{what}: {int(wrong.sum())} of {wrong.size} values are wrong" if wrong.any() else ""


def same(out: np.ndarray, want: np.ndarray, what: str) -> str:
    """A sentence when bytes differ."""
    wrong = int(np.count_nonzero(out.view(np.uint8) != want.view(np.uint8)))
    return f"{what}: {wrong} bytes are wrong" if wrong else ""


class _Device(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("arch", ctypes.c_int64), ("vector_cores", ctypes.c_int64), ("ub_bytes", ctypes.c_int64)]


def integers(*values: int) -> Any:
    """An array for C."""
    return (ctypes.c_int64 * len(values))(*values)


@dataclass
class Plans:
    """The tiling of the host operators, from the library that holds them."""

    library: ctypes.CDLL = field(default_factory=lambda: ctypes.CDLL(os.path.abspath(os.environ["PLANS"])))
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="profiles-")))

    def profile(self, name: str, ub_bytes: int) -> str:
        """A chip with a UB of another size."""
        text = profiles.find(name).read_text()
        before = f"ub_bytes = {profiles.load(profiles.find(name)).ub_bytes:_}"
        assert text.count(before) == 1
        path = self.directory / f"{name}-{ub_bytes}.toml"
        path.write_text(text.replace(before, f"ub_bytes = {ub_bytes}"))
        return str(path)

    def ask(self, function: str, profile: str, cores: int, *arguments: Any) -> tuple[bytes, int]:
        """Tiling and cores."""
        chip = profiles.load(profiles.find(profile))
        device = _Device(chip.soc_name.encode(), chip.npu_arch, cores, chip.ub_bytes)
        tiling = ctypes.create_string_buffer(1024)
        used = ctypes.c_uint32()
        passed = [ctypes.c_int64(a) if isinstance(a, int) else a for a in arguments]
        count = getattr(self.library, function)(ctypes.byref(device), *passed, tiling, ctypes.byref(used))
        if count < 0:
            raise ValueError(tiling.value.decode())
        return tiling.raw[:count], used.value


def _rotary(
    plans: Plans,
    kind: str,
    neox: bool,
    tokens: int = 5,
    heads: int = 2,
    kv_heads: int = 1,
    size: int = 64,
    rotary: int = 64,
    gap: int = 0,
    cores: int = 2,
    position_bytes: int = 8,
    positions: int = 40,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(3)
    cache = rounded(random.standard_normal((positions, rotary)), kind)
    at = random.integers(0, positions, tokens).astype(np.int64 if position_bytes == 8 else np.int32)
    at[-1] = positions - 1
    sides = []
    for count in (heads, kv_heads):
        stride = count * size + gap
        length = (tokens - 1) * stride + count * size if count else 0
        sides.append((count, stride, rounded(random.standard_normal(length), kind)))
    tiling, used = plans.ask(
        "plan_rotary_embedding",
        profile,
        cores,
        TYPES[kind][1],
        9 if position_bytes == 8 else 3,
        integers(tokens, heads, size),
        sides[0][1],
        integers(tokens, kv_heads, size),
        sides[1][1],
        positions,
        rotary,
        int(neox),
    )
    before = [side[2].copy() for side in sides]
    start_at, start_cache = at.copy(), cache.copy()

    def check() -> str:
        half = rotary // 2
        c, s = exact(start_cache, kind)[start_at, :half, None], exact(start_cache, kind)[start_at, half:, None]
        for (count, stride, now), old in zip(sides, before, strict=True):
            if count == 0:
                continue
            rows = (np.arange(tokens) * stride)[:, None, None] + np.arange(half)[:, None] * (1 if neox else 2) + np.arange(count) * size
            first, second = rows, rows + (half if neox else 1)
            x1, x2 = exact(old, kind)[first], exact(old, kind)[second]
            for place, want, size_of in (
                (first, x1 * c - x2 * s, np.abs(x1 * c) + np.abs(x2 * s)),
                (second, x2 * c + x1 * s, np.abs(x2 * c) + np.abs(x1 * s)),
            ):
                out = exact(now, kind)[place]
                if text := within(out, want, 0.5 * last_place(out, kind) + np.ldexp(size_of, -21), "rotated"):
                    return text
            rest = now.copy()
            rest[first], rest[second] = old[first], old[second]
            if text := same(rest, old, "outside of the rotary parts"):
                return text
        return same(at, start_at, "positions") or same(cache, start_cache, "cos_sin_cache")

    name = f"{kind} {'neox' if neox else 'gptj'} t{tokens} h{heads},{kv_heads} d{size}/{rotary} gap{gap} cores{used} p{position_bytes}"
    return Case(
        name,
        f"rotary_embedding_{kind}",
        used,
        [at, sides[0][2], sides[1][2] if kv_heads else None, cache, tiling],
        check,
        profile,
    )


def _smallest(plans: Plans, **values: Any) -> str:
    """The chip with the smallest UB that takes the tiles of a large one: every buffer fits, none could be larger."""

    def tiling(ub_bytes: int) -> bytes:
        try:
            return bytes(_rotary(plans, profile=plans.profile("ascend910b3", ub_bytes), **values).arguments[-1])
        except ValueError:
            return b""

    most = tiling(196608)
    few, enough = 8192, 196608
    while enough - few > 32:
        middle = (few + enough) // 64 * 32
        few, enough = (few, middle) if tiling(middle) == most else (middle, enough)
    return plans.profile("ascend910b3", enough)


def rotary_cases(plans: Plans) -> list[Case]:
    """Of the three rotary embedding kernels."""
    out = []
    narrow = plans.profile("ascend910b3", 8192 + 12 * 1024)
    tight = plans.profile("ascend910b3", 8192 + 5 * 1024)
    for kind in TYPES:
        for neox in (True, False):
            wide = kind == "float"
            given: list[dict[str, Any]] = [
                {"tokens": 37, "cores": 1},  # tiles of 16 tokens, the last of 5
                {"tokens": 37, "cores": 1, "gap": 16, "position_bytes": 4, "heads": 3},
                {"tokens": 8, "cores": 3, "size": 80, "rotary": 10, "gap": 7},
                {"tokens": 1, "heads": 1, "kv_heads": 0},
                {"tokens": 7, "cores": 2, "size": 72, "rotary": 36, "heads": 3, "kv_heads": 3},
                {"tokens": 3, "cores": 1, "size": 256, "rotary": 256},
                {"tokens": 4, "cores": 3, "size": 200, "rotary": 194, "position_bytes": 4},
                {"tokens": 2, "cores": 1, "heads": 17, "size": 128, "rotary": 128, "profile": narrow},  # some heads of a token
                {"tokens": 3, "cores": 1, "heads": 5, "kv_heads": 2, "size": 66, "rotary": 50, "gap": 3, "profile": tight},
                {"tokens": 21, "cores": 2, "heads": 3, "size": 40, "rotary": 32, "profile": narrow},
            ]
            if wide or neox:
                given.append({"tokens": 1030, "cores": 1, "heads": 1, "kv_heads": 0, "size": 16, "rotary": 16})  # batches of positions
                given.append({"tokens": 520, "cores": 1, "heads": 1, "kv_heads": 1, "size": 16, "rotary": 10, "position_bytes": 4})
            given.append({"tokens": 2, "cores": 1, "heads": 260, "size": 16, "rotary": 16})  # repeats of more than 255
            given.append({"tokens": 1, "cores": 1, "heads": 257, "kv_heads": 255, "size": 20, "rotary": 18})
            out += [_rotary(plans, kind, neox, **values) for values in given]
            # SoftNPU gives kernels all of the UB; the host's plan leaves 8 KiB of it.
            full: dict[str, Any] = {"kind": kind, "neox": neox, "tokens": 16, "heads": 1, "size": 256, "rotary": 256, "cores": 1}
            out.append(_rotary(plans, profile=_smallest(plans, **full), **full))
    for kind in ("half", "float"):
        unit = 32 if kind == "half" else 16
        for values in (
            {"tokens": 37, "cores": 2, "size": 64, "rotary": 64},
            {"tokens": 9, "cores": 7, "size": 3 * unit, "rotary": unit, "gap": unit, "position_bytes": 4, "heads": 3},
            {"tokens": 520, "cores": 1, "heads": 1, "kv_heads": 0, "size": unit, "rotary": unit},
            {"tokens": 3, "cores": 1, "size": 256, "rotary": 192, "position_bytes": 4},
        ):
            out.append(_rotary(plans, kind, True, profile="ascend310p3", **values))  # type: ignore[arg-type]
    return out


def _cache(
    plans: Plans,
    slots: list[int],
    heads: int = 2,
    key: int = 16,
    value: int = 16,
    blocks: int = 5,
    block_size: int = 4,
    element: int = 2,
    token_gap: int = 0,
    block_gap: int = 0,
    cores: int = 2,
    slot_bytes: int = 8,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(5)
    tokens = len(slots)
    code = {1: 2, 2: 1, 4: 0}[element]
    sides: list[list[Any]] = []
    for size in (key, value):
        row = heads * size
        if size == 0:
            sides.append([0, 0, 0, None, None])
            continue
        stride, pitch = row + token_gap, block_size * row + block_gap
        length = ((tokens - 1) * stride + row) * element
        rows = np.zeros(length, np.uint8)
        if length > 1 << 24:  # pages that are not touched cost nothing
            for t in range(tokens):
                rows[t * stride * element :][: row * element] = random.integers(1, 256, row * element)
        else:
            rows[:] = random.integers(0, 256, length)
        cache = random.integers(0, 256, ((blocks - 1) * pitch + block_size * row) * element).astype(np.uint8)
        sides.append([row, stride, pitch, rows, cache])
    tiling, used = plans.ask(
        "plan_reshape_and_cache",
        profile,
        cores,
        code,
        9 if slot_bytes == 8 else 3,
        integers(tokens, heads, key),
        sides[0][1],
        integers(tokens, heads if value else 0, value),
        sides[1][1],
        blocks,
        block_size,
        sides[0][2],
        sides[1][2],
    )
    wanted = []
    for row, stride, pitch, rows, cache in sides:
        if row:
            want = cache.copy()
            for t, slot in enumerate(slots):
                if 0 <= slot < blocks * block_size:
                    to = (slot // block_size * pitch + slot % block_size * row) * element
                    want[to : to + row * element] = rows[t * stride * element :][: row * element]
            wanted.append((cache, want))
    mapping = np.array(slots, np.int64 if slot_bytes == 8 else np.int32)

    def check() -> str:
        return next((text for now, want in wanted if (text := same(now, want, "cache"))), "")

    name = f"t{tokens} h{heads} {key},{value}x{element} blocks {blocks}x{block_size} gaps {token_gap},{block_gap} cores{used} s{slot_bytes}"
    return Case(name, "reshape_and_cache", used, [sides[0][3], sides[1][3], sides[0][4], sides[1][4], mapping, tiling], check, profile)


def cache_cases(plans: Plans) -> list[Case]:
    """Of reshape_and_cache."""
    random = np.random.default_rng(7)

    def shuffled(tokens: int, slots: int) -> list[int]:
        return [int(slot) for slot in random.permutation(slots)[:tokens]]

    tiny = plans.profile("ascend910b3", 8192 + 1024)  # rows in pieces
    small = plans.profile("ascend910b3", 8192 + 2048)
    many = 1030
    sparse = [slot if i % 5 else -1 for i, slot in enumerate(shuffled(many, 1040))]
    return [
        _cache(plans, list(range(7))),  # neighbours, across blocks
        _cache(plans, list(range(18)), cores=1, block_gap=5),
        _cache(plans, list(range(2, 12)), cores=1, block_gap=3),  # neighbours from the middle of a block on
        _cache(plans, [-1, -1, 9, 8, 2], cores=1),
        _cache(plans, [2, 3, 4, 5, -1, -1, 9, 10, 11, 20, 19, 18, 0], cores=1),
        _cache(plans, [-1, -1, 0, 1, -3, 7, 6, -1, -7], cores=1, token_gap=9, slot_bytes=4),
        _cache(plans, [-1] * 6, cores=2),
        _cache(plans, [19, 20, 1 << 30, 0, 18, 17, 21], cores=1),
        _cache(plans, [19, 20, 1 << 30, 0, -(1 << 31), 17, 21], cores=3, slot_bytes=4, token_gap=1, block_gap=1),
        _cache(plans, [5]),
        _cache(plans, [3, -1]),
        _cache(plans, shuffled(37, 60), cores=3, blocks=15, key=24, value=8, element=4, token_gap=3, block_gap=11),
        _cache(plans, shuffled(11, 20), cores=2, key=7, value=5, element=1, heads=3, slot_bytes=4),
        _cache(plans, shuffled(9, 20), cores=2, key=33, value=0, heads=1),
        _cache(plans, sparse, cores=1, blocks=260, heads=1, key=4, value=3),
        _cache(plans, list(range(1100)), cores=2, blocks=5, block_size=256, heads=1, key=2, value=1, element=1, slot_bytes=4),
        _cache(plans, shuffled(8, 20), cores=1, profile=tiny, key=64, value=300, block_gap=6),
        _cache(plans, [4, -1, 5, 30, 0, 1], cores=2, profile=tiny, key=260, value=20, element=4, token_gap=2),
        _cache(plans, list(range(30)), cores=1, profile=small, blocks=8, key=20, value=31, element=2),
        _cache(plans, shuffled(30, 32), cores=1, profile=small, blocks=8, key=20, value=9, heads=3, token_gap=1, slot_bytes=4),
        _cache(plans, [3, 4, 5, 6], cores=1, token_gap=-32),  # one row for all tokens
        _cache(plans, [6, 5, 7], cores=1, token_gap=-7),
        # Rows more than 4 GiB apart.
        _cache(plans, [1, 2], cores=1, heads=1, key=16, value=0, element=4, token_gap=(1 << 30) + 16),
        _cache(plans, [1, 2], cores=1, heads=1, key=16, value=0, element=4, token_gap=(1 << 30)),
    ]


def _exp(kind: str, tiles: int, tile: int, blocks: int) -> Case:
    x = rounded(np.random.default_rng(9).uniform(-4, 4, tiles * tile), kind)
    y = np.zeros_like(x)
    want = np.exp(exact(x, kind))

    def check() -> str:
        out = exact(y, kind)
        return within(out, want, last_place(out, kind) * (2 if kind == "float" else 1), "exp")

    arguments = [x, softnpu.Output(y), np.uint64(x.size), np.uint32(tile)]
    return Case(f"{kind} {tiles}x{tile} blocks{blocks}", f"exp_{kind}", blocks, arguments, check)


def _rms_norm(kind: str, rows: int, width: int, blocks: int) -> Case:
    random = np.random.default_rng(11)
    # A few rows of values that are as small as the epsilon.
    x = rounded(random.standard_normal((rows, width)) * np.where(np.arange(rows) % 3 == 1, 1e-3, 1.0)[:, None], kind)
    gamma = rounded(random.standard_normal(width), kind)
    y = np.zeros_like(x)
    value = exact(x, kind)
    want = value / np.sqrt((value**2).mean(axis=1, keepdims=True) + 1e-6) * exact(gamma, kind)

    def check() -> str:
        out = exact(y, kind)
        return within(out, want, 0.5 * last_place(out, kind) + 2.0**-20 * np.abs(want), "norm")

    arguments = [x, gamma, softnpu.Output(y), np.uint64(rows), np.uint32(width)]
    return Case(f"{kind} {rows}x{width} blocks{blocks}", f"rms_norm_{kind}", blocks, arguments, check)


def _transpose(bits: int, rows: int, columns: int, blocks: int) -> Case:
    kind = {16: np.uint16, 32: np.uint32}[bits]
    x = np.random.default_rng(13).integers(0, 1 << bits, (rows, columns), dtype=kind)
    y = np.zeros((columns, rows), kind)
    want = x.T.copy()
    arguments = [x, softnpu.Output(y), np.uint32(rows), np.uint32(columns)]
    return Case(f"{rows}x{columns} blocks{blocks}", f"transpose_{bits}", blocks, arguments, lambda: same(y, want, "transposed"))


def _rope(kind: str, tokens: int, heads: int, width: int, blocks: int) -> Case:
    element = TYPES[kind][0]
    random = np.random.default_rng(17)
    sides = [random.standard_normal((tokens, heads, width)).astype(element) for _ in range(2)]
    cos, sin = (random.standard_normal((tokens, width)).astype(element) for _ in range(2))
    # numpy's products and sums of halves are rounded once each, as the vector unit's.
    wanted = [x * cos[:, None] + np.roll(x, width // 2, axis=2) * sin[:, None] for x in sides]

    def check() -> str:
        return next((text for x, want in zip(sides, wanted, strict=True) if (text := same(x, want, "rotated"))), "")

    arguments = [*sides, cos, sin, np.uint64(tokens), np.uint32(heads), np.uint32(width)]
    return Case(f"{kind} {tokens}x{heads}x{width} blocks{blocks}", f"rope_{kind}", blocks, arguments, check)


def _softmax_top_k(rows: int, blocks: int) -> Case:
    logits = np.random.default_rng(19).standard_normal((rows, 128)).astype(np.float32) * np.float32(3)
    logits[31::32, 127] += 12  # the last expert of the last row of a tile counts
    logits[-1] += 100  # without its largest logit taken off, a row overflows
    logits[5::32, 127] = logits[6::32, 63] = 110
    values, places = np.zeros((rows, 8), np.float32), np.zeros((rows, 8), np.int32)
    e = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    softmax = e / e.sum(axis=1, keepdims=True)
    order = np.argsort(-softmax, axis=1, kind="stable")[:, :8]
    largest = np.take_along_axis(softmax, order, 1)

    def check() -> str:
        known = largest > 1e-30
        return same(places[known], order[known].astype(np.int32), "places") or within(values, largest, 2.0**-20 * largest + 1e-37, "values")

    arguments = [logits, softnpu.Output(values), softnpu.Output(places), np.uint32(rows)]
    return Case(f"{rows} rows blocks{blocks}", "softmax_top_k", blocks, arguments, check)


def softmax_cases(_: Plans) -> list[Case]:
    """Of softmax_top_k."""
    return [_softmax_top_k(rows, blocks) for rows, blocks in ((77, 2), (1, 1), (27, 1), (64, 1), (115, 1), (9, 3), (200, 4))]


def published_cases(_: Plans) -> list[Case]:
    """Of the kernels with published times."""
    out = []
    for kind in TYPES:
        for tiles, tile, blocks in ((7, 160, 3), (1, 32, 1), (9, 96, 4), (3, 2080, 8)):
            out.append(_exp(kind, tiles, tile, blocks))
        for rows, width, blocks in ((7, 128, 3), (1, 16, 1), (10, 208, 4), (5, 1040, 2)):
            out.append(_rms_norm(kind, rows, width, blocks))
    for rows, columns, blocks in ((384, 256, 2), (128, 128, 1), (128, 640, 2), (256, 128, 8)):
        out += [_transpose(16, rows, columns, blocks), _transpose(32, rows // 2, columns // 2, blocks)]
    for tokens, heads, width, blocks in ((7, 3, 128, 2), (1, 1, 64, 1), (5, 2, 192, 3), (6, 5, 160, 4), (2, 2, 512, 1)):
        out += [_rope("half", tokens, heads, width, blocks), _rope("float", tokens, heads, width, blocks)]
    return out


def _tight(plans: Plans, make: Callable[[str], Case]) -> Case:
    """The case on a chip whose UB has room for the kernel's buffers and for nothing else.

    Tiling is that of a large UB. The smallest one that gives it has kReservedUbBytes (8192) more than the buffers take.
    """
    most = bytes(make("ascend910b3").arguments[-1])

    def is_enough(ub_bytes: int) -> bool:
        try:
            return bytes(make(plans.profile("ascend910b3", ub_bytes)).arguments[-1]) == most
        except ValueError:
            return False

    few, enough = 8192, 196608
    while enough - few > 32:
        middle = (few + enough) // 64 * 32
        few, enough = (few, middle) if is_enough(middle) else (middle, enough)
    case = make("ascend910b3")
    case.profile = plans.profile("ascend910b3", enough - 8192)
    case.name += " tight"
    return case


def _scores(x: np.ndarray, norm: int) -> np.ndarray:
    if norm == 0:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    if norm == 1:
        return 1 / (1 + np.exp(-x))
    return np.sqrt(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _chosen(choice: np.ndarray, k: int, groups: int, kept: int, mode: int) -> np.ndarray:
    rows, experts = choice.shape
    by_group = choice.reshape(rows, groups, -1)
    top = -np.sort(-by_group, axis=2)
    score = top[..., 0] + top[..., 1] if mode else top[..., 0]
    best = np.argsort(-score, axis=1, kind="stable")[:, :kept]
    masked = np.full_like(by_group, -np.inf)
    for row in range(rows):
        masked[row, best[row]] = by_group[row, best[row]]
    return np.argsort(-masked.reshape(rows, experts), axis=1, kind="stable")[:, :k]


def _gating(
    plans: Plans,
    kind: str,
    rows: int,
    experts: int,
    k: int,
    groups: int = 1,
    kept: int = 1,
    mode: int = 0,
    renorm: int = 0,
    norm: int = 0,
    bias: int = 0,
    extras: int = 0,  # finished, row_idx and norm_out
    ties: bool = False,
    peaks: bool = False,  # logits that overflow unless the largest is taken off
    cores: int = 2,
    scale: float = 2.5,
    eps: float = 0.25,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(41)
    # Logits at least 1 / 16 apart, but for ties: in no type does a decision hang on roundings.
    grid = np.stack([random.permutation(experts) for _ in range(rows)]) - experts // 2
    grid = (grid // 4 if ties else grid) * (8 / max(experts, 64))
    if peaks:
        for row in range(rows):
            grid[row, [experts - 1, min(63, experts - 1), 0][row % 3]] = 90
    logits = rounded(grid, kind)
    b = rounded(random.integers(-3, 3, experts) * 4.0, kind) if bias else None
    numbers = integers(rows, experts, k, bias, extras, extras, extras, kept, groups, mode, renorm, norm)
    scales = (ctypes.c_double * 2)(scale, eps)
    tiling, used = plans.ask("plan_moe_gating_top_k", profile, cores, TYPES[kind][1], numbers, scales)
    s = _scores(exact(logits, kind), norm)
    idx = _chosen(s + (exact(b, kind) if b is not None else 0), k, groups, kept, mode)
    weights = np.take_along_axis(s, idx, 1)
    if renorm or norm == 1:
        weights = weights / (weights.sum(axis=1, keepdims=True) + eps)
    weights = weights * scale
    y = np.zeros((rows, k), TYPES[kind][0])
    found, row_idx = np.zeros((rows, k), np.int32), np.zeros((rows, k), np.int32)
    norm_out, finished = np.zeros((rows, experts), np.float32), np.zeros(rows, np.uint8)
    finished[1::3] = extras
    want = np.where(finished[:, None] == 1, experts, idx).astype(np.int32)

    def check() -> str:
        bound = 0.5 * last_place(weights, kind) * (kind != "float") + 2.0**-18 * weights
        return (
            same(found, want, "experts")
            or within(exact(y, kind), weights, bound, "weights")
            or (extras and same(row_idx, np.arange(rows * k, dtype=np.int32).reshape(k, rows).T.copy(), "row_idx"))
            or (extras and within(norm_out, s, 2.0**-18 * s, "scores"))
            or ""
        )

    out = softnpu.Output
    more = [out(row_idx), out(norm_out)] if extras else [None, None]
    arguments = [logits, b, finished if extras else None, out(y), out(found), *more, tiling]
    name = f"{kind} n{rows} e{experts} k{k} g{groups}/{kept} mode{mode} renorm{renorm} norm{norm} bias{bias} extras{extras} ties{ties}"
    return Case(name, f"moe_gating_top_k_{kind}", used, arguments, check, profile)


def gating_cases(plans: Plans) -> list[Case]:
    """Of moe_gating_top_k."""
    out = []
    small = plans.profile("ascend910b3", 8192 + 24 * 1024)
    given: list[dict[str, Any]] = [
        {"rows": 9, "experts": 64, "k": 6, "groups": 8, "kept": 3, "mode": 1, "norm": 1, "bias": 1, "extras": 1},
        {"rows": 7, "experts": 64, "k": 6, "groups": 8, "kept": 3, "ties": True, "renorm": 1},
        {"rows": 5, "experts": 8, "k": 2, "extras": 1},
        {"rows": 3, "experts": 160, "k": 9, "groups": 2, "kept": 1, "mode": 1, "norm": 2, "extras": 1},
        {"rows": 4, "experts": 100, "k": 70, "norm": 2, "renorm": 1},
        {"rows": 4, "experts": 128, "k": 40, "norm": 1, "ties": True, "bias": 1},
        {"rows": 3, "experts": 128, "k": 5, "groups": 32, "kept": 7, "mode": 1, "ties": True, "cores": 1},
        {"rows": 2, "experts": 192, "k": 12, "groups": 64, "kept": 5, "mode": 1, "ties": True, "norm": 1},
        {"rows": 33, "experts": 33, "k": 4, "cores": 1, "extras": 1, "bias": 1},
        {"rows": 2, "experts": 2048, "k": 3, "groups": 64, "kept": 9, "ties": True, "cores": 1},
        {"rows": 1, "experts": 2048, "k": 130, "extras": 1, "renorm": 1},
        {"rows": 12, "experts": 96, "k": 8, "cores": 1, "profile": small, "bias": 1},
        {"rows": 300, "experts": 32, "k": 1, "cores": 1},
        {"rows": 7, "experts": 96, "k": 1, "peaks": True, "cores": 1},
        {"rows": 7, "experts": 64, "k": 1, "peaks": True},
        {"rows": 5, "experts": 120, "k": 9, "groups": 40, "kept": 8, "mode": 1, "ties": True, "cores": 1},
        {"rows": 40, "experts": 256, "k": 8, "groups": 8, "kept": 4, "mode": 1, "norm": 1, "cores": 1},
    ]
    for i, values in enumerate(given):
        kinds = list(TYPES) if i < 3 else [list(TYPES)[i % 3]]
        out += [_gating(plans, kind, **values) for kind in kinds]
    for i in (0, 1, 2, 3, 4, 7):
        kind = list(TYPES)[i % 3]
        out.append(_tight(plans, lambda profile, i=i, kind=kind: _gating(plans, kind, **given[i], profile=profile)))  # type: ignore[misc]
    return out


def _init_routing(
    plans: Plans,
    tokens: int,
    k: int,
    experts: int,
    hidden: int = 24,
    kind: str = "half",
    first: int = 0,
    number: int = -1,
    active: int = -1,
    capacity: int = 0,
    order: int = 0,
    counts: int = 1,
    quant: int = -1,
    scale: int = 0,
    by_rows: int = 0,
    index_bytes: int = 4,
    strange: bool = False,
    cores: int = 3,
    schedules: int = 1,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(43)
    number = experts - first if number < 0 else number
    pairs = tokens * k
    idx = random.integers(0, experts, (tokens, k)).astype(np.int32 if index_bytes == 4 else np.int64)
    if experts > 1000:  # those at the end of what is counted at once
        idx.ravel()[::7] = random.integers(min(1022, experts - 2), min(1026, experts), len(idx.ravel()[::7]))
    if strange:
        idx.ravel()[::5] = random.choice(np.array([-1, -7, 1 << 20, 2**31 - 1]), len(idx.ravel()[::5]))
    rows = number * capacity if capacity else min(pairs, active) if active >= 0 else pairs
    element = np.int8 if quant >= 0 else TYPES[kind][0]
    x = rounded(random.standard_normal((tokens, hidden)) * 3, kind)
    smooth = None
    if quant == 0:
        smooth = np.array([17.5], np.float32)
    elif scale:
        smooth = (random.random((number, hidden) if quant == 1 else tokens) + 0.5).astype(np.float32)
    offset = np.array([-3.25], np.float32) if quant == 0 else None
    numbers = integers(
        tokens,
        k,
        hidden,
        3 if index_bytes == 4 else 9,
        rows,
        first,
        number,
        capacity,
        order,
        counts,
        quant,
        int(smooth is not None),
        by_rows,
    )
    tiling, used = plans.ask("plan_moe_init_routing", profile, cores, TYPES[kind][1], numbers)
    row_idx = None
    if by_rows:
        row_idx = np.arange(pairs, dtype=np.int32).reshape(k, tokens).T.copy()
        if by_rows == 2:
            row_idx = random.permutation(row_idx.ravel()).reshape(tokens, k).astype(np.int32)
            row_idx.ravel()[:2] = [-1, pairs]
    flat = idx.ravel()
    kept = np.flatnonzero((flat >= first) & (flat < first + number))
    ordered = kept[np.argsort(flat[kept], kind="stable")]
    per_expert = np.bincount(flat[kept] - first, minlength=number).astype(np.int64)[:number]
    place = np.full(pairs, -1, np.int64)
    place[ordered] = np.arange(len(ordered))
    if capacity:
        begin = np.concatenate([[0], np.cumsum(per_expert)])[:-1]
        rank = place[ordered] - begin[flat[ordered] - first]
        place[ordered] = np.where(rank < capacity, (flat[ordered] - first) * capacity + rank, -1)
    want_places = place.astype(np.int32)
    if by_rows:
        legal = (row_idx.ravel() >= 0) & (row_idx.ravel() < pairs)
        want_places = np.full(pairs, 77, np.int32)
        want_places[row_idx.ravel()[legal]] = place[legal]
    elif order:
        want_places = np.full(pairs, -1, np.int32)
        want_places[: len(ordered)] = ordered
    want_sorted = np.full(pairs, 77, np.int32)
    want_sorted[: len(ordered)] = flat[ordered]
    want_counts: np.ndarray = np.zeros((number, 2) if counts == 2 else number, np.int64)
    if counts == 2:
        some = np.flatnonzero(per_expert)
        want_counts[: len(some)] = np.stack([some + first, per_expert[some]], 1)
    else:
        want_counts[:] = per_expert if counts == 1 else np.cumsum(per_expert)
    out = np.full((rows, hidden), 0 if capacity else 5, element)
    has_scales = quant == 1 or (quant < 0 and smooth is not None)
    scales = np.full(rows, 0.0 if capacity else 5.0, np.float32)
    if capacity:  # zeros have to be written
        out[:], scales[:] = 5, 5
    before, scales_before = (np.zeros_like(out), np.zeros_like(scales)) if capacity else (out.copy(), scales.copy())
    places, sorted_out, tokens_out = np.full(pairs, 77, np.int32), np.full(pairs, 77, np.int32), np.full_like(want_counts, 77)

    def check() -> str:
        want, bound = exact(before, kind) if quant < 0 else before.astype(np.float64), np.zeros((rows, 1))
        want_scales = scales_before.astype(np.float64)
        for pair in np.flatnonzero((place >= 0) & (place < rows)):
            token = pair // k
            if row_idx is not None:
                r = row_idx.ravel()[pair]
                if r < 0 or r >= pairs:
                    continue
                token = r % tokens
            v = exact(x[token], kind)
            if quant == 0:
                v, bound[place[pair]] = np.clip(v * 17.5 - 3.25, -128, 127), 0.501
            if quant == 1:
                v = v * (smooth[flat[pair] - first] if smooth is not None else 1)
                want_scales[place[pair]] = np.abs(v).max() / 127
                v, bound[place[pair]] = v / want_scales[place[pair]], 0.501
            if quant < 0 and smooth is not None:
                want_scales[place[pair]] = smooth[token]
            want[place[pair]] = v
        got = out.astype(np.float64) if quant >= 0 else exact(out, kind)
        return (
            same(places, want_places, "expanded_row_idx")
            or (by_rows and same(sorted_out, want_sorted, "expanded_expert_idx"))
            or (counts >= 0 and same(tokens_out, want_counts, "expert_tokens"))
            or (has_scales and within(scales, want_scales, 2.0**-22 * want_scales, "expanded_scale"))
            or within(got, want, bound, "expanded_x")
        )

    kernel = "moe_init_routing" + (f"_quant_{kind}" if quant >= 0 else "")
    arguments = [
        x,
        idx,
        row_idx,
        smooth,
        offset,
        out,
        places,
        sorted_out if by_rows else None,
        tokens_out if counts >= 0 else None,
        scales if has_scales else None,
        np.zeros(1 << 16, np.int32),
        tiling,
    ]
    name = f"{kind} n{tokens} k{k} e{experts}[{first}+{number}] active{active} capacity{capacity} order{order} counts{counts} quant{quant}"
    return Case(name, kernel, used, arguments, check, profile, schedules)


def init_routing_cases(plans: Plans) -> list[Case]:
    """Of moe_init_routing and its quantising variants."""
    small = plans.profile("ascend910b3", 8192 + 29 * 1024)
    given: list[dict[str, Any]] = [
        {"tokens": 9, "k": 3, "experts": 5},
        {"tokens": 47, "k": 3, "experts": 40, "first": 3, "number": 33, "order": 1, "counts": 2, "strange": True, "index_bytes": 8},
        {"tokens": 30, "k": 3, "experts": 5, "capacity": 7, "counts": 0, "scale": 1, "strange": True, "hidden": 7},
        {"tokens": 13, "k": 2, "experts": 6, "by_rows": 1, "counts": -1, "active": 11},
        {"tokens": 140, "k": 2, "experts": 6, "by_rows": 2, "counts": -1, "strange": True, "cores": 2},
        {"tokens": 400, "k": 3, "experts": 40, "counts": 0, "cores": 4, "schedules": 3, "scale": 1},
        {"tokens": 700, "k": 4, "experts": 33, "first": 2, "number": 29, "counts": 2, "cores": 2, "order": 1, "strange": True},
        {"tokens": 620, "k": 4, "experts": 9, "capacity": 200, "cores": 2, "index_bytes": 8},
        {"tokens": 360, "k": 3, "experts": 1100, "counts": 1, "cores": 3, "hidden": 4},
        {"tokens": 360, "k": 3, "experts": 1100, "counts": 2, "cores": 3, "hidden": 4, "active": 500},
        {"tokens": 50, "k": 2, "experts": 1500, "counts": 2, "hidden": 4, "order": 1},
        {"tokens": 4, "k": 3, "experts": 5, "hidden": 9000, "kind": "float", "profile": small, "strange": True},
        {"tokens": 12, "k": 2, "experts": 4, "number": 0, "counts": 1},
        {"tokens": 520, "k": 3, "experts": 9, "by_rows": 1, "counts": -1, "cores": 2},
        {"tokens": 9, "k": 2, "experts": 4, "capacity": 900, "hidden": 3, "scale": 1},
    ]
    out = [_init_routing(plans, **values) for values in given]
    for values in [given[i] for i in (0, 1, 2, 3, 5, 6, 7, 8, 9)]:
        out.append(_tight(plans, lambda profile, values=values: _init_routing(plans, **values, profile=profile)))  # type: ignore[misc]
    quantised: list[dict[str, Any]] = [
        {"tokens": 9, "k": 3, "experts": 5, "quant": 1, "hidden": 100, "strange": True},
        {"tokens": 9, "k": 3, "experts": 5, "quant": 1, "scale": 1, "hidden": 100, "first": 1, "number": 3, "index_bytes": 8},
        {"tokens": 9, "k": 3, "experts": 5, "quant": 0, "hidden": 33, "capacity": 4},
        {"tokens": 9, "k": 3, "experts": 5, "quant": 1, "hidden": 33, "capacity": 7, "scale": 1},
    ]
    out += [_init_routing(plans, kind=kind, **values) for kind in TYPES for values in quantised]
    for kind, values in (("float", quantised[1]), ("half", quantised[0]), ("bfloat16", quantised[2])):
        out.append(_tight(plans, lambda profile, kind=kind, values=values: _init_routing(plans, kind=kind, **values, profile=profile)))  # type: ignore[misc]
    out.append(_init_routing(plans, 2, 2, 3, kind="float", quant=1, hidden=8300, active=3))
    out.append(_init_routing(plans, 700, 4, 33, kind="half", quant=1, hidden=40, cores=2))
    return out


def _finalize(
    plans: Plans,
    kind: str,
    tokens: int,
    k: int,
    hidden: int,
    scales: str = "",
    skips: int = 0,
    bias: int = 0,
    by_column: int = 0,
    holes: int = 1,
    cores: int = 3,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(47)
    count = tokens * k
    rows = rounded(random.standard_normal((count, hidden)), kind)
    skip = [rounded(random.standard_normal((tokens, hidden)), kind) for _ in range(skips)]
    added = rounded(random.standard_normal((bias, hidden)), kind) if bias else None
    number = random.integers(-1, bias + 1, (tokens, k)).astype(np.int32)
    scale = rounded(random.standard_normal((tokens, k)), scales) if scales else None
    index = random.permutation(count).astype(np.int32)
    if holes:
        index[::4] = random.choice(np.array([-1, -9, count, 2**31 - 1]), len(index[::4]))
    if holes == 2:
        index[:] = -1
    at = index.reshape(k, tokens).T if by_column else index.reshape(tokens, k)
    there = ((at >= 0) & (at < count))[..., None]
    terms = exact(rows, kind)[np.clip(at, 0, count - 1)]
    size_of = np.abs(terms)
    if added is not None:
        plus = exact(added, kind)[np.clip(number, 0, bias - 1)] * ((number >= 0) & (number < bias))[..., None]
        terms, size_of = terms + plus, size_of + np.abs(plus)
    factor = exact(scale, scales)[..., None] if scale is not None else 1.0
    want = (terms * factor * there).sum(axis=1) + sum(exact(s, kind) for s in skip)
    magnitude = (size_of * np.abs(factor) * there).sum(axis=1) + sum(np.abs(exact(s, kind)) for s in skip)
    numbers = integers(tokens, k, count, hidden, TYPES[scales][1] if scales else -1, skips, bias, by_column)
    tiling, used = plans.ask("plan_moe_finalize_routing", profile, cores, TYPES[kind][1], numbers)
    out = np.zeros((tokens, hidden), TYPES[kind][0])

    def check() -> str:
        got = exact(out, kind)
        bound = (k + skips + 1) * 2.0**-23 * magnitude + 0.5 * last_place(got, kind) * (kind != "float")
        return within(got, want, bound, "sums")

    more = [skip[0] if skips > 0 else None, skip[1] if skips > 1 else None]
    arguments = [rows, *more, added, scale, index, number if bias else None, softnpu.Output(out), tiling]
    name = f"{kind} n{tokens} k{k} h{hidden} scales{scales} skips{skips} bias{bias} column{by_column} holes{holes}"
    return Case(name, f"moe_finalize_routing_{kind}", used, arguments, check, profile)


def finalize_cases(plans: Plans) -> list[Case]:
    """Of moe_finalize_routing."""
    tiny = plans.profile("ascend910b3", 8192 + 6 * 1024)
    given: list[dict[str, Any]] = [
        {"tokens": 7, "k": 3, "hidden": 50, "scales": "float", "skips": 2, "bias": 4, "by_column": 1},
        {"tokens": 7, "k": 3, "hidden": 48, "scales": "half"},
        {"tokens": 5, "k": 2, "hidden": 7, "scales": "bfloat16", "skips": 1, "by_column": 1},
        {"tokens": 40, "k": 1, "hidden": 16, "holes": 2, "cores": 1},
        {"tokens": 7, "k": 1, "hidden": 16, "skips": 2},
        {"tokens": 11, "k": 9, "hidden": 900, "bias": 3, "skips": 2, "scales": "float", "profile": tiny, "cores": 2},
        {"tokens": 1, "k": 4, "hidden": 5000, "scales": "half", "cores": 8, "skips": 2, "by_column": 1},
    ]
    out = [_finalize(plans, kind, **values) for kind in TYPES for values in given]
    for kind in TYPES:
        for values in given[:3]:
            out.append(_tight(plans, lambda profile, kind=kind, values=values: _finalize(plans, kind, **values, profile=profile)))  # type: ignore[misc]
    out.append(_finalize(plans, "half", 30, 200, 4, "half", by_column=1, cores=1))
    out.append(_finalize(plans, "float", 30, 200, 4, "half", bias=3, cores=1))
    return out


def expert_tokens_cases(plans: Plans) -> list[Case]:
    """Of moe_compute_expert_tokens."""
    out = []
    for entries, experts, cores in ((0, 5, 2), (1, 1, 1), (50, 20, 2), (77, 100, 5), (3, 9, 4), (31, 100, 1)):
        random = np.random.default_rng(53)
        entry = np.sort(random.integers(-1, experts + 1, entries)).astype(np.int32)
        found = np.zeros(experts, np.int32)
        want = np.searchsorted(entry, np.arange(experts), side="right").astype(np.int32)
        tiling, used = plans.ask("plan_moe_compute_expert_tokens", "ascend910b3", cores, entries, experts)
        arguments = [entry if entries else None, softnpu.Output(found), tiling]
        check = lambda found=found, want=want: same(found, want, "counts")  # noqa: E731
        out.append(Case(f"{entries} of {experts}", "moe_compute_expert_tokens", used, arguments, check))
    return out


def _add(kernel: str, count: int, tile: int, blocks: int) -> Case:
    random = np.random.default_rng(23)
    x, y = (random.standard_normal(count).astype(np.float16) for _ in range(2))
    z = np.zeros_like(x)
    want = x + y
    tiled = [] if kernel == "add_scalar" else [np.uint32(tile)]
    arguments = [x, y, softnpu.Output(z), np.uint64(count), *tiled]
    return Case(f"{count} tile {tile} blocks{blocks}", kernel, blocks, arguments, lambda: same(z, want, "sum"))


def micro_cases(_: Plans) -> list[Case]:
    """Of the small programs; copy_in has no result, but bounds."""
    out = [_add("add_scalar", 77, 0, 1)]
    for kernel in ("add_single", "add_double"):
        out += [_add(kernel, count, tile, blocks) for count, tile, blocks in ((960, 96, 2), (512, 512, 1), (2880, 240, 4))]
    for size in (96, 4096):
        x, y = np.zeros(size, np.uint8), np.full(size, 7, np.uint8)
        out.append(Case(f"{size} bytes", "copy_in", 1, [x, np.uint32(size)], str))
        zero = np.zeros_like(y)
        out.append(Case(f"{size} bytes", "copy_out", 1, [softnpu.Output(y), np.uint32(size)], lambda y=y, zero=zero: same(y, zero, "out")))  # type: ignore[misc]
    return out


class _Scale(ctypes.Structure):
    _fields_ = [("factor", ctypes.c_float), ("offset", ctypes.c_int32), ("count", ctypes.c_uint64)]


def _affine(count: int, sign: int, twice: bool) -> Case:
    x = np.random.default_rng(29).standard_normal(count).astype(np.float32)
    y = np.zeros_like(x)
    want = x * np.float32(0.75 * (2 if twice else 1)) + np.float32(3 * sign)
    arguments = [x, softnpu.Output(y), _Scale(0.75, 3, count), np.int32(sign), twice, None]
    return Case(f"{count} {sign} {twice}", "affine", 1, arguments, lambda: same(y, want, "affine"))


def _accumulate(blocks: int) -> Case:
    values = np.random.default_rng(31).integers(-9, 9, (blocks, 8)).astype(np.float32)
    total = np.arange(8, dtype=np.float32)
    want = total + values.sum(axis=0)
    return Case(f"blocks{blocks}", "accumulate", blocks, [values, total], lambda: same(total, want, "sum"))


def _chain() -> Case:
    x = np.arange(8, dtype=np.int32)
    want = x * 2
    return Case("one block", "chain", 1, [x], lambda: same(x, want, "chain"))


def api_cases(_: Plans) -> list[Case]:
    """Of the kernels that test softnpu.launch."""
    return [_affine(64, -1, True), _affine(200, 1, False), _accumulate(1), _accumulate(5), _chain()]


# Kernels that leave nothing behind but their time, or do nothing but wait: no mutant of them can be told from them.
WITHOUT_RESULT = {"conflicts", "sweep", "meet"}

# Kernels whose cases run, but whose mutants (2100 of them) have not all been judged: they are not in the result.
UNCOUNTED = {"cc/kernels/moe/moe_init_routing.cpp"}

CASES: dict[str, Callable[[Plans], list[Case]]] = {
    "cc/kernels/cache/reshape_and_cache.cpp": cache_cases,
    "cc/kernels/moe/moe_compute_expert_tokens.cpp": expert_tokens_cases,
    "cc/kernels/moe/moe_finalize_routing.cpp": finalize_cases,
    "cc/kernels/moe/moe_gating_top_k.cpp": gating_cases,
    "cc/kernels/moe/moe_init_routing.cpp": init_routing_cases,
    "cc/kernels/rotary/rotary_embedding.cpp": rotary_cases,
    "tests/benchmarks/kernels/published.cpp": published_cases,
    "tests/benchmarks/kernels/micro.cpp": micro_cases,
    "tests/benchmarks/kernels/softmax_top_k.cpp": softmax_cases,
    "tests/softnpu/api.cpp": api_cases,
}

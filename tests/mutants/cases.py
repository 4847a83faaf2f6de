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
    traps: bool = False  # the launch has to end in a trap


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
    style: int,  # 0 GPT-J, 1 NeoX, 2 pairs to halves
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
    inverse: bool = False,
    given_gap: int = -1,  # elements between the rows of given cos and sin; negative: positions
    sections: tuple[int, int, int] | None = None,  # of three axes
    interleaved: bool = False,
    out_gap: int = -1,  # between tokens of results that are not in place
) -> Case:
    random = np.random.default_rng(3)
    half = rotary // 2
    cache = rounded(random.standard_normal((positions, rotary)), kind)
    axes = 3 if sections else 1
    at = random.integers(0, positions, (axes, tokens)).astype(np.int64 if position_bytes == 8 else np.int32)
    at[:, -1] = positions - 1 - np.arange(axes)
    rows_of = at
    tables: list[Any] = [at, cache, None]
    if given_gap >= 0:
        rows_of = np.arange(tokens)[None] % positions
        wide = np.zeros((2, positions, half + given_gap), cache.dtype)
        wide[0, :, :half], wide[1, :, :half] = cache[:, :half], cache[:, half:]
        flat = [w.reshape(-1)[: (positions - 1) * (half + given_gap) + half].copy() for w in wide]
        tables = [None, flat[0], flat[1]]
    axis = np.zeros(half, int)
    if sections and interleaved:
        lane = np.arange(half)
        for a in (1, 2):
            axis[(lane % 3 == a) & (lane < 3 * sections[a])] = a
    elif sections:
        axis = np.repeat(np.arange(3), sections)
    sides = []
    for count in (heads, kv_heads):
        stride = count * size + gap
        out_stride = count * size + out_gap if out_gap >= 0 else 0
        length = (tokens - 1) * stride + count * size if count else 0
        x = rounded(random.standard_normal(length), kind)
        y = rounded(random.standard_normal((tokens - 1) * out_stride + count * size), kind) if out_gap >= 0 and count else None
        sides.append((count, stride, x, out_stride, y))
    numbers = integers(style, int(inverse), half + given_gap if given_gap >= 0 else 0, axes, *(sections or (0, 0, 0)), int(interleaved))
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
        integers(*numbers, sides[0][3], sides[1][3]),
    )
    before = [(side[2].copy(), None if side[4] is None else side[4].copy()) for side in sides]
    start = [None if table is None else table.copy() for table in tables]
    angles = exact(cache.copy(), kind)

    def check() -> str:
        row = rows_of[axis].T  # [tokens, half]
        c, s = (angles[row, part + np.arange(half)][:, :, None] for part in (0, half))
        if inverse:
            s = -s
        for (count, stride, x, out_stride, y), (old, old_out) in zip(sides, before, strict=True):
            if count == 0:
                continue
            i = np.arange(half)[:, None]
            head = np.arange(count) * size
            pair = (i, i + half) if style == 1 else (2 * i, 2 * i + 1)
            goal = (2 * i, 2 * i + 1) if style == 0 else (i, i + half)
            step = np.arange(tokens)[:, None, None]
            x1, x2 = (exact(old, kind)[step * stride + element + head] for element in pair)
            now, rest, to = (x, x.copy(), stride) if y is None else (y, y.copy(), out_stride)
            places = [step * to + element + head for element in goal]
            for place, want, size_of in (
                (places[0], x1 * c - x2 * s, np.abs(x1 * c) + np.abs(x2 * s)),
                (places[1], x2 * c + x1 * s, np.abs(x2 * c) + np.abs(x1 * s)),
            ):
                out = exact(now, kind)[place]
                if text := within(out, want, 0.5 * last_place(out, kind) + np.ldexp(size_of, -21), "rotated"):
                    return text
            kept = old if old_out is None else old_out
            for place in places:
                rest[place] = kept[place]
            if text := same(rest, kept, "outside of the rotary parts"):
                return text
            if y is not None and (text := same(x, old, "operand")):
                return text
        return next((text for now, old in zip(tables, start, strict=True) if now is not None and (text := same(now, old, "table"))), "")

    name = f"{kind} style {style} t{tokens} h{heads},{kv_heads} d{size}/{rotary} gap{gap} cores{used} p{position_bytes}"
    name += f" inverse {inverse} given {given_gap} sections {sections} {interleaved} out {out_gap}"
    keys = [sides[1][2] if kv_heads else None, sides[1][4] if kv_heads else None]
    return Case(
        name,
        f"rotary_embedding_{kind}",
        used,
        [tables[0], sides[0][2], keys[0], tables[1], tables[2], sides[0][4], keys[1], tiling],
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
        for style in (1, 0):
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
            if wide or style == 1:
                given.append({"tokens": 1030, "cores": 1, "heads": 1, "kv_heads": 0, "size": 16, "rotary": 16})  # batches of positions
                given.append({"tokens": 520, "cores": 1, "heads": 1, "kv_heads": 1, "size": 16, "rotary": 10, "position_bytes": 4})
            given += [
                {"tokens": 1, "cores": 40, "heads": 62, "kv_heads": 3, "size": 128, "rotary": 128},  # cores share a token
                {"tokens": 3, "cores": 13, "heads": 61, "kv_heads": 4, "size": 128, "rotary": 128},
                {"tokens": 5, "cores": 2, "heads": 17, "size": 128, "rotary": 128, "profile": narrow},
                {"tokens": 9, "cores": 1, "kv_heads": 0, "gap": 16},
            ]
            given.append({"tokens": 2, "cores": 1, "heads": 260, "size": 16, "rotary": 16})  # repeats of more than 255
            given.append({"tokens": 1, "cores": 1, "heads": 257, "kv_heads": 255, "size": 20, "rotary": 18})
            out += [_rotary(plans, kind, style, **values) for values in given]
            # SoftNPU gives kernels all of the UB; the host's plan leaves 8 KiB of it.
            full: dict[str, Any] = {"kind": kind, "style": style, "tokens": 16, "heads": 1, "size": 256, "rotary": 256, "cores": 1}
            out.append(_rotary(plans, profile=_smallest(plans, **full), **full))
            full["rotary"] = 32  # rows shorter than an instruction's lanes
            out.append(_rotary(plans, profile=_smallest(plans, **full), **full))
        full = {"kind": kind, "style": 2, "tokens": 16, "heads": 1, "size": 256, "rotary": 256, "cores": 1}
        out.append(_rotary(plans, profile=_smallest(plans, **full), **full))
        for style in (0, 1, 2):
            more: list[dict[str, Any]] = [
                {"tokens": 19, "cores": 2, "rotary": 32, "inverse": True, "gap": 5},
                {"tokens": 23, "cores": 1, "given_gap": 3, "positions": 7},
                {"tokens": 6, "cores": 2, "given_gap": 0, "positions": 11, "out_gap": 4, "kv_heads": 3},
                {"tokens": 17, "cores": 1, "sections": (11, 11, 10), "out_gap": 0},
                {"tokens": 5, "cores": 2, "sections": (11, 11, 10), "interleaved": True, "position_bytes": 4, "gap": 2},
                {"tokens": 9, "cores": 1, "size": 256, "rotary": 256, "sections": (30, 60, 38), "heads": 1},
                {"tokens": 3, "cores": 1, "size": 256, "rotary": 160, "sections": (30, 30, 20), "interleaved": True, "kv_heads": 0},
                {"tokens": 4, "cores": 1, "sections": (20, 0, 12), "heads": 1, "inverse": True},
                {
                    "tokens": 520,
                    "cores": 1,
                    "size": 32,
                    "rotary": 32,
                    "sections": (6, 5, 5),
                    "heads": 1,
                    "kv_heads": 0,
                    "position_bytes": 4,
                },
            ]
            out += [_rotary(plans, kind, style, **values) for values in more]
    for kind in ("half", "float"):
        unit = 32 if kind == "half" else 16
        for values in (
            {"tokens": 37, "cores": 2, "size": 64, "rotary": 64},
            {"tokens": 9, "cores": 7, "size": 3 * unit, "rotary": unit, "gap": unit, "position_bytes": 4, "heads": 3},
            {"tokens": 520, "cores": 1, "heads": 1, "kv_heads": 0, "size": unit, "rotary": unit},
            {"tokens": 3, "cores": 1, "size": 256, "rotary": 192, "position_bytes": 4},
            {"tokens": 9, "cores": 2, "given_gap": 16, "positions": 4, "inverse": True},
            {"tokens": 5, "cores": 1, "size": 128, "rotary": 128, "sections": (20, 30, 14), "position_bytes": 4},
        ):
            out.append(_rotary(plans, kind, 1, profile="ascend310p3", **values))  # type: ignore[arg-type]
    return out


def _qkv_rows(kind: str, tokens: int, heads: int, kv_heads: int, size: int, gap: int, gate: bool) -> tuple[np.ndarray, list[np.ndarray]]:
    """qkv, flat, and its elements as query, key, value and gate [tokens, heads, size]."""
    random = np.random.default_rng(21)
    step = size * (2 if gate else 1)
    stride = heads * step + 2 * kv_heads * size + gap
    scale = 2.0 ** (np.arange((tokens - 1) * stride + stride - gap) // size % 5 - 2)  # a factor of another row shows
    x = rounded(random.standard_normal(len(scale)) * scale, kind)
    at = np.arange(tokens)[:, None, None] * stride
    places = [np.arange(heads)[:, None] * step, heads * step + np.arange(kv_heads)[:, None] * size]
    places += [places[1] + kv_heads * size, places[0] + size]
    return x, [x[at + place + np.arange(size)] for place in places[: 4 if gate else 3]]


def _qkv(
    plans: Plans,
    kind: str,
    tokens: int = 5,
    heads: int = 3,
    kv_heads: int = 2,
    size: int = 64,
    rotary: int = 64,
    gap: int = 0,
    cores: int = 2,
    position_bytes: int = 8,
    given: bool = False,
    sections: tuple[int, int, int] | None = None,
    interleaved: bool = False,
    bias: bool = False,
    gate: bool = False,
    value: bool = False,
    devices: int = 0,  # whose heads the mean is of
    epsilon: float = 1e-2,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(22)
    half, positions, axes = rotary // 2, 40, 3 if sections else 1
    x, parts = _qkv_rows(kind, tokens, heads, kv_heads, size, gap, gate)
    sides = (heads, kv_heads)
    weights = [rounded(random.standard_normal(size * (h if devices else 1)), kind) for _ in range(2) for h in sides]
    table = rounded(random.standard_normal((positions, rotary)), kind)
    at = random.integers(0, positions, (axes, tokens + 3)).astype(np.int64 if position_bytes == 8 else np.int32)
    at[:, tokens:] = 1 << 30  # between the axes
    at[:, tokens - 1] = positions - 1 - np.arange(axes)
    axis = np.zeros(half, int)
    if sections and interleaved:
        for a in (1, 2):
            axis[(np.arange(half) % 3 == a) & (np.arange(half) < 3 * sections[a])] = a
    elif sections:
        axis = np.repeat(np.arange(3), sections)
    rows = exact(table, kind)[at[axis, :tokens].T if sections else at[:1, :tokens].T, :]
    lanes = np.arange(half)
    cos, sin = (rows[:, lanes if sections else 0, part + lanes] for part in (0, half))
    angles: list[Any] = [at.reshape(-1)[: (axes - 1) * (tokens + 3) + tokens].copy(), table, None]
    if given:
        wide = [rounded(np.pad(t, ((0, 0), (0, 3))).reshape(-1)[: (tokens - 1) * (half + 3) + half], kind) for t in (cos, sin)]
        angles = [None, *wide]
    sums = random.uniform(20, 90, (tokens, 2)).astype(np.float32) if devices else None
    results = [rounded(random.standard_normal((tokens, h * size)), kind) for h in (heads, kv_heads, kv_heads, heads)]
    if not gate:
        results.pop()
    numbers = [tokens, heads, kv_heads, size, (heads * (2 if gate else 1) + 2 * kv_heads) * size + gap, gate, rotary, positions]
    numbers += [0 if given else axes, half + 3 if given else tokens + 3, *(sections or (0, 0, 0)), interleaved, bias, devices > 0]
    tiling, used = plans.ask(
        "plan_qkv_rmsnorm_rope",
        profile,
        cores,
        TYPES[kind][1],
        9 if position_bytes == 8 else 3,
        integers(*map(int, [*numbers, max(1, devices), value])),
        (ctypes.c_double * 1)(epsilon),
    )
    arguments = [angles[0], x, *weights[:2], *(weights[2:] if bias else [None, None]), *angles[1:], sums]
    arguments += [*results, *([] if gate else [None]), tiling]
    before = [None if a is None or isinstance(a, bytes) else a.copy() for a in arguments[:9]]

    def check() -> str:
        for i, (result, part) in enumerate(zip(results, parts, strict=True)):
            if i == 3 or (i == 2 and not value):
                if text := same(result.reshape(part.shape), part, "a copy"):
                    return text
                continue
            y, h = exact(part, kind), part.shape[1]
            if devices and i < 2:
                assert sums is not None
                factor = (sums[:, i].astype(float) / (h * size * devices) + epsilon)[:, None, None] ** -0.5
            else:
                factor = ((y * y).mean(-1, keepdims=True) + epsilon) ** -0.5
            normal = y * factor
            if i < 2:
                normal = normal * exact(weights[i], kind).reshape(-1, size)
            most = np.abs(normal)
            if bias and i < 2:
                added = exact(weights[i + 2], kind).reshape(-1, size)
                normal, most = normal + added, most + np.abs(added)
            want, bound = normal.copy(), most.copy()
            if i < 2:
                c, s = cos[:, None], sin[:, None]
                a, b, p, q = normal[..., :half], normal[..., half:rotary], most[..., :half], most[..., half:rotary]
                want[..., :half], want[..., half:rotary] = a * c - b * s, b * c + a * s
                bound[..., :half], bound[..., half:rotary] = p * abs(c) + q * abs(s), q * abs(c) + p * abs(s)
            out = exact(result, kind).reshape(part.shape)
            if text := within(
                out, want, 0.5 * last_place(out, kind) + np.ldexp(bound, -19 if size > 256 else -20), ["query", "key", "value"][i]
            ):
                return text
        pairs = zip(arguments[:9], before, strict=True)
        return next((text for now, old in pairs if now is not None and (text := same(now, old, "operand"))), "")

    name = f"{kind} t{tokens} h{heads},{kv_heads} d{size}/{rotary} gap{gap} cores{used} p{position_bytes} given {given}"
    name += f" {sections} {interleaved} bias {bias} gate {gate} value {value} devices {devices}"
    return Case(name, f"qkv_rmsnorm_rope_{kind}", used, arguments, check, profile)


def _qkv_sums(
    plans: Plans,
    kind: str,
    tokens: int = 5,
    heads: int = 3,
    kv_heads: int = 2,
    size: int = 64,
    gap: int = 0,
    cores: int = 2,
    gate: bool = False,
    profile: str = "ascend910b3",
) -> Case:
    x, parts = _qkv_rows(kind, tokens, heads, kv_heads, size, gap, gate)
    sums = np.full((tokens, 2), 7, np.float32)
    stride = (heads * (2 if gate else 1) + 2 * kv_heads) * size + gap
    numbers = integers(tokens, heads, kv_heads, size, stride, int(gate))
    tiling, used = plans.ask("plan_qkv_square_sums", profile, cores, TYPES[kind][1], numbers)
    old = x.copy()

    def check() -> str:
        want = np.stack([(exact(part, kind) ** 2).sum((1, 2)) for part in parts[:2]], -1)
        return within(sums.astype(float), want, np.ldexp(want, -19), "sums") or same(x, old, "qkv")

    return Case(
        f"{kind} t{tokens} h{heads},{kv_heads} d{size} gap{gap} gate {gate}",
        f"qkv_square_sums_{kind}",
        used,
        [x, sums, tiling],
        check,
        profile,
    )


def qkv_cases(plans: Plans) -> list[Case]:
    """Of qkv_rmsnorm_rope and qkv_square_sums."""
    out = []
    small = plans.profile("ascend910b3", 8192 + 24 * 1024)
    least = plans.profile("ascend910b3", 8192 + 12 * 1024)
    for kind in TYPES:
        given: list[dict[str, Any]] = [
            {"tokens": 3, "cores": 2, "heads": 9, "kv_heads": 4, "profile": least},  # three tiles of four rows, and one row
            {"tokens": 19, "cores": 1, "gate": True, "bias": True},
            {"tokens": 37, "cores": 2, "heads": 1, "kv_heads": 1, "size": 40, "rotary": 20, "gap": 3, "position_bytes": 4},
            {"tokens": 3, "size": 160, "rotary": 96, "sections": (20, 12, 16), "value": True, "epsilon": 3.0},
            {"tokens": 4, "cores": 3, "size": 256, "rotary": 256, "sections": (50, 40, 38), "interleaved": True, "gap": 5},
            {"tokens": 6, "cores": 1, "size": 72, "rotary": 30, "given": True, "gate": True, "heads": 5, "kv_heads": 1},
            {"tokens": 1, "heads": 2, "kv_heads": 1, "size": 2, "rotary": 2},
            {"tokens": 21, "cores": 1, "devices": 2, "bias": True, "heads": 2, "kv_heads": 3},
            {"tokens": 5, "cores": 2, "devices": 3, "gate": True, "size": 80, "rotary": 34, "epsilon": 2.0},
            {"tokens": 5, "cores": 2, "heads": 13, "kv_heads": 5, "profile": small, "value": True, "gate": True},  # rows of a token
            {"tokens": 5, "cores": 2, "heads": 11, "kv_heads": 6, "profile": small, "bias": True, "size": 66, "rotary": 40},
            {"tokens": 3, "cores": 1, "heads": 13, "kv_heads": 5, "devices": 2, "size": 32, "rotary": 32, "profile": small, "gate": True},
            {"tokens": 2, "cores": 1, "heads": 9, "kv_heads": 80, "size": 8, "rotary": 8, "value": True},
            {"tokens": 32, "cores": 1, "kv_heads": 1, "size": 16, "rotary": 16},  # 64 rows
            {"tokens": 3, "cores": 1, "size": 40, "rotary": 32, "gap": 1},  # a rest that is less than a half
            # Cores share the rows of a token: some of query, of both, and of value alone.
            {"tokens": 2, "cores": 7, "heads": 13, "kv_heads": 6, "size": 128, "rotary": 96, "gate": True, "bias": True, "gap": 7},
            {"tokens": 1, "cores": 40, "heads": 5, "kv_heads": 14, "size": 144, "rotary": 72, "value": True, "profile": small},
            {"tokens": 2, "cores": 6, "heads": 5, "kv_heads": 12, "size": 136, "rotary": 64, "devices": 2, "bias": True, "gate": True},
        ]
        if kind == "float":
            given += [
                {"tokens": 1030, "cores": 1, "heads": 1, "kv_heads": 1, "size": 16, "rotary": 16},  # batches of positions
                {"tokens": 2, "cores": 1, "heads": 260, "kv_heads": 3, "size": 16, "rotary": 16},  # repeats of more than 255
                {"tokens": 2, "cores": 1, "heads": 260, "kv_heads": 3, "size": 16, "rotary": 16, "devices": 1, "bias": True},
                {"tokens": 1, "cores": 1, "heads": 1, "kv_heads": 1, "size": 2040, "rotary": 32, "gate": True, "value": True},
            ]
        else:
            given.append({"tokens": 2, "cores": 1, "heads": 2, "kv_heads": 40, "size": 256, "rotary": 64})  # copies in several pieces
            given.append({"tokens": 2, "cores": 1, "heads": 40, "kv_heads": 1, "size": 256, "rotary": 64, "gate": True})
        out += [_qkv(plans, kind, **values) for values in given]
        for values in (
            {"tokens": 16, "heads": 1, "kv_heads": 1, "cores": 1},
            {"tokens": 16, "heads": 1, "kv_heads": 1, "cores": 1, "gate": True, "bias": True, "sections": (12, 10, 10)},
            {"tokens": 16, "heads": 2, "kv_heads": 1, "cores": 1, "devices": 1, "bias": True},
        ):
            out.append(_tight(plans, lambda profile, kind=kind, v=values: _qkv(plans, kind, profile=profile, **v)))  # type: ignore[misc]
        given = [
            {"tokens": 37, "cores": 2},
            {"tokens": 3, "size": 160, "gate": True, "gap": 5},
            {"tokens": 1, "size": 40, "heads": 100, "kv_heads": 70},
            {"tokens": 5, "cores": 1, "heads": 90, "kv_heads": 13, "profile": small},
            {"tokens": 1, "cores": 1, "heads": 2100, "kv_heads": 1, "size": 8},  # 255 sums of 8 rows
            {"tokens": 4, "cores": 3, "heads": 13, "kv_heads": 5, "profile": small, "gate": True, "size": 66},
        ]
        out += [_qkv_sums(plans, kind, **values) for values in given]
        out.append(_tight(plans, lambda profile, kind=kind: _qkv_sums(plans, kind, tokens=16, cores=1, profile=profile)))  # type: ignore[misc]
    return out


def _slots(layout: int, block_size: int, heads: int, size: int, element: int) -> np.ndarray:
    """Bytes of each slot within a block of a paged cache: [block_size, heads * size * element]. Layouts: 0 ND, 1 HND, 2 NZ."""
    row = heads * size * element
    block = np.arange(block_size * row)
    if layout == 0:
        return block.reshape(block_size, row)
    part = size * element if layout == 1 else 32
    return block.reshape(row // part, block_size, part).swapaxes(0, 1).reshape(block_size, row)


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
    layout: int = 0,
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
        layout,
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
    for size, (row, stride, pitch, rows, cache) in zip((key, value), sides, strict=True):
        if row:
            want = cache.copy()
            places = _slots(layout, block_size, heads, size, element)
            for t, slot in enumerate(slots):
                if 0 <= slot < blocks * block_size:
                    want[slot // block_size * pitch * element + places[slot % block_size]] = rows[t * stride * element :][: row * element]
            wanted.append((cache, want))
    mapping = np.array(slots, np.int64 if slot_bytes == 8 else np.int32)

    def check() -> str:
        return next((text for now, want in wanted if (text := same(now, want, "cache"))), "")

    name = f"layout{layout} t{tokens} h{heads} {key},{value}x{element} blocks {blocks}x{block_size}"
    name += f" gaps {token_gap},{block_gap} cores{used} s{slot_bytes}"
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
        _cache(plans, [2], heads=1, key=480, value=240, cores=1, profile=tiny),  # two pieces, and one
        _cache(plans, list(range(30)), cores=1, profile=small, blocks=8, key=20, value=31, element=2),
        _cache(plans, shuffled(30, 32), cores=1, profile=small, blocks=8, key=20, value=9, heads=3, token_gap=1, slot_bytes=4),
        _cache(plans, [3, 4, 5, 6], cores=1, token_gap=-32),  # one row for all tokens
        _cache(plans, [6, 5, 7], cores=1, token_gap=-7),
        # Rows more than 4 GiB apart.
        _cache(plans, [1, 2], cores=1, heads=1, key=16, value=0, element=4, token_gap=(1 << 30) + 16),
        _cache(plans, [1, 2], cores=1, heads=1, key=16, value=0, element=4, token_gap=(1 << 30)),
        *(
            case
            for layout, key, value in ((1, 16, 24), (1, 7, 5), (2, 16, 32))
            for case in (
                _cache(plans, list(range(2, 18)), cores=1, layout=layout, heads=2, key=key, value=value, block_gap=3),
                _cache(plans, shuffled(11, 20), cores=2, layout=layout, heads=5, key=key, value=value, token_gap=16),
                _cache(plans, [3, 4, 5, -1, 30, 0, 1], cores=1, layout=layout, heads=2, key=key, value=value, element=4, slot_bytes=4),
                _cache(plans, [2, 3, -1, 7], cores=1, profile=tiny, layout=layout, heads=3 * key, key=key, value=value),
            )
        ),
        *(
            case
            for layout in range(3)
            for case in (
                _cache(
                    plans, list(range(1, 14)), cores=1, profile="ascend310p3", layout=layout, key=16, value=32, token_gap=16, slot_bytes=4
                ),
                _cache(plans, shuffled(9, 20), cores=2, profile="ascend310p3", layout=layout, heads=3, key=32, value=16, block_gap=1),
                _cache(plans, [1, 2, 9, -1, 8], cores=1, profile="ascend310p3", layout=layout, heads=1, token_gap=1 << 20),
                _cache(plans, shuffled(6, 20), cores=1, profile="ascend310p3", layout=layout, heads=2500, key=16, value=16),
            )
        ),
    ]


def _gather(
    plans: Plans,
    lengths: list[int],
    starts: list[int] | None = None,
    cumulative: bool = False,
    heads: int = 2,
    key: int = 16,
    value: int = 24,
    layout: int = 0,
    element: int = 2,
    blocks: int = 9,
    block_size: int = 4,
    width: int = 8,
    block_gap: int = 0,
    more: int = 0,
    cores: int = 2,
    illegal: dict[tuple[int, int], int] | None = None,  # blocks of the table
    traps: bool = False,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(6)
    given = np.array(np.concatenate([[0], np.cumsum(lengths)]) if cumulative else lengths, np.int32)
    lengths = [max(0, length) for length in lengths]
    rows = sum(lengths) + more
    table = random.integers(0, blocks, (len(lengths), width)).astype(np.int32)
    table[:, 0] = np.arange(len(lengths)) % blocks
    for (i, column), block in (illegal or {}).items():
        table[i, column] = block
    sides: list[Any] = []
    wanted = []
    for size in (key, value):
        if size == 0:
            sides.append((0, None, None))
            continue
        row = heads * size * element
        pitch = block_size * heads * size + block_gap
        cache = random.integers(0, 256, (blocks - 1) * pitch * element + block_size * row).astype(np.uint8)
        out = random.integers(0, 256, (rows, row)).astype(np.uint8)
        places = _slots(layout, block_size, heads, size, element)
        want, at = out.copy(), 0
        for i, length in enumerate(lengths):
            for j in range(length if not traps else 0):
                position = j + (starts[i] if starts else 0)
                block = int(table[i, position // block_size])
                want[at] = cache[block * pitch * element + places[position % block_size]]
                at += 1
        sides.append((pitch, cache, out))
        wanted.append((out, want))
    tiling, used = plans.ask(
        "plan_gather_cache",
        profile,
        cores,
        layout,
        {1: 2, 2: 1, 4: 0}[element],
        rows,
        heads,
        key,
        value,
        blocks,
        block_size,
        sides[0][0],
        sides[1][0],
        len(lengths),
        width,
        int(cumulative),
        int(starts is not None),
    )
    first = None if starts is None else np.array(starts, np.int32)

    def check() -> str:
        return next((text for now, want in wanted if (text := same(now, want, "rows"))), "")

    name = (
        f"layout{layout} {lengths} from {starts} h{heads} {key},{value}x{element} gap {block_gap} more {more} cores{used} {profile[-12:]}"
    )
    arguments = [sides[0][1], sides[1][1], table, given, first, sides[0][2], sides[1][2], tiling]
    return Case(name, "gather_cache", used, arguments, check, profile, traps=traps)


def gather_cases(plans: Plans) -> list[Case]:
    """Of gather_cache."""
    tiny = plans.profile("ascend910b3", 8192 + 640)
    return [
        _gather(plans, [5]),
        _gather(plans, [1, 0, 9, 3], cores=3, more=4),
        _gather(plans, [1, 0, 9, 3], [3, 0, 5, 16], cores=5, block_gap=5),
        _gather(plans, [7, 8], [4, 1], cumulative=True, cores=4),
        _gather(plans, [0, 30], cumulative=True, cores=1, value=0),
        _gather(plans, [3, 2, 4], [1, 2, 3], cores=2, element=1, key=7, value=5),
        _gather(plans, [20], [3], cores=1, profile=tiny),
        _gather(plans, [32], cores=1),  # all of the table
        _gather(plans, [3, 4, 5, 2], cumulative=True, cores=2),
        _gather(plans, [3, -2, 4], cores=1),
        _gather(plans, [1, 2] * 8 + [1], [1, 0] * 8 + [1], cores=2, value=0),
        _gather(plans, [9], [-1], cores=1, traps=True),
        _gather(plans, [5], [28], cores=1, traps=True),  # of 32 positions
        _gather(plans, [8], cores=1, illegal={(0, 1): -1}, traps=True),
        _gather(plans, [8], cores=1, illegal={(0, 1): 9}, traps=True),
        *(
            case
            for layout, key, value in ((1, 16, 24), (1, 7, 5), (2, 16, 32))
            for case in (
                _gather(plans, [9, 1], [3, 0], cores=2, layout=layout, key=key, value=value, block_gap=7),
                _gather(plans, [17], cores=1, layout=layout, key=key, value=value, heads=5, element=4, block_size=16),
                _gather(plans, [6, 3], cores=3, layout=layout, key=key, value=value, heads=1, block_size=16),
                _gather(plans, [6], cores=1, layout=layout, key=key, value=value, heads=3 * key, profile=tiny),
                _gather(plans, [11], cores=1, layout=layout, key=key, value=value, heads=2, profile=tiny, block_size=16),
            )
        ),
        *(
            _gather(plans, [9, 5], [2, 1], cores=3, layout=layout, key=16, value=32, cumulative=layout == 1, profile="ascend310p3")
            for layout in range(3)
        ),
        *(_gather(plans, [5], cores=1, layout=layout, heads=2500, key=16, value=32, profile="ascend310p3") for layout in (1, 2)),
    ]


def _transpose_cache(
    plans: Plans,
    splits: int,
    ids: list[int],
    heads: int = 4,
    size: int = 16,
    element: int = 2,
    blocks: int = 6,
    block_size: int = 8,
    caches: int = 2,
    gap: int = 0,  # between the blocks of the first cache, twice that in the second, ...
    cores: int = 3,
    traps: bool = False,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(8)
    block = block_size * heads * size * element
    pitches = [block + (c + 1) * gap * element for c in range(caches)]
    tiling, used = plans.ask(
        "plan_transpose_kv_cache",
        profile,
        cores,
        {1: 2, 2: 1, 4: 0}[element],
        caches,
        len(ids),
        blocks,
        block_size,
        heads,
        size,
        splits,
    )
    arrays = []
    wanted = []
    for pitch in pitches:
        cache = random.integers(0, 256, (blocks - 1) * pitch + block).astype(np.uint8)
        want = cache.copy()
        for index in ids if not traps else []:
            part = cache[index * pitch :][:block].reshape(splits, block_size, -1)
            want[index * pitch :][:block] = part.swapaxes(0, 1).reshape(-1)
        arrays.append(cache)
        wanted.append(want)
    pieces = np.frombuffer(tiling, np.int64)[7]
    kernel = "transpose_kv_cache_shared" if pieces > 1 else "transpose_kv_cache"
    table = softnpu.Addresses([item for pair in zip(arrays, pitches, strict=True) for item in pair])

    def check() -> str:
        return next((text for now, want in zip(arrays, wanted, strict=True) if (text := same(now, want, "cache"))), "")

    name = f"S{splits} {ids} h{heads} {size}x{element} B{block_size} caches{caches} gap{gap} cores{used} pieces{pieces}"
    schedules = 1 if pieces == 1 or traps else 3
    return Case(name, kernel, used, [table, np.array(ids, np.int64), tiling], check, profile, schedules, traps)


def transpose_cases(plans: Plans) -> list[Case]:
    """Of transpose_kv_cache and transpose_kv_cache_shared."""
    small = plans.profile("ascend910b3", 8192 + 1024)
    return [
        _transpose_cache(plans, 2, [4, 0, 3]),
        _transpose_cache(plans, 4, [5], caches=1, gap=3),
        _transpose_cache(plans, 2, [1, 2, 3, 4], cores=1, caches=3, element=4),
        _transpose_cache(plans, 4, [1, 0], size=10, block_size=5),
        # More chunks than rows of a copy.
        _transpose_cache(plans, 2, [2, 4], size=7, element=1, gap=1, block_size=2500, caches=1, cores=1),
        _transpose_cache(plans, 3, [2, 4], heads=3, size=7, element=1, block_size=1365, caches=1, cores=1),  # as many
        *(_transpose_cache(plans, 2, [illegal], caches=1, traps=True) for illegal in (-1, 6)),
        _transpose_cache(plans, 2, [2, 5], cores=1, profile="ascend310p3"),
        # Blocks that some cores share: in rounds, and in one with more cores than there are blocks.
        _transpose_cache(plans, 2, [4, 0, 3], cores=5, profile=small),
        _transpose_cache(plans, 4, [4, 0, 3, 1, 2], cores=8, profile=small, block_size=9, caches=3, gap=2),
        _transpose_cache(plans, 2, [1, 3], cores=9, profile=small, size=10, block_size=11, caches=1),
        _transpose_cache(plans, 2, [1], cores=40, block_size=128, size=128, caches=1),
    ]


def copy_cases(plans: Plans) -> list[Case]:
    """Of copy_blocks."""

    def case(
        sizes: list[int],
        pairs: list[tuple[int, int]],
        gap: int = 0,
        cores: int = 3,
        blocks: int = 5,
        traps: bool = False,
        profile: str = "ascend910b3",
    ) -> Case:
        random = np.random.default_rng(12)
        whole = all(size % 32 == 0 for size in sizes)
        tiling, used = plans.ask("plan_copy_blocks", profile, cores, len(sizes), len(pairs), blocks, max(sizes), int(whole))
        caches = [random.integers(0, 256, (blocks - 1) * (size + gap) + size).astype(np.uint8) for size in sizes]
        wanted = []
        for cache, size in zip(caches, sizes, strict=True):
            want = cache.copy()
            for a, b in pairs if not traps else []:
                want[b * (size + gap) :][:size] = cache[a * (size + gap) :][:size]
            wanted.append(want)
        table = softnpu.Addresses([item for cache, size in zip(caches, sizes, strict=True) for item in (cache, size + gap, size)])

        def check() -> str:
            return next((text for now, want in zip(caches, wanted, strict=True) if (text := same(now, want, "cache"))), "")

        name = f"blocks of {sizes} {pairs} gap {gap} cores{used} {profile[-12:]}"
        return Case(name, "copy_blocks", used, [table, np.array(pairs, np.int64), tiling], check, profile, traps=traps)

    return [
        case([64], [(0, 4)]),
        case([64, 9000, 7], [(0, 4), (4 - 1, 1)], cores=7, gap=5),
        case([30000, 100], [(2, 0)], cores=2),
        case([20000] * 3, [(0, 1), (0, 2), (3, 4)], cores=1, gap=32),
        case([4096, 8224], [(1, 0), (4, 3)], cores=3, profile="ascend310p3"),
        case([8192, 16384], [(1, 0)], cores=4),  # the first cache's blocks end with a piece
        *(case([64], [pair], traps=True) for pair in ((-1, 2), (2, -1), (5, 1), (1, 5))),
    ]


def slot_cases(plans: Plans) -> list[Case]:
    """Of slot_mapping."""

    def case(
        lengths: list[int],
        block: int = 16,
        parallel: tuple[int, int, int] = (1, 0, 1),
        more: int = 0,
        cores: int = 3,
        width: int = 9,
        kinds: tuple[int, int] = (9, 9),
        start: int = 0,
        fewer: int = 0,
        beyond: int = 0,  # positions of no request
        illegal: dict[int, int] | None = None,  # positions
        among: list[int] | None = None,  # positions
        circular: bool = False,
        profile: str = "ascend910b3",
    ) -> Case:
        random = np.random.default_rng(13)
        tokens = sum(lengths)
        world, rank, interleave = parallel
        positions = np.concatenate([random.permutation(n) + start for n in lengths] or [np.zeros(0)]).astype(
            np.int64 if kinds[0] == 9 else np.int32
        )
        if among is not None:
            positions[:] = np.resize(among, tokens)
        table = random.integers(0, 5000, (len(lengths), width)).astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        slots = random.integers(0, 99, tokens + more).astype(np.int64 if kinds[1] == 9 else np.int32)
        request = np.repeat(np.arange(len(lengths)), lengths)
        span = block * world
        offset = positions % span
        column = 0 if circular else positions // span
        want = table[request, column].astype(np.int64) * block + offset // (interleave * world) * interleave + offset % interleave
        want[offset // interleave % world != rank] = -1
        want[positions < 0] = -1
        want = np.concatenate([want[: tokens - fewer], np.full(more + fewer, -1)]).astype(slots.dtype)
        positions = np.concatenate([positions, np.zeros(beyond, positions.dtype)])
        slots = np.concatenate([slots, np.full(beyond, 9, slots.dtype)])
        want = np.concatenate([want, np.full(beyond, -1, want.dtype)])
        for token, position in (illegal or {}).items():
            positions[token] = position
        numbers = integers(
            len(lengths),
            tokens + beyond,
            tokens + beyond + more,
            tokens + beyond - fewer,
            width,
            block,
            world,
            rank,
            interleave,
            *kinds,
            int(circular),
        )
        tiling, used = plans.ask("plan_slot_mapping", profile, cores, numbers)
        kind = f"{'circular ' * circular}blocks of {block} {parallel} kinds {kinds}"
        name = f"{lengths} {kind} more {more} fewer {fewer} from {start} cores{used} {profile[-12:]}"
        arguments = [starts, positions, table, slots, tiling]
        return Case(name, "slot_mapping", used, arguments, lambda: same(slots, want, "slots"), profile, traps=illegal is not None)

    narrow = plans.profile("ascend910b3", 8192 + 3000)  # rows of block_table have no room beside a batch
    return [
        case([5]),
        case([1, 0, 3, 1], more=40, cores=2),
        case([70, 30, 2, 23, 24, 25], more=100, cores=4, start=2),
        case([70, 3, 40], block=48, cores=1, kinds=(3, 3), width=3),
        case([100, 20, 1], parallel=(3, 1, 4), cores=2),
        case([60, 60], block=32, parallel=(2, 0, 32), cores=1, kinds=(3, 9)),
        case([140, 9], parallel=(1, 0, 16), kinds=(9, 3), cores=2),
        case([2100], block=112, width=20, cores=1, start=30),
        case([40, 40], fewer=30, more=3, cores=1),
        case([1300] + [1] * 30, width=100, cores=1),
        case([50, 20], width=500, profile=narrow),
        case([4] * 16, cores=4),
        case([3] * 21, cores=5),
        case([1, 7, 2, 2, 1, 1, 6, 4, 8], cores=8),
        case([64], cores=1),  # one batch
        case([2], more=3000, cores=1),
        case([1] * 200, width=3, cores=1),
        case([1] * 1300, width=1, cores=1),
        *(case([n], parallel=(3, 1, 4), among=[4, 8, 0, 50, 16], cores=1) for n in range(40, 45)),  # the last one's rank
        case([40], parallel=(4, 0, 4), among=[12], cores=1),  # two ranks and more away
        # Products with the rounded reciprocal below and above the quotient.
        case([41], block=41, among=[82, 41, 164, 328], cores=1),
        case([41], block=41, among=[40, 41, 0], cores=1),
        case([30, 50], block=1008, width=8732, among=[8794799, 8795807, 8796815], cores=1),
        case([30, 50], block=1008, width=8732, among=[8794799, 8794800, 1007], cores=1, kinds=(3, 3)),
        case([6, 30], beyond=20, cores=2),
        *(case([n], cores=1, illegal={n - 1: position}) for n in (5, 40) for position in (-1, 9 * 16)),
        case([5, 40, 3], start=-3, circular=True, cores=2),
        case([1300], block=112, start=-40, circular=True, cores=1, width=1, kinds=(3, 3)),
        case([7, 41], among=[2**24 - 1, 0, -1, 15, 16], circular=True, cores=1),
        case([3, 41], among=[-(2**31), -(2**30) - 1, -1, 5], circular=True, cores=1, kinds=(3, 9)),
        case([40], among=[-(2**62), -(2**31) - 1, 5], circular=True, cores=1),
        *(case([n], cores=1, illegal={n - 1: 2**24}, circular=True) for n in (5, 40)),
        *(
            _tight(plans, lambda profile, values=values: case(**values, profile=profile))  # type: ignore[misc]
            for values in (
                {"lengths": [1] * 31, "cores": 1},
                {"lengths": [140, 9], "cores": 1},
                {"lengths": [1100], "cores": 1, "width": 70},
            )
        ),
    ]


def latent_cases(plans: Plans) -> list[Case]:
    """Of kv_rmsnorm_rope_cache."""

    def case(
        kind: str,
        sequences: int = 2,
        seq: int = 5,
        n: int = 64,
        r: int = 32,
        layout: int = 0,
        index_kind: int = 0,
        narrow: int = 0,
        offsets: bool = False,
        outputs: bool = False,
        gap: int = 0,
        blocks: int = 6,
        block: int = 4,
        cores: int = 2,
        epsilon: float = 1e-5,
        profile: str = "ascend910b3",
    ) -> Case:
        random = np.random.default_rng(14)
        tokens, pages = sequences * seq, -(-seq // block)
        stride = n + r + gap
        kv = rounded(random.standard_normal((tokens - 1) * stride + n + r) * 3, kind)
        gamma, cos, sin = (rounded(random.standard_normal(shape), kind) for shape in (n, (tokens, r), (tokens, r)))
        if index_kind == 1:
            index = (random.permutation(blocks - 1) + 1)[: sequences * pages] * block
        elif index_kind == 2:
            index = np.arange(tokens) % seq * 3 % block
        else:
            index = random.permutation(blocks * block)[:tokens]
        index = index.astype(np.int64)
        if len(index) > 3:
            index[2] = -1
            index[1] = (blocks * block, -1, block)[index_kind]
            if index_kind == 2:
                index[-1] = -1
            if index_kind == 1:
                index[0] = 0
        slots = np.empty(tokens, np.int64)
        for t in range(tokens):
            b, j = divmod(t, seq)
            if index_kind == 1:
                first = index[b * pages + j // block]
                slots[t] = -1 if first < 0 else first + j % block
            elif index_kind == 2:
                slots[t] = -1 if not 0 <= index[t] < block else b * block + index[t]
            else:
                slots[t] = index[t] if index[t] < blocks * block else -1
        x = exact(kv, kind)[np.arange(tokens)[:, None] * stride + np.arange(n + r)]
        u = 2.0**-24
        head = x[:, :n]
        norm = head / np.sqrt((head * head).mean(-1, keepdims=True) + np.float32(epsilon)) * exact(gamma, kind)
        a, b_ = x[:, n::2], x[:, n + 1 :: 2]
        c, s = exact(cos, kind) * np.concatenate([a, b_], 1), exact(sin, kind) * np.concatenate([-b_, a], 1)
        parts = []
        for bit, size, want, error in ((1, r, c + s, 2 * u * (abs(c) + abs(s))), (2, n, norm, 30 * u * abs(norm))):
            quantised = bool(narrow & bit)
            element = 1 if quantised else 4 if kind == "float" else 2
            cache = np.zeros((blocks, block * size), np.int8 if quantised else kv.dtype)
            scale = np.abs(random.standard_normal(size)).astype(np.float32) * 20 if quantised else None
            offset = random.standard_normal(size).astype(np.float32) * 9 if quantised and offsets else None
            output = np.zeros((tokens, size), kv.dtype) if outputs else None
            places = _slots(layout, block, 1, size, element)[:, ::element] // element
            parts.append((size, want, error, quantised, cache, scale, offset, output, places))
        numbers = integers(sequences, seq, n, r, stride, blocks, block, layout, index_kind, narrow, int(offsets), int(outputs), len(index))
        tiling, used = plans.ask("plan_kv_rmsnorm_rope_cache", profile, cores, TYPES[kind][1], numbers, ctypes.c_double(epsilon))

        def check() -> str:
            for _, want, error, quantised, cache, scale, offset, output, places in parts:
                rest = cache.copy()
                for t, slot in enumerate(slots):
                    if slot < 0:
                        continue
                    at = (slot // block, places[slot % block])
                    rest[at] = 0
                    if quantised:
                        assert scale is not None
                        target = want[t] * scale + (0 if offset is None else offset)
                        bound = 0.5 + error[t] * scale + u * (abs(want[t] * scale) + abs(target))
                        if text := within(cache[at].astype(float), np.clip(target, -128, 127), bound, "int8"):
                            return text
                    else:
                        got = exact(cache, kind)[at]
                        if text := within(got, want[t], error[t] + 0.5 * last_place(abs(want[t]) + error[t], kind), "cached"):
                            return text
                if rest.any():
                    return "written beyond the slots"
                if output is not None:
                    got = exact(output, kind)
                    if text := within(got, want, error + 0.5 * last_place(abs(want) + error, kind), "output"):
                        return text
            return ""

        name = (
            f"{kind} {sequences}x{seq} {n}+{r} layout{layout} index{index_kind} int8 {narrow} {offsets} out {outputs} gap {gap} cores{used}"
        )
        # Both caches, both scales, both offsets, both outputs.
        pairs = [part[i] for i in (4, 5, 6, 7) for part in parts]
        arguments = [kv, gamma, cos, sin, index, *pairs, tiling]
        return Case(name, f"kv_rmsnorm_rope_cache_{kind}", used, arguments, check, profile)

    out = []
    tight = plans.profile("ascend910b3", 8192 + 24 * 1024)
    for kind in TYPES:
        out += [
            case(kind, outputs=True),
            case(kind, sequences=1, seq=1, cores=1),
            case(kind, sequences=1, seq=37, blocks=12, cores=1, gap=16, n=160, outputs=True),
            case(kind, seq=9, blocks=9, index_kind=1, cores=3),
            case(kind, seq=10, blocks=9, index_kind=1, layout=2, narrow=3, cores=1, outputs=True),
            case(kind, sequences=3, seq=4, index_kind=2, block=8, narrow=1, offsets=True, r=64, n=128),
            case(kind, layout=2, narrow=2, offsets=True, gap=32, r=128, cores=4),
            case(kind, sequences=1, seq=40, blocks=11, cores=1, profile=tight, layout=2, n=192, r=32, epsilon=1e-5),
            case(kind, sequences=2, seq=9, blocks=5, cores=1, narrow=3, n=512, r=64),
            case(kind, sequences=1, seq=530, blocks=140, cores=1, n=32, r=32, index_kind=1),
            case(kind, seq=6, n=96, narrow=2, offsets=True, cores=1),
            case(kind, sequences=3, seq=8, blocks=9, index_kind=1, cores=2, epsilon=8.0),
            case(kind, sequences=1, seq=3, n=1984, r=32, narrow=3, offsets=True, outputs=True),
            # Few rows, with and without a rest of a repeat; scales with gamma in them; one row more than eight; a row that takes almost as
            # much room as what is rotated.
            case(kind, sequences=1, seq=1, cores=1, n=160, outputs=True),
            case(kind, sequences=1, seq=2, cores=1, n=416, r=32, narrow=2, offsets=True, outputs=True),
            case(kind, sequences=1, seq=1, cores=1, n=512, r=64, narrow=3),
            case(kind, sequences=1, seq=9, cores=1, n=1024, r=32, blocks=9, narrow=2, offsets=True),
            case(kind, sequences=1, seq=2, cores=1, n=1248, r=32),
        ]
        out += [
            _tight(plans, lambda profile, kind=kind, values=values: case(kind, **values, profile=profile))  # type: ignore[misc]
            for values in (
                {"sequences": 1, "seq": 16, "cores": 1, "narrow": 3, "offsets": True, "outputs": True},
                {"sequences": 1, "seq": 9, "cores": 1, "n": 1984, "r": 32},
            )
        ]
    return out


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
    spread: float = 1,  # 0: all logits are equal; more: scores far below 1
    best_is_last: bool = False,  # of groups whose first experts are equal
    rising: float = 0,  # how much the logits of a row are above those of the one before
    nan: int = -1,  # a row of NaN, of which nothing is asked
    bias_step: float = 4.0,
    cores: int = 2,
    scale: float = 2.5,
    eps: float = 0.25,
    profile: str = "ascend910b3",
) -> Case:
    random = np.random.default_rng(41)
    # Logits at least 1 / 16 apart, but for ties: in no type does a decision hang on roundings.
    grid = np.stack([random.permutation(experts) for _ in range(rows)]) - experts // 2
    grid = (grid // 4 if ties else grid) * (spread * 8 / max(experts, 64))
    if best_is_last:
        by_group = grid.reshape(rows, groups, -1)
        by_group[:, :, :1], by_group[:, :, 1:], by_group[:, -1, 1:] = 2, -1, 1
    if peaks:
        for row in range(rows):
            grid[row, [experts - 1, min(63, experts - 1), 0][row % 3]] = 120
    logits = rounded(grid + rising * np.arange(rows)[:, None], kind)
    if nan >= 0:
        logits[nan] = rounded(np.full(experts, np.nan), kind)
    asked = np.arange(rows) != nan
    b = rounded(random.integers(-3, 3, experts) * bias_step, kind) if bias else None
    numbers = integers(rows, experts, k, bias, extras, extras, extras, kept, groups, mode, renorm, norm)
    scales = (ctypes.c_double * 2)(scale, eps)
    tiling, used = plans.ask("plan_moe_gating_top_k", profile, cores, TYPES[kind][1], numbers, scales)
    s = _scores(exact(logits, kind), norm)
    s[s < 2.0**-149] = 0  # as floats
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
            same(found[asked], want[asked], "experts")
            or within(exact(y, kind)[asked], weights[asked], bound[asked], "weights")
            or (extras and same(row_idx, np.arange(rows * k, dtype=np.int32).reshape(k, rows).T.copy(), "row_idx"))
            or (extras and within(norm_out[asked], s[asked], 2.0**-18 * s[asked], "scores"))
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
        # Tiles that end with an expert of a row, not with padding.
        {"rows": 5, "experts": 64, "k": 64, "norm": 2, "extras": 1, "cores": 1},
        {"rows": 3, "experts": 128, "k": 128, "norm": 1, "extras": 1, "cores": 1},
        {"rows": 2, "experts": 128, "k": 96, "norm": 0, "extras": 1, "cores": 1, "groups": 4, "kept": 3},
        {"rows": 13, "experts": 17, "k": 17, "norm": 2, "extras": 1, "bias": 1, "cores": 1},
        # Buffers that rows fill to the last byte.
        {"rows": 32, "experts": 32, "k": 8, "renorm": 1, "extras": 1, "cores": 1},
        {"rows": 8, "experts": 96, "k": 5, "groups": 3, "kept": 2, "cores": 1},
        {"rows": 9, "experts": 64, "k": 5, "groups": 2, "kept": 1, "cores": 1},
        # The last group of the last row ties with the last that is kept, and has the better experts.
        {"rows": 2, "experts": 96, "k": 11, "groups": 32, "kept": 7, "spread": 0, "cores": 1},
        {"rows": 2, "experts": 96, "k": 11, "groups": 32, "kept": 7, "best_is_last": True, "cores": 1},
        # Scores that 1 more would make equal, or padding would be.
        {"rows": 3, "experts": 100, "k": 70, "spread": 5, "kind": "float", "cores": 1},
        {"rows": 3, "experts": 64, "k": 20, "groups": 8, "kept": 3, "spread": 5, "kind": "float", "cores": 1},
        {"rows": 3, "experts": 96, "k": 80, "groups": 2, "kept": 2, "peaks": True, "cores": 1},
        # Of such logits, exp(-|x|) is lost beside 1.
        {"rows": 4, "experts": 64, "k": 64, "norm": 2, "peaks": True, "extras": 1, "cores": 1},
        {"rows": 40, "experts": 100, "k": 9, "norm": 2, "extras": 1, "cores": 1, "profile": small},
        # Rows of 2048 places, more than a repeat can step over.
        {"rows": 3, "experts": 2040, "k": 8, "cores": 1, "bias": 1},
        # Groups of several lists, with more records kept than a list has.
        {"rows": 2, "experts": 256, "k": 40, "groups": 2, "kept": 1, "cores": 1},
        {"rows": 2, "experts": 320, "k": 40, "groups": 2, "kept": 1, "mode": 1, "cores": 1},
        {"rows": 3, "experts": 128, "k": 100, "kind": "half", "cores": 1},
        # Kept groups whose lists are cut to 40 records, at 64.
        {"rows": 3, "experts": 512, "k": 40, "groups": 8, "kept": 4, "mode": 1, "cores": 1},
        # Eight groups and some, and twice eight that are merged where they were gathered.
        {"rows": 3, "experts": 120, "k": 9, "groups": 12, "kept": 5, "mode": 1, "cores": 1},
        {"rows": 2, "experts": 512, "k": 6, "groups": 16, "kept": 4, "mode": 1, "ties": True, "cores": 1},
        {"rows": 2, "experts": 160, "k": 5, "groups": 16, "kept": 15, "spread": 0, "cores": 1},
        # Rows between which a gap is not that of smaller blocks.
        {"rows": 3, "experts": 1001, "k": 3, "kind": "float", "cores": 1},
        # Scores that are 0, as those of padding would be.
        {"rows": 3, "experts": 36, "k": 24, "groups": 3, "kept": 2, "spread": 352, "extras": 1, "kind": "float", "cores": 1},
        # The largest of another row would not do.
        {"rows": 9, "experts": 8, "k": 3, "rising": 150, "kind": "float", "cores": 1},
        {"rows": 9, "experts": 96, "k": 3, "rising": 150, "kind": "float", "cores": 1},
        # Denominators decide beside a bias.
        {"rows": 3, "experts": 64, "k": 64, "bias": 1, "bias_step": 0.5, "kind": "float"},
        # The last tile is smaller than the others.
        {"rows": 301, "experts": 32, "k": 1, "cores": 1},
        {"rows": 12, "experts": 64, "k": 6, "groups": 8, "kept": 3, "mode": 1, "nan": 10, "cores": 1},
        {"rows": 1, "experts": 512, "k": 40, "groups": 8, "kept": 2, "bias": 1, "nan": 0, "cores": 1},
    ]
    for i, values in enumerate(given):
        kinds = [values.pop("kind")] if "kind" in values else list(TYPES) if i < 3 else [list(TYPES)[i % 3]]
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
    even: bool = False,  # every expert has pairs
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
        idx.ravel()[-1] = 1 << 20 if k % 2 else -1
    if even:
        idx.ravel()[:] = random.permutation(np.arange(pairs) % experts)
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
        {"tokens": 9, "k": 2, "experts": 4, "capacity": 901, "hidden": 3, "scale": 1},
        {"tokens": 9, "k": 2, "experts": 4, "capacity": 9, "hidden": 3},
        {"tokens": 30, "k": 3, "experts": 5, "capacity": 25, "counts": -1, "hidden": 700},
        # Whole repeats of pairs, and of experts with the number behind them.
        {"tokens": 64, "k": 4, "experts": 9, "first": 1, "number": 7, "strange": True},
        {"tokens": 32, "k": 2, "experts": 31, "order": 1},
        {"tokens": 700, "k": 4, "experts": 33, "first": 1, "number": 31, "order": 1, "cores": 2, "strange": True},
        # A core's pairs are one chunk.
        {"tokens": 512, "k": 4, "experts": 9, "cores": 2},
        # All experts of more than a chunk have pairs; the last ones have none; those behind the first 1024 have none.
        {"tokens": 360, "k": 3, "experts": 600, "counts": 2, "hidden": 4, "even": True},
        {"tokens": 9, "k": 3, "experts": 5, "number": 8, "counts": 2},
        {"tokens": 9, "k": 3, "experts": 5, "number": 1500, "counts": 2, "hidden": 4},
        # Rows stay free where cores share the pairs.
        {"tokens": 620, "k": 4, "experts": 9, "capacity": 300, "cores": 2},
        {"tokens": 360, "k": 3, "experts": 1100, "capacity": 2, "hidden": 4},
        {"tokens": 360, "k": 3, "experts": 2100, "capacity": 40, "hidden": 4, "cores": 2},
        {"tokens": 1100, "k": 3, "experts": 1100, "hidden": 4},
        {"tokens": 700, "k": 4, "experts": 33, "first": 2, "number": 5, "order": 1, "cores": 2},
        {"tokens": 1, "k": 3, "experts": 2, "by_rows": 2, "counts": -1},
        # Nobody asks for counts; the order needs them all the same.
        {"tokens": 40, "k": 3, "experts": 9, "counts": -1, "hidden": 700, "strange": True},
        {"tokens": 40, "k": 3, "experts": 9, "counts": -1, "order": 1, "strange": True},
        # Scales: a buffer of them, more than one, and cores that share a token.
        {"tokens": 128, "k": 2, "experts": 5, "scale": 1, "cores": 1},
        {"tokens": 200, "k": 2, "experts": 5, "scale": 1, "cores": 1},
        {"tokens": 600, "k": 2, "experts": 5, "scale": 1, "cores": 2},
        {"tokens": 30, "k": 4, "experts": 5, "scale": 1, "hidden": 700, "cores": 7},
        {"tokens": 2, "k": 2, "experts": 3, "hidden": 8192, "kind": "float"},
        # Zeros by cores without pairs.
        {"tokens": 1, "k": 2, "experts": 40, "capacity": 1, "hidden": 2048, "kind": "half", "cores": 40, "counts": 2},
        {"tokens": 0, "k": 3, "experts": 5, "counts": 0},
        {"tokens": 0, "k": 3, "experts": 5, "order": 1},
        {"tokens": 0, "k": 3, "experts": 1100, "counts": 0, "hidden": 4},
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
    out.append(_init_routing(plans, 700, 4, 33, kind="half", quant=1, hidden=40, cores=2, scale=1))
    out.append(_init_routing(plans, 32, 1, 5, kind="float", quant=1, hidden=128, strange=True, cores=1))
    # Columns of one token: on all cores, and beside one that counts.
    for quant in (0, 1):
        out.append(_init_routing(plans, 1, 8, 5, kind="float", quant=quant, hidden=1100))
        out.append(_init_routing(plans, 1, 8, 5, kind="half", quant=quant, hidden=900, strange=True))
    out.append(_init_routing(plans, 1, 40, 5, kind="half", quant=0, hidden=4096, cores=40))
    out.append(_init_routing(plans, 1, 2, 40, kind="half", quant=1, hidden=4096, cores=40, capacity=1))
    out.append(_init_routing(plans, 5, 2, 3, kind="half", quant=0, hidden=40, capacity=12))
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
        for values in given[:4]:
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

CASES: dict[str, Callable[[Plans], list[Case]]] = {
    "cc/kernels/cache/copy_blocks.cpp": copy_cases,
    "cc/kernels/cache/gather_cache.cpp": gather_cases,
    "cc/kernels/cache/kv_rmsnorm_rope_cache.cpp": latent_cases,
    "cc/kernels/cache/reshape_and_cache.cpp": cache_cases,
    "cc/kernels/cache/slot_mapping.cpp": slot_cases,
    "cc/kernels/cache/transpose_kv_cache.cpp": transpose_cases,
    "cc/kernels/moe/moe_compute_expert_tokens.cpp": expert_tokens_cases,
    "cc/kernels/moe/moe_finalize_routing.cpp": finalize_cases,
    "cc/kernels/moe/moe_gating_top_k.cpp": gating_cases,
    "cc/kernels/moe/moe_init_routing.cpp": init_routing_cases,
    "cc/kernels/rotary/qkv_rmsnorm_rope.cpp": qkv_cases,
    "cc/kernels/rotary/rotary_embedding.cpp": rotary_cases,
    "tests/benchmarks/kernels/published.cpp": published_cases,
    "tests/benchmarks/kernels/micro.cpp": micro_cases,
    "tests/benchmarks/kernels/softmax_top_k.cpp": softmax_cases,
    "tests/softnpu/api.cpp": api_cases,
}

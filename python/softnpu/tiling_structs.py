"""Tiling structs of host headers, as numpy dtypes and as C++.

A header may define a struct with CANN's macros (BEGIN_TILING_DATA_DEF ...) or as a plain struct. The layout is that of a C++ struct: each
field at a multiple of its size, in the order of the header.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softnpu.entries import Token, _close, _spelled, read_source, tokens

_TYPES: dict[str, Any] = {
    "bool": np.bool_,
    "int": np.int32,
    "unsigned": np.uint32,
    "size_t": np.uint64,
    "float": np.float32,
    "double": np.float64,
    **{f"{sign}int{bits}_t": np.dtype(f"{sign}int{bits}").type for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True)
class Field:
    """A field: the type's name, and the number of elements of an array (0: none)."""

    type: str
    name: str
    count: int = 0


@dataclass(frozen=True)
class Definitions:
    """The structs of a header, by name, and the one that an operator is registered with (the last; empty: none)."""

    structs: dict[str, tuple[Field, ...]]
    registered: str


def _arguments(found: list[Token], at: int) -> tuple[list[str], int]:
    """The arguments of a macro whose name is at `at`, and the index behind them."""
    end = _close(found, at + 1)
    out: list[list[Token]] = [[]]
    depth = 0
    for token in found[at + 2 : end - 1]:
        depth += (token.text in "([{") - (token.text in ")]}")
        if token.text == "," and depth == 0:
            out.append([])
        else:
            out[-1].append(token)
    return [_spelled(words) for words in out], end


def _number(text: str, path: Path) -> int:
    try:
        return int(text.rstrip("uUlL"), 0)
    except ValueError:
        raise ValueError(f"{path}: the number of elements {text!r} is not an integer literal") from None


def _members(found: list[Token], path: Path) -> tuple[Field, ...]:
    """The fields of a plain struct's body; functions are left out."""
    out, words = [], []
    at = 0
    while at < len(found):
        text = found[at].text
        if text == "(":
            at = _close(found, at)
            words = ["("]
            continue
        if text == "{":
            at = _close(found, at)
            if words == ["("]:
                words = []
            continue
        if text == ";":
            if words and words[0] not in ("(", "static", "using", "public"):
                cut = words.index("=") if "=" in words else len(words)
                words = [word for word in words[:cut] if word not in ("const", "std", "::")]
                count = _number(words[words.index("[") + 1], path) if "[" in words else 0
                names = words[: words.index("[")] if "[" in words else words
                out.append(Field(" ".join(names[:-1]), names[-1], count))
            words = []
        else:
            words.append(text)
        at += 1
    return tuple(out)


def definitions(header: str | Path) -> Definitions:
    """The tiling structs that a header defines.

    Raises:
        OSError: the header cannot be read
        ValueError: a field cannot be understood
    """
    path = Path(header)
    found = tokens(read_source(path))
    structs: dict[str, tuple[Field, ...]] = {}
    registered, name = "", ""
    fields: list[Field] = []
    at = 0
    while at < len(found):
        text = found[at].text
        if text.startswith(("BEGIN_TILING_DATA_DEF", "TILING_DATA_FIELD_DEF", "REGISTER_TILING_DATA_CLASS")):
            arguments, at = _arguments(found, at)
            if text == "BEGIN_TILING_DATA_DEF":
                name, fields = arguments[0], []
            elif text == "REGISTER_TILING_DATA_CLASS":
                registered = arguments[1]
            elif text == "TILING_DATA_FIELD_DEF_ARR":
                fields.append(Field(arguments[0], arguments[2], _number(arguments[1], path)))
            else:
                fields.append(Field(arguments[0], arguments[1]))
            continue
        if text == "END_TILING_DATA_DEF":
            structs[name] = tuple(fields)
        elif text == "struct" and at + 2 < len(found) and found[at + 2].text == "{":
            end = _close(found, at + 2)
            structs[found[at + 1].text] = _members(found[at + 3 : end - 1], path)
            at = end
            continue
        at += 1
    return Definitions(structs, registered)


def _dtype(name: str, known: Definitions, path: Path, inside: tuple[str, ...] = ()) -> np.dtype:
    plain = name.removeprefix("optiling::")
    if plain in _TYPES:
        return np.dtype(_TYPES[plain])
    if plain in inside or plain not in known.structs:
        raise ValueError(f"{path} defines no tiling struct {plain!r}; it has {', '.join(known.structs) or 'none'}")
    parts: list[tuple] = []
    for field in known.structs[plain]:
        kind = _dtype(field.type, known, path, (*inside, plain))
        parts.append((field.name, kind, (field.count,)) if field.count else (field.name, kind))
    return np.dtype(parts, align=True)


def tiling(header: str | Path, name: str = "") -> np.dtype:
    """The numpy dtype of a tiling struct, with its layout in the kernel.

    Args:
        header: a host header with BEGIN_TILING_DATA_DEF or plain structs
        name: the struct; default: the one of REGISTER_TILING_DATA_CLASS
    Raises:
        ValueError: there is no such struct, or a field's type is unknown
    """
    known = definitions(header)
    return _dtype(name or known.registered, known, Path(header))


def cpp(header: str | Path) -> str:
    """The structs of a header as C++ for a kernel; GET_TILING_DATA without a struct takes the registered one."""
    known = definitions(header)
    out = ["// Generated by SoftNPU.", "#pragma once", "#include <stdint.h>", '#include "kernel_tiling/kernel_tiling.h"']
    for name, fields in known.structs.items():
        members = "".join(f"  {field.type} {field.name}{f'[{field.count}]' if field.count else ''};\n" for field in fields)
        out.append(f"struct {name} {{\n{members}}};")
    if known.registered:
        out.append(f"using SoftnpuTilingDefault = {known.registered};")
    return "\n".join(out) + "\n"

"""Tiling structs of host headers, as numpy dtypes and as C++.

A header may define a struct with CANN's macros (BEGIN_TILING_DATA_DEF ...) or as a plain struct; headers beside it that it includes are
read, too. The layout is that of a C++ struct: each field at a multiple of its size, in the order of the header. A field may be a struct of
CANN's library (TCubeTiling, SoftMaxTiling ...).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from functools import cache
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

_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+([^\n\\]+)$", re.M)
_CONSTANT = re.compile(r"\bconst(?:expr)?\s+(?:static\s+)?(?:const\s+)?(?:std::)?\w+\s+(\w+)\s*(?:=\s*([^;{}]+)|\{\s*([^;{}]+)\})\s*;")
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)


@dataclass(frozen=True)
class Field:
    """A field: the type's name, and the number of elements of an array (0: none)."""

    type: str
    name: str
    count: int = 0


@dataclass(frozen=True)
class Definitions:
    """The structs of a header, by name.

    Attributes:
        registered: the one that an operator is registered with: the last without a tiling key, else the last; empty: none
        plain: those that are no macros; hosts have some for themselves
        included: those of headers that the header includes
        operators: what structs are registered for
        alignments: what alignas says of structs
    """

    structs: dict[str, tuple[Field, ...]]
    registered: str
    plain: frozenset[str] = frozenset()
    included: frozenset[str] = frozenset()
    operators: tuple[str, ...] = ()
    alignments: Mapping[str, int] = member(default_factory=dict)


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


def _value(expression: str, constants: dict[str, str], inside: tuple[str, ...] = ()) -> int:
    """The value of an integer expression of literals and named constants.

    Raises:
        ValueError: it is no such expression
    """

    def of(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name) if name in constants and name not in inside:
                return _value(constants[name], constants, (*inside, name))
            case ast.Attribute(attr=name) if name in constants and name not in inside:
                return _value(constants[name], constants, (*inside, name))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return of(left) + of(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return of(left) - of(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return of(left) * of(right)
            case ast.BinOp(left=left, op=ast.Div(), right=right) if of(right):
                return of(left) // of(right)
            case ast.BinOp(left=left, op=ast.LShift(), right=right):
                return of(left) << of(right)
        raise ValueError(expression)

    plain = re.sub(r"(\d)(?:[uU][lL]{0,2}|[lL]{1,2}[uU]?)\b", r"\1", expression.replace("::", "."))
    try:
        return of(ast.parse(plain.strip(), mode="eval").body)
    except SyntaxError:
        raise ValueError(expression) from None


def _number(text: str, constants: dict[str, str], path: Path) -> int:
    try:
        return _value(text, constants)
    except ValueError:
        raise ValueError(f"{path}: the number of elements {text!r} is not an integer literal or a constant") from None


def _members(found: list[Token], constants: dict[str, str], path: Path) -> tuple[Field, ...]:
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
            if words and words[0] not in ("(", "static", "using", "public", "enum", "friend", "virtual", "explicit"):
                cut = words.index("=") if "=" in words else len(words)
                words = [word for word in words[:cut] if word not in ("const", "std", "::")]
                inside = words[words.index("[") + 1 : words.index("]")] if "[" in words else []
                count = _number("".join(inside), constants, path) if inside else 0
                names = words[: words.index("[")] if "[" in words else words
                out.append(Field(" ".join(names[:-1]), names[-1], count))
            words = []
        else:
            words.append(text)
        at += 1
    return tuple(out)


def definitions(header: str | Path) -> Definitions:
    """The tiling structs that a header defines, and the headers beside it that it includes.

    Raises:
        OSError: the header cannot be read
        ValueError: a field cannot be understood
    """
    structs: dict[str, tuple[Field, ...]] = {}
    plain: set[str] = set()
    included: set[str] = set()
    registered: dict[str, str] = {}
    alignments: dict[str, int] = {}
    texts = _texts(Path(header))
    constants: dict[str, str] = {}
    for text in texts.values():
        bare = _COMMENT.sub(" ", text)
        constants |= {name: value.strip() for name, value in _DEFINE.findall(bare)}
        constants |= {name: value or braced for name, value, braced in _CONSTANT.findall(bare)}
    for path, text in texts.items():
        # Beside structs of macros, a plain one may be the host's own.
        itself = path == Path(header)
        lenient = not itself or "BEGIN_TILING_DATA_DEF" in text
        _read(tokens(text), constants, path, structs, plain, registered, alignments, lenient)
        if not itself:
            included |= structs.keys()
    keyless = [struct for operator, struct in registered.items() if not re.search(r"_\d+$", operator)]
    last = (keyless or list(registered.values()) or [""])[-1]
    return Definitions(structs, last, frozenset(plain), frozenset(included), tuple(registered), alignments)


def _texts(header: Path) -> dict[Path, str]:
    """A header behind those beside it that it includes."""
    out: dict[Path, str] = {}

    def visit(path: Path, inside: tuple[Path, ...]) -> None:
        text = read_source(path)
        for name in _INCLUDE.findall(text):
            other = path.parent / name
            resolved = other.resolve()
            if other.is_file() and resolved not in inside and resolved not in {known.resolve() for known in out}:
                visit(other, (*inside, resolved))
        out[path] = text

    visit(header, (header.resolve(),))
    return out


def _read(
    found: list[Token],
    constants: dict[str, str],
    path: Path,
    structs: dict[str, tuple[Field, ...]],
    plain: set[str],
    registered: dict[str, str],
    alignments: dict[str, int],
    lenient: bool,
) -> None:
    """Adds the structs of a header's tokens; `lenient` leaves out plain ones that cannot be understood."""
    name = ""
    fields: list[Field] = []
    at = 0
    while at < len(found):
        text = found[at].text
        if text.startswith(("BEGIN_TILING_DATA_DEF", "TILING_DATA_FIELD_DEF", "REGISTER_TILING_DATA_CLASS")):
            arguments, at = _arguments(found, at)
            if text == "BEGIN_TILING_DATA_DEF":
                name, fields = arguments[0], []
            elif text == "REGISTER_TILING_DATA_CLASS":
                registered[arguments[0]] = arguments[1]
            elif text == "TILING_DATA_FIELD_DEF_ARR":
                fields.append(Field(arguments[0], arguments[2], _number(arguments[1], constants, path)))
            else:
                fields.append(Field(arguments[0], arguments[1]))
            continue
        if text == "END_TILING_DATA_DEF":
            structs[name] = tuple(fields)
        elif text == "struct":
            after, alignment = _attributes(found, at + 1, constants, path)
            if after + 1 < len(found) and found[after + 1].text == "{":
                end = _close(found, after + 1)
                struct = found[after].text
                try:
                    structs[struct] = _members(found[after + 2 : end - 1], constants, path)
                    plain.add(struct)
                    if alignment:
                        alignments[struct] = alignment
                except ValueError:
                    if not lenient:
                        raise
                at = end
                continue
        at += 1


def _attributes(found: list[Token], at: int, constants: dict[str, str], path: Path) -> tuple[int, int]:
    """The index behind the attributes that begin at `at`, and what alignas says (0: nothing)."""
    alignment = 0
    while found[at].text in ("alignas", "__attribute__", "["):
        bracket = at if found[at].text == "[" else at + 1
        end = _close(found, bracket)
        if found[at].text == "alignas":
            alignment = _number(_spelled(found[bracket + 1 : end - 1]), constants, path)
        at = end
    return at, alignment


@cache
def _library() -> Definitions:
    """The structs of CANN's library, as SoftNPU's headers have them."""
    return definitions(Path(__file__).parent / "include/ascendc/tilings.h")


def _plain(kind: str) -> str:
    """The name of a type without the namespaces of tilings."""
    return re.sub(r"^(?:::)?(?:optiling|AscendC::tiling|tiling|AscendC)::", "", kind)


def _dtype(name: str, known: Definitions, path: Path, inside: tuple[str, ...] = ()) -> np.dtype:
    plain = _plain(name)
    if plain in _TYPES:
        return np.dtype(_TYPES[plain])
    if plain not in known.structs and plain in _library().structs:
        known = _library()
    if plain in inside or plain not in known.structs:
        raise ValueError(f"{path} defines no tiling struct {plain!r}; it has {', '.join(known.structs) or 'none'}")
    parts: list[tuple] = []
    for field in known.structs[plain]:
        kind = _dtype(field.type, known, path, (*inside, plain))
        parts.append((field.name, kind, (field.count,)) if field.count else (field.name, kind))
    return _aligned(np.dtype(parts, align=True), known.alignments.get(plain, 1))


def _aligned(kind: np.dtype, alignment: int) -> np.dtype:
    """A struct whose size is a multiple of `alignment`, too."""
    size = -(-kind.itemsize // alignment) * alignment
    if size == kind.itemsize or kind.fields is None or kind.names is None:
        return kind
    places = [kind.fields[name] for name in kind.names]
    return np.dtype(
        {"names": kind.names, "formats": [place[0] for place in places], "offsets": [place[1] for place in places], "itemsize": size}
    )


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


def _known(kind: str, known: dict[str, tuple[Field, ...]], inside: tuple[str, ...] = ()) -> bool:
    """Whether a kernel can have a type: a number, a struct of the library, or a struct of such fields."""
    plain = _plain(kind)
    if plain in _TYPES or plain in _library().structs:
        return True
    fields = known.get(plain)
    return fields is not None and plain not in inside and all(_known(field.type, known, (*inside, plain)) for field in fields)


def cpp(headers: str | Path | Sequence[str | Path]) -> str:
    """The structs of headers as C++ for a kernel; GET_TILING_DATA without a struct takes the registered one of the first header.

    Plain structs with fields that no kernel has (strings, shapes of the host ...) are left out, and of headers that a header includes all
    structs that no other one has as a field.
    """
    paths = [headers] if isinstance(headers, str | Path) else list(headers)
    found = [definitions(path) for path in paths]
    structs = {name: fields for known in reversed(found) for name, fields in known.structs.items()}
    plain = frozenset().union(*(known.plain for known in found))
    included = frozenset().union(*(known.included for known in found)) - {
        name for known in found for name in known.structs.keys() - known.included
    }
    out = ["// Generated by SoftNPU.", "#pragma once", "#include <stdint.h>", '#include "kernel_tiling/kernel_tiling.h"']
    written: set[str] = set()

    def write(name: str) -> None:
        if name in written or name not in structs:
            return
        written.add(name)
        for field in structs[name]:
            write(_plain(field.type))
        members = "".join(f"  {_plain(field.type)} {field.name}{f'[{field.count}]' if field.count else ''};\n" for field in structs[name])
        alignment = next((known.alignments[name] for known in found if name in known.alignments), 0)
        out.append(f"struct {f'alignas({alignment}) ' if alignment else ''}{name} {{\n{members}}};")

    for name in structs:
        if name not in included and (name not in plain or _known(name, structs)):
            write(name)
    if found[0].registered:
        out.append(f"using SoftnpuTilingDefault = {found[0].registered};")
    return "\n".join(out) + "\n"

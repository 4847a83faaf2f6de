"""Arguments of kernels, as softnpu.toml says them: the file, its check, and the arguments that come of it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CASES = "softnpu.toml"
# The cases of files, by the file and the kernel's name.
Files = Mapping[Path, Mapping[str, dict[str, Any]]]

_MOST_BLOCKS = 65535
_MOST_BYTES = 1 << 40
# What an argument says first, and what it may say besides.
_KINDS: dict[str, tuple[str, ...]] = {
    "array": ("shape", "fill"),
    "output": ("shape", "fill"),
    "zeros": (),
    "workspace": (),
    "tiling": ("header", "struct"),
    "value": ("header", "struct"),
    "null": (),
}
_SCALARS = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float16", "float32", "float64")


def read(sources: Iterable[Path]) -> Files:
    """The cases in each softnpu.toml in the folders of sources and above.

    Raises:
        ValueError: a file is not understood
        OSError: a file cannot be read
    """
    folders = dict.fromkeys(folder for source in sources for folder in source.absolute().parents)
    return {file: _read(file) for folder in folders if (file := folder / CASES).is_file()}


def find(files: Files, source: Path, kernel: str) -> tuple[dict[str, Any] | None, Path | None]:
    """The case of a kernel in the nearest file that has one, and that file."""
    for folder in source.absolute().parents:
        if kernel in files.get(folder / CASES, {}):
            return files[folder / CASES][kernel], folder / CASES
    return None, None


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error}") from None
    try:
        _keys("the file", said, ("kernels",))
        kernels = _table("kernels", said.get("kernels", {}))
        for name, case in kernels.items():
            _check_case(f"kernels.{name}", _table(f"kernels.{name}", case))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return kernels


def _table(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place} is {value!r}, it has to be a table")
    return value


def _keys(place: str, table: dict[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"{place} has the unknown key {key!r}; there are {', '.join(known)}")


def _integer(place: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{place} is {value!r}, it has to be an integer from {least} to {most}")


def _check_case(place: str, case: dict[str, Any]) -> None:
    _keys(place, case, ("blocks", "tiling_key", "arguments"))
    if "blocks" in case:
        _integer(f"{place}.blocks", case["blocks"], 1, _MOST_BLOCKS)
    if "tiling_key" in case:
        _integer(f"{place}.tiling_key", case["tiling_key"], 0, 2**64 - 1)
    arguments = case.get("arguments", [])
    if not isinstance(arguments, list):
        raise ValueError(f"{place}.arguments is {arguments!r}, it has to be a list of tables")
    for at, given in enumerate(arguments):
        _check_argument(f"{place}.arguments[{at}]", _table(f"{place}.arguments[{at}]", given))


def _check_argument(place: str, given: dict[str, Any]) -> None:
    kinds = [key for key in given if key in _KINDS or key in _SCALARS]
    if len(kinds) != 1:
        raise ValueError(f"{place} is {given!r}; it has to say one of {', '.join((*_KINDS, *_SCALARS))}")
    kind = kinds[0]
    _keys(place, given, (kind, *_KINDS.get(kind, ())))
    value = given[kind]
    if kind in _SCALARS:
        _number(f"{place}.{kind}", kind, value)
    elif kind in ("zeros", "workspace"):
        _integer(f"{place}.{kind}", value, 0, _MOST_BYTES)
    elif kind in ("array", "output"):
        _check_array(place, kind, given)
    elif kind == "null":
        if value is not True:
            raise ValueError(f"{place}.null is {value!r}, it has to be true")
    else:
        _table(f"{place}.{kind}", value)
        for key in set(given) - {kind}:
            if not isinstance(given[key], str):
                raise ValueError(f"{place}.{key} is {given[key]!r}, it has to be a string")


def _check_array(place: str, kind: str, given: dict[str, Any]) -> None:
    if given[kind] not in _SCALARS:
        raise ValueError(f"{place}.{kind} is {given[kind]!r}; there are {', '.join(_SCALARS)}")
    shape, fill = given.get("shape", []), given.get("fill", 0)
    if not isinstance(shape, list):
        raise ValueError(f"{place}.shape is {shape!r}, it has to be a list of integers")
    for size in shape:
        _integer(f"{place}.shape: a size", size, 0, _MOST_BYTES)
    if isinstance(fill, str):
        if fill not in ("random", "range"):
            raise ValueError(f"{place}.fill is {fill!r}; there are 'random', 'range' and numbers")
    else:
        _number(f"{place}.fill", given[kind], fill)


def _number(place: str, kind: str, value: Any) -> None:
    """Whether a value is one of a dtype."""
    dtype = np.dtype(kind)
    if not isinstance(value, bool | int | float):
        raise ValueError(f"{place} is {value!r}, it has to be a number")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            if math.isfinite(value) and not np.isfinite(np.float64(value).astype(dtype)):
                raise ValueError(f"{place} is {value!r}, the largest {kind} is {np.finfo(dtype).max}")
    elif dtype.kind == "b":
        if value not in (0, 1):
            raise ValueError(f"{place} is {value!r}, it has to be true or false")
    else:
        limits = np.iinfo(dtype)
        if not math.isfinite(value) or value != int(value) or not limits.min <= value <= limits.max:
            raise ValueError(f"{place} is {value!r}, it has to be an integer from {limits.min} to {limits.max}")


def _array(given: dict[str, Any], at: int) -> np.ndarray:
    """The array of an argument that says its dtype, shape and fill; random values are the same each time."""
    dtype, shape, fill = np.dtype(given.get("array", given.get("output"))), given.get("shape", []), given.get("fill", 0)
    random = np.random.default_rng(at)
    if fill == "random" and dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    if fill == "random":
        return random.integers(0, 100, shape).astype(dtype)
    if fill == "range":
        return np.arange(math.prod(shape), dtype=np.int64).astype(dtype).reshape(shape)
    return np.full(shape, fill, dtype)


def _struct(given: dict[str, Any], key: str, at: int, header: Path | None, base: Path) -> np.ndarray:
    """The bytes of a struct, whose fields stand in given[key]."""
    from softnpu import tiling_structs

    named = base / given["header"] if "header" in given else header
    if named is None:
        raise ValueError(f"argument {at}: the {key} needs a header")
    dtype = tiling_structs.tiling(named, given.get("struct", ""))
    value = np.zeros(1, dtype)
    for field, number in given[key].items():
        if field not in (dtype.names or ()):
            raise ValueError(f"argument {at}: the {key} has no field {field!r}; it has {', '.join(dtype.names or ())}")
        place, kind = f"argument {at}: {field} of the {key}", dtype[field].base
        for element in (number if isinstance(number, list) else [number]) if kind.names is None else ():
            _number(place, kind.name, element)
        try:
            value[field] = number
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place} is {number!r}: {error}") from None
    return value.view(np.uint8)


def arguments(case: Sequence[dict[str, Any]], header: Path | None, base: Path) -> list[Any]:
    """numpy's and softnpu's arguments of a case that `read` has accepted, or of a guess.

    Raises:
        ValueError: a struct has no such field, or a field does not take its value
        OSError: a header cannot be read
    """
    from softnpu import kernels

    out: list[Any] = []
    for at, given in enumerate(case):
        if "zeros" in given:
            out.append(np.zeros(given["zeros"], np.uint8))
        elif "array" in given:
            out.append(_array(given, at))
        elif "output" in given:
            out.append(kernels.Output(_array(given, at)))
        elif "workspace" in given:
            out.append(kernels.Workspace(given["workspace"]))
        elif "tiling" in given:
            out.append(_struct(given, "tiling", at, header, base))
        elif "value" in given:
            out.append(_struct(given, "value", at, header, base).tobytes())
        elif "null" in given:
            out.append(None)
        else:
            ((kind, number),) = given.items()
            out.append(np.dtype(kind).type(number))
    return out

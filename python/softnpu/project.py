"""The kernels of a folder: a project with op_kernel and op_host, or files anywhere in it.

`find` says which sources hold kernels and what each is built with; `build` builds them all, and goes on after one that cannot be built.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from softnpu import twin
from softnpu.entries import DATA_TYPES, Entry, defines_kernels, read_source

OUTPUT = "softnpu-build"
_SUFFIXES = {".cpp", ".cc", ".cxx", ".asc", ".cce"}
_SKIPPED = re.compile(r"\.|__pycache__$|CMakeFiles$|node_modules$|build$|build_out$|cmake-build|bazel-|" + OUTPUT)
_BLOCKS = re.compile(r"\b(?:GetBlockIdx|GetBlockNum|get_block_idx|get_block_num|block_idx|block_num)\b")
_KEY = re.compile(r"\bTILING_KEY_IS\s*\(\s*(\d+)[uUlL]*\s*\)")
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
_INPUT = re.compile(r'\b(?:Input|Output)\s*\(\s*"(\w+)"\s*\)(.*?)(?=\b(?:Input|Output|Attr|AICore|SetInferShape)\s*\(|;)', re.S)
_LIST = re.compile(r"\b(DataType|Format)(?:List)?\s*\(\s*\{([^}]*)\}")
# Functions of CANN's CMake files, which switch --cce-auto-sync on, and what switches it off again.
_CMAKE = re.compile(r"\b(ascendc_library|ascendc_fatbin_library|npu_op_kernel_\w+|add_kernels_compile|add_ops_compile_options)\b")
_CMAKE_OFF = re.compile(r"--cce-auto-sync=off")
_ERROR = re.compile(r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+):(?:(?P<column>\d+):)? (?:fatal )?error: (?P<message>.*)$", re.M)

# Types of operators: what ge::DT_... is in a kernel, and its number.
_TYPES = {f"DT_{name}": known for name, known in DATA_TYPES.items()}
# Of Ascend 950 alone: no header has the types, and what the compiler says of them tells the chip.
_TYPES |= {
    "DT_HIFLOAT8": ("hifloat8_t", 34),
    "DT_FLOAT8_E5M2": ("fp8_e5m2_t", 35),
    "DT_FLOAT8_E4M3FN": ("fp8_e4m3fn_t", 36),
    "DT_FLOAT8_E8M0": ("fp8_e8m0_t", 37),
    "DT_FLOAT4_E2M1": ("fp4x2_e2m1_t", 40),
    "DT_FLOAT4_E1M2": ("fp4x2_e1m2_t", 41),
}
_FORMATS = {"FORMAT_NCHW": 0, "FORMAT_NHWC": 1, "FORMAT_ND": 2, "FORMAT_NC1HWC0": 3, "FORMAT_FRACTAL_NZ": 29}


@dataclass(frozen=True)
class Source:
    """A file with kernels, and what it is built with.

    Attributes:
        blocks_matter: it asks for the number of its block
        keys: the tiling keys that it asks for
        tiling: the host header whose structs the kernels take for given
        more_tiling: other headers of op_host with structs that the kernels name
        types: macros that the compiler of operators sets, from the operator's definition (DTYPE_X, ORIG_DTYPE_X, FORMAT_X)
        auto_sync: CANN's CMake functions would build it with --cce-auto-sync
    """

    path: Path
    blocks_matter: bool = True
    keys: tuple[int, ...] = ()
    tiling: Path | None = None
    types: tuple[str, ...] = ()
    auto_sync: bool = False
    more_tiling: tuple[Path, ...] = ()

    def headers(self) -> tuple[Path, ...] | None:
        """The host headers with the structs of the kernels, for `softnpu.build`."""
        return (self.tiling, *self.more_tiling) if self.tiling else None


@dataclass(frozen=True)
class LeftOut:
    """A file that is no source of kernels, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Built:
    """What came of a source: a twin, or the compiler's first error.

    Attributes:
        message: the first error, or why the source is left out; empty when there is a twin
        other_chip: it is left out, as it is for a chip that SoftNPU is not
        file, line, column: its place; line and column are 0 when it has none
    """

    source: Source
    twin: Path | None
    kernels: tuple[Entry, ...] = ()
    message: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    text: str = field(default="", repr=False)  # all that the compiler said
    other_chip: bool = False

    @property
    def outcome(self) -> str:
        return "built" if self.twin else "left out" if self.other_chip else "not built"


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _SKIPPED.match(name))
        yield from (Path(root) / name for name in sorted(names) if Path(name).suffix in _SUFFIXES)


def included(path: Path) -> list[Path]:
    """A source and the files beside it that it includes, directly or not."""
    out, waiting = [], [path.resolve()]
    while waiting:
        file = waiting.pop()
        if file in out or not file.is_file():
            continue
        out.append(file)
        waiting += [(file.parent / name).resolve() for name in reversed(_INCLUDE.findall(file.read_text(errors="replace")))]
    return out


def _closure(path: Path) -> str:
    return "".join(file.read_text(errors="replace") for file in included(path))


def _operator(path: Path) -> Path | None:
    """The folder of an operator's project that a source in op_kernel belongs to."""
    for folder in path.parents:
        if folder.name == "op_kernel":
            return folder.parent
    return None


def _tiling_of(path: Path, operator: Path, text: str) -> tuple[Path | None, tuple[Path, ...]]:
    """The host header with the structs that a kernel takes for given, if it defines none itself, and more headers with structs it names."""
    if "GET_TILING_DATA" not in text:
        return None, ()
    texts = {header: header.read_text(errors="replace") for header in sorted((operator / "op_host").rglob("*.h"))}
    included = {Path(name).name for name in _INCLUDE.findall(text)}
    structs = {
        header: names
        for header, said in texts.items()
        if (names := re.findall(r"\bBEGIN_TILING_DATA_DEF\s*\(\s*(\w+)", said)) and header.name not in included
    }
    defined = {header for header, names in structs.items() if any(_defines(text, name) for name in names)}
    found = [header for header in structs if header not in defined]
    named = [header for header in found if any(re.search(rf"\b{name}\b", text) for name in structs[header])]
    # The header of the operator: by its name, by what it registers, by the structs in the kernel's text, or the only one.
    operators = {path.stem.replace("_", "").lower()}
    ways = (
        [header for header in structs if header.stem.removesuffix("_tiling") == path.stem],
        [
            header
            for header in structs
            if operators & {name.lower() for name in re.findall(r"REGISTER_TILING_DATA_CLASS\s*\(\s*(\w+)", texts[header])}
        ],
        named,
        found if len(structs) == 1 else [],
    )
    best = next((way[0] for way in ways if way), None)
    if best is None or best in defined:
        return None, ()
    return best, tuple(header for header in named if header != best)


def _defines(text: str, struct: str) -> bool:
    return (
        re.search(
            rf"\bstruct\s+(?:\w+\s*\([^)]*\)\s*)?{struct}\s*(?:final\s*)?[:{{]|\busing\s+{struct}\s*=|\bBEGIN_TILING_DATA_DEF\s*\(\s*{struct}\b",
            text,
        )
        is not None
    )


def _types_of(path: Path, operator: Path, text: str, column: int) -> tuple[str, ...]:
    """The macros of an operator's types, from column `column` of the lists in its definition."""
    if not re.search(r"\b(?:ORIG_)?DTYPE_\w+|\bFORMAT_\w+|\bDT_\w+", text):
        return ()
    found = [file for file in sorted((operator / "op_host").rglob("*.cpp")) if "OpDef" in file.read_text(errors="replace")]
    best = [file for file in found if file.stem.removesuffix("_def") == path.stem] or (found if len(found) == 1 else [])
    out = []
    for file in best[:1]:
        for name, described in _INPUT.findall(file.read_text(errors="replace")):
            lists = {kind: [word.strip().removeprefix("ge::") for word in words.split(",")] for kind, words in _LIST.findall(described)}
            types, formats = lists.get("DataType", []), lists.get("Format", [])
            kind = types[min(column, len(types) - 1)] if types else ""
            if kind in _TYPES:
                out += [f"DTYPE_{name.upper()}={_TYPES[kind][0]}", f"ORIG_DTYPE_{name.upper()}={kind}"]
            if formats:
                out.append(f"FORMAT_{name.upper()}={formats[min(column, len(formats) - 1)]}")
    numbers = [f"{name}={number}" for name, (_, number) in _TYPES.items()] + [f"{name}={number}" for name, number in _FORMATS.items()]
    return (*dict.fromkeys(out), *numbers)


def _auto_sync(path: Path, top: Path) -> bool:
    """Whether the compiler orders by itself: CANN's CMake functions ask it to, unless they are told not to.

    So it does where no CMakeLists.txt, up to the folder `top`, says how the source is built.
    """
    said = False
    for folder in path.parents:
        file = folder / "CMakeLists.txt"
        text = file.read_text(errors="replace") if file.is_file() else ""
        if _CMAKE_OFF.search(text):
            return False
        if _CMAKE.search(text):
            return True
        said = said or file.is_file()
        if folder == top:
            break
    return not said or _operator(path) is not None


def asks_for_auto_sync(path: Path) -> bool:
    """Whether the CMake files around a source, or its operator's project, let the compiler order by itself; False without either."""
    path = path.resolve()
    for folder in path.parents:
        file = folder / "CMakeLists.txt"
        if file.is_file():
            text = file.read_text(errors="replace")
            if _CMAKE_OFF.search(text):
                return False
            if _CMAKE.search(text):
                return True
        if (folder / ".git").exists():
            break
    return _operator(path) is not None


def source_of(path: Path, top: Path | None = None, column: int = 0) -> Source:
    """What a file with kernels is built with.

    Args:
        top: the folder above which no CMakeLists.txt is looked for; None: none is looked for
        column: of the lists of types in the operator's definition
    """
    path = path.resolve()
    operator = _operator(path)
    text = _closure(path)
    tiling, more = _tiling_of(path, operator, text) if operator else (None, ())
    types = _types_of(path, operator, text, column) if operator else ()
    keys = tuple(dict.fromkeys(int(key) for key in _KEY.findall(text)))
    return Source(path, bool(_BLOCKS.search(text)), keys, tiling, types, top is not None and _auto_sync(path, top), more)


def find(folder: Path, column: int = 0) -> tuple[list[Source], list[LeftOut]]:
    """The sources with kernels in a folder, and the other C++ files.

    Args:
        folder: a project, several of them, or a plain folder
        column: of the lists of types in the definitions of operators
    Raises:
        ValueError: it is no folder
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    top = folder.resolve()
    sources, others = [], []
    for path in _files(top):
        shown = folder / path.relative_to(top)
        if not defines_kernels(read_source(path)):
            others.append(LeftOut(shown, "host code of an operator" if "op_host" in path.parts else "defines no kernel"))
            continue
        sources.append(replace(source_of(path, top, column), path=shown))
    return sources, others


def as_table(built: Sequence[Built], others: Sequence[LeftOut]) -> str:
    """A line for each source and for each file that is left out."""
    rows = [(str(b.source.path), b.outcome, ", ".join(e.name for e in b.kernels) or _said(b)) for b in built]
    rows += [(str(other.path), "left out", other.reason) for other in others]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    return "".join(f"{path.ljust(widths[0])}  {what.ljust(widths[1])}  {text}\n" for path, what, text in rows)


def _said(built: Built) -> str:
    place = f"{built.file}:{built.line}: " if built.line else ""
    return place + built.message


def as_json(built: Sequence[Built], others: Sequence[LeftOut]) -> str:
    """An object with lists "built", "not_built" and "left_out"."""
    made = [
        {
            "source": str(b.source.path),
            "twin": str(b.twin),
            "kernels": [entry.name for entry in b.kernels],
            "auto_sync": b.source.auto_sync,
            "tiling": str(b.source.tiling) if b.source.tiling else None,
            "types": [macro for macro in b.source.types if not macro.startswith(("DT_", "FORMAT_N", "FORMAT_FRACTAL"))],
        }
        for b in built
        if b.twin
    ]
    failed = [
        {"source": str(b.source.path), "message": b.message, "file": b.file, "line": b.line, "column": b.column}
        for b in built
        if b.outcome == "not built"
    ]
    left = [{"file": str(b.source.path), "reason": b.message} for b in built if b.other_chip]
    left += [{"file": str(other.path), "reason": other.reason} for other in others]
    return json.dumps({"built": made, "not_built": failed, "left_out": left}, indent=2) + "\n"


def _first_error(text: str) -> dict[str, object]:
    match = _ERROR.search(text)
    if match is None:
        return {"message": text.strip().splitlines()[0] if text.strip() else "the compiler says nothing"}
    return {
        "message": match["message"],
        "file": match["file"],
        "line": int(match["line"]),
        "column": int(match["column"] or 0),
    }


def twin_of(output: Path, relative: Path) -> Path:
    """Where the twin of a source lies below `output`: its name has the source's suffix, too, since a.cpp and a.asc may stand together."""
    return output / relative.with_name(f"{relative.name}.twin.so")


def build_source(
    source: Source, output: Path, options: Sequence[str] = (), auto_sync: bool | None = None, profile: str = "ascend910b3"
) -> Built:
    """Builds one source; does not raise for what the compiler refuses."""
    output.parent.mkdir(parents=True, exist_ok=True)
    found: list[Entry] = []
    try:
        twin.build(
            source.path,
            output=output,
            options=(*(f"-D{macro}" for macro in source.types), *options),
            auto_sync=source.auto_sync if auto_sync is None else auto_sync,
            profile=profile,
            tiling=source.headers(),
            found=found,
        )
    except twin.OtherChipError as error:
        return Built(source, None, message=str(error).removeprefix(f"{source.path}: "), other_chip=True)
    except (twin.BuildError, ValueError) as error:
        return Built(source, None, text=str(error), **_first_error(str(error)))  # type: ignore[arg-type]
    return Built(source, output, tuple(found))


def build(
    sources: Sequence[Source],
    folder: Path,
    output: Path,
    options: Sequence[str] = (),
    auto_sync: bool | None = None,
    profile: str = "ascend910b3",
    jobs: int = 0,
    told: Callable[[Built], None] = lambda built: None,
) -> list[Built]:
    """Builds sources, several at a time, to the same places below `output`.

    Args:
        sources: of `find`
        folder: what their paths are relative to
        output: the folder of the twins
        options, profile: as in `softnpu.build`
        auto_sync: None: as the source's project would be built
        jobs: compilers at a time; 0: as many as there are CPUs
        told: is called after each source, from several threads
    """

    def one(source: Source) -> Built:
        relative = source.path.relative_to(folder)
        built = build_source(source, twin_of(output, relative), options, auto_sync, profile)
        told(built)
        return built

    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        return list(pool.map(one, sources))

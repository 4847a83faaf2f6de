"""All kernels of a folder: built, launched with small inputs, and judged.

A kernel's arguments come from softnpu.toml in its folder or above, or are guessed from its parameters. What is guessed can be wrong, so an
access beyond a guessed array is no fault. Each launch has a process of its own: what ends it ends no other.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from softnpu import cases, project
from softnpu.cases import CASES
from softnpu.entries import Entry, is_number, named_parameters

VERDICTS = ("ok", "fault", "not built", "not launched", "left out")
_GUESSED_BYTES = 1 << 22
_GUESSED_COUNT = 1024
# 1 in each type.
_FLOATS: dict[str, dict[str, Any]] = {
    "float": {"float32": 1.0},
    "double": {"float64": 1.0},
    "half": {"float16": 1.0},
    "bfloat16_t": {"uint16": 0x3F80},
}
# (rule, words of the fault): the first that fits.
_RULES = (
    ("race", r"^race|race between|line of the data cache|cache line"),
    ("deadlock", r"deadlock|waits for ever|wait for ever"),
    ("time-out", r"time-?out"),
    ("no-value", r"never written|no value|nobody has written|not all written"),
    ("bounds", r"\bbeyond\b|\boutside\b|nothing is allocated|dereferences|are taken and"),
    ("alignment", r"not a multiple of|alignment|aligned"),
    ("flag", r"\bflag\b|\bevent\b"),
    ("queue", r"\bqueue\b|FreeTensor|AllocTensor|EnQue|DeQue|TQue"),
    ("limit", r"the limits? (are|is)|has to be|is not in \["),
    ("core", r"has no pipe|has no (L1|L0|UB|BT|FB)"),
)


@dataclass(frozen=True)
class Verdict:
    """What came of a kernel.

    Attributes:
        verdict: one of VERDICTS
        kernel: empty when the source could not be built
        message: the fault, the compiler's first error, or why there was no launch
        rule: of a fault, the kind of rule that the kernel broke
        file, line, column: the place; line and column are 0 when there is none
        guessed: the arguments were guessed
        microseconds: modelled time, None when it is not modelled
        warnings: what is odd and no fault
    """

    verdict: str
    source: str
    kernel: str
    message: str = ""
    rule: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    auto_sync: bool = False
    guessed: bool = False
    microseconds: float | None = None
    warnings: tuple[str, ...] = ()


class _NoLaunch(Exception):
    """A kernel's arguments are not known."""


def rule_of(fault: str) -> str:
    """The kind of rule that a fault names."""
    return next((rule for rule, words in _RULES if re.search(words, fault)), "other")


# What a field of a tiling struct usually holds, by its name, for kernels that split one array into tiles.
_FIELDS = ((r"total|len|size|count|elem", 16384), (r"tile|loop|buffer|num", 8))


def _guess_struct(header: Path | None, what: str, struct: str = "") -> dict[str, Any]:
    """A case's struct whose fields are guessed by their names."""
    from softnpu import tiling_structs

    if header is None:
        raise _NoLaunch(f"nobody says what {what} holds; give it in {CASES}")
    try:
        kinds = tiling_structs.tiling(header, struct)
    except (OSError, ValueError) as error:
        raise _NoLaunch(f"{error}; give {what} in {CASES}") from None
    values = {}
    for field in kinds.names or ():
        value = next((value for words, value in _FIELDS if re.search(words, field, re.I)), None)
        if value is None or kinds[field].kind not in "iu":
            raise _NoLaunch(f"nobody says what {field} of {what} holds; give it in {CASES}")
        values[field] = value
    return {"value" if struct else "tiling": values, "header": str(header.absolute()), "struct": struct}


def _header_of(source: Path, struct: str) -> Path | None:
    """The file that defines a struct, of a source and those that it includes."""
    defined = re.compile(rf"\bstruct\s+{re.escape(struct)}\s*\{{|BEGIN_TILING_DATA_DEF\s*\(\s*{re.escape(struct)}\b")
    return next((file for file in project.included(source) if defined.search(file.read_text(errors="replace"))), None)


def guess(entry: Entry, source: project.Source) -> list[dict[str, Any]]:
    """Arguments for a kernel, as a case of softnpu.toml says them.

    Raises:
        _NoLaunch: they cannot be guessed
    """
    if entry.name.endswith(">"):
        raise _NoLaunch(f'the parameters of a template are not guessed; give [kernels."{entry.name}"] in {CASES}')
    parameters = named_parameters(entry.parameters)
    if parameters is None:
        raise _NoLaunch("its parameters are not understood")
    out: list[dict[str, Any]] = []
    for kind, name in parameters:
        lower = name.lower()
        if kind.endswith("*") and "workspace" in lower:
            out.append({"workspace": 1 << 24})
        elif kind.endswith("*") and "tiling" in lower:
            out.append(_guess_struct(source.tiling, f"its tiling ({name})"))
        elif kind.endswith("*"):
            out.append({"zeros": _GUESSED_BYTES})
        elif kind.removeprefix("const ") in _FLOATS:
            out.append(_FLOATS[kind.removeprefix("const ")])
        elif kind.removeprefix("const ") == "bool":
            out.append({"int32": 0})
        elif is_number(kind):
            counts = re.search(r"len|size|count|num|total|elem|^n$|dim|rows|cols|^m$|^k$|shape", lower)
            out.append({"int64": _GUESSED_COUNT if counts else 1})
        else:
            struct = kind.removeprefix("const ")
            out.append(_guess_struct(_header_of(source.path, struct), f"its parameter {name or '?'} ({kind})", struct))
    return out


def _launch(work: dict[str, Any]) -> dict[str, Any]:
    """Launches what a request says, in this process; returns fields of a Verdict."""
    from softnpu import kernels, profiles

    timed = profiles.load(profiles.find(work["profile"])).time is not None
    try:
        header = Path(work["header"]) if work["header"] else None
        arguments = cases.arguments(work["arguments"], header, Path(work["base"]))
    except (ValueError, OverflowError, MemoryError, OSError) as error:
        return {"verdict": "not launched", "message": f"{CASES}: {error}"}
    try:
        report = kernels.launch(
            kernels.load(work["twin"])[work["kernel"]],
            *arguments,
            blocks=work["blocks"],
            profile=work["profile"],
            schedules=work["schedules"],
            tiling_key=work["tiling_key"],
            report_file=work["report"] if work["report"] and timed else None,
        )
    except kernels.OrderError as error:
        return {"verdict": "fault", "rule": "order", "message": str(error)}
    except kernels.KernelError as error:
        place = {"file": error.file, "line": error.line}
        behind = "argument" in error.buffer or "bytes before it" in error.fault
        if work["guessed"] and behind and rule_of(error.fault) == "bounds":
            return {
                "verdict": "not launched",
                "message": f"a guessed array is too small; give the arguments in {CASES}: {error.fault}",
                **place,
            }
        if error.code == 107000:
            return {"verdict": "not launched", "message": error.fault, **place}
        return {"verdict": "fault", "rule": rule_of(error.fault), "message": error.fault, **place}
    except (ValueError, OverflowError, MemoryError) as error:
        return {"verdict": "not launched", "message": str(error)}
    return {"verdict": "ok", "microseconds": report.microseconds, "warnings": list(report.warnings)}


_MOST_KEYS = 16


def _judge(built: project.Built, entry: Entry, settings: Settings, files: cases.Files) -> Verdict:
    """The verdict of a kernel: of its case, or of a launch for each tiling key that its source asks for, the first that is not ok."""
    keys = built.source.keys
    case, written = cases.find(files, built.source.path, entry.name)
    if not keys or (case is not None and "tiling_key" in case):
        return _judge_key(built, entry, settings, 0, case, written)
    if len(keys) > _MOST_KEYS:
        source = _shown(built.source.path)
        message = f"its source asks for {len(keys)} tiling keys, at most {_MOST_KEYS} are tried; give one in {CASES}"
        return Verdict("not launched", source, entry.name, message, file=source, line=entry.line)
    verdicts = [_judge_key(built, entry, settings, key, case, written) for key in keys]
    worst = next((verdict for verdict in verdicts if verdict.verdict != "ok"), verdicts[0])
    at = keys[verdicts.index(worst)]
    return worst if worst.verdict == "ok" else replace(worst, message=f"tiling key {at}: {worst.message}")


def _judge_key(
    built: project.Built, entry: Entry, settings: Settings, key: int, case: dict[str, Any] | None, written: Path | None
) -> Verdict:
    source = _shown(built.source.path)
    file = _shown(Path(entry.file)) if entry.file else source
    auto_sync = settings.auto_sync_of(built.source)
    verdict = Verdict("not launched", source, entry.name, file=file, line=entry.line, auto_sync=auto_sync)
    try:
        given: dict[str, Any] = {"arguments": guess(entry, built.source)} if case is None else case
    except _NoLaunch as error:
        return replace(verdict, message=str(error))
    verdict = replace(verdict, guessed=case is None)
    work = {
        "twin": str(built.twin),
        "kernel": entry.name,
        "header": str(built.source.tiling.absolute()) if built.source.tiling else "",
        "base": str(written.parent) if written else "",
        "guessed": case is None,
        "blocks": given.get("blocks", settings.blocks if built.source.blocks_matter else 1),
        "tiling_key": given.get("tiling_key", key),
        "arguments": given.get("arguments", []),
        "profile": settings.profile,
        "schedules": settings.schedules,
        "report": str(_page(settings, built, entry, key)) if settings.report else "",
    }
    with tempfile.TemporaryDirectory(prefix="softnpu-check-") as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        request.write_text(json.dumps(work))
        # -P: a file of the current folder is no module of Python or of SoftNPU.
        command = [sys.executable, "-P", "-m", "softnpu.check", str(request), str(answer)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=settings.timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return replace(verdict, verdict="fault", rule="time-out", message=f"it has not ended after {settings.timeout_s} s")
        if not answer.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            message = f"the process ended with status {done.returncode}: {last}"
            return replace(verdict, verdict="fault", rule="crash", message=message)
        found = json.loads(answer.read_text())
    found["warnings"] = tuple(found.get("warnings", ()))
    if found.get("file"):
        found["file"] = _shown(Path(found["file"]))
    else:
        found |= {"file": file, "line": entry.line}
    return replace(verdict, **found)


def _page(settings: Settings, built: project.Built, entry: Entry, key: int) -> Path:
    """Where the page about a launch goes: source, kernel and tiling key are in its name."""
    assert settings.report is not None
    keyed = f".key{key}" if key else ""
    name = re.sub(r"[^\w.<>,-]+", "_", f"{built.source.path.name}.{entry.name}{keyed}")
    return settings.report.absolute() / f"{name}.html"


def _shown(path: Path) -> str:
    """A path as the reader of a message writes it: relative where it lies below the current folder."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)


@dataclass(frozen=True)
class Settings:
    """What a check can choose."""

    output: Path
    blocks: int = 8
    schedules: int = 1
    timeout_s: int = 120
    profile: str = "ascend910b3"
    auto_sync: bool | None = None  # None: as the source's project would be built
    options: tuple[str, ...] = ()
    jobs: int = 0
    column: int = 0
    report: Path | None = None  # a folder that gets a page about each launch

    def auto_sync_of(self, source: project.Source) -> bool:
        return source.auto_sync if self.auto_sync is None else self.auto_sync


def check(folder: Path, settings: Settings, told: Callable[[str], None] = lambda line: None) -> list[Verdict]:
    """Builds and launches all kernels of a folder.

    Args:
        folder: a project, several of them, or a plain folder
        told: gets a line about each step, from several threads
    Returns:
        a verdict for each kernel, and one for each source that could not be built, in the order of the sources; then one for each case
        in the folder that has no kernel
    Raises:
        ValueError: it is no folder, or a softnpu.toml is not understood
        OSError: a softnpu.toml cannot be read
    """
    sources, _ = project.find(folder, settings.column)
    files = cases.read([source.path for source in sources])
    count = 0

    def one(source: project.Source) -> list[Verdict]:
        nonlocal count
        output = project.twin_of(settings.output, source.path.relative_to(folder))
        built = project.build_source(source, output, settings.options, settings.auto_sync, settings.profile)
        if built.twin is None:
            file = _shown(Path(built.file)) if built.file else _shown(source.path)
            verdicts = [
                Verdict(
                    built.outcome,
                    source=_shown(source.path),
                    kernel="",
                    message=built.message,
                    file=file,
                    line=built.line,
                    column=built.column,
                    auto_sync=settings.auto_sync_of(source),
                )
            ]
        else:
            verdicts = [_judge(built, entry, settings, files) for entry in built.kernels]
        count += 1
        told(f"[{count}/{len(sources)}] {_shown(source.path)}: {', '.join(verdict.verdict for verdict in verdicts)}")
        return verdicts

    with ThreadPoolExecutor(settings.jobs or os.cpu_count() or 1) as pool:
        found = [verdict for verdicts in pool.map(one, sources) for verdict in verdicts]
    return found + _without_kernel(files, folder, found)


def _without_kernel(files: cases.Files, folder: Path, found: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts of the cases in a folder whose kernels are nowhere in it; none while a source is not built, which may define them."""
    if any(verdict.verdict == "not built" for verdict in found):
        return []
    kernels, top = {verdict.kernel for verdict in found}, folder.absolute()
    return [
        Verdict("not launched", _shown(file), name, f"{CASES} has a case of {name}, which no source defines", file=_shown(file), line=1)
        for file in sorted(files)
        if file.is_relative_to(top)
        for name in files[file]
        if name not in kernels
    ]


def _auto_sync_of(verdicts: Sequence[Verdict]) -> str:
    on = sum(v.auto_sync for v in verdicts)
    return "on" if on == len(verdicts) else "off" if on == 0 else f"on for {on} of {len(verdicts)}"


def as_lines(verdicts: Sequence[Verdict]) -> str:
    """file:line:column: severity: message, as compilers write it; kernels that are ok have no line but for their warnings."""
    out = []
    for v in verdicts:
        severity = {"fault": "error", "not built": "error", "not launched": "note", "left out": "note"}.get(v.verdict)
        named = f"{v.kernel}: " if v.kernel else ""
        rule = f" [{v.rule}]" if v.rule else ""
        if severity:
            out.append(f"{v.file or v.source}:{v.line or 1}:{v.column or 1}: {severity}: {named}{v.message}{rule}")
        for text in v.warnings:
            place = re.search(r"([^\s(,]+):(\d+)\)?$", text)
            file, line = (_shown(Path(place[1])), place[2]) if place else (v.source, "1")
            out.append(f"{file}:{line}:1: warning: {named}{text}")
    return "".join(f"{line}\n" for line in out)


def as_json(verdicts: Sequence[Verdict]) -> str:
    """A list of objects with the fields of Verdict."""
    return json.dumps([asdict(verdict) for verdict in verdicts], indent=2) + "\n"


def as_sarif(verdicts: Sequence[Verdict], version: str) -> str:
    """SARIF 2.1.0: faults and sources that could not be built are errors, kernels that were not launched are notes."""
    results = []
    for v in verdicts:
        if v.verdict == "ok":
            continue
        region = {"startLine": max(v.line, 1)} | ({"startColumn": v.column} if v.column else {})
        path = Path(v.file or v.source)
        uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
        results.append(
            {
                "ruleId": v.rule or v.verdict.replace(" ", "-"),
                "level": "note" if v.verdict == "not launched" else "error",
                "message": {"text": f"{v.kernel}: {v.message}" if v.kernel else v.message},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}],
            }
        )
    rules = [{"id": name} for name in sorted({str(result["ruleId"]) for result in results})]
    driver = {"name": "softnpu", "version": version, "rules": rules}
    return (
        json.dumps(
            {
                "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
                "version": "2.1.0",
                "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "utf16CodeUnits"}],
            },
            indent=2,
        )
        + "\n"
    )


def as_table(verdicts: Sequence[Verdict]) -> str:
    """A line for each kernel, and a last one with the numbers of verdicts."""
    rows = []
    for v in verdicts:
        place = f"{v.file}:{v.line}: " if v.verdict != "ok" and v.file and v.line else ""
        rule = f"{v.rule}: " if v.rule else ""
        said = f"{v.microseconds:.1f} us (modelled)" if v.verdict == "ok" and v.microseconds is not None else place + rule + v.message
        rows.append((v.kernel or "-", v.verdict + (" (guessed)" if v.guessed and v.verdict in ("ok", "fault") else ""), v.source, said))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip() for row in rows]
    numbers = {name: sum(v.verdict == name for v in verdicts) for name in VERDICTS}
    counts = ", ".join(f"{number} {name}" for name, number in numbers.items() if number or name != "left out")
    counts += f"; --cce-auto-sync {_auto_sync_of(verdicts)}"
    return "".join(f"{line}\n" for line in [*lines, counts])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(_launch(json.loads(Path(sys.argv[1]).read_text()))))

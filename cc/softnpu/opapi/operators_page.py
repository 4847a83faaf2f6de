"""Makes docs/operators.md from operators.tsv and manifest.inc; with --check compares, and checks the table against library and tests."""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

KINDS = {
    "exact": "moves, comparisons, whole numbers, and one rounding of a sum or a product",
    "modelled": "correct to rounding; the note says where a chip may differ",
    "unsupported": "the call is refused by name (561103), and the device is in error",
}
Row = dict[str, str]


def read(table: str, manifest: str) -> tuple[list[Row], list[str]]:
    """The rows of the table, and the names of the manifest that have none."""
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = re.findall(r"^SOFTNPU_OPERATOR\((\w+)\)", Path(manifest).read_text(), re.MULTILINE)
    known = {row["name"] for row in rows}
    return rows, [name for name in names if name not in known]


def page(rows: list[Row], unsupported: list[str]) -> str:
    """The text of docs/operators.md."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        groups[row["kind"], row["note"]].append(row["name"])
    out = [
        "# The aclnn operators of SoftNPU",
        "",
        "Made from `cc/softnpu/opapi/operators.tsv` by `tools/bazel run //cc/softnpu/opapi:operators_page`.",
        "",
        "Names are without `aclnn` before them. Unsupported are those that torch_npu 2.13.0 asks CANN 9.0.0 for and that SoftNPU does not",
        "compute. Each operator refuses the calls that its documentation for Atlas A2 refuses: dtypes, shapes, layouts, and arguments that",
        "have to be on the host or on the device. Elementwise operators of one or two tensors (`pointwise_ops.cc`) take all dtypes that",
        "SoftNPU has: float64, float32, float16, bfloat16, bool and the integers.",
        "",
    ]
    counts = {kind: sum(row["kind"] == kind for row in rows) for kind in KINDS} | {"unsupported": len(unsupported)}
    out += [f"- {kind} ({counts[kind]}): {text}" for kind, text in KINDS.items()]
    for kind in ("exact", "modelled"):
        out += ["", f"## {kind.capitalize()}", "", "| operators | note |", "|---|---|"]
        out += [f"| {', '.join(names)} | {note} |" for (of, note), names in groups.items() if of == kind]
    out += ["", "## Unsupported", "", ", ".join(unsupported)]
    return "\n".join(out) + "\n"


def problems(rows: list[Row], implemented: set[str], tests: list[str]) -> Iterator[str]:
    """What is wrong with the table, a sentence each."""
    names = [row["name"] for row in rows]
    if names != sorted(set(names), key=str.lower):
        yield "the rows are not sorted, or a name appears twice"
    for row in rows:
        if row["kind"] not in ("exact", "modelled") or (row["kind"] == "modelled") != bool(row["note"]):
            yield f"{row['name']}: it is exact, or modelled with a note"
    for name in sorted(implemented ^ set(names)):
        yield f"{name} is implemented and has no row" if name in implemented else f"{name} has a row and is not implemented"
    text = "\n".join(Path(test).read_text() for test in tests)
    named = set(re.findall(r"\w+", re.sub(r"ACLNN_DECLARE\([^)]*\)", "", text)))
    # One macro makes the two forms of an operator, and of some only the one with a result is called.
    for name in sorted(name for name in implemented if not {name, name.removeprefix("Inplace")} & named):
        yield f"{name} is implemented, and no test beside the sources names it"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", required=True)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--page", required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--names", help="the program that prints the implemented names")
    parser.add_argument("--tests", nargs="*", default=[])
    given = parser.parse_args()
    rows, unsupported = read(given.table, given.manifest)
    text = page(rows, unsupported)
    if not given.check:
        Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ""), given.page).write_text(text)
        return
    implemented = set(subprocess.run([given.names], check=True, capture_output=True, text=True).stdout.split())
    found = [*problems(rows, implemented, given.tests)]
    if Path(given.page).read_text() != text:
        found.append("docs/operators.md is not current: tools/bazel run //cc/softnpu/opapi:operators_page")
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()

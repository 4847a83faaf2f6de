"""Makes docs/ascendc.md from api.tsv and documented.tsv; with --check compares, and checks the tables against headers and tests.

api.tsv says how well a name works. documented.tsv lists the names of the public index of the API, which may be absent, with a word why.
"""

import argparse
import csv
import os
import pathlib
import re
import sys

KINDS = {
    "exact": "results, limits and refusals are those of the device, as documented",
    "modelled": "usable; the note says where SoftNPU's choice may differ",
    "unsupported": "does not compile, or is refused by name",
}
ABSENT = {
    "310": "of chips before A2 alone",
    "950": "of Ascend 950 alone",
    "batches": "tilings of many products: a program gives the sizes itself",
    "convolution": "convolutions as high-level calls",
    "files": "of CANN's CPU debugging",
    "groups": "cube cores that several vector cores share through messages",
    "keys": "tiling keys made of template arguments, on the host",
    "layout": "layouts of tensors as types",
    "memory": "sizes that the host asks for and that nothing here needs",
    "network": "communication from kernels",
    "policy": "parts of Matmul that a kernel replaces",
    "pool": "pools of buffers of the kernel's own",
    "quantised": "Matmul with quantised weights",
    "sparse": "sparse products",
    "spill": "a place in GM or L1 for what the UB cannot hold",
    "splits": "wishes for how a tiling splits a product",
    "stack": "all that is left of a memory, where high-level calls work",
    "unclear": "the page does not say enough",
}
NO_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [row["name"] for row in rows]
    problems = [f"{name} appears twice" for name in sorted(set(names)) if names.count(name) > 1]
    problems += [f"{row['name']}: no kind {row['kind']}" for row in rows if row["kind"] not in KINDS]
    problems += ["the rows are not sorted"] if names != sorted(names, key=str.lower) else []
    return rows, problems


def read_documented(path):
    with open(path, newline="") as file:
        names = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    keys = [row["name"].lower() for row in names]
    problems = (
        ["documented.tsv is not sorted, or has a name twice"]
        if keys != sorted(keys) or len(set(r["name"] for r in names)) < len(names)
        else []
    )
    problems += [f"{row['name']}: no reason {row['absent']}" for row in names if row["absent"] and row["absent"] not in ABSENT]
    return names, problems


def documented_part(rows, documented):
    refused = {row["name"] for row in rows if row["kind"] == "unsupported"}
    absent = [row for row in documented if row["absent"]]
    there = [row["name"] for row in documented if not row["absent"]]
    out = ["", "## The public index", ""]
    out += [
        f"The public index of the API (CANN 8.3 to 9.1) has {len(documented)} names that kernels and their host code may use,",
        "in `documented.tsv`:",
        f"{sum(name not in refused for name in there)} are there, {sum(name in refused for name in there)} are refused by name, "
        f"{len(absent)} are absent. Members of classes count as names. The C interface (`asc_...`) is not counted.",
        "",
        "| absent | why | names |",
        "|---|---|---|",
    ]
    for word, why in ABSENT.items():
        if names := [row["name"] for row in absent if row["absent"] == word]:
            out.append(f"| {word} | {why} | {', '.join(names)} |")
    return out


def page(rows, documented):
    out = ["# The AscendC names that SoftNPU knows", ""]
    out += [
        "Made from `cc/softnpu/ascendc/api.tsv` by `tools/bazel run //cc/softnpu/ascendc:api_page`. Names of Ascend 950 are left out.",
        "",
    ]
    out += [f"- {kind} ({sum(row['kind'] == kind for row in rows)}): {text}" for kind, text in KINDS.items()]
    for kind in KINDS:
        out += ["", f"## {kind.capitalize()}", "", "| name | pipe | note |", "|---|---|---|"]
        groups = {}
        for row in rows:
            if row["kind"] == kind:
                groups.setdefault((row["pipe"], row["note"]), []).append(row["name"])
        out += [f"| {', '.join(names)} | {pipe} | {note or ''} |" for (pipe, note), names in groups.items()]
    out += documented_part(rows, documented)
    return "\n".join(out) + "\n"


def words(paths):
    text = "\n".join(pathlib.Path(path).read_text() for path in paths)
    return set(re.findall(r"\w+", NO_CODE.sub(" ", text)))


MACRO = re.compile(r"^#define (\w+)\((\w+)[^)\n]*\)((?:[^\n]*\\\n)*[^\n]*)\n(.*?)^#undef \1$", re.MULTILINE | re.DOTALL)


def declared_by_macros(paths):
    """The names that macros make of their first argument: Get##Name##Size."""
    made = set()
    for path in paths:
        for macro, parameter, body, uses in MACRO.findall(pathlib.Path(path).read_text()):
            for argument in re.findall(rf"^{macro}\((\w+)", uses, re.MULTILINE):
                for pasted in re.findall(rf"(\w*)##{parameter}##(\w*)", body):
                    made.add(argument.join(pasted))
    return made


def check_documented(documented, headers):
    # Where: the place of a call, SoftNPU's own; the documented Where is of Ascend 950.
    declared = (words(headers) | declared_by_macros(headers)) - {"Where"}
    for row in documented:
        if row["name"] not in declared and not row["absent"]:
            yield f"{row['name']} is documented and not declared: documented.tsv has to say why"
        if row["name"] in declared and row["absent"]:
            yield f"{row['name']} is declared, but documented.tsv says that it is absent"


def check(rows, headers, tests):
    declared = words(headers)
    called = words(tests)
    for row in rows:
        name = row["name"]
        if row["kind"] == "unsupported":
            continue
        if name not in declared:
            yield f"{name} is {row['kind']}, but no header declares it"
        if name not in called:
            yield f"{name} is {row['kind']}, but no test uses it"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", required=True)
    parser.add_argument("--documented", required=True)
    parser.add_argument("--page", required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--headers", nargs="*", default=[])
    parser.add_argument("--tests", nargs="*", default=[])
    args = parser.parse_args()
    # `bazel run` writes into the source tree.
    page_path = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "")) / args.page
    rows, problems = read(args.table)
    documented, more = read_documented(args.documented)
    problems += more
    if not args.check:
        page_path.write_text(page(rows, documented))
        return
    problems += check(rows, args.headers, args.tests)
    problems += check_documented(documented, args.headers)
    if page_path.read_text() != page(rows, documented):
        problems.append("docs/ascendc.md is not what the table gives: tools/bazel run //cc/softnpu/ascendc:api_page")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

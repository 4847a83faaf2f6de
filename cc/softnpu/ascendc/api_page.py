"""Makes docs/ascendc.md from api.tsv; with --check compares, and checks the table against headers and tests."""

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
NO_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [row["name"] for row in rows]
    problems = [f"{name} appears twice" for name in sorted(set(names)) if names.count(name) > 1]
    problems += [f"{row['name']}: no kind {row['kind']}" for row in rows if row["kind"] not in KINDS]
    problems += ["the rows are not sorted"] if names != sorted(names, key=str.lower) else []
    return rows, problems


def page(rows):
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
    return "\n".join(out) + "\n"


def words(paths):
    text = "\n".join(pathlib.Path(path).read_text() for path in paths)
    return set(re.findall(r"\w+", NO_CODE.sub(" ", text)))


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
    parser.add_argument("--page", required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--headers", nargs="*", default=[])
    parser.add_argument("--tests", nargs="*", default=[])
    args = parser.parse_args()
    # `bazel run` writes into the source tree.
    page_path = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "")) / args.page
    rows, problems = read(args.table)
    if not args.check:
        page_path.write_text(page(rows))
        return
    problems += check(rows, args.headers, args.tests)
    if page_path.read_text() != page(rows):
        problems.append("docs/ascendc.md is not what the table gives: tools/bazel run //cc/softnpu/ascendc:api_page")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

"""Every mutant of every kernel:  tools/bazel run //tests/mutants:all [-- --write]

Prints the mutants that no case notices and the counts. `--write` puts the result into the source tree: the counts, and each mutant that is
not noticed, under "equivalent" when the former result gives a reason why it is the same kernel, else under "survived".
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from engine import RESULT, Engine, Outcome
from mutations import Mutant

import softnpu

PAGE = "docs/mutants.md"
KINDS = ("fault", "wrong", "time-out", "crash")


def table(counts: dict[str, dict[str, int]]) -> str:
    """Markdown: a line for each kernel, and the sum."""
    total: Counter[str] = Counter()
    head = ["kernel", "mutants", *KINDS, "equivalent", "survived", "noticed"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, count in [*counts.items(), ("all", total)]:
        if name != "all":
            total.update(count)
        noticed = sum(count.get(kind, 0) for kind in KINDS)
        share = noticed / max(1, noticed + count.get("survived", 0))
        cells = [name, sum(count.values()), *(count.get(kind, 0) for kind in (*KINDS, "equivalent", "survived")), f"{share:.1%}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def reasons(mutants: dict[str, str]) -> str:
    """Markdown: mutants by reason."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in mutants.items():
        by_reason.setdefault(reason, []).append(key)
    out = []
    for reason, keys in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        out.append(f"**{reason}**\n\n")
        for key in keys:
            source, rule, line, change = key.split(" | ", 3)
            out.append(f"- {Path(source).name}, {rule}: `{line}`: `{change}`\n")
        out.append("\n")
    return "".join(out).rstrip("\n") + "\n"


def replace_part(page: str, name: str, text: str) -> str:
    """The page with what stands between the comments of a name replaced."""
    new, count = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{text}\n{m[2]}", page, flags=re.S)
    assert count == 1, name
    return new


def write_page(root: Path, result: dict[str, Any]) -> None:
    """Puts a result into docs/mutants.md."""
    page = root / PAGE
    text = replace_part(page.read_text(), "counts", table(result["counts"]))
    text = replace_part(text, "survived", reasons(result["survived"]))
    page.write_text(replace_part(text, "equivalent", reasons(result["equivalent"])))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write result.json and docs/mutants.md")
    parser.add_argument("--page", action="store_true", help="only write docs/mutants.md, from result.json")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only sources whose paths contain this; the rest of the result is kept")
    parser.add_argument(
        "--survivors", action="store_true", help="only mutants that survived in the former result, of kernels that have not changed since"
    )
    parser.add_argument("--cxx", help="a compiler of the machine that is faster than the build's own: g++")
    options = parser.parse_args()
    if options.page:
        write_page(Path(os.environ["BUILD_WORKSPACE_DIRECTORY"]), json.loads(RESULT.read_text()))
        return
    if options.cxx:
        os.environ.pop("ZIG", None)
        os.environ["CXX"] = options.cxx
    engine = Engine(only=options.only)
    for source, found in engine.check_originals().items():
        if found:
            sys.exit(f"{source} without a fault: {found[0][1]}")
    former = json.loads(RESULT.read_text())
    if options.survivors:
        engine.mutants = [mutant for mutant in engine.mutants if mutant.key in former["survived"]]
    known = former["equivalent"]
    counts: dict[str, Counter[str]] = {}
    equivalent: dict[str, str] = {}
    survived: dict[str, str] = {}
    no_build: Counter[str] = Counter()
    start = time.monotonic()
    for i, outcome in enumerate(engine.examine_all(engine.mutants, options.jobs)):
        if i % 100 == 0:
            print(f"{i} of {len(engine.mutants)}, {time.monotonic() - start:.0f} s", flush=True)
        kind, reason = judge(engine, outcome, known)
        if kind == "no build":
            no_build[outcome.mutant.source] += 1
            continue
        counts.setdefault(outcome.mutant.kernel, Counter())[kind] += 1
        if kind == "equivalent":
            equivalent[outcome.mutant.key] = reason
        if kind == "survived":
            survived[outcome.mutant.key] = former["survived"].get(outcome.mutant.key, "")
            print(f"survived: {place(outcome.mutant)}")
        if outcome.noticed and outcome.mutant.key in known:
            print(f"called equivalent, but noticed: {place(outcome.mutant)}: {outcome.text}")
    print(table({name: dict(count) for name, count in counts.items()}))
    print(f"{len(engine.mutants)} mutants, {no_build.total()} do not compile; {time.monotonic() - start:.0f} s")
    if options.write:
        root = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
        if options.survivors:  # what is known of the other mutants stays
            again = counts
            counts = {}
            for name, count in former["counts"].items():
                found = again.get(name, Counter())
                counts[name] = Counter(count) - Counter(survived=found.total()) + found
            no_build.update(former["no build"])
            ours = {mutant.key for mutant in engine.mutants}
            for kind, now in (("equivalent", equivalent), ("survived", survived)):
                now.update({key: reason for key, reason in former[kind].items() if key not in ours})
        elif options.only:  # what is known of the other sources stays
            ours = {mutant.kernel for mutant in engine.mutants}
            counts = {name: count for name, count in former["counts"].items() if name not in ours} | counts
            others = {source: count for source, count in former["no build"].items() if source not in engine.sources}
            no_build.update(others)
            for kind, now in (("equivalent", equivalent), ("survived", survived)):
                now.update({key: reason for key, reason in former[kind].items() if key.split(" | ")[0] not in engine.sources})
        version = subprocess.run([*softnpu.twin.compiler(), "--version"], capture_output=True, text=True, check=True).stdout
        result = {
            "compiler": version.splitlines()[0],
            "no build": dict(no_build),
            "counts": {name: dict(sorted(count.items())) for name, count in counts.items()},
            "equivalent": equivalent,
            "survived": survived,
        }
        (root / "tests/mutants/result.json").write_text(json.dumps(result, indent=2) + "\n")
        write_page(root, result)


def judge(engine: Engine, outcome: Outcome, known: dict[str, str]) -> tuple[str, str]:
    """What a mutant counts as, and why."""
    if outcome.kind != "survived":
        return outcome.kind, ""
    if reason := known.get(outcome.mutant.key):
        return "equivalent", reason
    if engine.same_code(outcome.mutant):
        return "equivalent", "The compiler makes the same code of both."
    return "survived", ""


def place(mutant: Mutant) -> str:
    """For people."""
    return f"{mutant.source}:{mutant.number}: {mutant.rule}: {mutant.line}: {mutant.before} -> {mutant.after or 'nothing'}"


if __name__ == "__main__":
    main()

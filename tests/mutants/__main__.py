"""Mutants of kernels, judged by the kernels' own tests:  tools/bazel run //tests/mutants -- --kernel moe_gating_top_k --sample 40

Prints each mutant that no test kills, and the share of killed ones for each source. README.md says what to do about a survivor.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from engine import Engine, Outcome, changed_lines, merge_base, sample
from mutations import Mutant

KINDS = ("killed", "equivalent", "survived")
HERE = Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))


def table(outcomes: list[Outcome]) -> str:
    """Markdown: a line for each source, and the sum."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        if outcome.kind != "no build":
            for name in (outcome.mutant.source, "all"):
                counts.setdefault(name, Counter())[outcome.kind] += 1
    lines = ["| source | mutants | " + " | ".join(KINDS) + " | killed share |", "|---" * (len(KINDS) + 3) + "|"]
    for name, count in sorted(counts.items(), key=lambda item: (item[0] == "all", item[0])):
        share = count["killed"] / max(1, count["killed"] + count["survived"])
        lines.append(f"| {name} | {count.total()} | " + " | ".join(str(count[kind]) for kind in KINDS) + f" | {share:.1%} |")
    return "\n".join(lines)


def choose(engine: Engine, options: argparse.Namespace) -> list[Mutant]:
    """The mutants that the command line asks for, in the order in which they are drawn."""
    sources = dict(engine.sources)
    if options.changed is not None:
        root = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
        base = options.changed or merge_base(root)
        changed = changed_lines(root, base)
        sources = {
            source: [mutant for mutant in sources[source] if any(first <= mutant.number <= last for first, last in ranges)]
            for source, ranges in changed.items()
            if source in sources
        }
        print(f"{sum(map(len, sources.values()))} mutants in lines of {len(sources)} kernel sources that differ from {base[:12]}")
    if options.kernel:
        known = {Path(source).stem for source in engine.sources}
        if unknown := set(options.kernel) - known:
            sys.exit(f"no kernel source has mutants and is called {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
        sources = {source: of_it for source, of_it in sources.items() if Path(source).stem in options.kernel}
    return sample((mutant for of_it in sources.values() for mutant in of_it), options.seed)


def run(engine: Engine, options: argparse.Namespace) -> list[Outcome]:
    """Judges the mutants; prints survivors as they are found."""
    start = time.monotonic()
    outcomes: list[Outcome] = []
    report = (HERE / options.report).open("w") if options.report else None
    for outcome in engine.examine_all(choose(engine, options), options.jobs, options.sample):
        if outcome.kind == "survived" and options.operators:
            outcome = engine.examine_by_operators(outcome.mutant)
        outcomes.append(outcome)
        if report:  # at once, so that a run that is ended early leaves what it found
            report.write(json.dumps(asdict(outcome)) + "\n")
            report.flush()
        if outcome.kind == "survived":
            print(f"survived: {outcome.mutant}", flush=True)
    no_build = sum(outcome.kind == "no build" for outcome in outcomes)
    print(f"\n{table(outcomes)}\n\n{len(outcomes)} mutants, of which {no_build} do not compile; {time.monotonic() - start:.0f} s")
    return outcomes


def main() -> None:
    """Runs the command line. The status is 1 if a mutant survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", action="append", help="only this source, by its name without suffix; may be given several times")
    parser.add_argument("--sample", type=int, help="mutants of each source that compile; default: all")
    parser.add_argument("--seed", type=int, default=1, help="which sample")
    parser.add_argument(
        "--changed",
        nargs="?",
        const="",
        help="only mutants in lines that differ from this commit; default: where the branch left main",
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-operators", dest="operators", action="store_false", help="do not run tests/ops on survivors")
    parser.add_argument("--cxx", help="a compiler of the machine that is faster than the build's own: g++")
    parser.add_argument("--report", type=Path, help="write every outcome to this file, a JSON object in each line")
    parser.add_argument("--table", type=Path, help="write the table and the survivors to this file, as Markdown")
    options = parser.parse_args()
    if options.cxx:
        os.environ.pop("ZIG", None)
        os.environ["CXX"] = options.cxx
    try:
        outcomes = run(Engine(), options)
    except RuntimeError as error:
        sys.exit(str(error))
    if options.table:
        survivors = "".join(f"- {outcome.mutant}\n" for outcome in outcomes if outcome.kind == "survived")
        (HERE / options.table).write_text(f"{table(outcomes)}\n\n{survivors}")
    sys.exit(1 if any(outcome.kind == "survived" for outcome in outcomes) else 0)


if __name__ == "__main__":
    main()

"""The full conformance matrix of the kernels:  tools/bazel run //tests/conformance:run -- --report FILE

Runs the Conformance cases of the kernel tests with every combination of the values of their dimensions but those that are drawn (CI runs
every pair of values), and writes what passed and failed as a table. It takes hours. docs/conformance.md describes it.
The status is 1 if a test fails or has no such case.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

Counts = dict[tuple[str, str, str], Counter[str]]  # (kernel, dtype, layout) -> "passed", "failed"


def read(path: Path) -> Counts:
    """What a test binary recorded, from GoogleTest's XML."""
    counts: Counts = {}
    if not path.exists():
        return counts
    for found in xml.etree.ElementTree.parse(path).iter("property"):
        words = found.attrib["name"].split("/")
        if words[0] != "conformance":
            continue
        _, kernel, dtype, layout = words
        passed, failed = map(int, found.attrib["value"].split("/"))
        counts[kernel, dtype, layout] = Counter(passed=passed, failed=failed)
    return counts


def table(counts: Counts) -> str:
    """Markdown: a line for each kernel, data type and layout, and the sum."""
    lines = ["| kernel | data type | layout | passed | failed |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(group)} | {count['passed']} | {count['failed']} |" for group, count in sorted(counts.items())]
    total: Counter[str] = sum(counts.values(), Counter())
    return "\n".join([*lines, f"| all | | | {total['passed']} | {total['failed']} |", ""])


def run(binaries: list[str], jobs: int) -> Iterator[tuple[str, int, Counts]]:
    """Runs the tests, `jobs` at a time, and gives the status of each and what it recorded, as it ends."""
    with tempfile.TemporaryDirectory() as work:
        waiting = list(binaries)
        running: list[tuple[str, subprocess.Popen[bytes]]] = []
        while waiting or running:
            while waiting and len(running) < jobs:
                binary = waiting.pop(0)
                arguments = [binary, "--gtest_filter=*.Conformance*", f"--gtest_output=xml:{work}/{Path(binary).name}.xml"]
                running.append((binary, subprocess.Popen(arguments, env={**os.environ, "CONFORMANCE": "full"})))
            for binary, process in [item for item in running if item[1].poll() is not None]:
                running.remove((binary, process))
                yield binary, process.returncode, read(Path(work, f"{Path(binary).name}.xml"))
            time.sleep(0.2)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, help="write the table to this file, too")
    parser.add_argument("--only", default="", help="only tests whose names contain this")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    binaries = [binary for binary in os.environ["BINARIES"].split() if options.only in binary]
    if not binaries:
        sys.exit(f"no kernel test has {options.only!r} in its name")
    counts: Counts = {}
    bad = []
    for binary, status, found in run(binaries, options.jobs):
        counts |= found
        name = Path(binary).name
        if status != 0 or not found:
            bad.append(f"{name} ended with status {status} and {len(found)} groups of cases")
        print(f"{name}: {sum(found.values(), Counter())['passed']} cases passed", flush=True)
    print("\n" + table(counts))
    if options.report:
        Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), options.report).write_text(table(counts))
    sys.exit("\n".join(bad) if bad else 0)


if __name__ == "__main__":
    main()

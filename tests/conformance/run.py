"""The full conformance matrix of the kernels:  tools/bazel run //tests/conformance:run [-- --page]

Runs the kernel tests' Conformance cases with every combination of the values of their dimensions but those that are drawn (CI runs every
pair of values), reads what they recorded, and writes the counts of a family into tests/conformance/<family>.json and all of them into
docs/conformance.md. `--page` only writes the page. tests/conformance/sources.json says of which sources each result is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PAGE = "docs/conformance.md"
Counts = dict[str, dict[str, dict[str, dict[str, int]]]]  # kernel, dtype, layout, "passed" or "failed"

HEAD = """\
# The conformance matrix

Made from `tests/conformance/*.json` by `tools/bazel run //tests/conformance:run`, which runs the kernel tests (`cc/kernels/*/*_test.cc`,
cases `*.Conformance*`) with every combination of the values of their dimensions. Where that would take hours or days, dimensions that act
alone have one of their values in each combination of the others, at random (`Drawn` in the tests): gaps between rows and blocks, and of
kv_rmsnorm_rope_cache the epsilon, of qkv_rmsnorm_rope the type of positions, of gather_cache, reshape_and_cache and rotary_embedding cores,
the size of the UB, numbers of blocks, and what positions and tables are like. CI runs every pair of values, of all dimensions. Every case
runs the kernel's twin on SoftNPU under all checks, with the tiling of the host operator, against a reference in double precision or whole
numbers; bounds are derived beside each test. A combination that another one repeats (because a value means nothing beside another) counts
once.

"""


def read(path: Path) -> Counts:
    """What a test binary recorded, from gtest's XML."""
    counts: Counts = {}
    for found in xml.etree.ElementTree.parse(path).iter("property"):
        words = found.attrib["name"].split("/")
        if words[0] != "conformance":
            continue
        _, kernel, dtype, layout = words
        passed, failed = map(int, found.attrib["value"].split("/"))
        counts.setdefault(kernel, {}).setdefault(dtype, {})[layout] = {"passed": passed, "failed": failed}
    return counts


def page(families: dict[str, Counts]) -> str:
    """The page about all families."""
    out = [HEAD]
    for family, kernels in sorted(families.items()):
        out.append(f"## {family}\n\n| kernel | data type | layout | passed | failed |\n|---|---|---|---|---|\n")
        total = {"passed": 0, "failed": 0}
        for kernel, dtypes in sorted(kernels.items()):
            for dtype, layouts in sorted(dtypes.items()):
                for layout, count in sorted(layouts.items()):
                    out.append(f"| {kernel} | {dtype} | {layout} | {count['passed']} | {count['failed']} |\n")
                    for kind in total:
                        total[kind] += count[kind]
        out.append(f"| all | | | {total['passed']} | {total['failed']} |\n\n")
    return "".join(out).rstrip("\n") + "\n"


def load(directory: Path) -> dict[str, Counts]:
    """The results that are committed."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))}


def run(binaries: list[str]) -> Iterator[tuple[str, Counts]]:
    """Runs the tests, two at a time, and gives what each found as it ends."""
    with tempfile.TemporaryDirectory() as work:
        waiting = list(binaries)
        running: list[tuple[str, subprocess.Popen[bytes]]] = []
        while waiting or running:
            while waiting and len(running) < 2:
                binary = waiting.pop(0)
                arguments = [binary, "--gtest_filter=*.Conformance*", f"--gtest_output=xml:{work}/{Path(binary).name}.xml"]
                running.append((binary, subprocess.Popen(arguments, env={**os.environ, "CONFORMANCE": "full"})))
            for binary, process in [item for item in running if item[1].poll() is not None]:
                running.remove((binary, process))
                yield binary, read(Path(work, f"{Path(binary).name}.xml"))
            time.sleep(0.2)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--only", default="", help="only tests whose names contain this; what is known of other kernels is kept")
    options = parser.parse_args()
    root = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    directory = root / "tests/conformance"
    if options.page:
        (root / PAGE).write_text(page(load(directory)))
        return
    failed = 0
    found: dict[str, Counts] = {}
    binaries = os.environ["BINARIES"].split()
    for binary, counts in run([binary for binary in binaries if options.only in binary]):
        family = Path(binary).parent.name
        found.setdefault(family, {}).update(counts)
        known = load(directory).get(family, {}) if options.only else {}
        (directory / f"{family}.json").write_text(json.dumps(known | found[family], indent=2, sort_keys=True) + "\n")
        (root / PAGE).write_text(page(load(directory)))
        failed += sum(count["failed"] for dtypes in counts.values() for layouts in dtypes.values() for count in layouts.values())
    sys.exit(f"{failed} cases failed" if failed else 0)


if __name__ == "__main__":
    main()

"""vLLM's own tests, as its sdist has them, on SoftNPU. ledger.json says which are left out and which fail, and why.

Each file is a process of its own. A failure that the ledger does not explain fails the test, and so do an explanation that nothing needs,
and a file of which no test passes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

TESTS = Path(os.environ["VLLM_TESTS"]).resolve().parent
LEDGER = json.loads((Path(__file__).parent / "ledger.json").read_text())
# Some files, for each change.
SHORT = os.environ.get("SUITE") == "short"


def files() -> list[str]:
    """All test files of the directories that the ledger names."""
    found = (path for directory in LEDGER["directories"] for path in (TESTS / "tests" / directory).rglob("test_*.py"))
    return sorted(str(path.relative_to(TESTS / "tests")) for path in found)


def served() -> list[str]:
    return [file for file in (LEDGER["short"] if SHORT else files()) if file not in LEDGER["left_out"]]


def failures(report: Path) -> Iterator[tuple[str, str]]:
    """Name and message of each test that failed."""
    for case in ElementTree.parse(report).iter("testcase"):
        for result in (*case.findall("failure"), *case.findall("error")):
            yield case.get("name", ""), f"{result.get('message')}\n{result.text}"


def passed(report: Path) -> int:
    """How many tests ran to their end without a failure."""
    return sum(len(case) == 0 for case in ElementTree.parse(report).iter("testcase"))


def test_the_ledger_names_files_that_there_are() -> None:
    assert set(LEDGER["left_out"]) | set(LEDGER["fails"]) | set(LEDGER["short"]) <= set(files())
    assert not set(LEDGER["left_out"]) & set(LEDGER["fails"])


@pytest.mark.parametrize("file", served())
def test_failures_are_explained(file: str, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    run = [sys.executable, "-m", "softnpu", "run", "--memory", "8GiB", "--"]
    options = ["-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function", "-W", "ignore", "--timeout", "240", "-q"]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(TESTS), str(TESTS / "packages")]),
        "SOFTNPU_STATE_DIR": str(tmp_path),
        "VLLM_NO_USAGE_STATS": "1",
    }
    command = [*run, sys.executable, "-m", "pytest", *options, f"--junitxml={report}", f"tests/{file}"]
    result = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)
    assert report.exists(), result.stdout[-4000:] + result.stderr[-4000:]
    expected = dict(LEDGER["fails"].get(file, {}))
    unexplained = []
    needed = set()
    for name, message in failures(report):
        if any(re.search(pattern, message) for pattern in LEDGER["messages"]):
            continue
        patterns = [pattern for pattern in expected if re.search(pattern, name)]
        needed.update(patterns)
        if not patterns:
            unexplained.append(f"{name}: {message[:1500]}")
    assert not unexplained, "\n".join(unexplained)
    assert needed == set(expected), "these tests pass now"
    assert passed(report) > 0, "no test of this file passes: leave it out, and say why"

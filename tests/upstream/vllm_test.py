"""vLLM's own tests, as its sdist has them, on SoftNPU. ledger.json says which are left out and which fail, and why.

Each file is a pytest of its own, in a forked child. A failure that the ledger does not explain fails the test. So do an explanation
that nothing needs, and a file of which no test passes.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

TESTS = Path(os.environ["VLLM_TESTS"]).resolve().parent
LEDGER = json.loads((Path(__file__).parent / "ledger.json").read_text())
# Some files, for each change.
SHORT = os.environ.get("SUITE") == "short"
# One test, and all tests of a file.
TEST_SECONDS, FILE_SECONDS = 240, 1800


def files() -> list[str]:
    """All test files of the directories that the ledger names."""
    found = (path for directory in LEDGER["directories"] for path in (TESTS / "tests" / directory).rglob("test_*.py"))
    return sorted(str(path.relative_to(TESTS / "tests")) for path in found)


def served() -> list[str]:
    return [file for file in (LEDGER["short"] if SHORT else files()) if file not in LEDGER["left_out"]]


@functools.cache
def prepare() -> None:
    """Imports what nearly every file needs, without using a device."""
    sys.path[:0] = [str(TESTS), str(TESTS / "packages")]
    import torch_npu  # noqa: F401
    import vllm.v1.worker.gpu_model_runner  # noqa: F401
    from vllm import LLM  # noqa: F401

    # A child would copy every page of what is imported, each time it collects garbage.
    gc.collect()
    gc.freeze()


def run(file: str, directory: Path) -> Path:
    """Runs a file in a child, and returns the report of its pytest.

    Raises:
        AssertionError: the child ended without a report; the message has the end of what it printed
    """
    prepare()
    report, log = directory / "report.xml", directory / "log"
    pid = os.fork()
    if pid == 0:
        os.setsid()
        with log.open("wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        try:
            # vLLM's tests are a package of the same name as ours.
            for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
                del sys.modules[name]
            os.chdir(TESTS)
            paths = [str(TESTS), str(TESTS / "packages"), os.environ.get("PYTHONPATH", "")]
            os.environ.update(HOME=str(directory), SOFTNPU_STATE_DIR=str(directory), PYTHONPATH=os.pathsep.join(paths))
            options = ["-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function", "-W", "ignore"]
            options += ["--timeout", str(TEST_SECONDS), "-q", f"--basetemp={directory / 'temporary'}", f"--junitxml={report}"]
            pytest.main([*options, f"tests/{file}"])
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        os._exit(0)
    deadline = time.monotonic() + FILE_SECONDS
    while time.monotonic() < deadline and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.05)
    # The child, if it still runs, and what it has started.
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert report.exists(), log.read_text(errors="replace")[-8000:]
    return report


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
    report = run(file, tmp_path)
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

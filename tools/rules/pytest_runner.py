"""Runs pytest the way Bazel wants a test to behave: report, shards, filter, files, time limit.

Cases with the mark `night` are left out. With `--test_env=NIGHT=1` they are the only ones.
"""

import os
import sys
import tempfile
from pathlib import Path

import pytest

NOTHING_COLLECTED = 5
# What libraries would otherwise look up in a home directory or on the network, and how they wait.
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    # Threads that wait leave their core to others: tests run beside each other.
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_NO_USAGE_STATS": "1",
}


class Shard:
    """Keeps every n-th test case."""

    def __init__(self, index: int, total: int) -> None:
        self.index, self.total = index, total

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        others = [item for i, item in enumerate(items) if i % self.total != self.index]
        items[:] = items[self.index :: self.total]
        config.hook.pytest_deselected(items=others)


# Of a sanitizer, in a process of Python and torch: SoftNPU names the access behind a SIGSEGV itself; what those two never free, or free in
# another way than they allocated it, is theirs; each of our libraries has a C++ runtime of its own, with the same names.
BESIDE_PYTHON = "handle_segv=0:detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0"


def preload(runtime: str) -> None:
    """Starts this program again under a sanitizer's runtime, which libraries with its checks need from the start.

    When the runtime starts it looks up what throws exceptions, so torch's C++ library has to be there by then.
    """
    os.environ["LD_PRELOAD"] = f"{Path(runtime).absolute()} libstdc++.so.6"
    # A report is written to stderr and ends the process: what pytest keeps of it until then would be lost.
    os.environ["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} --capture=sys"
    for options in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        os.environ[options] = f"{os.environ.get(options, '')}:{BESIDE_PYTHON}"
    os.execv(sys.executable, [sys.executable, *sys.argv])


def enter_softnpu(options: str) -> None:
    """Starts this program again with the environment of `softnpu run`: the dynamic loader reads it once."""
    from softnpu.cli import run_environment

    state = Path(os.environ.get("TEST_TMPDIR") or tempfile.mkdtemp(), "softnpu")
    state.mkdir(parents=True, exist_ok=True)
    os.environ.update(run_environment(options.split()), SOFTNPU_STATE_DIR=str(state))
    os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> int:
    environment = os.environ
    if runtime := environment.pop("PYTEST_PRELOAD", None):
        preload(runtime)
    if options := environment.pop("PYTEST_SOFTNPU", None):
        enter_softnpu(options)
    temporary = environment.get("TEST_TMPDIR") or tempfile.mkdtemp()
    for name, value in QUIET.items():
        environment.setdefault(name, value)
    environment["HOME"] = environment["XDG_CACHE_HOME"] = temporary

    arguments = [
        *("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", os.getcwd()),
        *("--import-mode=importlib", "--basetemp", str(Path(temporary, "pytest"))),
        *("-o", "junit_family=xunit1", "-ra"),
        *("-o", "markers=night: takes too long for each change"),
    ]
    night = environment.get("NIGHT") == "1"
    arguments += ["-m", "night" if night else "not night"]
    if report := environment.get("XML_OUTPUT_FILE"):
        arguments.append(f"--junitxml={report}")
    if limit := environment.get("TEST_TIMEOUT"):
        # Ends before Bazel does, so that the log shows where the test stands.
        arguments += [f"--timeout={max(1, int(limit) * 9 // 10)}", "--timeout-method=thread"]
    if expression := environment.get("TESTBRIDGE_TEST_ONLY"):
        arguments += ["-k", expression]
    if environment.get("TESTBRIDGE_TEST_RUNNER_FAIL_FAST") == "1":
        arguments.append("-x")

    plugins: list[object] = []
    total = int(environment.get("TEST_TOTAL_SHARDS") or 1)
    if total > 1:
        plugins.append(Shard(int(environment["TEST_SHARD_INDEX"]), total))
    if status := environment.get("TEST_SHARD_STATUS_FILE"):
        Path(status).touch()

    code = pytest.main(arguments + sys.argv[1:], plugins)
    return 0 if code == NOTHING_COLLECTED and (total > 1 or expression or night) else int(code)


if __name__ == "__main__":
    sys.exit(main())

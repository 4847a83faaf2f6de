"""The fixtures of softnpu.pytest, in a pytest of their own: results, orders, reports with the command that repeats a fault."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

if zig := os.environ.get("ZIG"):
    os.environ["CXX"] = f"{Path(zig).resolve()} c++ -nostdlib++"
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(Path(os.environ.get("TEST_TMPDIR", "/tmp")) / "zig"))

KERNELS = """\
#include "kernel_operator.h"
using namespace AscendC;
// Each block adds to the counter what it finds there; nothing orders the blocks.
extern "C" __global__ __aicore__ void chain(GM_ADDR x, int32_t checked) {
  GlobalTensor<int32_t> count;
  count.SetGlobalBuffer((__gm__ int32_t*)x, 8);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 32);
  LocalTensor<int32_t> tile = buffer.Get<int32_t>();
  DataCopy(tile, count, 8);
  PipeBarrier<PIPE_ALL>();
  Muls(tile, tile, 2, 8);
  PipeBarrier<PIPE_ALL>();
  Adds(tile, tile, static_cast<int32_t>(GetBlockIdx()), 8);
  PipeBarrier<PIPE_ALL>();
  DataCopy(count, tile, 8);
}
extern "C" __global__ __aicore__ void twice(GM_ADDR x) {
  GlobalTensor<int32_t> value;
  value.SetGlobalBuffer((__gm__ int32_t*)x, 1);
  value.SetValue(0, 2 * value.GetValue(0));
}
"""
TESTS = """\
import numpy as np
import softnpu

def test_twice(softnpu_build, softnpu_launch):
    x = np.array([21], np.int32)
    softnpu_launch(softnpu_build("kernels.cpp")["twice"], x)
    assert x[0] == 42

def test_built_once(softnpu_build):
    assert softnpu_build("kernels.cpp") is softnpu_build("kernels.cpp")
    assert softnpu_build("kernels.cpp") is not softnpu_build("kernels.cpp", auto_sync=True)

def test_race(softnpu_build, softnpu_launch):
    softnpu_launch(softnpu_build("kernels.cpp")["chain"], np.ones(8, np.int32), 1, blocks=3)

def test_order(softnpu_build, softnpu_launch):
    softnpu_launch(softnpu_build("kernels.cpp")["chain"], np.ones(8, np.int32), 0, blocks=3, checks="no-races")

def test_own_order(softnpu_build, softnpu_launch):
    softnpu_launch(softnpu_build("kernels.cpp")["chain"], np.ones(8, np.int32), 0, blocks=3, checks="no-races", schedules=1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    (folder / "kernels.cpp").write_text(KERNELS)
    (folder / "test_kernels.py").write_text(TESTS)
    return folder


def _pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    loaded = "import importlib.metadata as m; print([e.value for e in m.entry_points(group='pytest11') if e.name == 'softnpu'])"
    installed = "softnpu.pytest" in subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout
    plugin = [] if installed or "BAZEL_TEST" in os.environ else ["-p", "softnpu.pytest"]
    command = [sys.executable, "-m", "pytest", *plugin, "-q", "--rootdir", ".", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def test_passes_and_faults(folder: Path) -> None:
    done = _pytest(folder, "--softnpu-seeds", "12")
    assert "2 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    sections = re.findall(r"-+ softnpu -+\n(.*)\nto repeat it: (.*)", done.stdout)
    assert len(sections) == 2
    (race, again), (order, orders) = sections
    assert "race between cores" in race
    assert "kernels.cpp" in race
    assert again == "python -m pytest test_kernels.py::test_race --softnpu-seed=0"
    assert "gets other bytes than with seed 0" in order
    assert re.fullmatch(r"python -m pytest test_kernels\.py::test_order --softnpu-seeds=\d+", orders)
    # The commands show the same faults again, and fewer orders do not.
    for text, command in sections:
        repeated = _pytest(folder, *shlex.split(command)[3:])
        assert text in repeated.stdout
    assert _pytest(folder, "test_kernels.py::test_order", "--softnpu-seeds", "1").returncode == 0


def test_bad_options(folder: Path) -> None:
    done = _pytest(folder, "test_kernels.py::test_twice", "--softnpu-seeds", "0")
    assert done.returncode != 0
    assert "--softnpu-seeds is 0, at least 1 is needed" in done.stdout + done.stderr

"""The demo as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import MODEL
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema
from vllm_cann_demo.server import Server, ServerError


def processes_of(group: int) -> list[int]:
    """Live processes of a session."""
    out = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == group and fields[0] != "Z":
                out.append(int(entry.name))
    return out


def demo(*options: str) -> list[str]:
    """The command line of the demo."""
    return [sys.executable, "-m", "vllm_cann_demo", "--model", str(MODEL), *options]


def test_the_demo_answers_everything(tmp_path: Path) -> None:
    result = subprocess.run(demo("--output", str(tmp_path)), capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    out = result.stdout
    assert "device: npu:0: Ascend910B3, 1.0 GiB; vLLM platform npu (dispatch key PrivateUse1), torch_npu 2.13.0, CANN 9.0.0" in out
    assert "answers: 32/32 correct" in out
    launches = {
        name: (int(total), int(steps))
        for name, total, steps in re.findall(r"launches of (\w+): (\d+) = (?:2 layers x )?\d+ forward steps \((\d+) counted\)", out)
    }
    shares = {"reshape_and_cache": 2, "qkv_rmsnorm_rope": 2, "slot_mapping": 1}
    assert set(launches) == set(shares)
    assert all(launches[name][0] == share * launches[name][1] > 0 for name, share in shares.items())
    trace = schema.Trace()
    trace.ParseFromString(Path(re.findall(r"trace: (\S+)", out)[0]).read_bytes())
    names = [p.track_event.name for p in trace.packet if p.track_event.type == schema.TrackEvent.TYPE_SLICE_BEGIN]
    # The run's launches, and one when the kernels were loaded.
    assert names.count("reshape_and_cache") == launches["reshape_and_cache"][0] + 1


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        demo("--serve", "--output", str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("serving"):
            break
    server = int(re.findall(r"pid=(\d+)", (tmp_path / "server.log").read_text())[0])
    group = os.getsid(server)
    assert processes_of(group)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(40) == 130
    deadline = time.monotonic() + 10
    while processes_of(group):
        assert time.monotonic() < deadline, processes_of(group)
        time.sleep(0.1)


def test_a_server_that_dies_or_hangs_is_reported_with_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match="ended with status"),
        Server(MODEL, tmp_path, ["--dtype", "int4"]),
    ):
        pass
    with (
        pytest.raises(ServerError, match="was not ready after 1 s"),
        Server(MODEL, tmp_path, timeout=1),
    ):
        pass
    result = subprocess.run(
        demo("--model", "/nowhere", "--output", str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 1
    assert "nowhere" in result.stderr

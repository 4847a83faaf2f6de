"""Streams, events, memory and devices of SoftNPU under unmodified torch_npu. The streams delay every task by up to 2 ms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from softnpu import trace

STATE = Path(os.environ["SOFTNPU_STATE_DIR"])


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program on this SoftNPU."""
    return subprocess.run(
        [sys.executable, "-c", "import torch, torch_npu\n" + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_devices_are_what_the_profile_says() -> None:
    assert torch.npu.device_count() == 8
    assert torch.npu.get_device_name(0) == "Ascend910B3"
    assert torch.npu.get_device_properties(0).total_memory == 256 << 20
    assert torch.npu.is_bf16_supported()
    with pytest.raises(RuntimeError):
        torch.ones(1, device="npu:8")


def test_copies_between_devices() -> None:
    x = torch.arange(1000.0)
    assert torch.equal(x.to("npu:3").to("npu:7").cpu(), x)


def test_an_event_orders_two_streams_and_without_it_the_order_is_lost() -> None:
    def chain(wait: bool) -> bool:
        first, second = torch.npu.Stream(), torch.npu.Stream()
        x = torch.zeros(64, device="npu")
        torch.npu.synchronize()
        with torch.npu.stream(first):
            for _ in range(30):
                x += 1
        if wait:
            second.wait_stream(first)
        with torch.npu.stream(second):
            y = x * 1
        torch.npu.synchronize()
        return bool((y == 30).all())

    assert all(chain(wait=True) for _ in range(5))
    assert not all(chain(wait=False) for _ in range(5)), "the delays are there to show a missing wait"


def test_event_times() -> None:
    start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    start.record()
    x = torch.ones(8, device="npu")
    for _ in range(20):
        x += 1
    end.record()
    end.synchronize()
    # Twenty tasks with delays of 1 ms on average.
    assert 2 < start.elapsed_time(end) < 2000


def test_pinned_memory_and_asynchronous_copies() -> None:
    source = torch.arange(4096.0).pin_memory()
    assert source.is_pinned()
    x = source.to("npu", non_blocking=True)
    target = torch.empty(4096, pin_memory=True)
    target.copy_(x, non_blocking=True)
    torch.npu.synchronize()
    assert torch.equal(target, source)


def test_out_of_memory_says_how_much() -> None:
    with pytest.raises(torch.OutOfMemoryError, match="NPU out of memory"):
        torch.empty(1 << 30, dtype=torch.uint8, device="npu")


def test_host_access_to_device_memory_is_reported() -> None:
    result = run("import ctypes; x = torch.ones(3).npu(); torch.npu.synchronize(); ctypes.string_at(x.data_ptr() + 8, 4)")
    assert result.returncode < 0
    assert "SoftNPU: host code dereferenced device memory" in result.stderr
    assert "offset 8 of allocation #" in result.stderr
    visible = run(
        "import ctypes; x = torch.ones(3).npu(); torch.npu.synchronize(); print(ctypes.string_at(x.data_ptr(), 4).hex())",
        SOFTNPU_HOST_VISIBLE="1",
    )
    assert visible.stdout.strip().endswith("0000803f")


def test_a_forked_child_gets_an_error() -> None:
    result = run(
        "import os\nx = torch.ones(3).npu(); torch.npu.synchronize()\npid = os.fork()\n"
        "if pid == 0:\n    try:\n        (x + 1).cpu()\n    except RuntimeError as e:\n        print(e, flush=True)\n"
        "    os._exit(0)\nos.waitpid(pid, 0)",
        TASK_QUEUE_ENABLE="0",
    )
    assert "was forked after the device was initialised" in result.stdout + result.stderr
    assert "spawn" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOFTNPU_CHECKS", "maybe"),
        ("SOFTNPU_DELAY_US", "-1"),
        ("SOFTNPU_DEVICES", "17"),
        ("SOFTNPU_PROFILE_FILE", "/nowhere.toml"),
    ],
)
def test_bad_environment_is_refused_by_name(name: str, value: str) -> None:
    result = run("torch.ones(1).npu()", **{name: value})
    assert result.returncode != 0
    assert value in result.stderr
    assert name in result.stderr or "device profile" in result.stderr


def test_fresh_memory_is_poisoned() -> None:
    code = "x = torch.empty(1000, device='npu'); print(torch.isnan(x).all().item())"
    assert run(code, SOFTNPU_UNWRITTEN="ignore").stdout.strip().endswith("True")


def test_the_trace_has_a_slice_for_every_task(tmp_path: Path) -> None:
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

    result = run(
        "s = torch.npu.Stream(); x = torch.ones(4).npu()\n"
        "with torch.npu.stream(s):\n    for _ in range(7): x = x * 2\n"
        "for _ in range(5): x = x + 1\ntorch.npu.synchronize()",
        SOFTNPU_STATE_DIR=str(tmp_path),
        SOFTNPU_TRACE_TASKS="1000",
    )
    assert result.returncode == 0, result.stderr
    target = tmp_path / "run.pftrace"
    with target.open("wb") as file:
        written = trace.write(tmp_path, file)
    parsed = schema.Trace()
    parsed.ParseFromString(target.read_bytes())
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in parsed.packet if p.HasField("track_descriptor")}
    slices: Counter[tuple[str, str]] = Counter()
    open_at: dict[int, int] = {}
    streams = set()
    for packet in parsed.packet:
        if not packet.HasField("track_event"):
            continue
        event = packet.track_event
        if event.type == schema.TrackEvent.TYPE_SLICE_BEGIN:
            assert event.track_uuid not in open_at, "tasks of a stream do not overlap"
            open_at[event.track_uuid] = packet.timestamp
            slices[event.categories[0], event.name] += 1
            streams.add(tracks[event.track_uuid].name)
        else:
            assert packet.timestamp >= open_at.pop(event.track_uuid)
    assert not open_at
    assert written == trace.Written(sum(slices.values()), {}, [])
    [counted] = trace.counts(tmp_path).values()
    assert slices == counted
    assert slices["operator", "aclnnMuls"] == 7
    assert slices["operator", "aclnnAdds"] == 5
    assert len(streams) == 2


def test_idle_devices_cost_little(tmp_path: Path) -> None:
    """All eight devices, each with a stream and an allocation, in a program of C functions alone: less than 100 MB in all."""
    program = tmp_path / "program.py"
    program.write_text("""
import ctypes
from pathlib import Path

def resident():
    # Each page counts by how many processes have it; those of the files of device memory are among them.
    return int(Path("/proc/self/smaps_rollup").read_text().split("Pss:")[1].split()[0]) << 10

before = resident()
library = ctypes.CDLL("libascendcl.so")
assert library.aclInit(None) == 0
for device in range(8):
    stream, memory = ctypes.c_void_p(), ctypes.c_void_p()
    assert library.aclrtSetDevice(device) == 0
    assert library.aclrtCreateStream(ctypes.byref(stream)) == 0
    assert library.aclrtMalloc(ctypes.byref(memory), ctypes.c_size_t(1 << 20), 0) == 0
print(resident() - before)
""")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(f"{int(done.stdout) / 1e6:.1f} MB")
    assert int(done.stdout) < 100e6

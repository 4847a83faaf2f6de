"""Traces of runs: what a long, a killed or a damaged run leaves, and in how much memory a trace is written."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

from softnpu import trace

CAPACITY = 1000

# A program that queues tasks through the ACL C API and then ends as it is told.
TASKS = """
import ctypes, os, signal, sys
acl = ctypes.CDLL("libascendcl.so")
pointer, size = ctypes.c_void_p(), ctypes.c_size_t(64)
assert acl.aclInit(None) == acl.aclrtSetDevice(0) == acl.aclrtMalloc(ctypes.byref(pointer), size, 0) == 0
for _ in range(int(sys.argv[1])):
    assert acl.aclrtMemsetAsync(pointer, size, 0, size, None) == 0
assert acl.aclrtSynchronizeStream(None) == 0
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(sys.argv[2]))
"""

# A sum of 2^18 float32 over two devices of this process.
COLLECTIVE = """
import ctypes, sys
acl, hccl = ctypes.CDLL("libascendcl.so"), ctypes.CDLL("libhccl.so")
devices = (ctypes.c_int32 * 2)(*map(int, sys.argv[1:]))
assert acl.aclInit(None) == 0
buffers = []
for device in devices:
    buffers.append(ctypes.c_void_p())
    assert acl.aclrtSetDevice(device) == acl.aclrtMalloc(ctypes.byref(buffers[-1]), ctypes.c_size_t(1 << 20), 0) == 0
    assert acl.aclrtMemset(buffers[-1], ctypes.c_size_t(1 << 20), 0, ctypes.c_size_t(1 << 20)) == 0
comms = (ctypes.c_void_p * 2)()
assert hccl.HcclCommInitAll(2, devices, comms) == 0
for comm, buffer in zip(comms, buffers):
    assert hccl.HcclAllReduce(buffer, buffer, ctypes.c_uint64(1 << 18), 4, 0, ctypes.c_void_p(comm), None) == 0
for device in devices:
    assert acl.aclrtSetDevice(device) == acl.aclrtSynchronizeStream(None) == 0
"""


def event(start: int, name: str = "op", kind: int = 1, modelled: int = 0) -> bytes:
    return struct.pack("<qqiIII64s", start, start + 1, 0, 0, kind, modelled, name.encode())


def header(used: int, magic: bytes = b"SNPUEVT2", capacity: int = CAPACITY) -> bytes:
    return struct.pack("<8sQQQQ24x", magic, capacity, used, 1, 1)


def slices(path: Path) -> list[tuple[int, int, str]]:
    """(process id, start, name) of the slices in a trace."""
    parsed = schema.Trace.FromString(path.read_bytes())
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in parsed.packet if p.HasField("track_descriptor")}
    out = []
    for packet in parsed.packet:
        if packet.HasField("track_event") and packet.track_event.type == schema.TrackEvent.TYPE_SLICE_BEGIN:
            process = tracks[tracks[packet.track_event.track_uuid].parent_uuid]
            out.append((process.process.pid, packet.timestamp, packet.track_event.name))
    return out


def write(state: Path, since: int = 0) -> tuple[trace.Written, list[tuple[int, int, str]], Path]:
    target = state / "trace"
    with target.open("wb") as file:
        written = trace.write(state, file, since)
    return written, slices(target), target


def run(directory: Path, tasks: int, end: str, *options: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    target = directory / "run.pftrace"
    command = [sys.executable, "-m", "softnpu", "run", "--memory", "64MiB", *options, "--", sys.executable, "-c", TASKS, str(tasks), end]
    return subprocess.run(command, capture_output=True, text=True, check=False), target


def test_without_a_trace_no_tasks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTNPU_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("SOFTNPU_TRACE_TASKS", raising=False)
    result, _ = run(tmp_path, 5, "0")
    assert result.returncode == 0, result.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".counts"]
    [counted] = trace.counts(tmp_path).values()
    assert sum(counted.values()) == 5
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300_000


@pytest.mark.parametrize(("end", "status"), [("0", 0), ("7", 7), ("kill", 137)])
def test_a_long_run_keeps_its_latest_tasks_and_its_status(end: str, status: int, tmp_path: Path) -> None:
    target = tmp_path / "run.pftrace"
    result, _ = run(tmp_path, 150, end, "--trace", str(target), "--trace-tasks", "100")
    assert result.returncode == status, result.stderr
    assert "the trace has the latest tasks of process" in result.stderr
    assert ", 50 earlier ones were dropped" in result.stderr
    found = slices(target)
    assert len(found) == 100
    parsed = schema.Trace.FromString(target.read_bytes())
    [note] = [p for p in parsed.packet if p.track_event.type == schema.TrackEvent.TYPE_INSTANT]
    assert note.track_event.name == "50 earlier tasks were dropped"
    assert note.timestamp == min(start for _, start, _ in found)


def modelled(path: Path) -> dict[str, list[float]]:
    """The modelled microseconds of the slices in a trace, by name; of those that have none, none."""
    out: dict[str, list[float]] = {}
    for packet in schema.Trace.FromString(path.read_bytes()).packet:
        if packet.track_event.type == schema.TrackEvent.TYPE_SLICE_BEGIN:
            times = [note.double_value for note in packet.track_event.debug_annotations if note.name == "modelled_us"]
            out.setdefault(packet.track_event.name, []).extend(times)
    return out


@pytest.mark.parametrize(
    ("profile", "devices", "times"),
    [
        # Each link carries half a MiB to a rank, and half a MiB from there, at 28 GB/s.
        ("ascend910b3", ("0", "1"), [37.45, 37.45]),
        # A server has eight devices, and the link to a ninth has no published rate.
        ("ascend910b3", ("0", "8"), []),
        ("ascend310p3", ("0", "1"), []),
    ],
)
def test_a_collective_has_the_time_of_its_links(profile: str, devices: tuple[str, str], times: list[float], tmp_path: Path) -> None:
    target = tmp_path / "trace"
    options = ["--profile", profile, "--devices", "9", "--memory", "64MiB", "--trace", str(target)]
    command = [sys.executable, "-m", "softnpu", "run", *options, "--", sys.executable, "-c", COLLECTIVE, *devices]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert modelled(target) == {"HcclAllReduce": times}


def test_a_run_without_tasks_has_an_empty_trace(tmp_path: Path) -> None:
    target = tmp_path / "trace"
    command = [sys.executable, "-m", "softnpu", "run", "--trace", str(target), "--", "sh", "-c", "exit 3"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr, target.read_bytes()) == (3, "", b"")


def test_the_ring_is_read_from_its_oldest_task(tmp_path: Path) -> None:
    records = [event(start) for start in range(CAPACITY + 1, CAPACITY + 251)] + [event(start) for start in range(251, CAPACITY + 1)]
    (tmp_path / "5.events").write_bytes(header(CAPACITY + 250) + b"".join(records))
    written, found, _ = write(tmp_path)
    assert written == trace.Written(CAPACITY, {5: 250}, [])
    assert found == [(5, start, "op") for start in range(251, CAPACITY + 251)]


@pytest.mark.parametrize(
    ("content", "kept", "problem"),
    [
        (b"", 0, None),
        (bytes(64), 0, None),  # ended before it had a header
        (header(3)[:20], 0, "5.events begins with b'SNPUEVT2', not with a header"),
        (header(1, b"SNPUEVT1") + event(1), 0, "5.events begins with b'SNPUEVT1', not with a header b'SNPUEVT2'"),
        (header(1, capacity=0), 0, "5.events has a capacity of 0"),
        (header(3) + event(1) + event(2), 2, "5.events ends in the middle: 2 of 3 records are there"),
        (header(3) + event(1) + event(2)[:50], 1, "5.events ends in the middle: 1 of 3 records are there"),
        (header(CAPACITY + 1) + event(1) * 2, 1, "5.events ends in the middle: 1 of 999 records are there"),
        (header(3) + event(1) + event(2, kind=77) + event(3), 2, "5.events has 1 records of an unknown kind"),
        (header(2) + event(0) + event(3), 1, None),  # the first was never finished
    ],
)
def test_a_damaged_file_loses_no_other_process(content: bytes, kept: int, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "4.events").write_bytes(header(1) + event(10))
    (tmp_path / "5.events").write_bytes(content)
    (tmp_path / "6.events").write_bytes(header(2) + event(20) + event(30))
    written, found, _ = write(tmp_path)
    assert [pid for pid, _, _ in found] == [4] + [5] * kept + [6, 6]
    assert written.slices == 3 + kept
    assert len(written.problems) == (problem is not None)
    assert problem is None or problem in written.problems[0]


def test_a_name_that_was_cut_inside_a_letter_is_kept(tmp_path: Path) -> None:
    cut = ("x" * 62 + "é").encode()[:63]
    (tmp_path / "4.events").write_bytes(header(1) + struct.pack("<qqiIII64s", 1, 2, 0, 0, 0, 0, cut))
    assert [name for _, _, name in write(tmp_path)[1]] == ["x" * 62 + "\ufffd"]


def test_slices_of_earlier_runs_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "4.events").write_bytes(header(2) + event(10) + event(30))
    (tmp_path / "5.events").write_bytes(header(CAPACITY + 1) + event(10) * CAPACITY)
    written, found, _ = write(tmp_path, since=20)
    assert written == trace.Written(1, {}, [])
    assert found == [(4, 30, "op")]


def test_memory_does_not_grow_with_the_tasks(tmp_path: Path) -> None:
    """In a process of its own: the most memory that it has had. 2^17 slices as messages take 200 MiB."""
    (tmp_path / "4.events").write_bytes(header(1 << 17, capacity=1 << 17) + event(10) * (1 << 17))
    program = (
        "import sys, resource; from pathlib import Path; from softnpu import trace; trace.schema()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with open('/dev/null', 'wb') as file: print(trace.write(Path(sys.argv[1]), file).slices)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    # A sanitizer's allocator keeps for a while what was freed.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, capture_output=True, text=True, check=True)
    slices, grown = map(int, result.stdout.split())
    assert slices == 1 << 17
    assert grown < 32 << 10, f"{grown} KiB"  # measured: 5 MiB; 2 x 4096 packets of 100 bytes, and what protobuf keeps


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[0] != 0, reason="would write a core file")
def test_a_crash_leaves_its_tasks(tmp_path: Path) -> None:
    target = tmp_path / "trace"
    program = TASKS.replace("SIGKILL", "SIGSEGV")
    command = [sys.executable, "-m", "softnpu", "run", "--trace", str(target), "--", sys.executable, "-c", program, "3", "kill"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 139
    assert len(slices(target)) == 3

"""What processes did on SoftNPU: counters, and slices in wall time as a Perfetto trace.

Each process leaves two files in the state directory, written through shared mappings so that they outlive even a killed process. Both
begin with a header of 64 bytes: magic, capacity, records in use (more than the capacity: the rest was dropped), process id.

* ``<pid>.events``: records of 96 bytes: start and end in nanoseconds (monotonic clock), device, stream, kind, a spare word, a name of
  64 bytes. A start of 0 marks a record that was never finished.
* ``<pid>.counts``: records of 64 bytes: value, kind, a name of 52 bytes.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = ("kernel", "operator", "copy", "event", "host")

_HEADER = struct.Struct("<8sQQQ32x")
_EVENT = struct.Struct("<qqiIII64s")
_COUNT = struct.Struct("<QI52s")


@dataclass(frozen=True)
class Slice:
    """One task of a stream; times in nanoseconds of the host's monotonic clock."""

    pid: int
    device: int
    stream: int
    kind: str
    name: str
    start: int
    end: int


def _records(path: Path, magic: bytes, layout: struct.Struct) -> Iterator[tuple]:
    with path.open("rb") as file:
        found, capacity, used, _ = _HEADER.unpack(file.read(_HEADER.size))
        if found != magic:
            raise ValueError(f"{path} begins with {found!r}, not with {magic!r}")
        if used > capacity:
            raise ValueError(f"{path} has room for {capacity} records, {used} were made: the trace is incomplete")
        for _ in range(used):
            yield layout.unpack(file.read(layout.size))


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode()


def slices(state: Path) -> list[Slice]:
    """All finished tasks of all processes, in the order of their start.

    Raises:
        ValueError: a file is damaged, or more tasks ran than it has room for
    """
    out = []
    for path in sorted(state.glob("*.events")):
        pid = int(path.stem)
        for start, end, device, stream, kind, _, name in _records(path, b"SNPUEVT1", _EVENT):
            if start != 0:
                out.append(Slice(pid, device, stream, KINDS[kind], _text(name), start, end))
    return sorted(out, key=lambda s: s.start)


def counts(state: Path) -> dict[int, Counter[tuple[str, str]]]:
    """For each process id: how often each (kind, name) was queued.

    Raises:
        ValueError: a file is damaged
    """
    out = {}
    for path in sorted(state.glob("*.counts")):
        counter: Counter[tuple[str, str]] = Counter()
        for value, kind, name in _records(path, b"SNPUCNT1", _COUNT):
            counter[KINDS[kind], _text(name)] += value
        out[int(path.stem)] = counter
    return out


def write(state: Path, target: Path) -> int:
    """Writes the slices as a Perfetto trace (open it at ui.perfetto.dev), a track for each process and stream. Returns their number."""
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

    trace = schema.Trace()
    sequence = 1
    tracks: dict[tuple[int, int, int], int] = {}
    processes: dict[int, int] = {}
    events = slices(state)
    for event in events:
        if event.pid not in processes:
            processes[event.pid] = len(processes) + 1
            packet = trace.packet.add(trusted_packet_sequence_id=sequence)
            packet.track_descriptor.uuid = processes[event.pid]
            packet.track_descriptor.process.pid = event.pid
            packet.track_descriptor.process.process_name = f"process {event.pid}"
        key = (event.pid, event.device, event.stream)
        if key not in tracks:
            tracks[key] = 1_000_000 + len(tracks)
            packet = trace.packet.add(trusted_packet_sequence_id=sequence)
            packet.track_descriptor.uuid = tracks[key]
            packet.track_descriptor.parent_uuid = processes[event.pid]
            packet.track_descriptor.name = f"device {event.device} stream {event.stream}"
        begin = trace.packet.add(timestamp=event.start, trusted_packet_sequence_id=sequence)
        begin.track_event.type = schema.TrackEvent.TYPE_SLICE_BEGIN
        begin.track_event.track_uuid = tracks[key]
        begin.track_event.name = event.name
        begin.track_event.categories.append(event.kind)
        end = trace.packet.add(timestamp=max(event.end, event.start), trusted_packet_sequence_id=sequence)
        end.track_event.type = schema.TrackEvent.TYPE_SLICE_END
        end.track_event.track_uuid = tracks[key]
    target.write_bytes(trace.SerializeToString())
    return len(events)


def write_slices(slices: list[tuple[str, str, str, str, float, float]], title: str, target: Path) -> None:
    """Writes (core, pipe, name, place, begin, end in microseconds) as a Perfetto trace, a track for each core and pipe."""
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

    trace = schema.Trace()
    root = trace.packet.add(trusted_packet_sequence_id=1)
    root.track_descriptor.uuid = 1
    root.track_descriptor.name = f"{title} (modelled time)"
    tracks: dict[tuple[str, ...], int] = {}

    def track(key: tuple[str, ...], parent: int) -> int:
        if key not in tracks:
            tracks[key] = len(tracks) + 2
            packet = trace.packet.add(trusted_packet_sequence_id=1)
            packet.track_descriptor.uuid = tracks[key]
            packet.track_descriptor.parent_uuid = parent
            packet.track_descriptor.name = key[-1]
        return tracks[key]

    for core, pipe, name, place, begin, end in sorted(slices, key=lambda s: s[4]):
        uuid = track((core, pipe), track((core,), 1))
        packet = trace.packet.add(timestamp=round(begin * 1000), trusted_packet_sequence_id=1)
        packet.track_event.type = schema.TrackEvent.TYPE_SLICE_BEGIN
        packet.track_event.track_uuid = uuid
        packet.track_event.name = name
        packet.track_event.categories.append("instruction")
        annotation = packet.track_event.debug_annotations.add()
        annotation.name = "place"
        annotation.string_value = place
        packet = trace.packet.add(timestamp=round(end * 1000), trusted_packet_sequence_id=1)
        packet.track_event.type = schema.TrackEvent.TYPE_SLICE_END
        packet.track_event.track_uuid = uuid
    target.write_bytes(trace.SerializeToString())

"""What processes did on SoftNPU: counters, and slices in wall time as a Perfetto trace.

Each process leaves files in the state directory, written through shared mappings so that they outlive even a killed process. They begin
with a header of 64 bytes: magic, capacity, records asked for, process id, start of the process.

* ``<pid>.events``, of a traced process: records of 96 bytes: start and end in nanoseconds (monotonic clock), device, stream, kind, modelled
  time in nanoseconds (0: none), a name of 64 bytes. A start of 0 marks a record that was never finished. They are a ring: when more were
  asked for than the capacity, the latest are there.
* ``<pid>.counts``: records of 64 bytes: value, kind, a name of 52 bytes. More asked for than the
  capacity: the file is incomplete.
"""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

KINDS = ("kernel", "operator", "copy", "event", "host", "collective")

_HEADER = struct.Struct("<8sQQQQ24x")
_EVENT = struct.Struct("<qqiIII64s")
_COUNT = struct.Struct("<QI52s")
_EVENTS, _COUNTS = b"SNPUEVT2", b"SNPUCNT2"
_CHUNK = 4096  # records, or packets, that are in memory at once


@dataclass(frozen=True)
class Slice:
    """One task of a stream; times in nanoseconds of the host's monotonic clock.

    Attributes:
        modelled: nanoseconds that a chip would take; 0 where its time is not modelled
    """

    device: int
    stream: int
    kind: str
    name: str
    start: int
    end: int
    modelled: int = 0


@dataclass(frozen=True)
class Written:
    """What a trace holds, and what it lacks.

    Attributes:
        slices: tasks in the trace
        dropped: by process id, the tasks that were older than those for which there was room
        problems: a sentence for each damaged file
    """

    slices: int
    dropped: dict[int, int]
    problems: list[str]


def _header(file: BinaryIO, magic: bytes) -> tuple[int, int]:
    """Capacity and records asked for; none for the file of a process that ended before it wrote its header."""
    data = file.read(_HEADER.size)
    if not data.strip(b"\0"):
        return 1, 0
    if len(data) < _HEADER.size or data[:8] != magic:
        raise ValueError(f"{file.name} begins with {data[:8]!r}, not with a header {magic!r}")
    _, capacity, used, _, _ = _HEADER.unpack(data)
    if capacity == 0:
        raise ValueError(f"{file.name} has a capacity of 0")
    return capacity, used


def _records(file: BinaryIO, layout: struct.Struct, first: int, count: int) -> Iterator[tuple]:
    file.seek(_HEADER.size + first * layout.size)
    for at in range(0, count, _CHUNK):
        data = file.read(min(_CHUNK, count - at) * layout.size)
        yield from layout.iter_unpack(data[: len(data) // layout.size * layout.size])
        if len(data) < min(_CHUNK, count - at) * layout.size:
            raise ValueError(f"{file.name} ends in the middle: {at + len(data) // layout.size} of {count} records are there")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="replace")


def dropped(path: Path) -> int:
    """How many tasks of a process were dropped from its event file, because later ones took their room.

    Raises:
        ValueError: the file is damaged
    """
    with path.open("rb") as file:
        capacity, used = _header(file, _EVENTS)
    return max(0, used - capacity)


def slices(path: Path) -> Iterator[Slice]:
    """The finished tasks in an event file, in the order in which they ended.

    Raises:
        ValueError: the file is damaged; what could be read has been given by then
    """
    with path.open("rb") as file:
        capacity, used = _header(file, _EVENTS)
        oldest = used % capacity if used > capacity else 0
        bad = 0
        parts = ((oldest, min(used, capacity) - oldest), (0, oldest))
        for record in itertools.chain.from_iterable(_records(file, _EVENT, first, count) for first, count in parts):
            start, end, device, stream, kind, modelled, name = record
            if start == 0:
                continue
            if kind < len(KINDS):
                yield Slice(device, stream, KINDS[kind], _text(name), start, end, modelled)
            else:
                bad += 1
        if bad:
            raise ValueError(f"{path} has {bad} records of an unknown kind")


def counts(state: Path) -> dict[int, Counter[tuple[str, str]]]:
    """For each process id: how often each (kind, name) was queued.

    Raises:
        ValueError: a file is damaged, or there was no room for a name
    """
    out = {}
    for path in sorted(state.glob("*.counts")):
        counter: Counter[tuple[str, str]] = Counter()
        with path.open("rb") as file:
            capacity, used = _header(file, _COUNTS)
            if used > capacity:
                raise ValueError(f"{path} has room for {capacity} names, and more were counted")
            for value, kind, name in _records(file, _COUNT, 0, used):
                counter[KINDS[kind], _text(name)] += value
        out[int(path.stem)] = counter
    return out


def schema() -> Any:
    """Perfetto's messages.

    Raises:
        ValueError: the packages perfetto and protobuf cannot be imported
    """
    try:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2
    except ImportError as error:
        raise ValueError(f"a trace needs the packages perfetto and protobuf, which softnpu requires: {error}") from None
    return perfetto_trace_pb2


class _Packets:
    """Writes packets of a trace as they come. A trace is the concatenation of its parts."""

    def __init__(self, target: BinaryIO) -> None:
        self.schema = schema()
        self._target = target
        self._trace = self.schema.Trace()
        self._count = 0

    def add(self, **fields: Any) -> Any:
        """A new packet. It is written when a later one is added, or by flush."""
        if self._count == _CHUNK:
            self.flush()
        self._count += 1
        return self._trace.packet.add(trusted_packet_sequence_id=1, **fields)

    def track(self, uuid: int, name: str, parent: int | None = None) -> Any:
        """The description of a track."""
        descriptor = self.add().track_descriptor
        descriptor.uuid = uuid
        descriptor.name = name
        if parent is not None:
            descriptor.parent_uuid = parent
        return descriptor

    def slice(self, track: int, name: str, category: str, begin: int, end: int) -> Any:
        """A slice; times in nanoseconds. Returns the event of its beginning."""
        # Both in one part: the caller may still add to the first.
        if self._count + 2 > _CHUNK:
            self.flush()
        event = self.add(timestamp=begin).track_event
        event.type = self.schema.TrackEvent.TYPE_SLICE_BEGIN
        event.track_uuid = track
        event.name = name
        event.categories.append(category)
        last = self.add(timestamp=max(end, begin)).track_event
        last.type = self.schema.TrackEvent.TYPE_SLICE_END
        last.track_uuid = track
        return event

    def flush(self) -> None:
        """Writes what has been added."""
        self._target.write(self._trace.SerializeToString())
        self._trace = self.schema.Trace()  # a cleared message would keep its memory
        self._count = 0


def write(state: Path, target: BinaryIO, since: int = 0) -> Written:
    """Writes the slices as a Perfetto trace (open it at ui.perfetto.dev), a track for each process and stream.

    The memory that this takes does not depend on the number of slices. They are in no order of time; Perfetto sorts them. A process that
    has dropped tasks has an event that says how many, at its oldest slice.

    Args:
        state: the directory with the processes' files
        target: the trace
        since: monotonic clock in nanoseconds; slices that began before are of an earlier run, and are left out
    Raises:
        OSError: the trace cannot be written
    """
    packets = _Packets(target)
    uuids = itertools.count(1)
    total = 0
    lost: dict[int, int] = {}
    problems = []
    for path in sorted(state.glob("*.events")):
        process = 0
        tracks: dict[tuple[int, int], int] = {}
        try:
            pid = int(path.stem)
            missing = dropped(path)
            for event in slices(path):
                if event.start < since:
                    continue
                if not process:
                    process = next(uuids)
                    descriptor = packets.track(process, f"process {pid}")
                    descriptor.process.pid = pid
                    descriptor.process.process_name = f"process {pid}"
                    if missing:
                        lost[pid] = missing
                        note = packets.add(timestamp=event.start).track_event
                        note.type = packets.schema.TrackEvent.TYPE_INSTANT
                        note.track_uuid = process
                        note.name = f"{missing} earlier tasks were dropped"
                key = (event.device, event.stream)
                if key not in tracks:
                    tracks[key] = next(uuids)
                    packets.track(tracks[key], f"device {event.device} stream {event.stream}", process)
                began = packets.slice(tracks[key], event.name, event.kind, event.start, event.end)
                if event.modelled:
                    annotation = began.debug_annotations.add()
                    annotation.name = "modelled_us"
                    annotation.double_value = event.modelled / 1000
                total += 1
        except ValueError as error:
            problems.append(str(error))
    packets.flush()
    return Written(total, lost, problems)


def write_slices(slices: list[tuple[str, str, str, str, float, float]], title: str, target: Path) -> None:
    """Writes (core, pipe, name, place, begin, end in microseconds) as a Perfetto trace, a track for each core and pipe."""
    with target.open("wb") as file:
        packets = _Packets(file)
        packets.track(1, f"{title} (modelled time)")
        tracks: dict[tuple[str, ...], int] = {}

        def track(key: tuple[str, ...], parent: int) -> int:
            if key not in tracks:
                tracks[key] = len(tracks) + 2
                packets.track(tracks[key], key[-1], parent)
            return tracks[key]

        for core, pipe, name, place, begin, end in sorted(slices, key=lambda s: s[4]):
            uuid = track((core, pipe), track((core,), 1))
            event = packets.slice(uuid, name, "instruction", round(begin * 1000), round(end * 1000))
            annotation = event.debug_annotations.add()
            annotation.name = "place"
            annotation.string_value = place
        packets.flush()

"""The page about a launch: its pipes over time, their use, bank conflicts, bytes, what bounds it, the longest gaps.

One HTML file without scripts and without other files; the pictures are SVG in it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PIPES = ("S", "MTE2", "MTE1", "M", "V", "FIX", "MTE3")
MEANING = {
    "S": "scalar unit",
    "MTE2": "copies from GM",
    "MTE1": "copies to L0A, L0B",
    "M": "cube unit",
    "V": "vector unit",
    "FIX": "copies from L0C",
    "MTE3": "copies to GM",
}
_MOST_CORES = 6
_WIDTH, _ROW, _MARGIN = 1000, 16, 74
# A pipe that works for less of the time does not bound a launch: then it is the order of the pipes.
_BUSY = 0.6


@dataclass(frozen=True)
class Slice:
    """Work of a pipe. Times in microseconds after the start of the launch.

    Attributes:
        core: "AIV 3"
        name, place: the instruction, and the file and line of its call
        conflict: of the time, what bank conflicts take
        read, written: bytes of GM
    """

    core: str
    pipe: str
    name: str
    place: str
    begin: float
    end: float
    conflict: float = 0.0
    read: int = 0
    written: int = 0

    @property
    def length(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Gap:
    """A time in which a pipe does not work, between two slices that it works in."""

    begin: float
    end: float
    before: Slice
    after: Slice
    meanwhile: str


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    pipe: str
    text: str


@dataclass
class Lane:
    """The rows of a core in the picture."""

    core: str
    rows: list[tuple[str, float]] = field(default_factory=list)  # pipe, y
    rects: list[Rect] = field(default_factory=list)


@dataclass(frozen=True)
class Use:
    """Shares of the time of the cores that use a pipe: its work, of it bank conflicts; and the number of those cores."""

    pipe: str
    work: float
    conflict: float
    cores: int


@dataclass(frozen=True)
class Line:
    """What the calls of an instruction in a line take, over all cores."""

    place: str
    name: str
    pipe: str
    calls: int
    microseconds: float
    conflict: float
    moved: int


def gaps(slices: Sequence[Slice], pipe: str, core: str, most: int = 3) -> list[Gap]:
    """The longest times in which a pipe of a core does not work, the longest first."""
    own = sorted((s for s in slices if s.core == core and s.pipe == pipe), key=lambda s: s.begin)
    others = [s for s in slices if s.core == core and s.pipe != pipe]
    found = []
    for before, after in itertools.pairwise(own):
        if after.begin <= before.end:
            continue
        worked: dict[str, float] = defaultdict(float)
        for s in others:
            worked[f"{s.pipe} {s.name} ({s.place})"] += max(0.0, min(s.end, after.begin) - max(s.begin, before.end))
        busiest = max(worked.items(), key=lambda item: item[1], default=("", 0.0))
        length = after.begin - before.end
        meanwhile = f"{busiest[0]}, {busiest[1] / length:.0%} of it" if busiest[1] > 0 else "no other pipe works"
        found.append(Gap(before.end, after.begin, before, after, meanwhile))
    return sorted(found, key=lambda gap: gap.begin - gap.end)[:most]


def uses(slices: Sequence[Slice], span: float) -> list[Use]:
    """The use of each pipe, in the order of PIPES; `span`: the time of the cores."""
    work: dict[str, float] = defaultdict(float)
    conflict: dict[str, float] = defaultdict(float)
    cores: dict[str, set[str]] = defaultdict(set)
    for s in slices:
        work[s.pipe] += s.length
        conflict[s.pipe] += s.conflict
        cores[s.pipe].add(s.core)
    return [
        Use(pipe, work[pipe] / len(cores[pipe]) / span, conflict[pipe] / len(cores[pipe]) / span, len(cores[pipe]))
        for pipe in PIPES
        if pipe in cores and span > 0
    ]


def bound(found: Sequence[Use], head: float, total: float) -> str:
    """What bounds a launch, in a sentence."""
    if not found or head > total - head:
        return f"the head of the launch, {head:.2f} of {total:.2f} us: more work for a launch, or fewer launches, would pay"
    busiest = max(found, key=lambda use: use.work)
    named = (
        f"{busiest.pipe}, the {MEANING[busiest.pipe]}" if busiest.pipe in ("S", "M", "V") else f"{busiest.pipe}, {MEANING[busiest.pipe]}"
    )
    if busiest.work < _BUSY:
        return f"order: no pipe works for {_BUSY:.0%} of the time; the busiest is {named}, with {busiest.work:.0%}"
    of_it = f", of which {busiest.conflict / busiest.work:.0%} are bank conflicts" if busiest.conflict > 0.05 * busiest.work else ""
    return f"{named}: {busiest.work:.0%} of the time{of_it}"


def lines(slices: Iterable[Slice], most: int = 12) -> list[Line]:
    """The calls that take most time."""
    groups: dict[tuple[str, str, str], list[Slice]] = defaultdict(list)
    for s in slices:
        groups[s.place, s.name, s.pipe].append(s)
    found = [
        Line(*key, len(group), sum(s.length for s in group), sum(s.conflict for s in group), sum(s.read + s.written for s in group))
        for key, group in groups.items()
    ]
    return sorted(found, key=lambda line: -line.microseconds)[:most]


def _chosen(slices: Sequence[Slice]) -> list[str]:
    """The cores that the picture shows: the one that ends last, then others evenly; in their order."""
    last: dict[str, float] = defaultdict(float)
    for s in slices:
        last[s.core] = max(last[s.core], s.end)
    cores = sorted(last, key=lambda core: (core.rpartition(" ")[0], int(core.rpartition(" ")[2] or 0)))
    if len(cores) <= _MOST_CORES:
        return cores
    latest = max(cores, key=lambda core: last[core])
    step = len(cores) / (_MOST_CORES - 1)
    even = [cores[int(i * step)] for i in range(_MOST_CORES - 1)]
    return [core for core in cores if core in {latest, *even}]


def _rects(own: Sequence[Slice], y: float, scale: float) -> list[Rect]:
    """Neighbours that are narrower than half a unit together are one rectangle."""
    out: list[Rect] = []
    waiting: list[Slice] = []

    def flush() -> None:
        if not waiting:
            return
        begin, end = waiting[0].begin, max(s.end for s in waiting)
        if len(waiting) == 1:
            s = waiting[0]
            moved = f", {s.read + s.written:,} bytes" if s.read + s.written else ""
            conflict = f", {s.conflict:.3f} us of bank conflicts" if s.conflict > 0 else ""
            text = f"{s.name} at {s.place}: {s.begin:.3f} to {s.end:.3f} us{moved}{conflict}"
        else:
            text = f"{len(waiting)} instructions: {begin:.3f} to {end:.3f} us"
        out.append(Rect(_MARGIN + begin * scale, y, max((end - begin) * scale, 0.35), own[0].pipe, text))
        waiting.clear()

    for s in own:
        if waiting and ((s.end - waiting[0].begin) * scale > 0.5 or (s.begin - waiting[-1].end) * scale > 0.2):
            flush()
        waiting.append(s)
    flush()
    return out


def _lanes(slices: Sequence[Slice], total: float) -> tuple[list[Lane], float]:
    """The rows of the picture and its height."""
    scale = (_WIDTH - _MARGIN - 6) / total
    lanes, y = [], 8.0
    for core in _chosen(slices):
        lane = Lane(core)
        y += 18
        for pipe in PIPES:
            own = sorted((s for s in slices if s.core == core and s.pipe == pipe), key=lambda s: s.begin)
            if not own:
                continue
            lane.rows.append((pipe, y))
            lane.rects += _rects(own, y, scale)
            y += _ROW + 3
        y += 6
        lanes.append(lane)
    return lanes, y


def _ticks(total: float) -> list[tuple[float, str]]:
    """Places and labels of the axis: 5 to 10 round numbers of microseconds."""
    step = next(s * 10.0**e for e in range(-3, 7) for s in (1, 2, 5) if total / (s * 10.0**e) <= 10)
    scale = (_WIDTH - _MARGIN - 6) / total
    return [(_MARGIN + i * step * scale, f"{i * step:g}") for i in range(int(total / step) + 1)]


def html(
    slices: Sequence[Slice],
    *,
    kernel: str,
    chip: str,
    blocks: int,
    microseconds: float,
    head_microseconds: float,
    auto_sync: bool,
    warnings: Sequence[str] = (),
    read_bytes: int = 0,
    written_bytes: int = 0,
    scalar: float = 0.0,
) -> str:
    """The page.

    Args:
        slices: of all cores and pipes; of S only what the kernel computes
        chip: its name
        microseconds: of the launch, with its head
        read_bytes, written_bytes: of GM
        scalar: share of the time of the cores in which S computes or issues instructions, where it is known
    """
    import jinja2

    span = max(microseconds - head_microseconds, 0.0)
    drawn = uses(slices, span)
    # S issues the instructions of all pipes, on each core.
    issued = [Use("S", scalar, 0.0, len({s.core for s in slices}))] if scalar > 0 else [use for use in drawn if use.pipe == "S"]
    found = [*issued, *(use for use in drawn if use.pipe != "S")]
    busiest = max(drawn, key=lambda use: use.work).pipe if drawn else "V"
    latest = max((s for s in slices if s.pipe == busiest), key=lambda s: s.end, default=None)
    longest = gaps(slices, busiest, latest.core) if latest else []
    lanes, height = _lanes(slices, microseconds) if slices else ([], 40.0)
    scale = (_WIDTH - _MARGIN - 6) / microseconds
    rows = {(lane.core, pipe): y for lane in lanes for pipe, y in lane.rows}
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    ).get_template("report.html.jinja")
    return template.render(
        kernel=kernel,
        chip=chip,
        blocks=blocks,
        auto_sync=auto_sync,
        warnings=warnings,
        microseconds=microseconds,
        head=head_microseconds,
        read_bytes=read_bytes,
        written_bytes=written_bytes,
        rate=(read_bytes + written_bytes) / span / 1e3 if span > 0 else 0.0,
        bound=bound(found, head_microseconds, microseconds),
        uses=found,
        meaning=MEANING,
        conflict=sum(use.conflict for use in found),
        busiest=busiest,
        latest=latest.core if latest else "",
        gaps=longest,
        marks=[(_MARGIN + gap.begin * scale, (gap.end - gap.begin) * scale, rows.get((latest.core, busiest))) for gap in longest]
        if latest
        else [],
        lines=lines(slices),
        lanes=lanes,
        cores=len({s.core for s in slices}),
        ticks=_ticks(microseconds),
        head_x=_MARGIN + head_microseconds * scale,
        width=_WIDTH,
        height=height + 26,
        margin=_MARGIN,
        row=_ROW,
    )

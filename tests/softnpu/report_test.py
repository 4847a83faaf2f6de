"""The page about a launch: what it says of pipes, gaps, bank conflicts and bytes, and that it is well formed."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import softnpu
from softnpu import report
from softnpu.report import Slice


def _work(pipe: str, begin: float, end: float, core: str = "AIV 0", conflict: float = 0.0) -> Slice:
    return Slice(core, pipe, f"of {pipe}", f"k.cpp:{round(begin)}", begin, end, conflict)


def test_gaps_are_the_longest_and_name_both_ends_and_the_time_between() -> None:
    slices = [_work("MTE2", t, t + 1) for t in (0, 1, 4, 10, 12)] + [_work("V", 5, 9), _work("MTE2", 2, 9, "AIV 1")]
    found = report.gaps(slices, "MTE2", "AIV 0", most=2)
    assert [(gap.begin, gap.end) for gap in found] == [(5, 10), (2, 4)]
    assert (found[0].before.place, found[0].after.place) == ("k.cpp:4", "k.cpp:10")
    assert found[0].meanwhile == "V of V (k.cpp:5), 80% of it"
    assert found[1].meanwhile == "no other pipe works"


@pytest.mark.parametrize("seed", range(20))
def test_gaps_are_the_idle_times_of_a_pipe_tick_by_tick(seed: int) -> None:
    """Slices in whole ticks, in any order, many of which adjoin: between those there is no gap."""
    rng = np.random.default_rng(seed)
    idle, length = rng.integers(0, 3, 30), rng.integers(1, 4, 30)
    begins = (np.cumsum(idle + length) - length).tolist()
    slices = [_work("V", begin, begin + int(n)) for begin, n in zip(begins, length, strict=True)]
    busy = {tick for s in slices for tick in range(int(s.begin), int(s.end))}
    edges = [tick for tick in range(begins[0], max(busy) + 1) if (tick in busy) != (tick - 1 in busy)]
    want = list(zip(edges[1::2], edges[2::2], strict=False))
    assert (idle[1:] == 0).any()
    assert len(want) == (idle[1:] > 0).sum()
    found = report.gaps([slices[i] for i in rng.permutation(30)], "V", "AIV 0", most=30)
    assert sorted((gap.begin, gap.end) for gap in found) == want
    assert [gap.end - gap.begin for gap in found] == sorted((end - begin for begin, end in want), reverse=True)


def test_use_is_the_mean_of_the_cores_that_use_a_pipe() -> None:
    slices = [_work("V", 0, 6, conflict=2), _work("V", 0, 2, "AIV 1"), _work("S", 0, 1)]
    assert report.uses(slices, 8) == [report.Use("S", 1 / 8, 0, 1), report.Use("V", 0.5, 0.125, 2)]


@pytest.mark.parametrize(
    ("slices", "head", "total", "words"),
    [
        ([_work("MTE2", 0, 8), _work("V", 0, 4)], 1.0, 10.0, r"^MTE2, copies from GM: 89% of the time$"),
        ([_work("V", 0, 9, conflict=3)], 0.0, 10.0, r"^V, the vector unit: 90% of the time, of which 33% are bank conflicts$"),
        ([_work("MTE2", 0, 4), _work("V", 4, 8)], 1.0, 10.0, r"^order: no pipe works for 60% of the time; the busiest is MTE2"),
        ([_work("V", 0, 1)], 6.0, 7.0, r"^the head of the launch, 6\.00 of 7\.00 us"),
        ([], 1.0, 1.0, r"^the head of the launch"),
    ],
)
def test_what_bounds_a_launch(slices: list[Slice], head: float, total: float, words: str) -> None:
    assert re.search(words, report.bound(report.uses(slices, total - head), head, total))


def test_many_short_instructions_are_few_rectangles() -> None:
    slices = [_work("S", t / 100, t / 100 + 0.005) for t in range(100000)]
    page = report.html(slices, kernel="k", chip="c", blocks=1, microseconds=1000.0, head_microseconds=0.0, auto_sync=False)
    assert page.count('<rect class="S"') < 4000


def test_names_are_quoted() -> None:
    page = report.html([_work("V", 0, 1)], kernel="k<half>", chip="c", blocks=1, microseconds=2.0, head_microseconds=0.5, auto_sync=True)
    assert "k&lt;half&gt;" in page
    assert "k<half>" not in page


def test_the_page_of_a_launch(tmp_path: Path) -> None:
    kernel = softnpu.load("tests/softnpu/api.twin.so")["affine"]
    x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    scale = np.array([(0.5, 3, 64)], np.dtype([("factor", "f4"), ("offset", "i4"), ("count", "u8")])).tobytes()
    made = softnpu.launch(kernel, x, softnpu.Output(y), scale, -1, True, None, report_file=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert f"<b>{made.microseconds:.2f} us</b>" in page
    assert f"<b>{made.read_bytes}</b><span>bytes read" in page
    for call in ("DataCopy", "Muls", "Adds"):
        assert f"<code>{call}</code>" in page
    assert "--cce-auto-sync=off" in page
    picture = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    works = [rect for rect in picture.iter("rect") if rect.get("class") in report.PIPES]
    # S has nothing to compute, only to issue.
    assert {rect.get("class") for rect in works} == set(made.busy) - {"S"}
    shares = re.findall(r"(\d+\.\d)%", page)
    assert {f"{share:.1%}"[:-1] for share in made.busy.values()} <= set(shares)
    # The time of an instruction is its width.
    muls = next(s for s in made.slices if s[2] == "Muls")
    (rect,) = [rect for rect in works if (rect.findtext("title") or "").startswith("Muls at api.cpp")]
    assert made.microseconds is not None
    expected = (muls[5] - muls[4]) / made.microseconds * (report._WIDTH - report._MARGIN - 6)
    assert float(rect.get("width", 0)) == pytest.approx(expected, abs=0.01)


def test_without_a_model_of_time_there_is_no_page(tmp_path: Path) -> None:
    kernel = softnpu.load("tests/softnpu/api.twin.so")["chain"]
    with pytest.raises(ValueError, match=r"the time of Ascend310P3 is not modelled, so there is no report"):
        softnpu.launch(kernel, np.zeros(8, np.int32), profile="ascend310p3", report_file=tmp_path / "page.html")

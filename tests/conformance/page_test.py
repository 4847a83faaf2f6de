"""docs/conformance.md is what the committed results give, no case of them failed, and they are of these sources."""

from __future__ import annotations

import json
from pathlib import Path

from run import SOURCES, digests, load, page

HERE = Path(__file__).parent


def test_the_page_is_of_these_results() -> None:
    assert Path("docs/conformance.md").read_text() == page(load(HERE)), "run //tests/conformance:run -- --page"


def test_every_case_passed_and_there_are_some() -> None:
    families = load(HERE)
    counts = [
        count for kernels in families.values() for dtypes in kernels.values() for layouts in dtypes.values() for count in layouts.values()
    ]
    assert counts
    assert all(count["failed"] == 0 and count["passed"] > 0 for count in counts)


def test_the_results_are_of_these_sources() -> None:
    recorded = json.loads((HERE / SOURCES).read_text())
    tests = {f"{path.parent.name}/{path.stem}" for path in Path("cc/kernels").glob("*/*_test.cc")}
    assert set(recorded) == tests
    now = digests(Path(), [(family, name) for family, name in (test.split("/") for test in tests)])
    stale = [name for name, digest in recorded.items() if now[name.split("/")[1]] != digest]
    assert not stale, "run //tests/conformance:run -- --only NAME for each of these"

"""docs/conformance.md is what the committed results give and no case of them failed."""

from __future__ import annotations

from pathlib import Path

from run import load, page

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

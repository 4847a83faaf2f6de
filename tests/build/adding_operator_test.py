"""docs/adding-an-operator.md shows an operator as it is, and few files name one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

PAGE = Path(os.environ["PAGE"]).read_text()
ROOT = Path("MODULE.bazel").resolve().parent
OPERATOR = "moe_compute_expert_tokens"
FAMILY = "moe"

BLOCKS = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.S)
FILES = re.findall(r"^\| \d \| `([^`]+)` \|", PAGE, re.M)


def sources() -> list[str]:
    """All C++, Python and build files of the repository."""
    listings = os.environ["LISTINGS"].split()
    return [line.split("  ", 1)[1] for listing in listings for line in Path(listing).read_text().splitlines()]


@pytest.mark.parametrize(("path", "text"), BLOCKS, ids=[f"{i}-{path}" for i, (path, _) in enumerate(BLOCKS)])
def test_the_page_shows_the_files(path: str, text: str) -> None:
    assert text in (ROOT / path).read_text()


def test_the_page_shows_every_kind_of_file() -> None:
    assert len(BLOCKS) >= 6
    assert len(FILES) == 9  # and the page of the family


# What takes this operator as an example, or all operators of a family: a new operator needs none of it.
EXAMPLES = {
    "cc/bindings/ops_test.py",
    "tests/benchmarks/moe.py",
    "tests/benchmarks/plans_test.py",
    "tests/build/adding_operator_test.py",
    "tests/ops/ascend310p_test.py",
}


def test_no_other_file_names_the_operator() -> None:
    named = {path.replace("<family>", FAMILY).replace("<operator>", OPERATOR) for path in FILES}
    name = re.compile(rf"(?<![\w.]){OPERATOR}(?!\w)")
    found = {path for path in sources() if name.search((ROOT / path).read_text()) or OPERATOR in Path(path).name}
    assert found - EXAMPLES == named

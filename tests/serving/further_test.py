"""Further models, of text and of pictures: greedy tokens are those of HF transformers, or a sentence refuses the model.

further.json has the types in which each was served, and docs/models.md a table of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import tiny_further
import tiny_vision
from matrix import Matrix, row

KNOWN: dict[str, dict[str, dict[str, Any]]] = json.loads((Path(__file__).parent / "further.json").read_text())
# Served at each change: a picture whose tokens see each other; heads of two sizes.
EACH_CHANGE = {("gemma3-vision", "bfloat16"), ("gemma4", "bfloat16")}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    matrix = Matrix(tmp_path_factory.mktemp("models"))
    yield matrix
    matrix.close()


def test_each_model_was_judged() -> None:
    assert list(KNOWN) == [*tiny_further.MODELS, *tiny_vision.FURTHER, *tiny_encoders.FURTHER]
    assert all(KNOWN.values())


def cases() -> Iterator[Any]:
    """Each model in each type in which it was judged."""
    for name, rows in KNOWN.items():
        # pooling_test.py asks these.
        for dtype in () if name in tiny_encoders.FURTHER else rows:
            yield pytest.param(name, dtype, marks=[] if (name, dtype) in EACH_CHANGE else pytest.mark.night)


@pytest.mark.parametrize(("name", "dtype"), cases())
def test_tokens_are_those_of_transformers(name: str, dtype: str, matrix: Matrix, tmp_path: Path) -> None:
    known = KNOWN[name][dtype]
    if sentence := known.get("refused"):
        with pytest.raises(AssertionError, match=re.escape(sentence)):
            matrix.check(name, dtype, tmp_path)
        return
    assert row(matrix.check(name, dtype, tmp_path)) == known

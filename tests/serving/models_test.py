"""Kinds of models and of requests that the recall model does not have, served from small random models."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import quantised
import tiny
import tiny_vision
from matrix import LONGER_THAN, Matrix, row

KNOWN = json.loads((Path(__file__).parent / "models.json").read_text())

# Served at each change: of each kind of attention, of layers and of checkpoints one. The others have other sizes, angles or checkpoints.
EACH_CHANGE = {
    "float32": (
        "llama",
        "qwen3",
        "mistral-64",
        "gemma3",
        "phi",
        "phi3-longrope",
        "bloom",
        "qwen3-moe",
        "glm4-moe",
        "gpt-oss",
        "deepseek-v2",
        "llama-w8a8",
        "gemma2-int8-cache",
        "qwen3-vl-moe",
        "llava-next",
    ),
    "bfloat16": ("gemma2", "mixtral", "deepseek-v3", "qwen2.5-vl"),
}


def cases() -> Iterator[Any]:
    """Each model in each type."""
    for name in (*tiny.MODELS, *quantised.NAMES, *tiny_vision.MODELS):
        for dtype in quantised.dtypes(name):
            yield pytest.param(name, dtype, marks=[] if name in EACH_CHANGE.get(dtype, ()) else pytest.mark.night)


def keep(name: str, dtype: str, seen: dict) -> None:
    """Compares what a test saw with models.json, or writes it for models_page.py."""
    if directory := os.environ.get("MODELS_ROWS"):
        (Path(directory) / f"{name}.{dtype}.json").write_text(json.dumps(seen))
    else:
        assert seen == KNOWN[name][dtype], "a deliberate change belongs into models.json: models_page.py says how"


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    matrix = Matrix(tmp_path_factory.mktemp("models"))
    yield matrix
    matrix.close()


@pytest.mark.parametrize(("name", "dtype"), cases())
def test_tokens_are_those_of_transformers(name: str, dtype: str, matrix: Matrix, tmp_path: Path) -> None:
    if dtype == "float16" and name in tiny.NO_FLOAT16:
        with pytest.raises(AssertionError, match=re.escape(tiny.NO_FLOAT16[name])):
            matrix.check(name, dtype, tmp_path)
        keep(name, dtype, {"refused": tiny.NO_FLOAT16[name]})
        return
    served = matrix.check(name, dtype, tmp_path)
    # Windows keep few blocks, and few prompts need few.
    assert served.preempted > 0 or name in LONGER_THAN or name.startswith("mistral")
    keep(name, dtype, row(served))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("llama", 256),
        pytest.param("deepseek-v2", 384, marks=pytest.mark.night),
        *(pytest.param(name, 512, marks=pytest.mark.night) for name in ("gemma2", "gpt-oss", "llama-int8-cache")),
    ],
)
def test_blocks_of_more_tokens_than_the_attention_takes(name: str, size: int, matrix: Matrix, tmp_path: Path) -> None:
    matrix.check(name, "float32", tmp_path, block_size=size)

"""Kinds of models and of requests that the recall model does not have, served from small random models."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import quantised
import tiny
import tiny_vision
from matrix import LONGER_THAN, Matrix, row

KNOWN = json.loads((Path(__file__).parent / "models.json").read_text())

# Which of the models this target serves.
PART = os.environ["PART"]
PARTS = {
    "dense": ["llama", "llama-96", "llama-128", "llama-256", "llama-linear", "qwen2", "qwen2-yarn", "qwen3", "glm4", "stablelm", "phi"]
    + ["phi3-longrope", "gpt2", "gpt-neox", "olmo2", "starcoder2", "granite", "bloom"],
    "window": ["mistral-128", "mistral-64", "gemma", "gemma2", "gemma3"],
    "experts": ["mixtral", "qwen2-moe", "qwen3-moe", "glm4-moe", "olmoe", "gpt-oss"],
    "latent": ["deepseek-v2", "deepseek-v3"],
    "vision": [*tiny_vision.MODELS],
    "quantised": [*quantised.NAMES],
}
PARTS["other"] = [name for part, names in PARTS.items() if part != "dense" for name in names]


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


def test_each_model_has_a_part() -> None:
    assert sorted(PARTS["dense"] + PARTS["other"]) == sorted([*tiny.MODELS, *quantised.NAMES, *tiny_vision.MODELS])


@pytest.mark.parametrize(("name", "dtype"), [(name, dtype) for name in PARTS[PART] for dtype in quantised.dtypes(name)])
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

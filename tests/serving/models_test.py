"""Kinds of models and of requests that the recall model does not have, served from small random models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from matrix import LONGER_THAN, Matrix, row

KNOWN = json.loads((Path(__file__).parent / "models.json").read_text())

# Which of tiny.py's models this target serves.
PART = os.environ["PART"]
PARTS = {
    "dense": ["llama", "llama-96", "llama-128", "llama-256", "llama-linear", "qwen2", "qwen2-yarn", "qwen3", "glm4", "stablelm", "phi"]
    + ["phi3-longrope", "gpt2", "gpt-neox", "olmo2", "starcoder2", "granite", "bloom"],
    "window": ["mistral-128", "mistral-64", "gemma", "gemma2", "gemma3"],
    "experts": ["mixtral", "qwen2-moe", "qwen3-moe", "glm4-moe", "olmoe", "gpt-oss"],
    "latent": ["deepseek-v2", "deepseek-v3"],
}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    matrix = Matrix(tmp_path_factory.mktemp("models"))
    yield matrix
    matrix.close()


def test_each_model_has_a_part() -> None:
    assert sorted(name for part in PARTS.values() for name in part) == sorted(tiny.MODELS)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", PARTS[PART])
def test_tokens_are_those_of_transformers(name: str, dtype: str, matrix: Matrix, tmp_path: Path) -> None:
    served = matrix.check(name, dtype, tmp_path)
    # Windows keep few blocks, and few prompts need few.
    assert served.preempted > 0 or name in LONGER_THAN or name.startswith("mistral")
    if directory := os.environ.get("MODELS_ROWS"):
        (Path(directory) / f"{name}.{dtype}.json").write_text(json.dumps(row(served)))
    else:
        assert row(served) == KNOWN[name][dtype], "a deliberate change belongs into models.json: models_page.py says how"

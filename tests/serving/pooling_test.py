"""Embeddings, scores and classes of small random models, against HF transformers."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Reference, in_engine
from matrix import families, kernels, watch
from tiny_encoders import ALL, FURTHER, MODELS, WORDS, Encoder, answers

KNOWN, FURTHER_KNOWN = (json.loads((Path(__file__).parent / name).read_text()) for name in ("models.json", "further.json"))
# Served at each change, of the further ones: tokens that all see each other, within a window.
EACH_CHANGE = ("embeddinggemma",)
# The edges of a block, of modernbert's windows, and of what a step takes of a prompt.
LENGTHS = (1, 2, 15, 16, 17, 62, 126, 127, 128, 253, 300)
# Prompts of models that read from left to right are computed in pieces.
STEP = 160


def texts() -> list[str]:
    """Texts of so many words."""
    rng = random.Random(43)
    return [" ".join(f"w{rng.randrange(WORDS)}" for _ in range(length)) for length in LENGTHS]


def asked(encoder: Encoder) -> list[Any]:
    """Texts, or pairs of them."""
    all_texts = texts()
    return [[text, all_texts[i - 1][:200]] for i, text in enumerate(all_texts)] if encoder.task == "score" else list(all_texts)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    process = Reference()
    yield process
    process.close()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def serve(path: Path, encoder: Encoder, dtype: str, directory: Path) -> tuple[list[Any], list[str], dict[str, Any]]:
    """The answers, the operators by which a layer read from the device, and what models.json keeps."""
    questions = asked(encoder)

    def work() -> object:
        from vllm import LLM

        # A model that reads a text as a whole, or averages it, takes it in one step.
        step = STEP if encoder.type == "qwen3" and encoder.pooling != "mean" else 512
        llm = LLM(str(path), dtype=dtype, max_model_len=512, max_num_batched_tokens=step, gpu_memory_utilization=0.5)
        [found] = llm.apply_model(watch)
        [architecture] = llm.apply_model(lambda model: type(model).__name__)
        first = answers(llm, encoder.task, questions)
        # Once more: beginnings that are cached change nothing, and neither does another batch.
        again = answers(llm, encoder.task, questions[::-1])[::-1]
        return {"first": first, "again": again, "waits": found, "architecture": architecture}

    result, state = in_engine(work, directory)
    flat, repeated = (np.concatenate([np.ravel(one) for one in result[name]]) for name in ("first", "again"))
    # Float32 sums of another order: 128 terms of at most 1, each rounded to 2^-24, in each of 3 layers of norms.
    np.testing.assert_allclose(flat, repeated, atol=0.02 if dtype == "bfloat16" else 2e-3 if dtype == "float16" else 2e-5)
    return result["first"], result["waits"], {"architecture": result["architecture"], "kernels": families(kernels(state))}


def cases() -> Iterator[Any]:
    """Each model in each type in which it is served."""
    for name in ALL:
        for dtype in FURTHER_KNOWN[name] if name in FURTHER else ("float32", "float16", "bfloat16"):
            each_change = dtype == "float32" and (name in MODELS or name in EACH_CHANGE)
            yield pytest.param(name, dtype, marks=[] if each_change else pytest.mark.night)


@pytest.mark.parametrize(("name", "dtype"), cases())
def test_vectors_are_those_of_transformers(name: str, dtype: str, reference: Reference, directory: Path, tmp_path: Path) -> None:
    encoder, path = ALL[name], directory / name
    if not path.exists():
        reference.begin(path, make=name)
        reference.end()
    kinds = {dtype, "float32"}
    for kind in kinds:
        reference.begin(path, dtype=kind, head=encoder.head, texts=asked(encoder))
    served, waits, row = serve(path, encoder, dtype, tmp_path)
    said = {kind: [np.array(one) for one in reference.end()["vectors"]] for kind in kinds}
    assert not waits
    if rows := os.environ.get("MODELS_ROWS"):
        (Path(rows) / f"{name}.{dtype}.json").write_text(json.dumps(row))
    else:
        assert row == (FURTHER_KNOWN if name in FURTHER else KNOWN)[name][dtype], (
            "a deliberate change belongs into models.json: models_page.py says how"
        )
    own = max(np.abs(one - other).max() for one, other in zip(said[dtype], said["float32"], strict=True))
    far = max(np.abs(np.array(one) - other).max() for one, other in zip(served, said["float32"], strict=True))
    print(f"{name} {dtype}: {far:.2e}; HF transformers itself {own:.2e}")
    if dtype != "float32":
        # Both distances are the largest of at least 11 that this precision makes, so that they differ: with normal errors of one size,
        # one of 11 in a row is at most four times as large as another in 99 of 100 cases. A fault is of the size of a probability.
        assert far <= 4 * own
        return
    for vector, expected in zip(served, said["float32"], strict=True):
        if encoder.task == "embed":
            assert np.dot(vector, expected) >= 0.9999
            assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_a_shorter_vector_is_the_beginning_of_the_whole_one(reference: Reference, directory: Path, tmp_path: Path) -> None:
    """`dimensions` of a request, for a model that was trained for it: each request of a batch has its own."""
    name = "qwen3-embedding"
    path = directory / name
    if not path.exists():
        reference.begin(path, make=name)
        reference.end()
    questions = texts()
    dimensions = [(None, 32, 96, 128)[i % 4] for i in range(len(questions))]
    reference.begin(path, dtype="float32", head=MODELS[name].head, texts=questions)

    def work() -> object:
        from vllm import LLM, PoolingParams

        llm = LLM(str(path), dtype="float32", max_model_len=512, gpu_memory_utilization=0.5)
        asked_for = [PoolingParams(dimensions=dimension) for dimension in dimensions]
        vectors = [output.outputs.embedding for output in llm.embed(questions, pooling_params=asked_for, use_tqdm=False)]
        with pytest.raises(Exception, match="64"):
            llm.embed(questions[:1], pooling_params=PoolingParams(dimensions=64), use_tqdm=False)
        return vectors

    served, _ = in_engine(work, tmp_path)
    for vector, whole, dimension in zip(served, reference.end()["vectors"], dimensions, strict=True):
        beginning = np.array(whole[:dimension])
        assert len(vector) == (dimension or 128)
        # As for a whole vector; its beginning is made longer again.
        length = float(np.linalg.norm(beginning))
        np.testing.assert_allclose(vector, beginning / length, atol=2e-5 / length)


def test_the_mean_is_not_taken_for_the_last_token(reference: Reference, directory: Path, tmp_path: Path) -> None:
    """A model that is told the wrong pooling has other vectors, by far more than the bound above lets pass."""
    name = "qwen3-embedding"
    encoder, path = MODELS[name], tmp_path / name
    reference.begin(path, make=name)
    reference.end()
    reference.begin(path, dtype="float32", head=encoder.head, texts=asked(encoder))
    expected = reference.end()["vectors"]
    pooling = path / "1_Pooling" / "config.json"
    modes = json.loads(pooling.read_text())
    modes |= {"pooling_mode_lasttoken": False, "pooling_mode_mean_tokens": True}
    pooling.write_text(json.dumps(modes))
    served, _, _ = serve(path, replace(encoder, pooling="mean"), "float32", tmp_path)
    assert min(np.dot(vector, right) for vector, right in zip(served, expected, strict=True)) < 0.99

"""The test model knows its task, and its questions were not in its training."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from harness import MODEL, encode, reference
from vllm_cann_demo import task
from vllm_cann_demo.recall import QUESTIONS, SEED

sys.path.insert(0, str(Path(__file__).parent))

import train


def right(questions: list[task.Question], dtype: str) -> int:
    """How many questions HF transformers answers exactly, the end included."""
    tokens = reference(dtype=dtype, greedy=[encode(q.prompt) for q in questions], new_tokens=5)["tokens"]
    return sum(found == encode(f"{q.answer} <end>") for found, q in zip(tokens, questions, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_answers_99_percent(dtype: str) -> None:
    asked = task.questions(seed=99, count=100)
    assert right(asked, dtype) >= 99


def test_transformers_answers_every_question_of_the_demo() -> None:
    assert QUESTIONS >= 24
    assert right(task.questions(SEED, QUESTIONS), "bfloat16") == QUESTIONS


def test_training_and_test_questions_are_disjoint() -> None:
    assert all(task.is_held_out(q.facts) for q in task.questions(SEED, 200))
    rng = random.Random(0)
    for _ in range(30):
        facts = rng.randint(2, 40)
        rows, _ = train.make_batch(rng, 4, facts, ends=True)
        for row in rows.tolist():
            words = [task.VOCABULARY[i] for i in row[: 6 * facts]]
            read = tuple((words[i], tuple(words[i + 2 : i + 5])) for i in range(0, 6 * facts, 6))
            assert not task.is_held_out(read)


def test_labels_are_the_answers() -> None:
    rows, labels = train.make_batch(random.Random(1), 2, 3, ends=True)
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        text = " ".join(task.VOCABULARY[i] for i, kept in zip(row, label, strict=True) if kept == i)
        facts = {row[i]: row[i + 2 : i + 5] for i in range(0, 18, 6)}
        answers = []
        for i in range(18, len(row) - 1, 6):
            words = facts[row[i]]
            answers += [task.VOCABULARY[w] for w in (words if task.VOCABULARY[row[i + 1]] == "?" else reversed(words))] + [task.END]
        assert text == " ".join([*answers, "<end>"])


def test_the_model_is_small_and_of_the_wanted_kind() -> None:
    import json

    settings = json.loads((MODEL / "config.json").read_text())
    assert settings["architectures"] == ["Qwen3ForCausalLM"]
    assert settings["num_attention_heads"] > settings["num_key_value_heads"]
    assert (MODEL / "model.safetensors").stat().st_size <= 2 << 20

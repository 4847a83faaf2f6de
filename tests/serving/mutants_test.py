"""A fault planted in a kernel or in the plugin is seen as wrong answers of the server. The unchanged one answers right."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from harness import MODEL, changed_installation
from vllm_cann_demo.recall import ask_all
from vllm_cann_demo.server import Server
from vllm_cann_demo.task import questions

# Name -> the file of the installed plugin that the mutant replaces.
MUTANTS = {
    "none": None,
    "rotary_sign": "kernels/rotary.twin.so",
    "cache_index": "kernels/cache.twin.so",
    "dropped_mask": "attention/metadata.py",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_seen(name: str, tmp_path: Path) -> None:
    target = MUTANTS[name]
    changed = changed_installation(tmp_path, {target: os.environ[name.upper()]} if target else {})
    asked = questions(seed=23, count=12)
    serve = [
        "--max-model-len",
        "512",
        "--gpu-memory-utilization",
        "0.5",
        "--served-model-name",
        "m",
    ]
    with Server(MODEL, tmp_path, serve, ["--memory", "1GiB"], environment=changed) as server:
        answers = asyncio.run(ask_all(server.url, "m", asked)).answers
    right = sum(answer == question.answer for answer, question in zip(answers, asked, strict=True))
    if target:
        assert right < len(asked)
    else:
        assert right == len(asked)

"""Replicas of a model on several devices (data parallelism) answer as one does; their experts may be divided among them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from harness import complete
from matrix import TOKENS, Matrix, prompts
from vllm_cann_demo.server import Server

from softnpu import trace

SERVE = ["--max-model-len", "512", "--gpu-memory-utilization", "0.5", "--served-model-name", "m", "--dtype", "float32"]
REPLICAS = ["--data-parallel-size", "2", "--api-server-count", "1"]
STEP = ("operator", "aclnnEmbedding")
SOFTNPU = ["--memory", "1GiB", "--devices", "2"]

# The model, further options, and the collectives that the replicas run.
LAYOUTS: dict[str, tuple[str, list[str], set[str]]] = {
    "replicas": ("llama", [], set()),
    # Tokens go to the experts of all replicas, and their sums come back. The replicas have other numbers of tokens in a step.
    "experts": ("qwen3-moe", ["--enable-expert-parallel"], {"HcclAllGatherV", "HcclReduceScatterV"}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_tokens_are_those_of_one_replica(name: str, tmp_path: Path) -> None:
    model, options, collectives = LAYOUTS[name]
    matrix = Matrix(tmp_path)
    # Matrix switches this off for engines in its own process.
    several = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    try:
        path, asked = matrix.model(model), prompts()
        matrix.begin(path, dtype="float32", greedy=asked, new_tokens=TOKENS)
        with Server(path, tmp_path / "server", [*SERVE, *REPLICAS, *options], SOFTNPU, several, timeout=300) as server:
            before = trace.counts(server.state)
            answers = complete(server.url, "m", asked, TOKENS)
            counters = trace.counts(server.state)
        ran = {key for counter in counters.values() for kind, key in counter if kind == "collective"}
        # Each step of a replica looks up embeddings once.
        steps = {process: counter[STEP] - before.get(process, Counter())[STEP] for process, counter in counters.items()}
        assert sum(count >= TOKENS for count in steps.values()) == 2, f"steps of each process: {steps}"
        assert answers == matrix.end()["tokens"]
    finally:
        matrix.close()
    log = server.log.read_text()
    assert all(f"serves on npu:{device}" in log for device in (0, 1))
    assert collectives <= ran

"""Replicas of a model on several devices (data parallelism) answer as one does; their experts may be divided among them."""

from __future__ import annotations

import base64
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import quantised
import tiny_vision
from adapted import ASKED, Adapted
from harness import complete, night_but_for
from matrix import TOKENS, Matrix, prompts
from tiny_encoders import MODELS
from vllm_cann_demo.server import Server

from softnpu import trace

SERVE = ["--max-model-len", "512", "--gpu-memory-utilization", "0.5", "--served-model-name", "m", "--dtype", "float32"]
REPLICAS = ["--data-parallel-size", "2", "--api-server-count", "1"]
STEP = ("operator", "aclnnEmbedding")
SOFTNPU = ["--memory", "1GiB", "--devices", "4"]
EXPERTS = ["--enable-expert-parallel"]
BY_ALL_TO_ALL = ["--additional-config", '{"experts_by": "all_to_all"}']
BALANCE = '{"window_size": 3, "step_interval": 3, "num_redundant_experts": 4}'

# The model, further options, and the collectives that the replicas run.
LAYOUTS: dict[str, tuple[str, list[str], set[str]]] = {
    "replicas": ("llama", [], set()),
    # Tokens go to the experts of all replicas, and their sums come back. The replicas have other numbers of tokens in a step.
    "experts": ("qwen3-moe", EXPERTS, {"HcclAllGatherV", "HcclReduceScatterV"}),
    # Ranks of a replica have a part of the tokens each where experts begin (sequence parallelism).
    "experts of all ranks of replicas": (
        "qwen3-moe",
        [*EXPERTS, "--tensor-parallel-size", "2"],
        {"HcclAllReduce", "HcclAllGatherV", "HcclReduceScatterV"},
    ),
    "experts by all_to_all": ("qwen3-moe", [*EXPERTS, *BY_ALL_TO_ALL], {"HcclAlltoAllV"}),
    "experts of all ranks by all_to_all": (
        "deepseek-v3",
        [*EXPERTS, *BY_ALL_TO_ALL, "--tensor-parallel-size", "2"],
        {"HcclAllReduce", "HcclAlltoAllV"},
    ),
    "experts that are balanced": ("deepseek-v3", [*EXPERTS, "--enable-eplb", "--eplb-config", BALANCE], {"HcclAllGatherV"}),
}


def replicas(path: Path, directory: Path, *options: str, **environment: str) -> Server:
    """A server with two replicas of a model, each with a device unless options say otherwise."""
    # Matrix switches this off for engines in its own process.
    several = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", **environment}
    return Server(path, directory / "server", [*SERVE, *REPLICAS, *options], SOFTNPU, several, timeout=300)


def all_worked(server: Server, before: dict[int, Counter[tuple[str, str]]], steps: int, ranks: int = 2) -> bool:
    """Whether so many ranks have run so many steps since then: each step looks up embeddings once."""
    ran = [counter[STEP] - before.get(process, Counter())[STEP] for process, counter in trace.counts(server.state).items()]
    return sum(count >= steps for count in ran) == ranks


@pytest.mark.parametrize("name", night_but_for(["replicas", "experts"], LAYOUTS))
def test_tokens_are_those_of_one_replica(name: str, tmp_path: Path) -> None:
    model, options, collectives = LAYOUTS[name]
    matrix = Matrix(tmp_path)
    path, asked = matrix.model(model), prompts()
    matrix.begin(path, dtype="float32", greedy=asked, new_tokens=TOKENS)
    with replicas(path, tmp_path, *options) as server:
        before = trace.counts(server.state)
        answers = complete(server.url, "m", asked, TOKENS)
        ranks = 4 if "--tensor-parallel-size" in options else 2
        assert all_worked(server, before, TOKENS, ranks)
        ran = {key for counter in trace.counts(server.state).values() for kind, key in counter if kind == "collective"}
    assert answers == matrix.end()["tokens"]
    log = server.log.read_text()
    assert all(f"serves on npu:{device}" in log for device in range(ranks))
    assert collectives <= ran


@pytest.mark.parametrize(
    "options",
    [pytest.param(["--tensor-parallel-size", "2"], marks=pytest.mark.night, id="of all ranks"), pytest.param([], id="of replicas")],
)
def test_experts_by_operators(options: list[str], tmp_path: Path) -> None:
    """In bfloat16, as parallel_test.py says of 16 bits: HF transformers prefers other tokens by no more than twice its own distance."""
    matrix = Matrix(tmp_path)
    path = matrix.model("qwen3-moe")
    by = ["--additional-config", '{"experts_by": "fused"}', "--dtype", "bfloat16"]
    with replicas(path, tmp_path, *EXPERTS, *by, *options) as server:
        before = trace.counts(server.state)
        answers = complete(server.url, "m", prompts(), TOKENS)
        assert all_worked(server, before, TOKENS, 4 if options else 2)
        ran = {key for counter in trace.counts(server.state).values() for kind, key in counter if kind == "collective"}
    assert {"aclnnMoeDistributeDispatchV4", "aclnnMoeDistributeCombineV4"} <= ran
    matrix.begin(path, dtype="bfloat16", forced=list(zip(prompts(), answers, strict=True)))
    result = matrix.end()
    assert result["positions"] == len(prompts()) * TOKENS
    assert max(result["differing"], default=0.0) <= 2 * result["largest"], result


@pytest.mark.night
def test_pictures(tmp_path: Path) -> None:
    """Each replica has a vision tower of its own."""
    matrix = Matrix(tmp_path)
    path = matrix.model("qwen2.5-vl")
    shown = [[seed, 28 * (2 + seed % 4), 28 * (3 + seed % 3)] for seed in range(8)]
    texts = [" ".join(f"w{(5 * i + seed) % 90}" for i in range(1 + 9 * seed)) for seed in range(8)]
    asked = [
        {"prompt": f"<|vision_start|><|image_pad|><|vision_end|> {text}", "pictures": [one], "videos": []}
        for one, text in zip(shown, texts, strict=True)
    ]
    matrix.begin(path, dtype="float32", greedy=asked, new_tokens=TOKENS)

    def as_url(seed: int, width: int, height: int) -> str:
        buffer = io.BytesIO()
        tiny_vision.picture(seed, width, height).save(buffer, "png")
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    with replicas(path, tmp_path) as server:
        before = trace.counts(server.state)

        def answer(one: tuple[list[int], str]) -> list[int]:
            content = [{"type": "image_url", "image_url": {"url": as_url(*one[0])}}, {"type": "text", "text": one[1]}]
            body = {"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": TOKENS, "temperature": 0}
            reply = httpx.post(
                f"{server.url}/v1/chat/completions", json={**body, "ignore_eos": True, "return_token_ids": True}, timeout=300
            )
            assert reply.status_code == 200, reply.text
            return reply.json()["choices"][0]["token_ids"]

        with ThreadPoolExecutor(8) as pool:
            answers = [*pool.map(answer, zip(shown, texts, strict=True))]
        assert all_worked(server, before, TOKENS)
    assert answers == matrix.end()["tokens"]


@pytest.mark.night
@pytest.mark.parametrize(("name", "options"), [("llama", []), ("qwen3-moe", EXPERTS)])
def test_sleep(name: str, options: list[str], tmp_path: Path) -> None:
    """All replicas free their memory, and answer as before when they wake up."""
    matrix = Matrix(tmp_path)
    path, asked = matrix.model(name), prompts()[:16]
    matrix.begin(path, dtype="float32", greedy=asked, new_tokens=TOKENS)
    # vLLM offers the requests only so.
    with replicas(path, tmp_path, "--enable-sleep-mode", *options, VLLM_SERVER_DEV_MODE="1") as server:
        answers = []
        for _ in range(2):
            before = trace.counts(server.state)
            answers.append(complete(server.url, "m", asked, TOKENS))
            assert all_worked(server, before, TOKENS)
            assert httpx.post(f"{server.url}/sleep", params={"level": 1}, timeout=300).status_code == 200
            assert httpx.get(f"{server.url}/is_sleeping").json()["is_sleeping"]
            assert httpx.post(f"{server.url}/wake_up", timeout=300).status_code == 200
        answers.append(complete(server.url, "m", asked, TOKENS))
        log = server.log.read_text()
    assert answers == [matrix.end()["tokens"]] * 3
    # Each replica said so, each time.
    assert log.count("freed") >= 4, log[-3000:]


@pytest.mark.night
def test_adapters(tmp_path: Path) -> None:
    models = Adapted(tmp_path)
    path, places = models.get("llama")
    names = ["m", *(place.name for place in places)]
    given = [f"{place.name}={place}" for place in places]
    found: dict[int, list[int]] = {}
    with replicas(path, tmp_path, "--enable-lora", "--max-lora-rank", "16", "--max-loras", "2", "--lora-modules", *given) as server:
        before = trace.counts(server.state)
        for number, name in enumerate(names):
            chosen = [i for i, (_, adapter) in enumerate(ASKED) if adapter == number]
            found.update(zip(chosen, complete(server.url, name, [ASKED[i][0] for i in chosen], TOKENS), strict=True))
        assert all_worked(server, before, TOKENS)
    assert [found[i] for i in range(len(ASKED))] == models.expected("llama")


@pytest.mark.night
def test_weights_of_int8(tmp_path: Path) -> None:
    """The same arithmetic in plain torch prefers other tokens by no more than quantised.BORDER."""
    matrix = Matrix(tmp_path)
    path = matrix.model("llama-w8a8")
    with replicas(path, tmp_path) as server:
        before = trace.counts(server.state)
        answers = complete(server.url, "m", prompts(), TOKENS)
        assert all_worked(server, before, TOKENS)
    matrix.begin(path, dtype="float32", forced=list(zip(prompts(), answers, strict=True)))
    result = matrix.end()
    assert max(result["differing"], default=0.0) <= quantised.BORDER * result["spread"], result


@pytest.mark.night
def test_embeddings(tmp_path: Path) -> None:
    matrix = Matrix(tmp_path)
    path = matrix.model("qwen3-embedding")
    texts = [" ".join(f"w{(7 * i * i + 3 * length) % 90}" for i in range(length)) for length in range(1, 60, 3)]
    with replicas(path, tmp_path) as server:
        before = trace.counts(server.state)
        with httpx.Client(base_url=server.url, timeout=300) as client, ThreadPoolExecutor(8) as pool:
            replies = [*pool.map(lambda text: client.post("/v1/embeddings", json={"model": "m", "input": text}), texts)]
        assert all_worked(server, before, 3)
    found = [one["embedding"] for reply in replies for one in reply.json()["data"]]
    # The bound of pooling_test.py: float32 sums of another order.
    np.testing.assert_allclose(found, matrix.vectors(path, texts, MODELS["qwen3-embedding"].head), atol=2e-5)

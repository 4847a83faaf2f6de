"""vLLM on SoftNPU reads drawn digits, sent as PNG to the chat API, as HF transformers reads them on the CPU."""

from __future__ import annotations

import base64
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness import FALLBACK, MODEL, reference
from vllm_cann_demo.server import Server

sys.path.insert(0, str(Path(__file__).parent))

from drawing import QUESTIONS, Drawing, draw

COUNT = 100
SERVE = ["--max-model-len", "512", "--gpu-memory-utilization", "0.5", "--served-model-name", "m", "--limit-mm-per-prompt", '{"video": 0}']
_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def prompt(question: str) -> str:
    """What the chat template makes of a picture and a question."""
    return f"<|im_start|>user {_PICTURE} which {question} ? <|im_end|><|im_start|>assistant "


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Drawing, str, Path]]:
    """Drawings that training has not had, what is asked about each, and its file."""
    rng, directory = random.Random(9), tmp_path_factory.mktemp("drawings")
    asked = [(draw(rng), QUESTIONS[i % 2], directory / f"{i}.png") for i in range(COUNT)]
    for drawing, _, file in asked:
        drawing.picture().save(file)
    return asked


@pytest.fixture(scope="module")
def expected(drawings: list[tuple[Drawing, str, Path]]) -> list[str]:
    """What HF transformers answers in float32."""
    prompts = [{"prompt": prompt(question), "pictures": [str(file)]} for _, question, file in drawings]
    tokens = reference(dtype="float32", greedy=prompts, new_tokens=1)["tokens"]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    return [tokenizer.decode(ids) for ids in tokens]


def test_transformers_reads_99_percent(drawings: list[tuple[Drawing, str, Path]], expected: list[str]) -> None:
    right = sum(answer == drawing.answer(question) for answer, (drawing, question, _) in zip(expected, drawings, strict=True))
    assert right >= 0.99 * COUNT


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.night)])
def test_answers_are_those_of_transformers(
    dtype: str, drawings: list[tuple[Drawing, str, Path]], expected: list[str], tmp_path: Path
) -> None:
    with Server(MODEL, tmp_path, [*SERVE, "--dtype", dtype], ["--memory", "2GiB"]) as server, httpx.Client(base_url=server.url) as client:

        def ask(question: str, file: Path) -> str:
            url = "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
            content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": f"which {question} ?"}]
            body = {"model": "m", "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 4}
            reply = client.post("/v1/chat/completions", json=body, timeout=300)
            assert reply.status_code == 200, reply.text
            return reply.json()["choices"][0]["message"]["content"].strip()

        begun = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda one: ask(one[1], one[2]), drawings))
        seconds = time.monotonic() - begun
        assert server.pageable_copies() == 0
    print(f"{dtype}: {COUNT / seconds:.1f} pictures/s, start-up {server.startup_seconds:.0f} s")
    assert FALLBACK not in server.log.read_text()
    if dtype == "float32":
        assert answers == expected
    else:
        # The largest probability of each answer is far from the second.
        assert sum(one == other for one, other in zip(answers, expected, strict=True)) >= 0.99 * COUNT

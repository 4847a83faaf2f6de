"""Sleep mode: the device's memory is free while an engine sleeps, and its answers are the same afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiny_encoders
import tiny_vision
from harness import Models, in_child, in_engine, night_but_for, prepare
from matrix import as_input, engine_options
from vllm_cann_demo.server import Server

TOKENS = 8
PROMPTS = [[(7 * i * i + 3 * length) % 512 for i in range(length)] for length in (3, 30, 130, 200)]
TEXTS = [" ".join(f"w{i % tiny_encoders.WORDS}" for i in ids) for ids in PROMPTS]
# What is not freed: indices, masks, tables of positions, and what the runtime itself has.
KEPT = 16 * 2**20
MODELS = ("llama", "mixtral", "deepseek-v3")
OTHERS = ("qwen3-moe-w8a8", "qwen2.5-vl", "bert")


def asked_of(name: str) -> list[Any]:
    """Ids, prompts with pictures, or texts: what a model takes."""
    if name in tiny_encoders.MODELS:
        return TEXTS
    return tiny_vision.prompts(name)[7:13] if name in tiny_vision.MODELS else PROMPTS


class Asked(Models):
    """Models, and what HF transformers answers to `asked_of`: greedy tokens, or vectors."""

    def get(self, name: str) -> tuple[Path, list[list[Any]]]:
        path = self.model(name)
        if name in tiny_encoders.MODELS:
            return path, self.vectors(path, TEXTS, tiny_encoders.MODELS[name].head)
        return path, self.tokens(path, asked_of(name), TOKENS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    made = Asked(tmp_path_factory.mktemp("models"))
    yield made
    made.close()


def _engine(path: Path, **options: Any) -> Any:
    from vllm import LLM

    return LLM(
        str(path),
        dtype="float32",
        max_model_len=512,
        # A model that averages a text takes it in one step.
        max_num_batched_tokens=512 if path.name in tiny_encoders.MODELS else 160,
        gpu_memory_utilization=0.6,
        enable_sleep_mode=True,
        **engine_options(path),
        **options,
    )


def _answers(llm: Any) -> list[list[Any]]:
    from vllm import SamplingParams

    asked = asked_of(Path(llm.llm_engine.model_config.model).name)
    if isinstance(asked[0], str):
        return [output.outputs.embedding for output in llm.embed(asked, use_tqdm=False)]
    greedy = SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True)
    outputs = llm.generate([as_input(one) for one in asked], greedy, use_tqdm=False)
    return [[*output.outputs[0].token_ids] for output in outputs]


def _memory() -> tuple[int, int]:
    """Bytes that are free on the device, and bytes of it that tensors have."""
    import torch

    return torch.npu.mem_get_info()[0], torch.npu.memory_allocated()


def run(path: Path, directory: Path, work: Any, **options: Any) -> dict[str, Any]:
    """What `work(engine)` gives, in an engine of its own."""
    return in_engine(lambda: work(_engine(path, **options)), directory)[0]


def _level_1(llm: Any) -> dict[str, Any]:
    """Twice, and once with parts that wake up one after the other."""
    answers, memory = [_answers(llm)], [_memory()]
    for tags in (None, None, ("weights", "kv_cache")):
        llm.sleep(level=1)
        memory.append(_memory())
        for tag in tags or [None]:
            llm.wake_up(None if tag is None else [tag])
        memory.append(_memory())
        answers.append(_answers(llm))
    return {"answers": answers, "memory": memory}


@pytest.mark.parametrize("name", night_but_for(["llama"], MODELS))
def test_level_1_keeps_the_weights_on_the_host(name: str, models: Asked, tmp_path: Path) -> None:
    path, expected = models.get(name)
    found = run(path, tmp_path, _level_1)
    assert found["answers"] == [expected] * 4
    awake, *later = found["memory"]
    for asleep, again in zip(later[::2], later[1::2], strict=True):
        # The cache alone is more than a third of this device of 1 GiB.
        assert asleep[0] - awake[0] > 2**30 // 3
        assert asleep[1] < KEPT
        assert abs(again[1] - awake[1]) < 2**20


def _level_2(llm: Any) -> dict[str, Any]:
    answers, memory = [_answers(llm)], [_memory()]
    for _ in range(2):
        llm.sleep(level=2)
        memory.append(_memory())
        llm.wake_up(["weights"])
        llm.collective_rpc("reload_weights")
        llm.wake_up(["kv_cache"])
        answers.append(_answers(llm))
    return {"answers": answers, "memory": memory}


@pytest.mark.parametrize("name", night_but_for(["deepseek-v3"], MODELS))
def test_level_2_takes_weights_that_are_loaded_again(name: str, models: Asked, tmp_path: Path) -> None:
    path, expected = models.get(name)
    found = run(path, tmp_path, _level_2)
    assert found["answers"] == [expected] * 3
    awake, *asleep = found["memory"]
    for one in asleep:
        assert one[0] - awake[0] > 2**30 // 3
        assert one[1] < KEPT


@pytest.mark.parametrize("name", night_but_for(["bert"], OTHERS))
def test_other_classes_sleep(name: str, models: Asked, tmp_path: Path) -> None:
    """Quantised experts, a vision tower, and vectors, through both levels."""
    path, expected = models.get(name)
    found = run(path, tmp_path, lambda llm: {"levels": [_level_1(llm), _level_2(llm)]})
    for level in found["levels"]:
        for answers in level["answers"]:
            for answer, right in zip(answers, expected, strict=True):
                # Tokens are equal; a vector's bound is that of pooling_test.py.
                np.testing.assert_allclose(answer, right, atol=2e-5)
        awake, asleep = level["memory"][:2]
        # A model of embeddings has no cache; its weights are more than 1 MiB.
        assert asleep[0] - awake[0] > (2**20 if name in tiny_encoders.MODELS else 2**30 // 3)
        assert asleep[1] < KEPT


def _forgets(llm: Any) -> dict[str, Any]:
    """What a parameter has after level 2, with and without names that are kept."""
    llm.sleep(level=2)
    llm.wake_up()
    return {"answers": _answers(llm)}


def test_parameters_that_level_2_keeps(models: Asked, tmp_path: Path) -> None:
    path, expected = models.get("llama")
    assert run(path, tmp_path, _forgets, sleep_preserve_parameter_names=["*"])["answers"] == expected


def test_level_2_forgets_the_others(models: Asked, tmp_path: Path) -> None:
    """SoftNPU stops at weights that nobody has written since: the engine ends, and does not answer."""
    path, _ = models.get("llama")
    prepare()
    result, log = in_child(lambda: _forgets(_engine(path)), tmp_path)
    assert result is None
    assert "nobody" in log or "written" in log, log[-3000:]


def test_a_server_sleeps_and_wakes_up(models: Asked, tmp_path: Path) -> None:
    path, expected = models.get("llama")
    options = ["--max-model-len", "512", "--gpu-memory-utilization", "0.5", "--dtype", "float32", "--served-model-name", "m"]
    environment = {"VLLM_SERVER_DEV_MODE": "1"}
    with Server(path, tmp_path, [*options, "--enable-sleep-mode"], ["--memory", "1GiB"], environment) as server:

        def answer() -> list[int]:
            body = {
                "model": "m",
                "prompt": PROMPTS[2],
                "max_tokens": TOKENS,
                "temperature": 0,
                "ignore_eos": True,
                "return_token_ids": True,
            }
            reply = httpx.post(f"{server.url}/v1/completions", json=body, timeout=300)
            assert reply.status_code == 200, reply.text
            return reply.json()["choices"][0]["token_ids"]

        def is_sleeping() -> bool:
            return httpx.get(f"{server.url}/is_sleeping").json()["is_sleeping"]

        assert answer() == expected[2]
        assert httpx.post(f"{server.url}/sleep", params={"level": 1}, timeout=300).status_code == 200
        assert is_sleeping()
        assert httpx.post(f"{server.url}/wake_up", timeout=300).status_code == 200
        assert not is_sleeping()
        assert answer() == expected[2]

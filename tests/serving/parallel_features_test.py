"""What engines do beside text, with tensors or layers divided among devices: LoRA adapters, embeddings and classes, sleep mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders
from adapted import ASKED, Adapted
from harness import in_engine
from matrix import STEP, TOKENS, prompts

LAYOUTS = {"tensors": {"tensor_parallel_size": 2}, "stages": {"pipeline_parallel_size": 2}}


def each(change: str, names: Iterable[str]) -> list[Any]:
    """Each name in each layout; one with divided tensors at each change, the others at night."""
    pairs = [(name, layout) for name in names for layout in LAYOUTS]
    return [pytest.param(*pair, marks=[] if pair == (change, "tensors") else pytest.mark.night) for pair in pairs]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapted]:
    made = Adapted(tmp_path_factory.mktemp("models"))
    yield made
    made.close()


def engine(path: Path, **options: Any) -> Any:
    from vllm import LLM

    settings = {"dtype": "float32", "max_model_len": 512, "max_num_batched_tokens": STEP, "gpu_memory_utilization": 0.5}
    return LLM(str(path), **{**settings, **options})


def answers(llm: Any, asked: Sequence[list[int]], adapters: Sequence[Any] | None = None) -> list[list[int]]:
    """Greedy tokens, all requests at once."""
    from vllm import SamplingParams

    greedy = SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True)
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in asked], greedy, lora_request=adapters, use_tqdm=False)
    return [[*output.outputs[0].token_ids] for output in outputs]


@pytest.mark.parametrize(("name", "layout"), each("llama", ["llama", "qwen3"]))
def test_adapters_and_none_in_one_batch(name: str, layout: str, models: Adapted, tmp_path: Path) -> None:
    """Each rank has its part of B of layers that are divided by columns, and of A of those that are divided by rows; the second adapter
    has an embedding and a head, too. There are fewer slots than adapters."""
    path, places = models.get(name)

    def work() -> object:
        from vllm.lora.request import LoRARequest

        llm = engine(path, enable_lora=True, max_loras=2, max_cpu_loras=3, max_lora_rank=16, **LAYOUTS[layout])
        requests = [None, *(LoRARequest(place.name, number, str(place)) for number, place in enumerate(places, 1))]
        out = answers(llm, [ids for ids, _ in ASKED], [requests[number] for _, number in ASKED])
        llm.llm_engine.engine_core.shutdown()
        return out

    tokens, _ = in_engine(work, tmp_path)
    assert tokens == models.expected(name)


def texts(task: str) -> list[Any]:
    """What a pooling model is asked: texts, or pairs of them."""
    words = [" ".join(f"w{(7 * i * i + 3 * length) % tiny_encoders.WORDS}" for i in range(length)) for length in (1, 2, 17, 127, 128, 300)]
    return [[one, words[i - 1][:200]] for i, one in enumerate(words)] if task == "score" else list(words)


@pytest.mark.parametrize(("name", "layout"), each("qwen3-classes", tiny_encoders.MODELS))
def test_vectors_are_those_of_transformers(name: str, layout: str, models: Adapted, tmp_path: Path) -> None:
    path, task = models.model(name), tiny_encoders.MODELS[name].task
    asked = texts(task)

    def work() -> object:
        llm = engine(path, max_num_batched_tokens=512, **LAYOUTS[layout])
        out = tiny_encoders.answers(llm, task, asked)
        llm.llm_engine.engine_core.shutdown()
        return out

    served, _ = in_engine(work, tmp_path)
    # The bound of pooling_test.py: float32 sums of another order.
    for vector, expected in zip(served, models.vectors(path, asked, tiny_encoders.MODELS[name].head), strict=True):
        np.testing.assert_allclose(vector, expected, atol=2e-5)


# What is not freed: indices, masks, tables of positions, buffers of collectives, and what the runtime itself has.
KEPT = 16 * 2**20


def memory(_: Any) -> tuple[int, int]:
    """Bytes that are free on the device of a worker, and bytes of it that tensors have."""
    import torch

    return torch.npu.mem_get_info()[0], torch.npu.memory_allocated()


@pytest.mark.parametrize(("name", "layout"), each("llama", ["llama", "mixtral", "deepseek-v3"]))
def test_an_engine_sleeps_on_all_ranks(name: str, layout: str, models: Adapted, tmp_path: Path) -> None:
    """Level 1, then level 2 with weights that are loaded again: each rank frees its part, and the tokens stay the same."""
    path, asked = models.model(name), prompts()[::3]

    def work() -> object:
        llm = engine(path, gpu_memory_utilization=0.6, enable_sleep_mode=True, **LAYOUTS[layout])
        tokens, free = [answers(llm, asked)], [llm.collective_rpc(memory)]
        llm.sleep(level=1)
        free.append(llm.collective_rpc(memory))
        llm.wake_up()
        tokens.append(answers(llm, asked))
        llm.sleep(level=2)
        free.append(llm.collective_rpc(memory))
        llm.wake_up(["weights"])
        llm.collective_rpc("reload_weights")
        llm.wake_up(["kv_cache"])
        tokens.append(answers(llm, asked))
        llm.llm_engine.engine_core.shutdown()
        return {"tokens": tokens, "memory": free}

    found, _ = in_engine(work, tmp_path)
    assert found["tokens"] == [models.tokens(path, asked, TOKENS)] * 3
    awake, *asleep = found["memory"]
    assert len(awake) == 2
    for one in asleep:
        for (free, held), (free_awake, _) in zip(one, awake, strict=True):
            # The cache alone is more than a quarter of a device of 1 GiB.
            assert free - free_awake > 2**30 // 4
            assert held < KEPT

"""LoRA adapters: requests of several adapters, and of none, in one batch, against HF transformers with merged weights."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import quantised
import tiny_encoders
import tiny_vision
from adapted import ASKED, Adapted
from harness import in_engine, night_but_for
from matrix import TOKENS, as_input, decoding_launches, engine_options, prompts, watch
from tiny import LAYERS
from vllm_cann_demo.server import Server

from softnpu import trace

# Two slots for three adapters, so that slots are used again.
SLOTS = 2
MODELS = ("llama", "qwen3")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapted]:
    made = Adapted(tmp_path_factory.mktemp("models"))
    yield made
    made.close()


def _engine(path: Path, dtype: str, **options: Any) -> Any:
    from vllm import LLM

    return LLM(
        str(path),
        dtype=dtype,
        max_model_len=512,
        max_num_batched_tokens=160,
        gpu_memory_utilization=0.5,
        **options,
    )


def _answers(llm: Any, adapters: Sequence[Path], asked: Sequence[tuple[Any, int]], tokens: int = TOKENS) -> list[list[Any]]:
    """Greedy tokens, or the vectors of texts, all requests at once."""
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    requests = [None, *(LoRARequest(place.name, number, str(place)) for number, place in enumerate(adapters, 1))]
    chosen = [requests[number] for _, number in asked]
    if isinstance(asked[0][0], str):
        return [output.outputs.embedding for output in llm.embed([text for text, _ in asked], lora_request=chosen, use_tqdm=False)]
    outputs = llm.generate(
        [as_input(prompt) for prompt, _ in asked],
        SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True),
        lora_request=chosen,
        use_tqdm=False,
    )
    return [[*output.outputs[0].token_ids] for output in outputs]


def _pageable(work: Callable[[], object]) -> int:
    """The copies of pageable memory that make the host wait in `work`."""
    state = Path(os.environ["SOFTNPU_STATE_DIR"])
    before = sum(counter["host", "aclrtMemcpyAsync of pageable memory"] for counter in trace.counts(state).values())
    work()
    return sum(counter["host", "aclrtMemcpyAsync of pageable memory"] for counter in trace.counts(state).values()) - before


def _options() -> dict[str, Any]:
    return {"enable_lora": True, "max_loras": SLOTS, "max_cpu_loras": 3, "max_lora_rank": 16}


@pytest.mark.parametrize("name", night_but_for(["llama"], MODELS))
def test_adapters_and_none_in_one_batch(name: str, models: Adapted, tmp_path: Path) -> None:
    """float32: the tokens are those of merged weights; no layer waits for the device; two launches for each layer that has adapters."""
    path, adapters = models.get(name)

    def one_request(llm: Any, number: int, count: int) -> object:
        return _answers(llm, adapters, [([1, 2, 3], number)], count)

    def work() -> object:
        llm = _engine(path, "float32", **_options())
        [waits] = llm.apply_model(watch)
        return {
            "tokens": _answers(llm, adapters, ASKED),
            "again": _answers(llm, adapters, ASKED[::-1]),
            "waits": waits,
            "decoding": [decoding_launches(partial(one_request, llm, number)) for number in (0, 1)],
            "pageable": _pageable(lambda: _answers(llm, adapters, [([1, 2, 3], 1), ([4, 5], 0)])),
        }

    result, _ = in_engine(work, tmp_path)
    expected = models.expected(name)
    assert result["tokens"] == expected
    assert result["again"] == expected[::-1]
    assert not result["waits"], Counter(result["waits"])
    # vLLM loads an adapter's embedding out of memory that is not pinned; no step copies so.
    assert result["pageable"] == 0
    # Query, key and value; the output; gate and up; down. The embedding has the second half alone, beside the rows of A.
    (kernels, _), (more_kernels, _) = result["decoding"]
    assert more_kernels - kernels == 2 * 4 * LAYERS + 2 + 1


# Quantised weights, pictures, and embeddings, with the adapters that have no weights of an embedding.
@pytest.mark.parametrize("name", night_but_for(["qwen2.5-vl"], ["llama-w8a8", "qwen2.5-vl", "qwen3-embedding"]))
def test_adapters_of_other_classes(name: str, models: Adapted, tmp_path: Path) -> None:
    path, places = models.get(name)
    adapters = [places[0], places[2]]
    some: list[Any] = prompts()
    what: dict[str, Any] = {"new_tokens": TOKENS}
    key = "greedy"
    if name in tiny_vision.MODELS:
        some = tiny_vision.prompts(name)[5:14]
    elif name in tiny_encoders.MODELS:
        some = [" ".join(f"w{(7 * i * i + size) % tiny_encoders.WORDS}" for i in range(size)) for size in (1, 5, 40, 127, 128, 129, 200)]
        key, what = "texts", {"head": tiny_encoders.MODELS[name].head}
    asked = [(one, i % 3) for i, one in enumerate(some)]
    options = {**engine_options(path), **_options()}
    found, _ = in_engine(lambda: _answers(_engine(path, "float32", **options), adapters, asked), tmp_path)
    others = []
    for number in range(3):
        job = {"adapter": str(adapters[number - 1])} if number else {}
        # All of them, so that an adapter is seen to change an answer.
        result = models.ask(path, dtype="float32", **{key: some}, **what, **job)["tokens" if key == "greedy" else "vectors"]
        others.append(result)
        if name in quantised.MODELS:
            pairs = [(some[i], found[i]) for i in range(number, len(asked), 3)]
            forced = models.ask(path, dtype="float32", forced=pairs, **job)
            assert max(forced["differing"], default=0.0) <= quantised.BORDER * forced["spread"], forced
            continue
        for i in range(number, len(asked), 3):
            # Tokens are equal; a vector's bound is that of pooling_test.py.
            np.testing.assert_allclose(found[i], result[i], atol=2e-5, err_msg=f"prompt {i}, adapter {number}")
    for i in range(len(asked)):
        assert any(not np.allclose(others[0][i], other[i], atol=1e-2) for other in others[1:])


def test_logits_of_prompts_are_those_of_the_adapter(models: Adapted, tmp_path: Path) -> None:
    """The second adapter has weights of the head. Prompts of several requests, some of them without an adapter, share steps."""
    path, adapters = models.get("qwen3")
    asked = [(ids[:60], number) for (ids, _), number in zip(ASKED, (0, 2, 1, 2, 0, 2, 0, 2), strict=False) if len(ids) > 1]

    def work() -> object:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        llm = _engine(path, "float32", **_options())
        outputs = llm.generate(
            [{"prompt_token_ids": ids} for ids, _ in asked],
            SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0),
            lora_request=[LoRARequest(str(number), number, str(adapters[number - 1])) if number else None for _, number in asked],
            use_tqdm=False,
        )
        return [
            [row[token].logprob for token, row in zip(ids[1:], output.prompt_logprobs[1:], strict=True)]
            for (ids, _), output in zip(asked, outputs, strict=True)
        ]

    found, _ = in_engine(work, tmp_path)
    for (ids, number), values in zip(asked, found, strict=True):
        job = {"adapter": str(adapters[number - 1])} if number else {}
        [rows] = models.ask(path, dtype="float32", logits=[ids], **job)["logits"]
        for value, row, token in zip(values, rows, ids[1:], strict=False):
            largest = max(row)
            exact = row[token] - largest - math.log(sum(math.exp(one - largest) for one in row))
            # The bound of sampling_test.py.
            assert abs(value - exact) <= 5e-4, (number, token)


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.night)])
def test_in_sixteen_bits(dtype: str, models: Adapted, tmp_path: Path) -> None:
    """What HF transformers with merged weights prefers to the served tokens is as near as its own distance from float32."""
    path, adapters = models.get("llama")
    tokens, _ = in_engine(lambda: _answers(_engine(path, dtype, **_options()), adapters, ASKED), tmp_path)
    for number, place in enumerate(adapters, 1):
        pairs = [(ids, answer) for (ids, of), answer in zip(ASKED, tokens, strict=True) if of == number]
        result = models.ask(path, dtype=dtype, forced=pairs, adapter=str(place))
        gap = max(result["differing"], default=0.0)
        assert gap <= 2 * result["largest"], result


# A planted fault in what tells the adapter of each token: what the wrapper is told instead of a step's mapping and its slots.
FAULTS: dict[str, Callable[[Any, list[int | None]], tuple[Any, list[int | None]]]] = {
    "the adapter is that of the next slot": lambda mapping, slots: (mapping, slots[1:] + slots[:1]),
    "the adapter is that of the next token": lambda mapping, slots: (
        dataclasses.replace(mapping, index_mapping=(*mapping.index_mapping[1:], 0)),
        slots,
    ),
}


def test_an_adapter_changes_tokens(models: Adapted) -> None:
    """Else the tests above would say nothing: with another adapter, nearly each request has another answer."""
    path, adapters = models.get("qwen3")
    asked = [ids for ids, _ in ASKED]
    jobs: list[dict[str, Any]] = [{}, *({"adapter": str(place)} for place in adapters)]
    answers = [models.ask(path, dtype="float32", greedy=asked, new_tokens=TOKENS, **job)["tokens"] for job in jobs]
    for i, one in enumerate(answers):
        for other in answers[:i]:
            assert sum(a != b for a, b in zip(one, other, strict=True)) >= len(asked) - 2


@pytest.mark.parametrize("fault", night_but_for(["the adapter is that of the next token"], FAULTS))
def test_a_planted_fault_is_seen(fault: str, models: Adapted, tmp_path: Path) -> None:
    path, adapters = models.get("qwen3")

    def work() -> object:
        from vllm_cann.lora import CannPunicaWrapper

        right = CannPunicaWrapper._update_base_metadata

        def wrong(self: CannPunicaWrapper, mapping: Any, slots: list[int | None], *others: Any) -> None:
            right(self, *FAULTS[fault](mapping, slots), *others)

        setattr(CannPunicaWrapper, right.__name__, wrong)
        return _answers(_engine(path, "float32", **_options()), adapters, ASKED)

    tokens, _ = in_engine(work, tmp_path)
    assert tokens != models.expected("qwen3")


def test_a_server_takes_and_gives_up_adapters_while_it_runs(models: Adapted, tmp_path: Path) -> None:
    path, adapters = models.get("qwen3")
    expected = models.expected("qwen3")
    options = ["--max-model-len", "512", "--gpu-memory-utilization", "0.5", "--dtype", "float32", "--served-model-name", "base"]
    options += ["--enable-lora", "--max-loras", "2", "--max-lora-rank", "16"]
    environment = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    with Server(path, tmp_path, options, ["--memory", "1GiB"], environment) as server:

        def answer(model: str, ids: list[int]) -> httpx.Response:
            body = {"model": model, "prompt": ids, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
            return httpx.post(f"{server.url}/v1/completions", json=body, timeout=300)

        def post(what: str, **body: str) -> httpx.Response:
            return httpx.post(f"{server.url}/v1/{what}", json=body, timeout=300)

        for number in (0, 1, 2, 3):
            i = next(i for i, (_, of) in enumerate(ASKED) if of == number and i > 3)
            model = "base"
            if number > 0:
                model = adapters[number - 1].name
                assert answer(model, [1]).status_code == 404
                assert post("load_lora_adapter", lora_name=model, lora_path=str(adapters[number - 1])).status_code == 200
            reply = answer(model, ASKED[i][0])
            assert reply.status_code == 200, reply.text
            assert reply.json()["choices"][0]["token_ids"] == expected[i]
        assert post("unload_lora_adapter", lora_name=adapters[0].name).status_code == 200
        assert answer(adapters[0].name, [1]).status_code == 404
        assert answer("base", [1]).status_code == 200


def test_a_mixture_serves_adapters_of_its_attention(models: Adapted, tmp_path: Path) -> None:
    """Experts have none; the adapter here has weights for query, key, value and output alone."""
    path, _ = models.get("qwen3-moe")
    place = tmp_path / "attention"
    models.ask(path, make_adapter="attention", adapter=str(place))
    asked = [(ids, number % 2) for number, ids in enumerate(prompts()[:8])]
    options = {"enable_lora": True, "max_lora_rank": 8, "lora_target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    tokens, _ = in_engine(lambda: _answers(_engine(path, "float32", **options), [place], asked), tmp_path)
    for number in (0, 1):
        job = {"adapter": str(place)} if number else {}
        ids = [ids for ids, of in asked if of == number]
        found = models.ask(path, dtype="float32", greedy=ids, new_tokens=TOKENS, **job)["tokens"]
        assert [answer for answer, (_, of) in zip(tokens, asked, strict=True) if of == number] == found

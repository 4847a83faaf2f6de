"""Kinds of models and of requests that the recall model does not have, served from small random models."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import reference
from vllm import LLM, SamplingParams
from vllm.sampling_params import BeamSearchParams, StructuredOutputsParams

TINY = Path(__file__).parent / "tiny.py"
LAYERS = 3
TOKENS = 8
# The edges of a block of the cache, and of what a step computes of a prompt.
LENGTHS = (1, 2, 31, 63, 64, 65, 127, 128, 129, 180, 255, 256, 257, 300)


def bound(spread: float) -> float:
    """How far below the largest float32 logit that of a token can be which is the largest in bfloat16.

    A number in bfloat16 is off by up to u = 2^-8 of itself, by u / sqrt(3) on average if errors are spread evenly. Between a token and its
    logits lie, one after another, at most 10 roundings per layer (norm, projection, rotation, attention, projection and addition; norm,
    projections, product, projection and addition) and 3 at the ends. Their errors are independent, so the hidden state, and with it each
    logit, is off by sqrt(10 * layers + 3) * u / sqrt(3) of its spread. A later layer can double what an earlier one did wrong. Of 50,000
    logits none is off by more than 5 times that, and a token passes another if both are off, so twice.
    """
    return 2 * 5 * 2 * math.sqrt(10 * LAYERS + 3) * 2.0**-8 / math.sqrt(3) * spread


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


def model(made: dict[str, Path], architecture: str, factory: pytest.TempPathFactory) -> Path:
    if architecture not in made:
        made[architecture] = factory.mktemp(architecture)
        subprocess.run([sys.executable, str(TINY), architecture, str(made[architecture])], check=True)
    return made[architecture]


@contextmanager
def served(path: Path, dtype: str, **options: Any) -> Iterator[LLM]:
    llm = LLM(
        model=str(path),
        dtype=dtype,
        max_model_len=512,
        max_num_batched_tokens=256,
        gpu_memory_utilization=0.5,
        structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
        **options,
    )
    try:
        yield llm
    finally:
        llm.llm_engine.engine_core.shutdown()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "stablelm", "gpt2"])
def test_tokens_are_those_of_transformers(
    architecture: str, dtype: str, made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    path = model(made, architecture, tmp_path_factory)
    rng = random.Random(41)
    prompts = [[rng.randrange(512) for _ in range(length)] for length in LENGTHS]
    with served(path, dtype) as llm:
        options = SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True)
        outputs = llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], options)
    answers = [[*output.outputs[0].token_ids] for output in outputs]
    if dtype == "float32":
        assert answers == reference(tmp_path, path, dtype=dtype, greedy=prompts, new_tokens=TOKENS)["tokens"]
    else:
        result = reference(tmp_path, path, dtype=dtype, forced=list(zip(prompts, answers, strict=True)))
        assert result["positions"] == len(LENGTHS) * TOKENS
        print(f"{architecture}: {result['below']:.3f} below the largest, at most {bound(result['spread']):.3f}")
        assert result["below"] <= bound(result["spread"]), result


def test_requests_with_options(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Structured outputs, and what else a request can ask for."""
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "whole": {"type": "boolean"}},
        "required": ["colour", "whole"],
        "additionalProperties": False,
    }
    # 2 for keys and values, bfloat16 of 2 bytes; KV heads and head size of the model "llama".
    block_bytes = LAYERS * 2 * 128 * 2 * 64 * 2
    with served(model(made, "llama", tmp_path_factory), "bfloat16", kv_cache_memory_bytes=40 * block_bytes) as llm:
        assert llm.llm_engine.vllm_config.cache_config.num_gpu_blocks == 40

        def ask(prompt: str = "abc", **options: object) -> list:
            [output] = llm.generate([prompt], SamplingParams(**{"temperature": 0, "max_tokens": 6, **options}), use_tqdm=False)
            return [output, *output.outputs]

        def structured(**kind: object) -> str:
            return ask(max_tokens=64, structured_outputs=StructuredOutputsParams(**kind))[1].text

        assert structured(choice=["yes", "no"]) in ("yes", "no")
        assert re.fullmatch("[0-9]{3}-[a-f]+x", structured(regex="[0-9]{3}-[a-f]{1,4}x"))
        answer = json.loads(structured(json=schema))
        assert answer["colour"] in ("red", "blue")
        assert isinstance(answer["whole"], bool)

        whole, first = ask(logprobs=2, prompt_logprobs=2, ignore_eos=True)
        assert len(whole.prompt_logprobs) == 3
        assert len(first.logprobs) == 6
        for token, row in zip(first.token_ids, first.logprobs, strict=True):
            assert row[token].rank == 1
        assert [*ask(logit_bias={77: 100.0})[1].token_ids] == [77] * 6
        assert {*ask(allowed_token_ids=[5, 6], ignore_eos=True)[1].token_ids} <= {5, 6}
        forbidden = first.token_ids[0]
        assert forbidden not in ask(logit_bias={forbidden: -100.0})[1].token_ids
        assert len({*ask(presence_penalty=2.0, frequency_penalty=2.0, repetition_penalty=2.0, ignore_eos=True)[1].token_ids}) == 6
        assert len(ask(min_tokens=6)[1].token_ids) == 6
        drawn = [ask(temperature=1.0, top_k=20, top_p=0.9, min_p=0.01, seed=3, n=2, ignore_eos=True) for _ in range(2)]
        assert [one.token_ids for one in drawn[0][1:]] == [one.token_ids for one in drawn[1][1:]]
        assert len(drawn[0][1:]) == 2
        [beams] = llm.beam_search([{"prompt": "abc"}], BeamSearchParams(beam_width=2, max_tokens=4))
        assert len(beams.sequences) == 2

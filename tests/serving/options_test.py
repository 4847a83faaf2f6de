"""Requests that ask for more than greedy tokens, and for text of a form, served from a small random model."""

from __future__ import annotations

import json
import re
from pathlib import Path

from harness import in_engine, reference
from tiny import LAYERS
from vllm import LLM, SamplingParams
from vllm.sampling_params import BeamSearchParams, StructuredOutputsParams


def _ask_for_all(model: Path, block_bytes: int) -> bool:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "whole": {"type": "boolean"}},
        "required": ["colour", "whole"],
        "additionalProperties": False,
    }
    llm = LLM(
        model=str(model),
        dtype="bfloat16",
        max_model_len=512,
        max_num_batched_tokens=256,
        gpu_memory_utilization=0.5,
        structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
        kv_cache_memory_bytes=40 * block_bytes,
    )
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
    return True


def test_requests_with_options(tmp_path: Path) -> None:
    """Structured outputs, and what else a request can ask for."""
    reference(tmp_path / "llama", make="llama")
    # 2 for keys and values, bfloat16 of 2 bytes; KV heads and head size of the model "llama".
    assert in_engine(lambda: _ask_for_all(tmp_path / "llama", LAYERS * 2 * 128 * 2 * 64 * 2), tmp_path)[0]

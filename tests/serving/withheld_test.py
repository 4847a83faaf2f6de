"""With any one aclnn operator missing, a run takes another path to the same tokens or fails and names it. Nothing runs on the CPU.

A process that has imported everything but touched no device forks a child for each name. The child loads a copy of libopapi.so in which
the name is spelt differently, under the same soname, so that torch_npu finds this one.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
from pathlib import Path

import pytest
from harness import FALLBACK, MODEL, encode, in_child, in_engine, prepare

from softnpu import launcher, trace

PROMPTS = [
    encode("ada : fig oak elm ; bob : ivy yew fig ; bob ?"),
    encode("hal : nut pea rye ; kay : tea yam kale ; jon : dill mint sage ; hal !"),
]
# The full run is a manual target; its result is in withheld.json.
SAMPLE = 8


def withhold(name: str, directory: Path) -> Path:
    """A copy of libopapi.so without `name`: its dynamic symbols end in another letter."""
    content = (launcher.LIBRARIES / "libopapi.so").read_bytes()
    for symbol in (name, name + "GetWorkspaceSize"):
        old = b"\0" + symbol.encode() + b"\0"
        assert old in content, symbol
        content = content.replace(old, old[:-2] + b"#\0")
    target = directory / "libopapi.so"
    target.write_bytes(content)
    return target


def generate(dtype: str) -> list[list[int]]:
    """Greedy and sampled tokens of an engine in this process. The sampled ones are seeded."""
    from vllm import LLM, SamplingParams

    llm = LLM(str(MODEL), dtype=dtype, gpu_memory_utilization=0.5, max_model_len=512)
    greedy = SamplingParams(max_tokens=8, temperature=0, ignore_eos=True)
    drawn = SamplingParams(max_tokens=4, temperature=0.7, top_k=20, top_p=0.9, seed=5, logprobs=2)
    prompts = [{"prompt_token_ids": ids} for ids in PROMPTS]
    return [
        list(output.outputs[0].token_ids) for parameters in (greedy, drawn) for output in llm.generate(prompts, parameters, use_tqdm=False)
    ]


@pytest.fixture(scope="module", params=["bfloat16", pytest.param("float32", marks=pytest.mark.night)])
def baseline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, object, list[str]]:
    """The dtype, the tokens of an undisturbed run, and the aclnn names that it used."""
    tokens, state = in_engine(lambda: generate(request.param), tmp_path_factory.mktemp("baseline"))
    [counted] = trace.counts(state).values()
    return request.param, tokens, sorted(name for kind, name in counted if kind == "operator")


def check(name: str, dtype: str, expected: object, directory: Path) -> str:
    """Runs with one name withheld. Returns what happened; a wrong token or a nameless end fails."""

    def work() -> object:
        ctypes.CDLL(str(withhold(name, directory)), mode=ctypes.RTLD_GLOBAL)
        return generate(dtype)

    tokens, log = in_child(work, directory)
    assert FALLBACK not in log, name
    if tokens is not None:
        assert tokens == expected, name
        return "other path"
    # Without the aclnn name torch_npu asks the operator compiler, by the operator's older name.
    if older := re.search(r"the operator (\w+) \(.*needs CANN's operator compiler", log):
        return f"named as {older[1]}"
    assert name in log, log[-3000:]
    return "named"


def test_a_withheld_operator_is_named_or_replaced(baseline: tuple[str, object, list[str]], tmp_path: Path) -> None:
    dtype, tokens, names = baseline
    assert len(names) > 30
    chosen = names if os.environ.get("WITHHOLD") == "all" else random.Random(4).sample(names, SAMPLE)
    outcome = {name: check(name, dtype, tokens, tmp_path) for name in chosen}
    print(json.dumps({dtype: outcome}, indent=1))
    assert any(text.startswith("named") for text in outcome.values())


def test_a_planted_operator_that_torch_npu_does_not_have_is_seen(tmp_path: Path) -> None:
    prepare()

    def work() -> object:
        import torch

        return torch.special.bessel_j0(torch.ones(2).npu()).cpu().tolist()

    value, log = in_child(work, tmp_path)
    assert value is not None
    assert FALLBACK in log

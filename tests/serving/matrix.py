"""Serves one of tiny.py's models, and compares its greedy tokens with those of HF transformers. Each engine is a forked child."""

from __future__ import annotations

import functools
import os
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import FALLBACK, Reference, in_child, prepare

from softnpu import trace

TOKENS = 8
# The edges of a block of the cache, of a window, and of what a step computes of a prompt.
LENGTHS = (1, 2, 31, 49, 50, 51, 64, 127, 128, 129, 255, 256, 257, 300, 400, 500)
# Some requests are preempted: they need 30 blocks.
BLOCKS = 16
STEP = 160

# How a token is read back by its host: what no layer may do.
_WAITS = ("aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero")


@dataclass
class Served:
    """What an engine did.

    Attributes:
        tokens: greedy tokens of each prompt
        again: those of the longest prompt once more, whose beginning is cached
        waits: operators by which a layer read from the device
        kernels, operators: how often each of ours, and each aclnn operator, was launched
        steps: forward steps of the model
        architecture: vLLM's class of the model
        decoding: launches of our kernels, and of aclnn operators, in a step that decodes a token of one request
        preempted, hits: requests that were preempted; tokens that were found in the cache
    """

    tokens: list[list[int]]
    again: list[int]
    waits: list[str]
    kernels: Counter[str]
    operators: Counter[str]
    steps: int
    architecture: str
    decoding: tuple[int, int]
    preempted: float
    hits: float
    log: str


# Of these models only longer prompts are compared: vLLM takes LongRoPE's long angles for all of them, HF transformers from here on.
LONGER_THAN = {"phi3-longrope": 256}


@functools.cache
def prompts(longer_than: int = 0) -> list[list[int]]:
    """Prompts of the lengths above."""
    rng = random.Random(41)
    return [[rng.randrange(512) for _ in range(length)] for length in LENGTHS if length > longer_than]


def _watch(model: Any) -> list[str]:
    """From now on, each forward of the model notes the operators by which it reads from the device."""
    from torch.utils._python_dispatch import TorchDispatchMode

    found: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            name = function._schema.name
            moved = getattr(result, "device", None) is not None and result.device.type == "cpu"
            if name in _WAITS or (moved and any(getattr(one, "device", None) is not None and one.device.type == "npu" for one in args)):
                found.append(name)
            return result

    forward = model.forward

    @functools.wraps(forward)
    def watched(*args: Any, **kwargs: Any) -> Any:
        found.append("step")
        with Watch():
            return forward(*args, **kwargs)

    model.forward = watched
    return found


def _tokens(count: int) -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)


def _launched() -> tuple[int, int]:
    """Launches of our kernels, and of aclnn operators, by this process so far."""
    [counter] = trace.counts(Path(os.environ["SOFTNPU_STATE_DIR"])).values()
    kernels, operators = (sum(count for (kind, _), count in counter.items() if kind == wanted) for wanted in ("kernel", "operator"))
    return kernels, operators


def _decoding(ask: Callable[[int], object]) -> tuple[int, int]:
    """Launches in a step that decodes one token: the longer of two requests has ten such steps more."""
    marks = []
    for count in (2, 12):
        before = _launched()
        ask(count)
        marks.append([after - begun for after, begun in zip(_launched(), before, strict=True)])
    kernels, operators = (round((long - short) / 10) for short, long in zip(*marks, strict=True))
    return kernels, operators


def _generate(path: Path, dtype: str, asked: list[list[int]], options: dict[str, Any]) -> dict[str, Any]:
    from vllm import LLM

    llm = LLM(
        str(path),
        dtype=dtype,
        max_model_len=512,
        max_num_batched_tokens=STEP,
        gpu_memory_utilization=0.5,
        disable_log_stats=False,
        **{"num_gpu_blocks_override": BLOCKS, **options},
    )
    [found] = llm.apply_model(_watch)
    [architecture] = llm.apply_model(lambda model: type(model).__name__)
    greedy = _tokens(TOKENS)
    longest = max(asked, key=len)
    outputs = [
        [[*output.outputs[0].token_ids] for output in llm.generate([{"prompt_token_ids": ids} for ids in some], greedy, use_tqdm=False)]
        for some in (asked, [longest], [longest])
    ]
    assert outputs[1] == outputs[2]
    decoding = _decoding(lambda count: llm.generate([{"prompt_token_ids": [1, 2, 3]}], _tokens(count), use_tqdm=False))
    metrics = {metric.name: metric.value for metric in llm.get_metrics() if hasattr(metric, "value")}
    return {
        "tokens": outputs[0],
        "again": outputs[2][0],
        "architecture": architecture,
        "decoding": decoding,
        "waits": [name for name in found if name != "step"],
        "steps": found.count("step"),
        "preempted": metrics["vllm:num_preemptions"],
        "hits": metrics["vllm:prefix_cache_hits"],
    }


def serve(path: Path, dtype: str, asked: list[list[int]], directory: Path, **options: Any) -> Served:
    """Runs an engine in a child and lets it answer all prompts at once, then the longest one twice."""
    prepare()
    state = directory / "state"
    state.mkdir()

    def work() -> object:
        os.environ["SOFTNPU_STATE_DIR"] = str(state)
        return _generate(path, dtype, asked, options)

    result, log = in_child(work, directory)
    assert isinstance(result, dict), log[-6000:]
    assert FALLBACK not in log
    kernels: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    for counter in trace.counts(state).values():
        for (kind, name), value in counter.items():
            (kernels if kind == "kernel" else operators if kind == "operator" else Counter())[name] += value
            assert name != "aclrtMemcpyAsync of pageable memory"
    return Served(**result, kernels=kernels, operators=operators, log=log)


class Matrix:
    """Models that are made when a test asks for them, and the reference."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reference = Reference()
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

    def model(self, name: str) -> Path:
        """The directory of a model."""
        path = self._directory / name
        if not path.exists():
            self._reference.begin(path, make=name)
            self._reference.end()
        return path

    def check(self, name: str, dtype: str, directory: Path, **options: Any) -> Served:
        """Serves a model, compares its tokens with the reference, and returns what the engine did.

        float32: the same tokens. Otherwise: HF transformers in the same dtype, given the served tokens, prefers others by no more than
        twice its own largest distance from float32, which is what this precision can decide.
        """
        path = self.model(name)
        asked = prompts(LONGER_THAN.get(name, 0))
        if dtype == "float32":
            self._reference.begin(path, dtype=dtype, greedy=asked, new_tokens=TOKENS)
        try:
            served = serve(path, dtype, asked, directory, **options)
        except BaseException:
            if dtype == "float32":
                self._reference.end()
            raise
        if dtype == "float32":
            expected = self._reference.end()["tokens"]
            wrong = [len(ids) for ids, one, other in zip(asked, served.tokens, expected, strict=True) if one != other]
            assert not wrong, f"prompts of {wrong} tokens have other answers"
            assert served.again == expected[asked.index(max(asked, key=len))]
        else:
            self._reference.begin(path, dtype=dtype, forced=list(zip(asked, served.tokens, strict=True)))
            result = self._reference.end()
            assert result["positions"] == len(asked) * TOKENS
            gap = max(result["differing"], default=0.0)
            print(f"{name} {dtype}: {gap:.3f} of {2 * result['largest']:.3f}")
            assert gap <= 2 * result["largest"], result
        assert served.hits > 0
        assert not served.waits, Counter(served.waits)
        return served

    def close(self) -> None:
        """Ends the reference."""
        self._reference.close()


def families(served: Served) -> list[str]:
    """Our kernels that ran, by their names without types."""
    return sorted({re.sub(r"_(float|float16|bfloat16|int8)$", "", name) for name, count in served.kernels.items() if count})


def row(served: Served) -> dict[str, Any]:
    """What models.json keeps of it."""
    return {"architecture": served.architecture, "kernels": families(served), "decoding": list(served.decoding)}

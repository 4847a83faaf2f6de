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

import quantised
import tiny_vision
from harness import Models, in_engine

from softnpu import trace

TOKENS = 8
# The edges of a block of the cache, of a window, and of what a step computes of a prompt.
LENGTHS = (1, 2, 31, 49, 50, 51, 64, 127, 128, 129, 255, 256, 257, 300, 400, 500)
# Some requests are preempted: all together they need 30 blocks; those of prompts with pictures, which are shorter, fewer at a time.
BLOCKS, FEWER_BLOCKS = 16, 8
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
        kernels: how often each of ours was launched
        architecture: vLLM's class of the model
        decoding: launches of our kernels, and of aclnn operators, in a step that decodes a token of one request
        preempted, hits: requests that were preempted; tokens that were found in the cache
    """

    tokens: list[list[int]]
    again: list[int]
    waits: list[str]
    kernels: Counter[str]
    architecture: str
    decoding: tuple[int, int]
    preempted: float
    hits: float


# Of these models only longer prompts are compared: vLLM takes LongRoPE's long angles for all of them, HF transformers from here on.
LONGER_THAN = {"phi3-longrope": 256}


@functools.cache
def prompts(longer_than: int = 0) -> list[list[int]]:
    """Prompts of the lengths above."""
    rng = random.Random(41)
    return [[rng.randrange(512) for _ in range(length)] for length in LENGTHS if length > longer_than]


def watch(model: Any) -> list[str]:
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
        with Watch():
            return forward(*args, **kwargs)

    model.forward = watched
    return found


def _tokens(count: int) -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)


def launched() -> tuple[int, int]:
    """Launches of our kernels, and of aclnn operators, by this process so far."""
    [counter] = trace.counts(Path(os.environ["SOFTNPU_STATE_DIR"])).values()
    kernels, operators = (sum(count for (kind, _), count in counter.items() if kind == wanted) for wanted in ("kernel", "operator"))
    return kernels, operators


def decoding_launches(ask: Callable[[int], object]) -> tuple[int, int]:
    """Launches in a step that decodes one token: the longer of two requests has ten such steps more."""
    marks = []
    for count in (2, 12):
        before = launched()
        ask(count)
        marks.append([after - begun for after, begun in zip(launched(), before, strict=True)])
    kernels, operators = (round((long - short) / 10) for short, long in zip(*marks, strict=True))
    return kernels, operators


def as_input(prompt: list[int] | dict[str, Any]) -> dict[str, Any]:
    """A prompt as vLLM takes it."""
    if isinstance(prompt, list):
        return {"prompt_token_ids": prompt}
    pictures = [tiny_vision.picture(*picture) for picture in prompt["pictures"]]
    videos = [(tiny_vision.video(*one), {**tiny_vision.shown_at(one[1]), "do_sample_frames": False}) for one in prompt["videos"]]
    shown = {kind: values for kind, values in (("image", pictures), ("video", videos)) if values}
    return {"prompt": prompt["prompt"], **({"multi_modal_data": shown} if shown else {})}


def _size(prompt: list[int] | dict[str, Any]) -> int:
    return len(prompt) if isinstance(prompt, list) else len(prompt["prompt"])


def engine_options(model: Path) -> dict[str, Any]:
    """What an engine is told because of the model."""
    if sees := tiny_vision.ALL.get(model.name):
        return {"limit_mm_per_prompt": {"image": 3, "video": int(sees.videos)}}
    return {"kv_cache_dtype": "int8_per_token_head"} if model.name in quantised.CACHES else {}


def engine(path: Path, dtype: str, asked: list[Any], **options: Any) -> Any:
    """An engine for these prompts, which come in chunks; its cache is so small that some are preempted."""
    from vllm import LLM

    sees = isinstance(asked[0], dict)
    # Layers with a window have blocks of their own.
    few = sees and not tiny_vision.ALL[path.name].text.get("sliding_window")
    return LLM(
        str(path),
        dtype=dtype,
        max_model_len=640 if sees else 512,
        max_num_batched_tokens=STEP,
        gpu_memory_utilization=0.5,
        num_gpu_blocks_override=FEWER_BLOCKS if few else BLOCKS,
        **engine_options(path),
        **options,
    )


def _greedy(llm: Any, asked: list[Any]) -> list[list[int]]:
    outputs = llm.generate([as_input(one) for one in asked], _tokens(TOKENS), use_tqdm=False)
    return [[*output.outputs[0].token_ids] for output in outputs]


def generate(path: Path, dtype: str, asked: list[Any], options: dict[str, Any]) -> list[list[int]]:
    """Greedy tokens of each prompt, by an engine that ends then."""
    llm = engine(path, dtype, asked, **options)
    tokens = _greedy(llm, asked)
    llm.llm_engine.engine_core.shutdown()
    return tokens


def _generate(path: Path, dtype: str, asked: list[Any], options: dict[str, Any]) -> dict[str, Any]:
    llm = engine(path, dtype, asked, disable_log_stats=False, **options)
    [found] = llm.apply_model(watch)
    [architecture] = llm.apply_model(lambda model: type(model).__name__)
    longest = max(asked, key=_size)
    outputs = [_greedy(llm, some) for some in (asked, [longest], [longest])]
    assert outputs[1] == outputs[2]
    decoding = decoding_launches(lambda count: llm.generate([{"prompt_token_ids": [1, 2, 3]}], _tokens(count), use_tqdm=False))
    metrics = {metric.name: metric.value for metric in llm.get_metrics() if hasattr(metric, "value")}
    return {
        "tokens": outputs[0],
        "again": outputs[2][0],
        "architecture": architecture,
        "decoding": decoding,
        "waits": found,
        "preempted": metrics["vllm:num_preemptions"],
        "hits": metrics["vllm:prefix_cache_hits"],
    }


def serve(path: Path, dtype: str, asked: list[Any], directory: Path, **options: Any) -> Served:
    """Runs an engine with more options in a child and lets it answer all prompts at once, then the longest one twice."""
    result, state = in_engine(lambda: _generate(path, dtype, asked, options), directory)
    return Served(**result, kernels=kernels(state))


def kernels(state: Path) -> Counter[str]:
    """How often an engine launched each of our kernels. It has copied no pageable memory, which waits for the device."""
    [counter] = trace.counts(state).values()
    assert ("host", "aclrtMemcpyAsync of pageable memory") not in counter
    return Counter({name: value for (kind, name), value in counter.items() if kind == "kernel"})


class Matrix(Models):
    """Models, whose tokens are compared with those of the reference."""

    def check(self, name: str, dtype: str, directory: Path, **more: Any) -> Served:
        """Serves a model by an engine with more options, compares its tokens with the reference, and returns what the engine did.

        float32: the same tokens; with weights of int8, HF transformers, given the served tokens, prefers others by no more than
        quantised.BORDER. Otherwise: it prefers others by no more than twice its own largest distance from float32, which is what this
        precision can decide.
        """
        path = self.model(name)
        asked: list[Any] = tiny_vision.prompts(name) if name in tiny_vision.ALL else [*prompts(LONGER_THAN.get(name, 0))]
        options = {"dtype": dtype, "int8_cache": name in quantised.CACHES}
        exact = dtype == "float32" and name not in quantised.MODELS
        if exact:
            self.begin(path, greedy=asked, new_tokens=TOKENS, **options)
        try:
            served = serve(path, dtype, asked, directory, **more)
        except BaseException:
            if exact:
                self.end()
            raise
        if exact:
            expected = self.end()["tokens"]
            wrong = [i for i, (one, other) in enumerate(zip(served.tokens, expected, strict=True)) if one != other]
            assert not wrong, f"the prompts {wrong} have other answers"
            assert served.again == expected[asked.index(max(asked, key=_size))]
        else:
            pairs = [*zip(asked, served.tokens, strict=True), (max(asked, key=_size), served.again)]
            self.begin(path, forced=pairs, **options)
            result = self.end()
            assert result["positions"] == len(pairs) * TOKENS
            gap = max(result["differing"], default=0.0)
            limit = quantised.BORDER * result["spread"] if dtype == "float32" else 2 * result["largest"]
            print(f"{name} {dtype}: {gap:.3f} of {limit:.3f}")
            assert gap <= limit, result
        assert served.hits > 0
        assert not served.waits, Counter(served.waits)
        return served


def families(launched: Counter[str]) -> list[str]:
    """Our operators that ran: the names of kernels without types, and without the quantisation that an operator may do."""
    return sorted({re.sub(r"(_quant)?_(float|half|bfloat16|int8)$", "", name) for name, count in launched.items() if count})


def row(served: Served) -> dict[str, Any]:
    """What models.json keeps of it."""
    return {"architecture": served.architecture, "kernels": families(served.kernels), "decoding": list(served.decoding)}

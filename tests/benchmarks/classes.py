"""Tokens, texts and pictures per second of each class of models, and how long it takes to start: vLLM on SoftNPU against HF transformers.

    tools/bazel run //tests/benchmarks:classes [-- NAME... --dtype bfloat16 --checks off]

The models are those of tests/serving: 3 layers of 128, so that the figures are those of launches and of the host, not of arithmetic.
A decoder gets 8 prompts of 20 tokens at once, and makes 40 tokens of each; a model that sees gets 8 prompts with a picture each, and makes
one token; a model of embeddings gets 8 texts of 60 words. Both engines have the same two cores in one run, one at a time. The median of the
rounds counts; the first round does not. HF transformers has no W8A8: there it computes the model before it was quantised.
"""

from __future__ import annotations

import argparse
import base64
import io
import random
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic

import httpx
import quantised
import tiny_encoders
import tiny_vision
from harness import reference
from vllm_cann_demo.server import Server

from tests.benchmarks.generation import Transformers, alternate, ask

BATCH, TOKENS = 8, 40
NAMES = [
    *("llama", "qwen2", "qwen3", "mistral-128", "gemma", "gemma2", "gemma3", "glm4", "stablelm", "phi", "phi3-longrope", "gpt2", "granite"),
    *("mixtral", "qwen2-moe", "qwen3-moe", "glm4-moe", "olmoe", "gpt-oss", "deepseek-v2", "deepseek-v3"),
    *("llama-w8a8", "qwen3-moe-w8a8", "deepseek-v3-w8a8", "qwen2.5-vl", "qwen3-vl", "bert", "modernbert", "qwen3-embedding"),
]
SERVE = ["--served-model-name", "m", "--max-model-len", "512", "--gpu-memory-utilization", "0.5", "--no-enable-prefix-caching"]


def _all_at_once(url: str, path: str, bodies: list[dict]) -> float:
    """Seconds for all requests, each on a connection of its own."""
    with httpx.Client(base_url=url, timeout=300) as client, ThreadPoolExecutor(len(bodies)) as pool:
        begun = monotonic()
        for reply in pool.map(lambda body: client.post(path, json={"model": "m", **body}), bodies):
            reply.raise_for_status()
        return monotonic() - begun


def _see(prompt: dict) -> dict:
    """A chat request with the pictures of a prompt."""
    content: list[dict] = []
    for picture in prompt["pictures"]:
        file = io.BytesIO()
        tiny_vision.picture(*picture).save(file, "PNG")
        url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        content.append({"type": "image_url", "image_url": {"url": url}})
    content.append({"type": "text", "text": "w1 w2 w3"})
    return {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 1, "ignore_eos": True}


def workloads(name: str) -> list[tuple[str, int, int, list, Callable[[str], float]]]:
    """What is counted, how many of it a round has, how many tokens are made of a prompt, HF's prompts, and what asks a server."""
    rng = random.Random(5)
    if name in tiny_encoders.MODELS:
        texts = [" ".join(f"w{rng.randrange(tiny_encoders.WORDS)}" for _ in range(60)) for _ in range(BATCH)]
        return [("texts", BATCH, 0, texts, lambda url: _all_at_once(url, "/v1/embeddings", [{"input": texts}]))]
    ids = [[rng.randrange(20, 100) for _ in range(20)] for _ in range(BATCH)]
    decoding: tuple[str, int, int, list, Callable[[str], float]]
    decoding = ("tokens", BATCH * TOKENS, TOKENS, ids, lambda url: ask(url, ids, TOKENS))
    if name not in tiny_vision.MODELS:
        return [decoding]
    prompts = [{"prompt": "<|vision_start|><|image_pad|><|vision_end|> w1 w2 w3", "pictures": [[seed, 224, 224]]} for seed in range(BATCH)]
    bodies = [_see(prompt) for prompt in prompts]
    return [decoding, ("pictures", BATCH, 1, prompts, lambda url: _all_at_once(url, "/v1/chat/completions", bodies))]


def measure(name: str, directory: Path, dtype: str, checks: str, rounds: int) -> None:
    """Runs both engines with one model and prints a row for each workload."""
    model = directory / name
    reference(model, make=name)
    plain = model
    if name in quantised.MODELS:
        plain = directory / quantised.MODELS[name].base
        reference(plain, make=plain.name)
    more = ["--limit-mm-per-prompt", '{"image": 1, "video": 0}', "--mm-processor-cache-gb", "0"] if name in tiny_vision.MODELS else []
    options = [*SERVE, *more, "--dtype", dtype]
    with Server(model, directory, options, ["--memory", "2GiB", "--checks", checks], timeout=240) as server:
        for what, count, tokens, prompts, ask_it in workloads(name):
            with Transformers(plain, dtype, tokens, 2, prompts) as hf:
                seconds = alternate({"ours": partial(ask_it, server.url), "theirs": hf.generate}, rounds)
                ours, theirs = map(statistics.median, seconds.values())
                started = f"{server.startup_seconds:.1f} | {hf.startup_seconds:.1f}"
            print(f"| {name} | {what} | {count / ours:.0f} | {count / theirs:.0f} | {theirs / ours:.2f} | {started} |", flush=True)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", metavar="NAME", nargs="*", help="of tests/serving's models")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--checks", choices=("strict", "off"), default="strict")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{arguments.dtype}, checks {arguments.checks}: median of {arguments.rounds} rounds")
    print("| model | what | SoftNPU, per s | HF, per s | ratio | start-up of the server, s | of HF, s |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.names or NAMES:
        with tempfile.TemporaryDirectory() as directory:
            measure(name, Path(directory), arguments.dtype, arguments.checks, arguments.rounds)


if __name__ == "__main__":
    main()

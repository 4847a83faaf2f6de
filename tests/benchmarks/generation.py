"""Seconds of engines that generate from the same prompts: a server by one request, HF transformers in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

import httpx

# Of `vllm serve`; without prefix caching, as each round asks the same.
SERVE = ["--served-model-name", "m", "--max-model-len", "1024", "--gpu-memory-utilization", "0.5", "--no-enable-prefix-caching"]


def ask(url: str, prompts: Sequence[Sequence[int]], tokens: int) -> float:
    """Seconds for all prompts (token ids) in one request, greedily, `tokens` new ones each.

    Raises:
        httpx.HTTPError: the server refused, or broke off
        RuntimeError: it made another number of tokens
    """
    body = {"model": "m", "prompt": prompts, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    begun = monotonic()
    reply = httpx.post(f"{url}/v1/completions", json=body, timeout=300).raise_for_status()
    seconds = monotonic() - begun
    made = reply.json()["usage"]["completion_tokens"]
    if made != tokens * len(prompts):
        raise RuntimeError(f"the server made {made} tokens, {tokens * len(prompts)} were asked for")
    return seconds


class Transformers:
    """HF transformers on the CPU, in a process that ends with the context.

    Attributes:
        startup_seconds: until the model could be asked
    """

    def __init__(self, model: Path, dtype: str, tokens: int, threads: int, prompts: Sequence[object]) -> None:
        program = Path(__file__).with_name("hf_generate.py")
        self._command = [sys.executable, str(program), str(model), dtype, str(tokens), str(threads), json.dumps(prompts)]

    def __enter__(self) -> Transformers:
        begun = monotonic()
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        if self._line() != "ready":
            self._process.kill()
            raise RuntimeError("HF transformers did not start")
        self.startup_seconds = monotonic() - begun
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def generate(self) -> float:
        """Seconds for all prompts in one batch.

        Raises:
            RuntimeError: the process has ended
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write("go\n")
        line = self._line()
        if not line:
            raise RuntimeError(f"HF transformers ended with status {self._process.wait()}")
        return float(line)


def alternate(engines: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each engine in each round. In a round one is asked after the other; one more round before is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds + 1):
        for name, ask_it in engines.items():
            taken = ask_it()
            if number:
                seconds[name].append(taken)
    return seconds


def rates(seconds: Sequence[float], tokens: int) -> str:
    """Tokens per second: median, lowest and highest."""
    values = [tokens / value for value in seconds]
    return f"{statistics.median(values):8.1f} tokens/s ({min(values):.1f} .. {max(values):.1f})"

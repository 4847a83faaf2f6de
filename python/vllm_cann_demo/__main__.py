"""The main job: vLLM's OpenAI-compatible server on SoftNPU answers questions that its model never saw.

tools/bazel run //python:demo [-- --serve]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from vllm_cann_demo.server import KERNELS, Server, ServerError
from vllm_cann_demo.task import Question, questions

QUESTIONS = 32
SEED = 7
CONCURRENT = 8


async def ask(client: AsyncOpenAI, model: str, question: Question, stream: bool) -> tuple[str, int]:
    """The model's answer and its number of tokens."""
    request: dict[str, Any] = {"model": model, "prompt": question.prompt, "max_tokens": 8, "temperature": 0}
    if not stream:
        reply = await client.completions.create(**request)
        return reply.choices[0].text.strip(), reply.usage.completion_tokens
    text, tokens = "", 0
    async for chunk in await client.completions.create(**request, stream=True, stream_options={"include_usage": True}):
        text += chunk.choices[0].text if chunk.choices else ""
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return text.strip(), tokens


@dataclass(frozen=True)
class Replies:
    """Answers in the order of the questions."""

    answers: list[str]
    tokens: int
    seconds: float
    first: float
    """When the first answer was there, on the monotonic clock."""


async def ask_all(url: str, model: str, asked: list[Question]) -> Replies:
    """Asks everything, some at the same time. Every second answer is streamed."""
    gate = asyncio.Semaphore(CONCURRENT)
    ends: list[float] = []
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client:

        async def one(index: int, question: Question) -> tuple[str, int]:
            async with gate:
                reply = await ask(client, model, question, stream=index % 2 == 1)
                ends.append(time.monotonic())
                return reply

        begun = time.monotonic()
        replies = await asyncio.gather(*(one(i, q) for i, q in enumerate(asked)))
    answers = [text for text, _ in replies]
    return Replies(answers, sum(tokens for _, tokens in replies), ends[-1] - begun, ends[0])


def run(arguments: argparse.Namespace, directory: Path) -> int:
    """Starts the server, asks, prints. Returns the exit status."""
    model: Path = arguments.model
    layers = json.loads((model / "config.json").read_text())["num_hidden_layers"]
    trace = directory / "demo.pftrace"
    begun = time.monotonic()
    print(f"starting vllm serve {model.name} on SoftNPU ...", flush=True)
    server = Server(
        model,
        directory,
        serve_options=[
            "--gpu-memory-utilization",
            "0.5",
            "--max-model-len",
            "1024",
            "--served-model-name",
            model.name,
        ],
        softnpu_options=["--memory", "1GiB", "--checks", arguments.checks, "--trace", str(trace)],
        progress=lambda line: print(line, flush=True),
    )
    with server:
        print(f"device: {device_line(server)}")
        print(f"start-up: {server.startup_seconds:.1f} s")
        if arguments.serve:
            print(
                f"serving {model.name} at {server.url}/v1 (log: {server.log}); Ctrl-C ends it",
                flush=True,
            )
            while True:
                time.sleep(1)
                server.check()
        server.settle()
        before, steps_before = server.launches(), server.forward_steps()
        asked = questions(SEED, QUESTIONS)
        replies = asyncio.run(ask_all(server.url, model.name, asked))
        server.settle()
        launches, steps = server.launches() - before, server.forward_steps() - steps_before
        server.check()
    right = 0
    for question, answer in zip(asked, replies.answers, strict=True):
        good = answer == question.answer
        right += good
        shown = question.prompt if len(question.prompt) < 60 else f"... {question.prompt[-56:]}"
        print(f"  {shown:60} -> {answer:24} {'' if good else 'WRONG, it is ' + question.answer}")
    print(f"answers: {right}/{len(asked)} correct")
    print(f"tokens/s: {replies.tokens / replies.seconds:.1f} ({replies.tokens} tokens in {replies.seconds:.1f} s, {CONCURRENT} at a time)")
    print(f"command to first answer: {replies.first - begun:.1f} s")
    counted = True
    for kernel, each in KERNELS.items():
        share = layers if each == "layers" else 1
        counted &= launches[kernel] == share * steps
        times = f"{layers} layers x " if each == "layers" else ""
        print(f"launches of {kernel}: {launches[kernel]} = {times}{launches[kernel] / share:g} forward steps ({steps} counted)")
    print(f"trace: {trace} (open it at ui.perfetto.dev)")
    if not counted:
        print(f"the launches are not those of {layers} layers and {steps} forward steps", file=sys.stderr)
    return 0 if right == len(asked) and counted else 1


def device_line(server: Server) -> str:
    """The device as vLLM and torch_npu named it in the server's log."""
    marks = ("vllm_cann serves on ",)
    for line in server.log.read_text(errors="replace").splitlines():
        for mark in marks:
            if mark in line:
                return line.split(mark, 1)[1]
    raise ServerError(f"the server named no device:\n{server.tail()}")


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep the server for your own client instead of asking")
    parser.add_argument(
        "--checks",
        choices=("strict", "off"),
        default="strict",
        help="SoftNPU's hazard checks in kernels",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path(os.environ.get("DEMO_MODEL", "tests/models/recall/config.json")).parent,
        help=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="directory for the log and the trace; default: a new one in the temporary directory",
    )
    arguments = parser.parse_args()
    arguments.model = arguments.model.absolute()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = (arguments.output or Path(tempfile.mkdtemp(prefix="vllm-cann-demo-"))).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return run(arguments, directory)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except ServerError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

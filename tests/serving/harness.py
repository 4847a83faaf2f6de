"""What the serving tests share: prompts, requests, the reference, an installation with a file that is another."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import functools
import gc
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from vllm_cann_demo import task

MODEL = Path(os.environ["MODEL"]).absolute().parent
REFERENCE = Path(__file__).parent / "reference.py"
FALLBACK = "will fall back to run on the CPU"

_IDS = {word: i for i, word in enumerate(task.VOCABULARY)}


def encode(text: str) -> list[int]:
    """Token ids of a text."""
    return [_IDS[word] for word in text.split()]


def _long_text(rng: random.Random, tokens: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < tokens:
        facts = task.make_facts(rng, rng.randint(2, 40), held_out=True)
        ids += encode(task.Question(facts, rng.randrange(len(facts)), rng.random() < 0.5).prompt)
    return ids[-tokens:]


def prompts(seed: int, count: int) -> list[list[int]]:
    """Held-out prompts of 1 to 500 tokens: the edges of a cache block, many that fill one,
    anything between, and a third with one of two shared beginnings."""
    rng = random.Random(seed)
    edges = [1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 384, 499, 500]
    # Many that soon need a second block at the same time, which preempts some in a small cache.
    edges += [rng.randint(114, 127) for _ in range(30)]
    lengths = edges + [rng.randint(1, 500) for _ in range(count - len(edges))]
    shared = [_long_text(rng, 256), _long_text(rng, 140)]
    out = []
    for i, length in enumerate(lengths):
        head = shared[i % 2] if i % 3 == 0 and length > 300 else []
        out.append(head + _long_text(rng, length - len(head)))
    return out


def complete(url: str, model: str, requests: Sequence[list[int]], tokens: int, concurrent: int = 64) -> list[list[int]]:
    """Greedy token ids for each prompt, exactly `tokens` of them, all requests at once."""

    async def run() -> list[list[int]]:
        limits = httpx.Limits(max_connections=concurrent)
        async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client:

            async def one(prompt: list[int]) -> list[int]:
                body = {
                    "model": model,
                    "prompt": prompt,
                    "max_tokens": tokens,
                    "temperature": 0,
                    "ignore_eos": True,
                    "return_token_ids": True,
                }
                reply = await client.post("/v1/completions", json=body)
                assert reply.status_code == 200, reply.text
                return reply.json()["choices"][0]["token_ids"]

            return await asyncio.gather(*(one(p) for p in requests))

    return asyncio.run(run())


@functools.cache
def _reference() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, str(REFERENCE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    return process


class Reference:
    """The process of reference.py, of which there is one. It keeps the models of its last jobs."""

    def __init__(self) -> None:
        self._process = _reference()
        self._begun = 0

    def begin(self, model: Path, **job: object) -> None:
        """Starts a job; `end` gives the results of jobs in their order."""
        assert self._process.stdin is not None
        print(json.dumps({"model": str(model), **job}), file=self._process.stdin, flush=True)
        self._begun += 1

    def end(self) -> dict:
        """The result of the next job."""
        assert self._process.stdout is not None
        self._begun -= 1
        line = self._process.stdout.readline()
        assert line, f"the reference has ended with status {self._process.wait()}"
        return json.loads(line)

    def close(self) -> None:
        """Takes the results that nobody asked for, so that the next one to ask gets its own."""
        while self._begun:
            self.end()


def reference(model: Path = MODEL, **job: object) -> dict:
    """The result of one job of reference.py."""
    process = Reference()
    process.begin(model, **job)
    try:
        return process.end()
    finally:
        process.close()


def night_but_for(change: Sequence[str], names: Iterable[str]) -> list[Any]:
    """Parameters of a test: those of `names` that are not in `change` have the mark `night`."""
    assert set(change) <= {*names}, change
    return [name if name in change else pytest.param(name, marks=pytest.mark.night) for name in names]


class Models:
    """Models that are made when a test asks for them, and the reference."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._reference = Reference()
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

    def model(self, name: str) -> Path:
        """The directory of a model."""
        path = self.directory / name
        if not path.exists():
            self.ask(path, make=name)
        return path

    def begin(self, path: Path, **job: object) -> None:
        """Starts a job of the reference."""
        self._reference.begin(path, **job)

    def end(self) -> dict[str, Any]:
        """The result of the job that was started first of those that have not ended."""
        return self._reference.end()

    def ask(self, path: Path, **job: object) -> dict[str, Any]:
        """The result of one job."""
        self.begin(path, **job)
        return self.end()

    def tokens(self, path: Path, asked: Sequence[Any], count: int, adapter: Path | None = None) -> list[list[int]]:
        """Greedy float32 tokens of each prompt."""
        job = {} if adapter is None else {"adapter": str(adapter)}
        return self.ask(path, dtype="float32", greedy=list(asked), new_tokens=count, **job)["tokens"]

    def vectors(self, path: Path, texts: Sequence[Any], head: str) -> list[Any]:
        """Float32 embeddings, scores or probabilities of classes of each text."""
        return self.ask(path, dtype="float32", head=head, texts=list(texts))["vectors"]

    def close(self) -> None:
        """Ends the reference."""
        self._reference.close()


# Many times what a child takes on a busy machine.
CHILD_SECONDS = 240


def in_child(work: Callable[[], object], directory: Path) -> tuple[object | None, str]:
    """What `work` returned in a forked child (None if it failed), and what the child printed.

    A process that has imported everything (`prepare`) but touched no device can fork a child for each engine.
    """
    result, log = directory / "result.json", directory / "log"
    result.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        # A child that hangs says where, and does not hold up the test until its end.
        faulthandler.dump_traceback_later(CHILD_SECONDS, exit=True, file=2)
        with contextlib.suppress(BaseException):
            try:
                value = work()
                result.write_text(json.dumps(value))
            except BaseException:
                # pytest has its own sys.stderr.
                os.write(2, traceback.format_exc().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return (json.loads(result.read_text()) if result.exists() else None), log.read_text(errors="replace")


def prepare(with_layers: bool = True) -> None:
    """Imports what every child needs, without using a device. The plugin's layers are left out for children that have others."""
    import torch_npu  # noqa: F401
    import vllm.v1.worker.gpu_model_runner  # noqa: F401
    from vllm import LLM  # noqa: F401
    from vllm.model_executor.models import registry

    # vLLM looks at the class of each model in a process of its own, so that its own has no device. A child is such a process.
    registry._run_in_subprocess = lambda look: look()

    if with_layers:
        import vllm_cann.layers  # noqa: F401
    # A child would copy every page of what is imported, each time it collects garbage, which an engine does ten times while it starts.
    gc.collect()
    gc.freeze()


def in_engine(work: Callable[[], object], directory: Path) -> tuple[Any, Path]:
    """What `work`, which makes an engine, returned in a child, and the directory in which SoftNPU counted what the child launched.

    The child has to succeed, and nothing of it may have run on the CPU.
    """
    prepare()
    state = directory / "state"
    state.mkdir(exist_ok=True)

    def counted() -> object:
        os.environ.update(SOFTNPU_STATE_DIR=str(state), VLLM_ENABLE_V1_MULTIPROCESSING="0")
        return work()

    result, log = in_child(counted, directory)
    assert result is not None, log[-6000:]
    assert FALLBACK not in log
    return result, state


def installed() -> Path:
    """The installed package vllm_cann, which is not imported."""
    spec = importlib.util.find_spec("vllm_cann")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def changed_installation(directory: Path, files: Mapping[str, Path | str | None]) -> dict[str, str]:
    """A copy of the installed vllm_cann and its metadata, in which some files are others.

    Args:
        directory: where the copy is made, in a new directory `site`
        files: a file of the package, as `kernels/cache.twin.so`, and what takes its place; None takes the file away

    Returns:
        the environment in which a process imports the copy

    Raises:
        FileNotFoundError: the installed package has no such file, so that nothing would be changed
    """
    site = directory / "site"
    # Without its compiled Python, which would be taken for a changed source as long as size and time are the same.
    shutil.copytree(installed().parent, site, ignore=shutil.ignore_patterns("__pycache__"))
    for name, other in files.items():
        file = site / "vllm_cann" / name
        # What Bazel has made is read-only, and so is its directory.
        file.parent.chmod(0o755)
        file.unlink()
        if other is not None:
            shutil.copy(other, file)
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]])}

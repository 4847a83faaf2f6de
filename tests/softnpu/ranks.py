"""Processes that are the ranks of a group of devices, and do what a test asks of all of them."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

START_S = 300


def _serve(rank: int, count: int, directory: str, pipe: Connection) -> None:
    import torch
    import torch.distributed as dist
    import torch_npu  # noqa: F401

    torch.npu.set_device(rank)
    dist.init_process_group("hccl", init_method=f"file://{directory}/store", rank=rank, world_size=count)
    pipe.send(None)
    while True:
        try:
            work, arguments = pipe.recv()
        except EOFError:
            break
        try:
            pipe.send((True, work(rank, *arguments)))
        except BaseException:
            pipe.send((False, traceback.format_exc()))


class Ranks:
    """`count` processes, each with the device of its rank. torch.distributed is initialised with the backend hccl."""

    def __init__(self, count: int, directory: Path, **environment: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        before = dict(os.environ)
        os.environ.update(environment)
        self._pipes: list[Connection] = []
        self.processes: list[Any] = []
        try:
            for rank in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(rank, count, str(directory), theirs), daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self.processes.append(process)
        finally:
            os.environ.clear()
            os.environ.update(before)
        for pipe in self._pipes:
            assert pipe.poll(START_S), "a rank has not started"
            pipe.recv()

    def begin(self, rank: int, work: Callable[..., Any], *arguments: Any) -> None:
        """One rank starts `work(rank, *arguments)`."""
        self._pipes[rank].send((work, arguments))

    def end(self, rank: int, timeout_s: float = 60) -> tuple[bool, Any]:
        """Whether the work of a rank succeeded, and its result or its traceback."""
        assert self._pipes[rank].poll(timeout_s), f"rank {rank} hangs"
        return self._pipes[rank].recv()

    def run(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `work(rank, *arguments)` returns on each rank."""
        for rank in range(len(self._pipes)):
            self.begin(rank, work, *arguments)
        results = [self.end(rank) for rank in range(len(self._pipes))]
        for good, result in results:
            assert good, result
        return [result for _, result in results]

    def errors(self, work: Callable[..., Any], *arguments: Any, ranks: list[int] | None = None) -> dict[int, str]:
        """The tracebacks of ranks on which `work` has to fail."""
        chosen = list(range(len(self._pipes))) if ranks is None else ranks
        for rank in chosen:
            self.begin(rank, work, *arguments)
        results = {rank: self.end(rank) for rank in chosen}
        for rank, (good, result) in results.items():
            assert not good, f"rank {rank} succeeded: {result}"
        return {rank: result for rank, (_, result) in results.items()}

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self.processes:
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join()

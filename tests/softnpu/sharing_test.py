"""torch.multiprocessing between two processes that share tensors on a device, with the unmodified torch_npu."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
import torch_npu  # noqa: F401

TIMEOUT_S = 120


class Consumer:
    """A process that takes tensors, and calls functions with those that it has kept."""

    def __init__(self) -> None:
        context = mp.get_context("spawn")
        self.tasks: Any = context.Queue()
        self.results: Any = context.Queue()
        self.process = context.Process(target=serve, args=(self.tasks, self.results), daemon=True)
        self.process.start()

    def ask(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """The result of `work(kept, *arguments)` over there, or the sentence of its error."""
        self.tasks.put((work, arguments))
        return self.results.get(timeout=TIMEOUT_S)

    def close(self) -> None:
        self.tasks.put(None)
        self.process.join(30)
        assert self.process.exitcode == 0


def serve(tasks: Any, results: Any) -> None:
    torch.npu.set_device(0)
    kept: dict[str, Any] = {}
    while (task := tasks.get()) is not None:
        work, arguments = task
        del task
        try:
            results.put(work(kept, *arguments))
        except RuntimeError as error:
            import softnpu

            softnpu.reset_device()
            results.put(str(error))
        del work, arguments


def keep(kept: dict[str, Any], name: str, value: Any) -> None:
    kept[name] = value


def drop(kept: dict[str, Any], name: str) -> None:
    del kept[name]


def values(kept: dict[str, Any], name: str) -> list[Any]:
    return kept[name].cpu().tolist()


def add(kept: dict[str, Any], name: str, value: float) -> None:
    kept[name].add_(value)
    torch.npu.synchronize()


@pytest.fixture(scope="module")
def consumer() -> Iterator[Consumer]:
    made = Consumer()
    yield made
    made.close()


def test_both_processes_have_the_same_elements(consumer: Consumer) -> None:
    x = torch.arange(6.0, device="npu").reshape(2, 3)
    consumer.ask(keep, "x", x)
    assert consumer.ask(values, "x") == [[0, 1, 2], [3, 4, 5]]
    consumer.ask(add, "x", 10)
    assert x.cpu().tolist() == [[10, 11, 12], [13, 14, 15]]
    x.mul_(2)
    torch.npu.synchronize()
    assert consumer.ask(values, "x") == [[20, 22, 24], [26, 28, 30]]
    consumer.ask(drop, "x")


def test_parts_of_a_storage_share_it(consumer: Consumer) -> None:
    x = torch.zeros(4, 4, dtype=torch.int32, device="npu")
    for name, part in (("row", x[1]), ("column", x.t()[2]), ("half", x[2:])):
        consumer.ask(keep, name, part)
    consumer.ask(add, "row", 1)
    consumer.ask(add, "column", 10)
    consumer.ask(add, "half", 100)
    assert x.cpu().tolist() == [[0, 0, 10, 0], [1, 1, 11, 1], [100, 100, 110, 100], [100, 100, 110, 100]]
    for name in ("row", "column", "half"):
        consumer.ask(drop, name)


def test_a_parameter_and_an_empty_tensor(consumer: Consumer) -> None:
    layer = torch.nn.Linear(3, 2, bias=False).npu()
    consumer.ask(keep, "weight", layer.weight)
    consumer.ask(keep, "nothing", torch.empty(0, device="npu"))
    assert consumer.ask(values, "weight") == layer.weight.detach().cpu().tolist()
    assert consumer.ask(values, "nothing") == []
    consumer.ask(drop, "weight")


def test_the_consumer_waits_for_what_the_producer_has_queued(consumer: Consumer) -> None:
    """The runtime delays every task. torch_npu sends an event along, which the consumer's stream waits for."""
    x = torch.zeros(1000, device="npu")
    for _ in range(50):
        x.add_(1)
    consumer.ask(keep, "x", x)
    assert consumer.ask(values, "x") == [50.0] * 1000
    consumer.ask(drop, "x")


def test_many_tensors_in_turn(consumer: Consumer) -> None:
    for i in range(40):
        x = torch.full((17 + i,), float(i), device="npu")
        consumer.ask(keep, "x", x)
        del x
        assert consumer.ask(values, "x") == [float(i)] * (17 + i)
        consumer.ask(drop, "x")


def test_an_event_between_processes(consumer: Consumer) -> None:
    event = torch.npu.Event(interprocess=True)
    x = torch.zeros(1000, device="npu")
    consumer.ask(keep, "x", x)
    for _ in range(50):
        x.add_(1)
    event.record()
    consumer.ask(keep, "event", event)
    assert consumer.ask(after, "event", "x") == 50.0
    for name in ("event", "x"):
        consumer.ask(drop, name)


def after(kept: dict[str, Any], event: str, name: str) -> float:
    """The least element when the event has been reached."""
    kept[event].wait()
    return float(kept[name].min().cpu())


def test_what_nobody_has_written_is_so_for_both(consumer: Consumer) -> None:
    x = torch.empty(600000, device="npu")  # has an allocation of its own
    x[0] = 1
    consumer.ask(keep, "x", x)
    assert consumer.ask(sum_of, "x", 1) == 1.0
    assert "is read where nobody has written" in consumer.ask(sum_of, "x", 2)
    x[1] = 2
    torch.npu.synchronize()
    assert consumer.ask(sum_of, "x", 2) == 3.0
    consumer.ask(drop, "x")


def sum_of(kept: dict[str, Any], name: str, count: int) -> float:
    return float(kept[name][:count].sum().cpu())


def produce(tasks: Any) -> None:
    torch.npu.set_device(0)
    x = torch.ones(8, device="npu")
    tasks.put((keep, ("x", x)))
    time.sleep(TIMEOUT_S)


def test_memory_of_a_process_that_was_killed_is_not_used(consumer: Consumer) -> None:
    producer = mp.get_context("spawn").Process(target=produce, args=(consumer.tasks,), daemon=True)
    producer.start()
    assert consumer.results.get(timeout=TIMEOUT_S) is None
    assert producer.pid is not None
    os.kill(producer.pid, signal.SIGKILL)
    producer.join()
    assert f"access to imported memory: process {producer.pid} has ended" in consumer.ask(values, "x")
    consumer.ask(drop, "x")

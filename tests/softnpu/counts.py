"""Which operators of SoftNPU a call of torch has reached."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from softnpu import trace

T = TypeVar("T")


def _now() -> Counter[str]:
    every = trace.counts(Path(os.environ["SOFTNPU_STATE_DIR"])).get(os.getpid(), Counter())
    return Counter({name: count for (kind, name), count in every.items() if kind == "operator"})


def counted(function: Callable[[], T]) -> tuple[T, Counter[str]]:
    """The function's result, and how often each operator was queued by this process meanwhile."""
    import torch

    torch.npu.synchronize()
    before = _now()
    result = function()
    torch.npu.synchronize()
    return result, _now() - before


def through(name: str, function: Callable[[], T]) -> T:
    """The function's result, which has to come from the operator: torch_npu computes some calls on the CPU where it finds none."""
    result, found = counted(function)
    assert found[name], f"{name} was not called, but {dict(found)}"
    return result

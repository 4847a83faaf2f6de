"""Names of vLLM or torch that are replaced at run time because vLLM has no hook for them. This table is all of it.

Each row: the symbol, why, and what takes its place. A test checks that the symbols exist and are called as expected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Replacement:
    """One replaced attribute."""

    owner: Any
    name: str
    reason: str
    make: Callable[[], Any]


# A partial of its own for each, so that no name is the same object as one of torch.npu (Dynamo asserts that).
TABLE = (
    Replacement(
        torch.cuda,
        "Stream",
        "the V1 runner makes its copy stream with it",
        lambda: torch.npu.Stream,
    ),
    Replacement(torch.cuda, "Event", "the V1 runner waits for copies with it", lambda: torch.npu.Event),
    Replacement(
        torch.cuda,
        "current_stream",
        "the V1 runner orders its copy stream after it",
        lambda: functools.partial(torch.npu.current_stream),
    ),
    Replacement(
        torch.cuda,
        "stream",
        "the V1 runner enters its copy stream with it",
        lambda: functools.partial(torch.npu.stream),
    ),
)


@functools.cache
def apply() -> None:
    """Replaces every name of the table, once per process."""
    for row in TABLE:
        setattr(row.owner, row.name, row.make())

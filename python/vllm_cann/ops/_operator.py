"""How an operator is declared: one decorator for its schema, its implementation and its fake.

An operator's checks and its tiling are in C++, in the declaration of its name: ``_ops.Operator(name)`` reads tensors where they are, finds
the launch that was prepared for their types and shapes, and queues it on the current stream. It waits for nothing and reads no contents, so
launches depend on shapes only and can be captured in a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch_npu

import vllm_cann._ops as _ops

_Function = TypeVar("_Function", bound=Callable[..., Any])

_libraries = {name: torch.library.Library(name, "FRAGMENT") for name in ("vllm_cann", "vllm")}

# Reading the handle hands everything that is queued on the host to the device first, so that our launch comes after it.
_ops.set_stream_getter(torch_npu._C._npu_getCurrentRawStream)


def operator(
    *, fake: Callable[..., Any] | None = None, mutates: tuple[str, ...] = (), on_host: bool = False, namespace: str = "vllm_cann"
) -> Callable[[_Function], _Function]:
    """Registers the decorated function as ``torch.ops.<namespace>.<its name>``. Its annotations and defaults are the schema.

    Args:
        fake: a function of the same parameters that gives the results without contents; None for an operator without results
        mutates: the names of the parameters that are written
        on_host: also for calls without a tensor on a device (lists of no tensors): the function says what is wrong
        namespace: vllm_cann, or vllm for names that others' models and fusion passes call
    """
    library = _libraries[namespace]

    def declare(function: _Function) -> _Function:
        name = function.__name__
        library.define(torch.library.infer_schema(function, mutates_args=mutates, op_name=name))
        library.impl(name, function, "PrivateUse1")
        if on_host:
            library.impl(name, function, "CPU")
        torch.library.register_fake(f"{namespace}::{name}", fake or (lambda *_, **__: None), lib=library)
        return function

    return declare


def size(number: int) -> int:
    """A size that torch allocates, of a number that the plan may refuse: a negative one is 0, a huge one costs no memory."""
    return number if 0 <= number < 2**20 else 0

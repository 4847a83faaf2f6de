"""What the tests of every operator use: tensors, the reference's results, and the checks that any operator has to pass.

A test file has a function `legal(**changes)`: the arguments of a small call by their names, with some of them changed.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_npu  # noqa: F401
from hypothesis import settings

from softnpu import trace

Arguments = dict[str, Any]

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
DTYPES = (*FLOATS, torch.int8)
INDICES = (torch.int32, torch.int64)
MANTISSA_BITS = {torch.float32: 23, torch.float16: 10, torch.bfloat16: 7}

# All of torch.library.opcheck. test_autograd_registration does not know PrivateUse1: it passes only because no input requires a gradient.
CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_static",
    "test_aot_dispatch_dynamic",
)


def few(examples: int = 25) -> settings:
    """So many examples of a property, the same in every run: each is a launch or two."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


# Tensors.


def noise(dtype: torch.dtype, *shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, or any of int8; the same for a shape and a seed."""
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    if dtype == torch.int8:
        return torch.randint(-128, 128, shape, generator=generator).to(dtype)
    return torch.randn(*shape, generator=generator).to(dtype)


def integers(seed: int, low: int, high: int, *shape: int) -> torch.Tensor:
    """int32 in [low, high)."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """On the device."""
    return torch.zeros(*shape, dtype=dtype, device="npu")


def cos_sin_cache(dtype: torch.dtype, positions: int, rotary_dim: int) -> torch.Tensor:
    """[positions, rotary_dim], cosines then sines, as vLLM makes it."""
    angles = torch.outer(torch.arange(positions), 10000.0 ** -(torch.arange(0, rotary_dim, 2) / rotary_dim))
    return torch.cat([angles.cos(), angles.sin()], -1).to(dtype)


LAYOUTS = ("ND", "HND", "NZ")


def laid_out(nd: torch.Tensor, layout: str) -> torch.Tensor:
    """A cache [blocks, block size, heads, size] in a layout of reshape_and_cache."""
    if layout == "HND":
        return nd.transpose(1, 2).contiguous()
    if layout == "NZ":
        return nd.flatten(2).unflatten(2, (-1, 32 // nd.element_size())).transpose(1, 2).contiguous()
    return nd


# Results.


def want(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What a function of reference.py gives for tensors. Floats become float64, which rounds nothing."""

    def array(x: Any) -> Any:
        if not isinstance(x, torch.Tensor):
            return [array(part) for part in x] if isinstance(x, list) else x
        return (x.double() if x.is_floating_point() else x).cpu().numpy()

    def tensor(x: Any) -> Any:
        return tuple(map(tensor, x)) if isinstance(x, tuple) else torch.from_numpy(np.ascontiguousarray(x))

    return tensor(function(*map(array, arguments), **{name: array(x) for name, x in keywords.items()}))


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Fails unless the numbers are equal. A zero's sign does not count."""
    torch.testing.assert_close(found.cpu().to(expected.dtype), expected, rtol=0, atol=0)


def half_places(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Half a last place of each number, were it of the dtype: the most that rounding to nearest moves a number to x."""
    exponent = torch.frexp(x.double()).exponent - 1
    least = -14 if dtype == torch.float16 else -126
    return torch.ldexp(torch.full(x.shape, 0.5, dtype=torch.float64), exponent.clamp(min=least) - MANTISSA_BITS[dtype])


def near(found: torch.Tensor, expected: torch.Tensor, error: torch.Tensor | float) -> None:
    """Fails unless `found` is within `error` of what is expected, and within the rounding to its dtype.

    `error` is what float32 arithmetic may be wrong by, all its roundings included; so a float32 result has no further one.
    """
    out = found.cpu()
    bound = error if out.dtype == torch.float32 else error + half_places(out, out.dtype)
    difference = (out.double() - expected).abs()
    wrong = ~(difference <= bound)  # so NaN is wrong
    assert out.shape == expected.shape, (out.shape, expected.shape)
    assert not wrong.any(), f"{int(wrong.sum())} of {wrong.numel()} values are wrong, by {difference[wrong].max():g} at most"


# Checks that any operator has to pass.


def check_declaration(function: Callable[..., Any], utility: str, arguments: Arguments) -> None:
    """The schema says what is written, and the fake gives what the operator gives: one of CHECKS."""
    torch.library.opcheck(getattr(torch.ops.vllm_cann, function.__name__).default, (), arguments, test_utils=utility)


def queued() -> Counter[str]:
    """How many kernels, operators of CANN and asynchronous copies this process has given to devices so far."""
    torch.npu.synchronize()  # torch_npu's queue has handed over what it held
    out: Counter[str] = Counter()
    for (kind, _), number in trace.counts(Path(os.environ["SOFTNPU_STATE_DIR"])).get(os.getpid(), Counter()).items():
        if kind in ("kernel", "operator", "copy"):
            out[kind] += number
    return out


@contextmanager
def launches(kernel: int = 0, **others: Any) -> Iterator[None]:
    """Fails unless the body gives the devices so many kernels (and `operator`s of CANN, and `copy`s; ANY will do), and nothing else."""
    before = queued()
    yield
    assert queued() - before == Counter(kernel=kernel, **others)


def refused(function: Callable[..., Any], arguments: Arguments, sentence: str) -> None:
    """Fails unless the call is refused with this sentence, before the devices are given anything."""
    with launches(0), pytest.raises(ValueError, match=re.escape(sentence)):
        function(**arguments)


def refusals(*cases: tuple[Callable[[], Arguments], str]) -> pytest.MarkDecorator:
    """Parameters `change`, which makes the arguments of a call, and `sentence`, with which it is refused."""
    return pytest.mark.parametrize(("change", "sentence"), cases)


def on_another_device(function: Callable[..., Any], arguments: Arguments) -> None:
    """Fails unless a call with tensors of device 0 is refused when device 1 is the current one."""
    torch.npu.set_device(1)
    try:
        with pytest.raises(ValueError, match="the tensors are on npu:0, but the current device is npu:1"):
            function(**arguments)
    finally:
        torch.npu.set_device(0)


def calls(function: Callable[..., Any]) -> list[Any]:
    """Parameters of a test of both ways to an operator: the function itself, and torch.ops."""
    return [pytest.param(function, id="direct"), pytest.param(functools.partial(_through_torch, function.__name__), id="torch.ops")]


def _through_torch(name: str, *arguments: Any, **keywords: Any) -> Any:
    return getattr(torch.ops.vllm_cann, name)(*arguments, **keywords)


PRELUDE = """
import torch, torch_npu
from vllm_cann import ops
device = torch.device("npu:0")
"""


def run(program: str, check: bool = True, **environment: str) -> str:
    """The output of a program in a process of its own on this SoftNPU: for faults, after which a process has no device any more."""
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode == 0) == check, result.stderr
    return result.stdout + result.stderr if not check else result.stdout

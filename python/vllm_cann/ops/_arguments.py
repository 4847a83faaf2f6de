"""What all operators need: checks of their tensors, numbers of data types, the stream, and the library that they are registered in."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable
from typing import TypeVar

import torch
import torch_npu

_T = TypeVar("_T")

# dtype codes are those of ACL.
DTYPES = {torch.float32: 0, torch.float16: 1, torch.int8: 2, torch.bfloat16: 27}
FLOAT_DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 27}
INDEX_DTYPES = {torch.int32: 3, torch.int64: 9}

# Launches of an operator that are remembered, of one to four KB each.
_MOST_PREPARED = 4096

library = torch.library.Library("vllm_cann", "FRAGMENT")


def code(table: dict[torch.dtype, int], tensor: torch.Tensor, name: str) -> int:
    code = table.get(tensor.dtype)
    if code is None:
        wanted = ", ".join(str(dtype).removeprefix("torch.") for dtype in table)
        raise ValueError(f"{name} is {tensor.dtype}; it must be one of {wanted}")
    return code


def check_chip_has(dtype: torch.dtype, name: str) -> None:
    """Refuses 8-bit floats, and smaller ones, by name: they come with Ascend 950."""
    if dtype.itemsize == 1 and dtype.is_floating_point:
        raise ValueError(f"{name} is {dtype}: floats of 8 bits exist from Ascend 950 on, and this is {torch.npu.get_device_name()}")


def check_out_dtype(out_dtype: torch.dtype | None, like: torch.Tensor, name: str) -> None:
    """Results have the dtype of an operand."""
    if out_dtype is not None and out_dtype != like.dtype:
        check_chip_has(out_dtype, "out_dtype")
        raise ValueError(f"out_dtype is {out_dtype}; the result has that of {name}, {like.dtype}")


@functools.cache
def _is_npu(device: torch.device) -> bool:
    # torch asks Python for the name of a device's backend, which takes five times as long as to look it up.
    return device.type == "npu"


def check_place(tensor: torch.Tensor, name: str, dims: tuple[int, ...], other: torch.Tensor) -> None:
    check_chip_has(tensor.dtype, name)
    # A kernel is given addresses: nothing behind this point would notice a tensor of the host, or one without these dimensions.
    if tensor.dim() not in dims:
        wanted = " or ".join(map(str, dims))
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}; it must have {wanted} dimensions")
    device = tensor.device
    if device != other.device or not _is_npu(device):
        raise ValueError(f"{name} is on {tensor.device}; all tensors must be on one NPU, and another is on {other.device}")


def check_heads(tensor: torch.Tensor, name: str) -> None:
    # Rows are dense; the step from token to token, or from block to block, is free.
    if tensor.is_contiguous():
        return
    shape, strides, expected = tensor.shape, tensor.stride(), 1
    for dim in range(len(shape) - 1, 0, -1):
        if strides[dim] != expected and shape[dim] > 1:
            raise ValueError(f"{name} has the strides {tuple(strides)}; it must be contiguous but for the first of them")
        expected *= shape[dim]


def stream(tensor: torch.Tensor) -> int:
    """The current stream of a tensor's device."""
    # Reading the handle hands everything that is queued on the host to the device first, so that our launch comes after it. As torch_npu's
    # own code generator reads it: a Stream object would take twenty times as long.
    return torch_npu._C._npu_getCurrentRawStream(tensor.device.index)


def check_current(device: torch.device) -> None:
    """A launch is prepared for the current device."""
    current = torch_npu._C._npu_getDevice()
    if device.index != current:
        raise ValueError(f"the tensors are on {device}, but the current device is npu:{current}")


def prepared(prepare: Callable[..., _T]) -> Callable[[tuple[torch.Tensor | None, ...], tuple], _T]:
    """Remembers what `prepare(*tensors, *options)` makes of the types and shapes of tensors, and of options.

    Layers of a model, and steps with as many tokens, have the same shapes: the checks and the tiling of a launch are paid for once.
    `prepare` must not look at anything else of a tensor: neither at its contents nor at its address.

    Returns:
        a function of the tuple of tensors, None for an absent one, and the tuple of options, which can be hashed
    """
    known: dict[tuple, _T] = {}
    atexit.register(known.clear)  # torch.library keeps our functions longer than nanobind lives

    @functools.wraps(prepare)
    def look_up(tensors: tuple[torch.Tensor | None, ...], options: tuple) -> _T:
        # The elements of the tuple are of fixed number and order, so that no two calls share one.
        key = (*[None if t is None else (t.shape, t.stride(), t.dtype, t.device) for t in tensors], *options)
        found = known.get(key)
        if found is None:
            found = prepare(*tensors, *options)
            check_current(next(t.device for t in tensors if t is not None))
            if len(known) >= _MOST_PREPARED:
                known.clear()
            known[key] = found
        return found

    return look_up


def check_dense(tensor: torch.Tensor, name: str, dims: tuple[int, ...], other: torch.Tensor) -> None:
    """A tensor of the NPU of another, with one of these numbers of dimensions, without gaps."""
    check_place(tensor, name, dims, other)
    if not tensor.is_contiguous():
        raise ValueError(f"{name} has the strides {tuple(tensor.stride())}; it must be contiguous")


def address(tensor: torch.Tensor | None) -> int:
    """Where it begins; 0 for none."""
    return 0 if tensor is None else tensor.data_ptr()

"""Plans of the operators, for kernels that benchmarks launch without an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import _ops
import numpy as np

from softnpu import profiles

# CANN's number of a data type by numpy's name. numpy has no bfloat16: uint16 stands for its bits.
NUMBERS = {"float32": 0, "float16": 1, "int8": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 12, "uint16": 27}


@dataclass(frozen=True)
class Plan:
    """What an operator launches: a kernel on so many cores, with the bytes that it takes behind its tensors."""

    kernel: str
    cores: int
    tiling: bytes


def described(array: np.ndarray) -> _ops.Tensor:
    """The data type, the shape and the strides of an array; uint16 is bfloat16.

    Raises:
        ValueError: no operator has tensors of the array's data type
    """
    number = NUMBERS.get(array.dtype.name)
    if number is None:
        raise ValueError(f"an array is {array.dtype.name}; it can be {', '.join(NUMBERS)}")
    return _ops.Tensor(number, array.shape, [stride // array.itemsize for stride in array.strides])


def plan(operator: str, tensors: Sequence[np.ndarray | None], options: Mapping[str, Any], profile: str) -> Plan:
    """What an operator launches on a chip.

    Args:
        operator: its declared name
        tensors: in the declared order, None for one that is absent; their elements do not matter
        options: all that are declared, by name
        profile: name of the chip's profile, or its file
    Raises:
        ValueError: there is no such operator or profile, options are missing or unknown, the operator refuses the arguments, or there is
            nothing to launch
        TypeError: the number of tensors or the type of an option is wrong
    """
    declared = _ops.Operator(operator).options
    if set(declared) != set(options):
        raise ValueError(f"{operator} has the options {', '.join(declared)}; given are {', '.join(options)}")
    chip = profiles.load(profiles.find(profile))
    kernel, cores, words = _ops.plan(
        operator,
        tuple(None if tensor is None else described(tensor) for tensor in tensors),
        tuple(options[name] for name in declared),
        chip.soc_name,
        chip.npu_arch,
        chip.vector_cores,
        chip.ub_bytes,
    )
    if kernel is None:
        raise ValueError(f"{operator} has nothing to launch for these arguments")
    return Plan(kernel, cores, np.array(words, "<u8").tobytes())

"""Operators over the extension module: checks that need torch, and torch.library registrations where Dynamo must see them.

Inside an operator that is opaque to Dynamo (attention, the cache update) call these functions; in a model's own code use
``torch.ops.vllm_cann.rotary_embedding``.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch_npu
from vllm.logger import init_logger

from vllm_cann import _ops

logger = init_logger("vllm.plugins.cann.ops")

# dtype codes are those of ACL.
_DTYPES = {torch.float32: 0, torch.float16: 1, torch.int8: 2, torch.bfloat16: 27}
_INDEX_BITS = {torch.int32: 32, torch.int64: 64}


def kernel_directory() -> Path:
    """Where the wheel has its kernel binaries."""
    return Path(__file__).parent.parent / "kernels"


@functools.cache
def load(device: torch.device) -> None:
    """Loads the kernel binaries for a device.

    Raises:
        RuntimeError: CANN cannot load them (this wheel has none for the chip, for instance)
    """
    torch.npu.set_device(device)
    _ops.set_kernel_directory(str(kernel_directory()))


def _dtype(tensor: torch.Tensor, name: str) -> int:
    code = _DTYPES.get(tensor.dtype)
    if code is None:
        raise ValueError(f"{name} is {tensor.dtype}; the kernels take float32, float16, bfloat16 and int8")
    return code


def _index_bits(tensor: torch.Tensor, name: str) -> int:
    bits = _INDEX_BITS.get(tensor.dtype)
    if bits is None:
        raise ValueError(f"{name} is {tensor.dtype}, it must be int32 or int64")
    return bits


def _stream() -> int:
    # Reading the handle also hands everything that is queued on the host to the device, so that our launch comes after it.
    return torch_npu.npu.current_stream().npu_stream

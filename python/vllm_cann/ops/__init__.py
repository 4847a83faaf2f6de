"""Operators over the extension module, one file each: the schema, the fake, the docstring, and one call.

Importing this package registers every operator as ``torch.ops.vllm_cann.<name>``. Inside an operator that is opaque to Dynamo (attention,
the cache update) call the functions themselves: ``from vllm_cann.ops.reshape_and_cache import reshape_and_cache``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path

import torch

import vllm_cann._ops as _ops

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

# Families without a binary for Atlas inference products.
_NOT_ON_310P = {"lora", "moe"}


def kernel_directory() -> Path:
    """Where the wheel has its kernel binaries."""
    return Path(__file__).parent.parent / "kernels"


@functools.cache
def load(device: torch.device) -> None:
    """Loads the kernels of this wheel on a device.

    Raises:
        RuntimeError: CANN cannot load them; this wheel has none for the chip, for instance
    """
    torch.npu.set_device(device)
    _ops.set_kernel_directory(str(kernel_directory()))
    name = torch.npu.get_device_name(device)
    try:
        for family in _ops.families():
            if not (name.startswith("Ascend310P") and family in _NOT_ON_310P):
                _ops.load_family(family)
    except RuntimeError as error:
        raise RuntimeError(
            f"vllm_cann's kernels cannot be loaded on {name}: this wheel has no device binaries for it; install one that was "
            f"built with CANN for {name}, or run on SoftNPU (softnpu run -- ...). CANN said: {error}"
        ) from None

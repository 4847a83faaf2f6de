"""What the plugin asks of a device in a process that has to leave it alone.

vLLM forks its engine from the process that checks the configuration. A fork cannot use a device that its parent has initialised. So the
plugin asks for the name, the support of bfloat16 and the memory without initialising torch_npu. A process that only checks a configuration
holds no memory of the device then, either.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import torch_npu


def name() -> str:
    """The SoC of this machine's devices, for example "Ascend910B3"."""
    # What torch.npu.get_device_name() asks for, which initialises the device first to find the current one.
    return torch_npu._C._npu_getDeviceName()


def has_bfloat16() -> bool:
    """What torch.npu.is_bf16_supported() says; that function initialises the device first."""
    return torch_npu._C._npu_is_bf16_supported()


def total_memory(device_id: int) -> int:
    """Bytes of a device's memory.

    Raises:
        RuntimeError: CANN does not tell
    """
    if torch_npu.npu.is_initialized():
        return torch_npu.npu.get_device_properties(device_id).total_memory
    return _total_memory_elsewhere(device_id)


@functools.cache
def _total_memory_elsewhere(device_id: int) -> int:
    # CANN tells the memory of a device only to a process that has opened it, so a short one does.
    command = [sys.executable, str(Path(__file__).with_name("device_memory.py")), str(device_id)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"CANN does not tell the memory of device {device_id}: {result.stderr.strip()}")
    return int(result.stdout.split()[-1])

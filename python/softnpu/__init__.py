"""SoftNPU: a CANN made of software.

``softnpu run -- COMMAND`` runs programs for Ascend NPUs without one. `build`, `load` and `launch` run single AscendC kernels on numpy
arrays (softnpu.kernels, softnpu.twin). `reset_device` ends the error of a device (softnpu.device).
"""

from __future__ import annotations

from typing import Any

_WHERE = {
    "build": "softnpu.twin",
    "build_program": "softnpu.program",
    "cflags": "softnpu.twin",
    "include_dir": "softnpu.twin",
    "tiling": "softnpu.tiling_structs",
    "BuildError": "softnpu.twin",
    "load": "softnpu.kernels",
    "launch": "softnpu.kernels",
    "KernelError": "softnpu.kernels",
    "OrderError": "softnpu.kernels",
    "Addresses": "softnpu.kernels",
    "Output": "softnpu.kernels",
    "Report": "softnpu.kernels",
    "Workspace": "softnpu.kernels",
    "reset_device": "softnpu.device",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'softnpu' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)

"""The tiling of the host operators, for kernels that benchmarks launch without an operator."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field
from typing import Any

from softnpu import profiles


class _Device(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("arch", ctypes.c_int64), ("vector_cores", ctypes.c_int64), ("ub_bytes", ctypes.c_int64)]


def integers(*values: int) -> Any:
    """An array for C."""
    return (ctypes.c_int64 * len(values))(*values)


@dataclass
class Plans:
    """The tiling of the host operators, from the library that holds them."""

    library: ctypes.CDLL = field(default_factory=lambda: ctypes.CDLL(os.path.abspath(os.environ["PLANS"])))

    def ask(self, function: str, profile: str, cores: int, *arguments: Any) -> tuple[bytes, int]:
        """Tiling and cores that the plan of an operator gives.

        Args:
            function: name in plans.cc
            profile: name of a chip's profile, or its file
            cores: vector cores that the device reports
            arguments: of the function, between the device and the results
        Raises:
            ValueError: the plan refuses them; the text is its reason
        """
        chip = profiles.load(profiles.find(profile))
        device = _Device(chip.soc_name.encode(), chip.npu_arch, cores, chip.ub_bytes)
        tiling = ctypes.create_string_buffer(1024)
        used = ctypes.c_uint32()
        passed = [ctypes.c_int64(a) if isinstance(a, int) else a for a in arguments]
        count = getattr(self.library, function)(ctypes.byref(device), *passed, tiling, ctypes.byref(used))
        if count < 0:
            raise ValueError(tiling.value.decode())
        return tiling.raw[:count], used.value

"""The simulator's library, as Python sees it: one C function after the other, without numpy.

Every function reports names and values through a callback of type `Field`; a failure is reported as "code", "message" and more.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

LIBRARY = Path(__file__).parent / "lib" / "libsoftnpu_simulator.so"

Field = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        RuntimeError: it is missing
    """
    if not LIBRARY.is_file():
        raise RuntimeError(f"SoftNPU's library {LIBRARY} is missing; the softnpu wheel brings it")
    loaded = ctypes.CDLL(str(LIBRARY))
    loaded.softnpu_profile_load.restype = ctypes.c_void_p
    loaded.softnpu_profile_load.argtypes = [ctypes.c_char_p, Field, ctypes.c_void_p]
    loaded.softnpu_twin_load.restype = ctypes.c_void_p
    loaded.softnpu_twin_load.argtypes = [ctypes.c_char_p, Field, ctypes.c_void_p]
    loaded.softnpu_twin_kernels.restype = None
    loaded.softnpu_twin_kernels.argtypes = [ctypes.c_void_p, Field, ctypes.c_void_p]
    return loaded


def collector(fields: dict[str, str]) -> Callable:
    """A callback that puts names and values into `fields`. It has to live as long as the call."""

    def take(_: object, name: bytes, value: bytes) -> None:
        fields[name.decode()] = value.decode(errors="replace")

    return Field(take)

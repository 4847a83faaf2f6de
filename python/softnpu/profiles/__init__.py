"""Device profiles: the numbers of a chip, as data."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from softnpu import simulator

DIRECTORY = Path(__file__).parent


@dataclass(frozen=True)
class Profile:
    """One chip. Sizes are bytes, counts are per device; UB is of a vector core, L1, L0, bias table and fixpipe buffer of a cube core.

    Attributes:
        time: the numbers of the section [time] by their dotted names; None when the chip's time is not modelled
        handle: the profile in the simulator's library
    """

    soc_name: str
    npu_arch: int
    ai_cores: int
    cube_cores: int
    vector_cores: int
    ub_bytes: int
    l1_bytes: int
    l0a_bytes: int
    l0b_bytes: int
    l0c_bytes: int
    bias_bytes: int
    fixpipe_bytes: int
    l2_bytes: int
    hbm_bytes: int
    bfloat16: bool
    data_copy_pad: bool
    time: Mapping[str, float] | None = field(compare=False)
    handle: int = field(repr=False, compare=False)


def names() -> list[str]:
    """Names of the profiles that come with SoftNPU."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a profile: a name from `names()` (upper or lower case), or a path ending in .toml.

    Raises:
        ValueError: there is no such profile
    """
    # A path depends on the current directory. Where SoftNPU's own files lie is found once: each launch asks.
    return _resolved(name, Path(name)) if name.endswith(".toml") else _own(name)


@functools.cache
def _own(name: str) -> Path:
    return _resolved(name, DIRECTORY / f"{name.lower()}.toml")


def _resolved(name: str, path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"no device profile {name!r}; there are {', '.join(names())}, or give the path of a .toml file")
    return path.resolve()


@functools.cache
def load(path: Path) -> Profile:
    """Reads a profile, once in a process. The simulator's library reads it: there is no second reader.

    Raises:
        ValueError: the file is no profile; the sentence names the file, the key, the value and what is wanted
        RuntimeError: the simulator's library is missing
    """
    found: dict[str, str] = {}
    handle = simulator.library().softnpu_profile_load(os.fsencode(path), simulator.collector(found), None)
    if not handle:
        raise ValueError(found["message"])
    convert: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "bool": lambda text: text == "1"}
    chip = {f.name: convert[str(f.type)](found[f.name]) for f in fields(Profile) if f.name in found}
    time = {name.removeprefix("time."): float(value) for name, value in found.items() if name.startswith("time.")}
    return Profile(**chip, time=time or None, handle=handle)

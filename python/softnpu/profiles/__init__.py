"""Device profiles: the numbers of a chip, as data."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

DIRECTORY = Path(__file__).parent


@dataclass(frozen=True)
class Profile:
    """One chip. Sizes are bytes, counts are per device."""

    soc_name: str
    npu_arch: int
    ai_cores: int
    cube_cores: int
    vector_cores: int
    ub_bytes: int
    l1_bytes: int
    l2_bytes: int
    hbm_bytes: int
    bfloat16: bool
    data_copy_pad: bool


def names() -> list[str]:
    """Names of the profiles that come with SoftNPU."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a profile: a name from `names()` (upper or lower case), or a path ending in .toml.

    Raises:
        ValueError: there is no such profile
    """
    path = Path(name) if name.endswith(".toml") else DIRECTORY / f"{name.lower()}.toml"
    if not path.is_file():
        raise ValueError(f"no device profile {name!r}; there are {', '.join(names())}, or give the path of a .toml file")
    return path.resolve()


@functools.cache
def load(path: Path) -> Profile:
    """Reads a profile.

    Raises:
        ValueError: a key is missing, unknown, or has a value of another type
    """
    with path.open("rb") as file:
        values = tomllib.load(file)
    values.pop("time", None)
    expected = {field.name: {"str": str, "int": int, "bool": bool}[str(field.type)] for field in fields(Profile)}
    for key, kind in expected.items():
        if key not in values:
            raise ValueError(f"the device profile {path} has no key {key!r}")
        if type(values[key]) is not kind:
            raise ValueError(f"the device profile {path} has {values[key]!r} for {key!r}, which is not of type {kind.__name__}")
    for key in values:
        if key not in expected:
            raise ValueError(f"the device profile {path} has the unknown key {key!r}")
    return Profile(**values)


@functools.cache
def load_time(path: Path) -> dict[str, float] | None:
    """The numbers of a profile's [time] section by their dotted names; None when the chip's time is not modelled.

    Raises:
        ValueError: a value is not a number
    """
    with path.open("rb") as file:
        section = tomllib.load(file).get("time")
    if section is None:
        return None
    out: dict[str, float] = {}

    def flatten(prefix: str, values: dict) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                flatten(f"{prefix}{key}.", value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                out[prefix + key] = float(value)
            else:
                raise ValueError(f"the device profile {path} has {value!r} for time.{prefix}{key}, which is not a number")

    flatten("", section)
    return out

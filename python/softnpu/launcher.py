"""Puts SoftNPU where CANN's libraries would be, and runs a program there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softnpu import profiles, trace

HOME = Path(__file__).parent / "cann"
LIBRARIES = HOME / "lib64"

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class Settings:
    """What a run can choose; the defaults are those of the command line."""

    profile: str = "ascend910b3"
    devices: int = 1
    memory: int | None = None  # bytes per device; None: the profile's, at most a quarter of the host's
    checks: str = "strict"  # strict | off
    streams: str = "async"  # async | eager
    delay_us: int = 0
    seed: int = 0
    host_visible: bool = False
    libraries: Path = LIBRARIES


def parse_size(text: str) -> int:
    """Bytes of a size such as ``2GiB``, ``512MiB`` or ``1048576``.

    Raises:
        ValueError: not a size
    """
    match = re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB|)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write 2GiB, 512MiB or a number of bytes")
    return int(match[1]) * _UNITS[match[2]]


def _default_memory(profile: profiles.Profile) -> int:
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(profile.hbm_bytes, host // 4 >> 20 << 20)


def environment(settings: Settings, base: Mapping[str, str]) -> dict[str, str]:
    """The variables that a process on SoftNPU needs, beyond or instead of those in `base`.

    Raises:
        ValueError: a setting is out of its range
    """
    path = profiles.find(settings.profile)
    profile = profiles.load(path)
    memory = _default_memory(profile) if settings.memory is None else settings.memory
    if not 1 << 20 <= memory <= profile.hbm_bytes:
        raise ValueError(f"{memory} bytes of device memory: {profile.soc_name} has {profile.hbm_bytes}, the least is 1MiB")
    if not 1 <= settings.devices <= 8:
        raise ValueError(f"{settings.devices} devices: SoftNPU has 1 to 8")
    if not 0 <= settings.delay_us <= 100_000:
        raise ValueError(f"a delay of {settings.delay_us} us: the limits are 0 and 100000")
    if settings.seed < 0:
        raise ValueError(f"the seed {settings.seed} is negative")
    libraries = str(settings.libraries)
    if not (settings.libraries / "libascendcl.so").is_file():
        raise ValueError(f"{libraries} holds no libascendcl.so: this installation of softnpu is incomplete")
    search = [
        libraries,
        *(p for p in base.get("LD_LIBRARY_PATH", "").split(":") if p and p != libraries),
    ]
    return {
        # What CANN's set_env script sets; torch_npu checks that these and two directories exist.
        "ASCEND_HOME_PATH": str(HOME),
        "ASCEND_OPP_PATH": str(HOME / "opp"),
        "LD_LIBRARY_PATH": ":".join(search),
        "SOFTNPU_CHECKS": settings.checks,
        "SOFTNPU_DELAY_US": str(settings.delay_us),
        "SOFTNPU_DEVICES": str(settings.devices),
        "SOFTNPU_HBM_BYTES": str(memory),
        "SOFTNPU_HOST_VISIBLE": str(int(settings.host_visible)),
        "SOFTNPU_PROFILE_FILE": str(path),
        "SOFTNPU_SEED": str(settings.seed),
        "SOFTNPU_STREAMS": settings.streams,
        # torch loads torch_npu by itself, as on a machine with an NPU.
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "1",
    }


def run(command: Sequence[str], settings: Settings, trace_file: Path | None) -> int:
    """Runs a command on SoftNPU and returns its exit status (128 + n when signal n ended it).

    Interrupts go to the command, which shares the terminal's process group; a termination is passed on. When `trace_file` is given,
    what all processes of the command did on the device is written there at the end, even if they were killed.

    Raises:
        ValueError: a setting is out of its range, or the command cannot be started
        OSError: the trace cannot be written
    """
    variables = environment(settings, os.environ)
    with tempfile.TemporaryDirectory(prefix="softnpu-") as temporary:
        state = os.environ.get("SOFTNPU_STATE_DIR") or temporary
        Path(state).mkdir(parents=True, exist_ok=True)
        try:
            child = subprocess.Popen(command, env={**os.environ, **variables, "SOFTNPU_STATE_DIR": state})
        except OSError as error:
            raise ValueError(f"the command {command[0]!r} cannot be started: {error.strerror}") from None
        previous = {
            signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
            signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
        }
        try:
            status = child.wait()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if trace_file is not None:
            trace.write(Path(state), trace_file)
    return status if status >= 0 else 128 - status

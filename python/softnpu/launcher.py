"""Puts SoftNPU where CANN's libraries would be, and runs a program there."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from softnpu import profiles, trace

HOME = Path(__file__).parent / "cann"
LIBRARIES = HOME / "lib64"

MOST_TASKS = 1 << 26  # that a process's event file can keep
MOST_DEVICES = 16

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class Settings:
    """What a run can choose; the defaults are those of the command line."""

    profile: str = "ascend910b3"
    devices: int = 1
    memory: int | None = None  # bytes per device; None: the profile's, at most a quarter of the host's
    checks: str = "strict"  # strict | off
    unchecked: tuple[str, ...] = ()  # of the strict checks, those that are off
    unwritten: str = "stop"  # stop | ignore
    streams: str = "async"  # async | eager
    delay_us: int = 0
    seed: int = 0
    host_visible: bool = False
    trace_tasks: int = 1 << 21  # of a process that a trace keeps, the latest ones; 96 bytes each
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
    if not 1 <= settings.devices <= MOST_DEVICES:
        raise ValueError(f"{settings.devices} devices: SoftNPU has 1 to {MOST_DEVICES}")
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
        "SOFTNPU_UNCHECKED": ",".join(settings.unchecked),
        "SOFTNPU_UNWRITTEN": settings.unwritten,
        # torch loads torch_npu by itself, as on a machine with an NPU.
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "1",
    }


def run(command: Sequence[str], settings: Settings, trace_file: Path | None) -> int:
    """Runs a command on SoftNPU and returns its exit status (128 + n when signal n ended it).

    Interrupts go to the command, which shares the terminal's process group; SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on. When
    `trace_file` is given, what all processes of the command did on the device is written there at the end, even if they were killed.
    The file is opened before the command starts, as by a shell's redirection; what goes wrong with it later is told on stderr, and does not
    change the status. The processes' files are in SOFTNPU_STATE_DIR, and stay, where that is set; else in a directory that is removed.

    Raises:
        ValueError: a setting is out of its range, the command cannot be started, or the trace or the directory cannot be written
    """
    variables = environment(settings, os.environ)
    with contextlib.ExitStack() as stack:
        target = None
        if trace_file is not None:
            if not 1 <= settings.trace_tasks <= MOST_TASKS:
                raise ValueError(f"a trace of the latest {settings.trace_tasks} tasks: the limits are 1 and {MOST_TASKS}")
            trace.schema()
            variables["SOFTNPU_TRACE_TASKS"] = str(settings.trace_tasks)
            try:
                target = stack.enter_context(trace_file.open("wb"))
            except OSError as error:
                raise ValueError(f"the trace {str(trace_file)!r} cannot be written: {error.strerror}") from None
        given = os.environ.get("SOFTNPU_STATE_DIR")
        if given:
            state = Path(given).absolute()
            try:
                state.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ValueError(f"the directory {given!r} (SOFTNPU_STATE_DIR) cannot be made: {error.strerror}") from None
        else:
            # A process that outlives the command may still write there.
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="softnpu-", ignore_cleanup_errors=True)))
        since = time.monotonic_ns()
        status = _wait(command, {**os.environ, **variables, "SOFTNPU_STATE_DIR": str(state)})
        if target is not None:
            _write_trace(state, target, since)
    return status if status >= 0 else 128 - status


def _wait(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Runs a command to its end, and passes signals on; returns Popen's status."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []  # signals that came before the command was there

    def leave_to_the_command(number: int, frame: object) -> None:
        pass

    def pass_on(number: int, frame: object) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    wanted = dict.fromkeys((signal.SIGINT, signal.SIGQUIT), leave_to_the_command)
    wanted |= dict.fromkeys((signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2), pass_on)
    # Functions, since the command inherits "ignored" but not a handler. What is ignored already (nohup) stays so for both.
    previous = {number: signal.signal(number, handler) for number, handler in wanted.items() if signal.getsignal(number) != signal.SIG_IGN}
    try:
        try:
            child = subprocess.Popen(command, env=variables)
        except OSError as error:
            raise ValueError(f"the command {command[0]!r} cannot be started: {error.strerror}") from None
        for number in early:
            child.send_signal(number)
        return child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _write_trace(state: Path, target: BinaryIO, since: int) -> None:
    """Writes the trace. The command has ended: nothing that happens here may hide its status."""
    try:
        written = trace.write(state, target, since)
        target.close()
        lines = [f"{problem}; the rest is in the trace" for problem in written.problems]
        lines += [
            f"the trace has the latest tasks of process {pid}, {count} earlier ones were dropped" for pid, count in written.dropped.items()
        ]
    except (Exception, KeyboardInterrupt) as error:
        lines = [f"the trace {target.name!r} is incomplete: {str(error) or type(error).__name__}"]
        with contextlib.suppress(OSError):
            target.close()
    with contextlib.suppress(OSError):
        for line in lines:
            print(f"softnpu: {line}", file=sys.stderr)

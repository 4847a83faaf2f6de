"""The command `softnpu`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SOFTNPU = (sys.executable, "-m", "softnpu")


def softnpu(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    return subprocess.run([*SOFTNPU, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "no command to run; write it after --"),
        (
            ["run", "--profile", "ascend999", "--", "true"],
            "no device profile 'ascend999'; there are ascend310p3, ascend910b2, ascend910b3",
        ),
        (["run", "--memory", "3x", "--", "true"], "'3x' is not a size"),
        (["run", "--memory", "65GiB", "--", "true"], "Ascend910B3 has 68719476736"),
        (["run", "--devices", "17", "--", "true"], "17 devices: SoftNPU has 1 to 16"),
        (["run", "--delay-us", "-3", "--", "true"], "a delay of -3 us"),
        (["run", "--wrong", "--", "true"], "unrecognized arguments: --wrong"),
        (
            ["run", "--trace", "/no/such/directory/trace", "--", "true"],
            "the trace '/no/such/directory/trace' cannot be written: No such file",
        ),
        (["run", "--trace", "/", "--", "true"], "the trace '/' cannot be written: Is a directory"),
        (
            ["run", "--trace", "/dev/null", "--trace-tasks", "0", "--", "true"],
            "a trace of the latest 0 tasks: the limits are 1 and 67108864",
        ),
        (["run", "--", "no-such-command"], "'no-such-command' cannot be started: No such file"),
        ([], "required"),
    ],
)
def test_a_bad_call_gets_one_sentence_and_status_2(arguments: list[str], sentence: str) -> None:
    result = softnpu(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_status_and_environment_reach_the_caller() -> None:
    assert softnpu("run", "--", "sh", "-c", "exit 7").returncode == 7
    assert softnpu("run", "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9
    result = softnpu(
        "run",
        "--memory",
        "64MiB",
        "--devices",
        "2",
        "--",
        "sh",
        "-c",
        "echo $SOFTNPU_HBM_BYTES $SOFTNPU_DEVICES $SOFTNPU_CHECKS",
    )
    assert result.stdout.split() == [str(64 << 20), "2", "strict"]


def test_options_after_the_dashes_are_the_commands() -> None:
    program = "import sys; print(sys.argv[1:])"
    result = softnpu("run", "--seed", "3", "--", sys.executable, "-c", program, "--seed", "4", "--", "--wrong", "--help")
    assert result.stdout == "['--seed', '4', '--', '--wrong', '--help']\n"


def test_a_state_directory_of_ones_own_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOFTNPU_STATE_DIR", "mine")
    result = softnpu("run", "--", "sh", "-c", 'cd / && touch "$SOFTNPU_STATE_DIR/left" && echo "$SOFTNPU_STATE_DIR"')
    assert result.stdout.strip() == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "left").is_file()
    monkeypatch.setenv("SOFTNPU_STATE_DIR", "/proc/mine")
    result = softnpu("run", "--", "true")
    assert result.returncode == 2
    assert "'/proc/mine' (SOFTNPU_STATE_DIR) cannot be made" in result.stderr
    monkeypatch.delenv("SOFTNPU_STATE_DIR")
    gone = Path(softnpu("run", "--", "sh", "-c", 'touch "$SOFTNPU_STATE_DIR/left"; echo "$SOFTNPU_STATE_DIR"').stdout.strip())
    assert gone.name.startswith("softnpu-")
    assert not gone.exists()


OPTIONS = ("--profile", "ascend910b2", "--devices", "3", "--memory", "64MiB", "--checks", "off", "--streams", "eager", "--delay-us", "7")


def test_env_says_the_same_as_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOFTNPU_STATE_DIR", raising=False)
    names = (
        "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith(('SOFTNPU', 'ASCEND', 'LD_', 'TORCH'))}))"
    )
    inside = json.loads(softnpu("run", *OPTIONS, "--", sys.executable, "-c", names).stdout)
    assert "SOFTNPU_TRACE_TASKS" not in inside, "there is a trace only where one is asked for"
    del inside["SOFTNPU_STATE_DIR"]
    program = 'eval "$("$0" -m softnpu env "$@")"; exec "$0" -c "$PROGRAM"'
    result = subprocess.run(
        ["sh", "-c", program, sys.executable, *OPTIONS], env={**os.environ, "PROGRAM": names}, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == inside


def test_env_prints_what_run_sets() -> None:
    program = 'eval "$("$@" env --seed 5)"; echo "$SOFTNPU_SEED $ASCEND_HOME_PATH"'
    result = subprocess.run(["sh", "-c", program, "sh", *SOFTNPU], capture_output=True, text=True, check=True)
    seed, home = result.stdout.split()
    assert seed == "5"
    assert Path(home, "lib64", "libascendcl.so").is_file()


def test_checks_are_switched_one_by_one() -> None:
    options = ("--check", "races=off", "--check", "init=off", "--check", "bounds=on")
    assert softnpu("run", *options, "--", "sh", "-c", "echo $SOFTNPU_UNCHECKED").stdout == "init,races\n"
    assert softnpu("run", "--", "sh", "-c", "echo $SOFTNPU_UNCHECKED").stdout == "\n"
    refused = softnpu("run", "--check", "speed=off", "--", "true")
    assert refused.returncode == 2
    assert "invalid choice: 'speed=off'" in refused.stderr


def test_info_lists_the_profiles() -> None:
    result = softnpu("info")
    assert result.returncode == 0
    assert (
        "profile ascend910b3: Ascend910B3, 20 cube and 40 vector cores, 192 KiB UB, 64 GiB memory; "
        "links between 8 devices of 28 GB/s each way\n"
    ) in result.stdout
    assert "profile ascend310p3: Ascend310P3" in result.stdout
    assert result.stdout.count("the time of collectives is not modelled, as no rate of links is published\n") == 1


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    text = subprocess.run(
        [
            sys.executable,
            "-c",
            "from softnpu import profiles; print(profiles.find('ascend910b3').read_text())",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('"Ascend910B3"', '"Ascend910B4"'))
    result = softnpu(
        "run",
        "--profile",
        str(mine),
        "--",
        sys.executable,
        "-c",
        "import torch_npu; print(torch_npu.npu.get_device_name(0))",
    )
    assert result.stdout.strip().endswith("Ascend910B4")
    mine.write_text(text.replace("ub_bytes", "ub"))
    result = softnpu("run", "--profile", str(mine), "--", "true")
    assert result.returncode == 2
    assert "has no key 'ub_bytes'" in result.stderr


def start(mark: Path, *command: str, options: tuple[str, ...] = (), **arguments: Any) -> subprocess.Popen[bytes]:
    """Starts `softnpu run` and waits for its command to leave its process id in `mark`."""
    process = subprocess.Popen([*SOFTNPU, "run", *options, "--", *command], start_new_session=True, **arguments)
    deadline = time.monotonic() + 30
    while not (mark.is_file() and mark.read_text().strip()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_end_the_command(number: signal.Signals, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    process = start(mark, "sh", "-c", f"echo $$ > {mark}; exec sleep 60")
    if number in (signal.SIGINT, signal.SIGQUIT):
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert process.wait(20) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_a_command_that_handles_a_signal_gives_its_own_status(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    trace = tmp_path / "trace"
    program = f"trap 'exit 9' TERM; echo $$ > {mark}; while :; do sleep 0.1; done"
    process = start(mark, "sh", "-c", program, options=("--trace", str(trace)))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 9
    assert trace.is_file()


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    process = start(mark, "sh", "-c", f"echo $$ > {mark}; sleep 2; exit 5", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(20) == 5


def test_a_trace_that_cannot_be_written_leaves_the_status() -> None:
    program = "import ctypes, os, sys; acl = ctypes.CDLL('libascendcl.so'); acl.aclInit(None); acl.aclrtSetDevice(0)\n"
    program += "p = ctypes.c_void_p(); acl.aclrtMalloc(ctypes.byref(p), ctypes.c_size_t(64), 0)\n"
    program += "acl.aclrtMemsetAsync(p, ctypes.c_size_t(64), 0, ctypes.c_size_t(64), None); acl.aclrtSynchronizeStream(None); sys.exit(6)"
    result = softnpu("run", "--trace", "/dev/full", "--", sys.executable, "-c", program)
    assert result.returncode == 6
    assert result.stderr == "softnpu: the trace '/dev/full' is incomplete: [Errno 28] No space left on device\n"

"""The command `softnpu`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
        (["run", "--devices", "9", "--", "true"], "9 devices: SoftNPU has 1 to 8"),
        (["run", "--delay-us", "-3", "--", "true"], "a delay of -3 us"),
        (["run", "--wrong", "--", "true"], "unrecognized arguments: --wrong"),
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


def test_env_prints_what_run_sets() -> None:
    program = 'eval "$("$@" env --seed 5)"; echo "$SOFTNPU_SEED $ASCEND_HOME_PATH"'
    result = subprocess.run(["sh", "-c", program, "sh", *SOFTNPU], capture_output=True, text=True, check=True)
    seed, home = result.stdout.split()
    assert seed == "5"
    assert Path(home, "lib64", "libascendcl.so").is_file()


def test_info_lists_the_profiles() -> None:
    result = softnpu("info")
    assert result.returncode == 0
    assert "profile ascend910b3: Ascend910B3, 20 cube and 40 vector cores, 192 KiB UB, 64 GiB memory" in result.stdout
    assert "profile ascend310p3: Ascend310P3" in result.stdout


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_command(number: signal.Signals, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    process = subprocess.Popen(
        [*SOFTNPU, "run", "--", "sh", "-c", f"echo $$ > {mark}; exec sleep 60"],
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (mark.is_file() and mark.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert process.wait(20) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)

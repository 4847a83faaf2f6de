"""Profiles: one reader for `softnpu run`, softnpu.launch and `softnpu info`, and every number reaches the chip that is simulated."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import softnpu
from softnpu import profiles

TWIN = "tests/softnpu/census.twin.so"
MEMORY = 64 << 20


def test_the_file_of_a_name_is_looked_for_once() -> None:
    # Each launch asks for it; looking took half of the time of a small launch.
    assert profiles.find("ascend910b3") is profiles.find("ascend910b3")


def run(profile: str, *launches: list) -> dict:
    """What census.py prints below `softnpu run --profile`."""
    program = [sys.executable, "tests/softnpu/census.py", TWIN, json.dumps(launches)]
    command = [sys.executable, "-m", "softnpu", "run", "--profile", profile, "--memory", str(MEMORY), "--", *program]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def flat(prefix: str, table: dict) -> dict[str, float]:
    out: dict[str, float] = {}
    for key, value in table.items():
        out |= flat(f"{prefix}{key}.", value) if isinstance(value, dict) else {prefix + key: float(value)}
    return out


@pytest.mark.parametrize("name", profiles.names())
def test_the_reader_gives_what_the_file_says(name: str) -> None:
    """Against Python's own TOML reader, to the last bit."""
    values = tomllib.loads(profiles.find(name).read_text())
    time = values.pop("time", None)
    profile = profiles.load(profiles.find(name))
    assert {key: getattr(profile, key) for key in values} == values
    assert set(profile.__dataclass_fields__) == set(values) | {"time", "handle"}
    assert profile.time == (None if time is None else flat("", time))


@pytest.mark.parametrize("name", profiles.names())
def test_a_run_simulates_the_chip_of_the_profile(name: str) -> None:
    chip = profiles.load(profiles.find(name))
    ub = chip.ub_bytes
    launches: list[list] = [["blocks", chip.ai_cores, ub]]
    too_much: list[tuple[list, str]] = [(["blocks", 1, ub + 32], f"{ub}")]
    if chip.npu_arch == 2201:
        launches += [
            ["vectors", chip.vector_cores],
            ["pairs", chip.cube_cores],
            ["buffers", chip.cube_cores, chip.l1_bytes, chip.l0c_bytes],
        ]
        too_much += [
            (["vectors", chip.vector_cores + 1], f"vector cores, {chip.soc_name} has {chip.vector_cores}"),
            (["buffers", 1, chip.l1_bytes + 32, 64], f"{chip.l1_bytes}"),
            (["buffers", 1, 32, chip.l0c_bytes + 64], f"{chip.l0c_bytes}"),
        ]
    found = run(name, *launches)
    assert found["soc"] == chip.soc_name
    assert found["info"] == {
        "101": chip.ai_cores,
        "102": chip.cube_cores,
        "201": chip.vector_cores,
        "204": chip.ub_bytes,
        "301": MEMORY,
        "302": chip.l2_bytes,
        "601": chip.npu_arch,
    }
    assert [result for result in found["results"] if isinstance(result, str)] == []
    blocks = found["results"][0]
    assert [blocks[8 * i : 8 * i + 2] for i in range(chip.ai_cores)] == [[chip.ai_cores, i] for i in range(chip.ai_cores)]
    for launch, sentence in too_much:
        [result] = run(name, launch)["results"]
        assert sentence in result, (launch, result)


def test_cube_cores_are_those_of_the_profile(tmp_path: Path) -> None:
    """One cube core more than pairs of vector cores, and one less: each is the limit of its kind."""
    text = profiles.find("ascend910b2").read_text()
    for cubes, sentence in (
        (23, "24 blocks take 24 cube cores, Ascend910B2 has 23"),
        (25, "25 blocks take 50 vector cores, Ascend910B2 has 48"),
    ):
        mine = tmp_path / f"{cubes}.toml"
        mine.write_text(text.replace("cube_cores = 24", f"cube_cores = {cubes}"))
        good, bad = (23, 24) if cubes == 23 else (24, 25)
        [fine] = run(str(mine), ["pairs", good])["results"]
        assert not isinstance(fine, str), fine
        [result] = run(str(mine), ["pairs", bad])["results"]
        assert sentence in result


@pytest.mark.parametrize(
    ("line", "instead", "sentence"),
    [
        ("ub_bytes = 196_608", "ub = 196_608", "has no key 'ub_bytes'"),
        ("ub_bytes = 196_608", "ub_bytes = '192 KiB'", "has '192 KiB' for 'ub_bytes' (line 8); wanted is a whole number from 1 to"),
        ("bfloat16 = true", "bfloat16 = 1", "has 1 for 'bfloat16'"),
        ("[time]", "color = 3\n[time]", "has the unknown key 'color'"),
        ("clock_mhz = 1800", "clock_mhz = 0", "has 0 for 'time.clock_mhz'"),
        ("Relu =", "ReLU =", "the unknown key 'time.vector.ReLU': there is no such instruction"),
        ("ai_cores = 24", "ai_cores =", "is no TOML: "),
    ],
)
def test_a_bad_profile_is_refused_by_name(line: str, instead: str, sentence: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    text = profiles.find("ascend910b2").read_text()
    assert line in text
    mine.write_text(text.replace(line, instead, 1))
    with pytest.raises(ValueError, match=r"the device profile .*mine\.toml ") as info:
        profiles.load(mine)
    assert sentence in str(info.value)
    with pytest.raises(ValueError, match=r"mine\.toml"):
        softnpu.launch(softnpu.load(TWIN)["vectors"], None, profile=str(mine))
    command = [sys.executable, "-m", "softnpu", "run", "--profile", str(mine), "--", "true"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr

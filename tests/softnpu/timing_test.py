"""The model of time against published figures of one core and of the whole chip, and the numbers that it reports."""

from __future__ import annotations

import numpy as np
import pytest

import softnpu
from softnpu import profiles

CHIP = {"profile": "ascend910b2", "checks": "off", "l2": "warm"}
MICRO = softnpu.load("tests/benchmarks/kernels/micro.twin.so")
GIB = 1 << 30
KIB = 1 << 10


def cycles(name: str, *arguments: object, blocks: int = 1) -> float:
    return softnpu.launch(MICRO[name], *arguments, blocks=blocks, **CHIP).cycles


def seconds(name: str, *arguments: object, blocks: int = 1) -> float:
    return cycles(name, *arguments, blocks=blocks) / 1.8e9


# GiB/s of one copy by one core of a 910B1. The profile's rates were chosen on this table: five numbers for eleven.
@pytest.mark.parametrize(
    ("name", "kib", "rate"),
    [
        ("copy_in", 1, 7.3),
        ("copy_in", 2, 13.5),
        ("copy_in", 4, 23.6),
        ("copy_in", 8, 42.7),
        ("copy_in", 16, 68.0),
        ("copy_in", 32, 77.0),
        ("copy_in", 64, 78.0),
        ("copy_out", 8, 57.8),
        ("copy_out", 16, 86.9),
        ("copy_out", 32, 108.0),
        ("copy_out", 64, 110.7),
    ],
)
def test_one_copy(name: str, kib: int, rate: float) -> None:
    data = np.zeros(kib * KIB, np.uint8)
    # Less the kernel around it: a copy of one block costs the same but for its bytes.
    time = seconds(name, data, data.size)
    overhead = seconds(name, data, 32) - (225 + 32 / 83 if name == "copy_in" else 138 + 32 / 82) / 1.8e9
    if name == "copy_out":
        overhead += (data.size - 32) / 256 / 2 / 1.8e9  # filling the buffer
    assert data.size / GIB / (time - overhead) == pytest.approx(rate, rel=0.08)


# Ticks of 50 MHz for 1000 additions of 64 repeats; the last, in between, was not used for the profile.
@pytest.mark.parametrize(
    ("places", "ticks", "bound"),
    [
        ((0, 256, 0x10000), 2390, 0.05),
        ((0, 512, 0x10000), 4167, 0.05),
        ((0, 256, 0x8000), 3751, 0.05),
        ((0, 128, 0x10000), 3584, 0.15),
    ],
    ids=["none", "read-read", "read-write", "partly"],
)
def test_bank_conflicts(places: tuple[int, int, int], ticks: int, bound: float) -> None:
    assert cycles("conflicts", *places) / 1.8e9 * 50e6 == pytest.approx(ticks, rel=bound)


# The vendor's ladder for 8192 x 8192 halves, in microseconds. Only the scalar step was used for the profile.
@pytest.mark.parametrize(
    ("name", "blocks", "tile", "time", "bound"),
    [
        ("add_single", 1, 4096, 6909, 0.25),
        ("add_single", 48, 4096, 306.6, 0.10),
        ("add_double", 48, 4096, 264.0, 0.05),
    ],
)
def test_the_ladder_of_additions(name: str, blocks: int, tile: int, time: float, bound: float) -> None:
    count = 8192 * 8192 // (48 * tile) * 48 * tile  # all but a part in a thousand
    x, y, z = (np.zeros(count, np.float16) for _ in range(3))
    assert seconds(name, x, y, z, count, tile, blocks=blocks) * 1e6 == pytest.approx(time, rel=bound)


def test_the_scalar_step_of_the_ladder() -> None:
    count = 1 << 15
    x, y, z = (np.zeros(count, np.float16) for _ in range(3))
    assert seconds("add_scalar", x, y, z, count) * (8192 * 8192 / count) == pytest.approx(1.239689, rel=0.02)


# Microseconds for 12288 x 12288 halves by 48 cores.
@pytest.mark.parametrize(("rows", "width", "time"), [(1, 64, 548), (64, 64, 220.8), (64, 1024, 202.7)])
def test_sweeps(rows: int, width: int, time: float) -> None:
    side = 12288
    x = np.zeros(side * side, np.float16)
    assert seconds("sweep", x, x.size, side, rows, width, blocks=48) * 1e6 == pytest.approx(time, rel=0.05)


def test_what_a_report_says() -> None:
    count = 48 * 4096 * 4
    x, y, z = (np.zeros(count, np.float16) for _ in range(3))
    one = softnpu.launch(MICRO["add_double"], x, y, z, count, 4096, blocks=1, **CHIP)
    all_of_them = softnpu.launch(MICRO["add_double"], x, y, z, count, 4096, blocks=48, **CHIP)
    assert one.read_bytes == all_of_them.read_bytes == 4 * count
    assert one.written_bytes == all_of_them.written_bytes == 2 * count
    assert one.in_l2
    assert one.microseconds == pytest.approx(one.head_microseconds + one.cycles / 1800)
    assert set(one.busy) == {"S", "V", "MTE2", "MTE3"}
    assert all(0 < share <= 1 for share in one.busy.values())
    assert one.cycles > 20 * all_of_them.cycles
    assert all_of_them.head_microseconds > one.head_microseconds
    # Blocks beyond the cores wait for their turn.
    waves = softnpu.launch(MICRO["add_double"], x, y, z, count, 4096, blocks=96, **CHIP)
    assert waves.cycles > 0.9 * all_of_them.cycles


def test_chips_without_a_table_have_no_time() -> None:
    assert profiles.load(profiles.find("ascend310p3")).time is None
    x = np.zeros(1 << 10, np.uint8)
    report = softnpu.launch(MICRO["copy_in"], x, x.size, profile="ascend310p3")
    assert report.microseconds is None
    with pytest.raises(ValueError, match="the time of Ascend310P3 is not modelled"):
        softnpu.launch(MICRO["copy_in"], x, x.size, profile="ascend310p3", trace_file="trace")

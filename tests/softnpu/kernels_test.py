"""softnpu.build, load and launch: arguments, results, errors with fields, schedules."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import softnpu
from softnpu import cli, twin

KERNELS = softnpu.load("tests/softnpu/api.twin.so")


class Scale(ctypes.Structure):
    _fields_ = [("factor", ctypes.c_float), ("offset", ctypes.c_int32), ("count", ctypes.c_uint64)]


def test_arguments_of_every_kind() -> None:
    x = np.arange(64, dtype=np.float32)
    y = np.full_like(x, np.nan)
    softnpu.launch(KERNELS["affine"], x, softnpu.Output(y), Scale(0.5, 3, 64), -1, True, None)
    assert (y == x - 3).all()
    softnpu.launch(KERNELS["affine"], x, y, bytes(Scale(0.25, 3, 64)), np.int32(1), False, None)
    assert (y == x / 4 + 3).all()


def test_a_fault_is_an_exception_with_fields() -> None:
    x = np.zeros(64, np.float32)
    with pytest.raises(softnpu.KernelError) as info:
        softnpu.launch(KERNELS["affine"], x, np.zeros(8, np.float32), Scale(1.0, 0, 64), 1, False, None)
    error = info.value
    assert (error.code, error.kernel, error.pipe, error.instruction, error.block) == (507035, "affine", "MTE3", "DataCopy", 0)
    assert (error.buffer, error.begin, error.end) == ("GM 'argument 1'", 0, 256)
    source = Path("tests/softnpu/api.cpp").read_text().splitlines()
    assert error.file == "tests/softnpu/api.cpp"
    assert source[error.line - 1].strip() == "DataCopy(to, a, count);"
    assert "beyond the end of an allocation of 32 bytes" in error.fault


def test_an_output_has_to_be_written_and_not_read() -> None:
    x, y = np.zeros(64, np.float32), np.zeros(72, np.float32)
    with pytest.raises(softnpu.KernelError, match=r"the output's 288 bytes are not all written .*bytes \[256, 288\)"):
        softnpu.launch(KERNELS["affine"], x, softnpu.Output(y), Scale(1.0, 0, 64), 1, False, None)
    with pytest.raises(softnpu.KernelError, match="never written"):
        softnpu.launch(KERNELS["affine"], softnpu.Output(x), y, Scale(1.0, 0, 64), 1, False, None)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: softnpu.launch(KERNELS["affine"], x), softnpu.KernelError, "takes 7 argument slots of 8 bytes, the launch brings 8"),
        (lambda x: softnpu.launch(KERNELS["chain"], x, blocks=0), softnpu.KernelError, "0 blocks asked for, the limits are 1 and 65535"),
        (lambda x: softnpu.launch(KERNELS["chain"], x, blocks=65536), softnpu.KernelError, "65536 blocks"),
        (lambda x: softnpu.launch(KERNELS["meet"], x, blocks=41), softnpu.KernelError, "41 blocks take 41 vector cores"),
        (lambda x: softnpu.launch(KERNELS["chain"], x[::2]), ValueError, "argument 0: the array is not C-contiguous"),
        (lambda x: softnpu.launch(KERNELS["chain"], "x"), TypeError, "argument 0 is of type str"),
        (lambda x: softnpu.launch(KERNELS["chain"], softnpu.Output(3)), TypeError, "argument 0: Output of int"),
        (lambda x: softnpu.launch(KERNELS["chain"], x, checks="lax"), ValueError, "'lax'"),
        (lambda x: softnpu.launch(KERNELS["chain"], x, l2="hot"), ValueError, "'hot'"),
        (lambda x: softnpu.launch(KERNELS["chain"], x, schedules=0), ValueError, "schedules is 0"),
        (lambda x: softnpu.launch(KERNELS["chain"], x, profile="ascend1"), ValueError, "no device profile 'ascend1'"),
        (lambda x: KERNELS["absent"], KeyError, "no kernel 'absent'; it has affine, accumulate, meet, chain"),
    ],
)
def test_bad_calls(call: object, error: type[Exception], text: str) -> None:
    x = np.zeros(8, np.int32)
    with pytest.raises(error, match=text.replace("(", r"\(")):
        call(x)  # type: ignore[operator]
    assert not x.any()


def test_atomic_additions_of_floats_depend_on_the_order() -> None:
    values = np.array([1.0, 2.0**24, -(2.0**24), 1.0, 2.0**24, -(2.0**24)], np.float32).repeat(8)
    sums = set()
    for seed in range(12):
        total = np.zeros(8, np.float32)
        softnpu.launch(KERNELS["accumulate"], values, total, blocks=6, seed=seed)
        assert (total == total[0]).all()
        again = np.zeros(8, np.float32)
        softnpu.launch(KERNELS["accumulate"], values, again, blocks=6, seed=seed)
        assert (again == total).all(), "a seed replays"
        sums.add(float(total[0]))
    assert len(sums) > 1
    assert softnpu.launch(KERNELS["accumulate"], values, np.zeros(8, np.float32), blocks=6, schedules=12).order_dependent
    whole = np.ones(48, np.float32)
    assert not softnpu.launch(KERNELS["accumulate"], whole, np.zeros(8, np.float32), blocks=6, schedules=12).order_dependent


def test_a_race_between_cores_is_found_and_without_the_check_the_order_shows() -> None:
    with pytest.raises(softnpu.KernelError) as info:
        softnpu.launch(KERNELS["chain"], np.ones(8, np.int32), blocks=3, seed=5)
    assert "race between cores" in info.value.fault
    assert info.value.seed == 5
    assert "[seed 5]" in str(info.value)
    assert {info.value.block, info.value.other_block} < {0, 1, 2}
    assert info.value.other_line > 0
    with pytest.raises(softnpu.OrderError) as order:
        softnpu.launch(KERNELS["chain"], np.ones(8, np.int32), blocks=3, schedules=10, checks="no-races")
    x, y = np.ones(8, np.int32), np.ones(8, np.int32)
    softnpu.launch(KERNELS["chain"], x, blocks=3, checks="no-races")
    softnpu.launch(KERNELS["chain"], y, blocks=3, checks="no-races", seed=order.value.seed)
    assert (x != y).any()


def test_a_file_that_is_no_twin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(softnpu.KernelError, match="text"):
        softnpu.load(tmp_path / "text")


def test_entries_of_a_source() -> None:
    found = twin.entries(
        'extern "C" __global__ __aicore__ void a(GM_ADDR x) {}\n'
        '// extern "C" __global__ __aicore__ void no()\n'
        'extern "C" __global__ __cube__ void declared();\n'
        'extern "C" __global__ __cube__ void b() {}\n'
        'extern "C" __global__ __aicore__ __mix__(1, 2) void c(int n) {}\n'
        'extern "C" __aicore__ void not_a_kernel() {}\n'
        'extern "C" __global__ __vector__\nvoid d() {}\n'
    )
    assert [(entry.name, entry.line, entry.layout) for entry in found] == [("a", 1, -1), ("b", 4, 1), ("c", 5, 5), ("d", 8, 0)]


def test_what_cannot_be_built_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(softnpu.BuildError, match=r"absent\.cpp does not exist"):
        softnpu.build(tmp_path / "absent.cpp")
    source = tmp_path / "empty.cpp"
    source.write_text("int x;\n")
    with pytest.raises(softnpu.BuildError, match="no kernel; one is defined as"):
        softnpu.build(source)
    assert cli.main(["build", str(source)]) == 2
    assert "softnpu: " in capsys.readouterr().err

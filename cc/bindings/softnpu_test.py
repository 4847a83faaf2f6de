# cc/bindings/softnpu_test.py: the operators through the ACL C API of SoftNPU, and their values.
from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any, TypeAlias

import _ops
import numpy as np
import numpy.typing as npt
import pytest

Array: TypeAlias = npt.NDArray[Any]

FLOAT16, INT32, INT64 = 1, 3, 9
DTYPES: dict[Any, int] = {
    np.dtype(np.float16): FLOAT16,
    np.dtype(np.int32): INT32,
    np.dtype(np.int64): INT64,
}


class Device:
    """Device 0 and one stream of it."""

    def __init__(self) -> None:
        self.acl = ctypes.CDLL(os.environ["ASCENDCL"], mode=ctypes.RTLD_GLOBAL)
        self.acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
        self.check(self.acl.aclInit(None))
        self.check(self.acl.aclrtSetDevice(0))
        stream = ctypes.c_void_p()
        self.check(self.acl.aclrtCreateStream(ctypes.byref(stream)))
        self.stream = stream.value

    def check(self, code: int) -> None:
        assert code == 0, (code, self.acl.aclGetRecentErrMsg())

    def put(self, array: Array) -> int:
        address = ctypes.c_void_p()
        size = ctypes.c_size_t(max(array.nbytes, 1))
        self.check(self.acl.aclrtMalloc(ctypes.byref(address), size, 0))
        assert address.value is not None
        self.copy(address.value, array.ctypes.data, array.nbytes, 1)
        return address.value

    def get(self, address: int, like: Array) -> Array:
        out = np.empty_like(like)
        self.copy(out.ctypes.data, address, out.nbytes, 2)
        return out

    def copy(self, to: int, source: int, size: int, kind: int) -> None:
        pointers = ctypes.c_void_p(to), ctypes.c_size_t(size), ctypes.c_void_p(source)
        self.check(self.acl.aclrtMemcpy(*pointers, ctypes.c_size_t(size), kind))

    def synchronize(self) -> int:
        return self.acl.aclrtSynchronizeStream(ctypes.c_void_p(self.stream))


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    kernels = tmp_path_factory.mktemp("kernels")
    for twin in os.environ["TWINS"].split():
        (kernels / Path(twin).name).symlink_to(Path(twin).resolve())
    _ops.set_kernel_directory(str(kernels))
    return Device()


def described(array: Array) -> _ops.Tensor:
    strides = [stride // array.itemsize for stride in array.strides]
    return _ops.Tensor(DTYPES[array.dtype], list(array.shape), strides)


def copies(block_bytes: int) -> _ops.Launch:
    """Of one pair of blocks of a cache with four."""
    return _ops.prepare("copy_blocks", (_ops.Tensor(INT64, [1, 3]), _ops.Tensor(INT64, [1, 2])), (4, block_bytes, True))


def launch_cache(device: Device, key: Array, value: Array, key_cache: Array, value_cache: Array, slots: Array) -> None:
    heads = key.shape[1]
    blocks, block_size = key_cache.shape[:2]
    arrays = [key, value, key_cache, value_cache, slots]
    addresses = [device.put(array) for array in arrays]
    launch = _ops.prepare("reshape_and_cache", tuple(map(described, arrays)), ("ND",))
    launch(*addresses, device.stream)
    assert device.synchronize() == 0, device.acl.aclGetRecentErrMsg()
    for address, cache, rows in [
        (addresses[2], key_cache, key),
        (addresses[3], value_cache, value),
    ]:
        want = cache.copy().reshape(blocks * block_size, heads, -1)
        valid = (slots >= 0) & (slots < blocks * block_size)
        want[slots[valid]] = rows[valid]
        np.testing.assert_array_equal(device.get(address, cache).reshape(want.shape), want)


@pytest.mark.parametrize("slot_type", [np.int32, np.int64])
def test_reshape_and_cache(device: Device, slot_type: type) -> None:
    random = np.random.default_rng(1)
    key = random.normal(size=(100, 2, 192)).astype(np.float16)
    value = random.normal(size=(100, 2, 128)).astype(np.float16)
    key_cache = random.normal(size=(16, 16, 2, 192)).astype(np.float16)
    value_cache = random.normal(size=(16, 16, 2, 128)).astype(np.float16)
    slots = random.permutation(256)[:100].astype(slot_type)
    slots[[0, 50, 99]] = -1, 256, -5
    launch_cache(device, key, value, key_cache, value_cache, slots)


def turn(tokens: int, heads: int, kv_heads: int, size: int, rotary: int, rows: int, is_neox: bool = True) -> _ops.Launch:
    """In place, of float16 and positions of int64."""
    query, key = (_ops.Tensor(FLOAT16, [tokens, number, size]) for number in (heads, kv_heads))
    tensors = (_ops.Tensor(INT64, [tokens]), query, key, _ops.Tensor(FLOAT16, [rows, rotary]), None, None, None, None)
    return _ops.prepare("rotary_embedding", tensors, (size, "neox" if is_neox else "gptj", False, None, False))


@pytest.mark.parametrize("is_neox", [True, False])
def test_rotary_embedding(device: Device, is_neox: bool) -> None:
    random = np.random.default_rng(2)
    tokens, heads, kv_heads, size, rotary = 33, 8, 2, 128, 96
    query = random.normal(size=(tokens, heads, size)).astype(np.float16)
    key = random.normal(size=(tokens, kv_heads, size)).astype(np.float16)
    cache = random.uniform(-1, 1, size=(64, rotary)).astype(np.float16)
    positions = random.integers(0, 64, size=tokens)
    addresses = [device.put(array) for array in [positions, query, key, cache]]
    turn(tokens, heads, kv_heads, size, rotary, 64, is_neox)(*addresses, 0, 0, 0, device.stream)
    assert device.synchronize() == 0, device.acl.aclGetRecentErrMsg()
    cos, sin = np.split(cache[positions].astype(np.float64)[:, None, :], 2, axis=-1)
    for address, before in [(addresses[1], query), (addresses[2], key)]:
        x = before[..., :rotary].astype(np.float64)
        x1, x2 = (x[..., : rotary // 2], x[..., rotary // 2 :]) if is_neox else (x[..., ::2], x[..., 1::2])
        y1, y2 = x1 * cos - x2 * sin, x2 * cos + x1 * sin
        want = np.concatenate([y1, y2], -1) if is_neox else np.stack([y1, y2], -1).reshape(x.shape)
        got = device.get(address, before)
        np.testing.assert_array_equal(got[..., rotary:], before[..., rotary:])
        # Half of a last place at 8 and below, and the rounding of float.
        np.testing.assert_allclose(got[..., :rotary].astype(np.float64), want, rtol=2**-11, atol=2**-19)


def test_no_tokens_launch_nothing(device: Device) -> None:
    turn(0, 8, 1, 64, 64, 64)(*[0] * 7, device.stream)
    assert device.synchronize() == 0


def test_argument_errors_are_sentences(device: Device) -> None:
    with pytest.raises(ValueError, match="cos_sin_cache has rotary dimension 63; it has to be even"):
        turn(1, 8, 1, 64, 63, 64)


def test_a_launch_takes_other_addresses_each_time(device: Device) -> None:
    caches = [device.put(np.arange(i, i + 64, dtype=np.int64)) for i in (0, 1000)]
    mapping = device.put(np.array([[0, 3]]))
    launch = copies(128)
    for cache in caches:
        table = device.put(np.array([[cache, 128, 128]]))
        launch(table, mapping, device.stream)
    assert device.synchronize() == 0, device.acl.aclGetRecentErrMsg()
    for cache, start in zip(caches, (0, 1000), strict=True):
        want = np.arange(start, start + 64)
        want[48:] = want[:16]
        np.testing.assert_array_equal(device.get(cache, want), want)


@pytest.mark.parametrize(
    ("addresses", "sentence"),
    [
        ((64, 0, 64, 64, 0, 0, 0), "rotary_embedding: query has no memory"),
        ((64, 64, 64, 0, 0, 0, 0), "rotary_embedding: cos_sin_cache has no memory"),
        ((64, 64, 64, 64, 64, 0, 0), "rotary_embedding: sin has the address 64, but the launch was made without it"),
        ((68, 64, 64, 64, 0, 0, 0), "rotary_embedding: positions has the address 68, which is not a multiple of its elements' 8 bytes"),
        ((64, 64, 65, 64, 0, 0, 0), "rotary_embedding: key has the address 65, which is not a multiple of its elements' 2 bytes"),
        ((64, 64, 64, 64, 0, 0), "the launch takes 7 addresses and a stream, not 7 numbers"),
    ],
)
def test_addresses_that_do_not_fit_are_refused(device: Device, addresses: tuple[int, ...], sentence: str) -> None:
    launch = turn(1, 1, 1, 64, 64, 4)
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        launch(*addresses, device.stream)


def test_a_launch_takes_whole_numbers_by_position(device: Device) -> None:
    launch = copies(128)
    with pytest.raises(TypeError, match="int"):
        launch(64, "64", 0)
    with pytest.raises(OverflowError):
        launch(64, -64, 0)
    with pytest.raises(TypeError, match="by name"):
        launch(64, 64, stream=0)


def test_fault_of_a_kernel_names_its_line(device: Device) -> None:
    """A position beyond cos_sin_cache: SoftNPU finds it, a chip would read on."""
    query: Array = np.zeros((1, 1, 64), np.float16)
    cache: Array = np.zeros((4, 64), np.float16)
    addresses = [device.put(array) for array in [np.array([4]), query, query, cache]]
    turn(1, 1, 1, 64, 64, 4)(*addresses, 0, 0, 0, device.stream)
    assert device.synchronize() == 507035
    message = device.acl.aclGetRecentErrMsg().decode()
    assert "reads beyond the end of an allocation of 512 bytes" in message
    assert "rotary_embedding_half" in message
    assert "cc/kernels/rotary/angles.h:" in message


def test_missing_binary_names_its_path(tmp_path: Path) -> None:
    """In a process of its own: functions that were found stay found."""
    import subprocess
    import sys

    program = (
        "import ctypes, os, sys; import _ops\n"
        "acl = ctypes.CDLL(os.environ['ASCENDCL'], mode=ctypes.RTLD_GLOBAL)\n"
        "acl.aclInit(None); acl.aclrtSetDevice(0)\n"
        "table = _ops.Tensor(9, [1, 3]), _ops.Tensor(9, [1, 2])\n"
        "prepare = lambda: _ops.prepare('copy_blocks', table, (4, 64, True))\n"
        "try:\n"
        "    prepare()\n"
        "except RuntimeError as error: print(error)\n"
        "_ops.set_kernel_directory(sys.argv[1])\n"
        "try:\n"
        "    prepare()\n"
        "except RuntimeError as error: print(error)\n"
    )
    path = os.pathsep.join(sys.path)
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = run.stdout.splitlines()
    assert first == "the directory of the kernels is not set: call set_kernel_directory"
    assert second.startswith(f"aclrtBinaryLoadFromFile('{tmp_path}/cache.ascend910b3.o') failed")
    assert "cache.twin.so" in second

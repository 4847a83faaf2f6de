"""Kernels from Python: `build` a source, `load` the twin, `launch` it on numpy arrays.

    twin = softnpu.load(softnpu.build("add.cpp"))
    report = softnpu.launch(twin["add"], x, y, softnpu.Output(z), np.int32(x.size), blocks=8)

No torch and no CANN is involved. Kernels run under all checks; a fault is a KernelError with fields.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from softnpu import profiles, simulator, trace
from softnpu import report as pages

# The strict checks that can be switched off alone, and their bits in a request; races has a field of its own.
CHECKS = {"races": 0, "init": 1, "queues": 2, "bounds": 4, "alignment": 8}
# Bytes at the beginning of a workspace that CANN keeps for itself, by NPU architecture.
_SYSTEM_WORKSPACE = {2201: 16 << 20, 2002: 2 << 20}

_PIPES = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "ALL", "FIX")


class _Array(ctypes.Structure):
    _fields_ = [
        ("address", ctypes.c_uint64),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("undefined", ctypes.c_uint32),
        ("output", ctypes.c_uint32),
    ]


class _Request(ctypes.Structure):
    _fields_ = [
        ("twin", ctypes.c_void_p),
        ("kernel", ctypes.c_char_p),
        ("profile", ctypes.c_void_p),
        ("slots", ctypes.POINTER(ctypes.c_uint64)),
        ("slot_count", ctypes.c_uint64),
        ("blocks", ctypes.c_uint32),
        ("strict", ctypes.c_uint32),
        ("races", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("tiling_key", ctypes.c_uint64),
        ("arrays", ctypes.POINTER(_Array)),
        ("array_count", ctypes.c_uint64),
        ("warm_l2", ctypes.c_uint32),
        ("slices", ctypes.c_uint32),
        ("time", ctypes.c_uint32),
        ("unchecked", ctypes.c_uint32),
    ]


class _Slice(ctypes.Structure):
    _fields_ = [
        ("begin", ctypes.c_double),
        ("end", ctypes.c_double),
        ("context", ctypes.c_uint32),
        ("pipe", ctypes.c_uint32),
        ("line", ctypes.c_uint32),
        ("instruction", ctypes.c_char_p),
        ("file", ctypes.c_char_p),
        ("core", ctypes.c_char_p),
        ("conflict", ctypes.c_double),
        ("moved", ctypes.c_uint32),
        ("write", ctypes.c_uint32),
    ]


# Where a launch writes a trace and a page.
_Files = tuple[str | Path | None, str | Path | None]
_Slices = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Slice), ctypes.c_uint64)


@functools.cache
def _library() -> ctypes.CDLL:
    loaded = simulator.library()
    loaded.softnpu_launch.argtypes = [ctypes.POINTER(_Request), simulator.Field, _Slices, ctypes.c_void_p]
    loaded.softnpu_reserve.restype = loaded.softnpu_room.restype = ctypes.c_uint64
    loaded.softnpu_reserve.argtypes = loaded.softnpu_room.argtypes = [ctypes.c_uint64]
    loaded.softnpu_release.restype = None
    loaded.softnpu_release.argtypes = [ctypes.c_uint64, ctypes.c_uint64]
    return loaded


class KernelError(RuntimeError):
    """A kernel broke a rule of the chip, or a launch was bad.

    Attributes:
        code: what CANN would give: 507035 (vector core exception), 507015 (AI core exception), 507034 (time-out), 107000 (parameter) ...
        fault: the sentence without the place
        kernel, block, core, core_type, pipe, instruction: where it happened; block as GetBlockIdx counts
        buffer, begin, end: the bytes [begin, end) of what
        file, line: the place in the kernel's source; line 0 when there is none
        other_pipe, other_instruction, other_block, other_file, other_line: of a race, the access that it is not ordered with
        seed: the schedule that showed it; launch(..., seed=seed) shows it again
    """

    def __init__(self, fields: dict[str, str], seed: int) -> None:
        super().__init__(fields["message"] + (f" [seed {seed}]" if seed else ""))
        self.seed = seed
        self.code = int(fields["code"])
        self.fault = fields["fault"]
        self.kernel = fields.get("kernel", "")
        self.block = int(fields.get("block", -1))
        self.core = int(fields.get("core", -1))
        self.core_type = fields.get("core_type", "")
        self.pipe = fields.get("pipe", "")
        self.instruction = fields.get("instruction", "")
        self.buffer = fields.get("buffer", "")
        self.begin = int(fields.get("begin", 0))
        self.end = int(fields.get("end", 0))
        self.file = fields.get("file", "")
        self.line = int(fields.get("line", 0))
        self.other_pipe = fields.get("other_pipe", "")
        self.other_instruction = fields.get("other_instruction", "")
        self.other_block = int(fields.get("other_block", -1))
        self.other_file = fields.get("other_file", "")
        self.other_line = int(fields.get("other_line", 0))


class OrderError(RuntimeError):
    """The results of a kernel depend on the order of its cores, though it adds nothing atomically.

    Attributes:
        seed: the schedule whose results differ from those of seed 0
        argument: the position of the array that differs
    """

    def __init__(self, kernel: str, seed: int, argument: int) -> None:
        super().__init__(f"kernel {kernel}: with seed {seed} argument {argument} gets other bytes than with seed 0")
        self.seed = seed
        self.argument = argument


@dataclass(frozen=True)
class Output:
    """An array whose content before the launch is no value, and which the launch has to write completely."""

    array: np.ndarray


@dataclass(frozen=True)
class Addresses:
    """A tensor of 64-bit words in GM: of each array the address that it has on the device, each integer itself.

    How a kernel gets a list of tensors. No array may be given twice to a launch.
    """

    items: Sequence[np.ndarray | int]


@dataclass(frozen=True)
class Workspace:
    """An operator's workspace: `GetUserWorkspace` gives `bytes` bytes, which hold no value at first. CANN's own part lies before them."""

    bytes: int


@dataclass(frozen=True)
class Report:
    """Modelled time of a launch, and what it is made of.

    Attributes:
        warnings: what is odd in the kernel and no fault, a sentence for each place
        auto_sync: the twin was built as with --cce-auto-sync
        microseconds: of the launch on the chip, with its head; None when the profile has no time model
        cycles: of the cores alone
        busy: share of that time that a pipe works, mean over the cores that use it, by the pipe's name
        read_bytes, written_bytes: of GM
        atomics: copies combined with what was in GM
        order_dependent: results differed between schedules, by atomic additions
        slices: instructions as (core, pipe, name, place, begin, end), microseconds; when asked for
    """

    microseconds: float | None = None
    head_microseconds: float = 0.0
    cycles: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    read_bytes: int = 0
    written_bytes: int = 0
    in_l2: bool = False
    atomics: bool = False
    order_dependent: bool = False
    warnings: tuple[str, ...] = ()
    auto_sync: bool = False
    slices: tuple[tuple[str, str, str, str, float, float], ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A kernel of a loaded twin. `slots`: 8-byte words of its arguments."""

    name: str
    slots: int
    twin: int


class Twin:
    """A twin in this process: a mapping from names to kernels."""

    def __init__(self, path: Path) -> None:
        fields: dict[str, str] = {}
        handle = _library().softnpu_twin_load(str(path.absolute()).encode(), simulator.collector(fields), None)
        if not handle:
            raise KernelError(fields, 0)
        found: list[list[str]] = []

        def take(_: object, name: bytes, value: bytes) -> None:
            if name == b"kernel":
                found.append([value.decode()])
            else:
                found[-1].append(value.decode())

        _library().softnpu_twin_kernels(handle, simulator.Field(take), None)
        self._kernels = {name: Kernel(name, int(slots), handle) for name, slots in found}

    def __getitem__(self, name: str) -> Kernel:
        if name not in self._kernels:
            raise KeyError(f"the twin has no kernel {name!r}; it has {', '.join(self._kernels)}")
        return self._kernels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kernels)


def load(path: str | Path) -> Twin:
    """Loads a twin that `build` has made.

    Raises:
        KernelError: it is no twin, or one for another SoftNPU
    """
    return Twin(Path(path))


def launch(
    kernel: Kernel,
    *arguments: Any,
    blocks: int = 1,
    profile: str = "ascend910b3",
    checks: str | Mapping[str, bool] = "strict",
    seed: int = 0,
    schedules: int = 1,
    threads: int = 0,
    tiling_key: int = 0,
    time: bool = True,
    l2: str = "cold",
    trace_file: str | Path | None = None,
    report_file: str | Path | None = None,
) -> Report:
    """Runs a kernel on the cores of a simulated chip; arrays are changed in place.

    Args:
        kernel: of a loaded twin
        arguments: in the kernel's order. A C-contiguous numpy array, or Output(array), is a tensor in GM, Addresses a tensor with the
            addresses of others; Workspace(bytes) is a workspace; None a null address;
            an int or bool a scalar of any integer type; a float a 32-bit float; a numpy scalar itself; a ctypes.Structure or bytes a
            struct by value
        blocks: blockDim
        profile: the chip
        checks: "strict"; "no-races"; "off": only what keeps the simulation safe; or a mapping that switches some of `CHECKS` off, as
            {"init": False}
        seed: the order in which cores take turns; 0: their own
        schedules: so many orders, from `seed` on; their results have to be the same bits
        threads: host threads for cores that do not wait for each other; 0: as many as there are CPUs. With `time`, one
        tiling_key: what TILING_KEY_IS asks for
        time: model the time, where the profile can
        l2: for the time: "cold", or "warm": data that fit L2 are there when the launch begins
        trace_file: writes the modelled time as a Perfetto trace, a track for each core and pipe
        report_file: writes a page of HTML: pipes over time, their use, bank conflicts, bytes, what bounds the launch, the longest gaps
    Returns:
        the modelled time
    Raises:
        KernelError: the kernel broke a rule, or the launch is bad
        OrderError: schedules gave different results
        ValueError, TypeError: a bad argument
    """
    if schedules < 1:
        raise ValueError(f"schedules is {schedules}, at least 1 is needed")
    judged = _judged(checks)
    files = (trace_file, report_file)
    if l2 not in ("cold", "warm"):
        raise ValueError(f"l2 is {l2!r}; there are 'cold' and 'warm'")
    chip = profiles.find(profile)
    arrays = [_arrays_of(a, i) for i, a in enumerate(arguments)]
    if schedules == 1:
        return _launch(kernel, arguments, arrays, chip, blocks, judged, seed, threads, tiling_key, time, l2, files)
    start = [[a.copy() for a in group] for group in arrays]
    report = _launch(kernel, arguments, arrays, chip, blocks, judged, seed, threads, tiling_key, time, l2, files)
    for other in range(seed + 1, seed + schedules):
        again = [[a.copy() for a in group] for group in start]
        _launch(kernel, arguments, again, chip, blocks, judged, other, threads, tiling_key, False, l2, (None, None))
        for i, (one, two) in enumerate(zip(arrays, again, strict=True)):
            if any(a.tobytes() != b.tobytes() for a, b in zip(one, two, strict=True)):
                if not report.atomics:
                    raise OrderError(kernel.name, other, i)
                report = replace(report, order_dependent=True)
    return report


def _judged(checks: str | Mapping[str, bool]) -> frozenset[str]:
    """The names of CHECKS that are on; empty: strict is off."""
    if checks == "strict":
        return frozenset(CHECKS)
    if checks == "no-races":
        return frozenset(CHECKS) - {"races"}
    if checks == "off":
        return frozenset()
    if isinstance(checks, str):
        raise ValueError(
            f"checks is {checks!r}; there are 'strict', 'no-races', 'off' and a mapping of {', '.join(CHECKS)} to True or False"
        )
    if unknown := set(checks) - set(CHECKS):
        raise ValueError(f"no check is called {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    return frozenset(name for name in CHECKS if checks.get(name, True)) | {"others"}


def _arrays_of(argument: Any, position: int) -> list[np.ndarray]:
    if isinstance(argument, Addresses):
        arrays = [item for item in argument.items if isinstance(item, np.ndarray)]
    elif isinstance(argument, Output):
        if not isinstance(argument.array, np.ndarray):
            raise TypeError(f"argument {position}: Output of {type(argument.array).__name__}; it takes a numpy array")
        arrays = [argument.array]
    else:
        arrays = [argument] if isinstance(argument, np.ndarray) else []
    for array in arrays:
        if not array.flags.c_contiguous or not array.flags.writeable:
            raise ValueError(f"argument {position}: the array is not C-contiguous and writeable")
    return arrays


def _slots_of(argument: Any, position: int) -> bytes:
    if argument is None:
        data = b""
    elif isinstance(argument, np.generic):  # first: np.float64 is a float, too
        data = argument.tobytes()
    elif isinstance(argument, bool | int):
        data = int(argument).to_bytes(8, "little", signed=argument < 0)
    elif isinstance(argument, float):
        data = np.float32(argument).tobytes()
    elif isinstance(argument, bytes | bytearray | ctypes.Structure):
        data = bytes(argument)
    else:
        raise TypeError(f"argument {position} is of type {type(argument).__name__}, which no kernel takes")
    return data.ljust(max(8, -(-len(data) // 8) * 8), b"\0")


def _launch(
    kernel: Kernel,
    arguments: Sequence[Any],
    arrays: list[list[np.ndarray]],
    chip: Path,
    blocks: int,
    judged: frozenset[str],
    seed: int,
    threads: int,
    tiling_key: int,
    with_time: bool,
    l2: str,
    files: _Files,
) -> Report:
    profile = profiles.load(chip)
    timed = with_time and profile.time is not None
    for file, what in zip(files, ("trace", "report"), strict=True):
        if file is not None and not timed:
            here = "" if with_time else " here (time=False)"
            raise ValueError(f"the time of {profile.soc_name} is not modelled{here}, so there is no {what}")
    system_bytes = _SYSTEM_WORKSPACE.get(profile.npu_arch, 0)
    memory = _Memory(_bytes_needed(arguments, arrays, system_bytes))
    try:
        slots = _place(memory, arguments, arrays, system_bytes)
        return _run(kernel, memory.described, slots, profile, blocks, judged, seed, threads, tiling_key, timed, l2, files)
    finally:
        memory.release()


@functools.cache
def _room(size: int) -> int:
    """Bytes of address space that an array of `size` bytes takes."""
    return int(_library().softnpu_room(size))


class _Memory:
    """Address space of a launch, and the arrays that lie in it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._begin = self._next = _library().softnpu_reserve(size)
        if self._begin == 0:
            raise MemoryError(f"no address space for {size} bytes of arrays")
        self._places: dict[tuple[int, int], int] = {}
        self.described: list[_Array] = []
        self.tables: list[np.ndarray] = []  # alive until the kernel has run

    def release(self) -> None:
        _library().softnpu_release(self._begin, self._size)

    def add(self, name: str, size: int, data: int | None, no_value: bool = False, output: bool = False) -> int:
        """The address of an array; the same for an array that was added before."""
        if data is not None and size and (data, size) in self._places:
            return self._places[data, size]
        at = self._next
        self.described.append(_Array(at, data, size, name.encode(), no_value, output))
        self._next += _room(size)
        if data is not None:
            self._places[data, size] = at
        return at


def _bytes_needed(arguments: Sequence[Any], arrays: list[list[np.ndarray]], system_bytes: int) -> int:
    sizes = [array.nbytes for group in arrays for array in group]
    sizes += [system_bytes + argument.bytes for argument in arguments if isinstance(argument, Workspace)]
    sizes += [8 * len(argument.items) for argument in arguments if isinstance(argument, Addresses)]
    return sum(_room(size) for size in sizes)


def _place(memory: _Memory, arguments: Sequence[Any], arrays: list[list[np.ndarray]], system_bytes: int) -> bytes:
    """Places the arrays; returns the slots of the arguments."""
    slots = b""
    for i, (argument, group) in enumerate(zip(arguments, arrays, strict=True)):
        if isinstance(argument, Addresses):
            placed = iter([memory.add(f"argument {i}, array {j}", array.nbytes, array.ctypes.data) for j, array in enumerate(group)])
            table = np.array([next(placed) if isinstance(item, np.ndarray) else int(item) for item in argument.items], np.int64)
            memory.tables.append(table)
            slots += memory.add(f"argument {i}", table.nbytes, table.ctypes.data).to_bytes(8, "little")
        elif isinstance(argument, Workspace):
            slots += memory.add(f"argument {i}", system_bytes + argument.bytes, None, no_value=True).to_bytes(8, "little")
        elif group:
            output = isinstance(argument, Output)
            slots += memory.add(f"argument {i}", group[0].nbytes, group[0].ctypes.data, output, output).to_bytes(8, "little")
        else:
            slots += _slots_of(argument, i)
    return slots


def _run(
    kernel: Kernel,
    described: list[_Array],
    slots: bytes,
    profile: profiles.Profile,
    blocks: int,
    judged: frozenset[str],
    seed: int,
    threads: int,
    tiling_key: int,
    timed: bool,
    l2: str,
    files: _Files,
) -> Report:
    fields: dict[str, str] = {}
    slices: list[pages.Slice] = []

    def take_slices(_: object, found: Any, count: int) -> None:
        for s in found[:count]:
            place = f"{Path(s.file.decode()).name}:{s.line}"
            read, written = (0, s.moved) if s.write else (s.moved, 0)
            instruction = s.instruction.decode()
            slices.append(pages.Slice(s.core.decode(), _PIPES[s.pipe], instruction, place, s.begin, s.end, s.conflict, read, written))

    count = len(slots) // 8
    request = _Request(
        twin=kernel.twin,
        kernel=kernel.name.encode(),
        profile=profile.handle,
        slots=(ctypes.c_uint64 * count).from_buffer_copy(slots),
        slot_count=count,
        blocks=blocks,
        strict=bool(judged),
        races="races" in judged,
        threads=threads,
        seed=seed,
        tiling_key=tiling_key,
        arrays=(_Array * len(described))(*described),
        array_count=len(described),
        warm_l2=l2 == "warm",
        slices=any(file is not None for file in files),
        time=timed,
        unchecked=sum(bit for name, bit in CHECKS.items() if name not in judged),
    )
    warnings: list[str] = []

    def take(_: object, name: bytes, value: bytes) -> None:
        if name == b"warning":
            warnings.append(value.decode(errors="replace"))
        else:
            fields[name.decode()] = value.decode(errors="replace")

    if _library().softnpu_launch(ctypes.byref(request), simulator.Field(take), _Slices(take_slices), None) != 0:
        raise KernelError(fields, seed)
    atomics = fields["atomics"] == "1"
    auto_sync = fields["auto_sync"] == "1"
    if not timed:
        return Report(atomics=atomics, warnings=tuple(warnings), auto_sync=auto_sync)
    plain = tuple((s.core, s.pipe, s.name, s.place, s.begin, s.end) for s in slices)
    trace_file, report_file = files
    if trace_file is not None:
        trace.write_slices(list(plain), kernel.name, Path(trace_file))
    made = Report(
        microseconds=float(fields["microseconds"]),
        head_microseconds=float(fields["head_microseconds"]),
        cycles=float(fields["cycles"]),
        busy={pipe: float(fields[f"busy.{pipe}"]) for pipe in _PIPES if float(fields[f"busy.{pipe}"]) > 0},
        read_bytes=int(float(fields["read_bytes"])),
        written_bytes=int(float(fields["written_bytes"])),
        in_l2=fields["in_l2"] == "1",
        atomics=atomics,
        warnings=tuple(warnings),
        auto_sync=auto_sync,
        slices=plain,
    )
    if report_file is not None:
        page = pages.html(
            slices,
            kernel=kernel.name,
            chip=profile.soc_name,
            blocks=blocks,
            microseconds=made.microseconds or 0.0,
            head_microseconds=made.head_microseconds,
            auto_sync=auto_sync,
            warnings=warnings,
            read_bytes=made.read_bytes,
            written_bytes=made.written_bytes,
            scalar=made.busy.get("S", 0.0),
        )
        Path(report_file).write_text(page, encoding="utf-8")
    return made

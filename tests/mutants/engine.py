"""Builds mutants and looks whether any case notices them."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from cases import CASES, WITHOUT_RESULT, Case, Plans
from mutations import Mutant, mutants

import softnpu

SECONDS = 5  # of the processor, so that a busy machine does not matter: a right kernel takes less than a tenth of one
PATIENCE = 60.0  # for what waits without end
MEMORY = 24 << 30  # of addresses, beside those of the process that is forked
RESULT = Path(__file__).with_name("result.json")
# zig checks for undefined behaviour unless told otherwise.
OPTIONS = ("-O0", "-fno-sanitize=undefined", "-w")


@dataclass(frozen=True)
class Outcome:
    """Of a mutant: "no build", "fault", "wrong", "time-out", "crash" or "survived"; and the words for it."""

    mutant: Mutant
    kind: str
    text: str = ""

    @property
    def noticed(self) -> bool:
        """Some case has told it from the right kernel."""
        return self.kind in ("fault", "wrong", "time-out", "crash")


def launch(twin: softnpu.Twin, case: Case) -> tuple[str, str]:
    """Kind of outcome and words for it."""
    try:
        softnpu.launch(twin[case.kernel], *case.arguments, blocks=case.blocks, profile=case.profile, schedules=case.schedules)
    except (softnpu.KernelError, softnpu.OrderError) as error:
        if case.traps and isinstance(error, softnpu.KernelError) and error.instruction == "Trap":
            return "survived", ""
        return "fault", f"{case.kernel} {case.name}: {error}"
    text = "no trap" if case.traps else case.check()
    return ("wrong", f"{case.kernel} {case.name}: {text}") if text else ("survived", "")


def run(twin: Path, cases: list[Case]) -> tuple[str, str]:
    """Runs the cases in a child of this process until one notices something."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = ("crash", "a Python exception")
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
            loaded = softnpu.load(twin)
            answer = ("survived", "")
            for case in cases:
                if case.kernel in loaded and (answer := launch(loaded, case))[0] != "survived":
                    break
        except Exception as error:
            answer = ("crash", f"{type(error).__name__}: {error}")
        finally:
            os.write(writer, json.dumps(answer).encode()[:60000])
            os._exit(0)
    os.close(writer)
    end = time.monotonic() + PATIENCE
    data = b""
    while (left := end - time.monotonic()) > 0 and select.select([reader], [], [], left)[0]:
        if not (piece := os.read(reader, 65536)):
            break
        data += piece
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if data:
        kind, text = json.loads(data)
        return kind, text
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) not in (signal.SIGKILL, signal.SIGXCPU):
        return "crash", signal.Signals(os.WTERMSIG(status)).name
    return "time-out", ""


def use_zig(cache: Path) -> None:
    """Kernels are compiled by the build's own compiler, when it is given; it keeps what it has compiled in `cache`."""
    if zig := os.environ.get("ZIG"):
        os.environ["CXX"] = f"{Path(zig).resolve()} c++ -nostdlib++"
        os.environ["ZIG_GLOBAL_CACHE_DIR"] = os.environ["ZIG_LOCAL_CACHE_DIR"] = str(cache)


def users(root: Path) -> dict[str, tuple[str, ...]]:
    """By source, the kernels whose cases may notice its mutants: itself; of a header with code, those that include it."""
    found: dict[str, tuple[str, ...]] = {source: (source,) for source in CASES}
    for source in CASES:
        for header in re.findall(r'^#include "([^"]+/[^"]+)"', (root / source).read_text(), re.M):
            if not header.endswith("_tiling.h"):
                found[header] = (*found.get(header, ()), source)
    return found


class Engine:
    """All sources, or those whose paths contain `only`, with the cases that they need. `root` is the repository's."""

    def __init__(self, root: Path = Path(), only: str = "") -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="zig-")
        use_zig(Path(self._cache.name))
        plans = Plans()
        self.root = root.resolve()
        self.sources = {source: kernels for source, kernels in users(self.root).items() if only in source}
        needed = {kernel for kernels in self.sources.values() for kernel in kernels}
        self.cases = {kernel: make(plans) for kernel, make in CASES.items() if kernel in needed}
        every = [mutant for source in self.sources for mutant in mutants(self.root / source, source)]
        self.mutants = [mutant for mutant in every if mutant.kernel not in WITHOUT_RESULT]

    def build(self, kernel: str, source: str, text: bytes, directory: Path, options: tuple[str, ...] = OPTIONS) -> Path:
        """The twin of a kernel with this text in place of a source's, its own or a header's."""
        changed = directory / source
        changed.parent.mkdir(parents=True, exist_ok=True)
        changed.write_bytes(text)
        file = changed if kernel == source else self.root / kernel
        includes = (f"-I{path}" for path in (directory, self.root, (self.root / kernel).parent))
        return softnpu.build(file, output=directory / "twin.so", options=(*options, *includes))

    def check_originals(self) -> dict[str, list[tuple[str, str]]]:
        """By kernel, what notices it without a fault: nothing should."""
        found = {}
        for kernel, cases in self.cases.items():
            with tempfile.TemporaryDirectory() as directory:
                twin = self.build(kernel, kernel, (self.root / kernel).read_bytes(), Path(directory))
                found[kernel] = [answer for answer in [run(twin, cases)] if answer[0] != "survived"]
        return found

    def examine(self, mutant: Mutant) -> Outcome:
        """Builds and runs one, until a kernel notices it."""
        text = mutant.apply((self.root / mutant.source).read_bytes())
        outcome = Outcome(mutant, "survived")
        for kernel in self.sources[mutant.source]:
            with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
                try:
                    twin = self.build(kernel, mutant.source, text, Path(directory))
                except softnpu.BuildError as error:
                    return Outcome(mutant, "no build", str(error)[-300:])
                outcome = Outcome(mutant, *run(twin, self.cases[kernel]))
            if outcome.noticed:
                break
        return outcome

    def same_code(self, mutant: Mutant) -> bool:
        """The optimiser makes the same code of the mutant and the original."""
        text = (self.root / mutant.source).read_bytes()
        options = ("-O2", "-s", "-w", "-Wl,--build-id=none")
        for kernel in self.sources[mutant.source]:
            with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
                place = Path(directory)
                twins = [self.build(kernel, mutant.source, t, place, options).read_bytes() for t in (text, mutant.apply(text))]
            if twins[0] != twins[1]:
                return False
        return True

    def examine_all(self, chosen: Iterable[Mutant], jobs: int) -> Iterator[Outcome]:
        """In order; `jobs` at a time."""
        global _engine
        _engine = self
        with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
            yield from pool.map(_examine, chosen, chunksize=4)


_engine: Engine


def _examine(mutant: Mutant) -> Outcome:
    return _engine.examine(mutant)

"""Builds mutants of kernels and judges them by the tests that gate CI.

A kernel's GoogleTests load `cc/kernels/<family>/<family>.twin.so` from the directory that they run in. The engine runs the binaries that CI
runs, in a directory where that file is the mutant's twin and everything else is the original: no test is compiled for a mutant.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mutations import Mutant, mutants

import softnpu
from softnpu import twin
from softnpu.twin import entries

KERNELS = Path("cc/kernels")
OPERATOR_TESTS = Path("tests/ops")
SOFTNPU = "--memory 512MiB --delay-us 100 --devices 2"  # of `softnpu run`, for tests/ops
# zig checks for undefined behaviour unless told otherwise.
OPTIONS = ("-O0", "-fno-sanitize=undefined", "-w")
# A mutant may loop without end, or ask for memory without end: a test may take this many times what it takes with the original.
SLOWER = 10
LEAST_SECONDS = 10  # of the processor, so that a busy machine does not matter
MEMORY = 24 << 30  # of addresses


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        kind: "killed", "survived", "equivalent" (by a comment, or the optimiser makes the same code of both) or "no build"
        by: the test that killed it, or the reason why it is equivalent
    """

    mutant: Mutant
    kind: str
    by: str = ""


class BaselineError(RuntimeError):
    """Tests fail without any mutant: they could not judge one."""


def use_zig(cache: Path) -> None:
    """Kernels are compiled by the build's own compiler if $ZIG names it. It keeps what it has compiled in `cache`."""
    if zig := os.environ.pop("ZIG", None):
        os.environ["CXX"] = f"{Path(zig).resolve()} c++ -nostdlib++"
        os.environ["ZIG_GLOBAL_CACHE_DIR"] = os.environ["ZIG_LOCAL_CACHE_DIR"] = str(cache)


def sample(candidates: Iterable[Mutant], seed: int) -> list[Mutant]:
    """The mutants in the order in which they are drawn: each source in turn gives one.

    A mutant's rank depends on its name and on the seed alone, so an edit of other lines does not change what is drawn.
    """
    ranks: dict[str, list[tuple[str, Mutant]]] = defaultdict(list)
    for mutant in candidates:
        ranks[mutant.source].append((hashlib.sha256(f"{seed} {mutant.key}".encode()).hexdigest(), mutant))
    drawn = [(turn, *item) for items in ranks.values() for turn, item in enumerate(sorted(items, key=lambda item: item[0]))]
    return [mutant for _, _, mutant in sorted(drawn, key=lambda item: item[:2])]


def _overlay(original: Path, to: Path, replaced: list[Path]) -> None:
    """Makes `to` a copy of `original` by links, without the files `replaced`, for which there is room."""
    to.mkdir(parents=True)
    inner: dict[str, list[Path]] = defaultdict(list)
    for path in replaced:
        inner[path.parts[0]] += [Path(*path.parts[1:])] if len(path.parts) > 1 else []
    for item in original.iterdir():
        if item.name not in {path.parts[0] for path in replaced}:
            (to / item.name).symlink_to(item.absolute())
    for name, paths in inner.items():
        if paths:
            _overlay(original / name, to / name, paths)


def _limited(command: list[str], seconds: float) -> list[str]:
    """The command with bounds on its processor time and on its addresses."""
    return ["sh", "-c", f'ulimit -c 0; ulimit -v {MEMORY >> 10}; ulimit -t {int(seconds) + 1}; exec "$@"', "sh", *command]


def _failed(output: str, status: int) -> str:
    """The name of the first failed case of a GoogleTest or of pytest, or how the process ended."""
    if found := re.search(r"^\[  FAILED  \] (\S+?)[,\s]", output, re.M):
        return found[1]
    if found := re.search(r"^(?:FAILED|ERROR) \S*?(\w+\.py\S*)", output, re.M):
        return found[1]
    return signal.Signals(-status).name if status < 0 else f"status {status}"


class Engine:
    """The kernel sources below cc/kernels, their tests and their mutants.

    `root` is a directory with the repository's files and test binaries at their paths: the runfiles of a Bazel target.
    """

    def __init__(self, root: Path = Path()) -> None:
        self.root = root.absolute()
        self._cache = tempfile.TemporaryDirectory(prefix="zig-")
        use_zig(Path(self._cache.name))
        self._seconds: dict[Path, float] = {}  # of test binaries, without a mutant
        self._checked: set[str] = set()  # sources whose tests in tests/ops pass
        texts = {
            path.relative_to(self.root).as_posix(): path.read_text()
            for pattern in ("*/*.cpp", "*/*.h", "*.h")
            for path in sorted((self.root / KERNELS).glob(pattern))
        }
        self.kernels = {source: [entry.name for entry in found] for source, text in texts.items() if (found := entries(text))}
        includes = {source: set(re.findall(r'^#include "([^"]+)"', text, re.M)) & set(texts) for source, text in texts.items()}
        self._users: dict[str, list[str]] = defaultdict(list)
        for kernel in self.kernels:
            reached: set[str] = set()
            waiting = [kernel]
            while waiting:
                source = waiting.pop()
                if source not in reached:
                    reached.add(source)
                    waiting += includes[source]
            for source in sorted(reached):
                self._users[source].append(kernel)
        found_mutants = {source: mutants(self.root / source, source) for source in self._users}
        self.sources = {source: of_it for source, of_it in sorted(found_mutants.items()) if of_it}

    def users(self, source: str) -> list[str]:
        """The kernel sources that a source is part of: itself, or those that include it, directly or not."""
        return self._users[source]

    def tests(self, kernel: str) -> list[Path]:
        """The test binaries of a kernel source: those beside it whose names begin with its name, and with no longer one of a kernel.

        Raises:
            BaselineError: there is none
        """
        directory = (self.root / kernel).parent
        stems = [Path(other).stem for other in self.kernels if Path(other).parent == Path(kernel).parent]
        found = []
        for test in sorted(directory.glob("*_test.cc")):
            owner = max((stem for stem in stems if test.name.startswith(stem + "_")), key=len, default="")
            if owner == Path(kernel).stem:
                found.append(test.with_suffix(""))
        if not found:
            raise BaselineError(f"{kernel} has no test: none beside it is called {Path(kernel).stem}_..._test.cc")
        if missing := [binary for binary in found if not binary.exists()]:
            raise BaselineError(f"{missing[0]} is not there: it has to be among the data of this target")
        return found

    def build(
        self, kernels: list[str], changed: str, text: bytes, directory: Path, output: Path, options: tuple[str, ...] = OPTIONS
    ) -> None:
        """Compiles the twin of some kernel sources, with `text` in place of the source `changed`.

        Args:
            kernels: sources with entries
            changed: one of them, or a header
            text: its content
            directory: an empty one for what the compiler reads
            output: the twin
            options: more options of the compiler
        Raises:
            softnpu.BuildError: it does not compile
        """
        file = directory / changed
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
        output.parent.mkdir(parents=True, exist_ok=True)
        names: list[str] = []
        files = [directory / "table.cc"]
        for i, kernel in enumerate(kernels):
            found = entries((file if kernel == changed else self.root / kernel).read_text())
            names += [entry.name for entry in found]
            files.append(directory / f"{i}.cc")
            files[-1].write_text(twin.wrapper(kernel, found))
        files[0].write_text(twin.table(names))
        # The changed source is found first. All have the names that they have in the repository, which tests of messages look at.
        include = [f"-I{path}" for path in (directory, self.root, *twin.HEADERS)]
        command = [*twin.compiler(), "-std=c++17", *twin.OPTIONS, "-shared", *include, *options, *map(str, files), "-o", str(output)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise softnpu.BuildError(result.stderr)

    def _run(self, binary: Path, library: Path, family: str, seconds: float) -> tuple[int, str]:
        """Exit status and output of a test binary with this twin."""
        with tempfile.TemporaryDirectory(prefix="mutant-run-") as place:
            work = Path(place, "root")
            at = KERNELS / family / f"{family}.twin.so"
            _overlay(self.root, work, [at])
            (work / at).symlink_to(library)
            command = _limited([str(binary), "--gtest_fail_fast", "--gtest_brief=1"], seconds)
            environment = {**os.environ, "TEST_TMPDIR": place}
            return _ended(command, work, environment, 10 * seconds)  # of the clock: for what waits without end

    def check_original(self, kernel: str) -> None:
        """Runs the tests of a kernel source without a mutant and notes how long they take.

        Raises:
            BaselineError: one fails
        """
        with tempfile.TemporaryDirectory(prefix="original-") as place:
            library = Path(place, "twin.so")
            self.build([kernel], kernel, (self.root / kernel).read_bytes(), Path(place), library)
            for binary in self.tests(kernel):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                status, output = self._run(binary, library, Path(kernel).parent.name, 600)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                if status != 0:
                    raise BaselineError(f"{binary.name} fails without a mutant of {kernel}: {_failed(output, status)}\n{output[-2000:]}")
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                self._seconds[binary] = max(used, self._seconds.get(binary, 0))

    def examine(self, mutant: Mutant) -> Outcome:
        """Judges a mutant by the GoogleTests of the kernels that its source is part of, until one kills it."""
        text = mutant.apply((self.root / mutant.source).read_bytes())
        for kernel in self.users(mutant.source):
            with tempfile.TemporaryDirectory(prefix="mutant-") as place:
                library = Path(place, "twin.so")
                try:
                    self.build([kernel], mutant.source, text, Path(place), library)
                except softnpu.BuildError as error:
                    return Outcome(mutant, "no build", str(error)[-300:])
                for binary in self.tests(kernel):
                    seconds = max(LEAST_SECONDS, SLOWER * self._seconds[binary])
                    status, output = self._run(binary, library, Path(kernel).parent.name, seconds)
                    if status != 0:
                        return Outcome(mutant, "killed", f"{binary.name} {_failed(output, status)}")
        if mutant.reason:
            return Outcome(mutant, "equivalent", mutant.reason)
        if self._is_same_code(mutant, text):
            return Outcome(mutant, "equivalent", "The optimiser makes the same code of both.")
        return Outcome(mutant, "survived")

    def _is_same_code(self, mutant: Mutant, text: bytes) -> bool:
        """The optimiser makes the same code of the mutant and of the original."""
        options = ("-O2", "-s", "-w", "-fno-sanitize=undefined", "-Wl,--build-id=none")
        for kernel in self.users(mutant.source):
            with tempfile.TemporaryDirectory(prefix="mutant-") as place:
                twins = []
                for version in ((self.root / mutant.source).read_bytes(), text):
                    library = Path(place, "twin.so")
                    self.build([kernel], mutant.source, version, Path(place), library, options)
                    twins.append(library.read_bytes())
            if twins[0] != twins[1]:
                return False
        return True

    def examine_by_operators(self, mutant: Mutant) -> Outcome:
        """Judges a mutant by tests/ops: the operators of the installed plugin under `softnpu run`, with the mutant in the family's twin.

        Raises:
            BaselineError: a test fails without a mutant
        """
        original = (self.root / mutant.source).read_bytes()
        if mutant.source not in self._checked:
            self._checked.add(mutant.source)
            if failed := self._fails_operators(mutant.source, original):
                raise BaselineError(f"{OPERATOR_TESTS} fails without a mutant of {mutant.source}: {failed}")
        failed = self._fails_operators(mutant.source, mutant.apply(original))
        return Outcome(mutant, "killed", failed.splitlines()[0]) if failed else Outcome(mutant, "survived")

    def _fails_operators(self, source: str, text: bytes) -> str:
        """The first failure of the tests of tests/ops that use a source, with this text in its place; empty: none."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as place:
            site = Path(place, "site")
            families = sorted({Path(kernel).parent.name for kernel in self.users(source)})
            libraries = [Path(f"vllm_cann/kernels/{family}.twin.so") for family in families]
            _overlay(Path(_find_package("vllm_cann")).parent, site, libraries)
            for family, library in zip(families, libraries, strict=True):
                kernels = [kernel for kernel in self.kernels if Path(kernel).parent.name == family]
                self.build(kernels, source, text, Path(place, family), site / library)
            for test in self._operator_tests(source):
                status, output = self._pytest(test, site, Path(place))
                if status != 0:
                    return f"{_failed(output, status)}\n{output[-2000:]}"
        return ""

    def _operator_tests(self, source: str) -> list[Path]:
        """The files of tests/ops that name a kernel of the source."""
        names = {Path(kernel).stem for kernel in self.users(source)}
        uses = re.compile(rf"\b(?:{'|'.join(sorted(names))})\b")
        return [test for test in sorted((self.root / OPERATOR_TESTS).glob("*_test.py")) if uses.search(test.read_text())]

    def _pytest(self, test: Path, site: Path, place: Path) -> tuple[int, str]:
        search = [str(site), *(path for path in sys.path if path)]
        profile = "ascend310p3" if "310p" in test.name else "ascend910b3"
        state = place / test.stem
        state.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": ":".join(search),
            "PYTEST_SOFTNPU": f"--profile {profile} {SOFTNPU}",
            "TEST_TMPDIR": str(state),
            "TESTBRIDGE_TEST_RUNNER_FAIL_FAST": "1",
        }
        runner = self.root / "tools/rules/pytest_runner.py"
        command = [sys.executable, str(runner), str(test.relative_to(self.root))]
        return _ended(command, self.root, environment, 600)

    def examine_all(self, candidates: Iterable[Mutant], jobs: int, each: int | None = None) -> Iterator[Outcome]:
        """Judges mutants by the GoogleTests, `jobs` at a time.

        Args:
            candidates: the mutants, in the order in which they are drawn
            jobs: how many at a time
            each: of each source, so many mutants that compile; default: all
        Raises:
            BaselineError: tests fail without a mutant
        """
        waiting = list(candidates)
        for kernel in sorted({kernel for mutant in waiting for kernel in self.users(mutant.source)}):
            self.check_original(kernel)
        built: Counter[str] = Counter()
        with ThreadPoolExecutor(jobs) as pool:
            while waiting:
                taken: Counter[str] = Counter(built)
                drawn: list[Mutant] = []
                rest: list[Mutant] = []
                for mutant in waiting:
                    taken[mutant.source] += 1
                    (drawn if each is None or taken[mutant.source] <= each else rest).append(mutant)
                for outcome in pool.map(self.examine, drawn):
                    built[outcome.mutant.source] += outcome.kind != "no build"
                    yield outcome
                waiting = rest if drawn else []


@functools.cache
def _find_package(name: str) -> str:
    """The directory of an installed package, which is not imported for it."""
    from importlib.util import find_spec

    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BaselineError(f"the package {name} is not installed: its tests cannot run")
    return str(spec.submodule_search_locations[0])


def _ended(command: list[str], cwd: Path, environment: dict[str, str], seconds: float) -> tuple[int, str]:
    """Exit status and output of a process that has so many seconds of the clock."""
    try:
        result = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return -signal.SIGXCPU, ""
    return result.returncode, result.stdout


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    git = shutil.which("git")
    if git is None:
        raise RuntimeError("git is not on the PATH")
    return subprocess.run([git, "-C", str(root), *words], capture_output=True, text=True, check=False)


def changed_lines(root: Path, base: str) -> dict[str, list[tuple[int, int]]]:
    """Kernel sources that differ from `base` in the working tree, with the ranges [first, last] of their new lines.

    Raises:
        RuntimeError: git cannot tell
    """
    result = _git(root, "diff", "--unified=0", "--no-color", "--no-ext-diff", base, "--", str(KERNELS))
    if result.returncode != 0:
        raise RuntimeError(f"git cannot compare with {base}: {result.stderr.strip()}")
    found: dict[str, list[tuple[int, int]]] = {}
    source = ""
    for line in result.stdout.splitlines():
        if line.startswith("+++ "):
            source = line[4:].removeprefix("b/")
        elif match := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(match[1]), int(match[2] or 1)
            found.setdefault(source, []).append((first, first + count - 1))
    return found


def merge_base(root: Path) -> str:
    """The commit that the present branch left main at. On main itself: the commit before.

    Raises:
        RuntimeError: there is none
    """

    def ask(*words: str) -> str:
        result = _git(root, *words)
        return result.stdout.strip() if result.returncode == 0 else ""

    head = ask("rev-parse", "HEAD")
    for main in ("origin/main", "main"):
        if (base := ask("merge-base", "HEAD", main)) and base != head:
            return base
    if base := ask("rev-parse", "--verify", "HEAD~1"):
        return base
    raise RuntimeError("no commit to compare with: name one, --changed=COMMIT")

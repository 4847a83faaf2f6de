"""pytest's part of SoftNPU: fixtures that build and launch kernels.

    def test_add(softnpu_build, softnpu_launch):
        add = softnpu_build("add.cpp")["add"]
        softnpu_launch(add, x, y, softnpu.Output(z), blocks=8)

`softnpu_launch` runs a kernel in several orders of its cores; results have to be the same bits. The report of a test that fails has the
command that repeats the order which showed the fault. pytest finds this file by the wheel's entry point.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from softnpu.kernels import Kernel, Report, Twin

_FAULT = pytest.StashKey[tuple[str, str]]()  # the sentence, and the option that repeats it


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("softnpu", "AscendC kernels on SoftNPU")
    group.addoption("--softnpu-seeds", type=int, default=4, metavar="N", help="orders of the cores that a launch is run in; default 4")
    group.addoption("--softnpu-seed", type=int, metavar="N", help="only this order, which a report names")
    group.addoption("--softnpu-profile", default="ascend910b3", metavar="NAME", help="the chip; default ascend910b3")


@pytest.fixture(scope="session")
def softnpu_build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Twin]:
    """A function as softnpu.build that returns the loaded twin. Paths of sources are relative to the test file's folder, or to pytest's
    root; a source is built once for the same options."""
    import softnpu

    built: dict[Any, Twin] = {}
    profile = request.config.getoption("--softnpu-profile")

    def build(*sources: str | Path, **options: Any) -> Twin:
        paths = tuple(_source(request.config, Path(source)) for source in sources)
        key = (paths, tuple(sorted((name, str(value)) for name, value in options.items())))
        if key not in built:
            output = tmp_path_factory.mktemp("softnpu") / f"{paths[0].stem}.twin.so"
            built[key] = softnpu.load(softnpu.build(*paths, **({"output": output, "profile": profile} | options)))
        return built[key]

    return build


_FOLDERS: list[Path] = []  # of the test that runs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _FOLDERS.append(item.path.parent)
    try:
        return (yield)
    finally:
        _FOLDERS.pop()


def _source(config: pytest.Config, path: Path) -> Path:
    folders = [*_FOLDERS[-1:], config.rootpath]
    return next((found for folder in folders if (found := folder / path).is_file()), path)


@pytest.fixture
def softnpu_launch(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """A function as softnpu.launch. `schedules` and `seed` are those of --softnpu-seeds and --softnpu-seed unless a call says its own."""
    import softnpu

    options = request.config.option
    orders = {"schedules": options.softnpu_seeds} if options.softnpu_seed is None else {"seed": options.softnpu_seed}
    if options.softnpu_seeds < 1:
        raise pytest.UsageError(f"--softnpu-seeds is {options.softnpu_seeds}, at least 1 is needed")

    def launch(kernel: Kernel, *arguments: Any, **given: Any) -> Report:
        own = {"seed", "schedules"} & set(given)
        try:
            return softnpu.launch(kernel, *arguments, **({"profile": options.softnpu_profile} | ({} if own else orders) | given))
        except softnpu.KernelError as error:
            request.node.stash[_FAULT] = (str(error), f"--softnpu-seed={error.seed}")
            raise
        except softnpu.OrderError as error:
            # Its results are compared with those of the first order.
            request.node.stash[_FAULT] = (str(error), f"--softnpu-seeds={error.seed + 1}")
            raise

    return launch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and _FAULT in item.stash:
        fault, again = item.stash[_FAULT]
        report.sections.append(("softnpu", f"{fault}\nto repeat it: python -m pytest {shlex.quote(item.nodeid)} {again}"))
    return report

"""The command ``softnpu``."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softnpu import launcher, profiles, program, project, twin


def _size(text: str) -> int:
    try:
        return launcher.parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# As softnpu.kernels.CHECKS, which needs numpy; and what SetGlobalBuffer says, which is a limit under `softnpu run` only.
_CHECKS = ("races", "init", "queues", "bounds", "alignment", "sizes")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    defaults = launcher.Settings()
    parser.add_argument(
        "--profile",
        default=defaults.profile,
        metavar="NAME",
        help=f"the chip: {', '.join(profiles.names())}, or a .toml file",
    )
    parser.add_argument(
        "--devices",
        type=int,
        default=defaults.devices,
        metavar="N",
        help=f"number of devices, 1 to {launcher.MOST_DEVICES}",
    )
    parser.add_argument(
        "--memory",
        type=_size,
        metavar="SIZE",
        help="memory of a device (2GiB, 512MiB ...); default: the chip's, at most a quarter of the host's",
    )
    parser.add_argument(
        "--checks",
        choices=("strict", "off"),
        default=defaults.checks,
        help="hazard checks in kernels",
    )
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="NAME=on|off",
        choices=[f"{name}={state}" for name in _CHECKS for state in ("on", "off")],
        help=f"one of the checks in kernels: {', '.join(_CHECKS)}; may be repeated",
    )
    parser.add_argument(
        "--unwritten",
        choices=("stop", "ignore"),
        default=defaults.unwritten,
        help="strict checks: whether reads of device memory that nobody has written stop",
    )
    parser.add_argument(
        "--streams",
        choices=("async", "eager"),
        default=defaults.streams,
        help="a thread for each stream, or every task at once",
    )
    parser.add_argument(
        "--delay-us",
        type=int,
        default=defaults.delay_us,
        metavar="N",
        help="async: a random delay of up to N microseconds before every task shows missing waits",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, metavar="N", help="of the delays")
    parser.add_argument("--host-visible", action="store_true", help="let host code read and write device memory")


def _settings(arguments: argparse.Namespace) -> launcher.Settings:
    return launcher.Settings(
        profile=arguments.profile,
        devices=arguments.devices,
        memory=arguments.memory,
        checks=arguments.checks,
        unchecked=tuple(sorted({check.removesuffix("=off") for check in arguments.check if check.endswith("=off")})),
        unwritten=arguments.unwritten,
        streams=arguments.streams,
        delay_us=arguments.delay_us,
        seed=arguments.seed,
        host_visible=arguments.host_visible,
        trace_tasks=getattr(arguments, "trace_tasks", launcher.Settings().trace_tasks),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="softnpu",
        description="A CANN made of software: runs programs for Ascend NPUs without an NPU.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="run a command on SoftNPU",
        usage="softnpu run [options] -- COMMAND [ARGUMENT ...]",
    )
    _add_settings(run)
    run.add_argument("--trace", type=Path, metavar="FILE", help="write a Perfetto trace of all its processes")
    run.add_argument(
        "--trace-tasks",
        type=int,
        default=launcher.Settings().trace_tasks,
        metavar="N",
        help="a trace keeps the latest N tasks of each process",
    )
    env = commands.add_parser(
        "env",
        help="print the environment of a run as shell commands",
        description='eval "$(softnpu env)"',
    )
    _add_settings(env)
    build = commands.add_parser("build", help="compile AscendC kernels with the host compiler, for softnpu.launch in Python")
    build.add_argument("source", type=Path, nargs="+", help="file with kernels; or one folder: all kernels in it, each source a twin")
    build.add_argument(
        "-o",
        "--output",
        type=Path,
        help="the twin; default: <stem>.twin.so beside the first source. Of a folder: where twins go; default: softnpu-build in it",
    )
    build.add_argument("--json", action="store_true", help="of a folder: print JSON instead of a table")
    build.add_argument(
        "--program",
        action="store_true",
        help="make a program of sources with kernels and host code, of which one has main; it runs under softnpu run",
    )
    build.add_argument(
        "--launch-headers", type=Path, metavar="DIR", help="write aclrtlaunch_KERNEL.h there, for programs that link the twin"
    )
    build.add_argument(
        "--auto-sync",
        nargs="?",
        choices=("on", "off"),
        const="on",
        help="on: the device compiler orders dependent instructions of V and V, V and S, MTE2 and S, MTE3 and S (--cce-auto-sync), as "
        "CANN's CMake functions ask it to; off: as bisheng alone. Default: what the project's CMake files say; without them off for files, "
        "on for a folder",
    )
    build.add_argument("--option", action="append", default=[], metavar="OPTION", help="for the compiler, as --option=-DNAME")
    build.add_argument("--profile", default="ascend910b3", metavar="NAME", help="the chip whose macros are set")
    build.add_argument("--tiling", type=Path, metavar="HEADER", help="host header with tiling structs, which the kernels get")
    check = commands.add_parser("check", help="build, launch and judge all kernels of a folder; status 1 when one is at fault or not built")
    check.add_argument("folder", type=Path, help="a project with op_kernel and op_host, several of them, or a plain folder")
    check.add_argument("-o", "--output", type=Path, help="where twins go; default: a temporary folder")
    check.add_argument("--blocks", type=int, default=8, metavar="N", help="of a launch that softnpu.toml says nothing of")
    check.add_argument("--schedules", type=int, default=1, metavar="N", help="run each launch in N orders of its cores")
    check.add_argument("--timeout", type=int, default=120, metavar="SECONDS", help="of a launch")
    check.add_argument("--profile", default="ascend910b3", metavar="NAME", help="the chip")
    check.add_argument("--auto-sync", choices=("on", "off"), help="default: what the project's CMake files say, without them on")
    check.add_argument("--option", action="append", default=[], metavar="OPTION", help="for the compiler, as --option=-DNAME")
    check.add_argument("--types", type=int, default=0, metavar="N", help="the column of the lists of types in the definitions of operators")
    check.add_argument("--jobs", type=int, default=0, metavar="N", help="sources at a time; default: as many as there are CPUs")
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")
    check.add_argument("--lines", action="store_true", help="print file:line:column: severity: message, as compilers do")
    check.add_argument("--report", type=Path, metavar="DIR", help="write a page of HTML about each launch there: where its time goes")
    check.add_argument("--sarif", type=Path, metavar="FILE", help="also write SARIF 2.1.0")
    flags = commands.add_parser("cflags", help="print the compiler's options for kernels: one folder of headers, the chip's macros")
    flags.add_argument("--profile", default="ascend910b3", metavar="NAME", help="the chip")
    commands.add_parser("ldflags", help="print the linker's options for host programs that speak ACL")
    commands.add_parser("info", help="print versions and profiles")
    commands.add_parser("doctor", help="say what is installed, what does not fit, and the cure")
    return parser


def run_environment(options: list[str]) -> dict[str, str]:
    """The environment of `softnpu run OPTIONS`, beyond what this process has.

    Raises:
        ValueError: an option is out of its range
    """
    parser = argparse.ArgumentParser()
    _add_settings(parser)
    return launcher.environment(_settings(parser.parse_args(options)), os.environ)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _build_folder(arguments: argparse.Namespace) -> int:
    """`softnpu build DIR`: status 1 when a source could not be built."""
    if len(arguments.source) > 1 or arguments.program or arguments.tiling or arguments.launch_headers:
        raise ValueError("a folder is built alone, without --program, --tiling and --launch-headers")
    folder = arguments.source[0]
    sources, others = project.find(folder)
    if not sources:
        raise ValueError(f"{folder} has no source that defines a kernel")
    built = project.build(
        sources,
        folder,
        arguments.output or folder / project.OUTPUT,
        tuple(arguments.option),
        None if arguments.auto_sync is None else arguments.auto_sync == "on",
        arguments.profile,
        told=lambda one: _progress(f"{one.source.path}: {one.outcome}"),
    )
    print((project.as_json if arguments.json else project.as_table)(built, others), end="")
    return int(any(one.outcome == "not built" for one in built))


def _build_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What both kinds of builds are told."""
    return {
        "output": arguments.output,
        "options": tuple(arguments.option),
        "auto_sync": None if arguments.auto_sync is None else arguments.auto_sync == "on",
        "profile": arguments.profile,
    }


def _check(arguments: argparse.Namespace) -> int:
    """`softnpu check DIR`: status 1 when a kernel is at fault or a source could not be built."""
    from softnpu import check

    if arguments.schedules < 1 or arguments.blocks < 1 or arguments.timeout < 1:
        raise ValueError("--schedules, --blocks and --timeout are at least 1")
    if arguments.report:
        arguments.report.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="softnpu-check-") as temporary:
        settings = check.Settings(
            output=arguments.output or Path(temporary),
            blocks=arguments.blocks,
            schedules=arguments.schedules,
            timeout_s=arguments.timeout,
            profile=arguments.profile,
            auto_sync=None if arguments.auto_sync is None else arguments.auto_sync == "on",
            options=tuple(arguments.option),
            jobs=arguments.jobs,
            column=arguments.types,
            report=arguments.report,
        )
        verdicts = check.check(arguments.folder, settings, _progress)
    if not verdicts:
        raise ValueError(f"{arguments.folder} has no source that defines a kernel")
    if arguments.sarif:
        arguments.sarif.write_text(check.as_sarif(verdicts, _version("softnpu")))
    print((check.as_json if arguments.json else check.as_lines if arguments.lines else check.as_table)(verdicts), end="")
    return int(any(verdict.verdict in ("fault", "not built") for verdict in verdicts))


def _print_info() -> None:
    print(f"softnpu {_version('softnpu')}, reports CANN 9.0.0")
    print(f"libraries: {launcher.LIBRARIES}")
    for package in ("vllm_cann", "vllm", "torch_npu", "torch"):
        print(f"{package}: {_version(package)}")
    for name in profiles.names():
        profile = profiles.load(profiles.find(name))
        print(
            f"profile {name}: {profile.soc_name}, {profile.cube_cores} cube and {profile.vector_cores} vector cores, "
            f"{profile.ub_bytes >> 10} KiB UB, {profile.hbm_bytes >> 30} GiB memory; {_links(profile.time or {})}"
        )


def _links(time: Mapping[str, float]) -> str:
    """What a profile says about links between devices."""
    if "link.devices" not in time:
        return "the time of collectives is not modelled, as no rate of links is published"
    return f"links between {time['link.devices']:.0f} devices of {time['link.gigabytes_per_second']:g} GB/s each way"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status (2 for a bad call)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    command: list[str] = []
    if argv[:1] == ["run"] and "--" in argv:
        cut = argv.index("--")
        argv, command = argv[:cut], argv[cut + 1 :]
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "info":
            _print_info()
            return 0
        if arguments.command == "doctor":
            from softnpu import doctor

            return doctor.main()
        if arguments.command == "cflags":
            print(shlex.join(twin.cflags(arguments.profile)))
            return 0
        if arguments.command == "ldflags":
            print(shlex.join(program.ldflags()))
            return 0
        if arguments.command == "build" and arguments.program:
            if arguments.tiling or arguments.launch_headers:
                raise ValueError("--tiling and --launch-headers are for twins; a program includes its headers")
            print(program.build_program(*arguments.source, **_build_options(arguments)))
            return 0
        if arguments.command == "check":
            return _check(arguments)
        if arguments.command == "build" and any(source.is_dir() for source in arguments.source):
            return _build_folder(arguments)
        if arguments.command == "build":
            more = {"tiling": arguments.tiling, "launch_headers": arguments.launch_headers}
            print(twin.build(*arguments.source, **_build_options(arguments), **more))
            return 0
        if arguments.command == "env":
            for name, value in launcher.environment(_settings(arguments), os.environ).items():
                print(f"export {name}={shlex.quote(value)}")
            return 0
        if not command:
            raise ValueError("no command to run; write it after --, for example: softnpu run -- python script.py")
        return launcher.run(command, _settings(arguments), arguments.trace)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"softnpu: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

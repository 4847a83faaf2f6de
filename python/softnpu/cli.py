"""The command ``softnpu``."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
import sys
from pathlib import Path

from softnpu import launcher, profiles, twin


def _size(text: str) -> int:
    try:
        return launcher.parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
        help="number of devices, 1 to 8",
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
    build.add_argument("source", type=Path, nargs="+", help="file with kernels")
    build.add_argument("-o", "--output", type=Path, help="the twin; default: <stem>.twin.so beside the first source")
    build.add_argument("--auto-sync", action="store_true", help="the device compiler orders dependent vector instructions")
    build.add_argument("--option", action="append", default=[], metavar="OPTION", help="for the compiler, as --option=-DNAME")
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


def _print_info() -> None:
    print(f"softnpu {_version('softnpu')}, reports CANN 9.0.0")
    print(f"libraries: {launcher.LIBRARIES}")
    for package in ("vllm_cann", "vllm", "torch_npu", "torch"):
        print(f"{package}: {_version(package)}")
    for name in profiles.names():
        profile = profiles.load(profiles.find(name))
        print(
            f"profile {name}: {profile.soc_name}, {profile.cube_cores} cube and {profile.vector_cores} vector cores, "
            f"{profile.ub_bytes >> 10} KiB UB, {profile.hbm_bytes >> 30} GiB memory"
        )


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
        if arguments.command == "build":
            print(
                twin.build(
                    *arguments.source,
                    output=arguments.output,
                    options=tuple(arguments.option),
                    auto_sync=arguments.auto_sync,
                )
            )
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

"""What is installed and what does not fit, read from metadata and files: nothing of it is imported.

`import torch` loads torch_npu, and that ends the process or fails where the two do not fit, so whoever asks must not import them.
Both wheels hold this file (softnpu/installation.py is a link to it), because neither package needs the other.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Callable
from pathlib import Path

# The versions that the tests ran with. A wrong one of these shows as a missing symbol at best and as wrong output at worst.
TESTED = {"vllm": "0.33.0", "torch": "2.13.0", "torch_npu": "2.13.0"}
# What vLLM's own metadata asks for: from the first one on, below the second one. Tests ran with the third one.
TRANSFORMERS = ("5.16.1", "5.21.0", "5.17.0")
# The oldest and the newest Python that there is a module for.
PYTHON = ((3, 11), (3, 13))
# Packages that torch_npu imports and does not ask for.
UNDECLARED = ("decorator", "attrs", "psutil", "scipy", "cloudpickle")

CPU_TORCH = f"run `pip install torch=={TESTED['torch']}+cpu` with PyTorch's CPU index as --extra-index-url (see pytorch.org)"
_VLLM = f"VLLM_TARGET_DEVICE=empty VLLM_VERSION_OVERRIDE={TESTED['vllm']} pip install"
_CURES = {
    "vllm": f"run `{_VLLM} --no-binary vllm vllm=={TESTED['vllm']}`",
    "torch": CPU_TORCH,
    "torch_npu": f"run `pip install torch_npu=={TESTED['torch_npu']}`",
}


def version(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_build() -> str:
    """What the installed torch was built for: "CPU", "CUDA", or the local part of its version ("rocm6.4")."""
    distribution = importlib.metadata.distribution("torch")
    local = distribution.version.partition("+")[2]
    libraries = Path(str(distribution.locate_file("torch/lib")))
    if libraries.is_dir():
        cuda = (libraries / "libtorch_cuda.so").is_file()
    else:
        cuda = local.startswith("cu") or (not local and any(line.startswith("nvidia-") for line in distribution.requires or []))
    return "CUDA" if cuda else "CPU" if local in ("", "cpu") else local


def vllm_build() -> str:
    """What the installed vLLM was built for: "no device" (its target "empty"), "a device", or the local part of its version ("cpu")."""
    distribution = importlib.metadata.distribution("vllm")
    local = distribution.version.partition("+")[2]
    package = Path(str(distribution.locate_file("vllm")))
    if package.is_dir():
        # Only builds for a device have compiled modules, apart from those of the Rust front end.
        compiled = any(not file.name.startswith("_rust_") for file in package.glob("*.so"))
    else:
        compiled = any(re.match(r"torch\b", line) for line in distribution.requires or [])
    return local if local not in ("", "empty") else "a device" if compiled else "no device"


def python_problem(found: tuple[int, int]) -> str | None:
    """A sentence with its cure if there is no module for this version of Python."""
    oldest, newest = (".".join(map(str, limit)) for limit in PYTHON)
    if PYTHON[0] <= found <= PYTHON[1]:
        return None
    return (
        f"this is Python {found[0]}.{found[1]}, and the packages are for {oldest} to {newest}; "
        f"make a new environment, for example with `python{oldest} -m venv`."
    )


def _version_problem(package: str) -> str | None:
    found = version(package)
    if found is None:
        return f"{package} is not installed; {_CURES[package]}."
    if found.partition("+")[0] != TESTED[package]:
        return f"{package} {found} is installed and {TESTED[package]} is the version that was tested; {_CURES[package]}."
    return None


def torch_problem() -> str | None:
    """A sentence with its cure if torch is missing, another version, or a build that torch_npu cannot be imported with."""
    if version("torch") is not None and (build := torch_build()) != "CPU":
        return (
            f"torch {version('torch')} is a build for {build}, and `import torch` ends the process where torch_npu is installed with it; "
            f"{CPU_TORCH}."
        )
    return _version_problem("torch")


def torch_npu_problem() -> str | None:
    """A sentence with its cure if torch_npu is missing or another version, or a package that it imports is missing."""
    if problem := _version_problem("torch_npu"):
        return problem
    missing = [package for package in UNDECLARED if version(package) is None]
    if not missing:
        return None
    return f"torch_npu imports {', '.join(missing)} without declaring it, and that is not installed; run `pip install {' '.join(missing)}`."


def vllm_problem() -> str | None:
    """A sentence with its cure if vLLM is missing, another version, or built for a device."""
    if problem := _version_problem("vllm"):
        return problem
    if (build := vllm_build()) != "no device":
        return (
            f"vllm {version('vllm')} was built for {build}, and a plugin needs a build for the target `empty`; "
            f"run `{_VLLM} --force-reinstall --no-deps --no-binary vllm vllm=={TESTED['vllm']}`."
        )
    return None


def transformers_problem() -> str | None:
    """A sentence with its cure if transformers is missing or out of vLLM's range."""
    first, end, tested = TRANSFORMERS
    found = version("transformers")
    cure = f"run `pip install transformers=={tested}`."
    if found is None:
        return f"transformers is not installed; {cure}"
    if not _numbers(first) <= _numbers(found) < _numbers(end):
        return f"transformers {found} is installed, and vLLM {TESTED['vllm']} takes {first} and later, below {end}; {cure}"
    return None


def _numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


TORCH: tuple[Callable[[], str | None], ...] = (
    lambda: python_problem(sys.version_info[:2]),
    torch_problem,
    torch_npu_problem,
)
SERVING = (*TORCH, vllm_problem, transformers_problem)


def problems(checks: tuple[Callable[[], str | None], ...]) -> list[str]:
    """The sentences of the checks that found something."""
    return [sentence for check in checks if (sentence := check()) is not None]


def facts(*packages: str) -> list[str]:
    """A line for Python and for each package: its version, and what the reader should know of it."""
    lines = [f"Python {'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})"]
    for package in packages:
        found = version(package)
        note = _note(package) if found else ""
        lines.append(f"{package} {found}{note}" if found else f"{package}: not installed")
    return lines


def _note(package: str) -> str:
    if package == "torch":
        return f", built for {torch_build()}"
    if package == "vllm":
        return f", built for {vllm_build()}"
    if package == "triton":
        return ": vLLM prefers its V2 runner where Triton has a driver; vllm_cann chooses V1"
    if package == "transformers":
        return ": its models import torch_npu, so they need CANN or `softnpu run` even on the CPU"
    return ""

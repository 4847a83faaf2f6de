"""`softnpu doctor` and `python -m vllm_cann.collect_env` in environments with one thing wrong, made of metadata and files.

What is run is what users run. An environment is a directory with the packages' metadata and our own packages as installed; nothing else
is on the path of the interpreter.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from softnpu import launcher
from vllm_cann import installation

GOOD = {
    "vllm": "0.33.0",
    "torch": "2.13.0+cpu",
    "torch_npu": "2.13.0",
    "transformers": "5.17.0",
    **dict.fromkeys(installation.UNDECLARED, "1.0"),
}
RUN = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
CPU_TORCH = "run `pip install torch==2.13.0+cpu` with PyTorch's CPU index as --extra-index-url (see pytorch.org)."


def ours(site: Path, *packages: str) -> None:
    """Puts our packages and their metadata there."""
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        shutil.copytree(spec.submodule_search_locations[0], site / package)
        metadata(site, package, importlib.metadata.version(package))


def metadata(site: Path, package: str, version: str, requires: tuple[str, ...] = ()) -> None:
    info = site / f"{package}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def stack(
    site: Path, other: dict[str, str] | None = None, *, without: str = "", requires: dict[str, tuple[str, ...]] | None = None
) -> None:
    """Metadata of everything that fits, but for `other` versions, the package `without` which it is, and what packages require."""
    for package, version in {**GOOD, **(other or {})}.items():
        if package != without:
            metadata(site, package, version, (requires or {}).get(package, ()))


def run(site: Path, module: str, *arguments: str, cann: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a module with nothing but `site` and the standard library on the path; `cann`: below `softnpu run`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_LIBRARY", "ASCEND"))}
    variables = launcher.environment(launcher.Settings(), clean) if cann else {}
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN, str(site), module, *arguments],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def complaints(site: Path, *, cann: bool = True) -> list[str]:
    """What collect_env says does not fit. The status agrees with it, and the plugin gives vLLM the first of its sentences."""
    result = run(site, "vllm_cann.collect_env", cann=cann)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    found = [line.removeprefix("does not fit: ") for line in lines if line.startswith("does not fit: ")]
    assert result.returncode == (1 if found else 0)
    assert (lines[-1] == "all of it fits") == (not found)
    if found:
        (site / "plugin_says.py").write_text("from vllm_cann import environment\nprint(environment.problem())\n")
        says = run(site, "plugin_says", cann=cann)
        assert says.stdout == f"vllm_cann cannot be used: {found[0]}\n", says.stderr
    return found


@pytest.fixture
def site(tmp_path: Path) -> Path:
    ours(tmp_path, "vllm_cann", "softnpu")
    return tmp_path


def test_what_fits_is_listed(site: Path) -> None:
    stack(site, {"triton": "3.7.1"})
    assert complaints(site) == []
    lines = run(site, "vllm_cann.collect_env").stdout.splitlines()
    assert lines[0].startswith("Python 3.")
    for line in ("vllm 0.33.0, built for no device", "torch 2.13.0+cpu, built for CPU", "torch_npu 2.13.0"):
        assert line in lines
    assert "transformers 5.17.0: its models import torch_npu, so they need CANN or `softnpu run` even on the CPU" in lines
    assert "triton 3.7.1: vLLM prefers its V2 runner where Triton has a driver; vllm_cann chooses V1" in lines
    assert f"CANN 9.0.0 ({(launcher.LIBRARIES / 'libascendcl.so').resolve()})" in lines


def test_no_cann(site: Path) -> None:
    stack(site)
    [sentence] = complaints(site, cann=False)
    assert sentence.startswith("CANN's libascendcl.so cannot be loaded (")
    assert "source CANN's set_env.sh, or start the command with `softnpu run -- ...`" in sentence


CUDA = "is a build for CUDA, and `import torch` ends the process where torch_npu is installed with it; " + CPU_TORCH


def test_torch_for_cuda_by_its_version(site: Path) -> None:
    stack(site, {"torch": "2.13.0+cu130"})
    assert complaints(site) == [f"torch 2.13.0+cu130 {CUDA}"]


def test_torch_for_cuda_by_its_requirements(site: Path) -> None:
    stack(site, {"torch": "2.13.0"}, requires={"torch": ("filelock", 'nvidia-cublas==13.1.1.3; platform_system == "Linux"')})
    assert complaints(site) == [f"torch 2.13.0 {CUDA}"]


def test_torch_for_cuda_by_its_files(site: Path) -> None:
    stack(site, {"torch": "2.13.0"})
    libraries = site / "torch/lib"
    libraries.mkdir(parents=True)
    (libraries / "libtorch_cpu.so").touch()
    assert complaints(site) == []  # as on aarch64, where the plain build is for the CPU
    (libraries / "libtorch_cuda.so").touch()
    assert complaints(site) == [f"torch 2.13.0 {CUDA}"]


def test_torch_for_another_device(site: Path) -> None:
    stack(site, {"torch": "2.13.0+rocm6.4"})
    [sentence] = complaints(site)
    assert "torch 2.13.0+rocm6.4 is a build for rocm6.4" in sentence
    assert CPU_TORCH in sentence


RANGE = "5.16.1 and later, below 5.21.0; run `pip install transformers==5.17.0`."
VLLM = "VLLM_TARGET_DEVICE=empty VLLM_VERSION_OVERRIDE=0.33.0 pip install"


@pytest.mark.parametrize(
    ("package", "version", "sentence"),
    [
        ("torch", "2.14.0+cpu", f"torch 2.14.0+cpu is installed and 2.13.0 is the version that was tested; {CPU_TORCH}"),
        (
            "torch_npu",
            "2.14.0",
            "torch_npu 2.14.0 is installed and 2.13.0 is the version that was tested; run `pip install torch_npu==2.13.0`.",
        ),
        (
            "vllm",
            "0.32.0",
            f"vllm 0.32.0 is installed and 0.33.0 is the version that was tested; run `{VLLM} --no-binary vllm vllm==0.33.0`.",
        ),
        (
            "transformers",
            "5.21.0",
            f"transformers 5.21.0 is installed, and vLLM 0.33.0 takes {RANGE}",
        ),
        (
            "transformers",
            "5.16.0",
            f"transformers 5.16.0 is installed, and vLLM 0.33.0 takes {RANGE}",
        ),
    ],
)
def test_a_wrong_version(package: str, version: str, sentence: str, site: Path) -> None:
    stack(site, {package: version})
    assert complaints(site) == [sentence]


@pytest.mark.parametrize(
    ("package", "cure"),
    [
        ("torch", CPU_TORCH),
        ("torch_npu", "run `pip install torch_npu==2.13.0`."),
        ("vllm", f"run `{VLLM} --no-binary vllm vllm==0.33.0`."),
        ("transformers", "run `pip install transformers==5.17.0`."),
    ],
)
def test_a_missing_package(package: str, cure: str, site: Path) -> None:
    stack(site, without=package)
    assert complaints(site) == [f"{package} is not installed; {cure}"]


@pytest.mark.parametrize("package", installation.UNDECLARED)
def test_a_package_that_torch_npu_does_not_declare(package: str, site: Path) -> None:
    stack(site, without=package)
    assert complaints(site) == [
        f"torch_npu imports {package} without declaring it, and that is not installed; run `pip install {package}`."
    ]


REBUILD = f"run `{VLLM} --force-reinstall --no-deps --no-binary vllm vllm==0.33.0`."


def test_vllm_for_a_device_by_its_files(site: Path) -> None:
    stack(site)
    (site / "vllm").mkdir()
    (site / "vllm/_rust_parser.abi3.so").touch()
    assert complaints(site) == []
    (site / "vllm/_C.abi3.so").touch()
    assert complaints(site) == [f"vllm 0.33.0 was built for a device, and a plugin needs a build for the target `empty`; {REBUILD}"]


def test_vllm_for_a_device_by_its_requirements(site: Path) -> None:
    stack(site, requires={"vllm": ("torch==2.14.0", "numpy")})
    assert complaints(site) == [f"vllm 0.33.0 was built for a device, and a plugin needs a build for the target `empty`; {REBUILD}"]


def test_vllm_for_no_device_by_its_version(site: Path) -> None:
    stack(site, {"vllm": "0.33.0+empty"})
    assert complaints(site) == []


def test_vllm_for_the_cpu(site: Path) -> None:
    stack(site, {"vllm": "0.33.0+cpu"})
    assert complaints(site) == [f"vllm 0.33.0+cpu was built for cpu, and a plugin needs a build for the target `empty`; {REBUILD}"]


def test_a_wheel_without_its_extension(site: Path) -> None:
    stack(site)
    for module in (site / "vllm_cann").glob("_ops*.so"):
        module.unlink()
    assert complaints(site) == ["vllm_cann's extension module is missing for this Python; reinstall the vllm_cann wheel."]


def test_versions_of_python() -> None:
    assert [installation.python_problem(version) for version in [(3, 11), (3, 12), (3, 13)]] == [None] * 3
    for version in [(3, 10), (3, 14)]:
        sentence = installation.python_problem(version)
        assert sentence is not None
        assert sentence.startswith(f"this is Python 3.{version[1]}, and the packages are for 3.11 to 3.13; make a new environment")


def test_all_that_does_not_fit_is_said_at_once(site: Path) -> None:
    stack(site, {"torch": "2.13.0+cu130", "vllm": "0.32.0"}, without="scipy")
    assert [sentence.split()[0] for sentence in complaints(site, cann=False)] == ["torch", "torch_npu", "vllm", "CANN's"]


def test_the_numbers_are_those_of_the_lock_and_of_vllm() -> None:
    for package, version in installation.TESTED.items():
        assert importlib.metadata.version(package).partition("+")[0] == version
    first, end, tested = installation.TRANSFORMERS
    assert importlib.metadata.version("transformers") == tested
    [wanted] = [line for line in importlib.metadata.requires("vllm") or [] if line.startswith("transformers")]
    assert sorted(re.findall(r"[<>=]+[\d.]+", wanted)) == [f"<{end}", f">={first}"]
    readme = Path("README.md").read_text()
    assert f"| vLLM | {installation.TESTED['vllm']} |" in readme
    assert f"| torch (CPU build), torch_npu | {installation.TESTED['torch']} |" in readme
    assert f"| transformers | {tested} |" in readme


def test_the_real_builds_are_recognised() -> None:
    assert installation.torch_build() == "CPU"
    assert installation.vllm_build() == "no device"


# softnpu doctor


def doctor(site: Path) -> subprocess.CompletedProcess[str]:
    return run(site, "softnpu", "doctor", cann=False)


def test_doctor_with_the_plugin_asks_it_below_softnpu_run() -> None:
    result = subprocess.run([sys.executable, "-m", "softnpu", "doctor"], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout
    assert "\nvllm 0.33.0, built for no device\n" in result.stdout
    assert "\nCANN 9.0.0 (" in result.stdout
    assert result.stdout.endswith("all of it fits\n")


def test_doctor_passes_on_what_the_plugin_says(tmp_path: Path) -> None:
    metadata(tmp_path, "torch", "2.13.0+cu130")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    result = subprocess.run(
        [sys.executable, "-m", "softnpu", "doctor"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert f"does not fit: torch 2.13.0+cu130 {CUDA}\n" in result.stdout


def test_doctor_without_the_plugin(tmp_path: Path) -> None:
    ours(tmp_path, "softnpu")
    result = doctor(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")  # SoftNPU by itself runs kernels: torch is not needed
    assert result.stdout.endswith(
        "torch: not installed\ntorch_npu: not installed\nvllm: not installed\nvllm_cann: not installed\nall of it fits\n"
    )

    metadata(tmp_path, "torch_npu", "2.13.0")
    metadata(tmp_path, "torch", "2.13.0+cu130")
    metadata(tmp_path, "vllm", "0.33.0")
    result = doctor(tmp_path)
    assert result.returncode == 1
    assert [line for line in result.stdout.splitlines() if line.startswith("does not fit: ")] == [
        f"does not fit: torch 2.13.0+cu130 {CUDA}",
        "does not fit: torch_npu imports decorator, attrs, psutil, scipy, cloudpickle without declaring it, and that is not installed; "
        "run `pip install decorator attrs psutil scipy cloudpickle`.",
        "does not fit: vllm is installed and vllm_cann is not, so vLLM finds no NPU; install the vllm_cann wheel.",
    ]


@pytest.mark.parametrize("library", ["libascendcl.so", "libopapi.so"])
def test_doctor_with_a_library_missing(library: str, tmp_path: Path) -> None:
    ours(tmp_path, "softnpu", "vllm_cann")
    (tmp_path / "softnpu/cann/lib64" / library).unlink()
    result = doctor(tmp_path)
    assert result.returncode == 1
    assert (
        f"does not fit: SoftNPU's {library} is missing in {tmp_path / 'softnpu/cann/lib64'}; reinstall the softnpu wheel." in result.stdout
    )


def test_doctor_with_a_library_of_another_machine(tmp_path: Path) -> None:
    ours(tmp_path, "softnpu")
    library = tmp_path / "softnpu/cann/lib64/libascendcl.so"
    library.unlink()  # the copy is read-only
    library.write_bytes(b"\x7fELF of another kind")
    result = doctor(tmp_path)
    assert result.returncode == 1
    assert "does not fit: SoftNPU's libascendcl.so cannot be loaded (" in result.stdout
    assert "install the softnpu wheel that was built for this machine." in result.stdout

"""Starts that cannot succeed: one clear sentence each, and a status that is not 0."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import MODEL, changed_installation, installed, night_but_for
from vllm_cann_demo.server import free_port

from softnpu import profiles


def serve(*options: str, softnpu: list[str] | None, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs vllm serve until it gives up."""
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.cli.main",
        "serve",
        str(MODEL),
        "--host",
        "127.0.0.1",
        "--port",
        str(free_port()),
        "--max-model-len",
        "512",
        *options,
    ]
    if softnpu is not None:
        command = [sys.executable, "-m", "softnpu", "run", *softnpu, "--", *command]
    return subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


SMALL = ["--memory", "1GiB"]


REFUSED: dict[str, tuple[list[str], list[str], str]] = {
    "unknown-key": (
        ["--additional-config", '{"atention": "fused"}'],
        SMALL,
        "additional_config has the unknown key 'atention'; did you mean 'attention'?",
    ),
    "bad-value": (
        ["--additional-config", '{"attention": "flash"}'],
        SMALL,
        "additional_config['attention'] is 'flash'",
    ),
    "fused-float32": (
        ["--additional-config", '{"attention": "fused"}', "--dtype", "float32"],
        SMALL,
        "it takes float16 or bfloat16, not torch.float32",
    ),
    "block-size": (
        ["--block-size", "16"],
        SMALL,
        "vllm_cann does not have blocks of this size: --block-size is 16; use a multiple of 128, which is what the attention of "
        "Ascend NPUs takes.",
    ),
    "two-devices": (
        ["--tensor-parallel-size", "2", "--enable-batch-sharded-sampling"],
        ["--memory", "1GiB", "--devices", "2"],
        "vllm_cann does not have sampling in shards: --enable-batch-sharded-sampling is True; leave the option out.",
    ),
    "fewer-devices": (["--tensor-parallel-size", "2"], SMALL, "rank 1 needs the device npu:1; the number of devices is 1."),
    "no-memory": ([], ["--memory", "2MiB"], "NPU out of memory"),
    "310P": (
        [],
        ["--profile", "ascend310p3", *SMALL],
        "vllm_cann does not serve models on Ascend310P3",
    ),
}


# Of each place that refuses one: our options, a worker's device, its memory, and the chip.
EACH_CHANGE = ("unknown-key", "fewer-devices", "no-memory", "310P")


@pytest.fixture(scope="module")
def started(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """The starts that tests of this run look at, two at a time: each is the work of one core."""
    asked = [item for item in request.session.items if isinstance(item, pytest.Function) and item.originalname == "test_refused_start"]
    names = {item.callspec.params["name"] for item in asked}
    pool = ThreadPoolExecutor(2)
    chosen = {name: case for name, case in REFUSED.items() if name in names}
    yield {name: pool.submit(serve, *options, softnpu=softnpu) for name, (options, softnpu, _) in chosen.items()}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", night_but_for(EACH_CHANGE, REFUSED))
def test_refused_start(name: str, started: dict[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    result = started[name].result()
    assert result.returncode != 0
    assert REFUSED[name][2] in result.stdout + result.stderr


def test_the_v2_runner_is_refused_by_what_asks_for_it() -> None:
    result = serve(softnpu=SMALL, environment={"VLLM_USE_V2_MODEL_RUNNER": "1"})
    assert result.returncode != 0
    assert "VLLM_USE_V2_MODEL_RUNNER is '1'; unset it or set it to 0." in result.stdout + result.stderr


@pytest.mark.night
def test_a_dtype_that_the_chip_does_not_have(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    text = profiles.find("ascend910b3").read_text().replace("bfloat16 = true", "bfloat16 = false")
    mine.write_text(text.replace('"Ascend910B3"', '"Ascend910A"'))
    result = serve("--dtype", "bfloat16", softnpu=["--profile", str(mine), *SMALL])
    assert result.returncode != 0
    assert "has no bfloat16; use --dtype float16." in result.stdout + result.stderr


def test_without_cann_the_log_names_the_cure() -> None:
    result = serve(softnpu=None, environment={"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"})
    assert result.returncode != 0
    lines = [line for line in (result.stdout + result.stderr).splitlines() if "cannot be used" in line]
    assert len(lines) == 1
    line = lines[0]
    assert "libascendcl.so cannot be loaded" in line
    assert "softnpu run --" in line


@pytest.mark.parametrize(
    ("package", "version", "sentence"),
    [
        ("vllm", "0.99.0", "vllm 0.99.0 is installed and 0.33.0 is the version that was tested; run `VLLM_TARGET_DEVICE=empty "),
        (
            "torch",
            "2.13.0+cu130",
            "torch 2.13.0+cu130 is a build for CUDA, and `import torch` ends the process where torch_npu is installed",
        ),
    ],
)
def test_an_installation_that_does_not_fit_is_named(package: str, version: str, sentence: str, tmp_path: Path) -> None:
    info = tmp_path / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    result = serve(softnpu=SMALL, environment={"PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}"})
    assert result.returncode != 0
    assert f"vllm_cann cannot be used: {sentence}" in result.stdout + result.stderr


def test_a_wheel_without_kernels_for_the_chip_is_named(tmp_path: Path) -> None:
    kernels = dict.fromkeys(f"kernels/{file.name}" for file in (installed() / "kernels").iterdir())
    result = serve(softnpu=SMALL, environment=changed_installation(tmp_path, kernels))
    assert result.returncode != 0
    assert "this wheel has no device binaries for it" in result.stdout + result.stderr

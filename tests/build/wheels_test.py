"""What is in the two wheels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

WHEELS = {"vllm_cann": Path(os.environ["PLUGIN_WHEEL"]), "softnpu": Path(os.environ["SOFTNPU_WHEEL"])}


def libraries(name: str) -> dict[str, bytes]:
    """The shared libraries of a wheel."""
    with zipfile.ZipFile(WHEELS[name]) as archive:
        return {entry: archive.read(entry) for entry in archive.namelist() if entry.endswith(".so")}


@pytest.mark.parametrize("name", WHEELS)
def test_names_and_licence(name: str) -> None:
    assert re.fullmatch(rf"{name}-\d+\.\d+\.\d+-py3-none-manylinux_2_28_x86_64\.whl", WHEELS[name].name)
    with zipfile.ZipFile(WHEELS[name]) as archive:
        entries = archive.namelist()
        assert any(e.endswith("licenses/LICENSE") for e in entries)
        metadata = archive.read(next(e for e in entries if e.endswith("METADATA"))).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata


@pytest.mark.parametrize("library", ["nlohmann_json", "tomlplusplus"])
def test_softnpu_brings_the_licences_of_what_is_compiled_in(library: str) -> None:
    with zipfile.ZipFile(WHEELS["softnpu"]) as archive:
        [entry] = [e for e in archive.namelist() if e.endswith(f"licenses/LICENSE.{library}")]
        assert "The above copyright notice and this permission notice shall be included" in " ".join(archive.read(entry).decode().split())


@pytest.mark.parametrize("name", WHEELS)
def test_libraries_need_no_newer_glibc_than_the_tag_says(name: str) -> None:
    for entry, content in libraries(name).items():
        versions = {tuple(map(int, v.split(b"."))) for v in re.findall(rb"GLIBC_(\d+\.\d+(?:\.\d+)?)", content)}
        assert max(versions, default=(0,)) <= (2, 28), entry
        assert b"libstdc++" not in content, entry


def test_the_module_serves_every_python_from_3_11_on() -> None:
    modules = {Path(entry).name for entry in libraries("vllm_cann") if Path(entry).name.startswith("_ops")}
    assert modules == {"_ops.cpython-311-x86_64-linux-gnu.so", "_ops.abi3.so"}


def test_the_plugin_never_mentions_softnpu_in_its_imports() -> None:
    with zipfile.ZipFile(WHEELS["vllm_cann"]) as archive:
        for entry in archive.namelist():
            if entry.endswith(".py"):
                assert not re.search(r"^\s*(import|from) softnpu", archive.read(entry).decode(), re.M), entry


def test_bytes_do_not_depend_on_a_directory() -> None:
    for name in WHEELS:
        content = WHEELS[name].read_bytes()
        for place in (os.environ["HOME"].encode(), b"/execroot/", b"sandbox/"):
            assert place not in content, (name, place)


def test_auditwheel_agrees_with_the_tag() -> None:
    for name, wheel in WHEELS.items():
        result = subprocess.run(
            [sys.executable, "-m", "auditwheel", "show", str(wheel.resolve())], capture_output=True, text=True, check=False
        )
        assert "manylinux_2_28_x86_64" in result.stdout or "manylinux_2_17_x86_64" in result.stdout, (name, result.stdout + result.stderr)

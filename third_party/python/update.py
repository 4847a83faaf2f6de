#!/usr/bin/env python3
"""Writes lock.json from requirements.in, and data.json from data.in:  python3 third_party/python/update.py

pip resolves the whole set once, for this interpreter (3.11, Linux x86_64), and reports file names
and checksums; nothing is installed. What data.in names is taken for its files: without its
requirements. The two files then are all that the build reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).resolve().parent
# vLLM says what it requires only when its set-up script runs, which main() tells what to build.
SDIST = "vllm"
# torch_npu cannot be imported beside torch's build for CUDA. Some indexes offer only that one.
CPU_BUILD = "torch"


def resolve(*arguments: str) -> list[dict]:
    with tempfile.TemporaryDirectory() as work:
        report = Path(work, "report.json")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            str(report),
        ]
        subprocess.run([*command, *arguments], check=True, cwd=work)
        return json.loads(report.read_text())["install"]


def entry(item: dict) -> dict:
    info = item["download_info"]
    return {
        "name": item["metadata"]["name"],
        "version": item["metadata"]["version"],
        "file": unquote(urlsplit(info["url"]).path.rsplit("/", 1)[-1]),
        "sha256": info["archive_info"]["hashes"]["sha256"],
    }


def table(packages: list[dict]) -> str:
    """A JSON list with one package per line, so that a change of one is a change of one line."""
    lines = [json.dumps(package) for package in sorted(packages, key=lambda package: package["name"].lower())]
    return "[\n    " + ",\n    ".join(lines) + "\n  ]"


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit("the lock is for Python 3.11: run this with python3.11")
    requirements = HERE / "requirements.in"
    pins = dict(line.split("==") for line in requirements.read_text().split() if "==" in line)
    os.environ |= {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": pins[SDIST]}
    packages = [entry(item) for item in resolve("--no-binary", SDIST, "--requirement", str(requirements))]
    [torch] = (package for package in packages if package["name"] == CPU_BUILD)
    if not torch["version"].endswith("+cpu"):
        sys.exit(
            f"no index of pip offers {CPU_BUILD} {pins[CPU_BUILD]}+cpu, only {torch['version']}: name PyTorch's CPU index "
            "(see pytorch.org) in PIP_EXTRA_INDEX_URL"
        )
    data = [entry(item) for item in resolve("--no-deps", "--requirement", str(HERE / "data.in"))]
    for name, entries in (("lock.json", packages), ("data.json", data)):
        (HERE / name).write_text(f'{{\n  "packages": {table(entries)}\n}}\n')
    print(f"lock.json: {len(packages)} packages; data.json: {len(data)}")


if __name__ == "__main__":
    main()

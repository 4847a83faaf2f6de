"""Both wheels have the same bytes when another directory builds them."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

# The repository, through the link that the runfiles are.
ROOT = Path("MODULE.bazel").resolve().parent
NAMES = ("PLUGIN_WHEEL", "SOFTNPU_WHEEL")
TARGETS = ("//python:wheel", "//python:softnpu_wheel")
KEEP = (
    "BUILD.bazel",
    "LICENSE",
    "MODULE.bazel",
    "MODULE.bazel.lock",
    "WORKSPACE",
    "version.bzl",
    "pyproject.toml",
    ".bazelrc",
    ".bazelversion",
    ".bazelignore",
    "cc",
    "python",
    "third_party",
    "tools",
    "tests",
)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_directories_give_the_same_wheels() -> None:
    here = {os.environ[name].rsplit("/", 1)[-1]: digest(Path(os.environ[name])) for name in NAMES}
    # The user's cache has the fetched files, and is where a sandbox of Bazel may work.
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    copy = home / ".cache" / "vllm-cann" / f"second-{os.getpid()}"
    environment = {"HOME": str(home), "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TEST_TMPDIR": ""}
    environment.update(
        {name: os.environ[name] for name in ("XDG_CACHE_HOME",) if name in os.environ and os.environ[name].startswith(str(home))}
    )
    environment.pop("TEST_TMPDIR")
    environment.update({key: value for key, value in os.environ.items() if key.lower().endswith("_proxy") or key.startswith("PIP_")})
    output = copy.with_name(copy.name + "-out")
    bazel = [str(copy / "tools/bazel"), f"--output_base={output}"]
    try:
        copy.mkdir(parents=True)
        for name in KEEP:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("bazel-*", "__pycache__"))
            elif source.exists():
                shutil.copy2(source, copy / name)
        subprocess.run([*bazel, "build", "--color=no", "--curses=no", "--noshow_progress", *TARGETS], cwd=copy, env=environment, check=True)
        there = {path.name: digest(path) for path in (copy / "bazel-bin/python").glob("*.whl")}
    finally:
        subprocess.run([*bazel, "shutdown"], cwd=copy if copy.exists() else ROOT, env=environment, check=False)
        for directory in (output, copy):
            subprocess.run(["chmod", "-R", "u+w", str(directory)], check=False)
            shutil.rmtree(directory, ignore_errors=True)
    assert there == here

"""The README's way without Bazel, in a fresh virtual environment, from pinned files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx
from vllm_cann_demo.server import free_port

ROOT = Path.cwd()
FILES = Path(os.environ["WHEELS"].split()[0]).resolve().parent
VLLM = Path(os.environ["VLLM_WHEEL"]).resolve()
OURS = [Path(os.environ[name]).absolute() for name in ("PLUGIN_WHEEL", "SOFTNPU_WHEEL")]
MODEL = Path(os.environ["MODEL"]).absolute().parent


def commands() -> list[str]:
    """The lines of the README's install section."""
    text = (ROOT / "README.md").read_text()
    block = text.split("<!-- install: tests/build/install_test.py runs these lines -->\n", 1)[1].split("\n\n", 1)[0]
    return [line.strip() for line in block.splitlines()]


def adapt(line: str) -> list[str]:
    """A line with the files of this test: our wheels by path, vLLM's wheel as Bazel built it from the sdist instead of once more."""
    for pattern, wheel in ((r"\S*vllm_cann-\*\.whl", OURS[0]), (r"\S*softnpu-\*\.whl", OURS[1])):
        line = re.sub(pattern, str(wheel), line)
    line = line.replace("--no-build-isolation --no-binary vllm vllm==0.33.0", f"{VLLM}").replace("tests/models/recall", str(MODEL))
    return shlex.split(line)


def test_the_install_commands_of_the_readme(tmp_path: Path) -> None:
    build, venv, torch, vllm, ours, serve = commands()
    assert build == "tools/bazel build //python:wheel //python:softnpu_wheel"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOFTNPU", "RUNFILES"))}
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(FILES), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1", "PIP_QUIET": "1"}

    def run(command: list[str]) -> None:
        settings = dict(word.split("=", 1) for word in command if re.fullmatch(r"[A-Z_]+=\S*", word))
        rest = [word for word in command if word.split("=")[0] not in settings]
        subprocess.run(rest, cwd=tmp_path, env={**clean, **pip, **settings}, check=True)

    run([sys.executable, *adapt(venv)[1:]])
    run(adapt(torch))
    run(adapt(vllm))
    run(adapt(ours))
    run(["ascend/bin/pip", "check"])
    run(["ascend/bin/softnpu", "doctor"])

    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*adapt(serve), "--port", str(port)], cwd=tmp_path, env=clean, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 150
        while True:
            assert server.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.3)
        body = {"model": str(MODEL), "prompt": "ada : fig oak elm ; bob : ivy yew fig ; bob !", "max_tokens": 8, "temperature": 0}
        reply = httpx.post(f"http://127.0.0.1:{port}/v1/completions", json=body, timeout=60).json()
        assert reply["choices"][0]["text"].strip() == "fig yew ivy ;"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)

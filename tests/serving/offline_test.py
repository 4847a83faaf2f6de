"""`LLM(...)` in a script, with vLLM's defaults and without a server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from harness import MODEL
from vllm_cann_demo.task import questions

OFFLINE = Path(os.environ["OFFLINE"]).absolute()
SOFTNPU = [sys.executable, "-m", "softnpu", "run", "--memory", "1GiB", "--"]
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("VLLM_WORKER_MULTIPROC_METHOD", "VLLM_USE_V2_MODEL_RUNNER")
}
RUNNER = "vllm_cann runs vLLM's V1 model runner"

# The script has used the device before vLLM comes to it.
USED_BEFORE = """
import runpy
import torch

if __name__ == "__main__":
    assert torch.ones(2).npu().sum().item() == 2
    runpy.run_path({offline!r}, run_name="__main__")
"""

# vLLM believes that there is a Triton for this device, as it does beside one of other devices. No guard: processes are forked.
WITH_TRITON = """
import sys

import vllm.config.vllm
import vllm.v1.sample.ops.topk_topp_sampler
import vllm.v1.worker.gpu_worker
from vllm import LLM, SamplingParams

for module in (vllm.config.vllm, vllm.v1.worker.gpu_worker, vllm.v1.sample.ops.topk_topp_sampler):
    assert hasattr(module, "HAS_TRITON")
    module.HAS_TRITON = True
llm = LLM(model=sys.argv[1], max_model_len=512)
# Of one token, top-k leaves nothing to chance.
options = SamplingParams(temperature=1.0, top_k=1, top_p=0.9, max_tokens=8)
for output in llm.generate(sys.argv[2:], options):
    print("answer:", output.outputs[0].text.strip())
"""

WAITS = """
import sys
import time

from vllm import LLM

if __name__ == "__main__":
    llm = LLM(model=sys.argv[1], max_model_len=512)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_readme_shows_the_example() -> None:
    shown = Path(os.environ["README"]).read_text().split("<!-- offline:", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    example = OFFLINE.read_text()
    assert shown == example[example.index("import sys") :]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(None, id="plain"),
        pytest.param(USED_BEFORE, id="device-used-before", marks=pytest.mark.night),
        pytest.param(WITH_TRITON, id="triton"),
    ],
)
def test_a_script_answers(script: str | None, tmp_path: Path) -> None:
    path = OFFLINE
    if script is not None:
        path = tmp_path / "script.py"
        path.write_text(script.replace("{offline!r}", repr(str(OFFLINE))))
    asked = questions(seed=31, count=6)
    command = [*SOFTNPU, sys.executable, str(path), str(MODEL), *(question.prompt for question in asked)]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False)
    text = result.stdout + result.stderr
    assert result.returncode == 0, text[-6000:]
    assert re.findall(r"^answer: (.*)$", result.stdout, re.MULTILINE) == [question.answer for question in asked]
    # Said once, and the engine's process has the same runner: it would have refused another.
    assert text.count(RUNNER) == 1
    assert ("becomes 'spawn'" in text) == (script is USED_BEFORE)


def test_an_engine_ends_when_its_parent_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "waits.py"
    path.write_text(WAITS)
    log = tmp_path / "log"
    with log.open("w") as file:
        command = [*SOFTNPU, sys.executable, str(path), str(MODEL)]
        starter = subprocess.Popen(command, env=ENVIRONMENT, stdout=file, stderr=file, start_new_session=True)
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 120
        while "\nready\n" not in f"\n{log.read_text()}":
            assert starter.poll() is None, log.read_text()[-6000:]
            assert time.monotonic() < deadline, log.read_text()[-6000:]
            time.sleep(0.2)
        family = psutil.Process(starter.pid).children(recursive=True)
        script = next(
            one for one in [psutil.Process(starter.pid), *family] if str(path) in one.cmdline() and "softnpu" not in one.cmdline()
        )
        engine = [one for one in script.children(recursive=True) if "EngineCore" in " ".join([one.name(), *one.cmdline()])]
        assert engine, [one.cmdline() for one in family]
        script.kill()
        _, alive = psutil.wait_procs(engine, timeout=10)
        assert not alive
        assert "the worker" in log.read_text()
        assert "has ended" in log.read_text()
    finally:
        for one in family:
            if one.is_running():
                one.kill()
        starter.kill()
        starter.wait()

"""The demo as a user runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness import MODEL, changed_installation
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema
from vllm_cann_demo.conversation import QUESTIONS, Page
from vllm_cann_demo.server import Server, ServerError

LANGUAGE_MODEL = Path(os.environ["LANGUAGE_MODEL"]).absolute().parent
LAYERS = 30


def processes_of(group: int) -> list[int]:
    """Live processes of a session."""
    out = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == group and fields[0] != "Z":
                out.append(int(entry.name))
    return out


def demo(*options: str, model: Path = MODEL) -> list[str]:
    """The command line of the demo."""
    return [sys.executable, "-m", "vllm_cann_demo", "--model", str(model), *options]


def run(command: list[str], timeout: float = 200, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


def slices(trace_file: Path) -> Counter[str]:
    """How often each name has a slice in a trace."""
    trace = schema.Trace()
    trace.ParseFromString(trace_file.read_bytes())
    return Counter(p.track_event.name for p in trace.packet if p.track_event.type == schema.TrackEvent.TYPE_SLICE_BEGIN)


def blocks_of(out: str) -> dict[str, str]:
    """Question -> what is printed below it, as one line."""
    return {block.split("\n")[0]: " ".join(block.split("\n\n\n")[0].split("\n", 1)[1].split()) for block in out.split("\n> ")[1:]}


def test_the_demo_answers_with_a_language_model(tmp_path: Path) -> None:
    result = run(demo("--output", str(tmp_path), model=LANGUAGE_MODEL), timeout=300)
    out = result.stdout
    assert result.returncode == 0, out + result.stderr
    assert "device: npu:0: Ascend910B3, 2.0 GiB; vLLM platform npu (dispatch key PrivateUse1), torch_npu 2.13.0, CANN 9.0.0" in out
    assert float(re.findall(r"command to first text: ([\d.]+) s", out)[0]) > 0
    assert float(re.findall(r"tokens/s: ([\d.]+) ", out)[0]) > 0
    # Answers came at the same time, and each is in one piece below its question.
    answers = blocks_of(out)
    assert list(answers) == list(QUESTIONS)
    assert "The capital of France is Paris." in answers[QUESTIONS[0]]
    assert "7 days" in answers[QUESTIONS[1]]
    assert "scatter" in answers[QUESTIONS[2]]
    assert "carbon dioxide" in answers[QUESTIONS[3]]
    for answer in answers.values():
        assert re.search(r"\(\d+ tokens\)", answer)
    assert re.search(r"tokens against HF transformers in float32 on the CPU: \d+ of \d+ are its first choice", out)
    [(total, steps)] = re.findall(r"launches of reshape_and_cache: (\d+) = 30 layers x \d+ forward steps \((\d+) counted\)", out)
    assert int(total) == LAYERS * int(steps) > 0
    assert slices(Path(re.findall(r"trace: (\S+)", out)[0]))["reshape_and_cache"] == int(total)


def test_a_conversation(tmp_path: Path) -> None:
    question = "What is the capital of France?"
    typed = [question, question, "x " * 3000, "/new", question]
    result = run(demo("--chat", "--output", str(tmp_path), model=LANGUAGE_MODEL), input="\n".join(typed), timeout=300)
    out = result.stdout
    assert result.returncode == 0, out + result.stderr
    assert "Paris" in out
    assert "the server answered HTTP 400" in out
    assert "/new forgets the conversation)" in out
    counts = [(int(made), int(all_)) for made, all_ in re.findall(r"\((\d+) tokens, (\d+) in the conversation\)", out)]
    assert len(counts) == 3
    # The second question is asked with the first one and its answer; the last one without.
    first, second, last = (all_ - made for made, all_ in counts)
    assert second > counts[0][1]
    assert last == first


@pytest.mark.night
def test_a_fault_in_a_kernel_makes_the_demo_fail(tmp_path: Path) -> None:
    changed = changed_installation(tmp_path, {"kernels/cache.twin.so": os.environ["CACHE_INDEX"]})
    command = demo("--output", str(tmp_path), model=LANGUAGE_MODEL)
    result = run(command, timeout=300, env={**os.environ, **changed})
    assert result.returncode == 1
    assert result.stderr.strip() == "demo: rounding to bfloat16 does not explain the server's tokens"


def test_a_broken_model_makes_the_demo_fail_with_a_sentence(tmp_path: Path) -> None:
    model = tmp_path / "broken"
    shutil.copytree(LANGUAGE_MODEL, model)
    weights = model / "model.safetensors"
    weights.chmod(0o644)
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    result = run(demo("--output", str(tmp_path), model=model))
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    assert re.fullmatch(r"demo: the server ended with status \d+ before it was ready: .*[Ss]afetensors?.* \(log: \S+server.log\)", line), (
        line
    )


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "is no model: {}/config.json: No such file or directory"),
        ({"config.json": "{"}, "is no model: {}/config.json: Expecting property name"),
        ({"config.json": "{}"}, "is no language model: {}/config.json has no 'num_hidden_layers'"),
        (
            {"config.json": '{"num_hidden_layers": 1, "max_position_embeddings": 9}'},
            "is no model: it has no weights in *.safetensors",
        ),
    ],
    ids=["empty", "no-json", "no-language", "no-weights"],
)
def test_a_directory_that_is_no_model(files: dict[str, str], sentence: str, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name, text in files.items():
        (model / name).write_text(text)
    result = run(demo("--output", str(tmp_path), model=model))
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"demo: {model} {sentence.format(model)}")


def test_answers_that_come_at_the_same_time_are_printed_in_order() -> None:
    written: list[str] = []
    page = Page(3, written.append)
    page.add(1, "b1")
    page.add(0, "a1")
    assert "".join(written) == "a1"
    page.add(2, "c1")
    page.end(2)
    page.add(0, "a2")
    assert "".join(written) == "a1a2"
    page.end(0)
    assert "".join(written) == "a1a2b1"
    page.add(1, "b2")
    page.end(1)
    assert "".join(written) == "a1a2b1b2c1"


def test_the_recall_model_answers_everything(tmp_path: Path) -> None:
    result = run(demo("--recall", "--output", str(tmp_path)))
    assert result.returncode == 0, result.stdout + result.stderr
    out = result.stdout
    assert "answers: 32/32 correct" in out
    launches = {
        name: (int(total), int(steps))
        for name, total, steps in re.findall(r"launches of (\w+): (\d+) = (?:2 layers x )?\d+ forward steps \((\d+) counted\)", out)
    }
    shares = {"reshape_and_cache": 2, "qkv_rmsnorm_rope": 2, "slot_mapping": 1}
    assert set(launches) == set(shares)
    assert all(launches[name][0] == share * launches[name][1] > 0 for name, share in shares.items())
    assert slices(tmp_path / "demo.pftrace")["reshape_and_cache"] == launches["reshape_and_cache"][0]


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        demo("--serve", "--output", str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("serving"):
            break
    server = int(re.findall(r"pid=(\d+)", (tmp_path / "server.log").read_text())[0])
    group = os.getsid(server)
    assert processes_of(group)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(40) == 130
    deadline = time.monotonic() + 10
    while processes_of(group):
        assert time.monotonic() < deadline, processes_of(group)
        time.sleep(0.1)


def test_a_server_that_dies_or_hangs_is_reported_with_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match="ended with status"),
        Server(MODEL, tmp_path, ["--dtype", "int4"]),
    ):
        pass
    with (
        pytest.raises(ServerError, match="was not ready after 1 s"),
        Server(MODEL, tmp_path, timeout=1),
    ):
        pass

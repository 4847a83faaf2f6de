"""A kernel that stops: the client gets an error and never a token of that step, the log the sentence, and the next start serves."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
from harness import MODEL, changed_installation
from vllm_cann_demo.server import Server
from vllm_cann_demo.task import questions

SERVE = ["--max-model-len", "512", "--gpu-memory-utilization", "0.5", "--served-model-name", "m"]


def ask(server: Server, prompt: str) -> httpx.Response | None:
    """The answer to a prompt; None where the server broke off."""
    body = {"model": "m", "prompt": prompt, "max_tokens": 8, "temperature": 0}
    try:
        return httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)
    except httpx.TransportError:
        return None


def stream(server: Server, prompt: str) -> str:
    """What a streamed answer holds."""
    body = {"model": "m", "prompt": prompt, "max_tokens": 8, "temperature": 0, "stream": True}
    held = ""
    try:
        with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=60) as reply:
            for text in reply.iter_text():
                held += text
    except httpx.TransportError:
        pass
    return held


def test_a_kernel_that_stops_is_an_error_and_the_next_start_serves(tmp_path: Path) -> None:
    changed = changed_installation(tmp_path, {"kernels/cache.twin.so": os.environ["CACHE_BEYOND"]})
    [question] = questions(seed=37, count=1)

    for streamed in (False, True):
        directory = tmp_path / f"broken-{streamed}"
        server = Server(MODEL, directory, SERVE, ["--memory", "1GiB"], environment=changed)
        with server:
            if streamed:
                assert '"text":' not in stream(server, question.prompt)
            else:
                reply = ask(server, question.prompt)
                assert reply is None or reply.status_code >= 500, reply.text
            # And none later.
            reply = ask(server, question.prompt)
            assert reply is None or reply.status_code >= 500, reply.text
        log = server.log.read_text()
        assert "(kernel reshape_and_cache, " in log
        assert "writes outside the " in log

    with Server(MODEL, tmp_path / "whole", SERVE, ["--memory", "1GiB"]) as server:
        reply = ask(server, question.prompt)
        assert reply is not None
        assert reply.status_code == 200, reply.text
        assert reply.json()["choices"][0]["text"].strip() == question.answer

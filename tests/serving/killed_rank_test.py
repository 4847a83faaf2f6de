"""A rank that is killed: every request ends with an error, the server ends, and no process is left."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import httpx
from harness import MODEL
from vllm_cann_demo.server import Server

SERVE = ["--max-model-len", "1024", "--gpu-memory-utilization", "0.5", "--served-model-name", "m", "--dtype", "float32"]
LIMIT_S = 30
BEGIN_S = 120
REQUESTS = 4


def ask(server: Server, ends: list[str]) -> None:
    """A request that lasts until somebody breaks it off; notes how it ended."""
    body = {"model": "m", "prompt": [1, 2, 3], "max_tokens": 1000, "temperature": 0, "ignore_eos": True, "stream": True}
    try:
        with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=120) as reply:
            text = "".join(reply.iter_text())
        ends.append("served" if "[DONE]" in text and "error" not in text else "error")
    except httpx.TransportError:
        ends.append("error")


def test_a_killed_rank_ends_all_requests_and_the_server(tmp_path: Path) -> None:
    with Server(MODEL, tmp_path, [*SERVE, "--tensor-parallel-size", "2"], ["--memory", "1GiB", "--devices", "2"]) as server:
        ends: list[str] = []
        threads = [threading.Thread(target=ask, args=(server, ends), daemon=True) for _ in range(REQUESTS)]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        while server.metrics().get("vllm:generation_tokens_total", 0) < 20:
            assert not ends, "a request ended before a rank was killed"
            assert time.monotonic() - begun < BEGIN_S, f"there were no 20 tokens within {BEGIN_S} s"
            time.sleep(0.2)
        assert not ends, "a request ended before a rank was killed"
        [worker] = set(re.findall(r"\(Worker_TP1 pid=(\d+)\)", server.log.read_text()))
        killed = time.monotonic()
        os.kill(int(worker), signal.SIGKILL)
        for thread in threads:
            thread.join(LIMIT_S)
        assert ends == ["error"] * REQUESTS
        # vLLM's status is 0, whatever its engine died of.
        server.wait(LIMIT_S - (time.monotonic() - killed))
        assert time.monotonic() - killed < LIMIT_S

"""Runs `vllm serve` on SoftNPU as a process of its own, for the demo and for the serving tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from softnpu import trace

# Families of our kernels (an entry's name may go on with a dtype), and whether each layer launches one, or each forward step.
KERNELS = {"reshape_and_cache": "layers", "qkv_rmsnorm_rope": "layers", "slot_mapping": "steps"}


# The name and text of an exception in a line of the log.
_EXCEPTION = re.compile(r"(?:^|[\s\]])((?:\w+\.)*\w*(?:Error|Exception): .*\S)")


class ServerError(RuntimeError):
    """The server did not start in time, or died. The message is one sentence, and below it are the last lines of the log."""

    @property
    def sentence(self) -> str:
        """The first line of the message."""
        return str(self).splitlines()[0]


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`softnpu run [options] -- vllm serve MODEL [options]`, stopped with everything it started when the context ends.

    Attributes:
        url: base URL of the HTTP server
        state: directory with the counters and events of its processes
        log: file with what it printed
    """

    def __init__(
        self,
        model: Path,
        directory: Path,
        serve_options: Sequence[str] = (),
        softnpu_options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        timeout: float = 300.0,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = directory / "state"
        self.log = directory / "server.log"
        self.startup_seconds = 0.0
        self._timeout = timeout
        self._progress = progress
        self._process: subprocess.Popen | None = None
        self._environment = {
            **os.environ,
            "SOFTNPU_STATE_DIR": str(self.state),
            "VLLM_NO_USAGE_STATS": "1",
            # The engine's process has then imported everything: it is ready in two thirds of the time. vllm serve says "spawn" by itself.
            "VLLM_WORKER_MULTIPROC_METHOD": "fork",
            **(environment or {}),
        }
        serve = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model)]
        self.command = [
            *(sys.executable, "-m", "softnpu", "run", *softnpu_options, "--", *serve),
            *("--host", "127.0.0.1", "--port", str(self.port), *serve_options),
        ]

    def __enter__(self) -> Server:
        self.state.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        with self.log.open("wb") as log:
            # A session of its own, so that one signal reaches every process of it.
            self._process = subprocess.Popen(
                self.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait(begun)
        except BaseException:
            self.stop()
            raise
        self.startup_seconds = time.monotonic() - begun
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
        if error is not None:
            lines = self.log.read_text(errors="replace").splitlines()
            error.add_note("\n".join(["The engine's last lines:", *[line for line in lines if line.startswith("(EngineCore")][-30:]]))

    def _wait(self, begun: float) -> None:
        reported = begun
        while True:
            if self._process is not None and self._process.poll() is not None:
                raise self._failure(f"the server ended with status {self._process.returncode} before it was ready")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", timeout=2).status_code == 200:
                    return
            now = time.monotonic()
            if now - begun > self._timeout:
                raise self._failure(f"the server was not ready after {self._timeout:.0f} s")
            if now - reported >= 5:
                reported = now
                self._progress(f"  {now - begun:3.0f} s: {self._last_info()}")
            time.sleep(0.1)

    def _last_info(self) -> str:
        lines = re.findall(r"(?:INFO|WARNING) \S+ \S+ \[[^\]]*\] (.*)", self.log.read_text(errors="replace"))
        return lines[-1][:100] if lines else "starting"

    def tail(self, lines: int = 30) -> str:
        """The last lines that the server printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def cause(self) -> str:
        """What went wrong, as the log says it: the engine's first error, else the last exception, else the last line."""
        lines = self.log.read_text(errors="replace").splitlines()
        # Where pydantic refuses an option, the reason is not in the line of the exception.
        for line in lines:
            if match := re.search(r"Value error, (.*\S) \[type=", line):
                return match[1]
        found = [(line, match[1]) for line in lines if (match := _EXCEPTION.search(line))]
        for line, text in found:
            if line.startswith("(EngineCore") and " ERROR " in line:
                return text
        # The parent's own error only says that the engine has failed.
        others = [text for _, text in found if "Engine core initialization failed" not in text]
        return (others or [line.strip() for line in lines if line.strip()] or ["its log is empty"])[-1]

    def _failure(self, what: str) -> ServerError:
        return ServerError(f"{what}: {self.cause()}\n{self.tail()}")

    def check(self) -> None:
        """Raises ServerError when the server has ended."""
        if self._process is None or self._process.poll() is not None:
            raise self._failure("the server has ended")

    def wait(self, seconds: float) -> int | None:
        """The exit status of a server that ends by itself within `seconds`, and all of its processes with it.

        Raises:
            ServerError: the server, or one of its processes, lives on
        """
        assert self._process is not None
        try:
            status = self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            raise ServerError(f"the server has not ended within {seconds:.0f} s\n{self.tail()}") from None
        if self._group_lives(self._process.pid):
            raise ServerError(f"the server has ended with status {status}, but not all of its processes\n{self.tail()}")
        return status

    def stop(self) -> int | None:
        """Ends all processes of the server: politely, then by force. Returns the exit status of the command."""
        process, self._process = self._process, None
        if process is None:
            return None
        for number, patience in (
            (signal.SIGINT, 15.0),
            (signal.SIGTERM, 5.0),
            (signal.SIGKILL, 5.0),
        ):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            if process.poll() is not None and not self._group_lives(process.pid):
                break
        return process.returncode

    @staticmethod
    def _group_lives(group: int) -> bool:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.05)
        return True

    def launches(self) -> Counter[str]:
        """How often the engine launched each family of kernels so far. Counted by SoftNPU's runtime in the engine's process."""
        counts = self.kernels()
        return Counter({family: sum(n for name, n in counts.items() if name.startswith(family)) for family in KERNELS})

    def kernels(self) -> Counter[str]:
        """How often the engine launched each kernel so far, by its own name."""
        return self._counts("kernel")

    def forward_steps(self) -> int:
        """How often the model ran forward so far: each time, it looks up its tokens' embeddings once.

        vLLM's own metric counts fewer: asynchronous scheduling runs a step for requests of which it
        learns too late that they have ended, and reports nothing for it.
        """
        return self.operators()["aclnnEmbedding"]

    def operators(self) -> Counter[str]:
        """How often the engine ran each aclnn operator so far, counted in the same way."""
        return self._counts("operator")

    def pageable_copies(self) -> int:
        """How often a copy that was asked to be asynchronous made the host wait, because its host memory was not pinned."""
        return self._counts("host")["aclrtMemcpyAsync of pageable memory"]

    def settle(self, seconds: float = 1.0) -> None:
        """Waits until the engine has launched nothing for `seconds`.

        The last answer comes before the engine is at rest: asynchronous scheduling has a further step under way by then.
        """
        before, since = self.operators(), time.monotonic()
        while time.monotonic() - since < seconds:
            time.sleep(0.05)
            now = self.operators()
            if now != before:
                before, since = now, time.monotonic()

    def _counts(self, wanted: str) -> Counter[str]:
        out: Counter[str] = Counter()
        for counter in trace.counts(self.state).values():
            for (kind, name), value in counter.items():
                if kind == wanted:
                    out[name] += value
        return out

    def metrics(self) -> dict[str, float]:
        """vLLM's own metrics, summed over labels."""
        out: dict[str, float] = {}
        for line in httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines():
            if match := re.match(r"(vllm:\w+)(?:\{.*\})? ([-+.\deE]+)$", line):
                out[match[1]] = out.get(match[1], 0.0) + float(match[2])
        return out

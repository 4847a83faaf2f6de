"""A worker ends when the process that started it is gone.

vLLM's engine learns of its parent's end by a signal that the parent sends. A parent that was killed sends none, and the engine would keep
the memory of its device.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

from vllm.logger import init_logger

logger = init_logger("vllm.plugins.cann.parent")

_POLL_SECONDS = 0.5
# vLLM's handler of SIGTERM closes sockets and shared memory; a main thread that waits for the device does not get to it.
_GRACE_SECONDS = 3.0


def watch() -> threading.Thread | None:
    """Starts a thread that ends this process soon after its parent has ended; None in a process that multiprocessing did not start."""
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return None
    # Not PR_SET_PDEATHSIG: it follows the thread that started this process, and that thread may end before its process does.
    thread = threading.Thread(target=_end_after, args=(parent.pid,), name="vllm_cann parent", daemon=True)
    thread.start()
    return thread


def _end_after(parent: int) -> None:
    # The kernel gives the children of a process that has ended to another one.
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    logger.error("the process %d, which started this worker, has ended; the worker (process %d) ends, too", parent, os.getpid())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)

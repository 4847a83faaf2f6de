"""What SoftNPU has counted in this process."""

from __future__ import annotations

import os
from pathlib import Path

from softnpu import trace


def kernels_launched() -> int:
    """How many kernels this process has launched so far."""
    [counter] = [count for pid, count in trace.counts(Path(os.environ["SOFTNPU_STATE_DIR"])).items() if pid == os.getpid()]
    return sum(number for (kind, _), number in counter.items() if kind == "kernel")

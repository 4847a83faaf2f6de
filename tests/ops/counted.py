"""What SoftNPU has counted in this process."""

from __future__ import annotations

import os
from pathlib import Path

from softnpu import trace


def kernels_launched() -> int:
    """How many kernels this process has launched so far."""
    counter = trace.counts(Path(os.environ["SOFTNPU_STATE_DIR"])).get(os.getpid(), {})
    return sum(number for (kind, _), number in counter.items() if kind == "kernel")

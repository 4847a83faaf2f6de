"""What is installed, what does not fit, and the cure:  python -m vllm_cann.collect_env

It imports neither torch nor vLLM, so it also answers where `import torch` ends the process. The exit status is 1 if something does
not fit.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from vllm_cann import environment, installation

PACKAGES = ("vllm", "torch", "torch_npu", "transformers", "triton", "vllm_cann", "softnpu")


def main() -> int:
    """Prints the report; returns the exit status."""
    sentences = installation.problems(environment.CHECKS)
    for line in (*installation.facts(*PACKAGES), _cann()):
        print(line)
    for sentence in sentences:
        print(f"does not fit: {sentence}")
    if not sentences:
        print("all of it fits")
    return 1 if sentences else 0


def _cann() -> str:
    """A line for CANN's runtime: its version and where it lies."""
    try:
        library = ctypes.CDLL("libascendcl.so")
    except OSError:
        return "CANN: none"
    text = ctypes.create_string_buffer(256)
    known = hasattr(library, "aclsysGetVersionStr") and library.aclsysGetVersionStr(b"CANN", text) == 0 and text.value
    files = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines() if "libascendcl.so" in line}
    return f"CANN {text.value.decode() if known else 'of unknown version'} ({', '.join(sorted(files))})"


if __name__ == "__main__":
    sys.exit(main())

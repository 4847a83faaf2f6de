"""`softnpu doctor`: what is installed, what does not fit, and the cure. It imports neither torch nor vLLM."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

from softnpu import installation, launcher

LIBRARIES = ("libascendcl.so", "libhccl.so", "libgraph.so", "libge_runner.so", "libacl_op_compiler.so", "libacl_tdt_channel.so")
# It needs the libraries of torch, which the process that uses it has loaded before.
OPERATORS = "libopapi.so"


def _library_problem() -> str | None:
    """A sentence with its cure if a library of this wheel is missing or cannot be loaded."""
    for name in (*LIBRARIES, OPERATORS):
        path = launcher.LIBRARIES / name
        if not path.is_file():
            return f"SoftNPU's {name} is missing in {path.parent}; reinstall the softnpu wheel."
        if name == OPERATORS:
            continue
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            return f"SoftNPU's {name} cannot be loaded ({error}); install the softnpu wheel that was built for this machine."
    return None


def _plugin_problem() -> str | None:
    """A sentence with its cure if vLLM is here without the plugin: it would not find the NPU."""
    if installation.version("vllm") is None:
        return None
    return "vllm is installed and vllm_cann is not, so vLLM finds no NPU; install the vllm_cann wheel."


def main() -> int:
    """Prints the report; returns the exit status."""
    print(f"softnpu {installation.version('softnpu')}, libraries in {launcher.LIBRARIES}", flush=True)
    sentences = installation.problems((_library_problem,))
    status = 0
    if installation.version("vllm_cann") is not None:
        # The plugin's own report, with SoftNPU as CANN.
        if not sentences:
            variables = launcher.environment(launcher.Settings(), os.environ)
            command = [sys.executable, "-m", "vllm_cann.collect_env"]
            status = subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
    else:
        for line in installation.facts("torch", "torch_npu", "vllm", "vllm_cann"):
            print(line)
        if installation.version("torch_npu") is not None:
            sentences += installation.problems(installation.TORCH)
        sentences += installation.problems((_plugin_problem,))
        if not sentences:
            print("all of it fits")
    for sentence in sentences:
        print(f"does not fit: {sentence}")
    return 1 if sentences or status else 0

"""Is this installation one that was tested, and is there a device?"""

from __future__ import annotations

import ctypes
import functools
import importlib.util

from vllm_cann import installation


def cann_problem() -> str | None:
    """A sentence with its cure if CANN's runtime cannot be loaded."""
    try:
        ctypes.CDLL("libascendcl.so")
    except OSError as error:
        return (
            f"CANN's libascendcl.so cannot be loaded ({error}); source CANN's set_env.sh, "
            "or start the command with `softnpu run -- ...` on a machine without an NPU."
        )
    return None


def extension_problem() -> str | None:
    """A sentence with its cure if this wheel has no module for this Python."""
    if importlib.util.find_spec("vllm_cann._ops") is None:
        return "vllm_cann's extension module is missing for this Python; reinstall the vllm_cann wheel."
    return None


# All that can be said without importing torch.
CHECKS = (*installation.SERVING, extension_problem, cann_problem)


@functools.cache
def problem() -> str | None:
    """Why vLLM cannot run on an NPU here: one sentence with the cure, or None."""
    sentence = next((found for check in CHECKS if (found := check()) is not None), None) or _device_problem()
    return None if sentence is None else f"vllm_cann cannot be used: {sentence}"


def _device_problem() -> str | None:
    try:
        import torch_npu
    except Exception as error:
        return (
            f"importing torch_npu failed ({type(error).__name__}: {_first_line(error)}); "
            f"check that CANN fits torch_npu {installation.TESTED['torch_npu']}."
        )
    if torch_npu.npu.device_count() == 0:
        return "CANN reports no NPU; check `npu-smi info` and ASCEND_RT_VISIBLE_DEVICES."
    return None


@functools.cache
def log_once(sentence: str) -> None:
    """Logs at ERROR through vLLM's handlers."""
    from vllm.logger import init_logger

    init_logger("vllm.plugins.cann").error("%s", sentence)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"

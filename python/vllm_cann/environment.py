"""Is this installation one that was tested, and is there a device?"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util

# The versions that the tests ran with. A wrong one of these shows as a missing symbol at best and as wrong output at worst.
TESTED = {"vllm": "0.33.0", "torch": "2.13.0", "torch_npu": "2.13.0"}


@functools.cache
def problem() -> str | None:
    """Why vLLM cannot run on an NPU here: one sentence with the cure, or None."""
    for package, tested in TESTED.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return f"vllm_cann cannot be used: {package} is not installed; run `pip install {package}=={tested}`."
        if found.split("+")[0] != tested:
            return (
                f"vllm_cann cannot be used: it was tested with {package} {tested} and {found} is installed; "
                f"run `pip install {package}=={tested}`."
            )
    try:
        ctypes.CDLL("libascendcl.so")
    except OSError as error:
        return (
            f"vllm_cann cannot be used: CANN's libascendcl.so cannot be loaded ({error}); source CANN's set_env.sh, "
            "or start the command with `softnpu run -- ...` on a machine without an NPU."
        )
    try:
        import torch_npu
    except Exception as error:
        return (
            f"vllm_cann cannot be used: importing torch_npu failed ({type(error).__name__}: {_first_line(error)}); "
            f"check that CANN fits torch_npu {TESTED['torch_npu']}."
        )
    if torch_npu.npu.device_count() == 0:
        return "vllm_cann cannot be used: CANN reports no NPU; check `npu-smi info` and ASCEND_RT_VISIBLE_DEVICES."
    if importlib.util.find_spec("vllm_cann._ops") is None:
        return "vllm_cann cannot be used: its extension module is missing for this Python; reinstall the vllm_cann wheel."
    return None


@functools.cache
def log_once(sentence: str) -> None:
    """Logs at ERROR through vLLM's handlers."""
    from vllm.logger import init_logger

    init_logger("vllm.plugins.cann").error("%s", sentence)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"

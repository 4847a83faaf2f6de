"""Devices of the SoftNPU that this process runs on."""

from __future__ import annotations

import ctypes


def reset_device(device: int = 0) -> None:
    """Ends the error of a device, so that the process can use it again.

    On SoftNPU, as on an NPU, a device stays in error after its first fault: every later call that computes, copies or waits gives that
    error. Tests that plant faults reset the device behind each. Memory, streams and events keep what they have; what the faulty
    task and those behind it would have written is missing. torch_npu's task queue (TASK_QUEUE_ENABLE=1, its default) has an error state
    of its own, which only a new process ends.

    Raises:
        RuntimeError: the process does not run on SoftNPU or an NPU, or there is no such device
    """
    try:
        library = ctypes.CDLL("libascendcl.so")
    except OSError as error:
        raise RuntimeError(f"there is no device to reset: {error}; start the program with `softnpu run -- COMMAND`") from None
    status = library.aclrtResetDevice(ctypes.c_int32(device))
    if status != 0:
        library.aclGetRecentErrMsg.restype = ctypes.c_char_p
        raise RuntimeError(f"aclrtResetDevice({device}) failed with {status}: {library.aclGetRecentErrMsg().decode()}")

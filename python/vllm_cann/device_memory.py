"""device_memory.py DEVICE: prints the bytes of a device's memory. A program of its own, which imports neither torch nor vLLM."""

from __future__ import annotations

import ctypes
import sys

_HBM = 1  # aclrtMemAttr


def main() -> None:
    """Runs the command line; the status is not 0 where CANN reports an error, and stderr names the call."""
    device = int(sys.argv[1])
    acl = ctypes.CDLL("libascendcl.so")
    acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    for call, *arguments in (
        (acl.aclInit, None),
        (acl.aclrtSetDevice, device),
        (acl.aclrtGetMemInfo, _HBM, ctypes.byref(free), ctypes.byref(total)),
    ):
        if code := call(*arguments):
            text = acl.aclGetRecentErrMsg() or b""
            sys.exit(f"{call.__name__} gave {code} {text.decode(errors='replace').strip()}".strip())
    print(total.value)
    acl.aclrtResetDevice(device)
    acl.aclFinalize()


if __name__ == "__main__":
    main()

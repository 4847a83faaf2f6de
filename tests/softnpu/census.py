"""Launches kernels through the ACL C API, as a program on a device does:  census.py TWIN LAUNCHES

LAUNCHES is a JSON list of [kernel, blocks, number, ...]; each kernel gets an array of 1024 words and the numbers. Prints JSON: what
aclrtGetDeviceInfo says by attribute, the profile's name, and for each launch the array, or the sentence when it stopped.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

WORDS = 1024
ATTRIBUTES = (101, 102, 201, 204, 301, 302, 601)

acl = ctypes.CDLL(str(Path(os.environ["ASCEND_HOME_PATH"], "lib64", "libascendcl.so")))
acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
acl.aclrtGetSocName.restype = ctypes.c_char_p


def check(code: int) -> None:
    """Raises the sentence of a failed call."""
    if code != 0:
        raise RuntimeError(acl.aclGetRecentErrMsg().decode())


def launch(binary: ctypes.c_void_p, kernel: str, blocks: int, *numbers: int) -> list[int]:
    """The array after a launch."""
    function, address = ctypes.c_void_p(), ctypes.c_void_p()
    host = (ctypes.c_int32 * WORDS)()
    size = ctypes.c_size_t(ctypes.sizeof(host))
    check(acl.aclrtBinaryGetFunction(binary, kernel.encode(), ctypes.byref(function)))
    check(acl.aclrtMalloc(ctypes.byref(address), size, 0))
    check(acl.aclrtMemset(address, size, 0, size))
    arguments = (ctypes.c_uint64 * (1 + len(numbers)))(address.value or 0, *numbers)
    check(
        acl.aclrtLaunchKernelWithHostArgs(
            function, blocks, None, None, arguments, ctypes.c_size_t(len(arguments) * 8), None, ctypes.c_size_t(0)
        )
    )
    check(acl.aclrtSynchronizeStream(None))
    check(acl.aclrtMemcpy(host, size, address, size, 2))
    return list(host)


def main(twin: str, launches: str) -> None:
    check(acl.aclInit(None))
    check(acl.aclrtSetDevice(0))
    value = ctypes.c_int64()
    info = {}
    for attribute in ATTRIBUTES:
        check(acl.aclrtGetDeviceInfo(0, attribute, ctypes.byref(value)))
        info[attribute] = value.value
    soc = acl.aclrtGetSocName().decode()
    binary = ctypes.c_void_p()
    path = str(Path(twin).absolute()).replace(".twin.so", f".{soc.lower()}.o")
    check(acl.aclrtBinaryLoadFromFile(path.encode(), None, ctypes.byref(binary)))
    results: list[list[int] | str] = []
    for call in json.loads(launches):
        try:
            results.append(launch(binary, *call))
        except RuntimeError as error:
            results.append(str(error))
    print(json.dumps({"info": info, "soc": soc, "results": results}))


if __name__ == "__main__":
    main(*sys.argv[1:])

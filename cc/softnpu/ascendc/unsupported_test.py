"""Every name that SoftNPU refuses at compile time does so by its name, in a sentence.

As a tool (--compiler) it compiles a call of each and writes what the compiler says; as a test it reads that.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

CALLS = {"DataCopyPad": "DataCopyPad(AscendC::LocalTensor<float>(), AscendC::LocalTensor<float>(), 0);"}

# What the kernel headers include, without a C library.
STDINT = "".join(f"typedef __{kind.upper()}{bits}_TYPE__ {kind}{bits}_t;\n" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
STDINT += "#define UINT64_MAX __UINT64_MAX__\n"


def calls(header):
    names = re.findall(r"SOFTNPU_UNSUPPORTED\((\w+)\)\n", pathlib.Path(header).read_text())
    types = re.findall(r"SOFTNPU_UNSUPPORTED_TYPE\((\w+)\)\n", pathlib.Path(header).read_text())
    members = set(re.findall(r"SOFTNPU_UNSUPPORTED_MEMBER\((\w+)\)\n", (pathlib.Path(header).parent / "tensor.h").read_text()))
    local = {name: f"LocalTensor<float>().{name}(1);" for name in members}
    return CALLS | local | {name: f"{name}(1, 2);" for name in names} | {name: f"{name} object;" for name in types}


def compile_calls(compiler, header):
    lines = ['#include "kernel_operator.h"', "void Supported() { AscendC::SetMaskNorm(); }"]
    lines += [f"void Use{name}() {{ AscendC::{call} }}" for name, call in calls(header).items()]
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        (scratch / "calls.cc").write_text("\n".join(lines) + "\n")
        (scratch / "stdint.h").write_text(STDINT)
        (scratch / "stddef.h").write_text("typedef __SIZE_TYPE__ size_t;\n")
        command = [compiler, "-fsyntax-only", "-ferror-limit=0", "-std=c++17", "-nostdinc", "-fno-exceptions", "-I."]
        command += [f"-I{pathlib.Path(header).parent.parent}", f"-I{scratch}", str(scratch / "calls.cc")]
        return subprocess.run(command, capture_output=True, text=True).stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--header", required=True)
    parser.add_argument("--messages", required=True)
    parser.add_argument("--compiler")
    args = parser.parse_args()
    messages = pathlib.Path(args.messages)
    if args.compiler:
        messages.write_text(compile_calls(args.compiler, args.header))
        return
    text = messages.read_text()
    names = list(calls(args.header))
    silent = [name for name in names if not re.search(rf"error:.*\b{name}\b.* is not supported by SoftNPU", text)]
    others = [line for line in text.splitlines() if "error:" in line and "is not supported by SoftNPU" not in line]
    print(f"{len(names)} names; compile although they should not: {silent}; other errors: {others[:5]}")
    sys.exit(1 if silent or others else 0)


if __name__ == "__main__":
    main()

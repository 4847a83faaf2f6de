"""Writes the host sources around AscendC kernels: see ascendc_kernel_library in ascendc.bzl.

One file per kernel source, which includes it and describes its entries, and one with the table of
the twin. Refuses a source that a device compiler could not take: an include of anything but
kernel_operator.h and the family's headers, a family without entries, an entry that is defined twice.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from softnpu import twin

INCLUDE = re.compile(r"^\s*#\s*include\s*([<\"][^>\"]+[>\"])", re.M)


def fail(message: str) -> None:
    sys.exit(f"ascendc_kernel_library: {message}")


def check_includes(path: str, text: str, allowed: set[str]) -> None:
    for include in INCLUDE.findall(text):
        if include not in allowed:
            fail(f"{path} includes {include}; allowed here: {', '.join(sorted(allowed))}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--header", action="extend", nargs="+", default=[])
    parser.add_argument("--source", action="append", default=[], nargs=2)
    parser.add_argument("--table", required=True)
    arguments = parser.parse_args()

    allowed = {'"kernel_operator.h"'} | {f'"{header}"' for header in arguments.header}
    for header in arguments.header:
        check_includes(header, Path(header).read_text(), {"<stdint.h>"} | allowed)
    found: dict[str, str] = {}
    for source, wrapper in arguments.source:
        text = Path(source).read_text()
        check_includes(source, text, allowed)
        entries = twin.entries(text)
        for entry in entries:
            if entry.name in found:
                fail(f"the kernel {entry.name} is defined in {found[entry.name]} and in {source}")
            found[entry.name] = source
        Path(wrapper).write_text(twin.wrapper(source, entries))
    if not found:
        fail('no source defines an entry as: extern "C" __global__ __aicore__ void <name>(')
    Path(arguments.table).write_text(twin.table(list(found)))


if __name__ == "__main__":
    main()

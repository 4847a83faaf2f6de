"""Fails if a dependency file in the runfiles names a file from outside the build (hermetic.bzl)."""

import sys
from pathlib import Path


def main() -> int:
    files = sorted(Path("..").rglob("*.d"))
    foreign = {}
    for file in files:
        # "object: source header \<newline> header ..."
        for name in file.read_text().replace("\\\n", " ").split(":", 1)[1].split():
            if name.startswith("/") or ".." in Path(name).parts:
                foreign.setdefault(name, file)
    for name, file in foreign.items():
        print(f"{file} reads {name}")
    print(f"{len(files)} compilations, {len(foreign)} files from outside")
    return 1 if foreign or not files else 0


if __name__ == "__main__":
    sys.exit(main())

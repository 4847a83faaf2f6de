"""Runs one checker over the files of a list from @sources:  lint.py LIST TOOL ARGUMENT...

The word `{files}` among the arguments stands for the files. The checker runs in the real source
tree, which it finds through a link in the runfiles, so that it reads its own configuration there;
the list is what makes the test run again after a change.
"""

import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    listing, tool, *arguments = sys.argv[1:]
    root = Path("MODULE.bazel").resolve().parent
    lines = Path(listing).read_text().splitlines()
    prefixes = tuple(os.environ.get("LINT_PREFIXES", "").split())
    files = [path for _, path in (line.split("  ", 1) for line in lines) if path.startswith(prefixes or "")]
    if not files:
        print("no files")
        return 0
    if tool.endswith(".py"):
        command = [sys.executable, str(Path(tool).resolve())]
    elif "/" in tool:
        command = [str(Path(tool).resolve())]
    elif tool == "clang-format":
        command = [str(Path(sys.executable).parent / tool)]
    else:
        command = [sys.executable, "-m", tool]
    for argument in arguments:
        command += files if argument == "{files}" else [argument]
    return subprocess.run(command, cwd=root).returncode


if __name__ == "__main__":
    sys.exit(main())

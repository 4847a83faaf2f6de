"""Rewrites the sources so that the format checks pass:  tools/bazel run //tools/lint:fix"""

import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    root = os.environ["BUILD_WORKSPACE_DIRECTORY"]
    python, cpp, starlark, buildifier = (Path(argument).resolve() for argument in sys.argv[1:])

    def files(listing: Path) -> list[str]:
        return [line.split("  ", 1)[1] for line in listing.read_text().splitlines()]

    ruff = [sys.executable, "-m", "ruff"]
    clang_format = str(Path(sys.executable).parent / "clang-format")
    commands = [
        ([*ruff, "check", "--fix", "--quiet", "--no-cache"], files(python)),
        ([*ruff, "format", "--quiet", "--no-cache"], files(python)),
        ([clang_format, "-i"], files(cpp)),
        ([str(buildifier)], files(starlark)),
    ]
    return max(subprocess.run(c + f, cwd=root).returncode if f else 0 for c, f in commands)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Writes today's versions of the packages into lock.json:  python3 third_party/debian/update.py

A security update removes a package's older version from Debian's mirrors; then this has to be run
(the sanitizers' runtime, Python's headers, GoogleTest, toml++ and nlohmann-json come from there).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools/bootstrap"))

from apt import Apt  # noqa: E402


def main() -> None:
    lock = HERE / "lock.json"
    packages = json.loads(lock.read_text())["packages"]
    for suite in {package["suite"] for package in packages}:
        mine = {package["name"]: package for package in packages if package["suite"] == suite}
        with tempfile.TemporaryDirectory() as work:
            offer = Apt(Path(work), suite).offered(list(mine))
        for file, digest in offer.items():
            name, version, _ = file.split("_")
            mine[name] |= {"version": unquote(version), "file": file, "sha256": digest}
    lines = ",\n".join("    " + json.dumps(package) for package in packages)
    lock.write_text(f'{{\n  "packages": [\n{lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()

"""Writes and unpacks wheels for wheel.bzl.

wheel_tool.py write SPEC.json OUT.whl | wheel_tool.py unpack IN.whl DIRECTORY
"""

import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path


def record(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


def metadata(spec: dict) -> str:
    text = "".join(f"{name}: {value}\n" for name, value in spec["headers"])
    if spec["description"]:
        text += "\n" + Path(spec["description"]).read_text()
    return text


def write(spec_file: str, output: str) -> None:
    spec = json.loads(Path(spec_file).read_text())
    info = spec["info"]
    content = {path: Path(source).read_bytes() for path, source in spec["entries"].items()}
    for source in spec["licenses"]:
        content[f"{info}/licenses/{Path(source).name}"] = Path(source).read_bytes()
    texts = {
        "METADATA": metadata(spec),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: vllm-cann\nRoot-Is-Purelib: {str(spec['pure']).lower()}\nTag: {spec['tag']}\n",
    }
    if spec["entry_points"]:
        groups = sorted(spec["entry_points"].items())
        texts["entry_points.txt"] = "\n".join(
            f"[{group}]\n" + "".join(f"{entry}\n" for entry in sorted(entries)) for group, entries in groups
        )
    content |= {f"{info}/{name}": text.encode() for name, text in texts.items()}

    # The metadata comes last, as the format advises, and RECORD at the very end.
    order = sorted(content, key=lambda path: (path.startswith(info + "/"), path))
    records = "".join(record(path, content[path]) for path in order)
    content[f"{info}/RECORD"] = (records + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for path in [*order, f"{info}/RECORD"]:
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = (0o100755 if path.endswith(".so") else 0o100644) << 16
            archive.writestr(entry, content[path])


def unpack(wheel: str, directory: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)


if __name__ == "__main__":
    {"write": write, "unpack": unpack}[sys.argv[1]](*sys.argv[2:])

"""docs/tutorial.md as a reader follows it: in a virtual environment with softnpu, numpy and a compiler, without torch."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

ROOT = Path.cwd()
FILES = Path(os.environ["WHEELS"].split()[0]).resolve().parent
WHEEL = Path(os.environ["SOFTNPU_WHEEL"]).absolute()
ZIG = Path(os.environ["ZIG"]).resolve()

STEP = re.compile(r"<!-- ([^>]*?) -->\n```\w*\n(.*?)```\n", re.S)


def test_the_tutorial(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SOFTNPU", "RUNFILES"))}
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], env=environment, check=True)
    environment |= {
        "PATH": f"{tmp_path}/venv/bin:/usr/bin:/bin",
        "CXX": f"{ZIG} c++ -nostdlib++",
        "ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "zig"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": f"{FILES} {WHEEL.parent}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    last = ""
    replaced = ("", "")
    steps = STEP.findall((ROOT / "docs/tutorial.md").read_text())
    assert [kind.split(":")[0] for kind, _ in steps].count("output") == 3
    for kind, text in steps:
        if kind == "run":
            result = subprocess.run(
                shlex.split(text), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
            )
            assert result.returncode == 0, result.stdout + result.stderr
            last = result.stdout
        elif kind == "output":
            assert last.replace(f"{tmp_path}/", "") == text
        elif kind.startswith("file: "):
            (tmp_path / kind[6:]).write_text(text)
        elif kind.startswith("replace in: "):
            replaced = (kind[12:], text)
        elif kind == "by":
            file, old = replaced
            source = (tmp_path / file).read_text()
            assert source.count(old) == 1
            (tmp_path / file).write_text(source.replace(old, text))
    probe = subprocess.run([str(tmp_path / "venv/bin/python"), "-c", "import torch"], env=environment, capture_output=True, check=False)
    assert probe.returncode != 0, "the tutorial must do without torch"

    trace = schema.Trace()
    trace.ParseFromString((tmp_path / "saxpy.pftrace").read_bytes())
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")}
    paths = {f"{tracks[t.parent_uuid].name}/{t.name}" for t in tracks.values() if t.parent_uuid}
    assert {f"AIV {core}/{pipe}" for core in range(4) for pipe in ("V", "MTE2", "MTE3")} <= paths
    names = [p.track_event.name for p in trace.packet if p.track_event.type == schema.TrackEvent.TYPE_SLICE_BEGIN]
    assert names.count("Add") == names.count("Muls") == 16
    assert names.count("DataCopy") == 48

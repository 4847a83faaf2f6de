"""The rooms of the plugin: which of them may import which. The table here is the rule; docs/architecture.md tells the reasons."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

# Every file beside __init__.py, and every folder, of vllm_cann -> what it imports of the others. A program that runs alone imports none.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"environment", "layers", "quantization"},
    "attention": {"config", "int8", "ops"},
    "collect_env": {"environment", "installation"},
    "config": set(),
    "device": set(),
    "device_memory": set(),
    "distributed": set(),
    "environment": {"installation"},
    "installation": set(),
    "int8": set(),
    "layers": {"attention", "config", "ops"},
    "lora": {"ops"},
    "ops": {"_ops"},
    "parent": set(),
    "platform": {"attention", "config", "device", "ops", "quantization", "scheduler", "support"},
    "quantization": {"int8", "layers", "ops"},
    "replacements": {"layers"},
    "runners": {"attention", "replacements"},
    "scheduler": set(),
    "sleep": set(),
    "support": {"attention"},
    "triton_kernels": set(),
    "worker": {"ops", "parent", "replacements", "runners", "sleep"},
}
# Nothing that a second runner would share may come to know the first.
NO_RUNNER = ("attention", "layers", "ops", "quantization", "triton_kernels")


def package() -> Path:
    """Where vllm_cann is installed; it is not imported."""
    spec = importlib.util.find_spec("vllm_cann")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def imports(file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of each import of a file, also of those in functions. `from a import b` gives `a.b`, which may be a module."""
    inside = [root.name, *file.relative_to(root).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = inside[: len(inside) + 1 - node.level] if node.level else []
            parts += (node.module or "").split(".") if node.module else []
            yield from ((node.lineno, ".".join([*parts, alias.name])) for alias in node.names)


def room_of(file: Path, root: Path) -> str:
    return file.relative_to(root).with_suffix("").parts[0]


def edges(root: Path) -> Iterator[tuple[str, str, str]]:
    """Room, the other room that it imports, and where."""
    for file in sorted(root.rglob("*.py")):
        for line, name in imports(file, root):
            owner, _, rest = name.partition(".")
            room, other = room_of(file, root), rest.partition(".")[0] or "__init__"
            if owner == root.name and other != room:
                yield room, other, f"{root.name}/{file.relative_to(root)}:{line}"


def reached(room: str, graph: dict[str, set[str]]) -> set[str]:
    """All rooms that an import of this one loads."""
    seen: set[str] = set()
    open_ = [room]
    while open_:
        new = graph.get(open_.pop(), set()) - seen
        seen |= new
        open_ += new
    return seen


def faults(root: Path) -> list[str]:
    """One sentence for each import that breaks a rule."""
    graph: dict[str, set[str]] = {}
    found = []
    for room, other, place in edges(root):
        graph.setdefault(room, set()).add(other)
        if other == "runners" and room != "worker":
            found.append(f"{place}: {room} imports {other}; the worker alone does")
        elif other not in MAY_IMPORT.get(room, set()):
            found.append(f"{place}: {room} imports {other}, which it may not")
    found += [f"an import of {room} loads the runners" for room in NO_RUNNER if "runners" in reached(room, graph)]
    for file in sorted(root.rglob("*.py")):
        for line, name in imports(file, root):
            if name.split(".")[0] == "softnpu":
                found.append(f"{root.name}/{file.relative_to(root)}:{line}: the plugin imports softnpu")
    return found


def test_rooms_import_what_they_may() -> None:
    assert faults(package()) == []


def test_the_table_has_every_room_and_no_other() -> None:
    root = package()
    rooms = {room_of(file, root) for file in root.rglob("*.py")}
    assert rooms == MAY_IMPORT.keys()
    assert {other for others in MAY_IMPORT.values() for other in others} <= rooms | {"_ops"}


def test_every_room_with_several_files_says_its_purpose() -> None:
    root = package()
    for folder in (path for path in root.iterdir() if any(path.glob("*.py"))):
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("attention/dense.py", "import vllm_cann.runners.v1", "attention imports runners; the worker alone does"),
        ("layers/norms.py", "from vllm_cann.runners import v1", "layers imports runners; the worker alone does"),
        ("ops/moe.py", "def f():\n    from vllm_cann import runners", "ops imports runners; the worker alone does"),
        ("platform.py", "from .runners.v1 import CannModelRunner", "platform imports runners; the worker alone does"),
        ("ops/moe.py", "from ..attention import dense", "ops imports attention, which it may not"),
        ("ops/moe.py", "from .. import platform", "ops imports platform, which it may not"),
        ("attention/dense.py", "from vllm_cann import worker", "attention imports worker, which it may not"),
        ("device.py", "import softnpu.trace", "the plugin imports softnpu"),
    ],
)
def test_a_planted_import_is_found(file: str, text: str, sentence: str, tmp_path: Path) -> None:
    root = tmp_path / "vllm_cann"
    for room in ("attention", "layers", "ops", "runners"):
        (root / room).mkdir(parents=True)
    planted = root / file
    planted.write_text(text)
    found, *_ = faults(root)
    assert found.startswith(f"vllm_cann/{file}:{text.count(chr(10)) + 1}: ")
    assert found.endswith(sentence)


def test_a_runner_behind_a_third_room_is_found(tmp_path: Path) -> None:
    root = tmp_path / "vllm_cann"
    (root / "layers").mkdir(parents=True)
    (root / "layers/norms.py").write_text("from vllm_cann import ops")
    (root / "ops.py").write_text("from vllm_cann import worker")
    (root / "worker.py").write_text("from vllm_cann.runners import v1")
    assert faults(root)[1:] == ["an import of layers loads the runners", "an import of ops loads the runners"]

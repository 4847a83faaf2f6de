"""A sample of the mutants of every kernel: what the full run (//tests/mutants:all) has noticed is noticed here."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from engine import RESULT, Engine
from mutations import Mutant, mutants

from softnpu.twin import entries

SEED = 20
EACH = 5  # of a source


@pytest.fixture(scope="module")
def engine() -> Engine:
    """All sources and cases."""
    return Engine()


def test_the_kernels_pass(engine: Engine) -> None:
    assert {source: found for source, found in engine.check_originals().items() if found} == {}


def test_a_sample_is_noticed(engine: Engine) -> None:
    result = json.loads(RESULT.read_text())
    missed = set(result["equivalent"]) | set(result["survived"])
    chosen: list[Mutant] = []
    for source in engine.sources:
        candidates = [mutant for mutant in engine.mutants if mutant.source == source and mutant.key not in missed]
        chosen += random.Random(SEED).sample(candidates, 2 * EACH)
    built = {source: 0 for source in engine.sources}
    for mutant in chosen:
        if built[mutant.source] == EACH:
            continue
        outcome = engine.examine(mutant)
        print(outcome.kind, mutant.key)
        if outcome.kind != "no build":
            built[mutant.source] += 1
            assert outcome.noticed, f"not noticed, and result.json does not say so: line {mutant.number}: {mutant.key}; see docs/mutants.md"
    assert min(built.values()) > 2


def test_the_result_is_good_and_of_these_kernels(engine: Engine) -> None:
    result = json.loads(RESULT.read_text())
    keys = {mutant.key for mutant in engine.mutants}
    stale = [key for key in (*result["equivalent"], *result["survived"]) if key not in keys]
    assert not stale, "of lines that are no more: run //tests/mutants:all -- --write"
    total = sum(sum(count.values()) for count in result["counts"].values())
    assert total + sum(result["no build"].values()) == len(keys), (
        "other kernels than those of the result: run //tests/mutants:all -- --write"
    )
    noticed = total - len(result["equivalent"]) - len(result["survived"])
    assert noticed >= 0.95 * (noticed + len(result["survived"]))
    assert all(result["equivalent"].values())
    assert all(result["survived"].values())


def test_every_kernel_of_the_repository_has_mutants(engine: Engine) -> None:
    tree = Path("MODULE.bazel").resolve().parent
    paths = [line.split(maxsplit=1)[1] for line in Path(os.environ["SOURCES"]).read_text().splitlines()]
    # Kernels elsewhere are tools of tests.
    kernels = {path for path in paths if path.startswith("cc/kernels/") and path.endswith(".cpp") and entries((tree / path).read_text())}
    headers = {
        path for path in paths if path.startswith("cc/kernels/") and path.endswith(".h") and "__aicore__" in (tree / path).read_text()
    }
    assert kernels <= set(engine.cases)
    assert kernels | headers <= set(engine.sources)


def test_rules(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    source.write_text(
        'extern "C" __global__ __aicore__ void k(GM_ADDR x, int n) {\n'
        "  SetFlag<HardEvent::V_S>(0);\n"
        "  WaitFlag<HardEvent::V_S>(0);\n"
        "  if (n < 4) return;\n"
        "  Add(a[2 * n], b, Min(n, 8));\n"
        "}\n"
    )
    found = {(m.rule, m.number, m.before, m.after) for m in mutants(source, "k.cpp")}
    pair = "SetFlag<HardEvent::V_S>(0); WaitFlag<HardEvent::V_S>(0);"
    assert found == {
        ("remove set", 2, "SetFlag<HardEvent::V_S>(0);", ""),
        ("remove pair", 2, pair, ""),
        ("remove wait", 3, "WaitFlag<HardEvent::V_S>(0);", ""),
        ("drop guard", 4, "if (n < 4) return;", ";"),
        ("drop bound", 4, "n < 4", "true"),
        ("bound off by one", 4, "<", "<="),
        ("drop term", 5, "2 * n", "2"),
        ("constant off by one", 5, "2", "3"),
        ("constant off by one", 5, "2", "1"),
        ("argument off by one", 5, "b", "(b + 1)"),
        ("argument off by one", 5, "b", "(b - 1)"),
        ("argument off by one", 5, "Min(n, 8)", "(Min(n, 8) + 1)"),
        ("argument off by one", 5, "Min(n, 8)", "(Min(n, 8) - 1)"),
        ("drop bound", 5, "Min(n, 8)", "n"),
        ("drop bound", 5, "Min(n, 8)", "8"),
        ("drop argument", 5, ", Min(n, 8)", ""),
    }
    text = source.read_bytes()
    for mutant in mutants(source, "k.cpp"):
        assert mutant.apply(text).count(b"\n") == text.count(b"\n")


def test_a_kernel_that_is_not_understood_is_named(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    shutil.copy(__file__, source)
    with pytest.raises(ValueError, match=r"k\.cpp:"):
        mutants(source, "k.cpp")

"""The operators that make mutants, comments about equivalent mutants, how samples are drawn, and which kernels a source is part of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from engine import BaselineError, Engine, changed_lines, sample
from mutations import Mutant, mutants

KERNEL = """\
extern "C" __global__ __aicore__ void k(GM_ADDR x, int n) {
  SetFlag<HardEvent::V_S>(0);
  WaitFlag<HardEvent::V_S>(0);
  if (n < 4) return;
  Add(a[2 * n], b, Min(n, 8));
}
"""


def write(directory: Path, text: str) -> Path:
    source = directory / "k.cpp"
    source.write_text(text)
    return source


def test_operators(tmp_path: Path) -> None:
    found = {(m.operator, m.number, m.before, m.after) for m in mutants(write(tmp_path, KERNEL), "k.cpp")}
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
    for mutant in mutants(tmp_path / "k.cpp", "k.cpp"):
        assert mutant.apply(KERNEL.encode()).count(b"\n") == KERNEL.count("\n")


def test_a_comment_covers_the_named_mutants_of_the_next_statement(tmp_path: Path) -> None:
    comment = """\
  // An ordinary comment.
  // mutant: drop guard, bound off by one equivalent: Fewer than four elements
  // have no effect.
  // mutant: drop bound of `n < 4` equivalent: Another reason.
  if (n < 4) return;
"""
    text = KERNEL.replace("  if (n < 4) return;\n", comment)
    assert text != KERNEL
    reasons = {(m.operator, m.before): m.reason for m in mutants(write(tmp_path, text), "k.cpp") if m.reason}
    first = "Fewer than four elements have no effect."
    assert reasons == {
        ("drop guard", "if (n < 4) return;"): first,
        ("bound off by one", "<"): first,
        ("drop bound", "n < 4"): "Another reason.",
    }


def test_a_comment_does_not_cover_the_block_of_its_statement(tmp_path: Path) -> None:
    text = KERNEL.replace(
        "  if (n < 4) return;\n", "  // mutant: bound off by one equivalent: No.\n  if (n < 4) {\n    if (n > 2) return;\n  }\n"
    )
    found = [(m.number, m.reason) for m in mutants(write(tmp_path, text), "k.cpp") if m.operator == "bound off by one"]
    assert found == [(5, "No."), (6, "")]


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("// mutant: drop guard: it does nothing", "not `mutant: OPERATOR"),
        ("// mutant: drop gard equivalent: It does nothing.", "'drop gard' is no operator"),
        ("// mutant: drop term equivalent: It does nothing.", "no mutant is covered"),
    ],
)
def test_a_comment_that_says_nothing_is_an_error(tmp_path: Path, comment: str, message: str) -> None:
    text = KERNEL.replace("  if (n < 4) return;\n", f"  {comment}\n  if (n < 4) return;\n")
    with pytest.raises(ValueError, match=message):
        mutants(write(tmp_path, text), "k.cpp")


def test_a_source_that_is_not_understood_is_named(tmp_path: Path) -> None:
    source = tmp_path / "k.cpp"
    shutil.copy(__file__, source)
    with pytest.raises(ValueError, match=r"k\.cpp:"):
        mutants(source, "k.cpp")


def named(source: str, count: int) -> list[Mutant]:
    return [Mutant(source, "drop term", 1, f"line {i}", 0, 1, "a", "b") for i in range(count)]


def test_a_sample_takes_sources_in_turn() -> None:
    drawn = sample([*named("many.cpp", 50), *named("few.cpp", 3)], seed=1)
    assert len(set(drawn)) == 53
    assert [{mutant.source for mutant in drawn[i : i + 2]} for i in (0, 2, 4)] == [{"many.cpp", "few.cpp"}] * 3


def test_a_sample_does_not_depend_on_other_lines() -> None:
    drawn = sample(named("k.cpp", 50), seed=1)
    fewer = [mutant for mutant in named("k.cpp", 50) if mutant.line != "line 7"]
    assert sample(fewer, seed=1) == [mutant for mutant in drawn if mutant.line != "line 7"]
    assert sample(named("k.cpp", 50), seed=2) != drawn


def test_every_kernel_and_every_header_with_code_has_mutants() -> None:
    engine = Engine()
    assert engine.kernels
    code = {
        path.as_posix()
        for path in Path("cc/kernels").glob("*/*.[ch]*")
        if path.suffix in (".cpp", ".h") and "__aicore__" in path.read_text()
    }
    assert code <= set(engine.sources)
    assert set(engine.kernels) <= set(engine.sources)


def test_a_header_belongs_to_all_kernels_that_include_it() -> None:
    users = Engine().users("cc/kernels/rotary/angles.h")
    assert users == ["cc/kernels/rotary/qkv_rmsnorm_rope.cpp", "cc/kernels/rotary/rotary_embedding.cpp"]


def test_every_kernel_has_tests() -> None:
    engine = Engine()
    for kernel in engine.kernels:
        with pytest.raises(BaselineError, match=f"{Path(kernel).stem}.*_test is not there"):
            engine.tests(kernel)  # sources of tests are here, and no binaries


def test_a_kernel_without_a_test_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "cc/kernels/f"
    directory.mkdir(parents=True)
    write(directory, KERNEL)
    (directory / "k_more.cpp").write_text(KERNEL.replace("void k(", "void k_more("))
    (directory / "k_more_test.cc").touch()
    engine = Engine(tmp_path)
    with pytest.raises(BaselineError, match=r"cc/kernels/f/k\.cpp has no test"):
        engine.tests("cc/kernels/f/k.cpp")


def test_changed_lines(tmp_path: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("no git")

    def run(*words: str) -> None:
        subprocess.run([git, "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

    directory = tmp_path / "cc/kernels/f"
    directory.mkdir(parents=True)
    run("init")
    source = write(directory, KERNEL)
    run("add", ".")
    run("commit", "-m", "first")
    source.write_text(KERNEL.replace("n < 4", "n < 5") + "int last;\n")
    assert changed_lines(tmp_path, "HEAD") == {"cc/kernels/f/k.cpp": [(4, 4), (7, 7)]}
    with pytest.raises(RuntimeError, match="no_such_commit"):
        changed_lines(tmp_path, "no_such_commit")

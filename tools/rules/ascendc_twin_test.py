# tools/rules/ascendc_twin_test.py: what the generator of twins refuses, and the line it records.
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.rules import ascendc_twin

SOURCE = """\
#include "kernel_operator.h"
#include "family_tiling.h"

extern "C" __global__ __aicore__ void first(GM_ADDR x) {}
extern "C" __global__ __aicore__ void
second(GM_ADDR x) {}
"""
HELPERS = """\
#include "kernel_operator.h"

__aicore__ inline void Helper() {}
"""


def generate(directory: Path, monkeypatch: pytest.MonkeyPatch, *sources: str, header: str = "#include <stdint.h>\n") -> str:
    """The host sources of a family, whose sources are family0.cpp and so on."""
    monkeypatch.chdir(directory)
    Path("family_tiling.h").write_text(header)
    options = ["--header", "family_tiling.h", "--table", "table.cc"]
    for i, source in enumerate(sources):
        Path(f"family{i}.cpp").write_text(source)
        options += ["--source", f"family{i}.cpp", f"out{i}.cc"]
    monkeypatch.setattr(sys, "argv", ["ascendc_twin", *options])
    ascendc_twin.main()
    return "".join(Path(name).read_text() for name in (*(f"out{i}.cc" for i in range(len(sources))), "table.cc"))


def test_entries_have_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = generate(tmp_path, monkeypatch, SOURCE)
    assert 'MakeEntry<&first>("first", "family0.cpp", 4, -1)' in text
    assert 'MakeEntry<&second>("second", "family0.cpp", 6, -1)' in text
    assert "{softnpu_entry_first, softnpu_entry_second}" in text


def test_a_table_has_the_entries_of_all_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = generate(tmp_path, monkeypatch, SOURCE, HELPERS, SOURCE.replace("first", "a").replace("second", "third"))
    assert 'MakeEntry<&third>("third", "family2.cpp", 6, -1)' in text
    assert "{softnpu_entry_first, softnpu_entry_second, softnpu_entry_a, softnpu_entry_third}" in text


@pytest.mark.parametrize("include", ['"family_tiling.h"', '"kernel_operator.h"'])
def test_headers_include_headers_of_the_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include: str) -> None:
    assert "first" in generate(tmp_path, monkeypatch, SOURCE, header=f"#include {include}\n")


@pytest.mark.parametrize("include", ["<vector>", '"acl/acl.h"'])
def test_headers_include_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include: str) -> None:
    with pytest.raises(SystemExit, match=f"family_tiling.h includes {include}; allowed here"):
        generate(tmp_path, monkeypatch, SOURCE, header=f"#include {include}\n")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([HELPERS], "no source defines an entry as: extern"),
        ([HELPERS, HELPERS], "no source defines an entry as: extern"),
        ([SOURCE.replace("second", "first")], "the kernel first is defined in family0.cpp and in family0.cpp"),
        ([SOURCE, SOURCE], "the kernel first is defined in family0.cpp and in family1.cpp"),
        ([SOURCE.replace('"family_tiling.h"', "<vector>")], "family0.cpp includes <vector>; allowed here"),
        ([SOURCE.replace('"family_tiling.h"', '"acl/acl.h"')], 'family0.cpp includes "acl/acl.h"'),
    ],
)
def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        generate(tmp_path, monkeypatch, *sources)

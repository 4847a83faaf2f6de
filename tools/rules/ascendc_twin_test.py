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
HEADER = "#include <stdint.h>\n"


def generate(directory: Path, monkeypatch: pytest.MonkeyPatch, source: str, *entries: str) -> str:
    monkeypatch.chdir(directory)
    Path("family.cpp").write_text(source)
    Path("family_tiling.h").write_text(HEADER)
    options = [word for entry in entries for word in ("--entry", entry)]
    files = [
        "--header",
        "family_tiling.h",
        "--source",
        "family.cpp",
        "out.cc",
        "--table",
        "table.cc",
    ]
    monkeypatch.setattr(sys, "argv", ["ascendc_twin", *options, *files])
    ascendc_twin.main()
    return Path("out.cc").read_text() + Path("table.cc").read_text()


def test_entries_have_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = generate(tmp_path, monkeypatch, SOURCE, "first", "second")
    assert 'MakeEntry<&first>("first", "family.cpp", 4, -1)' in text
    assert 'MakeEntry<&second>("second", "family.cpp", 6, -1)' in text
    assert "{softnpu_entry_first, softnpu_entry_second}" in text


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ('"family_tiling.h"', None),
        ('"kernel_operator.h"', None),
        ("<vector>", "family_tiling.h includes <vector>; allowed here"),
        ('"acl/acl.h"', 'family_tiling.h includes "acl/acl.h"; allowed here'),
    ],
)
def test_headers_include_headers_of_the_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include: str, message: str | None) -> None:
    monkeypatch.setattr(sys.modules[__name__], "HEADER", f"#include {include}\n")
    if message is None:
        assert "first" in generate(tmp_path, monkeypatch, SOURCE, "first", "second")
        return
    with pytest.raises(SystemExit, match=message):
        generate(tmp_path, monkeypatch, SOURCE, "first", "second")


@pytest.mark.parametrize(
    ("change", "entries", "message"),
    [
        (("", ""), ["first"], "defines the kernel second, which is not among the entries"),
        (("", ""), ["first", "second", "third"], "void third"),
        (("second", "first"), ["first"], "the kernel first is defined in"),
        (('"family_tiling.h"', "<vector>"), ["first", "second"], "includes <vector>; allowed here"),
        (('"family_tiling.h"', '"acl/acl.h"'), ["first", "second"], 'includes "acl/acl.h"'),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str],
    entries: list[str],
    message: str,
) -> None:
    source = SOURCE.replace(*change) if change[0] else SOURCE
    with pytest.raises(SystemExit, match=message):
        generate(tmp_path, monkeypatch, source, *entries)

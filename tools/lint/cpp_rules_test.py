"""The checks of C++ sources find what they are for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.lint import function_length, tests_beside_sources

# What the lines of a body stand in, and which line the body begins at.
_FORMS = {
    "function": ("int f() {", "}", 1),
    "template": ("namespace a {\ntemplate <typename T>\nT f(T x) {", "}\n}", 3),
    "member function": ("struct S {\n  int f() const {", "  }\n};", 2),
    "defined outside": ("void S::Run() const {", "}", 1),
    "operator": ("ACLNN(Add, (const Tensor*, self), (const Scalar*, alpha), (Tensor*, out)) {", "}", 1),
    "in extern C": ('extern "C" {\nAPI int32_t f(const int* x, int) {', "}\n}", 2),
    "registered lambda": ("SOFTNPU_UNARY(Relu, [](auto a) {", "})", 1),
    "lambda in a table": ("const Row kRows[] = {{1, [](int x) {", "}}};", 1),
    "in a scope behind a macro": ("DECLARE(Add, int)\n\nnamespace {\nvoid f() {", "}\n}", 4),
    "test": ("TEST(Suite, Name) {", "}", 1),
}


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("lines", [3, 80, 81])
def test_the_length_of_a_body(form: str, lines: int) -> None:
    head, tail, begin = _FORMS[form]
    source = "\n".join([head, *["  x = {1};"] * (lines - 2), tail]) + "\n"
    assert list(function_length.bodies(source.encode())) == [(begin, lines)]


def test_a_macro_is_a_body() -> None:
    source = "#define CALL(x) \\\n  f(x);  \\\n  g(x)\nint y;\n"
    assert list(function_length.bodies(source.encode())) == [(1, 3)]


@pytest.mark.parametrize(("limit", "status"), [("4", 0), ("3", 1)])
def test_a_body_beyond_the_limit_fails(limit: str, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "x.cc"
    source.write_text("int f() {\n  // one\n  return 1;\n}\n")
    monkeypatch.setattr(sys, "argv", ["function_length.py", limit, str(source)])
    assert function_length.main() == status


def test_a_source_without_a_test_is_named() -> None:
    files = ["a/x.cc", "a/x.h", "a/x_test.cc", "a/y.cc", "b/z.cc", "a/z_test.cc"]
    assert tests_beside_sources.missing(files) == ["a/y_test.cc", "b/z_test.cc"]

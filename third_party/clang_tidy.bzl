"""@clang_tidy: the checker of C++, from its wheel of PyPI. Fetched only by builds with --config=tidy."""

load(":fetch.bzl", "fetch_python_packages")

_WHEEL = {
    "name": "clang-tidy",
    "version": "20.1.0",  # that of the clang in zig, whose headers it reads
    "file": "clang_tidy-20.1.0-py2.py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "sha256": "e205541e350044ffe0b0d1fcaf62b9953890f8ecba31458bbcdcfe73040e58b6",
}

def _clang_tidy_impl(rctx):
    [wheel] = fetch_python_packages(rctx, [_WHEEL], "_wheels")
    rctx.symlink(wheel, "_wheel.zip")
    rctx.extract("_wheel.zip")
    rctx.execute(["chmod", "+x", "clang_tidy/data/bin/clang-tidy"])
    for leftover in ["_wheel.zip", "_wheels"]:
        rctx.delete(leftover)
    rctx.file("BUILD.bazel", """\
package(default_visibility = ["//visibility:public"])
alias(name = "clang_tidy", actual = "clang_tidy/data/bin/clang-tidy")
""")

clang_tidy = repository_rule(implementation = _clang_tidy_impl)

"""Debian packages of which a build uses some files: the sanitizers' runtime, Python's headers, GoogleTest, toml++,
nlohmann-json."""

load("//third_party:fetch.bzl", "fetch_debs")

def _deb_impl(rctx):
    for path in fetch_debs(rctx, rctx.attr.apt, [json.decode(package) for package in rctx.attr.packages]):
        rctx.extract(path, output = "_deb")  # an ar archive with the files in one of its members
        [data] = [file for file in rctx.path("_deb").readdir() if file.basename.startswith("data.tar")]
        rctx.extract(data)
        rctx.delete("_deb")
    rctx.delete("_debs")

    # Debian's pyconfig.h includes the one of the architecture. The two targets here differ in nothing that it says.
    include = rctx.path("usr/include/x86_64-linux-gnu")
    if include.exists:
        for directory in include.readdir():
            rctx.delete("usr/include/{}/pyconfig.h".format(directory.basename))
            rctx.symlink(str(directory) + "/pyconfig.h", "usr/include/{}/pyconfig.h".format(directory.basename))
    for path, text in rctx.attr.files.items():
        rctx.file(path, text)
    rctx.file("BUILD.bazel", rctx.attr.build)

_deb = repository_rule(
    implementation = _deb_impl,
    attrs = {
        "apt": attr.label(default = "//tools/bootstrap:apt.py"),
        "build": attr.string(mandatory = True),
        "files": attr.string_dict(doc = "more files, by path"),
        "packages": attr.string_list(mandatory = True, doc = "entries of lock.json"),
    },
    doc = "Unpacked Debian packages with a BUILD file.",
)

_CLANG_RT = """
package(default_visibility = ["//visibility:public"])
_LIB = "usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt."
[filegroup(name = name, srcs = [_LIB + kind + "-x86_64.a", _LIB + kind + "_cxx-x86_64.a"])
 for name, kind in [("asan", "asan"), ("tsan", "tsan"), ("ubsan", "ubsan_standalone")]]
[filegroup(name = name + "_preload", srcs = [_LIB + kind + "-x86_64.so"])
 for name, kind in [("asan", "asan"), ("ubsan", "ubsan_standalone")]]
"""

_PYTHON = """
package(default_visibility = ["//visibility:public"])
cc_library(
    name = "headers",
    hdrs = glob(["usr/include/**/*.h", "limited/*.h"]),
    defines = {defines},
    includes = {includes} + ["usr/include/python{version}"],
)
"""

_GOOGLETEST = """
package(default_visibility = ["//visibility:public"])
[
    cc_library(
        name = name,
        testonly = True,
        srcs = glob([root + "src/*.cc"], exclude = [root + "src/*-all.cc", root + "src/*_main.cc"]),
        hdrs = glob([root + "include/**/*.h", root + "src/*.h"]),
        copts = ["-w"],
        includes = [root, root + "include"],
        deps = deps,
    )
    for name, root, deps in [
        ("gtest", "usr/src/googletest/googletest/", []),
        ("gmock", "usr/src/googletest/googlemock/", [":gtest"]),
    ]
]
cc_library(
    name = "gtest_main",
    testonly = True,
    srcs = ["usr/src/googletest/googlemock/src/gmock_main.cc"],
    copts = ["-w"],
    deps = [":gmock"],
)
"""

# The licences ask that their texts go wherever the libraries go, and the libraries are compiled into ours.
_HEADERS = """
package(default_visibility = ["//visibility:public"])
cc_library(
    name = "{name}",
    hdrs = glob(["usr/include/**"]),
    defines = {defines},
    includes = ["usr/include"],
)
genrule(
    name = "license",
    srcs = ["usr/share/doc/{package}/copyright"],
    outs = ["LICENSE.{name}"],
    cmd = "cp $< $@",
)
"""

# With the limited API, Python.h no longer brings stdio.h along, on which nanobind's headers rely.
_LIMITED_PYTHON_H = """\
#include <stdio.h>
#include_next <Python.h>
"""

def debian_repositories(lock):
    """The repositories @clang_rt, @googletest, @nlohmann_json, @python_headers_311, @python_headers_abi3 and @tomlplusplus."""

    def packages(name):
        return [json.encode(lock[name])]

    _deb(name = "googletest", build = _GOOGLETEST, packages = packages("googletest"))
    for name, package, defines in [
        ("nlohmann_json", "nlohmann-json3-dev", []),
        ("tomlplusplus", "libtomlplusplus-dev", ["TOML_HEADER_ONLY=1"]),
    ]:
        _deb(
            name = name,
            build = _HEADERS.format(name = name, package = package, defines = defines),
            packages = packages(package),
        )
    _deb(name = "clang_rt", build = _CLANG_RT, packages = packages("libclang-rt-19-dev"))
    _deb(
        name = "python_headers_311",
        build = _PYTHON.format(version = "3.11", defines = [], includes = []),
        packages = packages("libpython3.11-dev"),
    )

    # The stable ABI of 3.12, for which the headers of any later version serve.
    _deb(
        name = "python_headers_abi3",
        build = _PYTHON.format(version = "3.13", defines = ["Py_LIMITED_API=0x030C0000"], includes = ["limited"]),
        files = {"limited/Python.h": _LIMITED_PYTHON_H},
        packages = packages("libpython3.13-dev"),
    )

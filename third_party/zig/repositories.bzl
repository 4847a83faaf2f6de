"""Clang, LLD and a C/C++ sysroot per target, all from the ziglang wheel.

The wheel's `zig` binary holds plain `clang`, `ld.lld`, `ar` and `objcopy`. Its own driver, `zig c++`, would build glibc stubs and
libc++ into a cache on first use; `zig_sysroot` does that once when the repository is fetched and keeps the results, so that build
actions are ordinary clang calls without a cache, environment or writable path.
"""

load("//third_party:fetch.bzl", "fetch_python_packages", "read_lock", "run")

GLIBC = "2.28"

_INCLUDES = {
    "x86_64": ["x86-linux-gnu", "generic-glibc", "x86-linux-any", "any-linux-any"],
    "aarch64": ["aarch64-linux-gnu", "generic-glibc", "aarch64-linux-any", "any-linux-any"],
}

# Of the glibc stubs, those that a `-l` option may name.
_STUBS = ["libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libresolv.so.2", "libld.so.2"]
_ARCHIVES = ["libc++.a", "libc++abi.a", "libunwind.a", "libc_nonshared.a", "libcompiler_rt.a"]

def _zig_impl(rctx):
    wheel = fetch_python_packages(rctx, [json.decode(rctx.attr.package)], "_wheels")[0]
    rctx.symlink(wheel, "_wheel.zip")
    rctx.extract("_wheel.zip")
    rctx.delete("_wheel.zip")
    rctx.delete("_wheels")

    lines = ['package(default_visibility = ["//visibility:public"])', 'exports_files(["ziglang/zig"])']
    for arch, directories in _INCLUDES.items():
        patterns = ["ziglang/lib/libcxx/include/**", "ziglang/lib/libcxxabi/include/**", "ziglang/lib/include/**", "ziglang/lib/libunwind/include/**"]
        patterns += ["ziglang/lib/libc/include/{}/**".format(directory) for directory in directories]
        lines.append('filegroup(name = "headers_{}", srcs = glob({}))'.format(arch, patterns))
    rctx.file("BUILD.bazel", "\n".join(lines) + "\n")

_zig = repository_rule(
    implementation = _zig_impl,
    attrs = {"package": attr.string(mandatory = True, doc = "ziglang's entry of lock.json")},
    doc = "The unpacked ziglang wheel.",
)

def _warm_up(rctx, zig, *flags):
    """Links one program with `zig c++` and returns the words of the linker command line that it prints."""
    cache = str(rctx.path("_cache"))
    result = rctx.execute(
        [zig, "c++", "-target", "{}-linux-gnu.{}".format(rctx.attr.arch, GLIBC), "-g0", "-s", "-fno-sanitize=undefined", "main.cc", "-o", "main"] + list(flags),
        environment = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, "ZIG_VERBOSE_LINK": "1"},
        timeout = 600,
    )
    if result.return_code != 0:
        fail("zig c++ failed:\n" + result.stderr[-4000:])
    return [line for line in result.stderr.splitlines() if line.startswith("ld.lld ")][-1].split(" ")

def _zig_sysroot_impl(rctx):
    zig = rctx.path(rctx.attr.zig)
    rctx.report_progress("building libc++ and the glibc stubs for " + rctx.attr.arch)
    rctx.file("main.cc", "int main() { return 0; }\n")
    named = {}
    for word in _warm_up(rctx, zig) + _warm_up(rctx, zig, "-fPIE", "-pie"):
        named[word.rsplit("/", 1)[-1]] = word

    run(rctx, ["mkdir", "lib"], "mkdir")
    for name in ["crt1.o", "Scrt1.o"]:
        run(rctx, ["cp", named[name], "lib/" + name], "copying " + name)
    for name in _STUBS:
        run(rctx, ["cp", named[name], "lib/{}.so".format(name.split(".")[0])], "copying " + name)
    for name in _ARCHIVES:
        # Packed again: zig writes the paths of its cache into the archive, which differ from machine to machine.
        script = 'set -e; mkdir _ar; cd _ar; "$1" ar x "$2"; LC_ALL=C "$1" ar rcsD "../lib/$3" *.o; cd ..; rm -r _ar'
        run(rctx, ["sh", "-c", script, "sh", zig, rctx.path(named[name]), name], "packing " + name)
    for leftover in ["_cache", "main.cc", "main"]:
        rctx.delete(leftover)

    for tool in ["clang", "ld.lld", "ar", "objcopy"]:
        rctx.file("bin/" + tool, '#!/bin/sh\nexec "${{0%/*}}/../../{}/ziglang/zig" {} "$@"\n'.format(rctx.attr.zig.workspace_name, tool))

    headers = ["libcxx/include", "libcxxabi/include", "include"]
    headers += ["libc/include/" + directory for directory in _INCLUDES[rctx.attr.arch]]
    headers += ["libunwind/include"]
    rctx.file("BUILD.bazel", _SYSROOT_BUILD.format(
        arch = rctx.attr.arch,
        headers = ["external/{}/ziglang/lib/{}".format(rctx.attr.zig.workspace_name, directory) for directory in headers],
        glibc_minor = GLIBC.split(".")[1],
        zig = "@@" + rctx.attr.zig.workspace_name,
        stubs = ["lib/{}.so".format(name.split(".")[0]) for name in _STUBS],
        archives = ["lib/" + name for name in _ARCHIVES],
        main = Label("//:all").workspace_name,
    ))

_SYSROOT_BUILD = """\
load("@@{main}//third_party/zig:toolchain.bzl", "zig_toolchain")

package(default_visibility = ["//visibility:public"])

zig_toolchain(
    name = "toolchain",
    arch = "{arch}",
    archives = {archives},
    glibc_minor = "{glibc_minor}",
    header_directories = {headers},
    headers = "{zig}//:headers_{arch}",
    sanitizer_runtime = "@@{main}//third_party/zig:sanitizer_runtime",
    stubs = {stubs},
    zig = "{zig}//:ziglang/zig",
)
"""

_zig_sysroot = repository_rule(
    implementation = _zig_sysroot_impl,
    attrs = {"arch": attr.string(mandatory = True), "zig": attr.label(mandatory = True)},
    doc = "Start files, libraries and the cc_toolchain of one target.",
)

def zig_repositories(lock):
    """The repositories @zig, @zig_x86_64 and @zig_aarch64."""
    _zig(name = "zig", package = json.encode(lock["ziglang"]))
    for arch in _INCLUDES:
        _zig_sysroot(name = "zig_" + arch, arch = arch, zig = "@zig//:ziglang/zig")

"""@wheels: the files of the lock, in one directory."""

load("//third_party:fetch.bzl", "fetch_python_packages", "read_lock")

def _wheels_impl(rctx):
    lock = read_lock(rctx, rctx.attr.lock)
    found = fetch_python_packages(rctx, [package for package in lock.values() if package["file"].endswith(".whl")], "files")
    rctx.file("names.txt", "".join(sorted([path.basename + "\n" for path in found])))
    rctx.file("BUILD.bazel", """\
package(default_visibility = ["//visibility:public"])
exports_files(["names.txt"])
filegroup(name = "wheels", srcs = glob(["files/*.whl"]))
""")

wheels = repository_rule(
    implementation = _wheels_impl,
    attrs = {"lock": attr.label(mandatory = True)},
    doc = "All wheels of the lock, as files in one directory: enough for `pip install --no-index --find-links`.",
)

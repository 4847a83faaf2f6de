"""@wheels: the files of the lock, in one directory."""

load("//third_party:fetch.bzl", "fetch_python_packages", "read_lock", "read_lock_twins")

def _wheels_impl(rctx):
    twins = read_lock_twins(rctx, rctx.attr.lock)
    lock = read_lock(rctx, rctx.attr.lock)
    wheels = [package for name, package in lock.items() if package["file"].endswith(".whl") and name not in twins]
    found = fetch_python_packages(rctx, wheels, "files")
    for name, twin in twins.items():
        chosen = fetch_python_packages(rctx, [lock[name]], "files", may_fail = True)
        if not chosen:
            rctx.report_progress("no index offers {} {}: fetching the plain build and what it needs".format(name, lock[name]["version"]))
            chosen = fetch_python_packages(rctx, twin, "files")
        found += chosen
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

"""@vllm_tests: the tests and examples of vLLM's sdist, and what they import besides @pyenv."""

load("//third_party:fetch.bzl", "fetch_python_packages", "read_lock", "run")
load(":environment.bzl", "fetch_vllm")

def _vllm_tests_impl(rctx):
    vllm = read_lock(rctx, rctx.attr.lock)["vllm"]
    data = read_lock(rctx, rctx.attr.data)
    venv = rctx.path(rctx.attr.environment).dirname.get_child("venv")
    sdist = fetch_vllm(rctx, vllm, venv)
    rctx.extract(sdist, output = "_all", stripPrefix = "vllm-" + vllm["version"])
    for name in ["tests", "examples", "pyproject.toml"]:
        run(rctx, ["mv", "_all/" + name, name], "taking {} out of vLLM's sdist".format(name))
    packages = [data[name] for name in rctx.attr.packages]
    for wheel in fetch_python_packages(rctx, packages, "_wheels"):
        rctx.symlink(wheel, "_wheel.zip")
        rctx.extract("_wheel.zip", output = "packages")
        rctx.delete("_wheel.zip")
    for leftover in ["_all", "_sdist", "_wheels"]:
        rctx.delete(leftover)

    # The tests are found next to this file through the disk, so that an action has one input instead of thousands. Its text stands for
    # their content in the key of an action.
    rctx.file("stamp.txt", "".join([package["sha256"] + "\n" for package in [vllm] + packages]))
    rctx.file("BUILD.bazel", 'exports_files(["stamp.txt"], visibility = ["//visibility:public"])\n')

vllm_tests = repository_rule(
    implementation = _vllm_tests_impl,
    attrs = {
        "data": attr.label(mandatory = True),
        "environment": attr.label(mandatory = True, doc = "python.sh of @pyenv"),
        "lock": attr.label(mandatory = True),
        "packages": attr.string_list(doc = "wheels of data"),
    },
    doc = "vLLM's own tests, as they are.",
)

"""@pyenv: an interpreter with the packages of the lock installed, and vLLM built from its sdist."""

load("//third_party:fetch.bzl", "find_python", "hand_over", "read_lock", "run", "take_from_cache")

def _build_vllm(rctx, python, package):
    """Builds the wheel of vLLM for the device "empty": Python files only."""
    settings = {
        "CARGO": "/nonexistent/cargo",  # its optional Rust front end would need the internet
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",  # importing torch must not look for an NPU
        "PATH": "{}:/usr/bin:/bin".format(rctx.path("venv/bin")),
        "VLLM_TARGET_DEVICE": "empty",
        "VLLM_VERSION_OVERRIDE": package["version"],
    }
    sdist = "_sdist/" + package["file"]
    if not take_from_cache(rctx, package["sha256"], sdist).wait().success:
        rctx.report_progress("pip download of vLLM's sdist")
        rctx.file("_vllm.txt", "{}=={} --hash=sha256:{}\n".format(package["name"], package["version"], package["sha256"]))
        run(
            rctx,
            python + ["download", "--quiet", "--no-deps", "--no-binary=:all:", "--no-build-isolation", "--require-hashes", "--dest", "_pip", "--requirement", "_vllm.txt"],
            "pip download of vLLM",
            environment = settings,
            timeout = 1200,
        )
        hand_over(rctx, rctx.path("_pip/" + package["file"]), package["sha256"], sdist)
    rctx.report_progress("building vLLM")
    run(
        rctx,
        python + ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "vllm", sdist],
        "building vLLM",
        environment = settings,
        timeout = 1200,
    )
    [wheel] = rctx.path("vllm").readdir()
    for leftover in ["_pip", "_sdist", "_vllm.txt"]:
        rctx.delete(leftover)
    return wheel

def _pyenv_impl(rctx):
    lock = read_lock(rctx, rctx.attr.lock)
    files = rctx.path(rctx.attr.wheels).dirname.get_child("files")
    names = rctx.read(rctx.attr.wheels).splitlines()
    wanted = [str(files.get_child(name)) for name in names if name.split("-")[0] not in rctx.attr.exclude]
    rctx.report_progress("installing {} packages".format(len(wanted)))
    python = find_python(rctx)
    run(rctx, [python, "-m", "venv", "--without-pip", "venv"], "making a virtual environment (Debian: install python3-venv)")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--python", rctx.path("venv/bin/python")]
    install = pip + ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--no-warn-script-location"]
    run(rctx, install + wanted, "pip install", timeout = 1800)
    vllm = _build_vllm(rctx, pip, lock["vllm"])
    run(rctx, install + [vllm], "pip install of vLLM", timeout = 600)

    # Tests see this directory read-only, so without byte code every test would compile all that it imports.
    rctx.report_progress("compiling to byte code")
    rctx.execute(
        ["venv/bin/python", "-m", "compileall", "-q", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash", "venv/lib/python3.11/site-packages"],
        timeout = 1800,
    )

    # torch loads torch_npu when it is imported, and that fails without CANN; a test that has one says so itself.
    # The environment is found next to this file through the disk, so a test has two files as inputs instead of 60,000. The
    # stamp stands for the content in the key of an action.
    rctx.file("python.sh", '#!/bin/sh\nhere=$(readlink -f "$0")\nexport TORCH_DEVICE_BACKEND_AUTOLOAD="${TORCH_DEVICE_BACKEND_AUTOLOAD:-0}"\nexec "${here%/*}/venv/bin/python" "$@"\n')
    version = run(rctx, ["venv/bin/python", "-c", "import sys; print(sys.version)"], "python")
    rctx.file("stamp.txt", "{}\n{}\n{}\n".format(version, lock["vllm"], "\n".join([path.rsplit("/", 1)[-1] for path in wanted])))
    rctx.file("BUILD.bazel", """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")
package(default_visibility = ["//visibility:public"])
exports_files(["python.sh", "stamp.txt"])
py_runtime(name = "runtime", files = ["stamp.txt"], interpreter = "python.sh", python_version = "PY3")
py_runtime_pair(name = "runtimes", py3_runtime = ":runtime")
filegroup(name = "vllm_wheel", srcs = glob(["vllm/*.whl"]))
""")

pyenv = repository_rule(
    implementation = _pyenv_impl,
    attrs = {
        "exclude": attr.string_list(doc = "packages of the lock that are not installed"),
        "lock": attr.label(mandatory = True),
        "wheels": attr.label(mandatory = True, doc = "names.txt of @wheels"),
    },
    doc = "A virtual environment with the wheels and vLLM.",
)

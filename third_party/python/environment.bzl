"""@pyenv: an interpreter with the packages of the lock installed, and vLLM built from its sdist."""

load("//third_party:fetch.bzl", "find_python", "hand_over", "pip_of", "read_lock", "run", "take_from_cache")

def _settings(package, venv):
    """The environment in which vLLM's sdist is read and built, for the device "empty"."""
    return {
        "CARGO": "/nonexistent/cargo",  # its optional Rust front end would need the internet
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",  # importing torch must not look for an NPU
        "PATH": "{}/bin:/usr/bin:/bin".format(venv),
        "VLLM_TARGET_DEVICE": "empty",
        "VLLM_VERSION_OVERRIDE": package["version"],
    }

def fetch_vllm(rctx, package, venv):
    """Fetches vLLM's sdist.

    Args:
        rctx: the repository context
        package: entry of lock.json
        venv: path of a virtual environment that has what building vLLM takes; pip asks the sdist for its metadata
    Returns:
        path of the sdist, in the directory _sdist
    """
    sdist = "_sdist/" + package["file"]
    if not take_from_cache(rctx, package["sha256"], sdist).wait().success:
        rctx.report_progress("pip download of vLLM's sdist")
        rctx.file("_vllm.txt", "{}=={} --hash=sha256:{}\n".format(package["name"], package["version"], package["sha256"]))
        run(
            rctx,
            pip_of(rctx, venv) + ["download", "--quiet", "--no-deps", "--no-binary=:all:", "--no-build-isolation", "--require-hashes", "--dest", "_pip", "--requirement", "_vllm.txt"],
            "pip download of vLLM",
            environment = _settings(package, venv),
            timeout = 1200,
        )
        hand_over(rctx, rctx.path("_pip/" + package["file"]), package["sha256"], sdist)
        rctx.delete("_pip")
        rctx.delete("_vllm.txt")
    return sdist

def _build_vllm(rctx, package, venv):
    """Builds the wheel of vLLM for the device "empty": Python files only."""
    sdist = fetch_vllm(rctx, package, venv)
    rctx.report_progress("building vLLM")
    run(
        rctx,
        pip_of(rctx, venv) + ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "vllm", sdist],
        "building vLLM",
        environment = _settings(package, venv),
        timeout = 1200,
    )
    [wheel] = rctx.path("vllm").readdir()
    rctx.delete("_sdist")
    return wheel

# Some indexes offer torchvision for CUDA only. Its operators do not load beside torch for the CPU; its Python part, which is all that image
# processors need, then describes operators that nobody has declared.
_DECLARED = """

if not _has_ops():
    _declared = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _declared.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""

def _pyenv_impl(rctx):
    lock = read_lock(rctx, rctx.attr.lock)
    files = rctx.path(rctx.attr.wheels).dirname.get_child("files")
    names = rctx.read(rctx.attr.wheels).splitlines()
    wanted = [str(files.get_child(name)) for name in names if name.split("-")[0] not in rctx.attr.exclude]
    rctx.report_progress("installing {} packages".format(len(wanted)))
    python = find_python(rctx)
    run(rctx, [python, "-m", "venv", "--without-pip", "venv"], "making a virtual environment (Debian: install python3-venv)")
    venv = rctx.path("venv")
    install = pip_of(rctx, venv) + ["install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--no-warn-script-location"]
    run(rctx, install + wanted, "pip install", timeout = 1800)
    torchvision = "venv/lib/python3.11/site-packages/torchvision/extension.py"
    rctx.file(torchvision, rctx.read(torchvision) + _DECLARED, executable = False)
    vllm = _build_vllm(rctx, lock["vllm"], venv)
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

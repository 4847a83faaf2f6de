"""The module extension that declares every fetched repository (see MODULE.bazel)."""

load("//third_party/debian:repositories.bzl", "debian_repositories")
load("//third_party/python:environment.bzl", "pyenv")
load("//third_party/python:sources.bzl", "source_repositories")
load("//third_party/python:vllm_tests.bzl", "vllm_tests")
load("//third_party/python:wheels.bzl", "wheels")
load("//third_party/zig:repositories.bzl", "zig_repositories")
load("//tools/lint:sources.bzl", "sources")
load(":buildifier.bzl", "buildifier")
load(":clang_tidy.bzl", "clang_tidy")
load(":fetch.bzl", "read_lock")

def _pinned_impl(mctx):
    lock = Label("//third_party/python:lock.json")
    data = Label("//third_party/python:data.json")
    packages = read_lock(mctx, lock)
    zig_repositories(packages)
    source_repositories(packages, read_lock(mctx, data))
    debian_repositories(read_lock(mctx, Label("//third_party/debian:lock.json")))
    wheels(name = "wheels", lock = lock)
    pyenv(
        name = "pyenv",
        # triton (1 GB, a requirement of xgrammar that only a GPU uses) and the compiler, which is fetched by itself.
        exclude = ["triton", "ziglang"],
        lock = lock,
        wheels = "@wheels//:names.txt",
    )
    vllm_tests(
        name = "vllm_tests",
        data = data,
        environment = "@pyenv//:python.sh",
        lock = lock,
        packages = ["msgpack", "pytest-asyncio", "ray", "tblib"],
    )
    buildifier(name = "buildifier")
    clang_tidy(name = "clang_tidy")
    sources(
        name = "sources",
        directories = [".ci", "cc", "examples", "python", "tests", "third_party", "tools"],
        files = ["BUILD.bazel", "MODULE.bazel", "version.bzl", "pyproject.toml", ".clang-format"],
        root = Label("//:MODULE.bazel"),
    )
    return mctx.extension_metadata(reproducible = True)

pinned = module_extension(
    implementation = _pinned_impl,
    doc = "Repositories whose content the lock files pin.",
)

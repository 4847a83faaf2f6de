"""Tests written for pytest."""

def pytest_test(name, srcs, deps = [], data = [], args = [], env = {}, imports = [], softnpu = None, **kwargs):
    """A test target that runs pytest on the test files among its sources.

    Test cases appear one by one in test.xml; `--test_filter=EXPRESSION` is pytest's -k; `shard_count` spreads the cases.
    Modules are imported by their path from the repository's root, or from a directory in `imports` of a dependency.

    Args:
        name: name of the target
        srcs: test files (test_*.py, *_test.py); others, conftest.py for instance, are only put beside them
        deps: py_library targets
        data: files and targets that the test uses
        args: more arguments for pytest
        env: environment of the test; $(location) of data is expanded
        softnpu: options of `softnpu run`: the whole test runs on SoftNPU; SOFTNPU_STATE_DIR is set
        imports: directories, relative to the package, to import from
        **kwargs: the other attributes of py_test: size, timeout, tags, shard_count, flaky, ...
    """
    runner = Label("//tools/rules:pytest_runner.py")
    tests = [
        src
        for src in srcs
        if src.split("/")[-1].startswith("test_") or src.endswith("_test.py")
    ]
    if not tests:
        fail("{}: no file in srcs is named test_*.py or *_test.py".format(name))
    if softnpu:
        env = env | {"PYTEST_SOFTNPU": softnpu}
        deps = deps + [Label("//python:softnpu_installed")]
    preload = Label("//third_party/zig:sanitizer_preload")
    preloaded = {"PYTEST_PRELOAD": "$(rootpath {})".format(preload)}
    env = env | select({
        Label("//third_party/zig:asan"): preloaded,
        Label("//third_party/zig:ubsan"): preloaded,
        "//conditions:default": {},
    })
    native.py_test(
        name = name,
        srcs = srcs + [runner],
        args = ["$(rootpath {})".format(src) for src in tests] + args,
        data = data + [preload],
        env = env,
        imports = imports,
        main = runner,
        deps = deps,
        **kwargs
    )

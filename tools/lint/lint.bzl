"""A test that runs a checker over all source files of a kind."""

def lint_test(name, kind, args, data = [], prefixes = []):
    """Runs `args` with {files} replaced.

    Args:
        name: name of the target
        kind: list of @sources
        args: a Python module, or the path of a script or program, and its arguments
        data: the script or program
        prefixes: only files whose paths begin with one of these
    """
    listing = "@sources//:{}.txt".format(kind)
    native.py_test(
        name = name,
        size = "small",
        timeout = "moderate",
        srcs = ["lint.py"],
        args = ["$(rootpath {})".format(listing)] + ["'{}'".format(arg) if "{" in arg else arg for arg in args],
        data = [listing, "//:MODULE.bazel"] + data,
        env = {"LINT_PREFIXES": " ".join(prefixes)},
        main = "lint.py",
        tags = ["lint"],
    )

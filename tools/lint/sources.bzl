"""@sources: lists of the repository's source files with their checksums, one list for each kind of file.

A glob() ends at package boundaries. These lists see the whole tree, change when a file does, and so decide when the checks of
//tools/lint have to run again.
"""

_KINDS = {
    "cpp": ["*.h", "*.cc", "*.cpp", "*.hpp"],
    "python": ["*.py", "*.pyi"],
    "starlark": ["BUILD", "BUILD.bazel", "*.bzl", "MODULE.bazel"],
}

def _sources_impl(rctx):
    root = rctx.path(rctx.attr.root).dirname
    present = []
    for name in rctx.attr.directories:
        rctx.watch(root.get_child(name))  # it may come or go
        if root.get_child(name).exists:
            rctx.watch_tree(root.get_child(name))
            present.append(name)
    files = [name for name in rctx.attr.files if root.get_child(name).exists]
    for name in rctx.attr.files:
        rctx.watch(root.get_child(name))

    for kind, patterns in _KINDS.items():
        names = " -o ".join(["-name '{}'".format(pattern) for pattern in patterns])
        script = "cd \"$1\" && shift && find \"$@\" -type f \\( {} \\) -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum".format(names)
        result = rctx.execute(["sh", "-c", script, "sh", root] + present + files)
        if result.return_code != 0:
            fail(result.stderr)
        rctx.file(kind + ".txt", result.stdout)
    rctx.file("BUILD.bazel", "exports_files({}, visibility = [\"//visibility:public\"])\n".format([kind + ".txt" for kind in _KINDS]))

sources = repository_rule(
    implementation = _sources_impl,
    attrs = {
        "directories": attr.string_list(mandatory = True),
        "files": attr.string_list(mandatory = True, doc = "files of the root directory"),
        "root": attr.label(mandatory = True, doc = "a file in the root directory"),
    },
    local = True,
)

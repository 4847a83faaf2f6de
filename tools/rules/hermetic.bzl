"""A test that compilations read no file of the machine: everything comes from the repository or from pinned files."""

_Dependencies = provider("What compilers read.", fields = {"files": "depset of .d files"})

def _dependencies_impl(target, ctx):
    if ctx.rule.kind.endswith("_test"):
        fail("{}: a test has a configuration of its own; name what it depends on".format(target.label))
    own = [
        file
        for action in target.actions
        if action.mnemonic == "CppCompile"
        for file in action.outputs.to_list()
        if file.extension == "d"
    ]
    below = []
    for name in _ATTRIBUTES:
        value = getattr(ctx.rule.attr, name, None)
        for dep in value if type(value) == "list" else [value]:
            if type(dep) == "Target" and _Dependencies in dep:
                below.append(dep[_Dependencies].files)
    return [_Dependencies(files = depset(own, transitive = below))]

_ATTRIBUTES = ["actual", "data", "deps", "implementation_deps", "srcs"]

_dependencies = aspect(implementation = _dependencies_impl, attr_aspects = _ATTRIBUTES)

def _dependency_files_impl(ctx):
    files = depset(transitive = [target[_Dependencies].files for target in ctx.attr.targets])
    return [DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files))]

_dependency_files = rule(
    implementation = _dependency_files_impl,
    attrs = {"targets": attr.label_list(aspects = [_dependencies])},
)

def hermetic_headers_test(name, targets, **kwargs):
    """Checks all compilations of some targets and of what they depend on.

    Args:
        name: name of the test
        targets: targets with C++ below them: libraries, programs, modules; not tests
        **kwargs: attributes of the test
    """
    _dependency_files(name = name + "_files", targets = targets, testonly = True)
    native.py_test(
        name = name,
        srcs = [Label("//tools/rules:hermetic_headers.py")],
        main = Label("//tools/rules:hermetic_headers.py"),
        data = [name + "_files"],
        size = "small",
        **kwargs
    )

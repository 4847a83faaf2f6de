"""Wheels whose bytes depend on their content only, and wheels unpacked for tests and `bazel run`."""

def _place(file, strip_prefix):
    """Path inside the wheel of a file below `strip_prefix`, else None."""
    path = file.short_path
    if path.startswith(strip_prefix + "/"):
        return path[len(strip_prefix) + 1:]
    return None

def _wheel_impl(ctx):
    entries = {}  # path in the wheel -> File

    def add(path, file):
        if entries.get(path, file) != file:
            fail("{}: two files for {}".format(ctx.label, path))
        entries[path] = file

    for dep in ctx.attr.deps:
        for file in depset(transitive = [dep[DefaultInfo].files, dep[DefaultInfo].default_runfiles.files]).to_list():
            path = _place(file, ctx.attr.strip_prefix)
            if path:
                add(path, file)
    for target, destination in ctx.attr.files.items():
        files = target[DefaultInfo].files.to_list()
        for file in files:
            if destination.endswith("/"):
                add(destination + file.basename, file)
            elif len(files) == 1:
                add(destination, file)
            else:
                fail("{}: {} has {} files, so its place has to end with a slash".format(ctx.label, target.label, len(files)))

    for target, destination in ctx.attr.trees.items():
        root = destination.rstrip("/").split("/")[-1] + "/"
        for file in target[DefaultInfo].files.to_list():
            _, found, path = file.short_path.partition("/" + root)
            if not found:
                fail("{}: {} is not below a folder {}".format(ctx.label, file.short_path, root))
            add(destination + path, file)

    requires = ctx.attr.requires + [
        '{} ; extra == "{}"'.format(requirement, extra)
        for extra, requirements in ctx.attr.extras.items()
        for requirement in requirements
    ]
    headers = [
        ("Metadata-Version", "2.4"),
        ("Name", ctx.attr.distribution),
        ("Version", ctx.attr.version),
        ("Summary", ctx.attr.summary),
        ("Author", ctx.attr.author),
        ("License-Expression", ctx.attr.license),
    ]
    headers += [("License-File", file.basename) for file in ctx.files.license_files]
    headers += [("Classifier", classifier) for classifier in ctx.attr.classifiers]
    headers += [("Requires-Python", ctx.attr.requires_python)]
    headers += [("Requires-Dist", requirement) for requirement in requires]
    headers += [("Provides-Extra", extra) for extra in ctx.attr.extras]
    if ctx.file.description_file:
        headers.append(("Description-Content-Type", "text/markdown"))

    tag = "{}-{}-{}".format(ctx.attr.python_tag, ctx.attr.abi_tag, ctx.attr.platform_tag)
    stem = "{}-{}".format(ctx.attr.distribution.replace("-", "_").replace(".", "_").lower(), ctx.attr.version)
    output = ctx.actions.declare_file("{}-{}.whl".format(stem, tag))
    spec = ctx.actions.declare_file(ctx.label.name + ".wheel.json")
    ctx.actions.write(spec, json.encode_indent({
        "description": ctx.file.description_file.path if ctx.file.description_file else None,
        "entries": {path: file.path for path, file in entries.items()},
        "entry_points": ctx.attr.entry_points,
        "headers": [[name, value] for name, value in headers if value],
        "info": stem + ".dist-info",
        "licenses": [file.path for file in ctx.files.license_files],
        "pure": ctx.attr.platform_tag == "any",
        "tag": tag,
    }))
    ctx.actions.run(
        arguments = ["write", spec.path, output.path],
        executable = ctx.executable._tool,
        inputs = depset([spec] + entries.values() + ctx.files.license_files + ctx.files.description_file),
        mnemonic = "Wheel",
        outputs = [output],
        progress_message = "Writing %{output}",
    )
    return [DefaultInfo(files = depset([output]), runfiles = ctx.runfiles([output]))]

_TOOL = attr.label(default = "//tools/rules:wheel_tool", executable = True, cfg = "exec")

wheel = rule(
    implementation = _wheel_impl,
    attrs = {
        "abi_tag": attr.string(default = "none"),
        "author": attr.string(),
        "classifiers": attr.string_list(),
        "deps": attr.label_list(doc = "py_library targets; of their files and data, what lies below strip_prefix goes in"),
        "description_file": attr.label(allow_single_file = [".md"]),
        "distribution": attr.string(mandatory = True, doc = "name of the distribution"),
        "entry_points": attr.string_list_dict(doc = 'group -> entries, e.g. {"console_scripts": ["tool = package.module:main"]}'),
        "extras": attr.string_list_dict(doc = "extra -> requirements"),
        "files": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "other files -> path in the wheel; a path that ends with a slash is a directory for all files of the target",
        ),
        "license": attr.string(doc = "SPDX expression"),
        "license_files": attr.label_list(allow_files = True),
        "platform_tag": attr.string(default = "any"),
        "python_tag": attr.string(default = "py3"),
        "requires": attr.string_list(),
        "requires_python": attr.string(),
        "strip_prefix": attr.string(default = "python", doc = "directory of the repository that becomes the root of the wheel"),
        "summary": attr.string(),
        "trees": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "other files -> directory in the wheel (a/b/), which gets what lies below a directory of that name (b) with its subdirectories",
        ),
        "version": attr.string(mandatory = True),
        "_tool": _TOOL,
    },
    doc = "A wheel. Entries are stored, sorted and dated 1980, so that equal inputs give equal bytes on every machine.",
)

def _unpacked_wheel_impl(ctx):
    directory = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run(
        arguments = ["unpack", ctx.file.wheel.path, directory.path],
        executable = ctx.executable._tool,
        inputs = [ctx.file.wheel],
        mnemonic = "UnpackWheel",
        outputs = [directory],
    )
    return [
        DefaultInfo(files = depset([directory]), runfiles = ctx.runfiles([directory])),
        PyInfo(
            imports = depset(["/".join([part for part in [ctx.workspace_name, ctx.label.package, ctx.label.name] if part])]),
            transitive_sources = depset(),
        ),
    ]

unpacked_wheel = rule(
    implementation = _unpacked_wheel_impl,
    attrs = {
        "wheel": attr.label(allow_single_file = [".whl"], mandatory = True),
        "_tool": _TOOL,
    },
    doc = "The content of a wheel as a directory on the import path, dist-info included: a dep for py_binary, py_test, pytest_test.",
    provides = [PyInfo],
)

"""Python modules in C++ with nanobind."""

def nanobind_extension(name, srcs, deps = [], copts = [], linkopts = [], **kwargs):
    """A Python module as the files that make it importable from 3.11 on: one for 3.11, one for the stable ABI of 3.12 and later.

    The target `name` is a filegroup of both: `data` for a py_library, or `files` of a wheel. Each file has the C++ runtime inside
    and shows nothing but the module's entry point.

    Args:
        name: name of the module, as in NB_MODULE(name, m)
        srcs: C++ files
        deps: cc_library targets
        copts: compiler options
        linkopts: linker options
        **kwargs: attributes of all targets (visibility, tags, testonly)
    """
    script = Label("//tools/rules:python_module.map")
    linkopts = linkopts + ["-Wl,--version-script=$(location {})".format(script)]
    for abi, suffix, cpu in [
        ("cp311", "cpython-311-x86_64-linux-gnu", "x86_64"),
        ("cp311", "cpython-311-aarch64-linux-gnu", "aarch64"),
        ("abi3", "abi3", None),
    ]:
        native.cc_binary(
            name = "{}.{}.so".format(name, suffix),
            srcs = srcs,
            additional_linker_inputs = [script],
            copts = copts + ["-fvisibility=hidden"],
            linkopts = linkopts,
            linkshared = True,
            target_compatible_with = ["@platforms//cpu:" + cpu] if cpu else [],
            deps = deps + ["@nanobind//:" + abi],
            **kwargs
        )
    native.filegroup(
        name = name,
        srcs = ["{}.abi3.so".format(name)] + select({
            "@platforms//cpu:aarch64": ["{}.cpython-311-aarch64-linux-gnu.so".format(name)],
            "//conditions:default": ["{}.cpython-311-x86_64-linux-gnu.so".format(name)],
        }),
        **kwargs
    )

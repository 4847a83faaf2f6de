"""Shared libraries under the names that CANN gives them."""

def cann_library(name, version_script = None, linkopts = [], additional_linker_inputs = [], **kwargs):
    """A shared library `name` with that name as its soname.

    Args:
        name: file name, lib*.so
        version_script: linker version script that lists what is exported
        linkopts: linker options
        additional_linker_inputs: files that the linker options name
        **kwargs: attributes of cc_binary
    """
    inputs = additional_linker_inputs
    options = ["-Wl,-soname," + name] + linkopts
    if version_script:
        inputs = inputs + [version_script]
        options = options + ["-Wl,--version-script=$(location {})".format(version_script)]
    native.cc_binary(
        name = name,
        additional_linker_inputs = inputs,
        linkopts = options,
        linkshared = True,
        **kwargs
    )

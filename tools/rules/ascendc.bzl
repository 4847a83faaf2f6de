"""AscendC kernels: one source, compiled for each NPU and for the host."""

def ascendc_kernel_library(name, srcs, hdrs = [], copts = [], **kwargs):
    """The binaries of a family of kernels.

    `<name>.twin.so` is the family compiled by the host compiler against SoftNPU's AscendC headers. Host code loads
    `<directory>/<name>.<soc>.o` and never knows of it: SoftNPU's runtime takes the twin that lies beside that name.

    The target `name` is a filegroup of all binaries. A device toolchain adds `<name>.<soc>.o` to it, from the same attributes:
    one compilation of each file in `srcs` per SoC, with the repository's root as include directory and C++17.

    Args:
        name: name of the family
        srcs: AscendC files. They include kernel_operator.h, files in `hdrs` and nothing else. Kernels are found: functions that are
            defined as `extern "C" __global__ __aicore__ void name(...)`
        hdrs: headers: plain ones shared with the host, with the structs that kernels take by value, which include stdint.h, and ones
            for kernels alone, which may include kernel_operator.h; both may include each other
        copts: options of the host compiler
        **kwargs: attributes of all targets (visibility, tags, testonly)
    """
    wrappers = ["{}.{}.twin.cc".format(name, src.split(":")[-1].rpartition(".")[0].replace("/", "_")) for src in srcs]
    tool = Label("//tools/rules:ascendc_twin")
    native.genrule(
        name = name + "_twin_sources",
        srcs = srcs + hdrs,
        outs = wrappers + [name + ".twin.cc"],
        cmd = " ".join(
            ["$(execpath {})".format(tool)] +
            ["--header $(execpaths {})".format(hdr) for hdr in hdrs] +
            ["--source $(execpath {}) $(execpath {})".format(src, wrapper) for src, wrapper in zip(srcs, wrappers)] +
            ["--table $(execpath {}.twin.cc)".format(name)],
        ),
        tools = [tool],
        **kwargs
    )
    native.cc_library(
        name = name + "_sources",
        hdrs = hdrs,
        textual_hdrs = srcs,
        **kwargs
    )
    script = Label("//tools/rules:ascendc_twin.map")
    native.cc_binary(
        name = name + ".twin.so",
        srcs = wrappers + [name + ".twin.cc"],
        additional_linker_inputs = [script],
        copts = ["-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fvisibility=hidden", "-Wall", "-Wextra"] + copts,
        linkopts = ["-Wl,--version-script=$(location {})".format(script)],
        linkshared = True,
        deps = [
            name + "_sources",
            Label("//cc/softnpu/ascendc:kernel_headers"),
        ],
        **kwargs
    )
    native.filegroup(
        name = name,
        srcs = [name + ".twin.so"],
        **kwargs
    )

def ascendc_kernel_test(name, srcs, kernels, deps = [], data = [], **kwargs):
    """A GoogleTest of kernels: their twins run on the simulated cores.

    Sources include cc/softnpu/ascendc/testing/kernels.h: Twin(path) loads "<package>/<family>.twin.so", HostMemory is GM, and Launch runs a
    kernel under all checks.

    Args:
        name: name of the target
        srcs: C++ files
        kernels: ascendc_kernel_library targets
        deps: more libraries: the host's tiling for instance
        data: more files
        **kwargs: the other attributes of cc_test; size is small by default
    """
    native.cc_test(
        name = name,
        size = kwargs.pop("size", "small"),
        srcs = srcs,
        data = kernels + data,
        deps = deps + [
            Label("//cc/softnpu/ascendc/testing"),
            "@googletest//:gtest_main",
        ],
        **kwargs
    )

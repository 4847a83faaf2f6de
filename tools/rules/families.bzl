"""The targets of a family of operators: its kernels, and the host code that checks, tiles and launches them.

A family has one name in all rooms: cc/kernels/<family>, cc/ops/<family>, and the kernels' binary. Sources, entries and tests are found.
"""

load(":ascendc.bzl", "ascendc_kernel_library", "ascendc_kernel_test")

_SHARED = [
    Label("//cc/kernels:device.h"),
    Label("//cc/kernels:sizes.h"),
]

def kernel_family(name):
    """The kernels of a package: `<kernel>.cpp`, the structs that host and kernel share in `<kernel>_tiling.h`, and `<kernel>_test.cc`.

    `:headers` has those of the package and of all families; `:sources` these, the kernels and the tests' sources; `:tests` the tests'
    binaries.

    Args:
        name: name of the family, and of the target with its binaries
    """
    tests = native.glob(["*_test.cc"])
    sources = native.glob(["*.cpp"])
    native.exports_files(sources)
    native.filegroup(
        name = "headers",
        srcs = native.glob(["*.h"]) + _SHARED,
    )
    native.cc_library(
        name = "tiling",
        hdrs = native.glob(["*_tiling.h"]),
        deps = [Label("//cc/kernels:sizes")],
    )
    ascendc_kernel_library(
        name = name,
        srcs = sources,
        hdrs = [":headers"],
    )
    for test in tests:
        ascendc_kernel_test(
            name = test.removesuffix(".cc"),
            srcs = [test],
            kernels = [":" + name],
            deps = [
                Label("//cc/kernels:conformance"),
                Label("//cc/softnpu/ascendc:numeric"),
                "//cc/ops/" + name,
            ],
        )
    native.filegroup(
        name = "sources",
        srcs = sources + tests + [":headers"],
    )
    native.filegroup(
        name = "tests",
        testonly = True,
        srcs = [":" + test.removesuffix(".cc") for test in tests],
        data = [":" + test.removesuffix(".cc") for test in tests],  # brings what they read when they run
    )

def operator_family(name):
    """The operators of a package: `<operator>.cc` declares an operator, `<operator>.h` has its arguments and plan, `<operator>_test.cc` tests it.

    Args:
        name: name of the family, and of the library
    """
    tests = native.glob(["*_test.cc"])
    native.cc_library(
        name = name,
        srcs = native.glob(
            ["*.cc"],
            exclude = tests,
        ),
        hdrs = native.glob(["*.h"]),
        deps = [
            Label("//cc/ops:launch"),
            "//cc/kernels/{}:tiling".format(name),
        ],
        alwayslink = True,  # an operator is found by its declaration, which nothing names
    )
    for test in tests:
        native.cc_test(
            name = test.removesuffix(".cc"),
            size = "small",
            srcs = [test],
            deps = [
                ":" + name,
                "@googletest//:gtest_main",
            ],
        )

"""One target for the operators of a family."""

def operator_family(name, deps):
    """A library of the operators of a package, and a test for each of its tests.

    Sources are found: `<operator>.cc` declares an operator, `<operator>.h` has its arguments and its plan, `<operator>_test.cc` tests it.

    Args:
        name: name of the family, of the library, and of the kernels' binary
        deps: cc_library targets, the tiling structs of the family among them
    """
    tests = native.glob(["*_test.cc"])
    native.cc_library(
        name = name,
        srcs = native.glob(
            ["*.cc"],
            exclude = tests,
        ),
        hdrs = native.glob(["*.h"]),
        deps = deps + ["//cc/ops:launch"],
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

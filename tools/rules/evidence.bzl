"""What //tests/mutants and //tests/conformance take from a family of kernels."""

def kernel_evidence():
    """`:sources`, the AscendC files of the package and those of all families, and `:tests`, the binaries of its tests.

    Stands behind the package's tests.
    """
    native.filegroup(
        name = "sources",
        srcs = native.glob([
            "*.cpp",
            "*.h",
            "*_test.cc",
        ]) + [
            Label("//cc/kernels:device.h"),
            Label("//cc/kernels:sizes.h"),
        ],
    )
    tests = [":" + rule["name"] for rule in native.existing_rules().values() if rule["kind"] == "cc_test"]
    native.filegroup(
        name = "tests",
        testonly = True,
        srcs = tests,
        data = tests,  # brings what they read when they run
    )

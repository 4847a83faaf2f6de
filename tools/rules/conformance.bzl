"""What tests/conformance/sources.json has digests of."""

def conformance_sources():
    """`:tested`, the sources of the package's kernels or of their plans, for //tests/conformance:page_test to compare."""
    native.filegroup(
        name = "tested",
        srcs = native.glob(
            [
                "*.cc",
                "*.cpp",
                "*.h",
            ],
            allow_empty = True,
        ),
    )

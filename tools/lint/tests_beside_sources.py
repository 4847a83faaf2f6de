"""Each C++ source has its test beside it:  tests_beside_sources.py FILE...

x.cc needs x_test.cc in the same folder. The BUILD file registers what matches *_test.cc.
"""

import sys


def missing(files: list[str]) -> list[str]:
    """The tests that should be there, among the paths of all files."""
    sources = (name.removesuffix(".cc") for name in files if name.endswith(".cc") and not name.endswith("_test.cc"))
    return [f"{name}_test.cc" for name in sources if f"{name}_test.cc" not in files]


def main() -> int:
    absent = missing(sys.argv[1:])
    for name in absent:
        print(f"{name} is missing: {name.removesuffix('_test.cc')}.cc has no test beside it")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())

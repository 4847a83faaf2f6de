"""Function bodies of at most some lines in C++ files:  function_length.py LINES FILE...

A body is the outermost `{...}` of statements: of a function, of a member function, of a lambda, or behind a macro call such
as ACLNN(...). What lies inside of it counts as its lines. A macro's definition counts as a body too.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tree_sitter
import tree_sitter_cpp

_BODIES = ("compound_statement", "preproc_def", "preproc_function_def")
# The parser takes a scope behind a macro call without a semicolon for the body of a function.
_SCOPE = re.compile(rb"\b(namespace|class|struct|union|enum)(\s+[\w:]+)*\s*$")


def _outermost(node: tree_sitter.Node, source: bytes) -> Iterator[tree_sitter.Node]:
    for child in node.children:
        if child.type in _BODIES and not _SCOPE.search(source[max(0, child.start_byte - 200) : child.start_byte]):
            yield child
        else:
            yield from _outermost(child, source)


def bodies(source: bytes) -> Iterator[tuple[int, int]]:
    """(first line, number of lines) of each body, lines counted from 1."""
    tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_cpp.language())).parse(source)
    for node in _outermost(tree.root_node, source):
        # The node of a macro ends at the beginning of the next line.
        end = node.end_point.row + (1 if node.end_point.column else 0)
        yield node.start_point.row + 1, end - node.start_point.row


def main() -> int:
    limit = int(sys.argv[1])
    failed = False
    for name in sys.argv[2:]:
        for line, length in bodies(Path(name).read_bytes()):
            if length > limit:
                print(f"{name}:{line}: a body of {length} lines, the limit is {limit}: split it into functions with one job each")
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

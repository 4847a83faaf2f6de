"""Mutants of AscendC sources, made by operators on the syntax tree.

A mutant is a source with one piece of text replaced. Line breaks stay, so every line keeps its number. A mutant is known by its source, its
operator, the text of its line and the replacement, not by its place: a sample that is drawn by these names stays the same when other lines
change.

A comment in the source says why a mutant is equivalent to the original:

    // mutant: bound off by one, drop bound of `n < end` equivalent: A copy of no bytes does nothing.

It names operators, each with the replaced text if only mutants of that text are meant, and a reason, which may go on in the next lines. It
covers the statement, declaration or argument that follows, without the blocks in braces in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import tree_sitter
import tree_sitter_cpp

# What the parser of plain C++ does not know; blanks of the same length keep all offsets.
_ATTRIBUTES = re.compile(rb"__(?:aicore|cube|global|gm|ubuf|vector)__|\bVLLM_CANN_HOST_AND_DEVICE\b")
_REMOVED = {
    "PipeBarrier": "remove barrier",
    "SyncAll": "remove barrier",
    "SetFlag": "remove set",
    "CrossCoreSetFlag": "remove set",
    "WaitFlag": "remove wait",
    "CrossCoreWaitFlag": "remove wait",
    "EnQue": "remove EnQue",
    "DeQue": "remove DeQue",
    "FreeTensor": "remove FreeTensor",
    "DataCacheCleanAndInvalid": "remove cache clean",
}
# Calls that are neither instructions nor their parameters.
_NO_INSTRUCTION = {"Min", "InitBuffer", "GetValue", "FetchEventID", "AllocTensor"} | set(_REMOVED)
_RELATIONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
OPERATORS = sorted(
    {
        *_REMOVED.values(),
        "remove pair",
        "drop guard",
        "drop bound",
        "drop condition",
        "bound off by one",
        "drop term",
        "swap + and -",
        "constant off by one",
        "argument off by one",
        "drop argument",
    }
)


@dataclass(frozen=True)
class Mutant:
    """`source` with bytes [begin, end) replaced by `after`.

    Attributes:
        source: path of the file, from the repository's root
        operator: name of the rule
        number, line: where the replaced text begins: number of the line, from 1, and its text without indentation
        begin, end: replaced bytes
        before, after: replaced text and replacement, with each run of white space as one blank
        nth: counts mutants of equal names, from 0
        reason: why it is equivalent to the original, from a comment in the source; empty: no comment says so
    """

    source: str
    operator: str
    number: int
    line: str
    begin: int
    end: int
    before: str
    after: str
    nth: int = 0
    reason: str = ""

    @property
    def key(self) -> str:
        """Its name. It does not change when other lines do."""
        nth = f" #{self.nth + 1}" if self.nth else ""
        return f"{self.source} | {self.operator} | {self.line} | {self.before} -> {self.after or 'nothing'}{nth}"

    def __str__(self) -> str:
        return f"{self.source}:{self.number}: {self.operator}: `{self.before}` -> `{self.after}`, in: {self.line}"

    def apply(self, text: bytes) -> bytes:
        """The source with the fault."""
        return text[: self.begin] + self.after.encode() + b"\n" * self.before_lines(text) + text[self.end :]

    def before_lines(self, text: bytes) -> int:
        """Line breaks that the replacement lacks."""
        return text.count(b"\n", self.begin, self.end) - self.after.count("\n")


def _name(call: tree_sitter.Node) -> str:
    """The last name of what is called: EnQue of a.template EnQue<T>(x)."""
    node = call.child_by_field_name("function")
    while node is not None and node.type not in ("identifier", "field_identifier"):
        inner = node.child_by_field_name("field") or node.child_by_field_name("name")
        node = inner or (node.named_children[-1] if node.named_children and node.type == "dependent_name" else None)
    return "" if node is None or node.text is None else node.text.decode()


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


def _walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _field(node: tree_sitter.Node, name: str) -> tree_sitter.Node:
    found = node.child_by_field_name(name)
    assert found is not None, f"{node.type} without {name}"
    return found


def _statement_call(statement: tree_sitter.Node) -> str:
    """The name of the call that an expression statement consists of, also as the right side of an assignment."""
    if statement.type != "expression_statement" or not statement.named_children:
        return ""
    inner = statement.named_children[0]
    if inner.type == "assignment_expression":
        inner = _field(inner, "right")
    return _name(inner) if inner.type == "call_expression" else ""


def _ends_early(statement: tree_sitter.Node) -> bool:
    if statement.type == "compound_statement" and statement.named_children:
        statement = statement.named_children[-1]
    return statement.type in ("continue_statement", "return_statement", "break_statement")


def _relations(condition: tree_sitter.Node) -> bool:
    return any(node.type in _RELATIONS for node in _walk(condition))


_Change = tuple[str, tree_sitter.Node, tree_sitter.Node, str]


def _statements(node: tree_sitter.Node) -> Iterator[_Change]:
    name = _statement_call(node)
    if name in _REMOVED:
        parent = node.parent
        is_body = parent is not None and parent.type not in ("compound_statement", "case_statement")
        nothing = ";" if is_body else ""
        yield _REMOVED[name], node, node, nothing
        after = node.next_named_sibling
        if after is not None and name.endswith("SetFlag") and _statement_call(after).endswith("WaitFlag"):
            yield "remove pair", node, after, nothing
    if node.type == "if_statement":
        condition = _field(node, "condition")
        consequence = _field(node, "consequence")
        if _text(node).startswith("if constexpr"):
            return
        if _ends_early(consequence):
            yield "drop guard", node, consequence, ";"
        value = _field(condition, "value")
        if _relations(value):
            yield "drop bound", value, value, "true"
    if node.type in ("for_statement", "while_statement"):
        found = node.child_by_field_name("condition")
        if found is not None and found.type == "condition_clause":
            found = _field(found, "value")
        if found is not None:
            yield "drop bound", found, found, "true"


def _bounds(node: tree_sitter.Node) -> Iterator[_Change]:
    if node.type == "call_expression" and _name(node) == "Min":
        for argument in _field(node, "arguments").named_children:
            yield "drop bound", node, node, _text(argument)
    if node.type == "conditional_expression" and _relations(_field(node, "condition")):
        for side in ("consequence", "alternative"):
            yield "drop bound", node, node, f"({_text(_field(node, side))})"
    if node.type == "binary_expression":
        operator = _text(_field(node, "operator"))
        left, right = _field(node, "left"), _field(node, "right")
        if operator in ("&&", "||"):
            yield "drop condition", node, node, _text(left)
            yield "drop condition", node, node, _text(right)
        if operator in _RELATIONS:
            sign = _field(node, "operator")
            yield "bound off by one", sign, sign, _RELATIONS[operator]


def _terms(node: tree_sitter.Node) -> Iterator[_Change]:
    if node.type == "binary_expression":
        sign = _field(node, "operator")
        operator = _text(sign)
        left, right = _field(node, "left"), _field(node, "right")
        if operator in ("+", "-", "*", "/", "%"):
            yield "drop term", node, node, _text(left)
            if operator == "+":
                yield "drop term", node, node, _text(right)
            if operator in "+-":
                yield "swap + and -", sign, sign, "-" if operator == "+" else "+"
            for side in (left, right):
                if side.type == "number_literal" and side.text is not None and side.text.isdigit():
                    for value in (int(side.text) + 1, int(side.text) - 1):
                        yield "constant off by one", side, side, str(value)
    if node.type == "assignment_expression":
        sign = _field(node, "operator")
        if _text(sign) in ("+=", "-="):
            yield "swap + and -", sign, sign, "-=" if _text(sign) == "+=" else "+="


def _arguments(node: tree_sitter.Node) -> Iterator[_Change]:
    """Of instructions, and of what is declared or constructed as their parameters. What is not a number does not compile."""
    if node.type != "argument_list" or node.parent is None:
        return
    parent = node.parent
    if parent.type == "call_expression":
        name = _name(parent)
        if not name[:1].isupper() or name in _NO_INSTRUCTION:
            return
        first = 0 if "Params" in name else 1
    elif parent.type == "init_declarator":
        declaration = parent.parent
        if declaration is None or not _text(_field(declaration, "type")).split("<")[0].endswith("Params"):
            return
        first = 0
    else:
        return
    given = [child for child in node.named_children if child.type != "comment"]
    for argument in given[first:]:
        if argument.type in ("true", "false", "string_literal"):
            continue
        if argument.type == "number_literal" and argument.text is not None and argument.text.isdigit():
            for value in (int(argument.text) + 1, int(argument.text) - 1):
                if value >= 0:
                    yield "constant off by one", argument, argument, str(value)
            continue
        for change in ("+ 1", "- 1"):
            # A cast binds tighter than the sum, which is narrowed again by the parameter: written out for braces and for warnings.
            yield "argument off by one", argument, argument, f"({_text(argument)} {change})"
    if len(given) > max(first, 1):
        last, before = given[-1], given[-2]
        comma = before.next_sibling
        assert comma is not None
        yield "drop argument", comma, last, ""


@dataclass(frozen=True)
class _Reason:
    """Mutants that begin in one of `places` are equivalent if one of (operator, replaced text or nothing) is theirs."""

    places: list[tuple[int, int]]
    changes: list[tuple[str, str]]
    text: str

    def covers(self, mutant: Mutant) -> bool:
        return any(begin <= mutant.begin < end for begin, end in self.places) and any(
            operator == mutant.operator and text in ("", mutant.before) for operator, text in self.changes
        )


_COMMENT = re.compile(r"mutant: (?P<changes>.+?) equivalent: (?P<reason>.+)")
_CHANGE = re.compile(r"(?P<operator>[^`,]+?)(?: of `(?P<text>[^`]+)`)?(?:, |$)")


def _outside_of_blocks(node: tree_sitter.Node) -> Iterator[tuple[int, int]]:
    """The byte ranges of a node without its blocks in braces."""
    begin = node.start_byte
    open_nodes = [node]
    while open_nodes:
        inner = open_nodes.pop()
        if inner.type == "compound_statement":
            yield begin, inner.start_byte
            begin = inner.end_byte
        else:
            open_nodes += reversed(inner.children)
    yield begin, node.end_byte


def _reasons(root: tree_sitter.Node, path: Path) -> list[_Reason]:
    """All that comments say of equivalent mutants."""
    out = []
    for node in _walk(root):
        previous = node.prev_named_sibling
        if node.type == "comment" or previous is None or previous.type != "comment":
            continue
        lines: list[str] = []
        number = previous.start_point[0] + 1
        while previous is not None and previous.type == "comment":
            lines.insert(0, _text(previous).removeprefix("//").strip())
            previous = previous.prev_named_sibling
        for text in re.split(r"(?=\bmutant: )", " ".join(lines))[1:]:
            if not (found := _COMMENT.fullmatch(text.strip())):
                raise ValueError(f"{path}:{number}: not `mutant: OPERATOR [of `TEXT`], ... equivalent: REASON`: {text}")
            changes = [(change["operator"], change["text"] or "") for change in _CHANGE.finditer(found["changes"])]
            if unknown := [operator for operator, _ in changes if operator not in OPERATORS]:
                raise ValueError(f"{path}:{number}: {unknown[0]!r} is no operator; there are: {', '.join(OPERATORS)}")
            out.append(_Reason(list(_outside_of_blocks(node)), changes, found["reason"]))
    return out


def mutants(path: Path, source: str) -> list[Mutant]:
    """All mutants of a source, in the order of their places.

    Args:
        path: the file
        source: its name in the mutants
    Raises:
        ValueError: the parser does not understand the source; a comment about mutants is malformed, or covers no mutant
    """
    original = path.read_bytes()
    plain = _ATTRIBUTES.sub(lambda match: b" " * len(match[0]), original)
    root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_cpp.language())).parse(plain).root_node
    if root.has_error:
        bad = next(node for node in _walk(root) if node.type == "ERROR" or node.is_missing)
        raise ValueError(f"{path}:{bad.start_point[0] + 1}: not understood: {_text(bad)[:60]}")
    lines = original.decode().split("\n")
    out: list[Mutant] = []
    seen: set[tuple[int, int, str]] = set()
    count: dict[str, int] = {}

    def visit(node: tree_sitter.Node) -> None:
        if node.type in ("template_parameter_list", "static_assert_declaration", "template_argument_list"):
            return
        # Its size is a promise of how far accesses go; it changes no result.
        if node.type == "call_expression" and _name(node) == "SetGlobalBuffer":
            return
        for operators in (_statements, _bounds, _terms, _arguments):
            for operator, begin, end, after in operators(node):
                at = (begin.start_byte, end.end_byte, after)
                if at in seen:
                    continue
                seen.add(at)
                number = begin.start_point[0] + 1
                before = " ".join(original[begin.start_byte : end.end_byte].decode().split())
                mutant = Mutant(
                    source, operator, number, lines[number - 1].strip(), begin.start_byte, end.end_byte, before, " ".join(after.split())
                )
                nth = count[mutant.key] = count.get(mutant.key, -1) + 1
                out.append(replace(mutant, nth=nth))
        for child in node.children:
            visit(child)

    visit(root)
    for reason in _reasons(root, path):
        covered = [i for i, mutant in enumerate(out) if reason.covers(mutant)]
        if not covered:
            raise ValueError(f"{path}: no mutant is covered by: {reason.changes} equivalent: {reason.text}")
        for i in covered:
            out[i] = replace(out[i], reason=reason.text)
    return sorted(out, key=lambda mutant: (mutant.begin, mutant.end, mutant.after))

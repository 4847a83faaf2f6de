"""Mutants of AscendC kernels by rules on the syntax tree.

A mutant is a kernel's source with one piece of text replaced; line breaks stay, so lines keep their numbers. It is known by its source, the
rule, the text of its line and the replacement, not by its place, so that a result stays valid when other lines change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter
import tree_sitter_cpp

# What the parser of plain C++ does not know; blanks of the same length keep all offsets.
_ATTRIBUTES = re.compile(rb"__(?:aicore|cube|global|gm|ubuf|vector)__")
_ENTRY = re.compile(r'extern\s+"C"\s+__global__')
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
_NO_INSTRUCTION = {"Min", "InitBuffer", "SetGlobalBuffer", "GetValue", "FetchEventID", "AllocTensor"} | set(_REMOVED)
_RELATIONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


@dataclass(frozen=True)
class Mutant:
    """`source` with bytes [begin, end) replaced by `after`. `twin`: of equal ones in a line, which."""

    source: str
    kernel: str
    rule: str
    number: int
    line: str
    begin: int
    end: int
    before: str
    after: str
    twin: int = 0

    @property
    def key(self) -> str:
        """Its name in results."""
        nth = f" #{self.twin + 1}" if self.twin else ""
        return f"{self.source} | {self.rule} | {self.line} | {self.before} -> {self.after or 'nothing'}{nth}"

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


def _reach(root: tree_sitter.Node) -> dict[str, set[str]]:
    """Name of a function or class at top level -> the entries that use it."""
    bodies: dict[str, str] = {}

    def collect(node: tree_sitter.Node) -> None:
        for child in node.named_children:
            if child.type in ("namespace_definition", "declaration_list", "template_declaration", "linkage_specification"):
                collect(child)
            elif child.type in ("function_definition", "class_specifier", "struct_specifier"):
                bodies[_definition(child)] = bodies.get(_definition(child), "") + _text(child)

    collect(root)
    uses = {name: {other for other in bodies if other != name and re.search(rf"\b{other}\b", body)} for name, body in bodies.items()}
    entries = {name for name, body in bodies.items() if re.match(r"void\s+" + name, body.lstrip())} & {
        _definition(function)
        for linkage in _walk(root)
        if linkage.type == "linkage_specification"
        for function in linkage.named_children
        if function.type == "function_definition"
    }
    reached: dict[str, set[str]] = {name: set() for name in bodies}
    for entry in entries:
        open_names = [entry]
        while open_names:
            name = open_names.pop()
            if entry not in reached[name]:
                reached[name].add(entry)
                open_names += uses[name]
    return reached


def _definition(node: tree_sitter.Node) -> str:
    if node.type != "function_definition":
        return _text(_field(node, "name"))
    for inner in _walk(_field(node, "declarator")):
        if inner.type in ("identifier", "field_identifier"):
            return _text(inner)
    return ""


def _kernel(entries: set[str]) -> str:
    """One name for entries that share code: rope for rope_half and rope_float."""
    words = [name.split("_") for name in sorted(entries)]
    common = [column[0] for column in zip(*words, strict=False) if len(set(column)) == 1]
    return "_".join(common) or "shared"


def mutants(path: Path, source: str) -> list[Mutant]:
    """All mutants of a source, in the order of their places. A header's are its own, not a kernel's.

    Args:
        path: the file
        source: the name that it has in keys
    Raises:
        ValueError: the parser does not understand the source
    """
    original = path.read_bytes()
    plain = _ATTRIBUTES.sub(lambda match: b" " * len(match[0]), original)
    root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_cpp.language())).parse(plain).root_node
    if root.has_error:
        bad = next(node for node in _walk(root) if node.type == "ERROR" or node.is_missing)
        raise ValueError(f"{path}:{bad.start_point[0] + 1}: not understood: {_text(bad)[:60]}")
    lines = original.decode().split("\n")
    reached = _reach(root)
    out: list[Mutant] = []
    seen: set[tuple[int, int, str]] = set()
    count: dict[str, int] = {}

    def visit(node: tree_sitter.Node, kernel: str) -> None:
        is_definition = node.type in ("function_definition", "class_specifier", "struct_specifier")
        if path.suffix != ".h" and is_definition and _definition(node) in reached:
            kernel = _kernel(reached[_definition(node)]) if reached[_definition(node)] else ""
        if node.type in ("template_parameter_list", "static_assert_declaration", "template_argument_list"):
            return
        for rules in (_statements, _bounds, _terms, _arguments):
            for rule, begin, end, after in rules(node):
                at = (begin.start_byte, end.end_byte, after)
                if not kernel or at in seen:
                    continue
                seen.add(at)
                number = begin.start_point[0] + 1
                before = " ".join(original[begin.start_byte : end.end_byte].decode().split())
                mutant = Mutant(
                    source, kernel, rule, number, lines[number - 1].strip(), begin.start_byte, end.end_byte, before, " ".join(after.split())
                )
                twin = count[mutant.key] = count.get(mutant.key, -1) + 1
                out.append(Mutant(**{**mutant.__dict__, "twin": twin}))
        for child in node.children:
            visit(child, kernel)

    visit(root, path.name if path.suffix == ".h" else "")
    return sorted(out, key=lambda mutant: (mutant.begin, mutant.end, mutant.after))

"""Kernels in the text of a translation unit: a reader of C++ declarations.

The text is a source, or better what the preprocessor made of it: then macros, branches of #ifdef and included files are as the compiler
sees them. Namespaces, linkage, templates and attributes are followed; bodies are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|\\\n)
      | (?P<newline>\n)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<string>(?:u8|[uUL])?R"(?P<d>[^()\\\s]{0,16})\(.*?\)(?P=d)"|(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"|(?:u8|[uUL])?'(?:\\.|[^'\\\n])*')
      | (?P<word>[A-Za-z_]\w*|\.?\d(?:[\w.]|[eEpP][+-]|'\w)*)
      | (?P<other>::|->|.)""",
    re.X | re.S,
)
_LINE = re.compile(r'#\s*(?:line\s+)?(\d+)\s+"((?:\\.|[^"\\])*)"')
# KernelMetaType of (cube cores, vector cores) per block.
_LAYOUTS = {(1, 0): 1, (0, 1): 0, (1, 1): 4, (1, 2): 5}
# Words of a parameter that are no type by themselves, and types of several words.
_QUALIFIERS = {"const", "volatile", "struct", "class", "enum", "typename"}
_NUMBERS = {"int", "long", "char", "short", "unsigned", "signed", "double"}
# Words that change nothing in how a parameter is passed.
_LEFT_OUT = {"__gm__", "__restrict__", "__restrict", "restrict"}
_OPEN = {"(": ")", "[": "]", "{": "}"}
_NUMBER = re.compile(
    r"(?:const )?(?:(?:std::)?u?int(?:8|16|32|64)_t|(?:std::)?size_t|bool|float|(?:long )?double|(?:un)?signed"
    r"|(?:(?:un)?signed )?(?:char|int|(?:short|long|long long)(?: int)?)|(?:short|long|long long) (?:un)?signed(?: int)?)"
)
# What a definition of a kernel looks like without comments. A macro with __global__ may define one where it is used.
_DEFINITION = re.compile(
    r"\btemplate\s+__global__"
    r"|\b__global__\b[^;{}]*(?:\)|\bnoexcept)[\s\\]*\{"
    r"|^[ \t]*#[ \t]*define\b(?:[^\n\\]|\\.)*\b__global__\b",
    re.M | re.S,
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)

# Types of data: what CANN's DT_... and C_DT_... of these names are in a kernel, and the number of DT_...
DATA_TYPES = {
    "FLOAT": ("float", 0),
    "FLOAT16": ("half", 1),
    "INT8": ("int8_t", 2),
    "INT32": ("int32_t", 3),
    "UINT8": ("uint8_t", 4),
    "INT16": ("int16_t", 6),
    "UINT16": ("uint16_t", 7),
    "UINT32": ("uint32_t", 8),
    "INT64": ("int64_t", 9),
    "UINT64": ("uint64_t", 10),
    "DOUBLE": ("double", 11),
    "BOOL": ("bool", 12),
    "BF16": ("bfloat16_t", 27),
    "INT4": ("int4b_t", 29),
}


@dataclass(frozen=True)
class Token:
    """A word, string or punctuator, and its place."""

    text: str
    line: int
    file: str
    at: int = 0  # the first character of the text


@dataclass(frozen=True)
class Entry:
    """A kernel that a source defines.

    Attributes:
        name: as the source names it, with namespaces (a::k) and template arguments (k<half>)
        line, file: the place of its name; file is empty when the text has no line markers
        layout: the KernelMetaType that its attributes say; -1: none
        linkage: "C" or "C++"
        template: it is a template that nobody has given arguments, so it is no kernel yet
        parameters: as the source declares them; empty for a template
    """

    name: str
    line: int
    layout: int
    file: str = ""
    linkage: str = "C"
    template: bool = False
    parameters: str = ""


def read_source(path: Path) -> str:
    """The text of a source; bytes that are no UTF-8 (comments in other encodings) become surrogates, which `write_source` gives back."""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def write_source(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def defines_kernels(text: str) -> bool:
    """Whether a source that nobody has preprocessed defines a kernel, or instantiates one; a declaration is neither."""
    return _DEFINITION.search(_COMMENT.sub(" ", text)) is not None


def is_number(kind: str) -> bool:
    """Whether a type of `split_parameters` is one of C++'s numbers."""
    return _NUMBER.fullmatch(kind) is not None


def tokens(text: str) -> list[Token]:
    """The tokens of a text; directives other than line markers are left out."""
    out: list[Token] = []
    line, file, at, fresh = 1, "", 0, True
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None
        kind, piece, at = match.lastgroup, match[0], match.end()
        if kind == "d":
            kind = "string"
        if kind == "newline":
            line, fresh = line + 1, True
        elif fresh and piece == "#":
            end = at
            while (end := text.find("\n", end)) > 0 and text[end - 1] == "\\":
                end += 1
            end = len(text) if end < 0 else end
            if marker := _LINE.match(text, at - 1):
                line, file = int(marker[1]) - 1, marker[2]
            else:
                line += text.count("\n", at, end)
            at = end
        else:
            if kind in ("string", "word", "other"):
                out.append(Token(piece, line, file, match.start()))
            line += piece.count("\n")
            fresh = fresh and kind in ("space", "comment")
    return out


def _close(found: list[Token], at: int) -> int:
    """The index behind the bracket that closes the one at `at`."""
    depth = 0
    while at < len(found):
        text = found[at].text
        depth += (text in _OPEN) - (text in _OPEN.values())
        at += 1
        if depth == 0:
            break
    return at


def _angles(found: list[Token], at: int) -> int:
    """The index behind the > that closes the < at `at`."""
    depth = 0
    while at < len(found):
        text = found[at].text
        if text in _OPEN:
            at = _close(found, at)
            continue
        depth += (text == "<") - (text == ">")
        at += 1
        if depth == 0:
            break
    return at


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _spelled(found: list[Token]) -> str:
    out = ""
    for token in found:
        joined = out and _in_word(out[-1]) and _in_word(token.text[0])
        out += (" " if joined else "") + token.text
    return out


def _declarations(found: list[Token]) -> Iterator[tuple[tuple[str, ...], str, list[Token], bool]]:
    """(namespaces, linkage, tokens up to the body or the semicolon, whether there is a body) of the declarations outside of bodies."""
    scopes: list[tuple[tuple[str, ...], str]] = [((), "C++")]
    at = start = 0
    while at < len(found):
        text = found[at].text
        head = found[start:at]
        words = [token.text for token in head]
        if text == "}" and len(scopes) > 1 and not head:
            scopes.pop()
            at = start = at + 1
        elif text in "([":
            at = _close(found, at)
        elif text == ";":
            yield (*scopes[-1], head, False)
            at = start = at + 1
        elif text == "{":
            names, linkage = scopes[-1]
            if "namespace" in words:
                own = [word for word in words[words.index("namespace") + 1 :] if word != "::" and word != "inline"]
                scopes.append(((*names, *own), linkage))
                at = start = at + 1
            elif words[:1] == ["extern"] and len(words) == 2 and words[1].startswith('"'):
                scopes.append((names, words[1].strip('"')))
                at = start = at + 1
            else:
                body = words[-1:] == [")"] or "noexcept" in words
                if body:
                    yield (names, linkage, head, True)
                at = _close(found, at)
                start = at if body else start
        else:
            at += 1


def _bodies(found: list[Token]) -> Iterator[tuple[list[Token], int, int]]:
    """(tokens of the head, index of {, index behind }) of the functions outside of classes."""
    at = start = 0
    while at < len(found):
        text = found[at].text
        words = [token.text for token in found[start:at]]
        if text in "([":
            at = _close(found, at)
        elif text == "{" and ("namespace" in words or (words[:1] == ["extern"] and len(words) == 2)):
            at = start = at + 1
        elif text == "{":
            end = _close(found, at)
            if words[-1:] == [")"]:
                yield found[start:at], at, end
                start = end
            at = end
        else:
            at += 1
            start = at if text in ";}" else start


def without_host_code(text: str) -> tuple[str, list[str]]:
    """A source whose host functions have lost their bodies, and their names: those that launch kernels or call ACL. Lines stay."""
    found = tokens(text)
    out, names, last = "", [], 0
    for head, begin, end in _bodies(found):
        words = {token.text for token in head}
        body = [token.text for token in found[begin:end]]
        host = any(word.startswith(("acl", "ACL")) for word in body) or any(body[i : i + 3] == ["<"] * 3 for i in range(len(body)))
        if not host or words & {"__global__", "__aicore__"}:
            continue
        named = _name_of(head)
        names.append(_spelled(named[0]) if named else "?")
        first, behind = found[begin].at + 1, found[end - 1].at
        out += text[last:first] + "".join(c if c == "\n" else " " for c in text[first:behind])
        last = behind
    return out + text[last:], names


def _name_before(found: list[Token], at: int) -> int:
    """The index of the first token of the name, with namespaces and template arguments, that ends before `at`."""
    if at and found[at - 1].text == ">":
        angles = brackets = 0
        while at:
            at -= 1
            text = found[at].text
            brackets += (text in _OPEN.values()) - (text in _OPEN)
            if brackets == 0:
                angles += (text == ">") - (text == "<")
                if angles == 0:
                    break
    at -= 1
    while at >= 2 and found[at - 1].text == "::":
        at -= 2
    return max(at, 0)


def _name_of(head: list[Token]) -> tuple[list[Token], int] | None:
    """The tokens of a function's name, and the index of its parameters' bracket."""
    at = 0
    while at < len(head):
        token = head[at]
        if token.text in ("__attribute__", "__declspec", "alignas", "__mix__") and at + 1 < len(head) and head[at + 1].text == "(":
            at = _close(head, at + 1)
        elif token.text == "[" or (token.text == "template" and at + 1 < len(head) and head[at + 1].text == "<"):
            at = _close(head, at) if token.text == "[" else _angles(head, at + 1)
        elif token.text == "(":
            return head[_name_before(head, at) : at], at
        else:
            at += 1
    return None


def _layout(head: list[Token]) -> int:
    words = [token.text for token in head]
    if "__mix__" in words:
        counts = [int(token.text) for token in head[words.index("__mix__") :] if token.text.isdigit()][:2]
        return _LAYOUTS.get((counts[0], counts[1]), -1) if len(counts) == 2 else -1
    return 1 if "__cube__" in words else 0 if "__vector__" in words else -1


@dataclass(frozen=True)
class Launch:
    """A launch name<<<words>>>: the name, and the indices of the name's first token, of the first < and of the first > behind the words."""

    name: str
    begin: int
    open: int
    close: int


def launches(found: list[Token]) -> list[Launch]:
    """The launches in a text: name<arguments><<<words>>>."""
    out = []
    texts = [token.text for token in found]
    for at in range(1, len(texts) - 2):
        if texts[at : at + 3] != ["<", "<", "<"] or texts[at - 1] == "<":
            continue
        begin = _name_before(found, at)
        close = at + 3
        while close < len(texts) - 2 and texts[close : close + 3] != [">"] * 3:
            close = _close(found, close) if texts[close] in _OPEN else close + 1
        out.append(Launch(_spelled(found[begin:at]), begin, at, close))
    return out


def declared_layouts(found: list[Token]) -> dict[str, int]:
    """The KernelMetaType that attributes of kernels say, by the kernel's name without namespaces and template arguments."""
    out: dict[str, int] = {}
    for _, _, head, _ in _declarations(found):
        words = [token.text for token in head]
        named = _name_of(head) if "__global__" in words else None
        if named is not None:
            name = _spelled(named[0]).partition("<")[0].rpartition("::")[2]
            out[name] = max(out.get(name, -1), _layout(head))
    return out


def _count(found: list[Token], at: int) -> int:
    """The parameters or arguments in the bracket at `at`."""
    end, count, angles = _close(found, at), 0, 0
    if end == at + 2 or [token.text for token in found[at + 1 : end - 1]] == ["void"]:
        return 0
    at += 1
    while at < end - 1:
        text = found[at].text
        angles += (text == "<") - (text == ">")
        count += text == "," and angles <= 0
        at = _close(found, at) if text in _OPEN else at + 1
    return count + 1


@dataclass(frozen=True)
class Overload:
    """A place that names one of several kernels of one name: the index of the name's token, and the number of its parameters."""

    at: int
    parameters: int


def overloads(found: list[Token]) -> list[Overload]:
    """The definitions and launches of kernels whose name others have, too, with other numbers of parameters."""
    places: dict[str, list[Overload]] = {}
    index = {token.at: i for i, token in enumerate(found)}
    for _, _, head, _ in _declarations(found):
        named = _name_of(head) if any(token.text == "__global__" for token in head) else None
        if named is not None and len(named[0]) == 1:
            name = named[0][0]
            places.setdefault(name.text, []).append(Overload(index[name.at], _count(head, named[1])))
    several = {name: made for name, made in places.items() if len({place.parameters for place in made}) > 1}
    out = [place for made in several.values() for place in made]
    for launch in launches(found) if several else []:
        named_at = max((i for i in range(launch.begin, launch.open) if found[i].text in several), default=None)
        if named_at is not None and launch.close + 3 < len(found):
            out.append(Overload(named_at, _count(found, launch.close + 3)))
    return sorted(out, key=lambda place: place.at)


def named_parameters(text: str) -> list[tuple[str, str]] | None:
    """(type, name) of a kernel's parameters, names may be empty; None: one is not understood (a function, an array)."""
    found = tokens(text)
    out: list[tuple[str, str]] = []
    start = at = 0
    while at <= len(found):
        if at < len(found) and found[at].text != ",":
            if found[at].text in "([":
                return None
            at = _angles(found, at) if found[at].text == "<" else at + 1
            continue
        part = [token for token in found[start:at] if token.text not in _LEFT_OUT]
        if any(token.text == "=" for token in part):
            return None
        words = [token for token in part if token.text[0].isalpha() or token.text[0] == "_"]
        types = [token for token in words if token.text not in _QUALIFIERS]
        # A name is the last word, behind a type; the last word of a qualified type is none.
        name = ""
        if len(types) > 1 and part[-1] is types[-1] and part[-1].text not in _NUMBERS and part[-2].text != "::":
            part, name = part[:-1], part[-1].text
        while part and part[-1].text in ("const", "volatile"):
            part = part[:-1]
        if part:
            out.append((_spelled(part), name))
        start = at = at + 1
    return [] if out == [("void", "")] else out


def split_parameters(text: str) -> list[str] | None:
    """The types of a kernel's parameters; None: one is not understood."""
    named = named_parameters(text)
    return None if named is None else [kind for kind, _ in named]


def entries(text: str, launching: str = "") -> list[Entry]:
    """The kernels that a text defines: functions with __global__ and a body, in the order of the text.

    A template is a kernel for each explicit instantiation and for each launch with arguments, here or in the text `launching`, or else for
    each selection in ASCENDC_TPL_SEL; without any it is an entry with `template`.

    Raises:
        ValueError: a selection is not understood
    """
    found = tokens(text)
    out: list[Entry] = []
    templates: dict[str, Entry] = {}
    instances: list[tuple[str, str]] = []  # qualified name, arguments
    for names, linkage, head, body in _declarations(found):
        words = [token.text for token in head]
        if "__global__" not in words:
            continue
        named = _name_of(head)
        if named is None:
            continue
        name = named[0]
        qualified = "::".join((*names, _spelled(name)))
        is_template = words[0] == "template" and words[1:2] == ["<"]
        own = "C" if words[:1] == ["extern"] and words[1:2] == ['"C"'] else linkage
        place = next((token for token in name if token.text not in ("::", "<")), name[0])
        if words[0] == "template" and not is_template:
            cut = qualified.find("<")
            instances.append((qualified[:cut], qualified[cut:]) if cut > 0 else (qualified, ""))
        elif body:
            parameters = "" if is_template else _spelled(head[named[1] + 1 : _close(head, named[1]) - 1])
            entry = Entry(qualified, place.line, _layout(head), place.file, own, is_template, parameters)
            if is_template:
                templates[qualified] = entry
            out.append(entry)
    for launch in [launch.name for launch in launches(found) + (launches(tokens(launching)) if templates else [])]:
        cut = launch.find("<")
        if cut > 0:
            instances += [(name, launch[cut:]) for name in templates if name == launch[:cut] or name.endswith("::" + launch[:cut])][:1]
    if templates and not instances:
        from softnpu.selections import selections

        instances = [(name, chosen) for name in templates for chosen in selections(found)]
    made = []
    for template, arguments in dict.fromkeys(instances):
        if template in templates and arguments:
            entry = templates[template]
            made.append(Entry(template + arguments, entry.line, entry.layout, entry.file, entry.linkage))
    given = {entry.name.partition("<")[0] for entry in made}
    return [entry for entry in out if not (entry.template and entry.name in given)] + made


def without_headers(text: str, headers: str) -> str:
    """Preprocessed text without what comes from the directory `headers` or from the system's headers: they have no kernels."""
    out: list[str] = []
    own = True
    for line in text.splitlines(keepends=True):
        if line.startswith("#") and (marker := _LINE.match(line)):
            # Flag 3: a header of the system.
            own = not marker[2].startswith(headers) and "3" not in line[marker.end() :].split()
        if own:
            out.append(line)
    return "".join(out)


def uses_pointers(text: str, headers: str) -> bool:
    """Whether preprocessed code outside of the directory `headers` has pointers to GM other than those that SetGlobalBuffer gets."""
    found = tokens(text)
    at = 0
    while at < len(found):
        token = found[at]
        if token.text == "SetGlobalBuffer" and at + 1 < len(found) and found[at + 1].text == "(":
            at = _close(found, at + 1)
            continue
        if token.text == "__gm__" and not token.file.startswith(headers):
            return True
        at += 1
    return False

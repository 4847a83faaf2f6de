"""The arguments that a source selects for a kernel template in ASCENDC_TPL_SEL, as CANN's page "Template Argument Declaration" says."""

from __future__ import annotations

import itertools
import math

from softnpu.entries import DATA_TYPES, Token, _close, _spelled

MOST = 256  # kernels of one template; each is compiled

# What ASCENDC_TPL_DATATYPE_SEL means as a type.
_TYPES = {f"C_DT_{name}": kind for name, (kind, _) in DATA_TYPES.items()}


def _parts(found: list[Token], at: int) -> list[list[Token]]:
    """The arguments in the bracket at `at`."""
    end = _close(found, at) - 1
    out: list[list[Token]] = [[]]
    at += 1
    while at < end:
        if found[at].text == ",":
            out.append([])
            at += 1
            continue
        after = _close(found, at) if found[at].text in "([{" else at + 1
        out[-1] += found[at:after]
        at = after
    return [part for part in out if part]


def _integers(words: list[str]) -> list[str]:
    """The values of an ASCENDC_TPL_UINT_SEL: a list, ranges, or ranges and then a list.

    Raises:
        ValueError: it has another form
    """
    form, rest = words[0], words[1:]
    if form == "ASCENDC_TPL_UI_LIST":
        return rest
    if form not in ("ASCENDC_TPL_UI_RANGE", "ASCENDC_TPL_UI_MIX"):
        raise ValueError(
            f"ASCENDC_TPL_UINT_SEL begins with {form}; there are ASCENDC_TPL_UI_LIST, ASCENDC_TPL_UI_RANGE, ASCENDC_TPL_UI_MIX"
        )
    numbers = [int(word.rstrip("uUlL"), 0) for word in rest]
    ranges = numbers[0]
    if len(numbers) < 1 + 2 * ranges:
        raise ValueError(f"{form} says {ranges} ranges, but has {len(numbers) - 1} bounds")
    pairs = list(zip(numbers[1 : 1 + 2 * ranges : 2], numbers[2 : 1 + 2 * ranges : 2], strict=True))
    for first, last in pairs:
        if last - first >= MOST:
            raise ValueError(f"{form}: the range of {first} to {last} in ASCENDC_TPL_SEL selects more than {MOST} kernels")
    values = [value for first, last in pairs for value in range(first, last + 1)]
    return [str(value) for value in dict.fromkeys(values + numbers[1 + 2 * ranges :])]


def selections(found: list[Token]) -> list[str]:
    """The selected arguments, as <1,half,8>; empty without ASCENDC_TPL_SEL.

    Raises:
        ValueError: a selection is not understood, or there are more than MOST
    """
    out: dict[str, None] = {}
    for at, token in enumerate(found):
        if token.text != "ASCENDC_TPL_ARGS_SEL" or at + 1 == len(found) or found[at + 1].text != "(":
            continue
        choices: list[list[str]] = []
        for part in _parts(found, at + 1):
            kind = part[0].text
            words = [_spelled(word) for word in _parts(part, 1)][1:]
            if kind == "ASCENDC_TPL_UINT_SEL":
                choices.append(_integers(words))
            elif kind == "ASCENDC_TPL_DATATYPE_SEL":
                choices.append([_TYPES.get(word, word) for word in words])
            elif kind in ("ASCENDC_TPL_DTYPE_SEL", "ASCENDC_TPL_FORMAT_SEL", "ASCENDC_TPL_BOOL_SEL"):
                choices.append(words)
            elif kind not in ("ASCENDC_TPL_KERNEL_TYPE_SEL", "ASCENDC_TPL_TILING_STRUCT_SEL", "ASCENDC_TPL_DETERMINISTIC_SEL"):
                raise ValueError(f"{kind} in ASCENDC_TPL_ARGS_SEL is not understood")
        choices = [list(dict.fromkeys(words)) for words in choices]
        if math.prod(map(len, choices)) > MOST:
            raise ValueError(f"ASCENDC_TPL_SEL selects more than {MOST} kernels")
        for chosen in itertools.product(*choices):
            out[f"<{','.join(chosen)}>"] = None
        if len(out) > MOST:
            raise ValueError(f"ASCENDC_TPL_SEL selects more than {MOST} kernels")
    return list(out)

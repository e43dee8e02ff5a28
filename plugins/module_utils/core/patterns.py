# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Regular expressions that a person wrote: compiled, or refused when their search may never end.

A search holds the interpreter until it is done, so no timeout reaches it, and every other check stands still with it. What makes
a search explode is a loop that can divide one text among its rounds in several ways: ``(a+)+``, ``(a.|ab)*``, ``(.*,)*``. With
every character the number of ways doubles, and a text that does not match in the end is tried in all of them. So inside a loop
each part must know by the next character where it ends (the rule of one-unambiguity, after Brüggemann-Klein and Wood, 1998, with
alternatives told apart by all of their leading characters). It is a sufficient condition: what it refuses can be written so that
the parts of the loop differ, or without the inner repetition.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from itertools import combinations
from typing import Any

_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

MANY = 10
"""Rounds from which a repetition with an end is treated like one without."""

_WORDS, _SPACES, _OTHERS = 128, 129, 130
"""Characters beyond ASCII, of which only the class is looked at."""
_ALL = frozenset(range(131))
_BEYOND = frozenset((_WORDS, _SPACES, _OTHERS))
_NOTHING: frozenset[int] = frozenset()
_CLASSES = {
    "CATEGORY_DIGIT": frozenset(b"0123456789") | {_WORDS},
    "CATEGORY_SPACE": frozenset(b" \t\n\r\f\v\x1c\x1d\x1e\x1f") | {_SPACES},
    "CATEGORY_WORD": frozenset(code for code in range(128) if chr(code).isalnum() or code == ord("_")) | {_WORDS},
}
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_SINGLES = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_EMPTY = ("AT", "ASSERT", "ASSERT_NOT")

Item = tuple[Any, Any]
Characters = frozenset[int]


def compile_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Compile a regular expression. Raises ValueError for what is none, and for one whose search may explode."""
    try:
        compiled = re.compile(text, flags)
        tree = _parser.parse(text, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    if _explodes(tree, tree.state.flags):
        raise ValueError(
            f"{text!r} can search for ever: it repeats something that can match the same text in several ways, "
            "such as (a+)+ or (.*,)*, and no timeout ends that; let the parts of the repetition begin with different characters"
        )
    return compiled


def _explodes(items: Sequence[Item], flags: int) -> bool:
    """Whether one of the loops in a sequence, at any depth, can divide a text in several ways."""
    for op, value in items:
        name = op.name
        if name in _REPEATS:
            _least, most, body = value
            if most is _parser.MAXREPEAT or most >= MANY:
                if _ambiguous(body, flags, _first(body, flags)[0]):
                    return True
            elif _explodes(body, flags):
                return True
        elif any(_explodes(body, inner) for body, inner in _inside(name, value, flags)):
            return True
    return False


def _inside(name: str, value: Any, flags: int) -> list[tuple[Any, int]]:
    """The sequences inside an item that is no repetition, each with its flags."""
    if name == "SUBPATTERN":
        return [(value[3], (flags | value[1]) & ~value[2])]
    if name == "BRANCH":
        return [(one, flags) for one in value[1]]
    if name in ("ASSERT", "ASSERT_NOT"):
        return [(value[1], flags)]
    if name == "ATOMIC_GROUP":
        return [(value, flags)]
    if name == "GROUPREF_EXISTS":
        return [(one, flags) for one in value[1:] if one is not None]
    return []


def _ambiguous(items: Sequence[Item], flags: int, after: Characters) -> bool:
    """Whether a sequence inside a loop can end at several places. ``after``: what may come next within the loop."""
    parts = list(items)
    for index, (op, value) in enumerate(parts):
        name = op.name
        rest, can_be_empty = _first(parts[index + 1 :], flags)
        follow = rest | after if can_be_empty else rest
        if name in _REPEATS:
            least, most, body = value
            first, nothing = _first(body, flags)
            if least != most and (nothing or first & follow):
                return True
            if _ambiguous(body, flags, first | follow):
                return True
        elif name == "BRANCH":
            if _choice_is_open(value[1], flags, follow) or any(_ambiguous(one, flags, follow) for one in value[1]):
                return True
        elif name in ("SUBPATTERN", "ATOMIC_GROUP"):
            if any(_ambiguous(body, inner, follow) for body, inner in _inside(name, value, flags)):
                return True
        elif name in ("ASSERT", "ASSERT_NOT"):
            if _explodes(value[1], flags):
                return True
        elif name not in (*_SINGLES, "AT", "GROUPREF"):
            return True
    return False


def _choice_is_open(branches: Sequence[Any], flags: int, follow: Characters) -> bool:
    """Whether two alternatives can begin alike, or one be left out where it could also be taken."""
    firsts = [_first(one, flags) for one in branches]
    empty = sum(nothing for _first_of, nothing in firsts)
    if empty > 1 or (empty and any(first & follow for first, _nothing in firsts)):
        return True
    heads = [_head(one, flags) for one in branches if len(one)]
    return any(all(a & b for a, b in zip(one, other)) for one, other in combinations(heads, 2))


def _first(items: Sequence[Item], flags: int) -> tuple[Characters, bool]:
    """The characters that a sequence can begin with, and whether it can be empty."""
    found = _NOTHING
    for op, value in items:
        name = op.name
        first, nothing = _ALL, True
        if name in _SINGLES:
            first, nothing = _characters(name, value, flags), False
        elif name in _EMPTY:
            first = _NOTHING
        elif name in _REPEATS:
            first, nothing = _first(value[2], flags)
            nothing = nothing or value[0] == 0
        elif name in ("SUBPATTERN", "ATOMIC_GROUP", "BRANCH"):
            each = [_first(body, inner) for body, inner in _inside(name, value, flags)]
            first, nothing = _NOTHING.union(*(one for one, _empty in each)), any(empty for _one, empty in each)
        found |= first
        if not nothing:
            return found, False
    return found, True


def _head(items: Sequence[Item], flags: int) -> list[Characters]:
    """The characters at each of the leading places of a sequence, as far as it is one character after another."""
    return _leading(items, flags)[0]


def _leading(items: Sequence[Item], flags: int) -> tuple[list[Characters], bool]:
    """`_head`, and whether that is the whole sequence."""
    found: list[Characters] = []
    for op, value in items:
        name = op.name
        if name in _SINGLES:
            found.append(_characters(name, value, flags))
        elif name in _REPEATS:
            inner, whole = _leading(value[2], flags)
            found += inner * (min(value[0], MANY) if whole else min(value[0], 1))
            if not whole or value[0] != value[1] or value[0] > MANY:
                return found, False
        elif name in ("SUBPATTERN", "ATOMIC_GROUP"):
            body, own = _inside(name, value, flags)[0]
            inner, whole = _leading(body, own)
            found += inner
            if not whole:
                return found, False
        elif name not in _EMPTY:
            return found, False
    return found, True


def _characters(name: str, value: Any, flags: int) -> Characters:
    """The characters that one place can have; rather too many than too few."""
    if name == "ANY":
        return _ALL if flags & re.DOTALL else _ALL - {ord("\n")}
    if name == "LITERAL":
        return _cased(_codes(value), flags)
    if name == "NOT_LITERAL":
        return _ALL - {value}
    found, negated = _NOTHING, False
    whole = _NOTHING  # what is surely in it, for the case that it is negated
    for op, one in value:
        kind = op.name
        if kind == "NEGATE":
            negated = True
        elif kind == "LITERAL":
            found |= _codes(one)
            whole |= _codes(one) - _BEYOND
        elif kind == "RANGE":
            low, high = one
            codes = frozenset(range(low, min(high, 127) + 1))
            found |= codes | (_BEYOND if high > 127 else _NOTHING)
            whole |= codes
        else:
            codes = _class(str(getattr(one, "name", one)))
            found |= codes | (_BEYOND if flags & re.ASCII and "NOT" in str(one) else _NOTHING)
            whole |= codes - _BEYOND if flags & re.ASCII else codes
    return _ALL - whole if negated else _cased(found, flags)


def _codes(code: int) -> Characters:
    if code < 128:
        return frozenset((code,))
    letter = chr(code)
    return frozenset((_WORDS if letter.isalnum() else _SPACES if letter.isspace() else _OTHERS,))


def _class(name: str) -> Characters:
    positive = name.replace("_NOT_", "_")
    codes = _CLASSES.get(positive)
    if codes is None:
        return _ALL
    return codes if positive == name else (_ALL - codes) | (frozenset((_WORDS,)) if positive == "CATEGORY_DIGIT" else _NOTHING)


def _cased(codes: Characters, flags: int) -> Characters:
    if not flags & re.IGNORECASE:
        return codes
    letters = {ord(cased) for code in codes if code < 128 for cased in (chr(code).lower(), chr(code).upper())}
    # Some letters of ASCII have a third spelling beyond it, and the other way round.
    beyond = {_WORDS} if any(chr(code) in "ikIKsS" for code in letters) else set()
    return codes | letters | beyond | (frozenset(b"ikIKsS") if _WORDS in codes else _NOTHING)

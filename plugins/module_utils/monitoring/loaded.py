# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether the rules that Prometheus evaluates are those that were written.

Prometheus shows an expression as its parser prints it: other spaces, ``1h30m`` for ``90m``, ``sum by (x) (y)`` for
``sum(y) by (x)``. So two texts are compared word by word; where they differ, as Prometheus itself prints both
(``/api/v1/format_query``); and where it is too old for that, by the words that they have, whatever their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

_WORD = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
    |(?P<time>(?:\d+(?:ms|[smhdwy]))+(?![\w.]))
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_:][\w:.]*)
    |(?P<sign>=~|!~|!=|==|>=|<=|\S)""",
    re.VERBOSE,
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_ESCAPED = re.compile(r"""\\(["'`/\\])""")
_GROUPING = frozenset("(){},")

Formatted = Callable[[str], Optional[str]]
"""Gives an expression as Prometheus prints it; None when it is too old to print one. Whatever it raises is for its caller."""


class Rule(NamedTuple):
    """A rule by its name, which is that of an alert or of a series, and its expression.

    ``labels``: what it adds; None: not compared. ``hold``: seconds for which its condition must hold before it fires, its
    ``for``; None for one that records, and where it is not compared.
    """

    name: str
    expression: str
    labels: Optional[Mapping[str, str]] = None
    hold: Optional[float] = None


def words(expression: str) -> list[str]:
    """The words of an expression, each in one spelling."""
    found = []
    for match in _WORD.finditer(expression):
        kind, word = str(match.lastgroup), match.group()
        if kind == "text":
            found.append('"' + (word[1:-1] if word[0] == "`" else _ESCAPED.sub(r"\1", word[1:-1])))
        elif kind == "time":
            found.append(f"{sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(word)):.17g}s")
        elif kind == "number":
            found.append(f"{int(word, 16) if word[:2] in ('0x', '0X') else float(word):.17g}")
        elif kind != "comment":
            found.append(word)
    return found


def same_expression(one: str, other: str, formatted: Formatted) -> bool:
    """Whether two expressions are the same."""
    if words(one) == words(other):
        return True
    printed = [formatted(one), formatted(other)]
    if None not in printed:
        return printed[0] == printed[1]
    bags = [sorted(word for word in words(text) if word not in _GROUPING) for text in (one, other)]
    return bags[0] == bags[1]


def difference(wanted: Mapping[str, Sequence[Rule]], there: Sequence[tuple[str, Sequence[Rule]]], formatted: Formatted) -> str:
    """What is wrong with the rules that are evaluated; empty when nothing is. ``wanted``: the rules of each group in their order;
    ``there``: groups, of which several may have one name, each of another file."""
    for group, rules in wanted.items():
        found = [_of_group(group, rules, own, formatted) for name, own in there if name == group]
        if not found:
            return f"it does not evaluate the group {group}"
        if all(found):
            return found[0]
    return ""


def _of_group(group: str, wanted: Sequence[Rule], there: Sequence[Rule], formatted: Formatted) -> str:
    names = [[one.name for one in rules] for rules in (wanted, there)]
    if names[0] != names[1]:
        strange = next((name for name in names[0] if name not in names[1]), None) or next(
            (name for name in names[1] if name not in names[0]), "in another order or number"
        )
        return f"it evaluates other rules in the group {group}: {strange}"
    for one, other in zip(wanted, there):
        if not same_expression(one.expression, other.expression, formatted):
            return f"it evaluates another rule {one.name} in the group {group}: {other.expression}"
        others = "" if one.labels is None else _differing(one.labels, other.labels or {})
        if others:
            return f"it evaluates the rule {one.name} in the group {group} with other labels: {others}"
        if one.hold is not None and other.hold != one.hold:
            held = "none" if other.hold is None else f"{other.hold:g}s"
            return f"it evaluates the rule {one.name} in the group {group} with another time for which it must hold: {held}"
    return ""


def _differing(wanted: Mapping[str, str], there: Mapping[str, str]) -> str:
    """The labels that are others, as they are. One that is empty is none."""
    names = sorted(name for name in {*wanted, *there} if (wanted.get(name) or "") != (there.get(name) or ""))
    return ", ".join(f"{name}={there[name]!r}" if there.get(name) else f"no {name}" for name in names)


def seconds(text: str) -> float:
    """A duration as rule files have it. Raises ValueError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"expected a duration such as 5m or 1h30m, got {text!r}")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def read_groups(document: Any) -> list[tuple[str, list[Rule]]]:
    """The groups of an answer of ``/api/v1/rules``. Raises KeyError, TypeError or ValueError when it is none."""
    return [(str(group["name"]), [_read(one) for one in group["rules"]]) for group in document["data"]["groups"]]


def _read(one: Mapping[str, Any]) -> Rule:
    labels = {str(name): str(value) for name, value in (one.get("labels") or {}).items()}
    return Rule(str(one["name"]), str(one["query"]), labels, float(one["duration"]) if "duration" in one else None)

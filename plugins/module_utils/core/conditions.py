# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Conditions: an operator, a value and a unit, in a closed grammar.

::

    condition = operator value [unit]
    operator  = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "matches" | "not matches" | "contains" | "not contains"
    relative  = ("<" | "<=" | ">" | ">=") ("+" | "-") number "%"

``in`` takes values with commas between them (``in 1, 2``), ``matches`` a regular expression that is searched for, ``contains``
a text. There is no expression language, no evaluation and no templating inside a condition.

A percentage with a sign is relative to the baseline: the value that the same measure of the same check had before the change.
``<= +10%`` is at most a tenth more. Only of a ratio, which may itself be negative, ``-5%`` is the plain value. Of samples, which
are many values, only such a percentage may be asked: to be within (``<= +10%``, ``>= -10%``) or beyond (``> +10%``, ``< -10%``).

A condition answers for exactly one kind of value. A value that it cannot judge (NaN, infinite, a text where a number is
expected) is never an answer: `Condition.holds` raises `CannotCompare`, and the check becomes inconclusive.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.comparison import Comparison
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CannotCompare
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern

Operand = Union[float, str, bool, "re.Pattern[str]", tuple[units.Value, ...]]

_ORDERED: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}
_SIGNS = {"<=": "+", ">": "+", ">=": "-", "<": "-"}
"""What a percentage of samples may be: within so much more, beyond it, within so much less, beyond it."""
_WORDS = ("not matches", "not contains", "matches", "contains", "in")
_SYMBOLS = ("==", "!=", "<=", ">=", "<", ">")
OPERATORS = _SYMBOLS + tuple(sorted(_WORDS))


@dataclass(frozen=True)
class Condition:
    """One parsed condition.

    ``kind`` is the kind of value that it judges; ``operand`` is in the base unit of that kind; ``source`` is what was written.
    A ``relative`` one has the share by which a value may differ from its baseline as its operand.
    """

    operator: str
    operand: Operand
    kind: str
    source: str
    relative: bool = False

    def holds(self, value: units.Value, baseline: units.Value | None = None) -> bool:
        """Whether the condition holds for a value given in the base unit of its kind. Raises CannotCompare, also for a
        relative condition without a baseline."""
        if self.relative:
            return self._holds_relative(value, baseline)
        if self.kind == "text":
            return self._holds_text(value)
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise CannotCompare(f"{units.show(value)!r} is not true or false")
            return (value == self.operand) is (self.operator == "==")
        return self._holds_number(value)

    def holds_of(self, found: Comparison) -> bool:
        """Whether a condition on samples holds, by how they compare with those before the change."""
        share = abs(self.operand) if isinstance(self.operand, float) else math.nan
        beyond = found.higher_by(share) if _SIGNS[self.operator] == "+" else found.lower_by(share)
        return beyond is (self.operator in ("<", ">"))

    def _holds_relative(self, value: units.Value, baseline: units.Value | None) -> bool:
        if baseline is None:
            raise CannotCompare("there is no baseline: the value before the change was not recorded")
        before, now = _finite(baseline, "the baseline"), _finite(value, "the value")
        if before < 0 or (before == 0 and now != 0):
            raise CannotCompare(f"the baseline is {before:g}, of which nothing is a part")
        share = self.operand if isinstance(self.operand, float) else math.nan
        return _ORDERED[self.operator](now, before * (1 + share))

    def _holds_text(self, value: units.Value) -> bool:
        if not isinstance(value, str):
            raise CannotCompare(f"{units.show(value)} is not a text")
        operand = self.operand
        if isinstance(operand, tuple):
            return value in operand
        if isinstance(operand, re.Pattern):
            return (operand.search(value) is not None) is (self.operator == "matches")
        if self.operator in ("contains", "not contains"):
            return (str(operand) in value) is (self.operator == "contains")
        return (value == operand) is (self.operator == "==")

    def _holds_number(self, value: units.Value) -> bool:
        number = _finite(value, "the value")
        operand = self.operand
        if isinstance(operand, tuple):
            return any(number == float(one) for one in operand)
        if isinstance(operand, (bool, str, re.Pattern)):
            raise CannotCompare(f"{self.source!r} does not say what a number is compared with")
        if self.operator in _ORDERED:
            return _ORDERED[self.operator](number, float(operand))
        return (number == float(operand)) is (self.operator == "==")


def _finite(value: units.Value, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CannotCompare(f"{units.show(value)!r} is not a number")
    if not math.isfinite(value):
        raise CannotCompare(f"{what} is {float(value)}, which is not a number that can be judged")
    return float(value)


def _split(source: str) -> tuple[str, str]:
    text = source.strip()
    for symbol in _SYMBOLS:
        if text.startswith(symbol):
            return symbol, text[len(symbol) :].strip()
    for word in _WORDS:
        if text.startswith(word + " "):
            return word, text[len(word) :].strip()
    raise ValueError(f"{source!r} does not start with an operator; expected one of {', '.join(OPERATORS)}, then a value")


def _unquote(text: str) -> str | None:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return None


def _number(text: str, kind: str) -> tuple[float, str]:
    """Read one number for a measure of a kind, and say which kind it is."""
    quantity = units.parse_quantity(text)
    if quantity is None:
        unknown = units.unknown_unit(text)
        if unknown is not None:
            allowed = units.examples(kind) if kind in ("time", "size", "ratio", "rate") else ", ".join(units.UNITS)
            raise ValueError(f"{unknown!r} is not a unit; expected {f'one of {allowed}' if allowed else 'no unit'}")
        raise ValueError(f"{text!r} is not a number" + (f" with a unit ({units.examples(kind)})" if kind != "count" else ""))
    number, written = quantity
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    if kind == "any" or kind == written:
        return number, written
    if kind == "ratio" and written == "count":
        if abs(number) > 1:
            raise ValueError(f"{text!r} is not a ratio between 0 and 1; write a percentage such as 5%")
        return number, "ratio"
    if written == "count":
        raise ValueError(f"{text!r} has no unit; this measure is a {kind}, expected a unit such as {units.examples(kind)}")
    if kind == "count":
        raise ValueError(f"{text!r} has the unit of a {written}, but this measure is a plain number")
    raise ValueError(f"{text!r} has the unit of a {written}, but this measure is a {kind} ({units.examples(kind)})")


def _operand(operator: str, text: str, kind: str) -> tuple[units.Value, str]:
    """Read one value for ``==``, ``!=``, ``in`` or an ordering."""
    ordering = operator in _ORDERED
    quoted = _unquote(text)
    if quoted is not None or kind == "text":
        if ordering:
            raise ValueError(f"texts have no order, so {operator!r} cannot be asked of them")
        if kind not in ("text", "any"):
            raise ValueError(f"{text} is a text, but this measure is a {kind}")
        return (quoted if quoted is not None else text), "text"
    if text in ("true", "false") and kind in ("flag", "any"):
        if ordering or operator == "in":
            raise ValueError(f"true and false have no order, so {operator!r} cannot be asked of them")
        return text == "true", "flag"
    if kind == "flag":
        raise ValueError(f"{text!r} is neither true nor false")
    if kind == "any" and units.parse_quantity(text) is None and units.unknown_unit(text) is None and not ordering:
        return text, "text"
    return _number(text, kind)


def _relative(operator: str, text: str, kind: str) -> float | None:
    """The share of a percentage with a sign; None for what is no condition on a baseline."""
    if operator not in _ORDERED or kind in ("text", "flag") or text[0] not in "+-" or (text[0] == "-" and kind == "ratio"):
        return None
    quantity = units.parse_quantity(text)
    if quantity is None or quantity[1] != "ratio" or not math.isfinite(quantity[0]):
        return None
    if quantity[0] < -1:
        raise ValueError(f"{text!r}: nothing falls by more than 100% of what it was")
    return quantity[0]


def _of_samples(operator: str, text: str, source: str) -> Condition:
    sign = _SIGNS.get(operator)
    share = _relative(operator, text, "time") if text[0] == sign else None
    if share is None:
        raise ValueError(
            f"{source!r}: these are many samples, which are held against those before the change; expected <= or > and "
            "a percentage with a plus, or >= or < and one with a minus, such as <= +10%"
        )
    return Condition(operator, share, "samples", source, relative=True)


def parse_condition(source: object, kind: str = "any") -> Condition:
    """Parse one condition for a measure of a kind. Raises ValueError with what was expected.

    >>> parse_condition("<= 500ms", "time").operand
    0.5
    >>> parse_condition(">= 99.5%", "ratio").holds(0.99)
    False
    """
    if isinstance(source, (bool, int, float)) or source is None:
        raise ValueError(f'{source!r} is not a condition; write it as a text with an operator, such as "== {source}"')
    if not isinstance(source, str):
        raise ValueError(f'{source!r} is not a condition; expected a text such as "<= 500ms"')
    operator, text = _split(source)
    if not text:
        raise ValueError(f"{source!r} has an operator but no value")
    if kind == "samples":
        return _of_samples(operator, text, source)
    if operator in ("matches", "not matches"):
        if kind not in ("text", "any"):
            raise ValueError(f"{operator!r} is asked of texts, but this measure is a {kind}")
        return Condition(operator, compile_pattern(text), "text", source)
    if operator in ("contains", "not contains"):
        if kind not in ("text", "any"):
            raise ValueError(f"{operator!r} is asked of texts, but this measure is a {kind}")
        quoted = _unquote(text)
        return Condition(operator, quoted if quoted is not None else text, "text", source)
    if operator == "in":
        members = [_operand(operator, member.strip(), kind) for member in text.split(",")]
        kinds = {of for _value, of in members}
        if len(kinds) != 1:
            raise ValueError(f"{source!r} mixes values of different kinds ({', '.join(sorted(kinds))})")
        return Condition(operator, tuple(value for value, _of in members), kinds.pop(), source)
    share = _relative(operator, text, kind)
    if share is not None:
        return Condition(operator, share, "count" if kind == "any" else kind, source, relative=True)
    value, of = _operand(operator, text, kind)
    return Condition(operator, value, of, source)

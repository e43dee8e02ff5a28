# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How reports write durations, counts, and texts that came from somewhere else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import units

# Control characters (a terminal or an XML parser would act on them), lone surrogates and non-characters (they cannot be
# written), and the marks that change the direction of a line (they can make a text read as its opposite).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_KINDS = {base: kind for kind, base in units.BASE_UNITS.items() if base}


def visible(text: object) -> str:
    """A text with every character that acts instead of being seen written as its escape. Tab and newline stay."""
    plain = str(text).replace("\r\n", "\n")
    return _INVISIBLE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), plain)


def one_line(text: object) -> str:
    """A text on one line: every run of white space is one blank."""
    return " ".join(visible(text).split())


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: ``430 ms``, ``12.3 s``, ``2 min``, ``1 min 12 s``, ``1 h 5 min``; ``-``: none."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms" if seconds > 0 else "0 s"
    if seconds < 59.95:
        return f"{seconds:.1f}".replace(".0", "") + " s"
    whole = round(seconds)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours} h" + (f" {rest} min" if rest else "")


def against_budget(seconds: float | None, budget: float | None) -> str:
    """``12.3 s of 2 min``, or the duration alone where no budget was set."""
    return duration(seconds) if budget is None else f"{duration(seconds)} of {duration(budget)}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 check``, ``2 checks``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def kind_of_unit(unit: str) -> str:
    """The kind of measure that has a base unit: ``s`` is a time. A unit of its own is any kind."""
    return _KINDS.get(unit, "any")


def measured(value: Any, unit: str) -> str:
    """A measured value with its unit, as a person reads it. A value that was not measured is ``not measured``."""
    if value is None:
        return "not measured"
    if isinstance(value, (Mapping, list, tuple)):
        return visible(value)
    kind = kind_of_unit(unit)
    shown = visible(units.show(value, kind))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{shown} {unit}" if kind == "any" and unit and number else shown

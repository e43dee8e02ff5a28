# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Units: what kinds of values exist, how they are written, and how they are shown.

Inside the collection a value is always in the base unit of its kind:

======= ===========================  =========================================
kind    base unit                    written as
======= ===========================  =========================================
time    seconds                      250us, 12ms, 1.5s, 2m, 1h, 3d
size    bytes                        512B, 10kB, 5MB, 2GB, 4KiB, 1MiB, 1GiB
ratio   1 (0.05 is five percent)     5%, 0.05
rate    per second                   10/s, 600/min, 5/h
count   1                            42
text    -                            any text
samples -                            nothing: they are held against those before the change
flag    -                            true, false
any     decided by what is written   all of the above
======= ===========================  =========================================
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Union

Value = Union[float, str, bool]
"""A number in the base unit of its kind, a text, or a flag."""

KINDS = ("time", "size", "ratio", "rate", "count", "text", "samples", "flag", "any")

UNITS: dict[str, tuple[str, Fraction]] = {
    "us": ("time", Fraction(1, 1_000_000)),
    "ms": ("time", Fraction(1, 1000)),
    "s": ("time", Fraction(1)),
    "m": ("time", Fraction(60)),
    "h": ("time", Fraction(3600)),
    "d": ("time", Fraction(86400)),
    "B": ("size", Fraction(1)),
    "kB": ("size", Fraction(10**3)),
    "MB": ("size", Fraction(10**6)),
    "GB": ("size", Fraction(10**9)),
    "TB": ("size", Fraction(10**12)),
    "KiB": ("size", Fraction(2**10)),
    "MiB": ("size", Fraction(2**20)),
    "GiB": ("size", Fraction(2**30)),
    "TiB": ("size", Fraction(2**40)),
    "%": ("ratio", Fraction(1, 100)),
    "/s": ("rate", Fraction(1)),
    "/min": ("rate", Fraction(1, 60)),
    "/h": ("rate", Fraction(1, 3600)),
}
"""Unit to its kind and its factor; exact, so that 19 of 20 is 95% and not a hair less."""

BASE_UNITS = {**dict.fromkeys(KINDS, ""), "time": "s", "size": "B", "ratio": "ratio", "rate": "/s"}

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([A-Za-z%/]*)\Z")


def examples(kind: str) -> str:
    """Units of a kind, as an error message names them."""
    return ", ".join(unit for unit, (of, _factor) in UNITS.items() if of == kind)


def parse_quantity(text: str) -> tuple[float, str] | None:
    """Read ``500ms`` as ``(0.5, "time")`` and ``7`` as ``(7.0, "count")``; None when it is not a number with a known unit."""
    match = _QUANTITY.match(text.strip())
    if match is None:
        return None
    number, unit = match.groups()
    if not unit:
        return float(number), "count"
    if unit not in UNITS:
        return None
    kind, factor = UNITS[unit]
    if not math.isfinite(float(number)):
        return float(number), kind
    return float(Fraction(number) * factor), kind


def unknown_unit(text: str) -> str | None:
    """The unit of a text that looks like a number with a unit that does not exist, else None."""
    match = _QUANTITY.match(text.strip())
    if match is not None and match.group(2) and match.group(2) not in UNITS:
        return match.group(2)
    return None


def parse_duration(text: object) -> float:
    """Read a duration such as ``30s`` or ``5m`` as seconds.

    A bare number is refused, because it could be seconds, minutes or milliseconds; so is a negative one.
    Raises ValueError with what was expected.
    """
    expected = "expected a duration with its unit, such as 500ms, 30s, 5m, 1h"
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(f"{text!r} has no unit; {expected}" if isinstance(text, (int, float)) else expected)
    quantity = parse_quantity(text)
    if quantity is None or quantity[1] != "time" or not math.isfinite(quantity[0]):
        raise ValueError(f"{text!r} is not a duration; {expected}")
    if quantity[0] < 0:
        raise ValueError(f"{text!r} is negative; {expected}")
    return quantity[0]


def parse_size(text: object) -> int:
    """Read a size such as ``10MB`` or ``4KiB`` as bytes. Raises ValueError with what was expected."""
    expected = "expected a size with its unit, such as 512B, 10MB, 4MiB"
    quantity = parse_quantity(text) if isinstance(text, str) else None
    if quantity is None or quantity[1] != "size" or not math.isfinite(quantity[0]) or quantity[0] < 0:
        raise ValueError(f"{text!r} is not a size; {expected}")
    return int(quantity[0])


def kind_of(value: Value) -> str:
    """The kind of a value whose measure does not declare one: flag, count or text."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, (int, float)):
        return "count"
    return "text"


def _short(number: float) -> str:
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.4g}"


def show(value: Value, kind: str = "any") -> str:
    """A value as a person reads it: ``12.3 ms``, ``5 %``, ``1.2 MB``, ``true``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if len(value) <= 200 else value[:197] + "..."
    number = float(value)
    if not math.isfinite(number):
        return str(number)
    if kind == "time":
        size = abs(number)
        if size >= 7200:
            return f"{_short(number / 3600)} h" if size < 172800 else f"{_short(number / 86400)} d"
        if size >= 1 or size == 0:
            return f"{_short(number)} s"
        return f"{_short(number * 1e3)} ms"
    if kind == "ratio":
        return f"{_short(number * 100)} %"
    if kind == "rate":
        return f"{_short(number)}/s"
    if kind == "size":
        for unit in ("TB", "GB", "MB", "kB"):
            factor = float(UNITS[unit][1])
            if abs(number) >= factor:
                return f"{_short(number / factor)} {unit}"
        return f"{_short(number)} B"
    return _short(number)

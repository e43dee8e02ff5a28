# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Which series are meant, what is measured of each, and how they become one value: the same words and the same numbers, whether a
probe looks at a page for itself (`metrics`) or into samples of the past (`window`)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import windows
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Measured
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation

REDUCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "min": min,
    "avg": lambda values: math.fsum(values) / len(values),
    "count": len,
}
WINDOWED = ("increase", "rate", "ratio", "delta", "growth", "slope", "min", "max", "avg")
BURN_RATE = "burn_rate"
"""What only samples of the past can say: two windows of them."""
TO_ANOTHER = ("ratio", BURN_RATE)
"""Words that take one thing to another."""
SHARES = ("growth", "ratio")
"""Words whose value is a part of one."""


def _pattern_or_text(value: Any) -> str:
    """An exact text, or ``~`` and a regular expression. Numbers and flags stand for how they are written."""
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, (int, float)):
        value = str(value)
    if value == "":
        return ""
    text = opt.text(value)
    if text.startswith("~"):
        compile_pattern(text[1:])
    return text


def _name(value: Any) -> str:
    text = opt.text(value)
    if not text.startswith("~") and not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:.]*", text):
        raise ValueError(f"{text!r} is not the name of a metric; labels go under labels, a regular expression starts with ~")
    return _pattern_or_text(text)


_SERIES: Mapping[str, Option] = {
    "name": Option(_name, "name of the series as it stands on the page, or ~ and a regular expression"),
    "labels": Option(opt.map_of(_pattern_or_text), "labels that a series must have; a value may be ~ and a regular expression"),
    "reduce": Option(opt.choice(*REDUCTIONS), "how several series become one value"),
}


def _other_side(value: Any) -> dict[str, Any]:
    problems: list[Problem] = []
    clean = opt.read_options(value, _SERIES, "to", problems)
    if isinstance(value, Mapping) and not value.get("name"):
        problems.append(Problem("to.name", f"is missing: {_SERIES['name'].help}"))
    if problems:
        raise ValueError("; ".join(str(problem) for problem in problems))
    return clean


SELECTION: Mapping[str, Option] = {
    **_SERIES,
    "as": Option(opt.choice("value", *WINDOWED), "what is measured of each series", default="value"),
    "to": Option(_other_side, "for as: ratio, what the increase is a part of: {name, labels, reduce}"),
    "least": Option(opt.integer(1), "for as: ratio, how much the other side must have counted", default=1),
    "absent": Option(opt.choice("missing", "zero"), "what it means when no series matches", default="missing"),
}


def selection_problems(options: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with what is selected, in the options of a probe that has `SELECTION` and ``select``."""
    found = []
    if (options["name"] is None) == (options["select"] is None):
        found.append(Problem("name", "give either name, for one value, or select, for several"))
    if options["select"] is not None:
        found += [
            Problem(key, "goes into the entries of select")
            for key in SELECTION
            if key != "name" and options[key] != SELECTION[key].default
        ]
    for name, one in raw_selections(options).items():
        place = "" if options["select"] is None else f"select.{name}."
        if (one["as"] in TO_ANOTHER) != (one["to"] is not None):
            found.append(Problem(f"{place}to", "is what a ratio is taken to: give it with as: ratio, and only then"))
        if one["least"] != SELECTION["least"].default and one["as"] != "ratio":
            found.append(Problem(f"{place}least", "goes with as: ratio"))
    return found


def raw_selections(options: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """What is asked for, by the name of the measure; the single one is called ``value``."""
    return options["select"] if options["select"] is not None else {"value": options}


def named_selections(reserved: Collection[str]) -> Callable[[Any], dict[str, dict[str, Any]]]:
    """Reads the mapping under ``select``: own name of the value, which is none of the reserved ones, to what is selected."""

    def read(value: Any) -> dict[str, dict[str, Any]]:
        if not isinstance(value, Mapping) or not value:
            raise ValueError(f"expected a mapping of own names to {{name: …}}, got {value!r}")
        problems: list[Problem] = []
        clean = {}
        for key, raw in value.items():
            where = str(key)
            if not re.fullmatch(r"[a-z][a-z0-9_]*", where) or where in reserved:
                problems.append(Problem(where, f"expected a name of a-z, 0-9 and _, and none of {', '.join(reserved)}"))
            clean[where] = opt.read_options(raw, SELECTION, where, problems)
            if isinstance(raw, Mapping) and not raw.get("name"):
                problems.append(Problem(f"{where}.name", f"is missing: {SELECTION['name'].help}"))
        if problems:
            raise ValueError("; ".join(str(problem) for problem in problems))
        return clean

    return read


class Selection(NamedTuple):
    """What becomes one measure: which series, what of each, and how they become one value."""

    selector: Selector
    kind: str
    reduce: Optional[str]
    absent: str
    to: Optional[Selection] = None
    least: int = 1

    def sides(self) -> list[Selection]:
        """What is read for it: itself, and what a ratio is taken to."""
        return [self] if self.to is None else [self, self.to]


def selections(options: Mapping[str, Any]) -> dict[str, Selection]:
    """Every measure that the options ask for; the single one is called ``value``."""
    return {name: selection_of(one) for name, one in raw_selections(options).items()}


def selection_of(one: Mapping[str, Any]) -> Selection:
    """What one entry of ``select`` asks for."""
    to = one["to"]
    return Selection(
        selector=Selector(one["name"] or "", one["labels"] or {}),
        kind=one["as"],
        reduce=one["reduce"],
        absent=one["absent"],
        to=Selection(Selector(to["name"], to["labels"] or {}), "increase", to["reduce"], "missing") if to else None,
        least=one["least"],
    )


def selected_measures(options: Mapping[str, Any]) -> dict[str, str]:
    """The measures that come of what is selected, with their kinds."""
    own: dict[str, str] = {}
    for name, one in raw_selections(options).items():
        suffix = "" if options["select"] is None else f".{name}"
        own[name] = "ratio" if one["as"] in SHARES else "any"
        own[f"series{suffix}"] = "count"
        if one["as"] == "slope":
            own[f"tau{suffix}"] = "count"
    return own


def put_value(
    seen: Observation, name: str, suffix: str, selection: Selection, measured: Sequence[Measured], others: Sequence[Measured]
) -> None:
    """Put one measure into an observation: of the series that are selected, and for a ratio of those that it is taken to.

    ``suffix``: what stands behind ``tau``, if several values are asked for. Raises CannotMeasure.
    """
    value = reduced(selection, [one.value for one in measured])
    if selection.to is not None:
        to = reduced(selection.to, [one.value for one in others])
        seen.proof.setdefault("counted", {})[name] = {"of": value, "to": to}
        if 0 < to < selection.least:
            raise CannotMeasure(f"{to:g} of {selection.to.selector} are too few to say: {selection.least} are needed")
        value = windows.ratio(value, to)
    if selection.kind == "slope":
        lines = [one.line for one in measured if one.line is not None]
        if len(lines) == 1:
            seen.measures[f"tau{suffix}"] = lines[0].tau
            seen.proof.setdefault("r2", {})[name] = round(lines[0].r2, 4)
        else:
            seen.missing[f"tau{suffix}"] = f"{len(lines)} series have no single trend"
    seen.measures[name] = value


def put_missing(seen: Observation, name: str, suffix: str, selection: Selection, why: str) -> None:
    """Say why an observation lacks one measure, and what goes with it."""
    wanted = [name, f"tau{suffix}"] if selection.kind == "slope" else [name]
    for one in wanted:
        seen.measures.pop(one, None)
        seen.missing[one] = why


def reduced(selection: Selection, values: Sequence[float]) -> float:
    """Several values as one. Raises CannotMeasure."""
    if not values and selection.absent != "zero":
        raise CannotMeasure(f"no series matches {selection.selector}")
    if selection.reduce == "count":
        return len(values)
    if not values:
        return 0.0
    if selection.reduce is not None:
        return float(REDUCTIONS[selection.reduce](values))
    if len(values) > 1:
        raise CannotMeasure(f"{len(values)} series match {selection.selector}; say reduce: {', '.join(REDUCTIONS)}")
    return values[0]

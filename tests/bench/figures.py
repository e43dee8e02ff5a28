# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the benchmarks: several rounds of one thing, what follows from them, and how it is shown. Nothing here measures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BUSY = 0.5
"""Load for each core from which the figures are called noisy."""


class NotMeasured(Exception):
    """A measurement could not be made; the text says why."""


class WrongValues(NotMeasured):
    """What was compared did not do the same work or did not find the same values, so its times mean nothing."""


@dataclass(frozen=True)
class Figure:
    """One thing that was measured in several rounds. ``unit``: ``s``, ``B``, or the name of what is counted."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise NotMeasured(f"{self.name} was never measured")

    @property
    def median(self) -> float:
        return float(statistics.median(self.rounds))

    def as_record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 6),
            "min": round(min(self.rounds), 6),
            "max": round(max(self.rounds), 6),
            "rounds": [round(one, 6) for one in self.rounds],
        }


@dataclass(frozen=True)
class Result:
    """What a measurement says in the end, with the target that was set for it, if there is one.

    ``unit`` is ``x`` for a ratio. ``low`` and ``high`` are the extremes over the rounds. At most one of ``at_least``,
    ``at_most`` and ``above`` is given.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.above is not None:
            return self.value > self.above
        return None

    @property
    def target(self) -> str:
        """The target in words, or nothing."""
        for sign, wanted in ((">=", self.at_least), ("<=", self.at_most), (">", self.above)):
            if wanted is not None:
                return f"{sign} {shown(wanted, self.unit)}"
        return ""

    def as_record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "min": round(self.low, 4),
            "max": round(self.high, 4),
            "target": self.target or None,
            "met": self.met,
        }


@dataclass
class Measured:
    """What one measurement gave. ``facts``: what else is worth keeping, as data."""

    figures: list[Figure]
    results: list[Result]
    facts: Mapping[str, Any] = field(default_factory=dict)


def ratio(
    name: str, slow: Figure, fast: Figure, *, less: Figure | None = None, at_least: float | None = None, above: float | None = None
) -> Result:
    """How many times as long ``slow`` takes as ``fast``: the ratio of the medians, with the extremes over the rounds.

    ``less`` is what both contain and is taken off both, such as the run of a playbook without tasks: its median, because a single
    round of it would put its own noise into the ratio. Rounds belong together, since the two were measured side by side.
    """
    off = less.median if less is not None else 0.0
    by_round = [_quotient(one - off, other - off) for one, other in zip(slow.rounds, fast.rounds)]
    value = _quotient(slow.median - off, fast.median - off)
    return Result(name, value, "x", min(by_round), max(by_round), at_least=at_least, above=above)


def _quotient(slow: float, fast: float) -> float:
    if fast <= 0:
        raise NotMeasured("a time was not longer than what had to be taken off it, so there is no ratio")
    return slow / fast


def single(figure: Figure, *, at_most: float | None = None, worst: bool = False) -> Result:
    """A figure as a result of its own: its median, or its worst round."""
    low, high = min(figure.rounds), max(figure.rounds)
    return Result(figure.name, high if worst else figure.median, figure.unit, low, high, at_most=at_most)


def alternate(rounds: int, actions: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Do all actions in turn, several rounds of them, so that what disturbs the machine disturbs all of them alike."""
    seen: dict[str, list[float]] = {name: [] for name in actions}
    for _round in range(rounds):
        for name, action in actions.items():
            seen[name].append(action())
    return seen


def shown(value: float, unit: str) -> str:
    """A number for people: three significant digits and its unit."""
    if unit == "B":
        return f"{value / 1e6:.1f} MB"
    if unit == "x":
        return f"{value:.1f} x"
    text = f"{value:.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}"


def is_quiet(load: float, cores: int) -> bool:
    """Whether the machine had so little else to do that its figures are not noise."""
    return load < BUSY * cores


def table(outcomes: Sequence[tuple[str, Measured | str]]) -> list[str]:
    """The results as lines. An outcome is the title of a measurement with what it gave, or with why it could not be made."""
    rows: list[tuple[str, str, str, str, str]] = []
    for title, outcome in outcomes:
        rows.append((title, "", "", "", ""))
        if isinstance(outcome, str):
            rows.append((f"  NOT MEASURED: {outcome}", "", "", "", ""))
            continue
        for one in outcome.results:
            verdict = {True: "met", False: "MISSED", None: ""}[one.met]
            spread = "" if one.low == one.high else f"{shown(one.low, one.unit)} .. {shown(one.high, one.unit)}"
            rows.append((f"  {one.name}", shown(one.value, one.unit), spread, one.target, verdict))
    filled = [row for row in rows if any(row[1:])]
    widths = [max((len(row[column]) for row in filled), default=0) for column in range(5)]
    lines = []
    for row in rows:
        if not any(row[1:]):
            lines += ["", row[0]] if not row[0].startswith(" ") else [row[0]]
            continue
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]), row[3].rjust(widths[3]), row[4]]
        lines.append("  ".join(cells).rstrip())
    return lines


def missed(outcomes: Sequence[tuple[str, Measured | str]]) -> list[str]:
    """Every target that was not met, in words."""
    return [
        f"{one.name}: {shown(one.value, one.unit)}, target {one.target}"
        for _title, outcome in outcomes
        if isinstance(outcome, Measured)
        for one in outcome.results
        if one.met is False
    ]

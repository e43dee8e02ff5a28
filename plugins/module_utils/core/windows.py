# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a series did over a window of samples: increase and rate of a counter, with resets and births; change, growth,
slope and range of a gauge; and how much of the window the samples cover.

The samples of one series are `Point`s in the order of time. A point whose value is None says that the page was read
and the series was not on it.

A counter is read as its process sees it:

- it starts at zero, so a series that appears between two samples has increased by all that it shows;
- it only grows, so a value below the one before is a restart, and what it shows since then is the increase;
- while it is absent it is zero: its process restarted and has counted nothing yet.

Nothing is extrapolated to the edges of the window: the result is what was counted between the first and the last
sample. A window whose samples were kept begins with the sample before it, so that they span it (`over`). The rate of
several series is the sum of their rates and never the rate of their sum, in which a reset of one would hide.

Prometheus' own functions do extrapolate. The probe `promql` measures with these here, from the raw samples of the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew
from ansible_collections.golive.cutover.plugins.module_utils.core.trend import Trend, trend

GAP = 2.5
"""A pause of more than so many usual pauses is a gap: two samples in a row are not there."""
FEWEST = 5
"""Looks within a window from which their usual pause is known without being told."""
AGE = 0.25
"""The part of a window that its newest look may be old where the usual pause is not told."""


class Point(NamedTuple):
    """One sample of one series: when (seconds, any epoch) and its value; None when the series was not there."""

    at: float
    value: Optional[float]


class Coverage(NamedTuple):
    """How much of a window was looked at. Times in seconds."""

    samples: int
    """Looks within the window."""
    share: float
    """The part of the window that lies between looks without a gap, 0 to 1."""
    gaps: int
    longest: float
    """The longest time without a look, the ends of the window included."""
    age: float
    """From the newest look to the end of the window."""
    every: float
    """The usual pause between two looks."""
    stale: bool = False
    """The newest look is so old that the window says nothing about its end."""


class CannotMeasure(ValueError):
    """The points say nothing about the window; the text says why, in a few words."""


@dataclass(frozen=True)
class Change:
    """What was counted between the first and the last point, and over how many seconds."""

    amount: float
    seconds: float
    resets: int = 0
    born: bool = False
    vanished: bool = False

    @property
    def rate(self) -> float:
        """Per second."""
        return self.amount / self.seconds


def _checked(points: Sequence[Point]) -> float:
    """The length of the window in seconds. Raises CannotMeasure when the points do not make one."""
    if len(points) < 2:
        raise CannotMeasure(f"{len(points)} sample of the page; two are needed")
    if any(later.at <= earlier.at for earlier, later in zip(points, points[1:])):
        raise CannotMeasure("the samples are not in the order of time")
    for _at, value in points:
        if value is not None and not math.isfinite(value):
            raise CannotMeasure(f"a sample is {value}")
    if all(value is None for _at, value in points):
        raise CannotMeasure("the series was on none of the pages")
    return points[-1].at - points[0].at


def increase(points: Sequence[Point]) -> Change:
    """How much a counter grew. Raises CannotMeasure for fewer than two points, values that are not finite, and
    negative ones.

    >>> increase([Point(0, 5), Point(10, 9), Point(20, 2)]).amount
    6.0
    """
    seconds = _checked(points)
    if any(value is not None and value < 0 for _at, value in points):
        raise CannotMeasure("a sample is negative, so this is not a counter")
    values = [float(value or 0.0) for _at, value in points]
    amount = 0.0
    resets = 0
    for before, value in zip(values, values[1:]):
        if value < before:
            resets += 1
            amount += value
        else:
            amount += value - before
    return Change(
        amount=amount,
        seconds=seconds,
        resets=resets,
        born=points[0].value is None,
        vanished=points[-1].value is None,
    )


def delta(points: Sequence[Point]) -> Change:
    """How much a gauge changed from the first to the last point; may be negative. Raises CannotMeasure, also when it
    is absent
    at one of the two ends."""
    seconds = _checked(points)
    first, last = points[0].value, points[-1].value
    if first is None or last is None:
        raise CannotMeasure(f"the series was not on the {'first' if first is None else 'last'} page")
    return Change(amount=last - first, seconds=seconds)


def growth(points: Sequence[Point]) -> Change:
    """By which part of its first value a gauge changed: 0.1 is ten percent more. Raises as `delta`, and for a first value
    that is not above zero, of which nothing is a part."""
    change = delta(points)
    first = points[0].value or 0.0
    if first <= 0:
        raise CannotMeasure(f"the first value is {first:g}, so there is no growth; use as: delta")
    return Change(amount=change.amount / first, seconds=change.seconds)


def ratio(of: float, to: float) -> float:
    """What was counted of one thing in parts of another, such as errors to requests. Raises CannotMeasure when nothing
    was counted of the other: no traffic is no success."""
    if not (math.isfinite(of) and math.isfinite(to)):
        raise CannotMeasure(f"a ratio of {of:g} to {to:g} is no number")
    if to <= 0:
        raise CannotMeasure(f"the other side of the ratio is {to:g}: there was nothing to be a part of")
    return of / to


def slope(points: Sequence[Point]) -> Trend:
    """Where a gauge is going, per second. Raises CannotMeasure, also for too few samples. Looks at which it was absent are
    left out."""
    _checked(points)
    try:
        return trend([(at, value) for at, value in points if value is not None])
    except TooFew as error:
        raise CannotMeasure(str(error)) from error


def _each(points: Sequence[Point]) -> list[float]:
    """The values of a gauge. Raises CannotMeasure when it is absent from a look, where it could have had any value, or when one
    is not finite."""
    values = [value for _at, value in points if value is not None]
    if not values:
        raise CannotMeasure("the series was on none of the pages")
    if len(values) < len(points):
        raise CannotMeasure(f"the series was not on {len(points) - len(values)} of {len(points)} pages")
    for value in values:
        if not math.isfinite(value):
            raise CannotMeasure(f"a sample is {value}")
    return values


RANGES: Mapping[str, Callable[[Sequence[Point]], float]] = {
    "min": lambda points: min(_each(points)),
    "max": lambda points: max(_each(points)),
    "avg": lambda points: math.fsum(_each(points)) / len(_each(points)),
}
"""What is said of all values of a gauge within a window."""

COUNTED = ("increase", "rate", "ratio")
"""What is asked of counters."""
CHANGED = (*COUNTED, "delta", "growth")
"""What is asked of the whole span of a window, so that it begins with the sample before it."""


@dataclass(frozen=True)
class Measured:
    """One value of one series over a window, with what there is to tell about it."""

    value: float
    resets: int = 0
    born: bool = False
    vanished: bool = False
    absent: int = 0
    """Looks at which the series was not there."""
    line: Optional[Trend] = None


def measure(kind: str, points: Sequence[Point]) -> Measured:
    """What a series did: ``increase``, ``rate``, ``ratio`` (its increase), ``delta``, ``growth``, ``slope``, ``min``, ``max``,
    ``avg``. Raises CannotMeasure."""
    absent = sum(point.value is None for point in points)
    if kind in COUNTED:
        change = increase(points)
        value = change.rate if kind == "rate" else change.amount
        return Measured(value, change.resets, change.born, change.vanished, absent)
    if kind in ("delta", "growth"):
        change = delta(points) if kind == "delta" else growth(points)
        return Measured(change.amount, absent=absent)
    if kind == "slope":
        line = slope(points)
        return Measured(line.slope, absent=absent, line=line)
    return Measured(RANGES[kind](points), absent=absent)


def over(kind: str, points: Sequence[Point], start: float) -> list[Point]:
    """The points that a window from ``start`` on is about: those after it, and for what is asked of the whole span also the
    one before. ``points`` holds at most one that is not after the start."""
    return [point for point in points if kind in CHANGED or point.at > start]


def coverage(looks: Sequence[float], start: float, end: float, every: Optional[float] = None) -> Coverage:
    """How much of the window from start to end the looks cover.

    ``looks`` are times in order; one at or before the start shows that looking had begun by then. Without ``every`` the
    usual pause is the median of all, which is only known from `FEWEST` looks on. Raises CannotMeasure for fewer, with
    ``every`` for fewer than two looks, or none within the window.
    """
    looks = [at for at in looks if at <= end]  # a look behind the end would be counted there and as the age of the newest
    within = [at for at in looks if start < at]
    if len(looks) < 2 or not within:
        raise CannotMeasure(f"{len(within)} sample{'' if len(within) == 1 else 's'} in the window; two are needed")
    if every is None and len(within) < FEWEST:
        raise CannotMeasure(
            f"{len(within)} sample{'' if len(within) == 1 else 's'} in the window do not show how often it is looked at; "
            f"{FEWEST} do, or say every"
        )
    pauses = [later - earlier for earlier, later in zip(looks, looks[1:])]
    usual = every or median(pauses)
    limit = GAP * usual
    oldest = limit if every else min(limit, AGE * (end - start))
    covered = 0.0
    longest = max(pauses)
    gaps = sum(pause > limit for pause in pauses)
    for earlier, later in zip(looks, looks[1:]):
        if later - earlier <= limit:
            covered += max(min(later, end) - max(earlier, start), 0.0)
    age = end - within[-1]
    stale = age > oldest
    if not stale:
        covered += age
    else:
        gaps += 1
    if looks[0] > start:
        longest = max(longest, looks[0] - start)
    return Coverage(len(within), min(covered / (end - start), 1.0), gaps, max(longest, age), age, usual, stale)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a series did over a window of samples: increase and rate of a counter, with resets and births; change of a
gauge.

The samples of one series are `Point`s in the order of time. A point whose value is None says that the page was read
and the series was not on it.

A counter is read as its process sees it:

- it starts at zero, so a series that appears between two samples has increased by all that it shows;
- it only grows, so a value below the one before is a restart, and what it shows since then is the increase;
- while it is absent it is zero: its process restarted and has counted nothing yet.

Nothing is extrapolated to the edges of the window: the result is what was counted between the first and the last
sample. The rate of several series is the sum of their rates and never the rate of their sum, in which a reset of one
would hide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional


class Point(NamedTuple):
    """One sample of one series: when (seconds, any epoch) and its value; None when the series was not there."""

    at: float
    value: Optional[float]


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

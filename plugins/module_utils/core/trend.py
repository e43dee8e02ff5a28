# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Where a gauge is going: its slope, and how steadily.

``slope`` is the line of least squares (A.-M. Legendre, 1805), because Prometheus' ``deriv`` is the same line: a threshold means
the same wherever the samples come from. A line alone does not tell a leak from a jump, so Kendall's tau stands beside it
(M. G. Kendall, "A New Measure of Rank Correlation", Biometrika 30 (1938), tau-b): 1 when every sample is at least as high as
all before it and not all are equal, -1 when it always falls, near 0 when it goes up and down. One wild sample moves the line and
hardly moves tau.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew

LEAST = 5
"""Samples that a slope needs: fewer are as likely to lie in order by chance as not."""


class Trend(NamedTuple):
    """A line through samples. ``slope`` per second; ``fitted`` is the value of the line at the last sample."""

    slope: float
    fitted: float
    r2: float
    """The share of the variation that the line explains; 1 for a constant series."""
    tau: float
    """Kendall's tau-b; 0 for a constant series."""
    samples: int
    seconds: float


def trend(points: Sequence[tuple[float, float]], least: int = LEAST) -> Trend:
    """The trend of ``(seconds, value)`` in the order of time. Raises TooFew, and ValueError for samples that are not finite
    or out of order.

    >>> trend([(0, 1), (10, 2), (20, 3), (30, 4), (40, 5)]).slope
    0.1
    """
    if len(points) < max(least, 2):
        raise TooFew(len(points), max(least, 2), "samples", "a slope")
    if any(not (math.isfinite(at) and math.isfinite(value)) for at, value in points):
        raise ValueError("one of the samples is not a finite number")
    if any(later[0] <= earlier[0] for earlier, later in zip(points, points[1:])):
        raise ValueError("the samples are not in the order of time")
    count = len(points)
    # Around the last sample and the first value, so that the squares of large times and values do not eat the digits.
    times = [at - points[-1][0] for at, _value in points]
    values = [value - points[0][1] for _at, value in points]
    mean_time, mean_value = math.fsum(times) / count, math.fsum(values) / count
    across = math.fsum((at - mean_time) * (value - mean_value) for at, value in zip(times, values))
    spread = math.fsum((at - mean_time) ** 2 for at in times)
    height = math.fsum((value - mean_value) ** 2 for value in values)
    slope = across / spread
    return Trend(
        slope=slope,
        fitted=points[0][1] + mean_value - slope * mean_time,
        r2=1.0 if height == 0 else min(across * across / (spread * height), 1.0),
        tau=_tau([value for _at, value in points]),
        samples=count,
        seconds=-times[0],
    )


def _tau(values: Sequence[float]) -> float:
    """Kendall's tau-b of values against their order, which has no ties."""
    seen: list[float] = []
    score = 0
    for value in values:
        score += bisect_left(seen, value) - (len(seen) - bisect_right(seen, value))
        insort(seen, value)
    pairs = len(values) * (len(values) - 1) // 2
    tied = sum(count * (count - 1) // 2 for count in Counter(values).values())
    return 0.0 if tied == pairs else score / math.sqrt(pairs * (pairs - tied))

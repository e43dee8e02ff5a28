# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Two sets of samples side by side, such as latencies before and after a change: the test of Mann and Whitney.

Sources: H. B. Mann, D. R. Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger than the
Other", Annals of Mathematical Statistics 18 (1947); interval and estimate of the shift as in R's ``wilcox.test`` with
``exact = FALSE, conf.int = TRUE``; how a shift is classified as in Netflix' Kayenta (``MannWhitneyClassifier``).

With the samples ``x`` (n of them) against the baseline ``y`` (m), N = n + m, and t samples in each tie::

    D(s)     = sum of the ranks of x - s among all  -  n(n+1)/2  -  nm/2
    sigma²   = nm/12 · [ (N + 1)  -  Σ(t³ - t) / (N (N - 1)) ]
    z(s)     = (D - ½·sign D) / sigma
    estimate = the s where z crosses 0; bounds: where it crosses ±z of the confidence

D only changes where s is a difference x - y, so the bounds are such differences. Nothing is assumed about the shape of the
distributions. The normal approximation and the classification want about 50 samples on each side.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import Interval, TooFew, deviations

CONFIDENCE = 0.98
"""Kayenta's, two-sided: z = 2.326."""
TOLERANCE = 0.25
"""The share of the estimate that the interval must stay clear of zero by. Kayenta's."""
LEAST = 50
"""Samples on each side from which on Kayenta's authors trust the classification."""
CLOSE = 1e-9
"""How near to a bound the search for it ends, in parts of the range of all differences."""


class Comparison(NamedTuple):
    """How the samples lie against the baseline. Times and shifts in the unit of the samples."""

    kind: str
    """``high``, ``low`` or ``same``."""
    shift: float
    """By how much the samples are larger than the baseline (Hodges-Lehmann)."""
    bounds: Interval
    """The interval of the shift."""
    effect: float
    """Mean of the samples / mean of the baseline; NaN when that is 0."""
    p_value: float
    """Two-sided, with continuity and ties: how likely such ranks are when nothing has changed."""
    samples: int
    baseline: int


class _Ranks:
    """D and sigma of samples that are shifted against a baseline."""

    def __init__(self, samples: Sequence[float], baseline: Sequence[float]) -> None:
        self.x = sorted(samples)
        self.y = sorted(baseline)
        self.n, self.m = len(self.x), len(self.y)
        self._x = Counter(self.x)
        self._y = Counter(self.y)

    def z(self, shift: float, correct: bool = True) -> float:
        """0 when all are tied: there is nothing that would rank one side higher."""
        n, m = self.n, self.m
        above = 0.0
        ties = dict(self._y)
        for value, count in self._x.items():
            moved = value - shift
            below, up_to = bisect_left(self.y, moved), bisect_right(self.y, moved)
            above += count * (below + (up_to - below) / 2)
            ties[moved] = ties.get(moved, 0) + count
        total = n + m
        distance = above - n * m / 2
        spread = n * m / 12 * ((total + 1) - sum(t**3 - t for t in ties.values()) / (total * (total - 1)))
        if spread <= 0:
            return 0.0
        half = math.copysign(0.5, distance) if correct and distance else 0.0
        return (distance - half) / math.sqrt(spread)

    def crossing(self, quantile: float, correct: bool = True) -> float:
        """The shift where z falls through a quantile, or the end of all differences when it never does."""
        low, high = self.x[0] - self.y[-1], self.x[-1] - self.y[0]
        close = (high - low) * CLOSE
        if self.z(low, correct) <= quantile:
            return low
        if self.z(high, correct) >= quantile:
            return high
        while high - low > close:
            middle = low + (high - low) / 2
            if not low < middle < high:
                break
            if self.z(middle, correct) > quantile:
                low = middle
            else:
                high = middle
        return low + (high - low) / 2

    def middle(self) -> float:
        """The shift that puts half of the differences on each side: the middle of where z is 0, without continuity, as
        R has it."""
        other = _Ranks([-value for value in self.x], [-value for value in self.y])
        return (self.crossing(0.0, False) - other.crossing(0.0, False)) / 2


def mann_whitney(samples: Sequence[float], baseline: Sequence[float], confidence: float = CONFIDENCE) -> Comparison:
    """The test, the shift and its interval; ``kind`` by the interval alone: ``high`` when its low end is above
    a quarter of the estimate.

    Raises TooFew for fewer than two samples on a side, ValueError for samples that are not finite.
    """
    for side in (samples, baseline):
        if any(not math.isfinite(value) for value in side):
            raise ValueError("one of the samples is not a finite number")
        if len(side) < 2:
            raise TooFew(len(side), 2, "samples", "a comparison")
    ranks = _Ranks(samples, baseline)
    mean = math.fsum(baseline) / len(baseline)
    effect = math.fsum(samples) / len(samples) / mean if mean else math.nan
    quantile = deviations(confidence)
    bounds = Interval(ranks.crossing(quantile), ranks.crossing(-quantile))
    shift = ranks.middle()
    p_value = min(2 * NormalDist().cdf(-abs(ranks.z(0.0))), 1.0)
    margin = TOLERANCE * abs(shift)
    kind = "same"
    if ranks.x != ranks.y:
        kind = "high" if bounds.low > margin else "low" if bounds.high < -margin else "same"
    return Comparison(kind, shift, bounds, effect, p_value, len(samples), len(baseline))


def compare(
    samples: Sequence[float],
    baseline: Sequence[float],
    *,
    allowed: float = 1.0,
    confidence: float = CONFIDENCE,
    least: int = LEAST,
) -> Comparison:
    """Whether the samples are higher or lower than the baseline by enough to matter.

    ``high`` needs a mean of more than ``allowed`` times that of the baseline, ``low`` one of less than its inverse; else
    it is ``same``. A baseline around 0 has no such ratio, and the interval decides. Raises as `mann_whitney`, and TooFew
    below ``least`` samples on either side.
    """
    if allowed < 1:
        raise ValueError(f"{allowed!r} is not an effect that is allowed; expected at least 1, such as 1.1")
    fewest = min(len(samples), len(baseline))
    if fewest < least:
        side = "samples" if len(samples) == fewest else "baseline samples"
        raise TooFew(fewest, least, side, "a comparison")
    found = mann_whitney(samples, baseline, confidence)
    enough = {"high": found.effect > allowed, "low": found.effect < 1 / allowed}.get(found.kind, True)
    if not enough and not math.isnan(found.effect):
        return found._replace(kind="same")
    return found

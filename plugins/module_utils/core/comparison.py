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

Kayenta takes the ratio of the means for the size of an effect. One request that hung before the change makes such a mean as
large as it likes, and everything after it looks quick. Here it is the shift in parts of the middle of the baseline, which no
single sample moves.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist, median
from typing import Any, NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import Interval, TooFew, deviations

CONFIDENCE = 0.98
"""Kayenta's, two-sided: z = 2.326."""
TOLERANCE = 0.25
"""The share of the estimate that the interval must stay clear of zero by. Kayenta's."""
LEAST = 50
"""Samples on each side from which on Kayenta's authors trust the classification."""
CLOSE = 1e-9
"""How near to a bound the search for it ends, in parts of the range of all differences."""
SHOWN = 7
"""Decimals of seconds that are told."""


class Comparison(NamedTuple):
    """How the samples lie against the baseline. Times and shifts in the unit of the samples."""

    kind: str
    """``high`` or ``low`` where the interval says so, else ``same``."""
    shift: float
    """By how much the samples are larger than the baseline (Hodges-Lehmann)."""
    bounds: Interval
    """The interval of the shift."""
    effect: float
    """The shift in parts of the median of the baseline, 0.1 for a tenth more; NaN when that is 0."""
    p_value: float
    """Two-sided, with continuity and ties: how likely such ranks are when nothing has changed."""
    samples: int
    baseline: int
    median: float
    before: float
    """The median of the baseline."""
    confidence: float

    def higher_by(self, share: float) -> bool:
        """Whether the samples are higher, by more than a share of the baseline. Of 0 nothing is a share: the interval decides."""
        return self.kind == "high" and not self.effect <= share

    def lower_by(self, share: float) -> bool:
        """Whether they are lower by more than a share of the baseline."""
        return self.kind == "low" and not self.effect >= -share

    def words(self) -> str:
        """Of times, in a few words: ``12 ms higher than before (98 %: 10 ms to 14 ms)``."""
        shift, low, high = (round(one, SHOWN) for one in (self.shift, *self.bounds))
        by = f"{units.show(abs(shift), 'time')} {'higher' if shift > 0 else 'lower'} than" if shift else "as"
        bounds = f"{units.show(low, 'time')} to {units.show(high, 'time')}"
        return f"{by} before ({units.show(self.confidence, 'ratio')}: {bounds})"

    def record(self) -> dict[str, Any]:
        """For the proof: numbers of samples, medians, shift and bounds in the unit of the samples, and how sure it is."""
        numbers = {
            **{"median": self.median, "median_before": self.before, "shift": self.shift},
            **{"low": self.bounds.low, "high": self.bounds.high, "p_value": self.p_value},
        }
        rounded = {name: float(f"{value:.4g}") for name, value in numbers.items()}
        return {"kind": self.kind, "samples": self.samples, "before": self.baseline, "confidence": self.confidence, **rounded}


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
    now, before = median(ranks.x), median(ranks.y)
    quantile = deviations(confidence)
    bounds = Interval(ranks.crossing(quantile), ranks.crossing(-quantile))
    shift = ranks.middle()
    effect = shift / before if before else math.nan
    p_value = min(2 * NormalDist().cdf(-abs(ranks.z(0.0))), 1.0)
    margin = TOLERANCE * abs(shift)
    kind = "same"
    if ranks.x != ranks.y:
        kind = "high" if bounds.low > margin else "low" if bounds.high < -margin else "same"
    return Comparison(kind, shift, bounds, effect, p_value, ranks.n, ranks.m, now, before, confidence)


def compare(
    samples: Sequence[float],
    baseline: Sequence[float],
    confidence: float = CONFIDENCE,
    least: int = LEAST,
) -> Comparison:
    """`mann_whitney` of enough samples. Raises as that, and TooFew below ``least`` samples on either side."""
    fewest = min(len(samples), len(baseline))
    if fewest < least:
        side = "samples" if len(samples) == fewest else "baseline samples"
        raise TooFew(fewest, least, side, "a comparison")
    return mann_whitney(samples, baseline, confidence)

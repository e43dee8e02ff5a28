# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a number of trials says: bounds of a pass rate, and how many trials are needed before they say anything.

Sources:

- bounds of a pass rate: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of
  the American Statistical Association 22 (1927), without continuity correction;
- how many samples bound a percentile: S. S. Wilks, "Determination of Sample Sizes for Setting Tolerance Limits", Annals
  of Mathematical Statistics 12 (1941), one-sided, first order.

"Too few to say" is an answer: `TooFew` carries how many there are and how many would do.
"""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core import units

CONFIDENCE = 0.95
"""Two-sided confidence of every interval, unless told otherwise."""


class TooFew(ValueError):
    """There is too little to decide from. ``have`` and ``need`` count the same thing, which ``what`` names in the plural."""

    def __init__(self, have: int, need: int, what: str, why: str) -> None:
        self.have = have
        self.need = need
        counted = f"{have} {what}" if have != 1 else f"1 {what[:-1]}"
        super().__init__(f"{counted} {'is' if have == 1 else 'are'} too few to say: {why} needs {need}")


class Interval(NamedTuple):
    """Where the true value lies with the confidence that was asked for."""

    low: float
    high: float


class PassRate(NamedTuple):
    """What a number of trials says about the share that passes, in parts of one."""

    passed: int
    total: int
    ratio: float
    bounds: Interval
    confidence: float

    def record(self) -> dict[str, float]:
        """``passed``, ``total``, ``ratio``, and the bounds ``low`` and ``high``, as results carry them."""
        return {
            **{"passed": self.passed, "total": self.total, "ratio": self.ratio},
            **{"low": self.bounds.low, "high": self.bounds.high},
        }

    def within(self) -> str:
        """The bounds in words, as they stand beside the ratio: ``64.6 % to 100 % (95 %, Wilson)``."""
        low, high = (units.show(one, "ratio") for one in self.bounds)
        return f"{low} to {high} ({units.show(self.confidence, 'ratio')}, Wilson)"


def deviations(confidence: float) -> float:
    """How many standard deviations a two-sided confidence is: 1.96 for 0.95. Raises ValueError."""
    if not 0 < confidence < 1:
        raise ValueError(f"{confidence!r} is not a confidence; expected a number between 0 and 1, such as 0.95")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(passed: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """The bounds of a pass rate after Wilson, in parts of one. Raises TooFew for no trial, ValueError for impossible counts.

    ``(p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`` with ``p = passed/total`` and ``n = total``.

    >>> round(wilson(20, 20).low, 3), round(wilson(50, 50).low, 3)
    (0.839, 0.929)
    """
    if total < 0 or not 0 <= passed <= max(total, 0):
        raise ValueError(f"{passed} of {total} is not a number of passed trials")
    if total == 0:
        raise TooFew(0, 1, "trials", "a pass rate")
    z = deviations(confidence)
    square = z * z
    ratio = passed / total
    middle = ratio + square / (2 * total)
    spread = z * math.sqrt(ratio * (1 - ratio) / total + square / (4 * total * total))
    scale = 1 + square / total
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if passed == 0 else max((middle - spread) / scale, 0.0)
    high = 1.0 if passed == total else min((middle + spread) / scale, 1.0)
    return Interval(low, high)


def pass_rate(passed: int, total: int, confidence: float = CONFIDENCE) -> PassRate:
    """The ratio and its bounds. Raises as `wilson`."""
    return PassRate(passed, total, passed / total if total else math.nan, wilson(passed, total, confidence), confidence)


def trials_to_show(rate: float, confidence: float = CONFIDENCE) -> int:
    """How many trials, all of them passed, bring the lower bound of `wilson` to a rate: ``z²·rate/(1-rate)``, rounded up.

    >>> trials_to_show(0.95)
    73
    """
    if not 0 <= rate < 1:
        raise ValueError(f"{rate!r} cannot be shown by trials; expected at least 0 and less than 1")
    # All passed: the lower bound is n/(n + z²).
    return max(math.ceil(deviations(confidence) ** 2 * rate / (1 - rate)), 1)


def requests_for(objective: float) -> int:
    """How many requests an objective needs so that one failure alone does not break it: ``1/(1-objective)``, rounded up.

    >>> requests_for(0.995)
    200
    """
    if not 0 <= objective < 1:
        raise ValueError(f"{objective!r} is not an objective that can be judged; expected at least 0 and less than 1")
    # By the decimal number that was meant: 1 - 0.995 in binary is a hair more than 0.005.
    return math.ceil(1 / (1 - Fraction(repr(float(objective)))))


def enough_requests(total: int, objective: float) -> None:
    """Raise TooFew when a single failure among so many requests would already break the objective."""
    need = requests_for(objective)
    if total < need:
        raise TooFew(total, need, "requests", f"an objective of {objective * 100:g} %")


def samples_to_bound(percent: float, confidence: float = CONFIDENCE) -> int:
    """How many raw samples there must be so that the largest is above the percentile with a one-sided confidence:
    the smallest n with ``1 - (percent/100)^n >= confidence``.

    >>> samples_to_bound(95)
    59
    """
    if not 0 < percent < 100:
        raise ValueError(f"p{percent:g} is not a percentile; expected more than 0 and less than 100")
    if not 0 < confidence < 1:
        raise ValueError(f"{confidence!r} is not a confidence; expected a number between 0 and 1, such as 0.95")
    return math.ceil(math.log(1 - confidence) / math.log(percent / 100))

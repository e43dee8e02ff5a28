# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Percentiles by nearest rank: the smallest sample that at least the asked share of all samples does not exceed.

The result is always one of the samples, so it never says something that nobody saw. Source of the formula: the
nearest-rank method, ``x[ceil(q * n)]`` of the sorted samples, counted from one.

With few samples a high percentile is the slowest sample under another name. So a percentile is only had from as many
samples as leave at least one above its rank: 2 for p50, 20 for p95, 100 for p99.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew

METHOD = "nearest-rank"
USUAL = (50, 95, 99)
"""The percentiles of a number of requests."""


def needed(percent: int) -> int:
    """How many samples a percentile needs. Raises ValueError when it is not a whole number from 1 to 99.

    >>> [needed(percent) for percent in (50, 90, 95, 99)]
    [2, 10, 20, 100]
    """
    if not 1 <= percent <= 99:
        raise ValueError(f"p{percent} is not a percentile; expected 1 to 99")
    return math.ceil(Fraction(100, 100 - percent))


def percentiles(samples: Iterable[float], percents: Iterable[int], failed: str) -> tuple[dict[str, float], dict[str, str]]:
    """Several percentiles of samples, by names such as ``p95``, and why there are none of the others.

    ``failed``: why a percentile is not known whose sample is infinite. Raises ValueError when a sample is NaN.

    >>> percentiles([0.1, 0.2, math.inf], [50, 95], "1 of 3 failed")
    ({'p50': 0.2}, {'p95': '3 samples are too few to say: p95 needs 20'})
    """
    ordered = sorted(samples)
    known: dict[str, float] = {}
    unknown: dict[str, str] = {}
    for percent in percents:
        try:
            value = percentile(ordered, percent)
        except TooFew as error:
            unknown[f"p{percent}"] = str(error)
            continue
        if math.isinf(value):
            unknown[f"p{percent}"] = failed
        else:
            known[f"p{percent}"] = value
    return known, unknown


def percentile(samples: Iterable[float], percent: int) -> float:
    """The percentile of samples in any order, by nearest rank.

    A sample that is infinite stands for something that never came back (a request without an answer): it counts as
    the largest.
    Raises TooFew, and ValueError when a sample is NaN.

    >>> percentile([15, 20, 35, 40, 50], 40)
    20
    """
    ordered = sorted(samples)
    if any(math.isnan(sample) for sample in ordered):
        raise ValueError("one of the samples is NaN")
    need = needed(percent)
    if len(ordered) < need:
        raise TooFew(len(ordered), need, "samples", f"p{percent}")
    return ordered[math.ceil(Fraction(percent * len(ordered), 100)) - 1]

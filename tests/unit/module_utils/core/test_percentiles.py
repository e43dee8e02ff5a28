# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Percentiles: the definition of nearest rank, and the samples that each percentile needs."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.percentiles import needed, percentile, percentiles
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew

SAMPLES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=100, max_size=300)
PERCENTS = st.integers(1, 99)


@pytest.mark.parametrize(("percent", "expected"), [(5, 15), (30, 20), (40, 20), (50, 35), (80, 40)])
def test_the_textbook_example(percent: int, expected: float) -> None:
    assert percentile([35, 20, 15, 50, 40], percent) == expected


@pytest.mark.parametrize(("percent", "need"), [(50, 2), (90, 10), (95, 20), (99, 100)])
def test_a_percentile_needs_a_sample_above_its_rank(percent: int, need: int) -> None:
    assert needed(percent) == need
    assert percentile(range(need), percent) == need - 2
    with pytest.raises(TooFew, match=f"{need - 1} samples? (is|are) too few to say: p{percent} needs {need}"):
        percentile(range(need - 1), percent)


@pytest.mark.parametrize("percent", [0, 100, -1])
def test_what_is_no_percentile_is_refused(percent: int) -> None:
    with pytest.raises(ValueError, match="not a percentile"):
        percentile([1, 2, 3], percent)


def test_nan_is_refused_instead_of_sorted_somewhere() -> None:
    with pytest.raises(ValueError, match="NaN"):
        percentile([1.0, math.nan, 2.0], 50)


@settings(deadline=None)
@given(SAMPLES, PERCENTS)
def test_it_is_the_smallest_sample_that_covers_the_share(samples: list[float], percent: int) -> None:
    value = percentile(samples, percent)
    assert value in samples
    assert sum(sample <= value for sample in samples) * 100 >= percent * len(samples)
    assert sum(sample < value for sample in samples) * 100 < percent * len(samples)


@settings(deadline=None)
@given(SAMPLES, PERCENTS, st.randoms())
def test_the_order_of_the_samples_does_not_matter(samples: list[float], percent: int, random: object) -> None:
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert percentile(shuffled, percent) == percentile(samples, percent)


@settings(deadline=None)
@given(SAMPLES, PERCENTS, st.data())
def test_a_slower_sample_never_makes_it_faster(samples: list[float], percent: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(samples) - 1))
    slower = [*samples[:place], math.inf, *samples[place + 1 :]]
    assert percentile(slower, percent) >= percentile(samples, percent)


@settings(deadline=None)
@given(SAMPLES, PERCENTS)
def test_it_is_numpy_s_inverted_distribution_function(samples: list[float], percent: int) -> None:
    """numpy multiplies share and number in floating point; a hair above a whole number it takes the next sample."""
    ordered = sorted(samples)
    value = percentile(samples, percent)
    oracle = float(numpy.percentile(ordered, percent, method="inverted_cdf"))
    exact = percent * len(ordered) % 100 != 0
    assert value == oracle or (not exact and oracle == ordered[percent * len(ordered) // 100])


def test_several_at_once_and_why_there_are_none_of_the_others() -> None:
    known, unknown = percentiles([0.1] * 98 + [math.inf] * 2, [50, 95, 99], "2 of 100 failed")
    assert known == {"p50": 0.1, "p95": 0.1}
    assert unknown == {"p99": "2 of 100 failed"}
    assert percentiles([0.1, 0.2], [50, 95], "-") == ({"p50": 0.1}, {"p95": "2 samples are too few to say: p95 needs 20"})

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Bounds of pass rates against statsmodels, and how many trials would do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import (
    TooFew,
    deviations,
    enough_requests,
    pass_rate,
    requests_for,
    samples_to_bound,
    trials_to_show,
    wilson,
)

CONFIDENCES = st.sampled_from([0.8, 0.9, 0.95, 0.98, 0.99])
COUNTS = st.integers(1, 2000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@settings(deadline=None)
@given(COUNTS, CONFIDENCES)
def test_wilson_is_that_of_statsmodels(counts: tuple[int, int], confidence: float) -> None:
    low, high = proportion_confint(*counts, alpha=1 - confidence, method="wilson")
    assert wilson(*counts, confidence) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(("passed", "total", "low"), [(20, 20, 0.839), (50, 50, 0.929), (100, 100, 0.963), (7, 7, 0.646)])
def test_lower_bounds_that_are_well_known(passed: int, total: int, low: float) -> None:
    rate = pass_rate(passed, total)
    assert round(rate.bounds.low, 3) == low
    assert (rate.ratio, rate.bounds.high) == (1.0, 1.0)
    assert rate.record() == {"passed": passed, "total": total, "ratio": 1.0, "low": rate.bounds.low, "high": 1.0}
    assert rate.within() == f"{rate.bounds.low * 100:.4g} % to 100 % (95 %, Wilson)"


@settings(deadline=None)
@given(COUNTS, CONFIDENCES)
def test_the_ratio_lies_within_its_bounds_and_failures_mirror_passes(counts: tuple[int, int], confidence: float) -> None:
    passed, total = counts
    low, high = wilson(passed, total, confidence)
    assert 0 <= low <= passed / total <= high <= 1
    assert wilson(total - passed, total, confidence) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 500), CONFIDENCES)
def test_more_trials_never_lower_the_bound_of_a_clean_record(total: int, confidence: float) -> None:
    assert wilson(total, total, confidence).low < wilson(total + 1, total + 1, confidence).low


def test_no_trial_says_nothing() -> None:
    with pytest.raises(TooFew, match="0 trials are too few to say: a pass rate needs 1") as caught:
        wilson(0, 0)
    assert (caught.value.have, caught.value.need) == (0, 1)


@pytest.mark.parametrize(("passed", "total"), [(2, 1), (-1, 3), (0, -1)])
def test_impossible_counts_are_refused(passed: int, total: int) -> None:
    with pytest.raises(ValueError, match="not a number of passed trials"):
        wilson(passed, total)


@settings(deadline=None)
@given(st.floats(0.01, 0.999), CONFIDENCES)
def test_trials_to_show_is_the_first_number_that_does(rate: float, confidence: float) -> None:
    need = trials_to_show(rate, confidence)
    assert wilson(need, need, confidence).low >= rate - 1e-12
    if need > 1:
        assert wilson(need - 1, need - 1, confidence).low < rate + 1e-12


@pytest.mark.parametrize(("objective", "need"), [(0.995, 200), (0.99, 100), (0.999, 1000), (0.9999, 10000), (0.5, 2), (0.0, 1)])
def test_requests_that_an_objective_needs(objective: float, need: int) -> None:
    assert requests_for(objective) == need
    enough_requests(need, objective)
    if need > 1:
        with pytest.raises(TooFew, match=f"{need - 1} requests? (is|are) too few to say: an objective of .* needs {need}"):
            enough_requests(need - 1, objective)


def test_an_objective_of_everything_is_no_objective() -> None:
    with pytest.raises(ValueError, match="not an objective"):
        requests_for(1.0)


@pytest.mark.parametrize(("percent", "confidence", "need"), [(95, 0.95, 59), (99, 0.95, 299), (90, 0.9, 22), (50, 0.95, 5)])
def test_samples_that_bound_a_percentile(percent: float, confidence: float, need: int) -> None:
    assert samples_to_bound(percent, confidence) == need
    share = percent / 100
    assert 1 - share**need >= confidence > 1 - share ** (need - 1)


def test_confidence_is_between_none_and_all() -> None:
    assert deviations(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert deviations(0.98) == pytest.approx(2.326348, abs=1e-6)
    for wrong in (0.0, 1.0, 95, math.nan):
        with pytest.raises(ValueError, match="not a confidence"):
            deviations(wrong)

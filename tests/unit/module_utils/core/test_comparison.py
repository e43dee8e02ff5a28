# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Mann-Whitney against scipy, against what R gave Kayenta's authors, and against its own definition."""

from __future__ import annotations

import math
import random
from statistics import median

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from ansible_collections.golive.cutover.plugins.module_utils.core.comparison import Comparison, compare, mann_whitney
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import Interval, TooFew

TIED = st.lists(st.integers(0, 12).map(float), min_size=2, max_size=60)
FINE = st.lists(st.integers(0, 10**7).map(lambda number: number / 997), min_size=8, max_size=40, unique=True)


@settings(deadline=None)
@given(st.one_of(TIED, FINE), st.one_of(TIED, FINE))
def test_the_p_value_is_scipy_s(samples: list[float], baseline: list[float]) -> None:
    assume(len({*samples, *baseline}) > 1)
    oracle = mannwhitneyu(samples, baseline, use_continuity=True, alternative="two-sided", method="asymptotic")
    assert mann_whitney(samples, baseline).p_value == pytest.approx(float(oracle.pvalue), abs=1e-9)


KAYENTA = (
    # Published with Kayenta (WilcoxTests, Apache-2.0) beside what R's wilcox.test(conf.level=0.99) says about them.
    (
        (0.0, 20.95, 30.5666666666667, 31.4, 32.1166666666667, 31.9833333333334, 31.1833333333334, 32.35, 33.25,
         32.8000000000001, 34.5166666666667, 33.4166666666667, 35.8833333333334, 35.0666666666667, 33.9),
        (0.0, 21.9000000000001, 30.2833333333334, 29.45, 32.1, 31.1166666666667, 33.5, 32.1166666666667, 32.7, 33.85,
         32.6833333333334, 33.5166666666667, 33.6, 34.3, 33.05),
        (-1.866663, 2.899996),
    ),
    (
        (0, 1.66666666666667, 3.55, 3.8, 3.6, 3.81666666666667, 3.4, 3.61666666666667, 3.53333333333333,
         3.41666666666667, 3.4, 3.13333333333333, 3.55, 3.8, 3.76666666666667),
        (0, 2.58333333333333, 3.61666666666667, 3.78333333333333, 3.95, 3.25, 4.15, 4.08333333333333, 4.25, 3.8,
         3.88333333333333, 3.7, 4.46666666666667, 3.6, 3.71666666666667),
        (-0.70007815, 0.09997816),
    ),
    (
        (0, 2.31666666666667, 3.5, 3.33333333333333, 3.98333333333333, 3.61666666666667, 3.08333333333333,
         3.56666666666666, 3.86666666666666, 3.28333333333333, 3.25, 3.26666666666667, 2.86666666666667,
         3.31666666666667, 3.18333333333333),
        (0, 2.73333333333333, 3.5, 2.76666666666667, 3.26666666666666, 3.75, 3.53333333333333, 3.21666666666667,
         3.43333333333333, 3.83333333333333, 3.81666666666667, 3.6, 3.38333333333333, 3.31666666666667,
         3.63333333333333),
        (-0.5166050, 0.3832704),
    ),
    (
        (0, 1.9, 2.78333333333333, 2.48333333333333, 2.71666666666667, 3.26666666666667, 3.3, 2.45, 2.58333333333333,
         2.9, 3.03333333333333, 2.06666666666667, 2.43333333333333, 3, 2.61666666666667),
        (0, 1.68333333333333, 2.76666666666667, 2.5, 2.88333333333333, 2.56666666666667, 2.85, 2.85, 2.48333333333333,
         2.71666666666667, 2.91666666666667, 2.73333333333333, 2.78333333333333, 2.96666666666667, 2.55),
        (-0.4166138, 0.4499399),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("samples", "baseline", "bounds"), KAYENTA)
def test_the_interval_is_that_of_r(samples: tuple[float, ...], baseline: tuple[float, ...], bounds: tuple[float, float]) -> None:
    """R looks for the root with a tolerance of 1e-4, so its bounds are that far from the differences that they stand for."""
    assert mann_whitney(samples, baseline, confidence=0.99).bounds == pytest.approx(bounds, abs=2e-4)


@settings(deadline=None)
@given(FINE, FINE)
def test_the_shift_is_the_middle_of_all_differences(samples: list[float], baseline: list[float]) -> None:
    """Hodges and Lehmann: without ties the estimate is the median of the differences (or between the two middle ones)."""
    differences = sorted(x - y for x in samples for y in baseline)
    assume(len(set(differences)) == len(differences))
    found = mann_whitney(samples, baseline)
    assert found.shift == pytest.approx(median(differences), abs=1e-4)
    assert found.bounds.low - 1e-4 <= median(differences) <= found.bounds.high + 1e-4


@settings(deadline=None)
@given(FINE, FINE)
def test_the_sides_mirror_each_other(samples: list[float], baseline: list[float]) -> None:
    one, other = mann_whitney(samples, baseline), mann_whitney(baseline, samples)
    assert other.p_value == pytest.approx(one.p_value)
    assert other.bounds == pytest.approx((-one.bounds.high, -one.bounds.low), abs=1e-4)
    assert other.shift == pytest.approx(-one.shift, abs=1e-4)


def latencies(seed: int, count: int, scale: float = 1.0) -> list[float]:
    numbers = random.Random(seed)
    return [scale * numbers.lognormvariate(-3, 0.4) for _ in range(count)]


@pytest.mark.parametrize(("scale", "kind"), [(1.0, "same"), (1.5, "high"), (0.6, "low")])
def test_latencies_before_and_after(scale: float, kind: str) -> None:
    found = compare(latencies(2, 200, scale), latencies(1, 200))
    assert found.kind == kind
    assert 1 + found.effect == pytest.approx(scale, rel=0.15)
    assert (found.samples, found.baseline, found.confidence) == (200, 200, 0.98)


def test_a_shift_that_is_certain_but_small_is_within() -> None:
    found = compare(latencies(2, 2000, 1.08), latencies(1, 2000))
    assert (found.kind, found.bounds.low > 0) == ("high", True)
    assert (found.higher_by(0.02), found.higher_by(0.2), found.lower_by(0.02)) == (True, False, False)
    other = compare(latencies(1, 2000), latencies(2, 2000, 1.08))
    assert (other.lower_by(0.02), other.lower_by(0.2), other.higher_by(0.0)) == (True, False, False)


def test_a_shift_that_is_large_but_not_certain_is_no_difference() -> None:
    found = mann_whitney(latencies(5, 4, 1.5), latencies(1, 4))
    assert (found.kind, found.higher_by(0.0), found.lower_by(0.0)) == ("same", False, False)


@settings(deadline=None)
@given(FINE, FINE)
def test_the_effect_is_the_shift_in_parts_of_the_middle_before(samples: list[float], baseline: list[float]) -> None:
    """By its definition: all differences, and the medians of numpy."""
    differences = numpy.subtract.outer(samples, baseline).ravel()
    assume(len(set(differences)) == len(differences) and numpy.median(baseline) > 1)
    found = mann_whitney(samples, baseline)
    assert found.effect == pytest.approx(numpy.median(differences) / numpy.median(baseline), abs=1e-3)
    assert (found.median, found.before) == pytest.approx((numpy.median(samples), numpy.median(baseline)))


def test_one_request_that_hung_before_hides_nothing() -> None:
    """By the means, 13 ms before and 8 ms now, it would be quicker than before."""
    before, now = [0.004] * 50 + [0.005] * 50 + [1.0], [0.008] * 100
    found = compare(now, before)
    assert math.fsum(now) / len(now) < math.fsum(before) / len(before)
    assert found.higher_by(0.5)


def test_false_alarms_are_as_rare_as_promised() -> None:
    kinds = [compare(latencies(seed, 60), latencies(seed + 1000, 60)).kind for seed in range(300)]
    assert kinds.count("high") + kinds.count("low") <= 15


def test_what_is_constant() -> None:
    same = mann_whitney([3.0] * 5, [3.0] * 9)
    assert same == Comparison("same", 0.0, Interval(0.0, 0.0), 0.0, 1.0, 5, 9, 3.0, 3.0, 0.98)
    moved = mann_whitney([5.0] * 60, [3.0] * 60)
    assert (moved.kind, moved.shift) == ("high", 2.0)
    from_nothing = mann_whitney([5.0] * 60, [0.0] * 60)
    assert math.isnan(from_nothing.effect)
    assert (from_nothing.higher_by(10.0), from_nothing.lower_by(0.0)) == (True, False)


def test_how_it_is_told() -> None:
    """60 samples of 3 ms against 60 of 2 ms: all differences are 1 ms."""
    found = compare([0.003] * 60, [0.002] * 60, confidence=0.95)
    assert found.words() == "1 ms higher than before (95 %: 1 ms to 1 ms)"
    record = found.record()
    assert record.pop("p_value") < 1e-20
    assert record == {
        **{"kind": "high", "samples": 60, "before": 60, "confidence": 0.95, "median": 0.003, "median_before": 0.002},
        **{"shift": 0.001, "low": 0.001, "high": 0.001},
    }
    assert compare([0.002] * 60, [0.003] * 60).words() == "1 ms lower than before (98 %: -1 ms to -1 ms)"


def test_too_few_and_not_numbers() -> None:
    with pytest.raises(TooFew, match="49 baseline samples are too few to say: a comparison needs 50"):
        compare([1.0] * 60, [1.0] * 49)
    with pytest.raises(TooFew, match="1 sample is too few"):
        mann_whitney([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="not a finite number"):
        mann_whitney([1.0, math.nan], [1.0, 2.0])

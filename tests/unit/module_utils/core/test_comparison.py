# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Mann-Whitney against scipy, against what R gave Kayenta's authors, and against its own definition."""

from __future__ import annotations

import math
import random
from statistics import median

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from ansible_collections.golive.cutover.plugins.module_utils.core.comparison import Comparison, compare, mann_whitney
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew

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
    assert found.effect == pytest.approx(scale, rel=0.15)


def test_a_shift_that_is_certain_but_small_is_allowed() -> None:
    found = compare(latencies(2, 2000, 1.08), latencies(1, 2000), allowed=1.2)
    assert found.kind == "same"
    assert found.bounds.low > 0
    assert compare(latencies(2, 2000, 1.5), latencies(1, 2000), allowed=1.2).kind == "high"


def test_false_alarms_are_as_rare_as_promised() -> None:
    kinds = [compare(latencies(seed, 60), latencies(seed + 1000, 60)).kind for seed in range(300)]
    assert kinds.count("high") + kinds.count("low") <= 15


def test_what_is_constant() -> None:
    same = mann_whitney([3.0] * 5, [3.0] * 9)
    assert same == Comparison("same", 0.0, (0.0, 0.0), 1.0, 1.0, 5, 9)  # type: ignore[arg-type]
    moved = mann_whitney([5.0] * 60, [3.0] * 60)
    assert (moved.kind, moved.shift) == ("high", 2.0)
    assert math.isnan(mann_whitney([5.0, 6.0], [0.0, 0.0]).effect)


def test_too_few_and_not_numbers() -> None:
    with pytest.raises(TooFew, match="49 baseline samples are too few to say: a comparison needs 50"):
        compare([1.0] * 60, [1.0] * 49)
    with pytest.raises(TooFew, match="1 sample is too few"):
        mann_whitney([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="not a finite number"):
        mann_whitney([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="not an effect"):
        compare([], [], allowed=0.5)

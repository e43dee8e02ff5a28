# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Slopes against scipy's line and Kendall's tau, and what a leak looks like beside a jump."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, linregress

from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew
from ansible_collections.golive.cutover.plugins.module_utils.core.trend import trend

VALUES = st.lists(
    st.one_of(st.integers(0, 9).map(float), st.integers(-(10**9), 10**9).map(lambda number: number / 1000)), min_size=5, max_size=80
)


@settings(deadline=None)
@given(VALUES)
def test_line_and_tau_are_scipy_s(values: list[float]) -> None:
    times = [1763694000.0 + 30 * number for number in range(len(values))]
    found = trend(list(zip(times, values)))
    if len(set(values)) == 1:
        assert (found.slope, found.r2, found.tau) == (0.0, 1.0, 0.0)
        return
    size = max(abs(value) for value in values)
    since = [at - times[0] for at in times]
    line = linregress(since, values)
    assert found.slope == pytest.approx(float(line.slope), rel=1e-6, abs=1e-9 * size)
    assert found.r2 == pytest.approx(float(line.rvalue) ** 2, abs=1e-6)
    assert found.fitted == pytest.approx(float(line.intercept + line.slope * since[-1]), rel=1e-6, abs=1e-6 * size)
    assert found.tau == pytest.approx(float(kendalltau(since, values).statistic), abs=1e-9)


@settings(deadline=None)
@given(VALUES, st.floats(-1e3, 1e3))
def test_a_shift_of_all_samples_changes_nothing(values: list[float], shift: float) -> None:
    plain = trend([(30.0 * n, v) for n, v in enumerate(values)])
    moved = trend([(30.0 * n + 1e9, v + shift) for n, v in enumerate(values)])
    assert moved.slope == pytest.approx(plain.slope, rel=1e-6, abs=1e-6)


def test_a_leak_and_a_jump_have_a_slope_and_only_the_leak_is_steady() -> None:
    leak = trend([(30.0 * n, 100.0 + n) for n in range(100)])
    jump = trend([(30.0 * n, 100.0 + (99 if n > 95 else 0) - (n % 3)) for n in range(100)])
    saw = trend([(30.0 * n, 100.0 + n % 10) for n in range(100)])
    assert leak.slope == pytest.approx(1 / 30) and leak.tau == 1.0 and leak.r2 == pytest.approx(1)
    assert jump.slope > 0 and abs(jump.tau) < 0.2
    assert abs(saw.tau) < 0.2


def test_what_says_nothing() -> None:
    with pytest.raises(TooFew, match="4 samples are too few to say: a slope needs 5"):
        trend([(1, 1), (2, 2), (3, 3), (4, 4)])
    with pytest.raises(ValueError, match="order of time"):
        trend([(1, 1), (2, 2), (2, 3), (4, 4), (5, 5)])
    with pytest.raises(ValueError, match="finite"):
        trend([(1, 1), (2, 2), (3, math.nan), (4, 4), (5, 5)])

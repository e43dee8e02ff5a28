# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Burn rates: the factors of the workbook, the same for other periods, and what is too few to say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.burn_rate import (
    DAY,
    HOUR,
    Alert,
    burn_rate,
    burning,
    factor,
    table,
)
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew

MONTH = 30 * DAY


@pytest.mark.parametrize(
    ("share", "window", "expected"), [(0.02, HOUR, 14.4), (0.05, 6 * HOUR, 6), (0.1, DAY, 3), (0.1, 3 * DAY, 1)]
)
def test_the_factors_of_the_workbook(share: float, window: float, expected: float) -> None:
    assert factor(share, MONTH, window) == pytest.approx(expected)


def test_the_workbook_s_table_for_thirty_days() -> None:
    found = [(one.severity, one.share, one.long, one.short, one.factor) for one in table(MONTH)]
    assert found == [
        ("page", 0.02, HOUR, 300.0, 14.4),
        ("page", 0.05, 6 * HOUR, 1800.0, 6.0),
        ("ticket", 0.1, DAY, 7200.0, 3.0),
        ("ticket", 0.1, 3 * DAY, 6 * HOUR, 1.0),
    ]


def test_its_windows_in_two_days_would_fire_on_a_healthy_service() -> None:
    with pytest.raises(ValueError, match=r"2 % of the budget of 48 h in 1 h is a burn rate of 0\.96"):
        factor(0.02, 48 * HOUR, HOUR)


def test_the_table_for_two_days_keeps_windows_that_hold_samples() -> None:
    found = table(48 * HOUR, least_short=60)
    assert [(one.long, one.short) for one in found] == [(720, 60), (1440, 120), (5760, 480), (17280, 1440)]
    assert [one.share for one in found] == [0.06, 0.05, 0.1, 0.1]


@settings(deadline=None)
@given(st.floats(HOUR, 365 * DAY), st.floats(1, 600))
def test_every_row_says_what_the_formula_says(period: float, least: float) -> None:
    try:
        rows = table(period, least)
    except ValueError:
        assert period < 12 * least * 14.4
        return
    for row in rows:
        assert row.factor == pytest.approx(row.share * period / row.long)
        assert row.factor >= 1 and 0 < row.share <= 1
        assert least * (1 - 1e-9) <= row.short and row.long <= period
        assert row.long == pytest.approx(12 * row.short)
    assert [row.factor for row in rows] == sorted((row.factor for row in rows), reverse=True)
    # A service that burns exactly as fast as it may for the whole period is no page.
    assert all(row.factor > 1 for row in rows if row.severity == "page")


def test_a_period_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short for windows of 60 s"):
        table(300, 60)


def test_no_traffic_and_too_little_say_nothing() -> None:
    with pytest.raises(TooFew, match="0 requests are too few to say"):
        burn_rate(0, 0, 0.995)
    with pytest.raises(TooFew, match=r"199 requests are too few to say: an objective of 99\.5 % needs 200"):
        burn_rate(1, 199, 0.995)
    assert burn_rate(1, 200, 0.995) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="not a number of failed requests"):
        burn_rate(3, 2, 0.5)


def test_an_alert_needs_both_windows() -> None:
    alert = Alert("page", 0.02, HOUR, 300.0, 14.4)
    assert burning(alert, 0.99, (200, 1000), (30, 100)).fires
    assert not burning(alert, 0.99, (200, 1000), (1, 100)).fires
    assert not burning(alert, 0.99, (20, 1000), (30, 100)).fires
    quiet = burning(alert, 0.99, (20, 1000), (3, 5))
    assert not quiet.fires and math.isnan(quiet.short)
    with pytest.raises(TooFew):
        burning(alert, 0.99, (200, 1000), (3, 5))

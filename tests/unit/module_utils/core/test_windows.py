# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Counters over a window: resets, births and absences, and what must be refused."""

from __future__ import annotations

import math
from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.windows import (
    CannotMeasure,
    Point,
    coverage,
    delta,
    growth,
    increase,
    measure,
    over,
    ratio,
    slope,
)

Values = list[Optional[float]]


def points(values: Values, every: float = 10.0) -> list[Point]:
    return [Point(1000 + number * every, value) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "amount", "resets"),
    [
        ([5, 5, 5], 0, 0),
        ([5, 7, 12], 7, 0),
        ([5, 9, 2], 6, 1),
        ([5, 0, 5], 5, 1),
        ([None, 1], 1, 0),
        ([None, None, 3, 4], 4, 0),
        ([5, None, 5], 5, 1),
        ([5, None, None], 0, 1),
    ],
)
def test_increase(values: Values, amount: float, resets: int) -> None:
    change = increase(points(values))
    assert (change.amount, change.resets) == (amount, resets)
    assert change.rate == amount / (10.0 * (len(values) - 1))


def test_birth_and_death_are_told() -> None:
    assert increase(points([None, 4])).born
    assert increase(points([4, None])).vanished
    assert not increase(points([4, 5])).born


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "two are needed"),
        ([1], "two are needed"),
        ([1, math.nan], "nan"),
        ([math.inf, math.inf], "inf"),
        ([None, None], "on none of the pages"),
        ([1, -1], "not a counter"),
    ],
)
def test_what_says_nothing_is_refused(values: Values, why: str) -> None:
    with pytest.raises(CannotMeasure, match=why):
        increase(points(values))


def test_samples_out_of_order_are_refused() -> None:
    with pytest.raises(CannotMeasure, match="order of time"):
        increase([Point(10, 1), Point(10, 2)])


def test_delta_may_be_negative_and_needs_both_ends() -> None:
    assert delta(points([5, 100, 2])).amount == -3
    with pytest.raises(CannotMeasure, match="first page"):
        delta(points([None, 2]))
    with pytest.raises(CannotMeasure, match="last page"):
        delta(points([2, None]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.lists(st.booleans(), min_size=30, max_size=30))
def test_the_increase_is_what_was_counted_whatever_the_restarts(steps: list[int], restarts: list[bool]) -> None:
    """A process that counts after each restart from zero. A reset shows when the counter is below its value before."""
    value, counted, values = 0, 0, [0]
    for step, restart in zip(steps, restarts):
        if restart and step < value:
            value = 0
        value += step
        counted += step
        values.append(value)
    assert increase(points([float(one) for one in values])).amount == counted


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=2, max_size=30))
def test_an_increase_is_never_negative_nor_below_the_plain_difference(values: list[Optional[int]]) -> None:
    if all(value is None for value in values):
        return
    floats: Values = [None if value is None else float(value) for value in values]
    change = increase(points(floats))
    assert change.amount >= max(0.0, (floats[-1] or 0.0) - (floats[0] or 0.0))


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=2, max_size=30), st.data())
def test_more_looks_never_lose_an_increase(values: list[Optional[int]], data: st.DataObject) -> None:
    """Leaving a sample out can only hide a reset: the finer window sees at least as much."""
    floats: Values = [None if value is None else float(value) for value in values]
    all_points = points(floats)
    if len(all_points) < 3:
        return
    left_out = data.draw(st.integers(1, len(all_points) - 2))
    coarse = all_points[:left_out] + all_points[left_out + 1 :]
    if all(point.value is None for point in coarse):
        return
    assert increase(all_points).amount >= increase(coarse).amount


# ---------------------------------------------------------------------------------------------------------------------
# Gauges, ratios and slopes


def test_growth_is_a_part_of_the_first_value() -> None:
    assert growth(points([200, 500, 220])).amount == pytest.approx(0.1)
    assert growth(points([200, 150])).amount == pytest.approx(-0.25)
    with pytest.raises(CannotMeasure, match="first value is 0, so there is no growth"):
        growth(points([0, 5]))
    with pytest.raises(CannotMeasure, match="first page"):
        growth(points([None, 5]))


def test_no_traffic_is_no_ratio() -> None:
    assert ratio(3, 200) == 0.015
    for of, to in ((0, 0), (1, 0), (0, -1)):
        with pytest.raises(CannotMeasure, match="nothing to be a part of"):
            ratio(of, to)
    with pytest.raises(CannotMeasure, match="no number"):
        ratio(math.nan, 1)


def test_slope_leaves_absences_out_and_needs_samples() -> None:
    assert slope(points([1, 2, None, 4, 5, 6])).slope == pytest.approx(0.1)
    with pytest.raises(CannotMeasure, match="4 samples are too few to say: a slope needs 5"):
        slope(points([1, 2, None, 4, 5]))
    with pytest.raises(CannotMeasure, match="nan"):
        slope(points([1, 2, math.nan, 4, 5]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("increase", 6), ("ratio", 6), ("rate", 0.3), ("delta", -3), ("growth", -0.6), ("min", 2), ("max", 9), ("avg", 16 / 3)],
)
def test_one_call_for_every_word(kind: str, value: float) -> None:
    assert measure(kind, points([5, 9, 2])).value == pytest.approx(value)


def test_what_happened_is_told_beside_the_value() -> None:
    told = measure("increase", points([None, 4, 1, None]))
    assert (told.value, told.resets, told.born, told.vanished, told.absent) == (5, 2, True, True, 2)
    line = measure("slope", points([1, 2, 3, 4, 5])).line
    assert line is not None and line.tau == 1.0
    for kind in ("min", "max", "avg"):
        with pytest.raises(CannotMeasure, match="none of the pages"):
            measure(kind, points([None, None]))
        with pytest.raises(CannotMeasure, match="inf"):
            measure(kind, points([1, math.inf]))
        with pytest.raises(CannotMeasure, match="not on 2 of 3 pages"):
            measure(kind, points([None, 1, None]))


def test_the_sample_before_the_window_counts_for_changes_alone() -> None:
    seen = points([1, 2, 3])
    assert over("increase", seen, start=1005) == seen
    assert over("max", seen, start=1005) == seen[1:]


# ---------------------------------------------------------------------------------------------------------------------
# Coverage


def test_a_window_that_is_looked_at_all_along_is_covered() -> None:
    found = coverage([float(at) for at in range(-10, 301, 30)], 0, 300)
    assert (found.samples, found.share, found.gaps, found.age, found.every) == (10, 1.0, 0, 10, 30)


def test_a_sampler_that_began_late_stopped_or_paused_is_seen() -> None:
    late = coverage([float(at) for at in range(180, 301, 30)], 0, 300)
    assert (late.share, late.gaps, late.longest) == (0.4, 0, 180)
    stopped = coverage([float(at) for at in range(0, 151, 30)], 0, 300)
    assert (stopped.share, stopped.gaps, stopped.age) == (0.5, 1, 150)
    paused = coverage([0.0, 30, 60, 90, 240, 270, 300], 0, 300)
    assert (paused.share, paused.gaps, paused.longest) == (0.5, 1, 150)


def test_one_missed_look_is_no_gap() -> None:
    assert coverage([0.0, 30, 60, 120, 150, 180], 0, 180).gaps == 0
    assert coverage([0.0, 30, 60, 150, 180, 210], 0, 210).gaps == 1


def test_without_looks_there_is_no_window() -> None:
    for seen in ([], [10.0], [-20.0, -10.0]):
        with pytest.raises(CannotMeasure, match="in the window; two are needed"):
            coverage(seen, 0, 300)


def test_the_usual_pause_is_known_from_five_looks() -> None:
    for seen in ([-600.0, 1500], [300.0, 1000, 1700, 2400]):
        with pytest.raises(CannotMeasure, match="do not show how often it is looked at; 5 do, or say every"):
            coverage(seen, 0, 3600)
    assert coverage([-600.0, 1500, 3600], 0, 3600, every=2100).share == 1.0


def test_an_old_look_says_nothing_about_the_end() -> None:
    slow = [float(at) for at in range(0, 2301, 460)]
    assert not coverage(slow, 0, 3000).stale
    old = coverage(slow, 0, 3400)
    assert (old.stale, old.gaps, old.age) == (True, 1, 1100)
    assert old.share == pytest.approx(2300 / 3400)
    assert not coverage(slow, 0, 3400, every=460).stale


@settings(deadline=None)
@given(st.lists(st.integers(-200, 300), min_size=2, max_size=40, unique=True))
def test_the_share_is_a_share(at: list[int]) -> None:
    seen = sorted(float(one) for one in at)
    if sum(one > 0 for one in seen) < 5:
        return
    found = coverage(seen, 0, 300)
    assert 0 <= found.share <= 1
    assert 0 <= found.age <= found.longest
    assert found.samples == sum(one > 0 for one in seen)


def test_a_look_behind_the_end_covers_nothing_twice() -> None:
    found = coverage([180.0, 210.0, 240.0, 270.0, 300.0002], 0.0, 300.0, every=30.0)
    assert (found.samples, found.share, found.age) == (4, 0.4, 30.0)

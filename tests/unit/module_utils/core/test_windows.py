# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Counters over a window: resets, births and absences, and what must be refused."""

from __future__ import annotations

import math
from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Point, delta, increase

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

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples in each store: what is written comes back, for as long as it is kept, and no longer."""

from __future__ import annotations

import math
from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import Point
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key, Look

T0 = 1763694000.0
"""Where the clock of the fixture `store` stands; the start of a slot."""
PAGE = "http://127.0.0.1:4001/metrics"


def key(name: str, **labels: str) -> Key:
    return name, tuple(sorted(labels.items()))


def paged(name: str, page: str = PAGE, **labels: str) -> Key:
    return key(name, page=page, **labels)


def everything(_key: Key) -> bool:
    return True


def look(at: float, page: str = PAGE, **values: float) -> Look:
    return Look(page, T0 + at, {key(name): value for name, value in values.items()})


def values(store: Store, name: str, start: float, end: float) -> Optional[list[Optional[float]]]:
    found = samples.read(store, everything, T0 + start, T0 + end).series.get(paged(name))
    return None if found is None else [point.value for point in found]


def test_what_is_written_comes_back(store: Store) -> None:
    written = samples.write(store, [look(at, a=at, b=2.5) for at in range(0, 3000, 30)])
    assert (written.looks, written.refused, written.left_out) == (100, 0, 0)
    found = samples.read(store, lambda one: one[0] == "a", T0 + 600, T0 + 900)
    assert list(found.series) == [paged("a")]
    assert found.series[paged("a")] == [Point(T0 + at, float(at)) for at in range(600, 901, 30)]
    assert found.looks == {PAGE: [T0 + at for at in range(600, 901, 30)]}


def test_one_look_at_a_time_is_the_same_as_many_at_once(place: Any, clock: Any) -> None:
    many, single = place.open(clock, f"{place.environment}a"), place.open(clock, f"{place.environment}b")
    looks = [look(at, a=at) for at in range(0, 2000, 25)]
    samples.write(many, looks)
    for one in looks:
        samples.write(single, [one])
    window = (T0 + 100, T0 + 1900)
    assert samples.read(many, everything, *window) == samples.read(single, everything, *window)


def test_absent_nan_and_infinity_are_three_things(store: Store) -> None:
    samples.write(store, [look(0, a=1), look(30), look(60, a=math.nan), look(90, a=math.inf), look(120, b=1)])
    found = values(store, "a", -1, 120)
    assert found is not None
    assert (found[0], found[1], found[3], found[4]) == (1.0, None, math.inf, None)
    assert math.isnan(found[2] or 0.0)
    assert values(store, "b", -1, 120) == [None, None, None, None, 1.0]


def test_a_series_that_was_not_there_in_the_window_is_none_of_it(store: Store) -> None:
    samples.write(store, [look(0, a=1, b=1), look(30, a=2), look(60, a=3), look(90, a=4)])
    assert values(store, "b", 40, 90) is None
    assert values(store, "b", 0, 90) == [1.0, None, None, None]


def test_the_look_before_the_window_belongs_to_it_across_slots(store: Store) -> None:
    samples.write(store, [look(at, a=at) for at in (840, 870, 895, 905, 935)])
    assert values(store, "a", 900, 940) == [895.0, 905.0, 935.0]
    assert samples.read(store, everything, T0 + 900, T0 + 940, lead=3).looks == {PAGE: [T0 + 905, T0 + 935]}


def test_a_page_that_could_not_be_read_has_no_look(store: Store) -> None:
    other = "http://127.0.0.1:4002/metrics"
    samples.write(store, [look(0, a=1), look(0, other, a=10), look(30, a=2), look(60, a=3), look(60, other, a=30)])
    found = samples.read(store, everything, T0 - 1, T0 + 60)
    assert found.looks == {PAGE: [T0, T0 + 30, T0 + 60], other: [T0, T0 + 60]}
    assert [point.value for point in found.series[paged("a", other)]] == [10.0, 30.0]
    assert list(samples.read(store, everything, T0 - 1, T0 + 60, page=other).looks) == [other]


def test_names_and_labels(store: Store) -> None:
    samples.write(store, [Look(PAGE, T0, {key("x_total", kind="a", le="+Inf"): 1.0, key("y"): 2.0})])
    samples.write(store, [Look(PAGE, T0 + 2000, {key("z", text='quote " and \n line é'): 1.0})])
    assert [(one.name, dict(one.labels)) for one in samples.series(store)] == [
        ("x_total", {"kind": "a", "le": "+Inf"}),
        ("y", {}),
        ("z", {"text": 'quote " and \n line é'}),
    ]
    assert [one.name for one in samples.series(store, start=T0 + 1000)] == ["z"]
    assert [one.name for one in samples.series(store, end=T0 + 1000)] == ["x_total", "y"]


# ---------------------------------------------------------------------------------------------------------------------
# Time


def test_old_samples_make_room(store: Store) -> None:
    hour = [look(at, a=at) for at in range(0, 3600, 300)]
    samples.write(store, hour, keep=1800)
    assert values(store, "a", -1, 3600) == [float(at) for at in range(900, 3600, 300)]
    assert samples.status(store)["keep"] == 1800
    kept = store.read([f"samples:0:{place}" for place in range(50)]).records
    assert len(kept) == 3


def test_how_long_samples_are_kept_can_change_and_what_is_there_stays(store: Store) -> None:
    samples.write(store, [look(at, a=at) for at in range(0, 3600, 300)], keep=3600)
    assert samples.resize(store, 7200)
    assert not samples.resize(store, 7200)
    samples.write(store, [look(at, a=at) for at in range(3600, 7200, 300)])
    assert values(store, "a", -1, 7200) == [float(at) for at in range(0, 7200, 300)]
    samples.write(store, [], keep=900)
    assert values(store, "a", -1, 7200) == [float(at) for at in range(5400, 7200, 300)]
    with pytest.raises(InputError, match="15 minutes to 31 days"):
        samples.write(store, [], keep=60)


def test_a_look_that_is_not_newer_is_refused_and_counted(store: Store) -> None:
    samples.write(store, [look(0, a=1), look(30, a=2)])
    written = samples.write(store, [look(30, a=9), look(10, a=9), look(60, a=3)])
    assert (written.looks, written.refused) == (1, 2)
    assert values(store, "a", -1, 60) == [1.0, 2.0, 3.0]
    assert samples.status(store)["pages"][PAGE] == {"newest": T0 + 60, "refused": 2, "jumps": 0, "jumped": []}


def test_a_clock_that_was_ahead_and_is_put_back_costs_what_it_wrote(store: Store, clock: Any) -> None:
    samples.write(store, [look(0, a=1), look(30, a=2)])
    samples.write(store, [look(3600 + at, a=99) for at in range(0, 2000, 30)])
    clock.now = T0 + 60
    for at in range(60, 7200, 30):
        clock.now = T0 + at
        assert samples.write(store, [look(at, a=3)]).looks == 1
        assert values(store, "a", at - 0.5, at) == [3.0, 3.0] if at > 60 else [2.0, 3.0]
    found = values(store, "a", -1, 7200)
    assert found is not None and 99.0 not in found
    kept = samples.status(store)
    assert kept["pages"][PAGE]["jumps"] == 1
    assert kept["pages"][PAGE]["jumped"] == [[T0 + 5580, T0 + 60]]
    assert samples.jumped(kept, PAGE, T0, T0 + 100) == samples.jumped(kept, PAGE, T0 + 5000, T0 + 6000) != []
    assert samples.jumped(kept, PAGE, T0 + 61, T0 + 5000) == samples.jumped(kept, "other", T0, T0 + 100) == []


def test_a_clock_that_goes_back_and_comes_again_is_remembered(store: Store, clock: Any) -> None:
    """A look that is much older than the newest one is refused, and leaves no gap worth the name."""
    clock.now = T0 + 20_000
    samples.write(store, [look(7200, a=1)])
    for at in (0, 30, 60):
        assert samples.write(store, [look(at, a=1)]).refused == 1
    samples.write(store, [look(7230, a=1), look(7200, a=1), look(7260, a=1)])
    assert samples.status(store)["pages"][PAGE]["jumped"] == [[T0 + 7200, T0]], "one jump, and an overlap of 30 seconds is none"
    for number in range(30):
        samples.write(store, [look(7300 + number * 100, a=1)])
        samples.write(store, [look(number, a=1)])
    assert len(samples.status(store)["pages"][PAGE]["jumped"]) == samples.MOST_JUMPS


def test_what_the_future_holds_is_not_read_before(store: Store) -> None:
    samples.write(store, [look(at, a=at) for at in range(0, 301, 30)])
    assert values(store, "a", 0, 100) == [0.0, 30.0, 60.0, 90.0]


# ---------------------------------------------------------------------------------------------------------------------
# Bounds and faults


def test_more_series_than_there_is_room_for_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MOST_SERIES", 3)
    monkeypatch.setattr(samples, "MOST_LOOKS", 2)
    monkeypatch.setattr(samples, "MOST_PAGES", 1)
    written = samples.write(store, [look(0, a=1, b=1), look(30, c=1, d=1, e=1), look(60, a=1)])
    assert (written.looks, written.refused, written.left_out) == (2, 1, 2)
    assert samples.read(store, everything, T0 - 1, T0 + 60).left_out == 2
    with pytest.raises(InputError, match="would be one more"):
        samples.write(store, [look(90, "other", a=1)])


def test_reading_an_empty_store(store: Store) -> None:
    assert samples.read(store, everything, T0, T0 + 60) == samples.Window()
    assert samples.series(store) == []
    assert samples.status(store)["pages"] == {}


@pytest.mark.parametrize("wrong", [Look("", T0, {}), Look(PAGE, math.nan, {})])
def test_looks_that_cannot_be_are_refused(store: Store, wrong: Look) -> None:
    with pytest.raises(InputError):
        samples.write(store, [wrong])


@pytest.mark.parametrize("text", ['{"slot": 1959660}', '{"slot":1959660,"at":[0],"series":"!","values":"","left_out":0}'])
def test_a_record_that_something_else_wrote_is_refused(place: Any, clock: Any, text: str) -> None:
    store = place.open(clock)
    samples.write(store, [look(0, a=1)])
    number = int(T0 // samples.SLOT)
    slots = store.read(["samples"]).records["samples"]["slots"]
    place.set_record(f"samples:0:{number % slots}", text.replace("1959660", str(number)))
    with pytest.raises(StoreError, match="something else wrote it"):
        samples.read(store, everything, T0 - 1, T0 + 60)


ROWS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.floats(allow_nan=False), max_size=4), min_size=1, max_size=40)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.integers(20, 200), st.integers(0, 39), st.integers(1, 39))
def test_any_samples_come_back_as_they_were(
    place: Any, clock: Any, rows: list[dict[str, float]], every: int, first: int, length: int
) -> None:
    """Against a plain list: a window has the looks in it and the last one before, and each series a point for each."""
    place.count = getattr(place, "count", 0) + 1
    store = place.open(clock, f"{place.environment}-{place.count}")
    samples.write(store, [look(number * every, PAGE, **row) for number, row in enumerate(rows)])
    start, end = first * every - 1, (first + length) * every
    inside = [(number * every, row) for number, row in enumerate(rows) if number * every <= end]
    before = [one for one in inside if start - samples.SLOT <= one[0] <= start][-1:]
    inside = before + [one for one in inside if one[0] > start]
    expected = {}
    for name in "abcd":
        points = [Point(T0 + at, row.get(name)) for at, row in inside]
        if any(point.value is not None for point in points):
            expected[paged(name)] = points
    found = samples.read(store, everything, T0 + start, T0 + end)
    assert found.series == expected
    assert found.looks == {PAGE: [T0 + at for at, _row in inside]}
    store.close()

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, ratios and targets of the benchmarks; and that nothing which went wrong looks like a result."""

from __future__ import annotations

import pytest

from tests.bench import figures
from tests.bench.figures import Figure, Measured, NotMeasured, Result, WrongValues

SLOW = Figure("slow", "s", (21.0, 41.0, 31.0))
FAST = Figure("fast", "s", (2.0, 3.0, 2.0))
NOTHING = Figure("nothing", "s", (1.0, 1.0, 9.0))


def test_a_figure_has_its_median_and_its_extremes() -> None:
    assert SLOW.as_record() == {
        "name": "slow",
        "unit": "s",
        "median": 31.0,
        "min": 21.0,
        "max": 41.0,
        "rounds": [21.0, 41.0, 31.0],
    }


def test_a_figure_without_rounds_is_an_error() -> None:
    with pytest.raises(NotMeasured, match="never measured"):
        Figure("nothing", "s", ())


def test_a_ratio_is_that_of_the_medians_with_the_extremes_over_rounds_that_belong_together() -> None:
    seen = figures.ratio("slow / fast", SLOW, FAST)
    assert (seen.value, seen.low, seen.high, seen.unit, seen.met) == (15.5, 10.5, 15.5, "x", None)


def test_what_both_contain_is_taken_off_by_its_median() -> None:
    seen = figures.ratio("slow / fast", SLOW, FAST, less=NOTHING, at_least=15)
    assert (seen.value, seen.low, seen.high, seen.met) == (30.0, 20.0, 30.0, True)


def test_a_time_that_is_all_overhead_gives_no_ratio() -> None:
    with pytest.raises(NotMeasured, match="no ratio"):
        figures.ratio("slow / fast", SLOW, FAST, less=SLOW)


@pytest.mark.parametrize(
    ("given", "value", "met", "words"),
    [
        ({"at_least": 15.0}, 15.0, True, ">= 15.0 x"),
        ({"at_least": 15.0}, 14.9, False, ">= 15.0 x"),
        ({"above": 1.0}, 1.0, False, "> 1.0 x"),
        ({"above": 1.0}, 1.1, True, "> 1.0 x"),
        ({"at_most": 0.0}, 0.0, True, "<= 0.0 x"),
        ({"at_most": 0.0}, 1.0, False, "<= 0.0 x"),
        ({}, 1.0, None, ""),
    ],
)
def test_a_target_is_met_or_missed(given: dict[str, float], value: float, met: bool | None, words: str) -> None:
    result = Result("one", value, "x", value, value, **given)
    assert (result.met, result.target) == (met, words)
    assert result.as_record()["met"] is met


def test_the_worst_round_counts_where_it_must() -> None:
    one = Figure("missed events", "events", (0.0, 0.0, 2.0))
    assert figures.single(one, at_most=0).met is True
    assert figures.single(one, at_most=0, worst=True).met is False


def test_the_sides_take_turns() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    assert figures.alternate(2, {"a": lambda: side("a"), "b": lambda: side("b")}) == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert order == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (20.55, "x", "20.6 x"),
        (2.8699, "s", "2.87 s"),
        (146.2, "s", "146 s"),
        (52_400_000, "B", "52.4 MB"),
        (0, "events", "0 events"),
    ],
)
def test_numbers_for_people(value: float, unit: str, words: str) -> None:
    assert figures.shown(value, unit) == words


def test_a_busy_machine_is_not_quiet() -> None:
    assert figures.is_quiet(0.4, 2)
    assert not figures.is_quiet(1.0, 2)


def test_the_table_says_what_was_missed_and_what_could_not_be_measured() -> None:
    good = Measured([], [figures.ratio("slow / fast", SLOW, FAST, at_least=15), figures.single(FAST)])
    bad = Measured([], [figures.ratio("slow / fast", SLOW, FAST, at_least=16)])
    outcomes: list[tuple[str, Measured | str]] = [("First", good), ("Second", bad), ("Third", "curl is not there")]
    lines = figures.table(outcomes)
    assert "  slow / fast  15.5 x  10.5 x .. 15.5 x  >= 15.0 x  met" in lines
    assert "  slow / fast  15.5 x  10.5 x .. 15.5 x  >= 16.0 x  MISSED" in lines
    assert "  NOT MEASURED: curl is not there" in lines
    assert not any(line.endswith(" ") for line in lines)
    assert figures.missed(outcomes) == ["slow / fast: 15.5 x, target >= 16.0 x"]


def test_wrong_values_are_no_measurement() -> None:
    assert issubclass(WrongValues, NotMeasured)

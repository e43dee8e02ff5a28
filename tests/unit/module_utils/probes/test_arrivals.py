# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the arrivals of events tell: held back, not held back, or not to be told."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.probes._arrivals import (
    Arrivals,
    buffered,
    compared,
    moment,
)


def stream(reads: Iterable[tuple[float, int, int, bool]]) -> Arrivals:
    arrivals = Arrivals(0.0)
    for now, events, heartbeats, cut in reads:
        arrivals.arrived(now, events, heartbeats, cut)
    return arrivals


def events(*times: float) -> list[tuple[float, int, int, bool]]:
    return [(time, 1, 0, False) for time in times]


def test_one_by_one() -> None:
    verdict, why = buffered(stream(events(0.5, 1.5, 2.5, 3.5)), 4.0)
    assert verdict is False
    assert why == "4 events came in 4 deliveries over 4.0 s"


def test_quick_and_steady() -> None:
    assert buffered(stream(events(*(number / 50 for number in range(1, 200)))), 4.0)[0] is False


def test_a_line_that_is_cut() -> None:
    verdict, why = buffered(stream([(1.0, 9, 0, True), (2.0, 9, 0, True), (3.0, 9, 0, False)]), 4.0)
    assert verdict is True
    assert "in the middle of a line for 1.0 s" in why


def test_a_cut_by_the_network_is_none() -> None:
    assert buffered(stream([*events(0.5, 1.5, 2.5), (3.5, 0, 0, True), (3.52, 1, 0, False)]), 4.0)[0] is False


def test_heartbeats_at_once() -> None:
    assert buffered(stream([(3.0, 0, 4, False)]), 4.0) == (True, "4 heartbeats came at once after a silence")
    assert buffered(stream([(1.0, 0, 1, False), (2.0, 0, 1, False), (3.0, 0, 1, False)]), 4.0)[0] is False


def test_all_at_once() -> None:
    assert buffered(stream([(3.0, 5, 0, False)]), 4.0)[0] is True
    late, why = buffered(stream([(0.1, 5, 0, False)]), 4.0)
    assert late is None and "when the stream was opened" in why
    assert buffered(stream(events(3.0, 3.06, 3.12, 3.18)), 4.0)[0] is True


def test_groups_are_no_proof() -> None:
    verdict, why = buffered(stream([(1.0, 5, 0, False), (2.0, 5, 0, False), (3.0, 5, 0, False)]), 4.0)
    assert verdict is None
    assert "3 groups of up to 5" in why


def test_when_they_were_sent_is() -> None:
    together = Arrivals(0.0)
    spread = Arrivals(0.0)
    for group in range(1, 5):
        for arrivals, apart in ((together, 0.2), (spread, 0.0)):
            arrivals.arrived(float(group), 5, 0, False)
            for number in range(5):
                # The clock of the server is an hour behind: only differences count.
                arrivals.was_sent(1e9 - 3600 + group - apart * number, 1e9 + group)
    assert buffered(together, 5.0) == (True, "events that were sent 0.8 s apart came together")
    assert buffered(spread, 5.0)[0] is False


def test_a_replay_says_when_it_was_sent_long_ago() -> None:
    arrivals = Arrivals(0.0)
    arrivals.arrived(0.1, 10, 0, False)
    for number in range(10):
        arrivals.was_sent(1e9 - 60 * number, 1e9)
    for second in range(1, 5):
        arrivals.arrived(float(second), 1, 0, False)
        arrivals.was_sent(1e9 + second, 1e9 + second + 0.01)
    assert buffered(arrivals, 5.0)[0] is False


def test_a_delay_that_grows() -> None:
    arrivals = Arrivals(0.0)
    for second in range(1, 6):
        arrivals.arrived(float(second), 1, 0, False)
        arrivals.was_sent(1e9 + second - 0.4 * second, 1e9 + second)
    assert buffered(arrivals, 6.0) == (True, "the delay of events varies by 1.6 s")


@pytest.mark.parametrize("reads", [[], events(1.0), events(1.0, 2.0), [(1.0, 1, 1, False)]])
def test_too_little(reads: list[tuple[float, int, int, bool]]) -> None:
    verdict, why = buffered(stream(reads), 4.0)
    assert verdict is None
    assert "hold the stream longer" in why


def test_a_stream_that_fell_silent() -> None:
    assert buffered(stream(events(0.1, 0.2, 0.3, 0.5)), 10.0)[0] is None


def test_one_delivery_and_then_half_an_event_is_too_little() -> None:
    assert buffered(stream([(0.0, 0, 3, False), (1.0, 0, 0, False)]), 1.1)[0] is None


def test_our_own_stall_is_no_proof() -> None:
    reads = [(3.0, 5, 0, False)]
    verdict, why = buffered(stream(reads), 4.0, stall=1.5)
    assert verdict is None
    assert "too busy to tell: it did not look for 1.5 s" in why


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.integers(0, 6), st.integers(0, 3), st.booleans()),
        max_size=30,
    )
)
def test_not_buffered_is_never_said_without_evidence(steps: list[tuple[float, int, int, bool]]) -> None:
    now = 0.0
    reads = []
    for pause, some, beats, cut in steps:
        now += pause
        reads.append((now, some, beats, cut))
    arrivals = stream(reads)
    verdict, why = buffered(arrivals, now + 0.1)
    assert why
    if verdict is False:
        assert arrivals.events + arrivals.heartbeats >= 3
        assert arrivals.deliveries >= 2
        assert arrivals.cut_silence == 0


def test_gaps() -> None:
    arrivals = stream([*events(1.0, 1.5, 4.0), (5.0, 0, 1, False)])
    assert arrivals.gap(6.0) == 2.5
    assert arrivals.gap(9.0) == 5.0
    assert arrivals.gap_of_heartbeats(6.0) == 5.0


def test_against_a_direct_connection() -> None:
    direct: dict[object, float] = {number: number / 10 for number in range(1, 31)}
    same: dict[object, float] = {key: came + 0.003 for key, came in direct.items()}
    late: dict[object, float] = {key: came + 0.7 for key, came in direct.items() if came < 2.2}
    assert compared(same, direct, 0.5, 3.1)[0] is False
    assert compared(late, direct, 0.5, 3.1)[0] is True
    assert compared({}, direct, 0.5, 3.1)[0] is True
    assert compared({"a": 1.0, "b": 2.0}, direct, 0.5, 3.1)[0] is None
    assert compared({}, {}, 0.5, 3.1)[0] is None
    assert compared({}, {1: 3.0}, 0.5, 3.1)[0] is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1700000000, 1700000000.0),
        (1700000000.25, 1700000000.25),
        (1700000000250, 1700000000.25),
        (1700000000250000, 1700000000.25),
        (1700000000250000000, 1700000000.25),
        ("1700000000250", 1700000000.25),
        ("2023-11-14T22:13:20.250Z", 1700000000.25),
        ("2023-11-14 22:13:20.25", 1700000000.25),
        ("2023-11-15T00:13:20.250000000+0200", 1700000000.25),
        (12, None),
        (True, None),
        ("soon", None),
        ("2023-99-14T22:13:20Z", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_moments(value: object, seconds: float | None) -> None:
    assert moment(value) == (None if seconds is None else pytest.approx(seconds, abs=1e-6))

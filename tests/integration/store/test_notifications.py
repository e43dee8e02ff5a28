# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was told, in each store: once, again when it changed, one of two that tell the same, and not too often."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import notifications
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.notifications import CLAIM, Claim, Rate, Told

RATE = Rate(3, 60.0)
FIRST = Told("run-1", "escalation", "memory", "a")
SECOND = Told("run-1", "escalation", "memory", "b")


def begin(store: Store, told: Told = FIRST, channel: str = "team", rate: Rate = RATE, **more: Any) -> Claim:
    return notifications.claim(store, told, [channel], 30.0, rate, **more)[0]


def tell(store: Store, told: Told = FIRST, sent: bool = True) -> bool:
    claimed = begin(store, told, rate=Rate(100, 60.0))
    if claimed.send:
        notifications.close(store, told, {"team": sent})
    return claimed.send


def test_it_is_told_once_and_again_when_it_changed(store: Store, clock: Any) -> None:
    assert tell(store)
    clock.sleep(100)
    again = begin(store)
    assert (again.send, again.reason, again.at) == (False, "was told already", "2025-11-21T03:00:00Z")
    assert tell(store, SECOND)
    assert not tell(store, SECOND)
    # It is as it was before: that is news again.
    assert tell(store, FIRST)
    assert [one["state"] for one in notifications.read(store, "run-1")] == ["sent"]
    assert notifications.read(store, "run-2") == []


def test_other_runs_events_topics_and_channels_are_others(store: Store) -> None:
    assert tell(store)
    for other in (
        Told("run-2", "escalation", "memory", "a"),
        Told("run-1", "go", "memory", "a"),
        Told("run-1", "escalation", "", "a"),
    ):
        assert begin(store, other, rate=Rate(100, 60)).send
    assert begin(store, channel="mail").send


def test_what_did_not_get_through_is_told_by_the_next(store: Store) -> None:
    assert tell(store, sent=False)
    assert tell(store)
    assert tell(store, SECOND, sent=False)
    assert tell(store, SECOND)
    assert not tell(store, SECOND)


def test_one_of_two_tells_it_and_a_dead_one_is_taken_over(store: Store, clock: Any) -> None:
    assert begin(store).send
    other = begin(store)
    assert (other.send, other.reason) == (False, "is being told by another process")
    clock.sleep(30 + CLAIM - 1)
    assert not begin(store).send
    clock.sleep(2)
    assert begin(store).send


def test_a_channel_that_is_used_up_waits_its_turn_or_is_held_back(store: Store, clock: Any) -> None:
    for number in range(3):
        assert begin(store, Told("run-1", f"event-{number}", "", "a")).wait == 0
        clock.sleep(5)
    late = begin(store, Told("run-1", "event-3", "", "a"))
    assert (late.send, late.reason, late.at) == (False, "held back: 3 messages within 60 s are the most for this channel", None)
    clock.sleep(20)
    waits = begin(store, Told("run-1", "event-3", "", "a"))
    assert (waits.send, waits.wait) == (True, 25.0)
    # The turn is taken: the next one gets the turn after it.
    assert begin(store, Told("run-1", "event-4", "", "a")).wait == 30.0
    clock.sleep(120)
    assert begin(store, Told("run-1", "event-5", "", "a")).wait == 0


def test_a_prediction_writes_nothing(store: Store) -> None:
    assert begin(store, dry=True).send
    assert notifications.read(store) == []


def test_the_newest_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "MOST", 5)
    for number in range(8):
        begin(store, Told("run-1", f"event-{number}", "", "a"), rate=Rate(100, 60))
    assert [one["event"] for one in notifications.read(store)] == [f"event-{number}" for number in range(3, 8)]


def test_names_are_names(store: Store) -> None:
    with pytest.raises(InputError, match="is not a name"):
        begin(store, Told("run 1", "go", "", "a"))

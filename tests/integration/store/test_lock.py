# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock, against each store."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import lock
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LockHeld, LockLost
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

ALICE = lock.Claim(run="run-1", owner="alice", reason="go-live of 1.0.0", lease=600)
BOB = lock.Claim(run="run-2", owner="bob", reason="hotfix", lease=600)


def test_the_lock_says_who_holds_it_and_why(store: Store) -> None:
    assert lock.read(store)["held"] is False
    taken = lock.acquire(store, ALICE)
    assert taken["changed"] and taken["taken_over_from"] is None
    held = lock.read(store)
    assert held == taken["lock"]
    assert (held["held"], held["run"], held["owner"], held["reason"]) == (True, "run-1", "alice", "go-live of 1.0.0")
    assert (held["since"], held["until"]) == ("2025-11-21T03:00:00Z", "2025-11-21T03:10:00Z")
    assert held["token"] == taken["token"]
    assert not held["manual"] and not held["expired"]


def test_a_second_run_is_refused_and_told_everything(store: Store) -> None:
    token = lock.acquire(store, ALICE)["token"]
    with pytest.raises(LockHeld) as refused:
        lock.acquire(store, BOB)
    message = str(refused.value)
    for part in ("alice", "run-1", "go-live of 1.0.0", "2025-11-21T03:00:00Z", "2025-11-21T03:10:00Z", "unlock"):
        assert part in message
    assert refused.value.holder["token"] == token
    assert refused.value.result["held"] is True
    assert lock.read(store)["run"] == "run-1"


def test_the_same_run_again_is_no_change_but_a_longer_lease(store: Store, clock: Any) -> None:
    first = lock.acquire(store, ALICE)
    clock.now += 60
    again = lock.acquire(store, ALICE)
    assert again["changed"] is False and again["token"] == first["token"]
    assert again["lock"]["since"] == first["lock"]["since"]
    assert lock.read(store)["until"] == "2025-11-21T03:11:00Z"
    # A shorter lease does not shorten it.
    lock.acquire(store, dataclasses.replace(ALICE, lease=1))
    assert lock.read(store)["until"] == "2025-11-21T03:11:00Z"


def test_renew_and_release_need_the_newest_token(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    clock.now += 300
    renewed = lock.renew(store, token, "run-1", 600)
    assert renewed["lock"]["until"] == "2025-11-21T03:15:00Z"
    for stale, run in ((token - 1, "run-1"), (token, "run-2")):
        with pytest.raises(LockLost):
            lock.renew(store, stale, run, 600)
        with pytest.raises(LockLost):
            lock.release(store, stale, run)
    assert lock.release(store, token, "run-1")["released_from"]["owner"] == "alice"
    assert lock.read(store)["held"] is False
    assert lock.release(store, token, "run-1")["changed"] is False
    with pytest.raises(LockLost, match="nobody holds it"):
        lock.renew(store, token, "run-1", 600)


def test_an_expired_lease_is_taken_over_and_the_late_holder_is_refused(store: Store, clock: Any) -> None:
    old = lock.acquire(store, ALICE)["token"]
    clock.now += 599.9
    with pytest.raises(LockHeld):
        lock.acquire(store, BOB)
    clock.now += 0.1
    assert lock.read(store)["expired"] is True
    taken = lock.acquire(store, BOB)
    assert taken["token"] > old
    assert taken["taken_over_from"]["run"] == "run-1"
    assert "lease ended" in taken["taken_over_from"]["why"]
    with pytest.raises(LockLost, match="bob holds the lock"):
        lock.release(store, old, "run-1")
    with pytest.raises(LockLost):
        lock.renew(store, old, "run-1", 600)


def test_an_expired_lease_that_nobody_took_can_be_renewed(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    clock.now += 5000
    assert lock.renew(store, token, "run-1", 60)["lock"]["expired"] is False


def test_a_dead_holder_is_succeeded_by_exactly_its_token(store: Store) -> None:
    token = lock.acquire(store, ALICE)["token"]
    with pytest.raises(LockHeld):
        lock.acquire(store, dataclasses.replace(BOB, takeover=token - 1))
    taken = lock.acquire(store, dataclasses.replace(BOB, takeover=token, takeover_why="its process ended"))
    assert taken["token"] > token
    assert taken["taken_over_from"]["why"] == "its process ended"
    # A third one that looked at the first holder comes too late.
    with pytest.raises(LockHeld):
        lock.acquire(store, lock.Claim(run="run-3", takeover=token))


def test_tokens_grow_over_release_takeover_and_a_lost_store(store: Store, clock: Any, place: Any) -> None:
    seen = []
    for number in range(5):
        claim = lock.Claim(run=f"run-{number}", lease=10)
        seen.append(lock.acquire(store, claim)["token"])
        if number % 2:
            lock.release(store, seen[-1], claim.run)
        else:
            clock.now += 11
    clock.now += 60
    place.set_record("lock", None)
    seen.append(lock.acquire(store, ALICE)["token"])
    assert seen == sorted(set(seen))


def test_a_manual_lock_has_no_end(store: Store, clock: Any) -> None:
    with pytest.raises(InputError, match="reason"):
        lock.acquire(store, lock.Claim(run="maintenance", lease=0))
    token = lock.acquire(store, lock.Claim(run="maintenance", owner="carol", reason="moving", lease=0))["token"]
    clock.now += 1e7
    held = lock.read(store)
    assert held["manual"] and not held["expired"] and held["until"] is None
    with pytest.raises(LockHeld, match="by hand"):
        lock.acquire(store, dataclasses.replace(BOB, takeover=token))
    assert lock.renew(store, token, "maintenance", 60)["changed"] is False
    assert lock.acquire(store, lock.Claim(run="maintenance", lease=60))["lock"]["manual"]


def test_waiting_ends_when_the_lock_is_free(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.sleep(seconds)
        if len(slept) == 3:
            lock.release(store, token, "run-1")

    assert lock.acquire_waiting(store, BOB, 60, clock, sleep)["lock"]["run"] == "run-2"
    assert len(slept) == 3


def test_waiting_gives_up_in_time(store: Store, clock: Any) -> None:
    lock.acquire(store, ALICE)
    began = clock.now
    with pytest.raises(LockHeld, match="Waited 5 s"):
        lock.acquire_waiting(store, BOB, 5, clock, clock.sleep)
    assert clock.now - began == 5


def test_a_manual_lock_is_not_waited_for(store: Store, clock: Any) -> None:
    lock.acquire(store, lock.Claim(run="maintenance", reason="moving", lease=0))
    began = clock.now
    with pytest.raises(LockHeld, match="not waited for"):
        lock.acquire_waiting(store, BOB, 60, clock, clock.sleep)
    assert clock.now == began


def test_force_needs_the_run_that_holds_it(store: Store) -> None:
    assert lock.force_release(store, "run-1")["changed"] is False
    lock.acquire(store, ALICE)
    with pytest.raises(LockHeld, match="alice holds"):
        lock.force_release(store, "run-9")
    released = lock.force_release(store, "run-1")
    assert released["changed"] and released["released_from"]["run"] == "run-1"
    assert lock.read(store)["held"] is False


def test_check_mode_predicts_and_writes_nothing(store: Store) -> None:
    assert lock.acquire(store, ALICE, dry=True)["lock"]["held"]
    assert lock.read(store)["held"] is False and lock.read(store)["token"] is None
    token = lock.acquire(store, ALICE)["token"]
    with pytest.raises(LockHeld):
        lock.acquire(store, BOB, dry=True)
    assert lock.release(store, token, "run-1", dry=True)["changed"]
    assert lock.force_release(store, "run-1", dry=True)["changed"]
    assert lock.renew(store, token, "run-1", 6000, dry=True)["changed"]
    assert lock.read(store)["until"] == "2025-11-21T03:10:00Z"


def test_a_whole_run_in_check_mode(store: Store, clock: Any) -> None:
    for _again in range(2):
        token = lock.acquire(store, ALICE, dry=True)["token"]
        assert lock.renew(store, token, "run-1", 60, dry=True)["changed"]
        assert lock.release(store, token, "run-1", dry=True)["changed"]
        with pytest.raises(LockLost):
            lock.release(store, token, "run-1")
        # The same over a lock whose lease has ended.
        lock.acquire(store, BOB)
        clock.now += 601
    old = lock.read(store)["token"]
    with pytest.raises(LockLost):
        lock.release(store, old, "run-1", dry=True)


def test_bad_claims_are_refused_together(store: Store) -> None:
    with pytest.raises(InputError) as refused:
        lock.acquire(store, lock.Claim(run="a b", lease=-1))
    assert [problem.where for problem in refused.value.problems] == ["run", "lease"]
    with pytest.raises(InputError):
        lock.renew(store, 1, "run-1", 0)

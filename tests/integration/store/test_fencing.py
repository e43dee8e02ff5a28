# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing under the lock, against each store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, lock, releases
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LockLost
from ansible_collections.golive.cutover.plugins.module_utils.store.fencing import FencedStore
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

ALICE = lock.Claim(run="run-1", owner="alice", reason="go-live of 1.0.0", lease=600)
BOB = lock.Claim(run="run-2", owner="bob", reason="hotfix", lease=600)


def test_whoever_holds_the_lock_writes_and_keeps_it(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    mine = FencedStore(store, token, "run-1", lease=600)
    clock.now += 300
    assert ledger.append(mine, "test", "run-1", "step_begun")["seq"] == 1
    assert lock.read(store)["until"] == "2025-11-21T03:15:00Z"
    releases.stage(mine, "1.0.0", "run-1", {})
    assert releases.read(mine)["releases"][0]["id"] == "1.0.0"
    assert [entry["event"] for entry in ledger.read(mine)] == ["step_begun"]


def test_without_a_lease_the_lock_ends_when_it_would(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    clock.now += 300
    ledger.append(FencedStore(store, token, "run-1"), "test", "run-1", "step_begun")
    assert lock.read(store)["until"] == "2025-11-21T03:10:00Z"


def test_a_lock_that_is_held_by_hand_stays_so(store: Store) -> None:
    token = lock.acquire(store, lock.Claim(run="run-1", reason="the database is moved", lease=0))["token"]
    ledger.append(FencedStore(store, token, "run-1", lease=600), "test", "run-1", "step_begun")
    assert lock.read(store)["manual"]


def test_whoever_lost_the_lock_writes_nothing(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    clock.now += 601
    lock.acquire(store, BOB)
    mine = FencedStore(store, token, "run-1", lease=600)
    before = lock.read(store)
    writes: list[Callable[[], object]] = [
        lambda: ledger.append(mine, "test", "run-1", "step_ended"),
        lambda: ledger.append(mine, "test", "run-1", "step_ended", dry=True),
        lambda: releases.stage(mine, "1.0.0", "run-1", {}),
    ]
    for write in writes:
        with pytest.raises(LockLost, match="run-2"):
            write()
    assert lock.read(store) == before
    assert ledger.read(store) == [] and releases.read(store)["releases"] == []


def test_an_old_token_of_the_same_run_is_refused(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    lock.release(store, token, "run-1")
    lock.acquire(store, ALICE)
    with pytest.raises(LockLost):
        ledger.append(FencedStore(store, token, "run-1"), "test", "run-1", "step_ended")


def test_what_was_only_predicted_can_be_predicted_on(store: Store) -> None:
    token = lock.acquire(store, ALICE, dry=True)["token"]
    entry = ledger.append(FencedStore(store, token, "run-1", lease=600), "test", "run-1", "step_begun", dry=True)
    assert entry["seq"] == 1
    assert ledger.read(store) == [] and not lock.read(store)["held"]


def test_a_refused_change_does_not_renew_the_lock(store: Store, clock: Any) -> None:
    token = lock.acquire(store, ALICE)["token"]
    clock.now += 300
    with pytest.raises(Exception, match=r"1\.0\.0"):
        releases.accept(FencedStore(store, token, "run-1", lease=600), "1.0.0", "run-1")
    assert lock.read(store)["until"] == "2025-11-21T03:10:00Z"


def test_a_lease_below_zero_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="lease"):
        FencedStore(store, 1, "run-1", lease=-1)

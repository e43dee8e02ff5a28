# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store of one's own: four methods, and lock, ledger and releases work on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, lock, releases
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import (
    IllegalTransition,
    LedgerBroken,
    LockHeld,
    LockLost,
)
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Snapshot, Store, canonical

T = TypeVar("T")


class MemoryStore(Store):
    def __init__(self) -> None:
        self.records: dict[str, str] = {}
        self.logs: dict[str, list[str]] = {}
        self.now = 1763694000.0

    def read(self, records: Sequence[str], logs: Sequence[str] = ()) -> Snapshot:
        found = {name: json.loads(self.records[name]) for name in records if name in self.records}
        return Snapshot(self.now, found, {log: len(self.logs.get(log, ())) for log in logs})

    def change(self, records: Sequence[str], decide: Callable[[Snapshot], Change[T]], logs: Sequence[str] = ()) -> T:
        change = decide(self.read(records, logs))
        # What is written was read before: a store that compares needs that.
        assert set(change.put) <= set(records) and set(change.append) <= set(logs)
        self.records.update({name: canonical(record) for name, record in change.put.items()})
        for log, lines in change.append.items():
            self.logs.setdefault(log, []).extend(lines)
        return change.result

    def lines(self, log: str, start: int, count: int) -> list[str]:
        return self.logs.get(log, [])[start : start + count]

    def close(self) -> None:
        pass


def test_all_that_is_kept_works_on_any_store() -> None:
    with MemoryStore() as store:
        token = lock.acquire(store, lock.Claim(run="run-1", lease=60))["token"]
        releases.stage(store, "1.0", "run-1", {})
        releases.deployed(store, "1.0", "run-1", {})
        releases.accept(store, "1.0", "run-1")
        ledger.append(store, "spark", "run-1", "done")
        assert ledger.verify(store, "spark")["count"] == 1
        assert lock.release(store, token, "run-1")["changed"]


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), object(), {1, 2}, b"x"])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        canonical({"x": value})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=4), st.data())
def test_any_data_verify_and_any_changed_byte_is_found(datas: list[dict[str, Any]], choose: st.DataObject) -> None:
    store = MemoryStore()
    for data in datas:
        assert ledger.append(store, "spark", "run-1", "event", data)["data"] == data
    assert ledger.verify(store, "spark")["count"] == len(datas)
    lines = store.logs["ledger"]
    number = choose.draw(st.integers(0, len(lines) - 1))
    place = choose.draw(st.integers(0, len(lines[number]) - 1))
    other = choose.draw(st.characters(codec="ascii").filter(lambda one: one != lines[number][place]))
    lines[number] = lines[number][:place] + other + lines[number][place + 1 :]
    with pytest.raises(LedgerBroken):
        ledger.verify(store, "spark")


STEPS = st.lists(
    st.tuples(st.sampled_from(["stage", "deployed", "accept", "reject", "forget"]), st.sampled_from(["a", "b", "c", "d"])),
    max_size=30,
)


@given(STEPS)
def test_a_rollback_never_goes_to_a_release_that_was_not_accepted(steps: list[tuple[str, str]]) -> None:
    store = MemoryStore()
    for name, id in steps:
        arguments: Any = ({},) if name in ("stage", "deployed") else ()
        try:
            known = getattr(releases, name)(store, id, "run", *arguments)
        except IllegalTransition:
            continue
        again = getattr(releases, name)(store, id, "run", *arguments) if name != "forget" or id in str(known) else None
        assert again is None or not again["changed"]
        now = releases.read(store)
        current = now["current"]
        for candidate in (None, "a", "b", "c", "d"):
            target = releases.previous(store, candidate)
            if target is not None:
                assert target["status"] == "accepted"
                assert target["id"] != (candidate or (current or {}).get("id"))
        statuses = {release["id"]: release["status"] for release in now["releases"]}
        assert current is None or current["id"] in statuses


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["acquire", "release", "wait"])), max_size=40))
def test_at_most_one_run_holds_the_lock_and_tokens_only_grow(steps: list[tuple[str, str]]) -> None:
    store = MemoryStore()
    tokens: dict[str, int] = {}
    newest = 0
    for run, what in steps:
        held = lock.read(store)
        if what == "wait":
            store.now += 7
        elif what == "acquire":
            try:
                token = lock.acquire(store, lock.Claim(run=run, lease=10))["token"]
            except LockHeld:
                assert held["held"] and held["run"] != run and not held["expired"]
                continue
            assert token == newest if held["run"] == run else token > newest
            tokens[run] = newest = token
        elif run in tokens:
            mine = held["run"] == run and held["token"] == tokens[run]
            try:
                assert lock.release(store, tokens[run], run)["changed"] == mine
            except LockLost:
                assert not mine

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger, against each store, and against whoever edits the store behind its back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LedgerBroken
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

from .conftest import dump


def fill(store: Store, place: Any, clock: Any, count: int = 5) -> list[dict[str, Any]]:
    entries = []
    for number in range(1, count + 1):
        clock.now += 1
        run = "run-1" if number <= 3 else "run-2"
        event = "deploy.started" if number % 2 else "deploy.done"
        entries.append(ledger.append(store, place.environment, run, event, {"number": number, "naïve": "ü☃"}))
    return entries


def problems(store: Store, place: Any, anchor: str | None = None) -> list[dict[str, Any]]:
    with pytest.raises(LedgerBroken) as broken:
        ledger.verify(store, place.environment, anchor)
    assert broken.value.result["problems"] == list(broken.value.problems)
    return [dict(problem) for problem in broken.value.problems]


def test_an_empty_ledger_is_sound(store: Store, place: Any) -> None:
    assert ledger.verify(store, place.environment) == {"count": 0, "head": None}
    assert ledger.read(store) == []


def test_entries_are_chained_and_read_back(store: Store, place: Any, clock: Any) -> None:
    entries = fill(store, place, clock)
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0]["previous"] == ledger.FIRST
    assert all(after["previous"] == before["hash"] for before, after in zip(entries, entries[1:]))
    assert ledger.read(store) == entries
    assert ledger.verify(store, place.environment) == {"count": 5, "head": entries[-1]["hash"]}
    assert ledger.verify(store, place.environment, entries[1]["hash"])["count"] == 5


def test_reading_selects(store: Store, place: Any, clock: Any) -> None:
    entries = fill(store, place, clock)
    assert ledger.read(store, run="run-1") == entries[:3]
    assert ledger.read(store, event="deploy.done") == [entries[1], entries[3]]
    assert ledger.read(store, last=2) == entries[3:]
    assert ledger.read(store, run="run-1", last=1) == [entries[2]]
    assert ledger.read(store, since="2025-11-21T03:00:04Z") == entries[3:]
    assert ledger.read(store, since="2025-11-22") == []
    with pytest.raises(InputError, match="since"):
        ledger.read(store, since="yesterday")
    with pytest.raises(InputError, match="last"):
        ledger.read(store, last=0)


def test_more_entries_than_are_read_at_once(store: Store, place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "CHUNK", 7)
    for _number in range(40):
        ledger.append(store, place.environment, "run-1", "tick")
    assert [entry["seq"] for entry in ledger.read(store)] == list(range(1, 41))
    assert ledger.verify(store, place.environment)["count"] == 40


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda lines: [lines[0], lines[1].replace('"number":2', '"number":7'), *lines[2:]], [(2, "changed")]),
        (lambda lines: [lines[0], lines[1].replace(",", ", ", 1), *lines[2:]], [(2, "changed")]),
        (lambda lines: [lines[0], *lines[2:]], [(None, "removed"), (3, "removed or reordered")]),
        (lambda lines: lines[1:], [(None, "removed"), (2, "removed or reordered")]),
        (
            lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
            [(3, "reordered"), (2, "reordered"), (4, "reordered")],
        ),
        (lambda lines: lines[:-1], [(None, "removed"), (None, "the end was removed")]),
        (lambda _lines: [], [(None, "removed"), (None, "the end was removed")]),
        (lambda lines: [*lines, lines[-1]], [(None, "added"), (5, "removed or reordered")]),
        (lambda lines: [*lines[:2], "not an entry", *lines[3:]], [(3, "not an entry"), (4, "does not follow")]),
        (lambda lines: [*lines[:2], "{}", *lines[3:]], [(3, "not an entry"), (4, "does not follow")]),
    ],
    ids=["edited", "spaces", "removed", "first", "reordered", "last", "all", "again", "garbage", "empty"],
)
def test_tampering_is_found(store: Store, place: Any, clock: Any, tamper: Any, expected: list[tuple[Any, str]]) -> None:
    fill(store, place, clock)
    place.set_lines(tamper(place.lines()))
    found = problems(store, place)
    assert [one["seq"] for one in found] == [seq for seq, _text in expected]
    for one, (_seq, text) in zip(found, expected):
        assert text in one["problem"]


def test_an_entry_with_a_recomputed_hash_breaks_the_link_to_the_next(store: Store, place: Any, clock: Any) -> None:
    fill(store, place, clock)
    lines = place.lines()
    entry = json.loads(lines[1])
    entry["data"]["number"] = 7
    entry["hash"] = ledger.digest(entry)
    place.set_lines([lines[0], dump(entry), *lines[2:]])
    assert problems(store, place) == [{"seq": 3, "problem": "does not follow from the entry before it"}]


def test_rewriting_everything_is_found_by_an_anchor_only(store: Store, place: Any, clock: Any) -> None:
    anchor = fill(store, place, clock)[-1]["hash"]
    place.set_lines([])
    place.set_record("ledger", None)
    fill(store, place, clock)
    assert ledger.verify(store, place.environment)["count"] == 5
    assert "noted elsewhere" in problems(store, place, anchor)[0]["problem"]


def test_a_cut_off_end_stays_visible_after_more_events(store: Store, place: Any, clock: Any) -> None:
    fill(store, place, clock)
    place.set_lines(place.lines()[:-1])
    assert ledger.append(store, place.environment, "run-3", "later")["seq"] == 6
    assert [one["seq"] for one in problems(store, place)] == [None, 6]


def test_a_head_that_was_put_back_is_not_appended_to(store: Store, place: Any, clock: Any) -> None:
    entries = fill(store, place, clock)
    place.set_record("ledger", dump({"count": 3, "hash": entries[2]["hash"]}))
    with pytest.raises(LedgerBroken, match="put back or removed"):
        ledger.append(store, place.environment, "run-3", "later")
    assert "added, or the head was put back" in problems(store, place)[0]["problem"]
    place.set_record("ledger", None)
    with pytest.raises(LedgerBroken):
        ledger.append(store, place.environment, "run-3", "later")


def test_entries_of_another_environment_do_not_pass(store: Store, place: Any, clock: Any) -> None:
    other = place.open(clock, environment="other")
    ledger.append(other, "other", "run-1", "deploy.done")
    if place.kind == "sqlite":
        moved = [json.loads(line) for line in place.lines()]
        place.set_lines([dump(entry) for entry in moved])
        place.set_record("ledger", dump({"count": 1, "hash": moved[-1]["hash"]}))
        assert any("belongs to the environment other" in one["problem"] for one in problems(store, place))
    assert ledger.read(store) == [] or place.kind == "sqlite"


def test_data_that_cannot_be_kept_is_refused(store: Store, place: Any) -> None:
    for data in ({"x": "a" * 70000}, {"x": float("nan")}, {"x": float("inf")}, {"x": object()}):
        with pytest.raises(InputError, match="data"):
            ledger.append(store, place.environment, "run-1", "event", data)
    with pytest.raises(InputError) as refused:
        ledger.append(store, place.environment, "a b", "c:d", {"x": "a" * 70000})
    assert [problem.where for problem in refused.value.problems] == ["run", "event", "data"]
    assert ledger.read(store) == []


def test_secrets_are_hidden_before_anything_is_written(store: Store, place: Any, canary: str) -> None:
    data = {"message": f"login {canary}x failed", "deep": [{"k": (canary,)}], canary: 1, "n": 5}
    entry = ledger.append(store, place.environment, "run-1", "failed", data, secrets=["", canary, canary[:12]])
    assert entry["data"] == {"message": "login ********x failed", "deep": [{"k": ["********"]}], "********": 1, "n": 5}
    assert canary not in "".join(place.lines())
    assert ledger.verify(store, place.environment)["count"] == 1


def test_check_mode_writes_nothing(store: Store, place: Any) -> None:
    assert ledger.append(store, place.environment, "run-1", "event", dry=True)["seq"] == 1
    assert ledger.read(store) == []


def test_verifying_while_others_append_is_not_fooled(store: Store, place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for _number in range(5):
        ledger.append(store, place.environment, "run-1", "event")
    other = place.open()
    lines = store.lines

    def busy(log: str, start: int, count: int) -> list[str]:
        ledger.append(other, place.environment, "run-2", "meanwhile")
        return lines(log, start, count)

    monkeypatch.setattr(store, "lines", busy)
    assert ledger.verify(store, place.environment)["count"] == 5

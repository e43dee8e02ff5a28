# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The live watch: what changes is told once, what cannot be measured says so, and only what the table names stops anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import escalation
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.escalation import Action, Known, Seen, read_escalations
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Watch, utc

GO = 1_763_700_000.0
WATCH = Watch("run-1", "1.0.0", GO)
STOP = {"action": "stop", "strategy": "stop_scheduler"}
TABLE = read_escalations([{"check": "A", "critical": STOP, "advice": "Look."}, {"check": "B"}], ["A", "B"])


def seen(check: str, level: Optional[str] = "ok", waiting: bool = False, reason: str = "because") -> Seen:
    return Seen(check, f"Title of {check}", level, reason, "7", waiting=waiting)


class Ledger:
    """Looks one after the other, with what each leaves in the ledger."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def append(self, name: str, /, **data: Any) -> None:
        entry = {"seq": len(self.entries) + 1, "time": utc(GO), "run": "w", "event": name}
        self.entries.append({**entry, "data": {"watch": "run-1", "host": "h", **data}})

    def known(self) -> dict[str, Known]:
        return escalation.known_levels(self.entries, WATCH, "h")

    def look(self, looks: Sequence[Seen]) -> list[tuple[str, str, str]]:
        changed = escalation.changes(TABLE, looks, self.known())
        for one in changed:
            self.append("hypercare_escalation", **one)
        return [(one["condition"], one["level"], one["event"]) for one in changed]

    def stop(self, looks: Sequence[Seen]) -> Optional[str]:
        due = escalation.stop_due(TABLE, looks, self.known(), escalation.stops_of(self.entries, WATCH, "h"))
        return str(due["strategy"]) if due else None


def test_a_level_is_told_once_and_again_when_it_is_another() -> None:
    ledger = Ledger()
    assert ledger.look([seen("A"), seen("B")]) == []
    assert ledger.look([seen("A"), seen("B", "warning")]) == [("B", "warning", "escalation")]
    assert ledger.look([seen("A"), seen("B", "warning", reason="another value")]) == []
    assert ledger.look([seen("A"), seen("B", "critical")]) == [("B", "critical", "page")]
    # Whoever was called is told that it is over.
    assert ledger.look([seen("A"), seen("B", "warning")]) == [("B", "warning", "page")]
    assert ledger.look([seen("A"), seen("B")]) == [("B", "ok", "escalation")]
    assert ledger.look([seen("A"), seen("B", "warning")]) == [("B", "warning", "escalation")]
    again = Ledger()
    again.entries = ledger.entries
    assert again.look([seen("A"), seen("B", "warning")]) == []
    assert [one["level"] for one in escalation.still_there(again.known())] == ["warning"]


def test_what_cannot_be_measured_keeps_its_level_and_is_a_condition_of_its_own() -> None:
    ledger = Ledger()
    ledger.look([seen("A"), seen("B", "warning")])
    assert ledger.look([seen("A"), seen("B", None)]) == [("UNMEASURED", "warning", "escalation")]
    assert ledger.look([seen("A"), seen("B", None, reason="another reason")]) == []
    assert ledger.look([seen("A", None), seen("B", None)]) == [("UNMEASURED", "warning", "escalation")]
    assert ledger.known()["UNMEASURED"].about == ("A", "B") and ledger.known()["B"].level == "warning"
    assert ledger.look([seen("A"), seen("B", "warning")]) == [("UNMEASURED", "ok", "escalation")]
    assert ledger.look([seen("A", None, waiting=True), seen("B", "warning")]) == []


def test_a_stop_is_due_until_it_is_verified_and_again_when_it_becomes_critical_again() -> None:
    ledger, bad = Ledger(), [seen("A", "critical"), seen("B", "critical")]
    assert ledger.stop(bad) == "stop_scheduler", "the ledger could not be written, and it is critical all the same"
    ledger.look(bad)
    assert ledger.stop(bad) == "stop_scheduler"
    ledger.append("hypercare_stop", strategy="stop_scheduler", verified=False)
    assert ledger.stop(bad) == "stop_scheduler"
    ledger.append("hypercare_stop", strategy="stop_scheduler", verified=True)
    assert ledger.stop(bad) is None
    ledger.look([seen("A"), seen("B")])
    assert ledger.stop([seen("A"), seen("B", "critical")]) is None, "B stops nothing"
    ledger.look(bad)
    assert ledger.stop(bad) == "stop_scheduler"
    assert ledger.stop([seen("A", None), seen("B")]) is None


def test_mistakes_in_the_table_are_refused_all_at_once() -> None:
    raw = [
        {"check": "A", "warning": STOP},
        {"check": "A", "critical": {"action": "stop"}},
        {"check": "C", "critical": {"action": "shout"}},
        {"check": "B", "critical": {"action": "page", "strategy": "stop_scheduler"}},
    ]
    with pytest.raises(InputError) as caught:
        read_escalations(raw, ["A", "B"])
    text = str(caught.value)
    for part in ("only a critical level may stop", "stands twice", "belongs to the action stop", "inform, page, stop", "[C].check"):
        assert part in text, text
    with pytest.raises(InputError, match="at least one"):
        read_escalations([], ["A"])
    assert TABLE[0].critical == Action("stop", "stop_scheduler") and TABLE[1].critical == Action("page")


def tally(*looks: Sequence[Seen]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, one in enumerate(looks):
        found = escalation.add(found, one, GO + 30 * number)
    return found


def statuses(found: dict[str, Any], lost: int = 0) -> dict[str, str]:
    return {one["id"]: one["status"] for one in escalation.verdicts(found, GO + 600, lost)}


def test_a_watch_comes_to_the_worst_level_of_each_condition() -> None:
    good = [seen("A"), seen("B")]
    assert statuses(tally(good, good)) == {"A": "pass", "B": "pass", "HYPERCARE-WATCH": "pass"}
    assert statuses(tally(good, [seen("A", "warning"), seen("B", "critical")], good))["B"] == "fail"
    assert statuses(tally(good, [seen("A", "warning"), seen("B")], good))["A"] == "warn"
    assert statuses(tally(good, [seen("A"), seen("B", None)]))["B"] == "inconclusive"
    assert statuses(tally(*[good] * 20, [seen("A"), seen("B", None)], good))["B"] == "pass"
    waiting = [seen("A", None, waiting=True), seen("B")]
    assert statuses(tally(waiting, waiting)) == {"A": "skip", "B": "pass", "HYPERCARE-WATCH": "pass"}
    assert [row["checks"] for row in escalation.rows(escalation.verdicts(tally(waiting), GO))] == [["HYPERCARE-WATCH"], ["B"]]


def test_a_watch_that_saw_nothing_is_no_watch() -> None:
    blind = [seen("A", None), seen("B", None)]
    assert statuses(tally(blind))["HYPERCARE-WATCH"] == "inconclusive"
    assert statuses(tally([seen("A", None, waiting=True), seen("B", None, waiting=True)]))["HYPERCARE-WATCH"] == "inconclusive"
    assert statuses(tally(*[[seen("A"), seen("B")]] * 5), lost=1)["HYPERCARE-WATCH"] == "inconclusive"
    assert statuses(tally(*[[seen("A"), seen("B")]] * 20), lost=1)["HYPERCARE-WATCH"] == "pass"


def test_a_look_is_one_line() -> None:
    looks = [seen("A", "critical"), seen("B", None), seen("C", None, waiting=True), seen("D")]
    said = escalation.line(WATCH, looks, GO + 750, "web-1")
    assert said == f"{utc(GO + 750)[11:]}  T+12m30s  web-1  A 7 CRITICAL  B NOT MEASURED  C not yet  D 7"


def test_the_value_of_a_look_is_the_measure_that_a_threshold_is_about() -> None:
    measures = {"latency": {"value": 0.012, "unit": "s"}, "status": {"value": 200.0, "unit": ""}}
    expected = {"warn": {"latency": "> 1s"}, "expect": {"status": "== 200"}}
    assert escalation.shown({"measures": measures, "expected": expected}) == "12 ms"
    assert escalation.shown({"measures": {}, "expected": {"warn": {"latency": "> 1s"}}}) == ""


def test_a_condition_that_one_host_cannot_speak_of_yet_is_in_the_table_of_all() -> None:
    first = escalation.add({}, [seen("A"), seen("B", None, waiting=True)], GO)
    second = escalation.add({}, [seen("A", None, waiting=True), seen("B", "critical")], GO)
    tables = [escalation.rows(escalation.verdicts(one, GO)) for one in (first, second)]
    assert [row["checks"] for row in tables[0]] == [["HYPERCARE-WATCH"], ["A"]]
    whole = escalation.one_table(tables)
    assert [row["checks"] for row in whole] == [["HYPERCARE-WATCH"], ["A", "B"]]
    assert escalation.one_table([]) == []


def test_each_host_has_levels_and_stops_of_its_own() -> None:
    ledger = Ledger()
    ledger.look([seen("A", "critical"), seen("B")])
    ledger.append("hypercare_stop", strategy="stop_scheduler", verified=True)
    other = escalation.known_levels(ledger.entries, WATCH, "other")
    assert other == {} and escalation.stops_of(ledger.entries, WATCH, "other") == {}
    bad = [seen("A", "critical"), seen("B")]
    assert ledger.stop(bad) is None, "this one is stopped"
    due = escalation.stop_due(TABLE, bad, other, {})
    assert due is not None and due["strategy"] == "stop_scheduler", "one that shares the ledger is not"
    assert [one["condition"] for one in escalation.changes(TABLE, bad, other)] == ["A"]

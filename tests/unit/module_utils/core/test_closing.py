# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The exit of hypercare: what nobody measured, said or signed is missing, and named."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import closing, hypercare
from ansible_collections.golive.cutover.plugins.module_utils.core.closing import judge_criteria, read_criteria
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Look, Watch, read_checkpoints, states, utc

GO = 1_763_700_000.0
HOUR = 3600.0
WATCH = Watch("run-1", "1.0.0", GO)
POINTS = read_checkpoints([{"name": "T+0", "tolerance": "10m"}, {"name": "T+48h", "tolerance": "12h"}])
NOW = GO + 50 * HOUR


def one(criterion: dict[str, Any], verdicts: list[dict[str, Any]], **given: Any) -> tuple[str, str]:
    found = judge_criteria(read_criteria([{"name": "C", **criterion}]), verdicts, given, "T+48h", NOW)[0]
    return found["status"], found["reason"]


def verdict(id: str, status: str = "pass", tags: tuple[str, ...] = ("slo",), required: bool = True) -> dict[str, Any]:
    return {"id": id, "status": status, "tags": list(tags), "required": required}


def test_a_criterion_is_met_by_verdicts_that_are_good_and_by_nothing_else() -> None:
    slo = {"tags": ["slo"]}
    assert one(slo, [verdict("S-1"), verdict("S-2", "warn")]) == ("pass", "2 of 2 good at T+48h")
    assert one(slo, []) == ("inconclusive", "no verdict of T+48h carries any of slo")
    assert one(slo, [verdict("S-1", "skip")])[0] == "inconclusive"
    assert one(slo, [verdict("S-1", "inconclusive"), verdict("S-2")]) == ("inconclusive", "S-1 could not be measured")
    assert one(slo, [verdict("S-1", "fail"), verdict("S-2", "inconclusive")])[0] == "fail"
    assert one({"checks": ["S-9"]}, [verdict("S-1")]) == ("inconclusive", "S-9 has no verdict at T+48h")
    assert one({"checks": ["S-1"]}, [verdict("S-1", "fail", required=False)])[0] == "fail"
    both = {"checks": ["S-1"], "tags": ["canary"]}
    assert one(both, [verdict("S-1")]) == ("inconclusive", "no verdict of T+48h carries any of canary")
    assert one(both, [verdict("S-1"), verdict("C-1", tags=("canary",))])[0] == "pass"


GIVEN: dict[Any, str] = {
    **{0: "pass", 1: "pass", "1": "pass", 2: "fail"},
    **dict.fromkeys((-1, None, "few", float("nan")), "inconclusive"),
}


@pytest.mark.parametrize(("value", "status"), [*GIVEN.items(), (float("nan"), "inconclusive")])
def test_a_number_that_a_person_gives(value: Any, status: str) -> None:
    assert one({"given": "issues", "expect": "< 2"}, [], issues=value)[0] == status


def test_mistakes_are_refused_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_criteria([{"name": "a"}, {"name": "b", "given": "x"}, {"name": "c", "given": "x", "tags": ["y"], "expect": "2"}])
    assert len(caught.value.problems) >= 4
    with pytest.raises(InputError, match="at least one"):
        read_criteria([])


def test_every_checkpoint_counts_the_last_one_too() -> None:
    def judged(*looks: Look, now: float = NOW) -> tuple[str, str]:
        found = closing.judge_passed(WATCH, states(WATCH, POINTS, looks, now), now)
        return found["status"], found["reason"]

    first, last = Look("T+0", GO + 60, "go", "a"), Look("T+48h", GO + 48 * HOUR + 60, "go", "b")
    assert judged(first, last)[0] == "pass"
    assert judged(first) == ("inconclusive", "T+48h is due and was not looked at")
    assert judged(first, now=GO + HOUR) == ("inconclusive", "T+48h has not come yet")
    assert judged(last) == ("inconclusive", "T+0 was missed")
    assert judged(first, Look("T+48h", last.at, "no_go", "b"))[0] == "fail"


def entry(event: str, hours: float, **data: Any) -> dict[str, Any]:
    return {"time": utc(GO + hours * HOUR), "run": data.pop("run", "r"), "event": event, "data": data}


def test_incidents_since_the_go() -> None:
    def status(*entries: dict[str, Any]) -> str:
        return str(closing.judge_incidents(entries, WATCH, NOW)["status"])

    go = entry("run_ended", 0, run="run-1", kind="cutover", decision="go")
    assert status(entry(closing.INCIDENT, -1, incident="old"), go, entry(closing.INCIDENT, 1, severity="minor")) == "pass"
    # The clock was put back after the GO: the order of the ledger says what came after it.
    assert status(go, entry(closing.INCIDENT, -1, incident="redis lost")) == "fail"
    assert status(entry(closing.INCIDENT, 1, incident="redis lost")) == "fail"
    assert status(entry(closing.ESCALATION, 1, watch="run-1", condition="ESC-1", level="warning")) == "pass"
    assert status(entry(closing.ESCALATION, 1, watch="run-1", condition="ESC-1", level="critical")) == "fail"
    assert status(entry(closing.ESCALATION, 1, watch="run-0", condition="ESC-1", level="critical")) == "pass"


def test_the_verdicts_of_the_last_checkpoint_are_those_of_the_look_that_counts() -> None:
    looked = {"watch": "run-1", "checkpoint": "T+48h", "decision": "go"}
    entries = [
        entry(hypercare.EVENT, 48.1, run="a", **looked, at=GO + 48.1 * HOUR, verdicts=[verdict("S-1", "fail")]),
        entry(hypercare.EVENT, 48.2, run="b", **looked, at=GO + 48.2 * HOUR, verdicts=[verdict("S-1")]),
        entry(hypercare.EVENT, 61, run="c", **looked, at=GO + 61 * HOUR, verdicts=[verdict("S-1", "fail")]),
    ]
    last = states(WATCH, POINTS, hypercare.looks_of(entries, WATCH), GO + 62 * HOUR)[-1]
    assert [one["status"] for one in closing.last_verdicts(entries, WATCH, last)] == ["pass"]
    assert closing.closed(entries, WATCH) is None
    assert closing.closed([entry(closing.CLOSED, 62, watch="run-1")], WATCH) is not None


def test_signatures() -> None:
    signed = {"role": "Ops", "by": "ann", "seq": 7}
    state = {
        "signatures": [signed],
        "missing": ["Dev"],
        "not_counted": [{"role": "Dev", "by": "ann", "why": "twice"}],
        "complete": False,
    }
    found = closing.judge_signatures(state, NOW)
    assert (found["status"], found["reason"]) == ("fail", "Dev has not signed; Dev by ann does not count: twice")
    assert closing.judge_signatures({**state, "missing": [], "not_counted": [], "complete": True}, NOW)["status"] == "pass"
    assert closing.judge_signatures("the ledger is not what was written", NOW)["status"] == "inconclusive"

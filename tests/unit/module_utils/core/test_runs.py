# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import runs
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from tests.unit.module_utils.core.fakes import FakeProbe

PROBES = {"fake": FakeProbe()}
PLAN: dict[str, Any] = {
    "environment": "demo",
    "release": "1.0.0",
    "steps": [
        {"name": "deploy", "budget": "2m", "role": "golive.cutover.deploy"},
        {"name": "smoke", "budget": "15s", "checks": {"tags": ["smoke"]}},
    ],
    "checks": [{"id": "A", "fake": {}, "expect": {"status": "== 200"}, "tags": ["smoke"]}],
    "gate": {"criteria": [{"name": "Deployed", "steps": ["preflight", "deploy"]}, {"name": "Smoke", "tags": ["smoke"]}]},
    "secrets": [],
    "lock_lease": "15m",
}


def test_a_sound_plan_has_no_problems() -> None:
    assert runs.plan_problems(PLAN, PROBES) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"environment": "../etc"}, "cutover_environment: expected letters"),
        ({"release": "1.0 0"}, "cutover_release: expected letters"),
        ({"lock_lease": "15"}, "cutover_lock_lease: '15' is not a duration"),
        ({"serial": "a few"}, "cutover_serial: expected a number"),
        ({"steps": [{"name": "x"}]}, "cutover_steps[x]: expected either a role or checks"),
        ({"steps": [{"name": "x", "role": "r", "checks": {"tags": ["smoke"]}}]}, "expected either a role or checks"),
        ({"steps": [{"name": "x", "checks": {"tags": ["nobody"]}}]}, "would pass on no evidence"),
        ({"steps": [{"name": "x", "checks": {"ids": ["A"]}}]}, "expected {tags: [...]}"),
        ({"steps": [{"name": "x", "role": "r", "budget": 5}]}, "cutover_steps[x].budget: 5 has no unit"),
        ({"steps": [{"name": "x", "role": "r"}, {"name": "x", "role": "r"}]}, "the name stands twice"),
        ({"steps": [{"name": "preflight", "role": "r"}]}, "the run itself has a step of that name"),
        ({"steps": [{"name": "rollback", "role": "r"}]}, "the run itself has a step of that name"),
        ({"steps": "deploy"}, "cutover_steps: expected a list"),
        ({"gate": {"criteria": [{"name": "G", "checks": ["B"]}]}}, "there is no check 'B'"),
        ({"gate": {"criteria": [{"name": "G", "tags": ["gone"]}]}}, "no check carries any of gone"),
        ({"gate": {"criteria": [{"name": "G", "steps": ["gone"]}]}}, "there is no step 'gone'"),
        ({"gate": {"criterium": []}}, "cutover_gate.criterium: unknown key"),
        ({"checks": [{"id": "A", "fake": {}}]}, "A: has no threshold"),
    ],
)
def test_a_mistake_is_named_with_its_variable(change: dict[str, Any], problem: str) -> None:
    problems = runs.plan_problems({**PLAN, **change}, PROBES)
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    ("serial", "waves"),
    [
        ("100%", [["a", "b", "c", "d"]]),
        (1, [["a"], ["b"], ["c"], ["d"]]),
        ([1, "50%"], [["a"], ["b", "c"], ["d"]]),
        ("10%", [["a"], ["b"], ["c"], ["d"]]),
        ("3", [["a", "b", "c"], ["d"]]),
    ],
)
def test_waves(serial: Any, waves: list[list[str]]) -> None:
    assert runs.waves(["a", "b", "c", "d"], serial) == waves


@pytest.mark.parametrize("serial", [0, "0%", "few", [], None, -1])
def test_waves_of_no_size_are_refused(serial: Any) -> None:
    with pytest.raises(InputError):
        runs.waves(["a"], serial)


def outcome(**more: Any) -> dict[str, Any]:
    return {"state": "done", "step": "ui", "changed": True, "steps": [], "asked": ["A"], "verdicts": [], "failed": None, **more}


def test_a_host_without_an_end_was_lost_and_says_where() -> None:
    outcomes = {"a": outcome(), "b": outcome(state="running", step="deploy"), "c": outcome(state="pending", step=None), "d": None}
    found = runs.evidence(outcomes, ["a", "b", "c", "d"])
    assert found["a"]["failed"] is None
    assert found["b"]["failed"]["step"] == "deploy"
    assert "before its first step" in found["c"]["failed"]["message"]
    assert "d" not in found
    assert runs.lost_hosts(outcomes, ["a", "b", "c", "d"]) == ["b", "c", "d"]


def test_failed_and_lost_hosts_stop_the_next_wave() -> None:
    outcomes = {"a": outcome(), "b": outcome(failed={"step": "x"}), "c": outcome()}
    assert runs.stopped(outcomes, ["a", "b", "c"], ["a", "b"]) == ["b", "c"]


RUN = {"id": "r1", "kind": "cutover", "environment": "demo", "release": "1.1.0", "hosts": ["a", "b"]}


def record(undone: dict[str, Any], **outcomes: Any) -> dict[str, Any]:
    both = {"a": outcome(previous_release="1.0.0"), "b": outcome(), **outcomes}
    return runs.run_record(RUN, {"decision": "no_go", "reasons": ["x"]}, both, undone, "now")


def done(verified: bool = True) -> dict[str, Any]:
    return {"strategy": "previous_release", "to": "1.0.0", "seconds": 3.0, "budget": 120, "verified": verified, "verdicts": []}


def test_a_rollback_is_verified_when_every_changed_host_is() -> None:
    assert record({"a": done(), "b": done()})["rollback"]["verified"] is True
    assert record({"a": done(), "b": done(False)})["rollback"]["verified"] is False


def test_a_changed_host_that_is_gone_makes_the_rollback_unverified() -> None:
    rollback = record({"a": done(), "b": None})["rollback"]
    assert rollback["verified"] is False
    assert "could not be reached" in rollback["hosts"]["b"]["error"]


def test_a_host_that_was_not_changed_needs_no_rollback() -> None:
    made = record({"a": done(), "b": None}, b=outcome(changed=False))
    assert made["rollback"]["verified"] is True
    assert made["previous_release"] == "1.0.0"


def test_without_a_decision_it_is_no_go() -> None:
    made = runs.run_record(RUN, {}, {"a": outcome(), "b": outcome(close_error="disk full")}, {}, "now")
    assert made["decision"] == "no_go"
    assert made["problems"] == ["b: disk full"]


def test_a_required_check_that_nothing_asks_is_a_mistake() -> None:
    stray = {"id": "B", "fake": {}, "expect": {"status": "== 200"}, "tags": ["smok"]}
    plan = {**PLAN, "checks": [*PLAN["checks"], stray]}
    assert any("B: is required, but no step asks it" in one for one in runs.plan_problems(plan, PROBES))
    assert runs.plan_problems({**plan, "elsewhere": ["smok"]}, PROBES) == []
    assert runs.plan_problems({**PLAN, "checks": [*PLAN["checks"], {**stray, "required": False}]}, PROBES) == []


def test_what_could_not_be_closed_is_no_go() -> None:
    outcomes = {"a": outcome(), "b": outcome(close_error="lock lost")}
    made = runs.run_record(RUN, {"decision": "go", "reasons": []}, outcomes, {}, "now")
    assert made["decision"] == "no_go"
    assert made["reasons"] == ["b: lock lost"]


def test_a_rollback_by_hand_needs_evidence_of_every_host() -> None:
    made = runs.run_record({**RUN, "kind": "rollback"}, {}, {"a": outcome(), "b": None}, {"a": done()}, "now")
    assert made["decision"] == "no_go"
    assert any(line.startswith("b: no evidence") for line in made["reasons"])


def test_what_check_mode_did_not_ask_is_not_said_to_hold() -> None:
    verdicts = [
        {"id": "A", "status": "pass", "reason": "status is 200"},
        {"id": "B", "status": "fail", "reason": "status is 500"},
        {"id": "C", "status": "skip", "reason": "asking may change something"},
    ]
    outcome = {"state": "done", "changed": False, "failed": None, "steps": [{"name": "smoke"}], "verdicts": verdicts}
    said = runs.rehearsal({"kind": "cutover", "release": "1.0.0", "hosts": ["h"]}, {"h": outcome})
    assert said["lines"][-1] == "h: 1 of 3 checks hold for what runs now; these do not: B (status is 500); not asked: C"

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An incident: what its description must be, what a look at it says, what of its settings is changed, and how its run ends."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import remediation
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.report import ending, model

TCP = {"id": "R-1", "title": "Redis listens", "tcp": {"port": 6379}, "expect": {"open": "== true"}}
GOOD: dict[str, Any] = {"look": [TCP], "steps": [{"name": "again", "restart": ["redis"]}]}
LOCK = {"instances": {"a": {"health": "http://h/health"}}, "lock": {"url": "redis://h", "key": "k"}, "hold": "1s"}


def problems(incident: Any, name: str = "x") -> list[str]:
    return remediation.problems_of({"x": incident}, name, PROBES)


@pytest.mark.parametrize(
    "incident",
    [
        GOOD,
        {"lock": LOCK, "steps": [{"name": "lock", "release_lock": True}]},
        {**GOOD, "steps": [{"name": "s", "settings": {"lower": {"LIMIT": "10"}, "services": ["web"]}, "way_back": "raise it"}]},
        {**GOOD, "steps": [{"name": "s", "streams": {"max_connections": 3}}]},
        {**GOOD, "steps": [{"name": "t", "command": ["a"], "only_when": ["R-1"]}]},
    ],
)
def test_incidents_that_are_sound(incident: dict[str, Any]) -> None:
    assert problems(incident) == []


@pytest.mark.parametrize(
    ("incident", "why"),
    [
        ({**GOOD, "look": []}, "has neither look nor lock"),
        ({**GOOD, "look": [{**TCP, "expect": {"opn": "== true"}}]}, "opn"),
        ({**GOOD, "lok": []}, "did you mean 'look'"),
        ({"look": [TCP]}, "remediate_incidents.x.steps: is missing"),
        ({**GOOD, "steps": []}, "expected a list of steps"),
        ({**GOOD, "steps": [{"name": "s"}]}, "got none of them"),
        ({**GOOD, "steps": [{"name": "s", "restart": ["a"], "service": "b"}]}, "got restart and service"),
        ({**GOOD, "steps": [{"name": "s", "release_lock": True}]}, "there is no lock to let go"),
        ({**GOOD, "steps": [GOOD["steps"][0], GOOD["steps"][0]]}, "the name stands twice"),
        ({**GOOD, "steps": [{"name": "s", "settings": {"lower": {"LIMIT": "few"}}}]}, "expected a number"),
        ({**GOOD, "steps": [{"name": "s", "settings": {"services": ["web"]}}]}, "expected {set:"),
        ({**GOOD, "steps": [{"name": "s", "service": "redis", "only_when": ["R-9"]}]}, "there is no check 'R-9'"),
        ({"lock": {**LOCK, "hold": "0s"}, "steps": GOOD["steps"]}, "remediate_incidents.x.lock.hold: is required"),
    ],
)
def test_incidents_that_are_refused(incident: dict[str, Any], why: str) -> None:
    assert any(why in one for one in problems(incident)), problems(incident)


def test_an_incident_that_is_not_described() -> None:
    assert problems(GOOD, "y") == ["remediate_incident: 'y' is none of them; there are x, say -e incident=NAME"]
    assert problems(GOOD, "")[0].startswith("remediate_incident: is missing; there are x")
    assert remediation.problems_of({}, "x", PROBES) == ["remediate_incidents: this environment describes no incidents"]


def verdict(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "R-1", "status": status, "reason": "because", **more}


def lock(finding: str) -> dict[str, Any]:
    return {"finding": finding, "reason": f"it is {finding}", "proof": ""}


@pytest.mark.parametrize(
    ("verdicts", "of_lock", "state"),
    [
        ([verdict("pass")], None, "absent"),
        ([verdict("warn")], None, "absent"),
        ([verdict("fail")], None, "there"),
        ([verdict("fail"), verdict("inconclusive", id="R-2")], None, "there"),
        ([verdict("pass"), verdict("inconclusive", id="R-2")], None, "unknown"),
        ([verdict("pass"), verdict("fail", id="R-2", required=False)], None, "absent"),
        ([verdict("skip")], None, "unknown"),
        ([], None, "unknown"),
        ([], "led", "absent"),
        ([], "stale", "there"),
        ([], "free", "there"),
        ([], "expiring", "there"),
        ([verdict("fail")], "uncertain", "unknown"),
        ([verdict("fail")], "led", "there"),
        ([], "something new", "unknown"),
    ],
)
def test_what_a_look_says(verdicts: list[dict[str, Any]], of_lock: str | None, state: str) -> None:
    asked = [one["id"] for one in verdicts]
    found = remediation.seen(verdicts, asked, lock(of_lock) if of_lock else None)
    assert found["state"] == state
    assert found["lines"]


def test_a_check_without_a_verdict_was_not_measured() -> None:
    assert remediation.seen([verdict("pass")], ["R-1", "R-2"])["state"] == "unknown"


def test_keys_of_an_env_file_are_named() -> None:
    about = verdict("fail", proof={"missing_keys": ["TELEGRAM_BOT_TOKEN"], "keys": 3})
    assert remediation.seen([about], ["R-1"])["lines"] == ["R-1 fail: because [TELEGRAM_BOT_TOKEN]"]


@pytest.mark.parametrize(
    ("now", "wanted", "change", "way_back"),
    [
        ({"LIMIT": "30"}, {"lower": {"LIMIT": 10}}, {"LIMIT": "10"}, "LIMIT was 30: put that back"),
        ({"LIMIT": "5"}, {"lower": {"LIMIT": 10}}, {}, ""),
        ({}, {"lower": {"LIMIT": 10}}, {"LIMIT": "10"}, "LIMIT was not set: take it out"),
        ({"ON": "true"}, {"set": {"ON": False}}, {"ON": "false"}, "ON was true"),
        ({"ON": "false"}, {"set": {"ON": False}}, {}, ""),
        ({"API_TOKEN": "CANARY"}, {"set": {"API_TOKEN": "x"}}, {"API_TOKEN": "x"}, "API_TOKEN had another value"),
    ],
)
def test_settings(now: dict[str, str], wanted: dict[str, Any], change: dict[str, str], way_back: str) -> None:
    found = remediation.settings(now, wanted)
    assert found["change"] == change
    assert way_back in "".join(found["way_back"]) and "CANARY" not in str(found)


RUN = {"id": "r-1", "kind": "remediation", "environment": "demo", "reason": "no_leader", "hosts": ["demo"]}


def of(outcome: dict[str, Any] | None, **closed: Any) -> tuple[dict[str, Any], ending.Ending, str]:
    record = remediation.record(RUN, {"demo": outcome}, {"demo": closed}, "2025-11-21T03:00:00Z")
    run = model.read_run(record)
    return record, ending.ending(run), "\n".join(ending.closing_lines(run))


@pytest.mark.parametrize(
    ("state", "changed", "decision", "headline"),
    [
        ("absent", False, "go", "NOTHING TO DO"),
        ("remediated", True, "go", "REMEDIATED"),
        ("unknown", False, "no_go", "NOTHING DONE"),
        ("refused", False, "no_go", "NOTHING DONE"),
        ("unverified", True, "no_go", "NOT REMEDIATED"),
        ("failed", True, "no_go", "NOT REMEDIATED"),
    ],
)
def test_how_a_run_ends(state: str, changed: bool, decision: str, headline: str) -> None:
    outcome = {"state": state, "changed": changed, "seen": ["the lock is stuck"], "done": ["let it go"] if changed else []}
    record, end, said = of(outcome)
    assert (record["decision"], end.headline) == (decision, headline)
    assert end.loud is (changed and decision != "go")
    assert "seen: the lock is stuck" in said and headline in said
    assert "roll" not in said.lower()


def test_a_host_that_was_lost_and_a_run_that_could_not_be_closed() -> None:
    record, end, said = of(None)
    assert (record["decision"], record["lost_hosts"], end.loud) == ("no_go", ["demo"], True)
    assert "was lost" in said
    record, _end, said = of({"state": "remediated", "changed": True}, close_error="the ledger is full")
    assert record["decision"] == "no_go" and "the ledger is full" in said

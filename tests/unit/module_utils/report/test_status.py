# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of playbooks/status.yml."""

from __future__ import annotations

from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.report import status

LEADER = {
    "id": "FIELD-1",
    "title": "Who is the leader?",
    "status": "pass",
    "reason": "all thresholds hold",
    "measures": {
        "lock_held": {"value": True, "unit": ""},
        "lock_holder": {"value": "executor-1", "unit": ""},
        "other": {"value": 1},
    },
    "expected": {"expect": {"lock_held": "== true", "lock_holder": "matches ."}, "warn": {}, "critical": {}},
}
DOWN = {"id": "FIELD-6", "title": "Redis health?", "status": "inconclusive", "reason": "connection refused", "measures": {}}
FREE: dict[str, Any] = {"lock": {"held": False}}
NOTHING: dict[str, Any] = {"current": None, "previous": None, "releases": []}


def test_answers_are_the_measures_that_were_asked_for() -> None:
    said = status.lines([LEADER, DOWN], "demo", FREE, NOTHING, {"count": 0})
    assert said[0] == "demo"
    assert "no release" in said[1]
    assert "nobody" in said[2]
    assert said[3] == "ledger: 0 entries, verified"
    leader = next(line for line in said if "leader" in line)
    assert "executor-1" in leader and "ok" in leader and "other" not in leader
    redis = next(line for line in said if "Redis" in line)
    assert "NOT MEASURED" in redis and "connection refused" in redis


def test_who_holds_the_lock_and_which_release_runs() -> None:
    lock = {"held": True, "run": "r1", "owner": "anna", "since": "T1", "until": "T2", "reason": "go-live", "expired": True}
    known = {"current": {"id": "1.0.1", "status": "accepted", "at": "T0"}, "previous": {"id": "1.0.0"}}
    said = status.lines([], "demo", {"lock": lock}, known, {"failed": True, "msg": "entry 3 was changed"})
    assert all(word in said[1] for word in ("1.0.1", "accepted", "1.0.0"))
    assert all(word in said[2] for word in ("anna", "r1", "T1", "go-live", "over"))
    assert "NOT VERIFIED" in said[3] and "entry 3" in said[3]


def test_a_message_cannot_forge_a_line() -> None:
    lock = {"held": True, "run": "r1", "owner": "anna\nlock: nobody holds it", "since": "T1", "until": "T2"}
    said = status.lines([], "demo", {"lock": lock}, NOTHING, {"count": 1})
    assert all("\n" not in line for line in said)

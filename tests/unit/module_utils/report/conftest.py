# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as the roles hand them over, one for each way a run can end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

Record = dict[str, Any]

STEPS = (
    ("preflight", 1.3, 30),
    ("secrets", 0.6, 60),
    ("deploy", 12.34, 120),
    ("proxy", 0.9, 30),
    ("smoke", 2.4, 15),
    ("regression", 9.8, 45),
    ("validate", 3.1, 60),
)


def verdict(number: str, title: str, status: str = "pass", reason: str = "", **more: Any) -> Record:
    record: Record = {
        "id": number,
        "title": title,
        "probe": "http",
        "status": status,
        "required": True,
        "reason": reason or "status is 200",
        "measures": {"status": {"value": 200, "unit": ""}, "latency": {"value": 0.0123, "unit": "s"}},
        "expected": {"expect": {"status": "== 200"}, "warn": {"latency": "> 500ms"}, "critical": {"latency": "> 2s"}},
        "proof": {"requests": 1, "url": "http://127.0.0.1:3000/api/public/health", "bytes": 812},
        "attempts": 1,
        "started": "2026-03-01T03:00:20.5Z",
        "duration": 0.013,
        "tags": ["smoke"],
    }
    record.update(more)
    return record


def _good_verdicts() -> list[Record]:
    return [
        verdict("SMOKE-1", "Health endpoint answers"),
        verdict(
            "A-001",
            "Fibonacci tool returns seven levels",
            tags=["regression"],
            measures={
                "status": {"value": 200, "unit": ""},
                "levels": {"value": 7, "unit": ""},
                "ordered": {"value": True, "unit": ""},
                "latency": {"value": 0.021, "unit": "s"},
            },
            expected={"expect": {"status": "== 200", "levels": "== 7", "ordered": "== true"}},
        ),
        verdict("C-001", "An alert can be created", tags=["regression"]),
        verdict(
            "S-003",
            "Candle stream reaches the browser unbuffered",
            probe="sse",
            tags=["smoke", "streaming"],
            measures={
                "status": {"value": 200, "unit": ""},
                "buffered": {"value": False, "unit": ""},
                "events": {"value": 21, "unit": ""},
                "first_event": {"value": 0.312, "unit": "s"},
            },
            expected={
                "expect": {"status": "== 200", "buffered": "== false", "events": ">= 3"},
                "warn": {"first_event": "> 1s"},
                "critical": {"first_event": "> 5s"},
            },
            duration=10.2,
        ),
        verdict(
            "M-002",
            "Alert engine errors",
            probe="metrics",
            tags=["regression"],
            measures={"value": {"value": 0, "unit": ""}},
            expected={"warn": {"value": "> 5"}, "critical": {"value": "> 20"}},
            proof={"series": 2, "samples": 2, "age": 0.4, "reduction": "sum"},
        ),
        verdict(
            "L-001",
            "Exactly one leader holds the lock",
            probe="redis",
            measures={"holder": {"value": "executor-1", "unit": ""}, "ttl": {"value": 27.1, "unit": "s"}},
            expected={"expect": {"holder": "matches ^executor-", "ttl": "> 5s"}},
        ),
        verdict(
            "N-001",
            "Notifications are configured",
            "skip",
            "no webhook is configured",
            required=False,
            tags=["notifications"],
            measures={},
            expected={"expect": {"status": "== 200"}},
            proof={},
        ),
    ]


def _bad_verdicts() -> list[Record]:
    good = _good_verdicts()
    good[3].update(
        status="fail",
        reason="first_event was not seen within 10 s: the stream sent its headers and nothing more",
        attempts=3,
        measures={
            "status": {"value": 200, "unit": ""},
            "buffered": {"value": False, "unit": ""},
            "events": {"value": 0, "unit": ""},
        },
        proof={
            "events": 0,
            "bytes": 0,
            "waited": 10.0,
            "headers": {"content-type": "text/event-stream", "x-streams-connected": "1"},
        },
    )
    good[4].update(
        status="fail",
        reason="value is 37, which is critical (> 20): 37 errors in 15 s over 2 series",
        measures={"value": {"value": 37, "unit": ""}},
    )
    good[5].update(
        status="inconclusive",
        reason="could not be measured: connection refused by 127.0.0.1:6379, 4 attempts in 8.1 s",
        measures={},
        proof={"attempts": 4, "last_error": "ConnectionRefusedError: [Errno 111] Connection refused"},
        attempts=4,
    )
    good[1].update(
        status="warn",
        reason="latency is 712 ms, which is a warning (> 500ms)",
        measures={
            "status": {"value": 200, "unit": ""},
            "levels": {"value": 7, "unit": ""},
            "latency": {"value": 0.712, "unit": "s"},
        },
        expected={"expect": {"status": "== 200", "levels": "== 7"}, "warn": {"latency": "> 500ms"}},
    )
    return good


def _steps(over: str = "", failed: str = "") -> list[Record]:
    steps, broken = [], False
    for index, (name, seconds, budget) in enumerate(STEPS):
        status = "not_run" if broken else "ok"
        taken = seconds
        if name == over:
            status, taken = "over", budget * 1.3
        if name == failed:
            status, broken = "failed", True
        steps.append(
            {
                "name": name,
                "seconds": None if status == "not_run" else taken,
                "budget": budget,
                "status": status,
                "started": None if status == "not_run" else f"2026-03-01T03:00:{index * 5:02d}Z",
                "error": "2 required checks failed" if name == failed else None,
            }
        )
    return steps


def _criteria(bad: bool) -> list[Record]:
    return [
        {"name": "Deployment successful", "required": True, "met": True, "detail": "step deploy is ok on 2 of 2 hosts"},
        {
            "name": "Smoke tests passed",
            "required": True,
            "met": not bad,
            "detail": "S-003 failed" if bad else "7 of 7 checks passed",
        },
        {
            "name": "Regression at least 95 %",
            "required": True,
            "met": not bad,
            "detail": "94.4 % (17 of 18), needed 95 %" if bad else "100 % (18 of 18)",
        },
        {
            "name": "Leader elected",
            "required": True,
            "met": None if bad else True,
            "detail": "L-001 could not be measured" if bad else "L-001 passed",
        },
        {"name": "Notifications working", "required": False, "met": False, "detail": "N-001 was skipped"},
    ]


def _host(bad: bool, **more: Any) -> Record:
    return {
        "state": "done",
        "changed": True,
        "steps": _steps(),
        "verdicts": _bad_verdicts() if bad else _good_verdicts(),
        "asked": ["S-003"],
        "failed": None,
        **more,
    }


def make(kind: str) -> Record:
    """A run that ended in one of the kinds of `ending.KINDS`."""
    bad = kind != "go"
    run: Record = {
        "id": "20260301T030000Z-4f2a",
        "environment": "spark_ta",
        "release": "1.1.0" if bad else "1.0.0",
        "previous_release": "1.0.0" if bad else "0.9.0",
        "operator": "ada",
        "controller": "ops-1",
        "started": "2026-03-01T03:00:00Z",
        "ended": "2026-03-01T03:01:12Z",
        "command": "ansible-playbook golive.cutover.cutover -i inventories/spark_ta -e cutover_release=1.1.0",
        "decision": "no_go" if bad else "go",
        "reasons": [
            "Smoke tests passed: S-003 failed on web-1: the stream sent its headers and nothing more",
            "Leader elected: L-001 could not be measured on web-1",
        ]
        if bad
        else ["All 4 required criteria are met."],
        "criteria": _criteria(bad),
        "hosts": {"web-1": _host(bad), "web-2": _host(False)},
        "lost_hosts": [],
        "rollback": None,
    }
    run["hosts"]["web-2"]["steps"] = _steps(over="smoke")
    if kind == "go":
        run["hosts"] = {"web-1": _host(False)}
    if kind == "no_go_untouched":
        run["hosts"]["web-1"] = _host(
            False,
            changed=False,
            state="failed",
            verdicts=[],
            steps=_steps(failed="preflight"),
            failed={
                "step": "preflight",
                "task": "Refuse a host that has no room",
                "message": "/var has 120 MB left, 1 GB is needed",
            },
        )
        run["hosts"]["web-2"] = _host(False, changed=False, state="pending", verdicts=[], steps=[])
        run["criteria"], run["reasons"] = [], ["web-1 failed in step preflight"]
    if kind in ("no_go_rolled_back", "rollback_unverified", "rollback_failed"):
        run["rollback"] = {
            "strategy": "previous_release",
            "to": "1.0.0",
            "seconds": 6.21,
            "budget": 120,
            "verified": True,
            "reason": "the gate said NO-GO",
            "hosts": {host: {"verdicts": _good_verdicts()[:3], "error": None} for host in ("web-1", "web-2")},
        }
    if kind == "rollback_unverified":
        run["rollback"]["verified"] = False
        run["rollback"]["hosts"]["web-1"]["verdicts"] = _bad_verdicts()[2:4]
    if kind == "rollback_failed":
        run["rollback"]["verified"] = False
        run["rollback"]["hosts"]["web-2"] = {
            "verdicts": [],
            "error": "supervisord does not answer on web-2: [Errno 2] No such file or directory: 'supervisor.sock'",
        }
        run["lost_hosts"] = ["web-3"]
    return run


@pytest.fixture
def run_of() -> Callable[[str], Record]:
    """A function from the kind of an ending to a run that ended so, to be changed at will."""
    return lambda kind: copy.deepcopy(make(kind))

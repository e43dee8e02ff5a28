# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live watch of the running reference application: a line for each look, a warning that is told once, a critical condition that
leads to the emergency stop, and a second watch that tells nothing again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from tests.conftest import wait_until
from tests.e2e.stage import Stage, quick
from tests.e2e.test_notify import receiver, second_inventory
from tests.integration.notify.conftest import HttpReceiver

__all__ = ["receiver"]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-watch")]


def conditions(stage: Stage) -> dict[str, Any]:
    """How many alerts are active, by the executors; and something that is not there to be measured."""
    pages = [f"http://127.0.0.1:{stage.base + offset}/metrics" for offset in (3, 4)]
    active = {"url": pages, "name": "alerts_active", "reduce": "max"}
    return {
        "hypercare_watch_checks": [
            {"id": "W-1", "title": "Active alerts", "metrics": active, "warn": {"value": "> 0"}, "critical": {"value": "> 1"}},
            {"id": "W-2", "http": {"url": "http://127.0.0.1:1/"}, "expect": {"status": "== 200"}, "required": False},
        ],
        "hypercare_escalations": [
            {"check": "W-1", "advice": "Look at the alerts.", "critical": {"action": "stop", "strategy": "stop_scheduler"}},
            {"check": "W-2"},
        ],
        "hypercare_watch_every": "2s",
    }


def alert(stage: Stage, price: int) -> None:
    """Make one more alert, as a user does."""
    body = {"symbol": "BTCUSDT", "condition": "price_above", "threshold": price, "enabled": True}
    requests.post(f"http://127.0.0.1:{stage.base}/api/alerts", json=body, timeout=10).raise_for_status()


def test_the_live_watch_tells_once_and_stops_what_is_critical(stage: Stage, receiver: HttpReceiver, tmp_path: Path) -> None:
    stage.go("1.0.0", **quick())
    hooks: list[dict[str, Any]] = [{"name": "team", "kind": "webhook", "url": f"{receiver.url}/team"}]
    hooks.append({"name": "pager", "kind": "webhook", "url": f"{receiver.url}/pager", "events": ["page"]})
    more = second_inventory(tmp_path / "more.json", notify_channels=hooks, notify_allowed_hosts="localhost")

    def told() -> list[str]:
        return [f"{one['path']} {one['json']['subject']}" for one in list(receiver.requests)]

    alert(stage, 10_000_000)
    running = stage.start("watch", None, *more, **conditions(stage), hypercare_watch_for="3m")
    wait_until(lambda: any("W-1 of demo: warning" in one for one in told()) or running.process.poll() is not None, 240, "a warning")
    running.saw("W-1 1 WARNING", times=3)
    alert(stage, 11_000_000)
    done = running.wait()
    assert done.rc != 0, done.output
    assert "EMERGENCY STOP: the scheduler of demo was stopped in" in done.stdout, done.output
    assert re.search(r"T\+\d+m\d\ds +W-1 1 WARNING  W-2 NOT MEASURED", done.stdout)
    assert [one for one in told() if one.startswith("/pager")] == ["/pager PAGE W-1 of demo: CRITICAL"]
    assert [one for one in told() if one.startswith("/team")] == [
        "/team START: demo is being watched",
        "/team ESCALATION W-1 of demo: warning",
        "/team ESCALATION UNMEASURED of demo: warning",
        "/team PAGE W-1 of demo: CRITICAL",
        "/team NO-GO: demo needs somebody",
        "/team ROLLBACK begun: demo",
        "/team ROLLBACK ended: demo runs 1.0.0, verified",
    ], told()
    decision = stage.decision()
    assert (decision["kind"], decision["ending"], decision["rollback_verified"]) == ("watch", "no_go_rolled_back", True)
    assert decision["rollback"]["strategy"] == "stop_scheduler"
    statuses = {one["id"]: one["status"] for one in decision["verdicts"]}
    assert statuses == {"W-1": "fail", "W-2": "inconclusive", "HYPERCARE-WATCH": "pass"}
    became = [(one["event"], one["status"]) for one in decision["notifications"]]
    assert became[-2:] == [("rollback_ended", "sent"), ("no_go", "already")] and len(became) == 9, became
    assert decision["dora"]["figures"]["change_failure_rate"]["value"] is None
    assert decision["dora"]["figures"]["change_failure_rate"]["reason"] == "1 deployment is too few to say: 5 are needed"
    page = (stage.reports / "demo/latest/report.html").read_text(encoding="utf-8")
    assert "Who was told" in page and "PAGE W-1 of demo: CRITICAL" in page and "too few to say" in page
    receiver.requests.clear()

    again = stage.run("watch", None, *more, **conditions(stage), hypercare_watch_for="4s")
    assert again.rc != 0 and "W-1 2 CRITICAL" in again.stdout, again.output
    assert "EMERGENCY STOP" not in again.stdout
    assert told() == ["/team START: demo is being watched", "/team NO-GO: demo needs somebody"]
    with stage.open() as store:
        entries = ledger.read(store)
        kept = [(one["data"]["condition"], one["data"]["level"]) for one in entries if one["event"] == "hypercare_escalation"]
        assert kept == [("W-1", "warning"), ("UNMEASURED", "warning"), ("W-1", "critical")]
        assert [one["data"]["verified"] for one in entries if one["event"] == "hypercare_stop"] == [True]
    assert stage.verify_ledger() > 0 and not stage.locked()

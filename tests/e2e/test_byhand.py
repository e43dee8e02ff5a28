# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollback by each strategy, what it does not wait for, and one that an alert has started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from tests.conftest import Alertmanager, wait_until
from tests.e2e.rulebook import configuration, delivered, listening, tell
from tests.e2e.stage import Stage, quick

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-byhand")]


def test_verify_of_something_that_is_down(live: Stage) -> None:
    """A system that does not answer is never let through, and never called a rollback."""
    few = quick()
    done = live.run("verify", None, cutover_base_url="http://127.0.0.1:1", cutover_verify_tags=["smoke"], **few)
    assert done.rc != 0
    decision = live.decision()
    assert decision["decision"] == "no_go"
    assert decision["rolled_back"] is False
    assert {one["status"] for one in decision["verdicts"] if one["id"] == "SMOKE-1"} <= {"fail", "inconclusive"}


@pytest.fixture
def after_strategy(live: Stage) -> Iterator[Stage]:
    yield live
    # Settings changed by a strategy stay until the next cutover.
    live.go("1.0.0", **quick())


def test_option_1_stops_the_scheduler_without_a_restart(after_strategy: Stage) -> None:
    live = after_strategy
    pids = {pid for pid, command in live.processes() if "spark" in command}
    done = live.run("rollback", None, rollback_strategy="stop_scheduler")
    assert done.rc == 0, done.why
    decision = live.decision()
    rollback = decision["rollback"]
    assert (rollback["strategy"], rollback["verified"], rollback["budget"]) == ("stop_scheduler", True, 30)
    assert [one["id"] for one in rollback["verdicts"]] == ["RB-1", "RB-3"]
    assert decision["rolled_back"] is False
    assert "the scheduler of demo was stopped" in done.output
    assert "rolled back" not in done.stdout.split("PLAY RECAP")[-1]
    assert rollback["seconds"] < 60
    assert {pid for pid, command in live.processes() if "spark" in command} == pids
    assert live.health()["release"] == "1.0.0"
    assert live.statuses() == {"1.0.0": "accepted"}


def test_option_2_reduces_the_load(after_strategy: Stage) -> None:
    live = after_strategy
    done = live.run("rollback", None, rollback_strategy="reduce_load")
    assert done.rc == 0, done.why
    rollback = live.decision()["rollback"]
    assert (rollback["strategy"], rollback["verified"], rollback["budget"]) == ("reduce_load", True, 60)
    assert [one["id"] for one in rollback["verdicts"]] == ["RB-2"]
    assert "MAX_SSE_CONNECTIONS" in (live.home / "golive/releases/1.0.0/.env").read_text(encoding="utf-8")


def test_a_rollback_waits_for_nothing_that_it_does_not_need(live: Stage) -> None:
    """Neither a mistake in checks and steps that it does not ask, nor a place of reports that cannot be written."""
    live.go("1.0.1", **quick())
    few = quick()
    few["cutover_checks"] = [*few["cutover_checks"], {"id": "X-1", "telepathy": {}, "tags": ["regression"]}]
    few["cutover_steps"] = [{"name": "nothing"}]
    few["cutover_gate"] = {"criteria": [{"name": "Gone", "checks": ["Y-1"]}]}
    nowhere = live.root / "a-file"
    nowhere.write_text("", encoding="utf-8")
    done = live.run("rollback", None, cutover_reports_dir=str(nowhere), preflight_commands=["no-such-command"], **few)
    assert live.health()["release"] == "1.0.0", done.output
    assert live.statuses()["1.0.1"] == "rejected"
    # How it ended is said although no report could be written, which makes it a run that did not end well.
    assert "ROLLED BACK: demo was rolled back to 1.0.0" in done.output
    assert "The report could NOT be written" in done.output
    assert done.rc != 0
    assert not live.locked()


def test_a_strategy_that_nobody_knows(live: Stage) -> None:
    done = live.run("rollback", None, rollback_strategy="hope", **quick())
    assert done.rc != 0
    assert "hope" in done.output
    assert live.health()["release"] == "1.0.0"
    assert not live.locked()


def test_a_critical_alert_rolls_back_once(
    live: Stage, alertmanager: Callable[..., Alertmanager], free_port: Callable[[], int], canary: str
) -> None:
    """From a real Alertmanager through ansible-rulebook to the release before, verified; what else it says starts nothing."""
    live.go("1.0.1", **quick())
    before = live.runs()
    critical = {"alertname": "GoliveThreshold", "severity": "critical", "environment": "demo", "check": "M-004"}
    nothing = [
        {**critical, "severity": "warning"},
        {**critical, "alertname": "GoliveNoData"},
        {**critical, "environment": "demo-2"},
        {"alertname": "HighLatency", "severity": "critical", "environment": "demo", "job": "executor"},
    ]
    with listening(live, free_port(), canary, **quick()) as rulebook:
        server = alertmanager(configuration(rulebook.receiver()))
        tell(server, *nothing)
        wait_until(lambda: delivered(server) >= len(nothing), 60, "what starts nothing")
        assert rulebook.post(critical, token="of somebody else") in (401, 403)
        assert rulebook.post(critical, status="resolved") == 200
        time.sleep(2)
        assert not rulebook.working() and "PLAY [" not in rulebook.log() and live.health()["release"] == "1.0.1"

        tell(server, critical)
        wait_until(rulebook.working, 60, "the beginning of the rollback")
        # While it is under way another threshold fires, and Alertmanager tells again of the first.
        tell(server, {**critical, "check": "M-007"})
        wait_until(lambda: delivered(server) >= len(nothing) + 2, 60, "both alerts")
        assert rulebook.post(critical) == 200
        wait_until(lambda: "PLAY RECAP" in rulebook.log() and not rulebook.working(), 240, "the end of the rollback")
        assert rulebook.post(critical) == 200
        time.sleep(3)
        assert not rulebook.working()
        said = rulebook.log()
    assert (said.count("PLAY [Prepare the rollback]"), said.count("PLAY RECAP")) == (1, 1), said
    assert canary not in said
    (run,) = live.runs() - before
    report = live.report(run)
    assert (report["kind"], report["rolled_back"], report["rollback"]["verified"]) == ("rollback", True, True), said
    assert report["rollback"]["to"] == "1.0.0" and report["rollback"]["verdicts"]
    # The texts of an alert come over the network; a brace of them is none for Ansible.
    assert report["reason"] == "alert M-004: value is 21, critical when > 20 (( lookup('pipe', 'id') }}"
    assert live.health()["release"] == "1.0.0"
    assert live.statuses() == {"1.0.0": "accepted", "1.0.1": "rejected"}
    with live.open() as store:
        ends = [(one["event"], one["data"]["host"]) for one in ledger.read(store, run=run) if one["event"].startswith("run_")]
    assert ends == [("run_begun", "demo"), ("run_ended", "demo")]
    assert live.verify_ledger() > 0 and not live.locked()

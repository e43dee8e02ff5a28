# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of the inventory spark_ta ask what its README says that they ask."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.monitoring import registry
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import Plan
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.settings import read_settings
from ansible_collections.golive.cutover.plugins.module_utils.probes import leader
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.inventories import by_id, rendered
from tests.unit.module_utils.core.fakes import FakeClock

EXECUTORS = ("executor-1", "executor-2")


def heard(leading: str, holder: str, by_metrics: str) -> Any:
    """What every round hears: who leads by the health and by the metrics, and who holds the lock."""

    def ask_all(_options: Any, context: Any) -> leader.Round:
        says = {(name, "health"): name == leading for name in EXECUTORS}
        says |= {(name, "metrics"): name == by_metrics for name in EXECUTORS}
        return leader.Round(at=context.clock(), says=says, lock=f"{holder}:7:x", ttl=20.0)

    return ask_all


@pytest.mark.parametrize("id", ["HC-05", "LEADER-3"])
@pytest.mark.parametrize(
    ("leading", "holder", "by_metrics", "status"),
    [
        ("executor-1", "executor-1", "executor-1", "pass"),
        # One leads, the lock is held, nothing changes; but it is another that holds it, or somebody who is none of them.
        ("executor-1", "executor-2", "executor-1", "fail"),
        ("executor-1", "executor-9", "executor-1", "fail"),
    ],
)
def test_the_leader_is_the_one_on_whom_lock_metrics_and_health_agree(
    id: str, leading: str, holder: str, by_metrics: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered("spark_ta", "hypercare_checklist", "cutover_checks")
    check = by_id(found["hypercare_checklist"], found["cutover_checks"])[id]
    monkeypatch.setattr(leader, "ask_all", heard(leading, holder, by_metrics))
    (verdict,) = run_checks(read_checks([check], PROBES), PROBES, clock=FakeClock())
    assert verdict["status"] == status, verdict
    assert verdict["measures"]["leaders"]["value"] == 1 and verdict["measures"]["lock_held"]["value"] is True
    if status == "fail":
        assert "agree is false, expected == true" in verdict["reason"]
    # Two addresses that lead to one process are no two executors.
    assert check["leader"]["identity"] == "instance"


def test_every_checkpoint_asks_whether_the_sources_agree() -> None:
    check = by_id(rendered("spark_ta", "hypercare_checklist")["hypercare_checklist"])["HC-05"]
    assert check["tags"] == ["T+0", "T+15m", "T+1h", "T+4h", "T+12h", "T+24h", "T+48h"]
    assert check["expect"]["agree"] == "== true"


def test_what_does_something_to_the_running_system_can_be_left_out() -> None:
    whole, only_looks = (
        by_id(rendered("spark_ta", "hypercare_checklist", spark_watch_writes=one)["hypercare_checklist"]) for one in (True, False)
    )
    assert whole.keys() - only_looks.keys() == {"HC-11", "HC-14", "UI-6"} and only_looks.keys() <= whole.keys()
    assert rendered("spark_ta", "hypercare_checklist", spark_watch_writes="false")["hypercare_checklist"] == list(
        only_looks.values()
    )
    # Nothing else of the checklist sends anything, or clicks on what would.
    for one in only_looks.values():
        assert "scenario" not in one and one.get("http", {}).get("method", "GET") in ("GET", "HEAD"), one["id"]
        steps = one.get("page", {}).get("steps", [])
        assert not any({"click", "fill", "press"} & set(step) for step in steps), one["id"]


def test_in_check_mode_nothing_is_done_to_the_running_system() -> None:
    rehearsed = by_id(rendered("spark_ta", "hypercare_checklist", ansible_check_mode=True)["hypercare_checklist"])
    assert not {"HC-11", "HC-14", "UI-6"} & rehearsed.keys() and {"HC-13", "UI-5"} <= rehearsed.keys()


def test_the_logs_of_hours_are_those_of_one_container() -> None:
    """What was before a container that was made anew is gone: what is asked of minutes begins with it, what is asked of hours
    does not."""
    found = rendered("spark_ta", "hypercare_checklist", "cutover_checks")
    checks = by_id(found["hypercare_checklist"], found["cutover_checks"])
    logs = {id: one["log"] for id, one in checks.items() if "log" in one}
    assert {id for id, one in logs.items() if one.get("since_created")} == {"LOG-1", "HC-25", "RB-3"}
    assert {one["since"] for one in logs.values() if one.get("since_created")} == {"2m", "3s"}
    assert {"HC-06", "HC-35", "HC-43"} <= logs.keys()
    read_checks([one for one in found["hypercare_checklist"] if "log" in one], PROBES)


# -- what Prometheus and Grafana show ----------------------------------------------------------------------------------


def monitored() -> Plan:
    names = ("checks", "targets", "matchers", "scrape_interval")
    found = rendered("spark_ta", *(f"monitoring_{name}" for name in names))
    settings = {name: found[f"monitoring_{name}"] for name in names[1:]}
    return registry.plan(found["monitoring_checks"], read_settings({"environment": "spark_ta", **settings}))


def test_every_escalation_threshold_is_an_alert() -> None:
    """The table of the go-live runbook, and what the inventory adds to it. Whether the stream answers only the sampler knows."""
    plan = monitored()
    assert {one.check for one in plan.untranslated} == {"SLO-1"}
    found = {(one.check, one.measure): {(row.severity, row.source) for row in one.thresholds} for one in plan.signals}
    table = {
        "ESC-1": ("> 5", "> 20"),
        "ESC-2": ("> 5", "> 20"),
        "ESC-3": (">= 2", ">= 5"),
        "ESC-4": ("> 10%", "> 50%"),
        "ESC-6": ("> 2%", "> 10%"),
        "ESC-7": ("> 50%", "> 80%"),
        "ESC-8": ("> 50", "> 100"),
        "ESC-9": (">= 0.2/s", ">= 0.8/s"),
    }
    for check, (warning, critical) in table.items():
        assert found[check, "value"] == {("warning", warning), ("critical", critical)}, check
    assert found["HC-22", "executor"] == {("warning", ">= 0.2/s"), ("critical", ">= 0.8/s")}
    assert found["HC-22", "web"] == {("warning", ">= 0.15/s"), ("critical", ">= 0.8/s")}
    assert found["HC-23", "executor"] == {("critical", ">= 500MB")} and found["HC-23", "web"] == {("critical", ">= 1GB")}
    assert found["HC-42", "value"] == {("warning", "> 50%"), ("warning", "> 80%")}, "nice to have: it only warns"
    assert {check for check, _measure in found} == {*table, "ESC-5", "SLO-2", "SLO-3", "SLO-4", "HC-22", "HC-23", "HC-42", "GRAF-4"}


def test_the_series_of_executors_and_web_front_are_chosen_by_their_jobs() -> None:
    by = {(one.check, one.measure): one.expression for one in monitored().signals}
    assert '"executor"' in by["HC-22", "executor"] and "web-next" not in by["HC-22", "executor"]
    assert 'process_cpu_seconds_total{job="web-next"}' in by["HC-22", "web"]
    assert 'streams_connected{job="executor"}' in by["ESC-8", "value"], "also where Prometheus scrapes other addresses"
    # A quiet night is no gap in the data.
    few = {one.check for one in monitored().signals if one.few}
    assert few == {"SLO-2", "SLO-3", "ESC-6", "ESC-7", "HC-42"}


def test_the_dashboard_shows_what_the_checklist_wants_to_see() -> None:
    board = json.loads(registry.render(monitored(), ["dashboard"])["dashboard"])
    titles = [one["title"] for one in board["panels"]]
    shown = "GRAF-4: Active alerts, open streams and notifications that were sent"
    assert [one for one in titles if one.startswith("GRAF-4")] == [
        f"{shown} ({name})" for name in ("alerts_active", "streams_connected", "notifications_sent_total")
    ]
    wanted = {
        "ESC-1: Stream errors in 5 minutes",
        "ESC-3: Elections in an hour",
        "ESC-6: Share of the notifications that failed in 15 minutes",
        "ESC-7: Share of the alerts that the cooldown suppressed in 15 minutes",
        "ESC-8: Open streams",
        "ESC-9: Use of a core in 5 minutes",
    }
    assert wanted <= set(titles)
    # GRAF-2 asks Prometheus for what these panels show.
    query = by_id(rendered("spark_ta", "spark_prometheus_checks")["spark_prometheus_checks"])["GRAF-2"]["promql"]["query"]
    expressions = " ".join(one.expression for one in monitored().signals)
    for name in re.findall(r"count\((\w+)", query):
        assert name in expressions, name

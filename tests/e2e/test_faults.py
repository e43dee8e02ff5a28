# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every release with a fault is refused by the checks of the runbook, and the one before is put back and verified."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store import baselines
from tests.conftest import CACHE, _tool
from tests.e2e.stage import CHECKS, PAGES, Stage, quick, services, settings, settled

pytestmark = pytest.mark.slow

#: Release, and the checks (or the step) of which each must have found it.
FAULTS: list[tuple[str, set[str]]] = [
    ("1.1.0-stalled", {"SMOKE-8"}),
    ("1.1.0-two-leaders", {"LEADER-1"}),
    ("1.1.0-no-leader", {"LEADER-1", "LEADER-2"}),
]
#: What finds an error in a script.
IN_A_BROWSER = {"UI-5", "UI-6"}
MADE_TO_FAIL = {"spark_ta": IN_A_BROWSER.union(*(found_by for _release, found_by in FAULTS))}


def refused_and_rolled_back(stage: Stage, release: str, **variables: Any) -> dict[str, Any]:
    done = stage.run("cutover", release, **variables)
    assert done.rc != 0, done.why
    decision = stage.decision()
    assert decision["release"] == release
    assert decision["decision"] == "no_go", decision["reasons"]
    assert decision["previous_release"] == "1.0.0"
    assert decision["rolled_back"] is True, done.output
    assert decision["rollback_verified"] is True, decision["rollback"]
    assert decision["rollback_seconds"] < 60
    assert stage.health()["release"] == "1.0.0"
    assert stage.statuses()[release] == "rejected"
    assert not stage.locked()
    assert release in done.stdout and "1.0.0" in done.stdout
    return decision


@pytest.mark.parametrize(("release", "found_by"), FAULTS, ids=[release for release, _found_by in FAULTS])
def test_fault_is_found(live: Stage, release: str, found_by: set[str]) -> None:
    decision = refused_and_rolled_back(live, release, **settled())
    failed = {one["id"] for one in decision["verdicts"] if one["status"] == "fail" and one["required"]}
    assert found_by <= failed, {one["id"]: one["reason"] for one in decision["verdicts"] if one["status"] != "pass"}
    assert any(name in reason for reason in decision["reasons"] for name in found_by)


def test_the_least_is_done_first_and_the_next_when_it_did_not_help(live: Stage) -> None:
    """Without its scheduler the release makes no errors any more. It does not evaluate either, so that is not enough."""
    order = [
        {"strategy": "reduce_load", "tags": ["streams"]},
        {"strategy": "stop_scheduler", "tags": ["errors"]},
        {"strategy": "previous_release"},
    ]
    decision = refused_and_rolled_back(live, "1.1.0-errors", rollback_strategy="auto", rollback_order=order, **settled())
    (found,) = [one for one in decision["verdicts"] if one["status"] not in ("pass", "warn")]
    assert found["id"] == "SMOKE-5"
    first, second = decision["rollback"]["hosts"]["demo"]["attempts"]
    assert (first["strategy"], first["verified"]) == ("stop_scheduler", False)
    assert "blocked by SMOKE-5 (evaluations is 0" in first["error"]
    assert (second["strategy"], second["verified"], second["error"]) == ("previous_release", True, None)


def quick_with(checks: list[dict[str, Any]], *steps: str) -> dict[str, Any]:
    """The quick runbook with these checks too, and of the steps that ask checks only these."""
    few = quick()
    few["cutover_checks"] = [one for one in few["cutover_checks"] if {*one["tags"]} & {"rollback", *steps}] + checks
    few["cutover_steps"] = [one for one in settled()["cutover_steps"] if "role" in one or one["name"] in steps]
    few["cutover_gate"] = {"criteria": [{"name": "Every step", "tags": [*steps]}]}
    return few


def test_a_leak_is_found_before_it_is_live(live: Stage) -> None:
    """4 MB a second are seen in the ten seconds of the regression. What leaks more slowly is found by the watch."""
    few = quick_with([one for one in CHECKS if one["id"] == "RES-1"], "smoke", "regression")
    decision = refused_and_rolled_back(live, "1.1.0-leak", **few)
    (found,) = [one for one in decision["verdicts"] if one["status"] not in ("pass", "warn")]
    assert (found["id"], found["status"]) == ("RES-1", "fail"), found
    assert 1e6 < found["measures"]["value"]["value"] < 6e6


#: No limit of time: only that it shall not be much slower than before.
SLOWER = {
    "id": "SLOW-1",
    "title": "The tools answer as quickly as before",
    "http": {"url": "{{ cutover_base_url }}/api/tools/fibonacci?symbol=BTCUSDT", "requests": 60, "concurrency": 30},
    "expect": {"status": "== 200", "latencies": "<= +400%"},
    "timeout": "60s",
    "tags": ["smoke", "rollback"],
}


def test_a_release_that_is_slower_than_the_one_before(live: Stage) -> None:
    """By the limit of the runbook, and by what preflight has kept of the release before: what was put back is as quick as that."""
    few = quick_with([*(one for one in CHECKS if one["id"] == "SMOKE-3"), SLOWER], "smoke")
    decision = refused_and_rolled_back(live, "1.1.0-slow", **few)
    verdicts = {one["id"]: one for one in decision["verdicts"]}
    assert {name for name, one in verdicts.items() if one["status"] not in ("pass", "warn")} == {"SMOKE-3", "SLOW-1"}
    found = verdicts["SLOW-1"]
    assert "latencies are " in found["reason"] and " higher than before (98 %: " in found["reason"]
    compared = found["proof"]["comparison"]["latencies"]
    assert (compared["kind"], compared["samples"], compared["before"]) == ("high", 60, 60)
    assert compared["low"] > 1
    (again,) = [one for one in decision["rollback"]["verdicts"] if one["id"] == "SLOW-1"]
    assert (again["status"], again["proof"]["comparison"]["latencies"]["before"]) == ("pass", 60), again
    with live.open() as store:
        kept = baselines.read(store, release="1.1.0-slow", host="demo")["baseline"]["SLOW-1"]["latencies"]
    assert len(kept) == 60
    page = (live.reports / "demo" / decision["run"] / "report.html").read_text(encoding="utf-8")
    assert "higher than before (98 %: " in page


def test_an_error_in_a_script_is_found_in_a_browser_alone(live: Stage) -> None:
    """Every request is answered as ever. Afterwards the same pages of the release before are well."""
    _tool("debs.py", "chromium")
    live.variables["spark_browser"] = str(CACHE / "bin/chromium")
    few = quick_with([one for one in [*CHECKS, *PAGES] if "ui" in one["tags"]], "smoke", "ui")
    decision = refused_and_rolled_back(live, "1.1.0-js-error", **few)
    verdicts = {one["id"]: one for one in decision["verdicts"]}
    assert {name for name, one in verdicts.items() if one["status"] not in ("pass", "warn")} == IN_A_BROWSER
    for name in IN_A_BROWSER:
        assert verdicts[name]["measures"]["js_errors"]["value"] >= 1
        assert "js_errors is" in verdicts[name]["reason"]
        picture = verdicts[name]["artefacts"][0]["file"]
        assert (live.reports / "demo" / decision["run"] / picture).exists()

    done = live.run("verify", None, cutover_verify_tags=["ui"])
    assert done.rc == 0, done.why
    pages = [one for one in live.decision()["verdicts"] if one["probe"] == "page"]
    assert [(one["id"], one["measures"]["script"]["value"]) for one in pages] == [("UI-5", "completed"), ("UI-6", "completed")]


def test_a_stream_that_nginx_buffers(live: Stage) -> None:
    """Smoke already stops it, as nothing comes in its three seconds. Without smoke, S-003 says what it is: buffered."""
    decision = refused_and_rolled_back(live, "1.1.0-buffered", **settled("smoke"))
    (found,) = [one for one in decision["verdicts"] if one["id"] == "S-003"]
    assert found["status"] == "fail", found
    assert found["measures"]["buffered"]["value"] is True
    assert any("S-003" in reason for reason in decision["reasons"])


def test_a_release_that_refuses_its_configuration(live: Stage) -> None:
    decision = refused_and_rolled_back(live, "1.1.0-bad-config", **settled())
    assert decision["hosts"]["demo"]["failed"]["step"] == "deploy"
    assert "ALERT_RULES_SCHEMA" in "\n".join(decision["reasons"])


def test_a_release_that_never_gets_healthy(live: Stage) -> None:
    decision = refused_and_rolled_back(live, "1.1.0-unhealthy", deploy_services=services("3s"), **settled())
    assert decision["hosts"]["demo"]["failed"]["step"] == "deploy"
    assert "503" in "\n".join(decision["reasons"])


def test_a_release_that_crashes_after_it_was_deployed(live: Stage) -> None:
    """It is up when it is deployed, and gone while the checks look at it."""
    later = settings(SPARK_FAULT_CRASH_AFTER_SEC="4")
    decision = refused_and_rolled_back(live, "1.1.0-crash", secrets_values=later, **settled())
    assert decision["reasons"]


def test_a_first_release_that_is_refused_leaves_nothing_running(stage: Stage) -> None:
    done = stage.run("cutover", "1.1.0-bad-config")
    assert done.rc != 0
    decision = stage.decision()
    assert (decision["decision"], decision["previous_release"]) == ("no_go", None)
    assert not [command for _pid, command in stage.processes() if "spark." in command]
    assert stage.go("1.0.0", **quick()).rc == 0

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The move to a WebSocket as inventories/websocket_migration has it: GO, the flag taken back, and a release that is rolled back."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from websockets.sync.client import connect

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import ROOT, AnsibleResult, _tool, wait_until
from tests.e2e.past import sampling, set_back
from tests.e2e.stage import Stage
from tests.inventories import rendered

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-websocket")]

INVENTORY = ROOT / "inventories/websocket_migration"
ENVIRONMENT = "websocket_migration"


def variables(name: str) -> Any:
    return yaml.safe_load((INVENTORY / f"group_vars/all/{name}.yml").read_text(encoding="utf-8"))


CHECKS: list[dict[str, Any]] = variables("checks")["cutover_checks"]
STEPS: list[dict[str, Any]] = variables("steps")["cutover_steps"]


WATCHED = ("hypercare_checklist", "hypercare_objectives", "hypercare_pages", "hypercare_sampler_checks", "hypercare_secrets")
#: What finds a WebSocket that is slow, and that alone.
SLOW = {"WS-3"}
MADE_TO_FAIL = {ENVIRONMENT: SLOW}
AT_15_MINUTES = {"HC-1", "HC-2", "HC-5", "HC-6"}
# Those that are about no more time than has passed.
OBJECTIVES = {f"HO-{number}" for number in range(3, 10)}


@dataclasses.dataclass
class Act:
    """One playbook, and what it left."""

    done: AnsibleResult
    decision: dict[str, Any]
    directory: Path

    def verdicts(self, rollback: bool = False) -> dict[str, dict[str, Any]]:
        found = self.decision["rollback"]["verdicts"] if rollback else self.decision["verdicts"]
        return {one["id"]: one for one in found}

    def reasons(self, rollback: bool = False) -> dict[str, str]:
        return {id: one["reason"] for id, one in self.verdicts(rollback).items() if one["status"] not in ("pass", "warn")}


@dataclasses.dataclass
class Played:
    """The machine, and the cutover that it has behind it."""

    stage: Stage
    good: Act

    def act(self, playbook: str, release: str | None = None, **more: Any) -> Act:
        return play(self.stage, playbook, release, **more)

    def sampling(self) -> contextlib.AbstractContextManager[None]:
        return sampling(self.stage.home / "golive", ENVIRONMENT, self.stage.store, self.stage.root / "sampler.log")


def play(stage: Stage, playbook: str, release: str | None = None, **more: Any) -> Act:
    done = stage.run(playbook, release, inventory=INVENTORY, **more)
    directory = (stage.reports / ENVIRONMENT / "latest").resolve()
    assert directory.exists(), done.why
    return Act(done, stage.decision(ENVIRONMENT), directory)


def tagged(*tags: str) -> set[str]:
    return {one["id"] for one in CHECKS if set(tags) & set(one["tags"])}


def older_lines(stage: Stage) -> None:
    """Give the logs of services and nginx what they would have of an hour ago."""
    logs = {
        stage.home / f"golive/supervisor/logs/spark-{name}.log": "%Y-%m-%dT%H:%M:%S INFO older\n" for name in ("web", "executor")
    }
    logs[stage.home / "nginx/logs/error.log"] = "%Y/%m/%d %H:%M:%S [notice] older\n"
    for log, form in logs.items():
        log.with_name(f"{log.name}.1").write_text(time.strftime(form, time.localtime(time.time() - 3600)), encoding="utf-8")


# One fixture for each act, as each has the time of a test. They stand on one another.


@pytest.fixture(scope="module")
def played(module_stage: Callable[[], Stage]) -> Played:
    _tool("debs.py", "chromium")
    stage = module_stage()
    stage.machine.start()
    put = stage.run("sampler", inventory=INVENTORY, hypercare_scheduler="none")
    assert put.rc == 0, put.why
    return Played(stage, play(stage, "cutover", "1.0.0"))


@pytest.fixture(scope="module")
def checkpoint(played: Played) -> Act:
    with played.sampling():
        pass
    set_back(played.stage.store, ENVIRONMENT, 16 * 60)
    older_lines(played.stage)
    with played.sampling():
        return played.act("hypercare", hypercare_checkpoint="T+15m")


@pytest.fixture(scope="module")
def stopped(played: Played, checkpoint: Act) -> Act:
    # Pages that lose their WebSocket and come back: twenty in each of the three minutes that HO-5 is about.
    for attempt in range(1, 61):
        with connect(f"ws://127.0.0.1:{played.stage.base}/ws?symbol=BTCTRY&attempt={attempt}"):
            pass
    with played.sampling():
        return played.act("watch", hypercare_watch_for="3m", hypercare_watch_every="2s")


@pytest.fixture(scope="module")
def off(played: Played, stopped: Act) -> Act:
    return played.act("rollback", rollback_strategy="reduce_load")


@pytest.fixture(scope="module")
def slow(played: Played, off: Act) -> Act:
    return played.act("cutover", "1.1.0-ws-slow")


@pytest.fixture
def watch(played: Played, slow: Act) -> dict[str, Any]:
    """What the watch would ask, after all that."""
    stage = played.stage
    given = {"cutover_home": str(stage.home / "golive"), "demo_home": str(stage.home), "demo_ports": stage.machine.ports}
    return rendered(ENVIRONMENT, *WATCHED, cutover_store=f"sqlite://{stage.store}", **given)


def test_a_good_release_is_go_and_every_check_was_asked(played: Played) -> None:
    act = played.good
    assert (act.done.rc, act.reasons()) == (0, {}), act.done.why
    assert (act.decision["decision"], act.decision["release"]) == ("go", "1.0.0")
    assert [one["name"] for one in act.decision["steps"]] == ["preflight", *[one["name"] for one in STEPS]]
    assert set(act.verdicts()) == tagged("smoke", "websocket", "observe")
    assert all(one["met"] for one in act.decision["criteria"])
    # The evidence: what the canary answered, and how the page looked.
    (answer,) = (act.directory / "evidence").glob("*canary_resp*.json")
    canary = json.loads(answer.read_text(encoding="utf-8"))
    assert (canary["status"], canary["release"], canary["events"]) == ("PASS", "1.0.0", 5)
    assert "Canary PASS" in act.done.stdout
    assert list((act.directory / "evidence").glob("*WS-2*.jpg"))


def test_a_checkpoint_asks_its_checklist_and_what_the_sampler_saw(checkpoint: Act) -> None:
    act = checkpoint
    assert (act.done.rc, act.reasons()) == (0, {}), act.done.why
    assert (act.decision["kind"], act.decision["decision"], act.decision["release"]) == ("hypercare", "go", "1.0.0")
    assert set(act.verdicts()) == {"HYPERCARE-LOOKS", *AT_15_MINUTES, *OBJECTIVES}
    assert "T+0    MISSED" in act.done.stdout


def test_pages_that_reconnect_let_the_watch_take_the_flag_back(stopped: Act) -> None:
    act = stopped
    assert act.done.rc != 0
    assert (act.decision["kind"], act.decision["ending"]) == ("watch", "no_go_rolled_back"), act.done.output
    assert (act.decision["rollback"]["strategy"], act.decision["rollback"]["to"]) == ("reduce_load", "1.0.0")
    assert [one["id"] for one in act.decision["verdicts"] if one["status"] == "fail"] == ["HO-5"], act.reasons()
    assert (act.decision["rollback_verified"], act.reasons(rollback=True)) == (True, {})
    assert set(act.verdicts(rollback=True)) == tagged("websocket_off")


def test_the_flag_is_taken_back_by_hand_too_and_stays_taken_back(played: Played, off: Act) -> None:
    act = off
    assert (act.done.rc, act.reasons(rollback=True)) == (0, {}), act.done.why
    rollback = act.decision["rollback"]
    assert (rollback["strategy"], rollback["to"], rollback["verified"]) == ("reduce_load", "1.0.0", True)
    assert set(act.verdicts(rollback=True)) == tagged("websocket_off")
    status = played.stage.run("status", inventory=INVENTORY)
    assert "release: 1.0.0 (accepted" in status.stdout, status.why


def test_the_sampler_finds_every_series_of_the_watch(watch: dict[str, Any]) -> None:
    read_checks(watch["hypercare_checklist"] + watch["hypercare_objectives"], PROBES)
    asked = sampler.read_asked(watch["hypercare_pages"], watch["hypercare_sampler_checks"], PROBES, watch["hypercare_secrets"])
    seen = sampler.look(asked, PROBES)
    assert seen.failed == {}
    known = {(name, (*labels, ("page", look.page))): value for look in seen.looks for (name, labels), value in look.values.items()}
    assert [known[key] for key in known if key[0] == "golive_check_passed"] == [1, 1, 1, 1, 1]
    for check in watch["hypercare_checklist"] + watch["hypercare_objectives"]:
        for one in (check["window"].get("select") or {"value": check["window"]}).values() if "window" in check else ():
            assert any(Selector(one["name"], one.get("labels") or {}).selects(key) for key in known), check["id"]


def test_a_spike_of_errors_in_a_log_is_found_by_the_watch(watch: dict[str, Any], tmp_path: Path) -> None:
    """What the logs have now passes; an ERROR or an [error] in each of 25 lines, behind an older line, does not."""
    asked = [one for one in watch["hypercare_checklist"] if one["id"] in ("HC-5", "HC-6")]
    for one in asked:
        one["log"]["since"] = "2s"
    wait_until(
        lambda: {one["status"] for one in run_checks(read_checks(asked, PROBES), PROBES)} == {"pass"}, 60, "two quiet seconds"
    )
    for one, form in zip(asked, ("%Y-%m-%dT%H:%M:%S ERROR x\n", "%Y/%m/%d %H:%M:%S [error] x\n")):
        log = tmp_path / one["id"]
        log.write_text(time.strftime(form, time.localtime(0)) + time.strftime(form) * 25, encoding="utf-8")
        one["log"].update(file=[str(log)], since="1h")
    assert [one["status"] for one in run_checks(read_checks(asked, PROBES), PROBES)] == ["fail", "fail"]


def test_a_slow_websocket_is_found_by_its_latency_and_rolled_back(slow: Act) -> None:
    act = slow
    assert act.done.rc != 0
    assert act.decision["decision"] == "no_go"
    assert set(act.reasons()) == SLOW, act.reasons()
    assert "latency is" in act.reasons()["WS-3"] and "critical when > 800" in act.reasons()["WS-3"]
    # A client that asks no question of the application sees nothing wrong, and the pill is green.
    assert {act.verdicts()[one]["status"] for one in ("WS-1", "WS-2")} <= {"pass", "warn"}
    assert "WS status is OPEN, latency is OK" in "\n".join(act.decision["reasons"])
    assert "canary" not in [one["name"] for one in act.decision["steps"] if one["status"] != "not_run"]


def test_the_release_before_runs_again_with_its_own_flag(played: Played, slow: Act) -> None:
    act = slow
    assert act.reasons(rollback=True) == {}
    rollback = act.decision["rollback"]
    assert (rollback["strategy"], rollback["to"], rollback["verified"]) == ("previous_release", "1.0.0", True)
    assert set(act.verdicts(rollback=True)) == tagged("rollback")
    # The flag had been taken back before, so the page of the release before polls.
    front = f"http://127.0.0.1:{played.stage.base}"
    assert played.stage.health()["release"] == "1.0.0"
    assert '"websocket": false' in requests.get(f"{front}/static/build.js", timeout=10).text

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The move to a WebSocket as inventories/websocket_migration has it: GO, the flag taken back, and a release that is rolled back."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import ROOT, AnsibleResult, _tool, wait_until
from tests.e2e.stage import Stage

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
OFF = [
    {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"cutover_store": "sqlite://{{ cutover_home }}/golive.db", "cutover_expected_release": ""},
        "tasks": [
            {"ansible.builtin.include_role": {"name": "golive.cutover.rollback"}},
            *(
                {"ansible.builtin.copy": {"content": f"{{{{ {content} | to_json }}}}", "dest": f"{{{{ found }}}}/{name}.json"}}
                for name, content in {
                    "off": "rollback_outcome",
                    "watch": "{" + ", ".join(f"'{name}': {name}" for name in WATCHED) + "}",
                }.items()
            ),
        ],
    }
]


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
    stage: Stage
    good: Act
    off: dict[str, Any]
    watch: dict[str, Any]
    slow: Act


def tagged(*tags: str) -> set[str]:
    return {one["id"] for one in CHECKS if set(tags) & set(one["tags"])}


@pytest.fixture(scope="module")
def played(module_stage: Callable[[], Stage]) -> Iterator[Played]:
    _tool("debs.py", "chromium")
    stage = module_stage()
    stage.machine.start()

    def act(playbook: str, release: str | None = None, **more: Any) -> Act:
        done = stage.run(playbook, release, inventory=INVENTORY, **more)
        directory = (stage.reports / ENVIRONMENT / "latest").resolve()
        assert directory.exists(), done.why
        return Act(done, stage.decision(ENVIRONMENT), directory)

    good = act("cutover", "1.0.0")
    # The role by itself, as a playbook of one's own has it; in the same play what the watch would ask is written down.
    (stage.root / "off.yml").write_text(json.dumps(OFF), encoding="utf-8")
    done = stage.run(str(stage.root / "off.yml"), inventory=INVENTORY, rollback_strategy="reduce_load", found=str(stage.root))
    assert done.rc == 0, done.why
    off, watch = (json.loads((stage.root / f"{name}.json").read_text(encoding="utf-8")) for name in ("off", "watch"))
    yield Played(stage, good, off, watch, act("cutover", "1.1.0-ws-slow"))


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


def test_the_flag_is_taken_back_and_the_page_polls(played: Played) -> None:
    off = played.off
    assert (off["strategy"], off["to"], off["verified"], off["error"]) == ("reduce_load", "1.0.0", True, None)
    assert {one["id"] for one in off["verdicts"]} == tagged("websocket_off")
    assert {one["status"] for one in off["verdicts"]} <= {"pass", "warn"}


def test_the_sampler_finds_every_series_of_the_watch(played: Played) -> None:
    watch = played.watch
    read_checks(watch["hypercare_checklist"] + watch["hypercare_objectives"], PROBES)
    asked = sampler.read_asked(watch["hypercare_pages"], watch["hypercare_sampler_checks"], PROBES, watch["hypercare_secrets"])
    seen = sampler.look(asked, PROBES)
    assert seen.failed == {}
    known = {(name, (*labels, ("page", look.page))): value for look in seen.looks for (name, labels), value in look.values.items()}
    assert [known[key] for key in known if key[0] == "golive_check_passed"] == [1, 1, 1, 1, 1]
    for check in watch["hypercare_checklist"] + watch["hypercare_objectives"]:
        for one in (check["window"].get("select") or {"value": check["window"]}).values() if "window" in check else ():
            assert any(Selector(one["name"], one.get("labels") or {}).selects(key) for key in known), check["id"]


def test_a_spike_of_errors_in_a_log_is_found_by_the_watch(played: Played, tmp_path: Path) -> None:
    """What the logs have now passes; an ERROR or an [error] in each of 25 lines, behind an older line, does not."""
    asked = [one for one in played.watch["hypercare_checklist"] if one["id"] in ("HC-5", "HC-6")]
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


def test_a_slow_websocket_is_found_by_its_latency_and_rolled_back(played: Played) -> None:
    act = played.slow
    assert act.done.rc != 0
    assert act.decision["decision"] == "no_go"
    assert set(act.reasons()) == SLOW, act.reasons()
    assert "latency is" in act.reasons()["WS-3"] and "critical when > 800" in act.reasons()["WS-3"]
    # A client that asks no question of the application sees nothing wrong, and the pill is green.
    assert {act.verdicts()[one]["status"] for one in ("WS-1", "WS-2")} <= {"pass", "warn"}
    assert "WS status is OPEN, latency is OK" in "\n".join(act.decision["reasons"])
    assert "canary" not in [one["name"] for one in act.decision["steps"] if one["status"] != "not_run"]


def test_the_release_before_runs_again_with_its_own_flag(played: Played) -> None:
    act = played.slow
    assert act.reasons(rollback=True) == {}
    rollback = act.decision["rollback"]
    assert (rollback["strategy"], rollback["to"], rollback["verified"]) == ("previous_release", "1.0.0", True)
    assert set(act.verdicts(rollback=True)) == tagged("rollback")
    # The flag had been taken back before, so the page of the release before polls.
    front = f"http://127.0.0.1:{played.stage.base}"
    assert played.stage.health()["release"] == "1.0.0"
    assert '"websocket": false' in requests.get(f"{front}/static/build.js", timeout=10).text

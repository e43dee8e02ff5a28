# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo in its two acts, as ``make demo`` plays them: GO, then NO-GO with a rollback that is verified."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, AnsibleResult, ansible_environment
from tests.e2e.stage import CHECKS, STEPS, Stage

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-acts")]


@pytest.fixture(scope="module")
def played(module_stage: Callable[[], Stage]) -> Iterator[tuple[Stage, AnsibleResult]]:
    stage = module_stage()
    environment = {
        **ansible_environment(stage.collections, stage.root / "ah"),
        "GOLIVE_DEMO_HOME": str(stage.home),
        "GOLIVE_DEMO_REPORTS": str(stage.reports),
    }
    command = [sys.executable, str(ROOT / "demo/run.py")]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500)
    yield stage, AnsibleResult(done.returncode, done.stdout, done.stderr, command)
    ended = subprocess.run([*command, "stop"], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert list(stage.processes()) == []


def decisions(stage: Stage) -> list[tuple[Path, dict[str, Any]]]:
    found = [one for one in (stage.reports / "demo").iterdir() if not one.is_symlink()]
    return [(one, json.loads((one / "decision.json").read_text(encoding="utf-8"))) for one in sorted(found)]


def test_both_acts_end_as_they_should(played: tuple[Stage, AnsibleResult]) -> None:
    stage, done = played
    assert done.rc == 0, done.why
    (_first, go), (second, no_go) = decisions(stage)
    assert (go["decision"], go["release"], go["rolled_back"], go["rollback"]) == ("go", "1.0.0", False, None)
    assert (no_go["decision"], no_go["release"], no_go["previous_release"]) == ("no_go", "1.1.0", "1.0.0")
    assert (no_go["rolled_back"], no_go["rollback_verified"]) == (True, True)
    assert 0 < no_go["rollback_seconds"] < 60
    assert os.readlink(stage.reports / "demo/latest") == second.name
    assert stage.health()["release"] == "1.0.0"
    assert stage.statuses() == {"1.0.0": "accepted", "1.1.0": "rejected"}
    assert not stage.locked()
    assert stage.verify_ledger() > 20
    # A step that failed has its end in the ledger as well, and what came after it was not begun.
    assert ("step_ended", "smoke") in stage.events(second.name) and ("step_ended", "regression") not in stage.events(second.name)


def test_the_account_is_readable(played: tuple[Stage, AnsibleResult]) -> None:
    _stage, done = played
    text = done.stdout
    for word in ("GO", "NO-GO", "1.0.0", "1.1.0", "rolled back to 1.0.0", "verified", "report.html"):
        assert word in text
    for step in STEPS:
        assert step["name"] in text
    assert "Traceback" not in text
    assert "WARNING" not in done.output, done.output


def test_a_decision_says_all_that_the_next_week_asks(played: tuple[Stage, AnsibleResult]) -> None:
    stage, _done = played
    (_first, go), (_second, no_go) = decisions(stage)
    names = ["preflight", *[one["name"] for one in STEPS]]
    assert [one["name"] for one in go["steps"]] == names
    assert {one["status"] for one in go["steps"]} <= {"ok", "over"}
    budgets = {one["name"]: one["budget"] for one in go["steps"]}
    assert budgets == {
        "preflight": 30, "secrets": 60, "deploy": 120, "redis": 30, "proxy": 30,
        "smoke": 15, "regression": 45, "cli": 60, "ui": 120,
    }  # fmt: skip
    for one in go["steps"] + [one for one in no_go["steps"] if one["status"] != "not_run"]:
        assert one["seconds"] > 0
    assert {one["status"] for one in go["verdicts"]} <= {"pass", "warn"}
    # Each step has asked all checks that carry its tags, and each of them has its verdict.
    asking = [set(step["checks"]["tags"]) for step in STEPS if "checks" in step]
    asked = [one["id"] for tags in asking for one in CHECKS if tags & set(one["tags"])]
    assert [one["id"] for one in go["verdicts"]] == asked
    assert len(asked) > 30
    assert sum("regression" in one["tags"] for one in go["verdicts"]) == 18
    for verdict in go["verdicts"]:
        assert verdict["measures"] and verdict["reason"] and verdict["proof"], verdict
    assert all(one["met"] for one in go["criteria"] if one["required"])
    assert no_go["reasons"]
    # What act 2 breaks are two things: both are found, whichever of them already stopped it.
    failed = {one["id"] for one in no_go["verdicts"] if one["status"] in ("fail", "inconclusive")}
    assert "SMOKE-5" in failed
    assert "SMOKE-8" in failed
    assert all(any(name in reason for reason in no_go["reasons"]) for name in ("SMOKE-5", "SMOKE-8"))
    assert no_go["rollback"]["verdicts"]
    assert {one["status"] for one in no_go["rollback"]["verdicts"]} <= {"pass", "warn"}


def test_every_report_can_be_read_by_its_reader(played: tuple[Stage, AnsibleResult]) -> None:
    stage, _done = played
    for directory, decision in decisions(stage):
        suites = ElementTree.parse(directory / "junit.xml").getroot()
        cases = list(suites.iter("testcase"))
        for verdict in decision["verdicts"]:
            matching = [case for case in cases if verdict["id"] in case.get("name", "")]
            assert matching, verdict["id"]
            if verdict["status"] == "fail" and verdict["required"]:
                assert any(case.find("failure") is not None for case in matching)
        summary = (directory / "summary.md").read_text(encoding="utf-8")
        page = (directory / "report.html").read_text(encoding="utf-8")
        word = {"go": "GO", "no_go": "NO-GO"}[decision["decision"]]
        assert word in summary and word in page
        # Self-contained: nothing is fetched from anywhere.
        assert not re.search(r"<(script|img|link)[^>]+(src|href)=[\"']?https?:", page)
        for verdict in decision["verdicts"]:
            assert verdict["id"] in page

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module and the role as real tasks: what is on disk afterwards, and what is nowhere."""

from __future__ import annotations

import base64
import copy
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SECRET = "CANARY-5f\"'<&>/ä b"

RUN: dict[str, Any] = {
    "id": "20260301T030000Z-4f2a",
    "environment": "demo",
    "release": "1.1.0",
    "previous_release": "1.0.0",
    "operator": "ada",
    "decision": "no_go",
    "reasons": ["Smoke tests passed: H-001 failed on localhost"],
    "criteria": [{"name": "Smoke tests passed", "required": True, "met": False, "detail": "H-001 failed"}],
    "hosts": {
        "localhost": {
            "state": "done",
            "changed": True,
            "steps": [{"name": "deploy", "seconds": 1.5, "budget": 120, "status": "ok"}],
            "verdicts": [
                {
                    "id": "H-001",
                    "title": "Health answers",
                    "status": "fail",
                    "reason": "status is 500",
                    "measures": {"status": {"value": 500, "unit": ""}},
                    "expected": {"expect": {"status": "== 200"}},
                }
            ],
        }
    },
    "rollback": {
        "strategy": "previous_release",
        "to": "1.0.0",
        "seconds": 6.2,
        "budget": 120,
        "verified": True,
        "hosts": {"localhost": {"verdicts": [{"id": "H-001", "status": "pass"}]}},
    },
}
FILES = {"decision.json", "junit.xml", "summary.md", "report.html"}


def test_a_report_is_written_once_and_latest_points_there(run_module: Callable[..., Any], tmp_path: Path) -> None:
    reports = tmp_path / "reports" / "demo"
    dry = run_module("report", {"run": RUN, "directory": str(reports)}, check=True)
    assert (dry["failed"], dry["changed"], reports.exists()) == (False, True, False)

    first = run_module("report", {"run": RUN, "directory": str(reports)})
    assert (first["failed"], first["changed"], first["ending"]) == (False, True, "no_go_rolled_back")
    home = Path(first["path"])
    assert {one.name for one in home.iterdir()} == FILES
    assert {stat.S_IMODE(one.stat().st_mode) for one in home.iterdir()} == {0o640}
    assert os.readlink(reports / "latest") == RUN["id"]
    said = json.loads((reports / "latest" / "decision.json").read_text(encoding="utf-8"))
    assert (said["decision"], said["rolled_back"], said["rollback_verified"]) == ("no_go", True, True)
    assert "demo was rolled back to 1.0.0 in 6.2 s (2 min allowed), verified by 1 check." in first["lines"]

    assert run_module("report", {"run": RUN, "directory": str(reports)})["changed"] is False


def test_a_run_that_is_none_is_refused_with_every_mistake(run_module: Callable[..., Any], tmp_path: Path) -> None:
    wrong = {**RUN, "id": "a/b", "decision": "perhaps"}
    result = run_module("report", {"run": wrong, "directory": str(tmp_path / "reports")})
    assert result["failed"]
    assert {one["where"] for one in result["problems"]} == {"run.id", "run.decision"}
    assert not (tmp_path / "reports").exists()


def _spelled(secret: str) -> list[str]:
    encoded = base64.b64encode(secret.encode()).decode()
    return [secret, secret.encode().decode("latin-1"), json.dumps(secret)[1:-1], encoded, "CANARY-5f"]


@pytest.mark.parametrize("callback", ["default", "golive.cutover.account"])
def test_no_secret_is_written_or_shown(ansible_playbook: Callable[..., Any], tmp_path: Path, callback: str) -> None:
    run = copy.deepcopy(RUN)
    verdict = run["hosts"]["localhost"]["verdicts"][0]
    verdict["reason"] = f"answered {SECRET}"
    verdict["proof"] = {"body": json.dumps({"token": SECRET}), SECRET: base64.b64encode(SECRET.encode()).decode()}
    verdict["measures"]["token"] = {"value": SECRET, "unit": ""}
    run["reasons"].append(f"because of {SECRET}")
    run["rollback"]["reason"] = SECRET
    done = ansible_playbook(
        [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "tasks": [
                    {
                        "name": "Write the report",
                        "ansible.builtin.include_role": {"name": "golive.cutover.report"},
                        "vars": {"report_run": "{{ the_run }}"},
                    }
                ],
            }
        ],
        "-vvv",
        extra_vars={
            "the_run": run,
            "cutover_environment": "demo",
            "cutover_release": "1.1.0",
            "cutover_reports_dir": str(tmp_path / "reports"),
            "cutover_secrets": {"token": SECRET},
        },
        env={"ANSIBLE_STDOUT_CALLBACK": callback},
    )
    assert done.rc == 0, done.why
    assert "demo was rolled back to 1.0.0" in done.output
    written = {one: one.read_text(encoding="utf-8") for one in (tmp_path / "reports").rglob("*") if one.is_file()}
    assert {one.name for one in written} == FILES
    for where, text in [*written.items(), (Path("output"), done.output)]:
        for spelling in _spelled(SECRET):
            assert spelling not in text, f"{spelling} is in {where}"


def test_the_role_writes_once_for_many_hosts(ansible_playbook: Callable[..., Any], tmp_path: Path) -> None:
    # One host cannot be reached at all: the report does not need it.
    done = ansible_playbook(
        [
            {
                "hosts": "all",
                "gather_facts": False,
                "tasks": [
                    {
                        "ansible.builtin.include_role": {"name": "golive.cutover.report"},
                        "vars": {"report_run": "{{ the_run }}", "report_dir": str(tmp_path / "here"), "report_say": False},
                    }
                ],
            }
        ],
        inventory={"all": {"hosts": {"web-1": {"ansible_connection": "ssh", "ansible_port": 1}, "web-2": {}}}},
        extra_vars={"the_run": RUN, "cutover_environment": "demo"},
    )
    assert done.rc == 0, done.why
    # A report is no change to the system: a run that had nothing to do is a run with nothing changed.
    assert (done.changed(), "rolled back to" in done.stdout) == (0, False)
    assert (tmp_path / "here" / "latest" / "report.html").is_file()

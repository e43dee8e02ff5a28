# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture on its way: from the browser of a host, through the role verify, into the report, and nowhere else."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CACHE, Nginx, _tool

RUN = {"id": "20260301T030000Z-4f2a", "environment": "demo", "decision": "go", "release": "1.0.0"}


@pytest.mark.xdist_group("browser")
def test_a_picture_gets_from_the_host_into_the_report(
    ansible_playbook: Callable[..., Any], nginx: Callable[..., Nginx], tmp_path: Path
) -> None:
    _tool("debs.py", "chromium")
    server = nginx("server { listen 127.0.0.1:@PORT@; default_type text/html; location / { return 200 '<h1>It is here</h1>'; } }")
    check = {
        "id": "UI 1/x",
        "page": {"url": server.url, "ready": "h1", "selectors": {"head": "h1"}},
        "expect": {"text.head": "== It is here", "js_errors": "== 0"},
        "timeout": "60s",
    }
    hosts = "{{ {inventory_hostname: {'state': 'done', 'changed': false, 'verdicts': verify_result.verdicts}} }}"
    tasks = [
        {"ansible.builtin.include_role": {"name": "golive.cutover.verify"}},
        {
            "ansible.builtin.include_role": {"name": "golive.cutover.report"},
            "vars": {"report_run": "{{ the_run | combine({'hosts': the_hosts}) }}", "report_dir": str(tmp_path / "reports/demo")},
        },
    ]
    done = ansible_playbook(
        [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}],
        "-vvv",
        extra_vars={
            "cutover_run": {**RUN, "reports_dir": str(tmp_path / "reports")},
            "the_run": RUN,
            "the_hosts": hosts,
            "cutover_checks": [check],
            "cutover_gate": {},
            "cutover_secrets": {},
            "cutover_environment": "demo",
            "cutover_release": "1.0.0",
            "cutover_reports_dir": str(tmp_path / "reports"),
        },
        env={"PATH": f"{CACHE / 'bin'}:{os.environ['PATH']}"},
    )
    assert done.rc == 0, done.why
    home = tmp_path / "reports/demo" / str(RUN["id"])
    (picture,) = (home / "evidence").iterdir()
    assert picture.name.startswith("localhost-UI_1_x-page-")
    packed = base64.b64encode(picture.read_bytes()).decode()
    assert packed in (home / "report.html").read_text(encoding="utf-8")
    said = json.loads((home / "decision.json").read_text(encoding="utf-8"))["verdicts"][0]
    assert (said["status"], said["artefacts"][0]["file"]) == ("pass", f"evidence/{picture.name}")
    for place in (done.output, (home / "decision.json").read_text(), (home / "junit.xml").read_text()):
        assert packed[:200] not in place

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A critical alert in a real Alertmanager starts the rollback, by ansible-rulebook and the rulebook of the collection."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.monitoring import registry
from tests.conftest import CACHE, Alertmanager, _tool, ansible_environment, answers, stop_process, wait_until
from tests.integration.monitoring.conftest import planned


def java_home() -> str:
    """Where the Java lies that the rulebook's engine runs on."""
    _tool("debs.py", "java")
    command = [str(CACHE / "bin/java"), "-XshowSettings:properties", "-version"]
    told = subprocess.run(command, text=True, capture_output=True, check=True)
    found = re.search(r"java\.home = (\S+)", told.stderr + told.stdout)
    assert found is not None, told
    return found[1]


class Listening:
    """ansible-rulebook with the rulebook, and where the rollbacks that it starts leave their reports."""

    def __init__(self, port: int, home: Path) -> None:
        self.port, self.home = port, home

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.home.glob("reports/shop/2*/decision.json"))]

    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")


@pytest.fixture
def rulebook(
    tmp_path: Path, collection_path: Path, ansible_home: Path, free_port: Callable[[], int], canary: str
) -> Iterator[Listening]:
    venv = Path(_tool("env.py", "rulebook").splitlines()[-1])
    port = free_port()
    told = {"golive_environment": "shop", "golive_token": canary, "golive_port": port}
    (tmp_path / "vars.yml").write_text(yaml.safe_dump(told))
    (tmp_path / "vars.yml").chmod(0o600)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    where = {"cutover_home": str(tmp_path / "home"), "cutover_reports_dir": str(tmp_path / "reports")}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": host}, "vars": where}}))
    environment = ansible_environment(collection_path, ansible_home, {"JAVA_HOME": java_home()})
    environment["PATH"] = f"{Path(sys.executable).parent}:{venv / 'bin'}:{environment['PATH']}"
    environment.pop("PYTHONWARNINGS")
    command = [str(venv / "bin/ansible-rulebook"), "--rulebook", "golive.cutover.rollback"]
    command += ["-i", str(tmp_path / "hosts.yml"), "--vars", str(tmp_path / "vars.yml")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=tmp_path, start_new_session=True
        )
    listening = Listening(port, tmp_path)
    try:
        wait_until(lambda: process.poll() is not None or answers(port), 120, "ansible-rulebook")
        assert process.poll() is None, listening.log()
        yield listening
    finally:
        stop_process(process, 15)


def tell(server: Alertmanager, *alerts: dict[str, str]) -> None:
    """Have alerts fire, as Prometheus does it."""
    described = {"description": "value is 21, critical when > 20 {{ lookup('pipe', 'id') }}"}
    content = json.dumps([{"labels": one, "annotations": described} for one in alerts]).encode()
    asked = urllib.request.Request(f"{server.url}/api/v2/alerts", content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=5) as reply:
        assert reply.status == 200


def delivered(server: Alertmanager) -> int:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    counts = [
        re.search(rf'^alertmanager_notifications{what}_total{{integration="webhook"\S*}} (\d+)', text, re.M)
        for what in ("", "_failed")
    ]
    sent, failed = (int(one[1]) if one else 0 for one in counts)
    return sent - failed


@pytest.mark.slow
def test_a_critical_threshold_starts_one_rollback(
    rulebook: Listening, alertmanager: Callable[..., Alertmanager], canary: str
) -> None:
    authorization = {"authorization": {"type": "Bearer", "credentials": canary}}
    hook = {"webhook_configs": [{"url": f"http://127.0.0.1:{rulebook.port}/alerts", "http_config": authorization}]}
    plan = planned([], receivers={"critical": hook})
    server = alertmanager(registry.render(plan, ["alertmanager"])["alertmanager"])
    critical = {"alertname": "GoliveThreshold", "severity": "critical", "environment": "shop", "check": "M-004"}
    no_data = {**critical, "alertname": "GoliveNoData", "check": "M-005"}
    tell(server, {**critical, "severity": "warning", "check": "M-006"}, no_data)
    wait_until(lambda: delivered(server) >= 2, 30, "what starts nothing")
    time.sleep(2)
    assert "PLAY [" not in rulebook.log()
    tell(server, critical)
    wait_until(lambda: bool(rulebook.reports()), 240, "the report of the rollback")
    tell(server, {**critical, "check": "M-007"})
    wait_until(lambda: delivered(server) >= 4, 60, "the alert that fires while a rollback is under way")
    time.sleep(5)
    (report,) = rulebook.reports()
    assert report["kind"] == "rollback"
    assert report["reason"] == "alert M-004: value is 21, critical when > 20 (( lookup('pipe', 'id') }}"
    assert canary not in rulebook.log()

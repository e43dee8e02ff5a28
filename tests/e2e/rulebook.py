# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-rulebook with the rulebook of the collection, and an Alertmanager that tells it of alerts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.golive.cutover.plugins.module_utils.monitoring import registry
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.settings import read_settings
from tests.conftest import CACHE, ROOT, Alertmanager, _tool, ansible_environment, answers, stop_process, wait_until
from tests.e2e.stage import INVENTORY, Stage

DESCRIBED = {"description": "value is 21, critical when > 20 {{ lookup('pipe', 'id') }}"}


def java_home() -> str:
    """Where the Java lies that the rulebook's engine runs on."""
    _tool("debs.py", "java")
    command = [str(CACHE / "bin/java"), "-XshowSettings:properties", "-version"]
    told = subprocess.run(command, text=True, capture_output=True, check=True)
    found = re.search(r"java\.home = (\S+)", told.stderr + told.stdout)
    assert found is not None, told
    return found[1]


class Listening:
    """The rulebook that listens for a stage, and what it has printed, which is the output of the rollbacks that it starts too."""

    def __init__(self, url: str, token: str, log: Path, temporary: Path) -> None:
        self.url, self.token, self._log, self._temporary = url, token, log, temporary

    def working(self) -> bool:
        """Whether it runs a playbook, or is about to: each has a directory as long as it runs."""
        return any(self._temporary.glob("eda*"))

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def receiver(self) -> dict[str, Any]:
        """How Alertmanager is told to tell it, as the documentation has it."""
        authorization = {"authorization": {"type": "Bearer", "credentials": self.token}}
        return {"webhook_configs": [{"url": self.url, "send_resolved": True, "http_config": authorization}]}

    def post(self, *alerts: Mapping[str, str], token: str = "", status: str = "firing") -> int:
        """Send what Alertmanager sends when it repeats itself; returns the status of the answer."""
        body = {"status": status, "alerts": [{"status": status, "labels": one, "annotations": DESCRIBED} for one in alerts]}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token or self.token}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, json.dumps(body).encode(), headers), timeout=30) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return int(error.code)


def _inventory(stage: Stage, variables: Mapping[str, Any]) -> Path:
    """The inventory of the demo for the machine of a stage. The rulebook has no extra variables to say which one it is."""
    directory = stage.root / "inventory"
    shutil.copytree(INVENTORY, directory)
    more = {"demo_root": str(ROOT), "demo_home": str(stage.home), "cutover_reports_dir": str(stage.reports), **variables}
    (directory / "group_vars/all/stage.yml").write_text(json.dumps(more), encoding="utf-8")
    return directory


@contextlib.contextmanager
def listening(stage: Stage, port: int, token: str, **variables: Any) -> Iterator[Listening]:
    """Run the rulebook for the machine of a stage."""
    venv = Path(_tool("env.py", "rulebook").splitlines()[-1])
    told = stage.root / "rulebook-vars.yml"
    told.touch(mode=0o600)
    told.write_text(yaml.safe_dump({"golive_environment": "demo", "golive_token": token, "golive_port": port}), encoding="utf-8")
    temporary = stage.root / "tmp"
    temporary.mkdir()
    environment = ansible_environment(stage.collections, stage.root / "ah", {"JAVA_HOME": java_home(), "TMPDIR": str(temporary)})
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(venv / "bin"), environment["PATH"]])
    environment.pop("PYTHONWARNINGS")
    command = [str(venv / "bin/ansible-rulebook"), "--rulebook", "golive.cutover.rollback"]
    command += ["-i", str(_inventory(stage, variables)), "--vars", str(told)]
    path = stage.root / "rulebook.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=stage.root, start_new_session=True
        )
    found = Listening(f"http://127.0.0.1:{port}/alerts", token, path, temporary)
    try:
        wait_until(lambda: process.poll() is not None or answers(port), 120, "ansible-rulebook")
        assert process.poll() is None, found.log()
        yield found
    finally:
        stop_process(process, 15)


def configuration(receiver: Mapping[str, Any]) -> str:
    """What the role monitoring makes for Alertmanager; and here it tells the receiver of all other alerts too."""
    plan = registry.plan([], read_settings({"environment": "demo", "receivers": {"critical": receiver}}))
    made = yaml.safe_load(registry.render(plan, ["alertmanager"])["alertmanager"])
    made["route"] |= {"receiver": "golive-demo-critical", "group_by": ["..."], "group_wait": "0s"}
    return yaml.safe_dump(made)


def tell(server: Alertmanager, *alerts: Mapping[str, str]) -> None:
    """Have alerts fire, as Prometheus does it."""
    content = json.dumps([{"labels": one, "annotations": DESCRIBED} for one in alerts]).encode()
    asked = urllib.request.Request(f"{server.url}/api/v2/alerts", content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=5) as reply:
        assert reply.status == 200


def delivered(server: Alertmanager) -> int:
    """How many messages of Alertmanager the receiver has taken."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    counts = [
        re.search(rf'^alertmanager_notifications{what}_total{{integration="webhook"\S*}} (\d+)', text, re.M)
        for what in ("", "_failed")
    ]
    sent, failed = (int(one[1]) if one else 0 for one in counts)
    return sent - failed

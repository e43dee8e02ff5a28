# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of a tiny service, and the role deploy as a user runs it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVICE = Path(__file__).parent / "service.py"


@dataclasses.dataclass
class World:
    """One environment: sources of releases on the controller, a home on the host, and the way to run roles on it."""

    root: Path
    port: int
    run: Callable[..., Any]
    services: list[dict[str, Any]]
    canary: str
    release: Any = None
    project: str = ""
    docker: Any = None

    @property
    def home(self) -> Path:
        return self.root / "home"

    def source(self, release: str, mode: str = "good") -> Path:
        """Write the content of a release that behaves as *mode* says."""
        directory = self.root / "sources" / release
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(SERVICE, directory / "service.py")
        (directory / "RELEASE").write_text(f"{release}\n{mode}\n", encoding="utf-8")
        return directory

    def variables(self, release: str, **more: Any) -> dict[str, Any]:
        return {
            "cutover_environment": "test",
            "cutover_release": release,
            "cutover_home": str(self.home),
            "deploy_source": str(self.root / "sources" / release),
            "deploy_services": self.services,
            "deploy_settle": "300ms",
            "toolbox_python": sys.executable,
            "test_canary": self.canary,
            **more,
        }

    def write_env(self, release: str, **values: str) -> Path:
        path = self.home / "releases" / release / ".env"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{key}='{value}'\n" for key, value in {"APP_TOKEN": self.canary, **values}.items()]
        path.touch(mode=0o600)
        path.write_text("".join(lines), encoding="utf-8")
        return path

    def verb(self, verb: str, release: str, *arguments: str, accept: bool = False, **more: Any) -> Any:
        """Run the role with a verb. ``facts`` of the result holds what it left."""
        facts = self.root / "facts.json"
        facts.unlink(missing_ok=True)
        names = ["deploy_status", "deploy_possible"]
        tasks: list[dict[str, Any]] = [
            {
                "name": "deploy",
                "ansible.builtin.include_role": {"name": "golive.cutover.deploy"},
                "vars": {"deploy_verb": verb},
            },
            {
                "name": "facts",
                "ansible.builtin.copy": {
                    "content": "{{ {"
                    + ", ".join(f"'{name}': {name} | default(none)" for name in names)
                    + "} | ansible.builtin.to_json }}",
                    "dest": str(facts),
                    "mode": "0600",
                },
                "changed_when": False,
                "check_mode": False,
            },
        ]
        if accept:
            tasks.append(self.store("accepted", release))
        play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
        result = self.run([play], *arguments, extra_vars=self.variables(release, **more))
        result.facts = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else {}
        return result

    def store(self, state: str, release: str) -> dict[str, Any]:
        return {
            "name": "store",
            "golive.cutover.release": {
                "store": "{{ cutover_store | default('sqlite://' ~ cutover_home ~ '/golive.db') }}",
                "environment": "test",
                "state": state,
                "id": release,
                "run": "test",
            },
        }

    def deploy(self, release: str, mode: str = "good", *, accept: bool = True, env: bool = True) -> Any:
        """Deploy a release that is expected to come up."""
        self.source(release, mode)
        if env:
            self.write_env(release)
        result = self.verb("deploy", release, accept=accept)
        assert result.rc == 0, result.why
        return result

    def ask(self, path: str = "/", port: int | None = None) -> dict[str, Any]:
        url = f"http://127.0.0.1:{port or self.port}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            body: dict[str, Any] = json.load(answer)
        return body


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A directory whose path leaves room for a socket."""
    path = Path(tempfile.mkdtemp(prefix="gl"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def world(short_tmp: Path, free_port: Callable[[], int], ansible_playbook: Callable[..., Any], canary: str) -> Iterator[World]:
    port = free_port()
    services = [
        {
            "name": "api",
            "command": [sys.executable, "service.py", "{port}"],
            "environment": {"NAME": "{name}", "FROM_SERVICE": "100% {release}"},
            "port": port,
            "ready": {"http": "http://127.0.0.1:{port}/health"},
            "start_timeout": "10s",
            "stop_timeout": "3s",
        }
    ]
    made = World(short_tmp, port, ansible_playbook, services, canary)
    yield made
    pid_file = made.home / "supervisor" / "supervisord.pid"
    made.verb("stop", "0")
    assert not (pid_file.exists() and os.path.exists(f"/proc/{pid_file.read_text().strip()}")), "supervisord still runs"

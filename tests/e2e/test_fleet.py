# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts: waves, hosts that fail, hosts that are lost on the way."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import AnsibleResult
from tests.e2e.stage import Stage, port_block

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-fleet")]

# A service small enough for a fleet. The release 2.0.0-breaks-b is broken on host b only.
SERVE = """
import http.server, json, os, pathlib, sys

release = pathlib.Path(__file__).with_name("RELEASE").read_text().strip()

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        works = not release.endswith("breaks-" + os.environ["NODE"])
        body = json.dumps({"release": release, "works": works}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""

# The connection of a host that is there until a file says that it is not.
CONNECTION = """
DOCUMENTATION = "name: mortal\\nshort_description: local until lost\\ndescription: []\\nauthor: []\\noptions: {}"

import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local


class Connection(Local):
    transport = "mortal"

    def exec_command(self, *arguments, **options):
        if os.path.exists(os.path.join(os.environ["GRAVEYARD"], self._play_context.remote_addr)):
            raise AnsibleConnectionFailure("no route to host")
        return super().exec_command(*arguments, **options)
"""


class Fleet:
    """Hosts a, b and c, each with a directory, a store and a port of its own, all on this machine."""

    def __init__(self, root: Path, base: int, collections: Path) -> None:
        self.stage = Stage(root, base, collections)
        self.root = root
        self.base = base
        self.names = ["a", "b", "c"]
        self.graveyard = root / "graveyard"
        plugins, role, source = root / "plugins", root / "roles/lose/tasks", root / "source"
        for one in (self.graveyard, plugins, role, source):
            one.mkdir(parents=True)
        (plugins / "mortal.py").write_text(CONNECTION, encoding="utf-8")
        (source / "serve.py").write_text(SERVE, encoding="utf-8")
        (root / "RELEASE.j2").write_text("{{ cutover_release }}", encoding="utf-8")
        lose = {
            "name": "Lose a host",
            "ansible.builtin.file": {"path": f"{self.graveyard}/{{{{ inventory_hostname }}}}", "state": "touch", "mode": "0600"},
            "when": "inventory_hostname in lose_hosts",
            "changed_when": False,
        }
        (role / "main.yml").write_text(json.dumps([lose]), encoding="utf-8")
        self.inventory = root / "hosts.yml"
        self.inventory.write_text(json.dumps(self._inventory()), encoding="utf-8")

    def _inventory(self) -> dict[str, Any]:
        check = {
            "id": "F-1",
            "title": "The release works",
            "http": {"url": "{{ cutover_base_url }}/"},
            "measures": {"release": "release", "works": "works"},
            "expect": {"status": "== 200", "release": "== {{ cutover_expected_release }}", "works": "== true"},
            "tags": ["smoke"],
        }
        service = {
            "name": "web",
            "port": "{{ port }}",
            "command": ["{{ ansible_playbook_python }}", "{release_dir}/serve.py", "{port}"],
            "environment": {"NODE": "{{ inventory_hostname }}"},
            "ready": {"http": "http://127.0.0.1:{port}/"},
            "start_timeout": "15s",
        }
        shared = {
            "ansible_connection": "mortal",
            "ansible_python_interpreter": sys.executable,
            "cutover_environment": "fleet",
            "cutover_home": f"{self.root}/m/{{{{ inventory_hostname }}}}",
            "cutover_base_url": "http://127.0.0.1:{{ port }}",
            "cutover_checks": [check],
            "cutover_steps": [
                {"name": "secrets", "role": "golive.cutover.secrets"},
                {"name": "deploy", "role": "golive.cutover.deploy"},
                {"name": "lose", "role": "lose"},
                {"name": "smoke", "checks": {"tags": ["smoke"]}},
            ],
            "cutover_gate": {"criteria": [{"name": "It works", "tags": ["smoke"]}]},
            "deploy_source": f"{self.root}/source",
            "deploy_templates": [{"src": f"{self.root}/RELEASE.j2", "dest": "RELEASE"}],
            "deploy_services": [service],
            "secrets_values": {"MODE": "fleet"},
            "lose_hosts": [],
        }
        hosts = {name: {"port": self.base + 3 + index} for index, name in enumerate(self.names)}
        return {"all": {"hosts": hosts, "vars": shared}}

    def run(self, release: str | None, *arguments: str, playbook: str = "cutover", **variables: Any) -> AnsibleResult:
        env = {
            "ANSIBLE_CONNECTION_PLUGINS": str(self.root / "plugins"),
            "ANSIBLE_ROLES_PATH": str(self.root / "roles"),
            "GRAVEYARD": str(self.graveyard),
            # With this seed a set of a, b and c is walked through from c to a: nothing may depend on that.
            "PYTHONHASHSEED": "2",
        }
        return self.stage.run(playbook, release, *arguments, inventory=self.inventory, env=env, **variables)

    def decision(self) -> dict[str, Any]:
        return self.stage.decision("fleet")

    def releases(self) -> dict[str, str | None]:
        """What each host answers."""
        found: dict[str, str | None] = {}
        for index, name in enumerate(self.names):
            found[name] = None
            with contextlib.suppress(requests.ConnectionError):
                found[name] = requests.get(f"http://127.0.0.1:{self.base + 3 + index}/", timeout=5).json()["release"]
        return found

    def revive(self) -> None:
        for one in self.graveyard.iterdir():
            one.unlink()


@pytest.fixture(scope="module")
def fleet(collection_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with port_block() as base:
        made = Fleet(tmp_path_factory.mktemp("f"), base, collection_path)
        try:
            done = made.run("1.0.0")
            assert done.rc == 0, done.why
            yield made
        finally:
            made.stage.close()


def test_every_host_is_cut_over_wave_after_wave(fleet: Fleet) -> None:
    done = fleet.run("1.0.1", cutover_serial=[1, "100%"])
    assert done.rc == 0, done.why
    assert fleet.releases() == {"a": "1.0.1", "b": "1.0.1", "c": "1.0.1"}
    decision = fleet.decision()
    assert decision["decision"] == "go"
    assert sorted(decision["hosts"]) == ["a", "b", "c"]
    assert {(one["host"], one["id"]) for one in decision["verdicts"]} == {("a", "F-1"), ("b", "F-1"), ("c", "F-1")}
    begun = {name: host["steps"][1]["started"] for name, host in decision["hosts"].items()}
    ended = decision["hosts"]["a"]["steps"][-1]["started"]
    assert ended <= min(begun["b"], begun["c"]), "the second wave began before the first was through"


def test_the_second_wave_is_not_begun_when_the_first_fails(fleet: Fleet) -> None:
    """Of a and b in the first wave b fails: both are rolled back, and c was never touched.

    What is tried first is enough for a and not for b: they go on to the next strategy together.
    """
    before = fleet.releases()
    done = fleet.run(
        "2.0.0-breaks-b",
        cutover_serial=[2, 1],
        rollback_strategy="auto",
        rollback_order=[{"strategy": "emergency_stop", "tags": ["smoke"]}, {"strategy": "previous_release"}],
        rollback_strategies={"emergency_stop": {"command": ["true"], "tags": ["smoke"]}},
    )
    assert done.rc != 0
    decision = fleet.decision()
    assert decision["decision"] == "no_go"
    assert {name: host["changed"] for name, host in decision["hosts"].items()} == {"a": True, "b": True, "c": False}
    assert sorted(decision["rollback"]["hosts"]) == ["a", "b"]
    assert decision["rollback_verified"] is True, decision["rollback"]
    tried = {
        name: [(one["strategy"], one["verified"]) for one in host["attempts"]]
        for name, host in decision["rollback"]["hosts"].items()
    }
    assert tried == {
        "a": [("emergency_stop", True), ("previous_release", True)],
        "b": [("emergency_stop", False), ("previous_release", True)],
    }
    assert fleet.releases() == before
    assert "b" in decision["hosts"]["c"]["failed"]["message"]
    assert {one["host"] for one in decision["verdicts"] if one["status"] == "fail"} == {"b"}


def test_a_host_that_is_lost_on_the_way(fleet: Fleet) -> None:
    """It cannot be rolled back, and nobody says that it was: the others are, and the end is the loud one."""
    before = fleet.releases()
    try:
        done = fleet.run("1.0.2", lose_hosts=["b"])
        assert done.rc != 0
        decision = fleet.decision()
        assert decision["decision"] == "no_go"
        assert decision["lost_hosts"] == ["b"]
        assert any("b" in reason and "lost" in reason for reason in decision["reasons"]), decision["reasons"]
        assert decision["rollback_verified"] is False
        hosts = decision["rollback"]["hosts"]
        assert (hosts["a"]["verified"], hosts["c"]["verified"], hosts["b"]["verified"]) == (True, True, False)
        assert fleet.releases() == {**before, "b": "1.0.2"}
    finally:
        fleet.revive()
    # The host is back: the same command again brings all to the same release.
    done = fleet.run("1.0.2")
    assert done.rc == 0, done.why
    assert set(fleet.releases().values()) == {"1.0.2"}


def test_all_hosts_are_lost(fleet: Fleet) -> None:
    for name in fleet.names:
        (fleet.graveyard / name).touch()
    try:
        before = fleet.stage.runs("fleet")
        done = fleet.run("1.0.3")
        assert done.rc != 0
        assert len(fleet.stage.runs("fleet") - before) == 1, done.output
        decision = fleet.decision()
        assert (decision["decision"], decision["release"]) == ("no_go", "1.0.3")
        assert decision["lost_hosts"] == ["a", "b", "c"]
        assert decision["rolled_back"] is False
    finally:
        fleet.revive()


def test_a_limit_without_the_controller(fleet: Fleet) -> None:
    before = fleet.releases()
    done = fleet.run("1.0.4", "--limit", "a,c")
    assert done.rc == 0, done.why
    assert fleet.releases() == {"a": "1.0.4", "b": before["b"], "c": "1.0.4"}
    assert sorted(fleet.decision()["hosts"]) == ["a", "c"]

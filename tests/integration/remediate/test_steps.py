# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role remediate on a Redis that is gone, and on an nginx: which steps it takes, which it does not, when it does nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from tests.conftest import AnsibleResult, Nginx, answers, wait_until

#: In place of systemd, which cannot be had here: it knows one service, ends it and starts it again.
SERVICE_STAND_IN = """
import os, signal, subprocess
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule({"name": {"required": True}, "state": {"required": True}}, supports_check_mode=True)
home = %r
if not module.check_mode:
    with open(home + "/asked", "a") as file:
        file.write(module.params["state"] + " " + module.params["name"] + "\\n")
    module.run_command(%r, check_rc=True)
module.exit_json(changed=True)
"""


@pytest.fixture
def redis(tmp_path: Path, free_port: Callable[[], int], redis_server_bin: str) -> Iterator[int]:
    """The port of a Redis that is a service of the host, and does not run."""
    port = free_port()
    command = [redis_server_bin, "--port", str(port), "--bind", "127.0.0.1", "--daemonize", "yes", "--save", ""]
    command += ["--dir", str(tmp_path), "--pidfile", str(tmp_path / "redis.pid")]
    (tmp_path / "library").mkdir()
    (tmp_path / "library/service_stand_in.py").write_text(SERVICE_STAND_IN % (str(tmp_path), command), encoding="utf-8")
    yield port
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((tmp_path / "redis.pid").read_text()), signal.SIGTERM)
    wait_until(lambda: not answers(port), what="the end of Redis")


def incident(port: int, home: Path, **more: Any) -> dict[str, Any]:
    """Redis is gone. Before the step that helps stands one that nothing calls for, after it one that nothing calls for any more."""
    other = {"id": "R-2", "file": {"path": str(home)}, "expect": {"exists": "== true"}}
    look = {"id": "R-1", "title": "Redis listens", "tcp": {"port": port}, "expect": {"open": "== true"}, "retry": {"for": "5s"}}
    touch = {"command": [sys.executable, "-c", f"open({str(home / 'touched')!r}, 'a').write('x')"]}
    steps = [
        {"name": "uncalled", **touch, "only_when": ["R-2"]},
        {"name": "helps", "service": "redis", "way_back": "stop redis", "only_when": ["R-1"]},
        {"name": "too_much", **touch},
    ]
    return {"look": [{**look, "retry": {"for": "1s", "every": "500ms"}}, other], "verify": [look, other], "steps": steps, **more}


def remedy(
    ansible_playbook: Callable[..., AnsibleResult], home: Path, incidents: dict[str, Any], names: list[str], *arguments: str
) -> list[dict[str, Any]]:
    """Play the role for each incident; returns what it left."""
    tasks: list[dict[str, Any]] = [
        {
            "name": "begin",
            "ansible.builtin.set_fact": {
                "cutover_run": {
                    **dict.fromkeys(("operator", "controller", "release", "reason"), "test"),
                    **{"id": "test", "kind": "remediation", "environment": "test"},
                },
                "ansible_service_mgr": "ansible.legacy.service_stand_in",
                "cacheable": True,
            },
        }
    ]
    for name in names:
        file = {"content": "{{ remediate_outcome | ansible.builtin.to_json }}", "dest": f"{home}/{name}.json", "mode": "0600"}
        tasks += [
            {
                "name": name,
                "ansible.builtin.include_role": {"name": "golive.cutover.remediate"},
                "vars": {"remediate_incident": name},
            },
            {"name": "keep", "ansible.builtin.copy": file, "changed_when": False, "check_mode": False},
        ]
    variables = {
        "cutover_environment": "test",
        "cutover_home": str(home / "home"),
        "cutover_release": "1.0.0",
        "remediate_incidents": incidents,
        "toolbox_python": sys.executable,
    }
    play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
    done = ansible_playbook([play], *arguments, extra_vars=variables, env={"ANSIBLE_LIBRARY": str(home / "library")})
    assert done.rc == 0, done.why
    return [json.loads((home / f"{name}.json").read_text()) for name in names]


def test_it_does_nothing_or_what_helps_and_no_more(
    ansible_playbook: Callable[..., AnsibleResult], tmp_path: Path, redis: int
) -> None:
    none = f"{tmp_path}/none"
    unmet = {"id": "R-3", "file": {"path": none}, "expect": {"exists": "== true"}}
    unseen = {"id": "R-4", "file": {"path": none, "patterns": {"no": "x"}}, "expect": {"count.no": "== 0"}}
    _gone, sound = incident(redis, tmp_path)["look"]
    incidents = {
        "refused": incident(redis, tmp_path, require=[unmet, unseen]),
        "unknown": incident(redis, tmp_path, look=[sound, {**unseen, "id": "R-1"}]),
        "there": incident(redis, tmp_path),
        "again": incident(redis, tmp_path),
    }
    (tried,) = remedy(ansible_playbook, tmp_path, incidents, ["there"], "--check")
    assert tried["state"] == "rehearsed" and not tried["changed"]
    assert [one.partition(": ")[0] for one in tried["done"]] == ["helps", "too_much"]
    assert all(": would have " in one for one in tried["done"])
    assert not (tmp_path / "asked").exists() and not answers(redis)

    refused, unknown, done, again = remedy(ansible_playbook, tmp_path, incidents, list(incidents))
    for one, state in ((refused, "refused"), (unknown, "unknown")):
        assert (one["state"], one["changed"], one["done"], one["way_back"]) == (state, False, [], []), one
        assert [step["name"] for step in one["steps"]] == ["look"]
    assert [one.partition(":")[0] for one in refused["refused"]] == ["R-3 (R-3) fail", "R-4 (R-4) inconclusive"]
    assert (done["state"], done["changed"], done["way_back"]) == ("remediated", True, ["stop redis"])
    assert done["done"] == ["helps: restarted the service redis"]
    assert done["seen"][0].startswith("R-1 (Redis listens) fail") and done["verified"][0].startswith("R-1 (Redis listens) pass")
    assert (again["state"], again["changed"], again["done"]) == ("absent", False, [])
    assert (tmp_path / "asked").read_text() == "restarted redis\n" and answers(redis)
    assert not (tmp_path / "touched").exists()
    with contextlib.closing(open_store(f"sqlite://{tmp_path}/home/golive.db", "test")) as store:
        events = [(one["event"], one["data"].get("name") or one["data"].get("state")) for one in ledger.read(store)]
    assert [state for event, state in events if event == "remediation"][-4:] == ["refused", "unknown", "remediated", "absent"]
    assert [name for event, name in events if event == "step_begun"] == ["helps"]


def test_streams_are_limited_where_there_are_any_and_no_limit_is_raised(
    ansible_playbook: Callable[..., AnsibleResult], nginx: Callable[..., Nginx], tmp_path: Path
) -> None:
    server = nginx(
        "include conf.d/*.conf;\nserver { listen 127.0.0.1:@PORT@; include golive.d/*.conf; }",
        {"conf.d/none.conf": "# nothing\n", "golive.d/none.conf": "# nothing\n"},
    )
    placed = server.directory / "golive.d/golive-streaming.conf"
    to = {"upstream": "http://127.0.0.1:9"}
    socket = {"path": "/ws", "kind": "websocket", **to}
    locations = [{"path": "/a", "kind": "sse", **to, "max_connections": 1}, {"path": "/b", "kind": "sse", **to}, socket]
    tasks: list[dict[str, Any]] = []
    cases = {"none": ([socket], False), "tried": (locations, True), "done": (locations, False), "again": (locations, False)}
    for name, (given, check) in cases.items():
        role = {"name": "golive.cutover.remediate", "tasks_from": "steps/streams", "apply": {"check_mode": check}}
        keep = {
            "content": "{{ [__remediate_did, found.stat.exists] | to_json }}",
            "dest": f"{tmp_path}/{name}.json",
            "mode": "0600",
        }
        tasks += [
            {"ansible.builtin.include_role": role, "vars": {"nginx_streaming_locations": given}},
            {"ansible.builtin.stat": {"path": str(placed)}, "register": "found"},
            {"ansible.builtin.copy": keep},
        ]
    variables = {
        "cutover_environment": "test",
        "cutover_home": str(tmp_path / "home"),
        "cutover_run": {"id": "run-1"},
        "nginx_streaming_binary": server.binary,
        "nginx_streaming_config": str(server.config),
        "nginx_streaming_prefix": str(server.directory),
        "nginx_streaming_http_dir": str(server.directory / "conf.d"),
        "nginx_streaming_server_dir": str(placed.parent),
        "__remediate_step": {"name": "limit", "streams": {"max_connections": 2}},
    }
    done = ansible_playbook([{"hosts": "all", "gather_facts": False, "tasks": tasks}], extra_vars=variables)
    assert done.rc == 0, done.why
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in cases}
    assert {name: (did["changed"], did["verify"], there) for name, (did, there) in found.items()} == {
        "none": (False, False, False),
        "tried": (True, True, False),
        "done": (True, True, True),
        "again": (False, False, True),
    }
    assert "has no location of event streams" in found["none"][0]["what"]
    assert found["again"][0]["what"] == "nothing to change, nginx limits them already"
    assert re.findall(r"limit_conn \w+ (\d+);", placed.read_text(encoding="utf-8")) == ["1", "2"]

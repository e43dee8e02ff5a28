# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes of hosts in a real task: Ansible packs what they import when they are asked for, and a verdict comes back for each."""

from __future__ import annotations

import http.server
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ansible_collections.golive.cutover.plugins.modules import check


def test_each_gives_a_verdict_in_a_task(
    run_module: Callable[..., Any], redis_server: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path, canary: str
) -> None:
    server = redis_server({"requirepass": canary})
    database = tmp_path / "app.db"
    link = sqlite3.connect(database)
    link.close()
    log = tmp_path / "app.log"
    log.write_text("1690000000 started\n1700000000 became leader\n")
    nobody = f"http://127.0.0.1:{free_port()}"
    checks: list[dict[str, Any]] = [
        {"id": "host", "host": {"over": "100ms", "path": str(tmp_path)}, "expect": {"cores": ">= 1", "disk_free": "> 0B"}},
        {"id": "process", "process": {"name": "redis-server", "reduce": "worst"}, "expect": {"count": ">= 1", "rss": "> 0B"}},
        {"id": "file", "file": {"path": str(log), "sha256": True}, "expect": {"exists": "== true", "type": "== file"}},
        {
            "id": "log",
            "log": {
                "file": str(log),
                "timestamp": "epoch",
                "since": "2023-11-14T00:00:00Z",
                "patterns": {"elected": "became leader"},
            },
            "expect": {"count.elected": "== 1"},
        },
        {"id": "database", "database": {"sqlite": str(database), "query": "SELECT 7"}, "expect": {"value": "== 7"}},
        {
            "id": "postgresql",
            "database": {"host": "127.0.0.1", "port": server.port, "username": "u", "password": {"secret": "pw"}},
            "expect": {"replica": "== false"},
        },
        {
            "id": "leader",
            "leader": {
                "instances": {"a": {"metrics": f"{nobody}/metrics", "health": f"{nobody}/health"}},
                "lock": {"url": server.url, "key": "lock", "password": {"secret": "pw"}},
            },
            "expect": {"leaders": "== 1"},
        },
        {
            "id": "container",
            "container": {"name": "a", "docker_host": f"unix://{tmp_path}/none"},
            "expect": {"state": "== running"},
        },
    ]
    result = run_module("check", {"checks": checks, "secrets": {"pw": canary}})
    assert not result["failed"], result
    reasons = {one["id"]: f"{one['status']}: {one['reason']}" for one in result["verdicts"]}
    for name in ("host", "process", "file", "log", "database"):
        assert reasons[name].startswith("pass"), reasons
    for name, why in {"postgresql": "127.0.0.1", "leader": "connection refused", "container": "No such file"}.items():
        assert reasons[name].startswith("inconclusive") and why in reasons[name], reasons
        assert "library" not in reasons[name], (reasons, sys.executable, os.environ.get("PATH"))
    assert canary not in str(result["verdicts"])


class Counting(http.server.BaseHTTPRequestHandler):
    """Answers everything, and keeps which requests came."""

    came: ClassVar[list[str]] = []

    def _answer(self) -> None:
        self.came.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *arguments: object) -> None:
        pass


def test_check_mode_asks_nothing_that_may_change_something(run_module: Callable[..., Any]) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    once = {"requests": 10, "concurrency": 1, "warm_up": "0s"}
    asked: dict[str, dict[str, Any]] = {
        "GET": {"http": {"url": f"{url}/get"}},
        "POST": {"http": {"url": f"{url}/post", "method": "POST"}},
        "SEARCH": {"http": {"url": f"{url}/search", "method": "POST"}, "writes": False},
        "COUNTER": {"http": {"url": f"{url}/counter"}, "writes": True},
        "CRUD": {"scenario": {"base_url": url, "steps": [{"name": "delete", "method": "DELETE", "path": "/crud"}]}},
        "LOAD": {"load": {"url": f"{url}/load", "method": "POST", **once}},
    }
    expected = {"CRUD": {"status.delete": "== 200"}, "LOAD": {"completed": "== 10"}}
    checks = [{"id": name, **one, "expect": expected.get(name, {"status": "== 200"})} for name, one in asked.items()]
    try:
        found = run_module("check", {"checks": checks}, check=True)
        assert not found["failed"], found
        statuses = {one["id"]: one["status"] for one in found["verdicts"]}
        assert statuses == {"GET": "pass", "POST": "skip", "SEARCH": "pass", "COUNTER": "skip", "CRUD": "skip", "LOAD": "skip"}
        assert {one["reason"] for one in found["verdicts"] if one["status"] == "skip"} == {check.WRITES}
        assert sorted(Counting.came) == ["GET /get", "POST /search"]
        found = run_module("check", {"checks": checks})
        assert {one["status"] for one in found["verdicts"]} == {"pass"}, found
        assert {one.split()[1] for one in Counting.came} == {"/get", "/post", "/search", "/counter", "/crud", "/load"}
    finally:
        server.shutdown()
        server.server_close()


def test_a_task_that_is_only_started_is_refused_as_the_documentation_says(ansible_playbook: Callable[..., Any]) -> None:
    task = {"golive.cutover.check": {"checks": [], "validate_only": True}, "async": 30, "poll": 1}
    done = ansible_playbook([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
    assert done.rc != 0
    assert "async" in done.output
    said = yaml.safe_load(check.DOCUMENTATION)["attributes"]["async"]
    assert said["support"] == "none"
    assert "evidence" in said["description"][0]

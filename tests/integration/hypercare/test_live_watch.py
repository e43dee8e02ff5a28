# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live watch over a fleet, as the role runs it: what is told of which host, what is told again, and what is stopped where."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from tests.integration.notify.conftest import HttpReceiver

RUN = {"id": "w-1", "environment": "shop", "kind": "watch", "release": "", "operator": "ann", "reason": "", "started": ""}
OUTCOME: dict[str, Any] = {
    "state": "pending",
    "step": None,
    "changed": False,
    "locked": False,
    "steps": [],
    "asked": [],
    "verdicts": [],
    "failed": None,
}
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


@pytest.fixture
def receivers() -> Iterator[tuple[HttpReceiver, HttpReceiver]]:
    servers = HttpReceiver(), HttpReceiver()
    yield servers
    for server in servers:
        server.close()


class Fleet:
    """Two hosts that are live, each with a store and a number of its own, and a third that was never reached."""

    def __init__(self, directory: Path, play: Callable[..., Any]) -> None:
        self.directory = directory
        self.play = play
        for host in ("web-1", "web-2"):
            with self.store(host) as store:
                ledger.append(store, "shop", "run-1", "run_ended", {"kind": "cutover", "decision": "go", "release": "1.0.0"})

    def store(self, host: str) -> Any:
        return open_store(f"sqlite://{self.directory}/{host}.db", "shop")

    def says(self, host: str, queue: int) -> None:
        (self.directory / host).write_text(json.dumps({"queue": queue}), encoding="utf-8")

    def entries(self, host: str) -> list[tuple[str, str]]:
        with self.store(host) as store:
            found = ledger.read(store, event="hypercare_escalation")
            return [(str(one["data"]["condition"]), str(one["data"]["level"])) for one in found]

    def watch(self, *arguments: str, channels: list[dict[str, Any]], **more: Any) -> Any:
        """The watch, its decision and what is told in the end; what was kept is in ``kept``."""
        wanted = "{{ [notify_results | default([]), cutover_stops, cutover_decided] | to_json }}"
        kept = {"content": wanted, "dest": str(self.directory / "kept.json"), "mode": "0600"}
        ours = "inventory_hostname in ['web-1', 'web-2']"
        facts: dict[str, Any] = {**RUN, "hosts": ["web-1", "web-2", "web-3"], "reports_dir": str(self.directory)}
        facts["gate"] = {"criteria": []}

        def role(name: str, part: str, **more: Any) -> dict[str, Any]:
            return {"ansible.builtin.include_role": {"name": f"golive.cutover.{name}", "tasks_from": part}, **more}

        tasks = [
            {"ansible.builtin.set_fact": {"cutover_run": facts, "cutover_outcome": OUTCOME, "cutover_undone": None}},
            role("hypercare", "forget"),
            role("notify", "begin"),
            role("cutover", "watch", when=ours),
            role("cutover", "watch_ended"),
            role("notify", "decided", when="notify_usable | default(false)"),
            role("notify", "ended", when="notify_usable | default(false)"),
            {"ansible.builtin.copy": kept, "delegate_to": "localhost", "run_once": True, "check_mode": False},
        ]
        check = {
            "id": "W-1",
            "title": "The queue",
            "command": {"argv": ["cat", str(self.directory / "{{ inventory_hostname }}")]},
            "measures": {"queue": "queue"},
            "warn": {"queue": "> 5"},
            "critical": {"queue": "> 20"},
        }
        variables = {
            "cutover_environment": "shop",
            "cutover_home": str(self.directory),
            "cutover_reports_dir": str(self.directory),
            "cutover_secrets": {},
            "cutover_store": f"sqlite://{self.directory}/{{{{ inventory_hostname }}}}.db",
            "hypercare_watch_checks": [check],
            "hypercare_escalations": [{"check": "W-1"}],
            "hypercare_watch_for": "3s",
            "hypercare_watch_every": "1s",
            "notify_channels": channels,
            "notify_allowed_hosts": ["localhost"],
            **more,
        }
        hosts = dict.fromkeys(("web-1", "web-2", "web-3"), HERE)
        inventory = {"all": {"hosts": {"localhost": HERE}, "children": {"fleet": {"hosts": hosts, "vars": variables}}}}
        return self.play([{"hosts": "localhost:all", "gather_facts": False, "tasks": tasks}], *arguments, inventory=inventory)

    def kept(self) -> tuple[list[dict[str, Any]], list[str], dict[str, Any]]:
        results, stops, decided = json.loads((self.directory / "kept.json").read_text(encoding="utf-8"))
        return results, stops, decided


@pytest.fixture
def fleet(tmp_path: Path, ansible_playbook: Callable[..., Any]) -> Fleet:
    return Fleet(tmp_path, ansible_playbook)


def test_a_page_that_did_not_get_through_is_told_at_the_next_look(
    fleet: Fleet, receivers: tuple[HttpReceiver, HttpReceiver]
) -> None:
    team, pager = receivers
    channels = [
        {"name": "team", "kind": "webhook", "url": team.url, "events": ["page", "escalation"]},
        {"name": "pager", "kind": "webhook", "url": pager.url, "events": ["page"]},
    ]
    pager.replies = [(503, {"Retry-After": "600"}, "")] * 3
    fleet.says("web-1", 30)
    fleet.says("web-2", 3)
    done = fleet.watch(channels=channels)
    assert done.rc == 0, done.output
    # The condition is that of one host, and is told with its name.
    assert [one["json"]["subject"] for one in team.requests] == ["PAGE W-1@web-1 of shop: CRITICAL"]
    tried = [one["json"]["subject"] for one in pager.requests]
    # Without a success at the looks it is told in the end.
    assert tried == ["PAGE W-1@web-1 of shop: CRITICAL"] * 4
    results, stops, decided = fleet.kept()
    by = {one["channel"]: one for one in results}
    assert len(results) == 2 and by["team"]["status"] == by["pager"]["status"] == "sent"
    assert by["pager"]["attempts"] == 4 and "not at first" in by["pager"]["reason"]
    assert not stops and decided["decision"] == "no_go" and any("W-1 on web-1" in one for one in decided["reasons"])
    assert fleet.entries("web-1") == [("W-1", "critical")] and not fleet.entries("web-2")


def test_each_host_escalates_by_itself_and_only_those_are_stopped_that_ask_for_it(
    fleet: Fleet, receivers: tuple[HttpReceiver, HttpReceiver]
) -> None:
    team, _ = receivers
    channels = [{"name": "team", "kind": "webhook", "url": team.url, "events": ["page", "escalation"]}]
    fleet.says("web-1", 30)
    fleet.says("web-2", 30)
    again = [fleet.watch(channels=channels) for _ in range(2)]
    assert [one.rc for one in again] == [0, 0], again[-1].output
    # Both are critical: once for each condition and host, also by a second watch.
    assert sorted(one["json"]["subject"] for one in team.requests) == [
        "PAGE W-1@web-1 of shop: CRITICAL",
        "PAGE W-1@web-2 of shop: CRITICAL",
    ]
    stop = [{"check": "W-1", "critical": {"action": "stop", "strategy": "stop_scheduler"}}]
    fleet.says("web-1", 7)
    stopped = fleet.watch(channels=channels, hypercare_escalations=stop, hypercare_watch_for="60s")
    assert stopped.rc == 0, stopped.output
    _results, stops, decided = fleet.kept()
    assert stops == ["web-2"] and decided["decision"] == "no_go"
    assert "web-2: W-1 is critical" in stopped.output and "emergency stop by stop_scheduler" in stopped.output
    assert team.requests[-1]["json"]["subject"] == "PAGE W-1@web-1 of shop: warning"


def test_check_mode_looks_says_and_leaves_everything_as_it_was(fleet: Fleet, receivers: tuple[HttpReceiver, HttpReceiver]) -> None:
    team, _ = receivers
    channels = [{"name": "team", "kind": "webhook", "url": team.url}]
    fleet.says("web-1", 30)
    fleet.says("web-2", 7)
    stop = [{"check": "W-1", "critical": {"action": "stop", "strategy": "stop_scheduler"}}]
    done = fleet.watch("--check", channels=channels, hypercare_escalations=stop)
    assert done.rc == 0, done.output
    assert "W-1 30 CRITICAL" in done.output and "which check mode does not carry out" in done.output
    assert not team.requests and not fleet.entries("web-1") and not fleet.entries("web-2")
    assert not (fleet.directory / "notifications.db").exists()
    assert "People would be told: PAGE W-1@web-1 of shop: CRITICAL" in done.output
    assert done.output.count("People would be told: PAGE W-1@web-1") == 1, "each look finds it, and it is said once"
    results, stops, _decided = fleet.kept()
    assert not results and stops == ["web-1"]


def test_one_look_in_check_mode_says_what_is_due_and_writes_nothing(fleet: Fleet, run_module: Callable[..., Any]) -> None:
    fleet.says("web-1", 30)
    check = {"id": "W-1", "title": "The queue", "command": {"argv": ["cat", str(fleet.directory / "web-1")]}}
    stop = {"check": "W-1", "critical": {"action": "stop", "strategy": "reduce_load"}}
    given = {
        "store": f"sqlite://{fleet.directory}/web-1.db",
        "environment": "shop",
        "run": "w-1",
        "host": "web-1",
        "escalations": [stop],
        "checks": [{**check, "measures": {"queue": "queue"}, "critical": {"queue": "> 20"}}],
    }
    for _ in range(2):
        look = run_module("watch", given, check=True)
        assert look["changed"] and [(one["condition"], one["level"]) for one in look["changes"]] == [("W-1", "critical")], look
        assert look["stop"]["strategy"] == "reduce_load" and not look["known"]
    with fleet.store("web-1") as store:
        assert [one["event"] for one in ledger.read(store)] == ["run_ended"]

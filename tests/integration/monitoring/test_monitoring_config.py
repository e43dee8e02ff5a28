# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module monitoring_config with a real Prometheus and a real Alertmanager: taken, or nothing has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Alertmanager, Prometheus

RULES = """\
groups:
  - name: shop
    rules:
      - {alert: Down, expr: up == 0}
"""
OTHER = RULES.replace("Down", "Away")
BROKEN = RULES.replace("up == 0", "up ==== 0")
CONFIG = "route: {receiver: %s}\nreceivers: [{name: %s}]\n"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    return tmp_path / "rules" / "shop.yml"


@pytest.fixture
def server(prometheus: Callable[..., Prometheus], place: Path) -> Prometheus:
    return prometheus(config=f"rule_files: ['{place.parent}/*.yml']\n")


@pytest.fixture
def rules(run_module: Run, server: Prometheus, place: Path, promtool: str) -> Run:
    def run(content: str | None = RULES, check: bool = False, diff: bool = False, **more: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"kind": "prometheus", "path": str(place), "url": server.url, "tool": promtool, "groups": ["shop"]}
        given["timeout"] = 60  # a busy machine
        given |= {"config": str(server.directory / "prometheus.yml")} | ({} if content is None else {"content": content})
        return run_module("monitoring_config", {**given, **more}, check=check, diff=diff)

    return run


def alerts(server: Prometheus) -> list[str]:
    import json
    import urllib.request

    with urllib.request.urlopen(f"{server.url}/api/v1/rules", timeout=5) as reply:
        return [rule["name"] for group in json.load(reply)["data"]["groups"] for rule in group["rules"]]


def test_rules_are_placed_taken_and_left_alone(rules: Run, server: Prometheus, place: Path) -> None:
    planned = rules(check=True, diff=True)
    assert planned["changed"] and "alert: Down" in planned["_output"]
    assert not place.exists()
    placed = rules()
    assert not placed["failed"], placed
    assert (placed["changed"], placed["reloaded"]) == (True, True)
    assert alerts(server) == ["Down"]
    assert place.stat().st_mode & 0o777 == 0o640
    again = rules()
    assert (again["changed"], again["reloaded"]) == (False, False)
    assert [path.name for path in place.parent.iterdir()] == ["shop.yml"]
    gone = rules(None, state="absent")
    assert gone["changed"] and not place.exists()
    assert alerts(server) == []


def test_rules_that_promtool_refuses_never_stand_there(rules: Run, server: Prometheus, place: Path) -> None:
    rules()
    before = place.stat()
    for check in (True, False):
        refused = rules(BROKEN, check=check)
        assert refused["failed"]
        assert f"promtool refuses {place}" in refused["msg"]
        assert "parse error" in refused["msg"]
    assert (place.read_text(), place.stat().st_ino) == (RULES, before.st_ino)
    assert alerts(server) == ["Down"]
    assert [path.name for path in place.parent.iterdir()] == ["shop.yml"]


def test_rules_that_no_configuration_names_are_taken_back(rules: Run, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = rules(path=str(elsewhere / "shop.yml"), timeout=1)
    assert refused["failed"]
    assert "does not evaluate the group shop" in refused["msg"]
    assert "what was there before is back" in refused["msg"]
    assert list(elsewhere.iterdir()) == []


def test_another_file_with_a_group_of_that_name_does_not_count(rules: Run, place: Path, tmp_path: Path) -> None:
    wanted = {"group": "shop", "name": "Away", "expr": "sum( up==0 ) by(job) > bool 0.50 or up offset 90m"}
    content = OTHER.replace("up == 0", wanted["expr"])
    assert rules(content, rules=[wanted])["reloaded"], "Prometheus prints it otherwise, and it is the same"
    assert not rules(content, rules=[wanted])["changed"]
    # What it goes on to evaluate is the file from before, and the new one is in a place that it does not read.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for changed, word in (("0.75", "another rule Away"), ("0.50", "")):
        new = {**wanted, "expr": wanted["expr"].replace("0.50", changed)}
        moved = rules(content.replace("0.50", changed), rules=[new], path=str(elsewhere / "shop.yml"), timeout=1)
        assert moved["failed"] == bool(word) and word in moved.get("msg", "")
    # The same expression, and an alert of another severity, or one that fires at another time.
    labelled = "groups: [{name: shop, rules: [{alert: Away, expr: up == 0, for: 90s, labels: {severity: critical}}]}]\n"
    mine = {"group": "shop", "name": "Away", "expr": "up==0", "for": "1m30s", "labels": {"severity": "critical"}}
    assert rules(labelled, rules=[mine])["reloaded"] and not rules(labelled, rules=[mine])["changed"]
    for more, word in (
        ({"labels": {"severity": "warning"}}, "other labels: severity='critical'"),
        ({"for": "0s"}, "must hold: 90s"),
    ):
        moved = rules(labelled, rules=[{**mine, **more}], path=str(elsewhere / "shop.yml"), timeout=1)
        assert moved["failed"] and word in moved["msg"]
    wrong = rules(labelled, rules=[{**mine, "for": "soon"}])
    assert wrong["failed"] and "rules[Away].for: expected a duration" in wrong["msg"]
    other = rules(RULES, rules=[{"group": "shop", "name": "Down", "expr": "up == 0"}], path=str(elsewhere / "down.yml"), timeout=1)
    assert other["failed"] and "it evaluates other rules in the group shop: Down" in other["msg"]


def test_a_whole_that_does_not_fit_together_takes_the_change_back(rules: Run, server: Prometheus, place: Path) -> None:
    rules()
    (server.directory / "prometheus.yml").write_text("global: {scrape_interval: never}\n")
    refused = rules(OTHER)
    assert refused["failed"]
    assert "refuses" in refused["msg"] and "prometheus.yml" in refused["msg"]
    assert place.read_text() == RULES
    unseen = rules(OTHER, config=None)
    assert unseen["failed"], "without promtool's look at the whole, Prometheus itself refuses"
    assert "refuses to reload" in unseen["msg"]
    assert place.read_text() == RULES


def test_a_run_that_died_before_the_reload_is_finished(rules: Run, server: Prometheus, place: Path) -> None:
    rules()
    place.write_text(OTHER)
    place.chmod(0o640)
    assert alerts(server) == ["Down"]
    finished = rules(OTHER)
    assert (finished["changed"], finished["reloaded"]) == (True, True)
    assert alerts(server) == ["Away"]


def test_prometheus_by_signal_and_not_at_all(rules: Run, server: Prometheus, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    pid.write_text(str(server.process.pid))
    assert rules(reload="none")["changed"]
    assert alerts(server) == []
    assert rules(reload="signal", pid_file=str(pid))["reloaded"]
    assert alerts(server) == ["Down"]
    pid.write_text("nobody")
    refused = rules(OTHER, reload="signal", pid_file=str(pid))
    assert "does not hold the number of a process" in refused["msg"]


def test_a_server_that_is_not_there(rules: Run, server: Prometheus, place: Path) -> None:
    server.stop()
    refused = rules()
    assert refused["failed"]
    assert "Connection refused" in refused["msg"]
    assert not place.exists()


def test_every_mistake_at_once(run_module: Run, tmp_path: Path) -> None:
    given = {
        "kind": "alertmanager",
        "path": f"{tmp_path}/none/a.yml",
        "content": "x",
        "reload": "none",
        "groups": ["x"],
        "mode": "rw",
    }
    refused = run_module("monitoring_config", {**given, "owner": "nobody-of-that-name"})
    assert len(refused["problems"]) == 4, refused["msg"]


@pytest.fixture
def configure(run_module: Run, alertmanager_bin: str) -> Run:
    def run(server: Alertmanager, content: str, check: bool = False, diff: bool = False, **more: Any) -> dict[str, Any]:
        tool = str(Path(alertmanager_bin).with_name("amtool"))
        given = {"kind": "alertmanager", "path": str(server.config), "url": server.url, "tool": tool, "content": content}
        return run_module("monitoring_config", {**given, **more}, check=check, diff=diff)

    return run


def test_alertmanager(configure: Run, alertmanager: Callable[..., Alertmanager], canary: str) -> None:
    server = alertmanager()
    hook = {"name": "team", "webhook_configs": [{"url": f"http://127.0.0.1:1/{canary}"}]}
    wanted = yaml.safe_dump({"route": {"receiver": "team"}, "receivers": [hook]})
    planned = configure(server, wanted, check=True, diff=True)
    placed = configure(server, wanted, diff=True)
    assert planned["changed"] and placed["reloaded"]
    assert not configure(server, wanted)["changed"]
    assert server.config.read_text() == wanted
    refused = configure(server, wanted.replace("receiver: team", "receiver: nobody-else"), secrets=[canary])
    assert "amtool refuses" in refused["msg"]
    assert server.config.read_text() == wanted
    assert sorted(os.listdir(server.directory)) == ["alertmanager.yml", "data", "log", "pid"]
    for one in (planned, placed, refused):
        assert canary not in str(one)


def test_alertmanager_by_signal(configure: Run, alertmanager: Callable[..., Alertmanager]) -> None:
    server = alertmanager()
    assert configure(server, CONFIG % ("a", "a"), reload="signal", pid_file=str(server.pid_file))["reloaded"]

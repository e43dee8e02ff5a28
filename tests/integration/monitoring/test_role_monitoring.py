# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role monitoring as a user runs it, until a threshold that is broken reaches a webhook."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CACHE, ROOT, Alertmanager, AnsibleResult, Prometheus, wait_until
from tests.integration.monitoring.stand_ins import GrafanaStandIn, WebhookStandIn

PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "golive.cutover.monitoring"}},
            {
                "ansible.builtin.debug": {
                    "msg": "untranslated {{ monitoring_result.untranslated | map(attribute='check') | join(' ') }}"
                }
            },
        ],
    }
]
PAGE = "streams_errors_total %d\nstreams_connected 3\n"

Play = Callable[..., AnsibleResult]


@pytest.fixture
def hook() -> Iterator[WebhookStandIn]:
    with WebhookStandIn() as served:
        yield served


class Site:
    """A Prometheus that tells an Alertmanager, and the variables of the role for them."""

    def __init__(self, prometheus: Prometheus, alertmanager: Alertmanager, place: Path, hook: WebhookStandIn, canary: str) -> None:
        self.prometheus, self.alertmanager, self.place = prometheus, alertmanager, place
        self.rules = place / "rules" / "golive-shop.yml"
        page = f"http://127.0.0.1:{prometheus.page.port}/metrics"
        self.variables: dict[str, Any] = {
            "cutover_environment": "shop",
            "cutover_secrets": {"hook": canary},
            "cutover_checks": [
                {
                    "id": "M-004",
                    "title": "Stream errors",
                    "metrics": {"url": page, "name": "streams_errors_total"},
                    "warn": {"value": "> 5"},
                    "critical": {"value": "> 20"},
                },
                {"id": "H-001", "http": {"url": "http://127.0.0.1:1"}, "expect": {"status": "== 200"}},
            ],
            "monitoring_scrape_interval": "200ms",
            "monitoring_interval": "200ms",
            "monitoring_no_data_hold": "1s",
            "monitoring_promtool": str(CACHE / "bin/promtool"),
            "monitoring_amtool": str(CACHE / "bin/amtool"),
            "monitoring_prometheus_url": prometheus.url,
            "monitoring_prometheus_config": str(prometheus.directory / "prometheus.yml"),
            "monitoring_rules_file": str(self.rules),
            "monitoring_alertmanager_url": alertmanager.url,
            "monitoring_alertmanager_config": str(alertmanager.config),
            "monitoring_receivers": {
                "critical": {"webhook_configs": [{"url": f"{hook.url}/critical/{canary}"}]},
                "warning": {"webhook_configs": [{"url": f"{hook.url}/warning/{canary}"}]},
            },
            "monitoring_dashboard_file": str(place / "dashboards" / "shop.json"),
            "monitoring_dashboard_uid": "spark-ta-module",
        }


THEIRS = """\
route:
  receiver: team
  routes: [{matchers: ['team="x"'], receiver: team}]
receivers: [{name: team}]
"""


@pytest.fixture
def site(
    prometheus: Callable[..., Prometheus],
    alertmanager: Callable[..., Alertmanager],
    tmp_path: Path,
    hook: WebhookStandIn,
    canary: str,
) -> Site:
    told = alertmanager(THEIRS)
    targets = f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{told.port}']}}]}}]}}\n"
    server = prometheus(PAGE % 3, config=f"rule_files: ['{tmp_path}/rules/*.yml']\n{targets}")
    return Site(server, told, tmp_path, hook, canary)


def test_a_broken_threshold_reaches_a_webhook(site: Site, ansible_playbook: Play, hook: WebhookStandIn, canary: str) -> None:
    planned = ansible_playbook(PLAY, "--check", "--diff", "-vvv", extra_vars=site.variables)
    assert planned.rc == 0, planned.output
    assert "+  - record: golive:measure" in planned.output
    assert not site.rules.exists() and site.alertmanager.config.read_text() == THEIRS
    done = ansible_playbook(PLAY, "--diff", "-vvv", extra_vars=site.variables)
    assert done.rc == 0, done.output
    assert "untranslated H-001" in done.output
    for run in (planned, done):
        assert canary not in run.output
    again = ansible_playbook(PLAY, extra_vars=site.variables)
    assert (again.rc, again.changed()) == (0, 0), again.output

    configured = yaml.safe_load(site.alertmanager.config.read_text())
    assert configured["route"]["routes"][1] == {"matchers": ['team="x"'], "receiver": "team"}
    board = json.loads((site.place / "dashboards" / "shop.json").read_text())
    assert (board["uid"], board["refresh"]) == ("spark-ta-module", "10s")

    wait_until(lambda: bool(site.prometheus.ask('golive:measure{check="M-004"}')), what="the recorded series")
    assert hook.alerts() == []
    site.prometheus.page.text = PAGE % 7
    wait_until(lambda: bool(hook.alerts("/warning")), what="the warning at the webhook", seconds=60)
    (warning,) = hook.alerts()
    assert (warning["labels"]["severity"], warning["labels"]["check"]) == ("warning", "M-004")
    site.prometheus.page.text = PAGE % 21
    wait_until(lambda: bool(hook.alerts("/critical")), what="the critical alert at the webhook", seconds=60)
    critical = hook.alerts("/critical")[0]
    assert critical["labels"]["condition"] == "critical > 20"
    assert critical["labels"]["alertname"] == "GoliveThreshold"
    assert critical["annotations"] == {"summary": "M-004: Stream errors", "description": "value is 21, critical when > 20"}
    site.prometheus.page.text = None
    silent = {"alertname": "GoliveNoData", "severity": "critical"}
    wait_until(lambda: any(silent.items() <= one["labels"].items() for one in hook.alerts()), 60, "the alert that there is no data")


def test_what_is_refused_changes_nothing(site: Site, ansible_playbook: Play) -> None:
    assert ansible_playbook(PLAY, extra_vars=site.variables).rc == 0
    rules, config = site.rules.read_text(), site.alertmanager.config.read_text()
    wrong = {**site.variables, "monitoring_receivers": {"critical": {"webhook_configs": [{"address": "nowhere"}]}}}
    refused = ansible_playbook(PLAY, extra_vars=wrong)
    assert refused.rc != 0
    assert "amtool refuses" in refused.output and "field address not found" in refused.output
    lookahead = {"url": "http://127.0.0.1:1", "query": "sum(up", "age_of": "none"}
    wrong = {**site.variables, "cutover_checks": [{"id": "Q", "promql": lookahead, "expect": {"value": "== 1"}}]}
    refused = ansible_playbook(PLAY, extra_vars=wrong)
    assert refused.rc != 0
    assert "promtool refuses" in refused.output
    strict = ansible_playbook(PLAY, extra_vars={**site.variables, "monitoring_strict": True})
    assert strict.rc != 0 and "some thresholds have no rule" in strict.output
    assert (site.rules.read_text(), site.alertmanager.config.read_text()) == (rules, config)


def test_the_dashboard_is_imported_into_a_stand_in_of_grafana(tmp_path: Path, ansible_playbook: Play, canary: str) -> None:
    check = {"id": "M", "metrics": {"url": "http://127.0.0.1:1/metrics", "name": "x"}, "critical": {"value": "> 20"}}
    with GrafanaStandIn(canary) as grafana:
        variables = {
            "cutover_environment": "shop",
            "cutover_checks": [check],
            "monitoring_outputs": ["dashboard"],
            "monitoring_dashboard_file": str(tmp_path / "shop.json"),
            "monitoring_grafana_url": grafana.url,
            "monitoring_grafana_api_key": canary,
        }
        assert ansible_playbook(PLAY, "--check", extra_vars=variables).rc == 0
        assert grafana.dashboards == {}
        done = ansible_playbook(PLAY, "-vvv", extra_vars=variables)
        assert done.rc == 0, done.output
        steps = grafana.dashboards["golive-shop"]["panels"][0]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps == [{"color": "green", "value": None}, {"color": "red", "value": 20}]
        again = ansible_playbook(PLAY, extra_vars=variables)
        assert (again.rc, again.changed(), grafana.writes) == (0, 0, 1), again.output
        grafana.refuse = True
        refused = ansible_playbook(PLAY, "-vvv", extra_vars={**variables, "cutover_environment": "blog"})
        assert refused.rc != 0
        for run in (done, refused):
            assert canary not in run.output


def test_the_dashboard_and_the_rules_of_the_runbook(tmp_path: Path, ansible_playbook: Play, promtool: str) -> None:
    variables = {
        "monitoring_outputs": ["rules", "dashboard"],
        "monitoring_promtool": promtool,
        "monitoring_prometheus_config": "",
        "monitoring_prometheus_reload": "none",
        "monitoring_rules_file": str(tmp_path / "spark.yml"),
        "monitoring_dashboard_file": str(tmp_path / "spark.json"),
    }
    done = ansible_playbook(PLAY, inventory=ROOT / "inventories/spark_ta", extra_vars=variables)
    assert done.rc == 0, done.output
    assert "untranslated SLO-1\n" in done.output.replace('"', "\n"), "whether the stream answers is known to the sampler alone"
    board = json.loads((tmp_path / "spark.json").read_text())
    assert (board["uid"], board["refresh"], board["time"]["from"]) == ("spark-ta-module", "10s", "now-1h")
    steps = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"] for panel in board["panels"][:-2]}
    assert steps["ESC-1: Stream errors in 5 minutes"] == [
        {"color": "green", "value": None},
        {"color": "yellow", "value": 5},
        {"color": "red", "value": 20},
    ]
    assert [step["value"] for step in steps["ESC-4: Growth of memory in 10 minutes"]] == [None, 0.1, 0.5]

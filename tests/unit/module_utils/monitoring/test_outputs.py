# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The route of Alertmanager within a configuration that is there, and the thresholds as Grafana draws them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.monitoring import registry
from tests.unit.module_utils.monitoring.test_translate import metrics, planned

HOOK = {"webhook_configs": [{"url": "http://hook.example/critical"}]}
BASE = {
    "global": {"resolve_timeout": "1m"},
    "route": {"receiver": "team", "routes": [{"matchers": ['team="x"'], "receiver": "team"}]},
    "receivers": [{"name": "team"}],
}


def rendered(**settings: Any) -> dict[str, Any]:
    return dict(yaml.safe_load(registry.render(planned(**settings), ["alertmanager"])["alertmanager"]))


def test_a_route_by_severity_is_put_before_those_that_are_there() -> None:
    document = rendered(base=BASE, receivers={"critical": HOOK, "warning": {}})
    ours, theirs = document["route"]["routes"]
    assert theirs == BASE["route"]["routes"][0]  # type: ignore[index]
    assert document["route"]["receiver"] == "team"
    assert [one["receiver"] for one in ours["routes"]] == ["golive-shop-critical"]
    assert {one["name"] for one in document["receivers"]} == {"team", "golive-shop-critical"}
    assert document["global"] == BASE["global"]


def test_what_was_rendered_before_is_replaced() -> None:
    once = rendered(base=BASE, receivers={"critical": HOOK, "warning": HOOK})
    assert rendered(base=once, receivers={"critical": HOOK, "warning": HOOK}) == once
    less = rendered(base=once, receivers={"warning": HOOK})
    assert [one["name"] for one in less["receivers"]] == ["team", "golive-shop-warning"]
    assert [one["receiver"] for one in less["route"]["routes"]] == ["golive-shop-warning", "team"]


def test_without_a_base_there_is_a_receiver_of_its_own() -> None:
    document = rendered()
    assert document["route"] == {"receiver": "golive-nobody", "routes": []}
    assert document["receivers"] == [{"name": "golive-nobody"}]
    assert rendered(base=document) == document


def test_another_environment_keeps_its_route() -> None:
    other = registry.render(registry.plan([], registry_settings("blog", receivers={"critical": HOOK})), ["alertmanager"])[
        "alertmanager"
    ]
    document = rendered(base=yaml.safe_load(other), receivers={"critical": HOOK})
    assert {one["name"] for one in document["receivers"]} == {"golive-nobody", "golive-blog-critical", "golive-shop-critical"}
    assert len(document["route"]["routes"]) == len(document["inhibit_rules"]) == 2


@pytest.mark.parametrize("theirs", ["shop-eu", "shop-critical", "sho"])
def test_an_environment_whose_name_begins_like_ours_keeps_its_route(theirs: str) -> None:
    other = registry.render(registry.plan([], registry_settings(theirs, receivers={"critical": HOOK})), ["alertmanager"])
    document = rendered(base=other["alertmanager"], receivers={"critical": HOOK})
    assert {one["name"] for one in document["receivers"]} == {
        "golive-nobody", f"golive-{theirs}-critical", "golive-shop-critical",
    }  # fmt: skip
    assert len(document["route"]["routes"]) == 2


def test_what_others_wrote_is_written_as_they_wrote_it() -> None:
    """In YAML 1.1 these are numbers, a flag and a time of 17 times 60."""
    text = """
global: {smtp_auth_password: 0123456, smtp_require_tls: true, resolve_timeout: 5m}
route: {receiver: on, group_wait: 17:00}
receivers:
  - name: on
    pushover_configs: [{user_key: 1_234, token: 0x1F, priority: 2, retry: ~}]
"""
    document = yaml.load(registry.render(planned(base=text), ["alertmanager"])["alertmanager"], Loader=yaml.BaseLoader)
    assert document["global"] == {"smtp_auth_password": "0123456", "smtp_require_tls": "true", "resolve_timeout": "5m"}
    assert document["route"]["receiver"] == document["receivers"][0]["name"] == "on"
    assert document["route"]["group_wait"] == "17:00"
    pushover = document["receivers"][0]["pushover_configs"][0]
    assert (pushover["user_key"], pushover["token"], pushover["priority"]) == ("1_234", "0x1F", "2")
    again = rendered(base=text)
    assert again["global"]["smtp_auth_password"] == "0123456" and again["global"]["smtp_require_tls"] is True


def test_a_base_that_cannot_be_read_is_refused_without_showing_it() -> None:
    for text in ("route: [canary", "- canary"):
        with pytest.raises(InputError) as caught:
            rendered(base=text)
        assert "canary" not in str(caught.value) and "base" in str(caught.value)


def registry_settings(environment: str, **more: Any) -> Any:
    from ansible_collections.golive.cutover.plugins.module_utils.monitoring.settings import read_settings

    return read_settings({"environment": environment, **more})


def test_a_base_that_is_none_is_refused() -> None:
    with pytest.raises(InputError):
        rendered(base={"route": [], "receivers": {}})


def board(*checks: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return dict(json.loads(registry.render(planned(*checks, **settings), ["dashboard"])["dashboard"]))


def steps(check: dict[str, Any]) -> list[tuple[float | None, str]]:
    found = board(check)["panels"][0]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(one["value"], one["color"]) for one in found]


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ({"warn": {"value": "> 5"}, "critical": {"value": "> 20"}}, [(None, "green"), (5, "yellow"), (20, "red")]),
        ({"expect": {"value": ">= 99.5%"}}, [(None, "red"), (0.995, "green")]),
        ({"expect": {"value": "== 1"}}, [(None, "red"), (1, "green"), (1.000000001, "red")]),
        ({"critical": {"value": "== 0"}}, [(None, "green"), (0, "red"), (1e-9, "green")]),
        ({"expect": {"value": [">= 1", "<= 3"]}}, [(None, "red"), (1, "green"), (3, "red")]),
        ({"warn": {"value": "> 20"}, "critical": {"value": "> 5"}}, [(None, "green"), (5, "red")]),
        ({"expect": {"value": "in 1, 2"}}, [(None, "red"), (1, "green"), (1.000000001, "red"), (2, "green"), (2.000000002, "red")]),
    ],
)
def test_thresholds_are_drawn(thresholds: dict[str, Any], expected: list[tuple[float | None, str]]) -> None:
    check = {"id": "D", "metrics": {"url": "http://a.example/metrics", "name": "x"}, **thresholds}
    assert steps(check) == [(None if value is None else pytest.approx(value), colour) for value, colour in expected]


def test_the_dashboard_of_the_runbook() -> None:
    document = board(metrics(), dashboard_uid="spark-ta-module", dashboard_title="Spark TA Module")
    assert (document["uid"], document["refresh"], document["time"]["from"]) == ("spark-ta-module", "10s", "now-1h")
    panel, alerts = document["panels"]
    assert panel["targets"][0]["expr"] == 'golive:measure{environment="shop",check="M-1",measure="value"}'
    assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] == {"mode": "line+area"}
    assert alerts["targets"][0]["expr"].startswith('ALERTS{alertstate="firing"')


def test_what_is_not_watched_stands_on_the_dashboard() -> None:
    text = board({"id": "H_1", "tcp": {"host": "a.example", "port": 1}, "expect": {"open": "== true"}})["panels"][-1]
    assert text["type"] == "text"
    assert "**H\\_1**" in text["options"]["content"]


def test_a_long_uid_is_cut_and_stays_its_own() -> None:
    one, other = (board(environment="e" * 60 + end)["uid"] for end in "ab")
    assert len(one) == len(other) == 40
    assert one != other

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rules count as loaded: the same ones, however Prometheus prints them."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.monitoring.loaded import (
    Rule,
    difference,
    read_groups,
    same_expression,
    seconds,
)
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.placing import NotNow, Placing, Server

RULE = Rule("High", 'rate(errors_total{job="shop"}[5m]) > 0.5')


def too_old(_expression: str) -> None:
    """A Prometheus that does not print an expression on request."""


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("up==0", "up == 0"),
        ("x[90m] > 1e3  # much", "x[1h30m] > 1000"),
        ("up{job='shop',}", 'up{job="shop"}'),
        ("up{path=~`a\\.b`}", 'up{path=~"a\\\\.b"}'),
        ("sum(x) by (job) > 5", "sum by (job) (x) > 5"),
        ("count(x{})", "count(x)"),
    ],
)
def test_the_same_in_other_words(written: str, printed: str) -> None:
    assert same_expression(written, printed, too_old)


@pytest.mark.parametrize(
    ("one", "other"),
    [("up > 5", "up > 6"), ("up > 5", "up >= 5"), ("x[5m]", "x[6m]"), ('up{job="a"}', 'up{job="b"}'), ("a or b", "a and b")],
)
def test_another_expression(one: str, other: str) -> None:
    assert not same_expression(one, other, too_old)


def test_prometheus_decides_where_it_can() -> None:
    assert same_expression("sum(x) by (job)", "sum by (job) (x)", lambda _text: "sum by (job) (x)")
    assert not same_expression("a - b", "b - a", lambda text: text)


def test_a_group_of_the_name_is_not_enough() -> None:
    wanted = {"golive:shop": [RULE]}
    older = Rule("High", RULE.expression.replace("0.5", "0.9"))
    assert difference(wanted, [("golive:shop", [RULE])], too_old) == ""
    assert "does not evaluate the group" in difference(wanted, [("other", [RULE])], too_old)
    assert "another rule High" in difference(wanted, [("golive:shop", [older])], too_old)
    assert "other rules in the group golive:shop: High" in difference(wanted, [("golive:shop", [])], too_old)
    assert "other rules in the group golive:shop: Low" in difference(wanted, [("golive:shop", [RULE, Rule("Low", "up")])], too_old)
    assert "order or number" in difference(wanted, [("golive:shop", [RULE, RULE])], too_old)
    # Two files may have groups of one name; one of them is ours.
    assert difference(wanted, [("golive:shop", [older]), ("golive:shop", [RULE])], too_old) == ""


LABELS = {"severity": "critical", "environment": "shop"}


@pytest.mark.parametrize(
    ("wanted", "there", "why"),
    [
        ({}, {"labels": LABELS, "hold": 300.0}, ""),
        ({"labels": LABELS}, {"labels": LABELS, "hold": 300.0}, ""),
        ({"labels": LABELS}, {"labels": {**LABELS, "severity": "warning"}}, "with other labels: severity='warning'"),
        ({"labels": LABELS}, {"labels": {"severity": "critical"}}, "with other labels: no environment"),
        ({"labels": {}}, {"labels": {"team": "x"}}, "with other labels: team='x'"),
        ({"labels": {"team": ""}}, {"labels": {}}, ""),
        ({"labels": LABELS}, {}, "with other labels: no environment, no severity"),
        ({"hold": 300.0}, {"hold": 300.0}, ""),
        ({"hold": 300.0}, {"hold": 60.0}, "another time for which it must hold: 60s"),
        ({"hold": 0.0}, {"hold": 60.0}, "another time for which it must hold: 60s"),
        ({"hold": 300.0}, {}, "another time for which it must hold: none"),
    ],
)
def test_labels_and_the_time_that_it_must_hold(wanted: dict[str, object], there: dict[str, object], why: str) -> None:
    one, other = RULE._replace(**wanted), RULE._replace(**there)  # type: ignore[arg-type]
    found = difference({"golive:shop": [one]}, [("golive:shop", [other])], too_old)
    assert why in found if why else found == ""


def test_what_prometheus_says_of_its_rules() -> None:
    alert = {
        "name": "High",
        "query": "up",
        "duration": 90,
        "labels": {"severity": "critical"},
        "annotations": {},
        "type": "alerting",
    }
    recorded = {"name": "x:up", "query": "up", "type": "recording"}
    document = {"data": {"groups": [{"name": "g", "rules": [alert, recorded]}]}}
    assert read_groups(document) == [("g", [Rule("High", "up", {"severity": "critical"}, 90.0), Rule("x:up", "up", {})])]
    assert [seconds(text) for text in ("0s", "1500ms", "1h30m", "2d")] == [0.0, 1.5, 5400.0, 172800.0]
    for text in ("", "5", "5 m", "-5m"):
        with pytest.raises(ValueError, match="expected a duration"):
            seconds(text)


def test_an_answer_that_did_not_come_is_asked_for_again() -> None:
    """That it is not known how an expression is printed proves no two rules the same, and is not remembered."""
    answers = [(503, "starting"), (200, "no JSON"), (200, json.dumps({"data": "printed"})), (200, json.dumps({"data": "printed"}))]
    group = {"name": "g", "rules": [{"name": "High", "query": "sum by (job) (x)", "duration": 0}]}
    asked: list[str] = []

    def fetch(_method: str, url: str) -> tuple[int, str]:
        if url.endswith("/rules"):
            return 200, json.dumps({"data": {"groups": [group]}})
        asked.append(url)
        return answers.pop(0)

    def placing() -> Placing:
        server = Server("prometheus", lambda _line: (0, "", ""), fetch, os.kill, "promtool", url="http://p")
        return Placing(server, lambda: 0.0, lambda _seconds: None, rules={"g": [Rule("High", "sum(x) by (job)")]})

    one = placing()
    assert one._missing().startswith("it does not say how it prints sum(x) by (job) (status 503)")
    assert "(status 200)" in one._missing()
    assert one._missing() == "" and one._missing() == "" and len(asked) == 4
    # One that is too old to be asked says so, and is asked once.
    answers += [(404, ""), (404, "")]
    other = placing()
    assert other._missing() == "" and other._missing() == "" and len(asked) == 6
    answers.append((500, ""))
    with pytest.raises(NotNow):
        placing().server.formatted("up")

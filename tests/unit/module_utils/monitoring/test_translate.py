# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes a rule, by which labels its series are chosen, and what is named because it does not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.monitoring import promql, registry
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import Plan
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.settings import read_settings

PAGE = "http://127.0.0.1:4001/metrics"


def planned(*checks: dict[str, Any], **settings: Any) -> Plan:
    return registry.plan(checks, read_settings({"environment": "shop", **settings}))


def metrics(column: str = "critical", source: Any = "> 5", **options: Any) -> dict[str, Any]:
    return {"id": "M-1", "metrics": {"url": PAGE, "name": "errors", **options}, column: {"value": source}}


def reasons(plan: Plan) -> list[str]:
    assert not plan.signals
    return [one.reason for one in plan.untranslated]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ({"id": "H", "http": {"url": "http://a.example"}, "expect": {"status": "== 200"}}, "the probe http asks"),
        ({**metrics(), "required": False, "skip": "no metrics here"}, "the check is skipped: no metrics here"),
        (metrics(source="== ok"), "a text is no value of a series"),
        (metrics("expect", "<= +10%"), "none is given"),
        (metrics(**{"as": "increase", "over": "1200ms"}), "its window of 1.2 s is shorter than 2 scrapes of 15 s"),
        (metrics(name="~err.*", **{"as": "delta", "over": "5m"}), "must be a choice of names"),
        (metrics(name="a.b"), "has a dot"),
        (metrics(labels={"page": PAGE}), "the label page is made by the probe"),
        (metrics(labels={"instance": "x"}), "the label instance is both"),
        ({**metrics(), "critical": {"samples": "> 5"}}, "samples is the arithmetic of the probe"),
        (
            {
                "id": "P",
                "promql": {"url": PAGE.removesuffix("/metrics"), "query": "up", "time": 1700000000},
                "expect": {"value": "== 1"},
            },
            "one fixed moment",
        ),
        (
            {
                "id": "P",
                "promql": {"url": PAGE.removesuffix("/metrics"), "query": "up", "absent": "zero", "age_of": "none"},
                "expect": {"value": "== 1"},
            },
            "say matchers",
        ),
    ],
)
def test_what_has_no_rule_is_named_with_the_reason(check: dict[str, Any], reason: str) -> None:
    assert any(reason in one for one in reasons(planned(check))), planned(check)


def test_every_threshold_is_a_rule_or_is_named() -> None:
    check = metrics(source=["> 5", "== ok", "> +10%"])
    plan = planned(check)
    (signal,) = plan.signals
    assert [one.source for one in signal.thresholds] + [one.condition for one in plan.untranslated] == ["> 5", "== ok", "> +10%"]


def test_the_labels_by_which_prometheus_knows_a_page() -> None:
    assert 'errors{instance="127.0.0.1:4001"}' in planned(metrics()).signals[0].expression
    mapped = planned(metrics(), targets={PAGE: {"instance": "executor-1:4001"}}, matchers={"job": "executor"})
    assert 'errors{job="executor",instance="executor-1:4001"}' in mapped.signals[0].expression
    several = metrics(url=[PAGE, "https://b.example/metrics"], reduce="sum")
    assert 'errors{instance=~"127\\\\.0\\\\.0\\\\.1:4001|b\\\\.example:443"}' in planned(several).signals[0].expression
    unlike = {PAGE: {"job": "a", "instance": "x"}, "https://b.example/metrics": {"job": "b", "instance": "y"}}
    assert "differ in more than one label" in reasons(planned(several, targets=unlike))[0]


def window(label: str, **more: Any) -> dict[str, Any]:
    own = {"name": "cpu", "labels": {"page": label, "mode": "user"}, "as": "rate", "reduce": "max", **more}
    store = {"store": "sqlite:///x.db", "environment": "shop", "over": "5m"}
    return {"id": "W", "window": {**store, "select": {"own": own}}, "critical": {"own": "> 1/s"}}


def test_a_page_by_its_label_is_a_page_by_its_name() -> None:
    targets = {"web": {"job": "web-next"}, "~web-.*": {"job": "any"}}
    (signal,) = planned(window("web"), targets=targets).signals
    assert 'cpu{mode="user",job="web-next"}' in signal.expression and "page" not in signal.expression
    assert 'up{job="web-next"}' in signal.expression, "a page that is not scraped is no smaller value"
    assert 'job="any"' in planned(window("~web-.*"), targets=targets).signals[0].expression
    assert (
        "targets does not say by which labels Prometheus knows the pages ~w.*"
        in reasons(planned(window("~w.*"), targets=targets))[0]
    )
    both = window("web")
    both["window"]["page"] = ["web"]
    assert "the label page is made by the probe" in reasons(planned(both, targets=targets))[0]
    # The sides of a ratio are of the same pages.
    to = {"name": "all", "labels": {"page": "web"}, "reduce": "sum"}
    plan = planned({**window("web", **{"as": "ratio", "to": to}), "critical": {"own": "> 5%"}}, targets=targets)
    assert 'all{job="web-next"}' in plan.signals[0].expression
    to["labels"] = {"page": "other"}
    plan = planned({**window("web", **{"as": "ratio", "to": to}), "critical": {"own": "> 5%"}}, targets=targets)
    assert "the label page is made by the probe" in reasons(plan)[0]


def test_a_check_that_is_nice_to_have_only_warns() -> None:
    plan = planned({**metrics(), "required": False})
    assert [one.severity for one in plan.signals[0].thresholds] == ["warning"]


def test_texts_of_users_stay_texts() -> None:
    check = {**metrics(labels={"path": 'a"b\\c\nd'}), "title": "{{ evil }}"}
    document = yaml.safe_load(registry.render(planned(check), ["rules"])["rules"])
    rules = document["groups"][0]["rules"]
    assert 'path="a\\"b\\\\c\\nd"' in rules[0]["expr"]
    assert rules[1]["annotations"]["summary"] == 'M-1: {{ "{{" }} evil }}'


def test_the_rule_file_names_what_it_does_not_hold() -> None:
    text = registry.render(planned(metrics(source=["> 5", "== ok"])), ["rules"])["rules"]
    assert "# not translated: M-1 value == ok: a text is no value of a series\n" in text


def test_secrets_of_checks_are_not_needed_and_not_written() -> None:
    text = registry.render(planned(metrics(headers={"Authorization": {"secret": "token"}})), ["rules", "dashboard"])
    assert "token" not in str(text)


def test_every_mistake_in_the_settings_is_told_at_once() -> None:
    with pytest.raises(InputError) as refused:
        read_settings(
            {
                "matchers": {"a-b": "x"},
                "targets": {"p": {"instance": "~("}},
                "receivers": {"fatal": {}},
                "labels": {"severity": "x"},
                "hold": 5,
                "refresh": "0s",
                "dashboard_uid": "a b",
                "more": 1,
            }
        )
    assert len(refused.value.problems) == 9, refused.value


@pytest.mark.parametrize(("seconds", "text"), [(300, "5m"), (1.5, "1500ms"), (90, "90s"), (86400, "1d"), (7200, "2h")])
def test_durations(seconds: float, text: str) -> None:
    assert promql.duration(seconds) == text


def test_a_duration_below_a_millisecond_has_no_promql() -> None:
    with pytest.raises(promql.Untranslatable):
        promql.duration(0.0001)


def test_a_window_of_raw_samples_becomes_the_functions_of_the_server() -> None:
    def asked(**options: Any) -> Any:
        return {"id": "P", "promql": {"url": "http://a:9090", "over": "5m", **options}, "expect": {"value": "<= 2%"}}

    ratio = asked(query="failed_total", to={"query": "sent_total", "reduce": "sum"}, reduce="sum", **{"as": "ratio"})
    (signal,) = planned(ratio).signals
    assert "increase(failed_total[5m])" in signal.expression and "increase(sent_total[5m])" in signal.expression
    assert reasons(planned(asked(query='{job="a"}', **{"as": "growth"}))) == [
        "over a window Prometheus loses the names of series; say the name before the braces"
    ]
    only = asked(query="a", **{"as": "max"}) | {"expect": {"coverage": ">= 95%"}}
    assert reasons(planned(only)) == ["coverage is the arithmetic of the probe, not a value of a series"]


def test_an_error_budget_becomes_a_rule_over_two_windows() -> None:
    window: dict[str, Any] = {
        "store": "sqlite:///a.db",
        "environment": "shop",
        "page": ["web"],
        "name": "failed_total",
        "absent": "zero",
    }
    window |= {"as": "burn_rate", "to": {"name": "sent_total"}, "objective": "99.5%", "period": "48h", "over": "24m"}
    check = {"id": "B", "window": window, "expect": {"burning": "== false"}, "critical": {"value": "> 14.4", "short": "> 14.4"}}
    plan = planned(check, targets={"web": {"job": "web"}})
    assert plan.untranslated == ()
    found = {one.measure: one for one in plan.signals}
    for windows in ("[24m]", "[2m]"):
        assert windows in found["burning"].expression
    assert "[2m]" not in found["value"].expression and "[24m]" not in found["short"].expression.split(" and ")[0]
    assert ">= bool 6" in found["burning"].expression and ">= 200) / 0.005" in found["value"].expression
    (threshold,) = found["burning"].thresholds
    assert threshold.expression.endswith(" != 0")
    (only,) = reasons(planned({"id": "B", "window": window, "expect": {"factor": "== 6"}}, targets={"web": {"job": "web"}}))
    assert only.startswith("factor is the arithmetic")

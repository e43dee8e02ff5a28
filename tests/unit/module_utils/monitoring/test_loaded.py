# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rules count as loaded: the same ones, however Prometheus prints them."""

from __future__ import annotations

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.monitoring.loaded import Rule, difference, same_expression

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

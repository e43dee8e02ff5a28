# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A threshold as a rule says what the threshold says: held against `Condition.holds` and the windows of the probes, by promtool."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import windows
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import parse_condition
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import Point
from tests.integration.monitoring.conftest import planned

URL = "http://127.0.0.1:4001/metrics"
INSTANCE = 'instance="127.0.0.1:4001",job="app"'
UP = {f"up{{{INSTANCE}}}": "1x100"}
LOOKS = 81
"""Samples up to the 20 minutes at which the alerts are asked for."""

Firing = set[tuple[str, str, str, str, str]]


def fires(check: str, source: str, column: str = "critical", measure: str = "value") -> tuple[str, str, str, str, str]:
    return ("GoliveThreshold", check, measure, f"{column} {source}", "warning" if column == "warn" else "critical")


def no_data(check: str, measure: str = "value", severity: str = "critical") -> tuple[str, str, str, str, str]:
    return ("GoliveNoData", check, measure, "", severity)


def metrics(check: str, name: str, column: str, source: str | list[str], **options: Any) -> dict[str, Any]:
    return {"id": check, "metrics": {"url": URL, "name": name, **options}, column: {"value": source}}


def test_random_values_against_random_conditions(evaluated: Callable[..., str]) -> None:
    numbers = random.Random(20251121)
    checks, series, firing = [], dict(UP), set()
    for index in range(300):
        value = numbers.choice([0.0, 1.0, 0.05, float(numbers.randrange(-50, 50)), numbers.uniform(-3, 3), numbers.uniform(0, 1e9)])
        limit = numbers.choice([value, value + 1, value - 1, float(numbers.randrange(-50, 50)), value * 1.0000001])
        operator = numbers.choice(["==", "!=", "<", "<=", ">", ">=", "in"])
        source = f"in {limit!r}, {limit + 7!r}, 3" if operator == "in" else f"{operator} {limit!r}"
        column = numbers.choice(["expect", "warn", "critical"])
        name, check = f"m{index}", f"R-{index:03}"
        checks.append(metrics(check, name, column, source))
        series[f"{name}{{{INSTANCE}}}"] = f"{value!r}x100"
        if parse_condition(source).holds(value) is (column != "expect"):
            firing.add(fires(check, source, column))
    assert 75 < len(firing) < 225
    plan = planned(checks)
    assert not plan.untranslated
    assert evaluated(plan, series, firing, at="1m") == ""
    assert evaluated(plan, series, set(list(firing)[1:]), at="1m") != "", "promtool sees one alert more than it was told"


def written(points: list[Point]) -> str:
    return " ".join("_" if point.value is None else repr(point.value) for point in points)


def walk(numbers: random.Random, kind: str) -> list[Point]:
    """Twenty minutes of a counter with resets, or of a gauge."""
    value, points = float(numbers.randrange(1, 100)), []
    speed, resets = numbers.choice([0.5, 5, 50]), numbers.choice([0, 0.05])
    for index in range(LOOKS):
        if kind in windows.COUNTED:
            value = 0.0 if numbers.random() < resets else value + numbers.randrange(0, int(speed * 4) + 2)
        else:
            value = max(value + numbers.gauss(0, speed), 0.5)
        points.append(Point(index * 15.0, value))
    return points


@pytest.mark.parametrize("kind", ["increase", "rate", "delta", "growth", "slope", "min", "max", "avg"])
def test_windows_say_what_the_probes_say(evaluated: Callable[..., str], kind: str) -> None:
    numbers = random.Random(f"{kind} 7")
    checks, series, firing = [], dict(UP), set()
    # No sample lies on the end of the window: whether that one belongs to it is not the same in all releases of Prometheus.
    start = (LOOKS - 1) * 15.0 - 293.0
    for index in range(25):
        points = walk(numbers, kind)
        inside = [point for point in points if point.at > start - (15 if kind in windows.CHANGED else 0)]
        value = windows.measure(kind, inside).value
        # Prometheus extrapolates what was counted, so the limits stay clear of the value by more than it can add.
        clear = max(abs(value) * 0.25, 1e-6)
        limit = value + clear * numbers.choice([-1, 1])
        operator = numbers.choice(["<", ">"])
        column = numbers.choice(["expect", "critical"])
        source = f"{operator} {limit * 100!r}%" if kind == "growth" else f"{operator} {limit!r}"
        if kind == "growth" and source.split()[1].startswith("-"):
            source = f"{operator} {limit!r}" if abs(limit) <= 1 else f"{operator} 1"
        name, check = f"m{index}", f"W-{index:02}"
        checks.append(metrics(check, name, column, source, **{"as": kind, "over": "293s"}))
        series[f"{name}{{{INSTANCE}}}"] = written(points)
        judged = parse_condition(source, "ratio" if kind == "growth" else "any")
        if judged.holds(value) is (column != "expect"):
            firing.add(fires(check, source, column))
    assert 5 < len(firing) < 20
    assert evaluated(planned(checks), series, firing) == ""


def test_ratio(evaluated: Callable[..., str]) -> None:
    def ratio(check: str, source: str, least: int = 1, of: str = "failed") -> dict[str, Any]:
        to = {"name": "sent", "reduce": "sum"}
        return metrics(check, of, "critical", source, **{"as": "ratio", "to": to, "over": "5m", "reduce": "sum", "least": least})

    series = {
        **UP,
        f'failed{{{INSTANCE},channel="a"}}': "0+1x100",
        f'failed{{{INSTANCE},channel="b"}}': "0+2x100",
        f'sent{{{INSTANCE},channel="a"}}': "0+100x100",
        f"idle{{{INSTANCE}}}": "7x100",
    }
    either = ratio("RATIO-5", "> 2.9%")
    either["metrics"]["to"] = {"name": "~(sent|failed)", "reduce": "sum"}
    below = ratio("RATIO-6", "> 3%")
    below["metrics"]["to"] = either["metrics"]["to"]
    none = ratio("RATIO-4", "> 2%")
    none["metrics"]["to"] = {"name": "idle"}
    # Too few to say is no gap in the data, as for the watch; a series that is not there, and nothing at all, are.
    few, gone = ratio("RATIO-3", "> 2%", least=10_000), ratio("RATIO-7", "> 2%", least=10_000)
    gone["metrics"]["to"] = {"name": "gone"}
    quiet = ratio("RATIO-8", "> 2%", least=50)
    quiet["metrics"]["to"] = {"name": "idle"}
    checks = [ratio("RATIO-1", "> 2%"), ratio("RATIO-2", "> 10%"), few, none, either, below, gone, quiet]
    expected = {fires("RATIO-1", "> 2%"), fires("RATIO-5", "> 2.9%"), no_data("RATIO-4"), no_data("RATIO-7")}
    assert evaluated(planned(checks), series, expected) == ""
    # Nobody scrapes the target any more: then nobody knows whether they are few.
    down = {**series, f"up{{{INSTANCE}}}": "1x40 0x60"}
    page = {URL: {"instance": "127.0.0.1:4001"}}
    assert evaluated(planned([few, quiet], targets=page), down, {no_data("RATIO-3"), no_data("RATIO-8")}) == ""


def test_no_evidence_is_an_alert_of_its_own(evaluated: Callable[..., str]) -> None:
    over = {"as": "increase", "over": "5m"}
    checks = [
        metrics("GONE", "gone", "critical", "> 5"),
        metrics("NAN", "nan", "critical", "> 5"),
        metrics("INF", "inf", "expect", ">= 0"),
        metrics("TWO", "two", "critical", "> 5"),
        metrics("TWO-SUM", "two", "critical", "> 5", reduce="sum"),
        metrics("HALF-NAN", "half", "critical", "> 5", reduce="max"),
        metrics("HALF-NAN-COUNT", "half", "critical", "> 5", reduce="count"),
        metrics("BEGINS", "begins", "critical", "> 5", **{"as": "delta", "over": "5m"}),
        metrics("ZERO", "never", "critical", "> 5", absent="zero", **over),
        metrics("ZERO-EXPECTED", "never", "expect", "> 5", absent="zero", **over),
        metrics("NAN-IS-NOT-ZERO", "nan", "expect", "== 0", absent="zero"),
        {**metrics("NICE", "gone", "warn", "> 5"), "required": False},
    ]
    series = {
        **UP,
        f'{{__name__="nan",{INSTANCE}}}': "NaN " * 100,
        f'{{__name__="inf",{INSTANCE}}}': "Inf " * 100,
        f'two{{{INSTANCE},n="1"}}': "4x100",
        f'two{{{INSTANCE},n="2"}}': "4x100",
        f'half{{{INSTANCE},n="1"}}': "4x100",
        f'half{{{INSTANCE},n="2"}}': "NaN " * 100,
        f"begins{{{INSTANCE}}}": "_x70 1x30",
    }
    silent = ("GONE", "NAN", "INF", "TWO", "HALF-NAN", "HALF-NAN-COUNT", "BEGINS", "NAN-IS-NOT-ZERO")
    expected = {no_data(one) for one in silent} | {no_data("NICE", severity="warning")}
    expected |= {fires("TWO-SUM", "> 5"), fires("ZERO-EXPECTED", "> 5", "expect")}
    assert evaluated(planned(checks), series, expected) == ""


def test_a_target_that_is_gone_is_no_zero_and_no_smaller_sum(evaluated: Callable[..., str]) -> None:
    urls = ["http://127.0.0.1:4001/metrics", "http://127.0.0.1:4002/metrics"]
    summed = {"id": "SUM", "metrics": {"url": urls, "name": "errors", "reduce": "sum"}, "critical": {"value": "> 5"}}
    zero = {"id": "ZERO", "metrics": {"url": urls, "name": "none", "reduce": "sum", "absent": "zero"}, "critical": {"value": "> 5"}}
    other = INSTANCE.replace("4001", "4002")
    alone = {**UP, f"errors{{{INSTANCE}}}": "3x100"}
    both = {**alone, f"up{{{other}}}": "1x100", f"errors{{{other}}}": "3x100"}
    assert evaluated(planned([summed, zero]), both, {fires("SUM", "> 5")}) == ""
    assert evaluated(planned([summed, zero]), {**both, f"up{{{other}}}": "1x40 0x60"}, {no_data("SUM"), no_data("ZERO")}) == ""
    assert evaluated(planned([summed, zero]), alone, {no_data("SUM"), no_data("ZERO")}) == ""


def test_the_first_errors_after_a_deployment_count(evaluated: Callable[..., str]) -> None:
    """A counter that is born at 30 has an increase of 0 in Prometheus; one that comes back with its target does not count anew."""
    checks = [
        metrics("BORN", "born_total", "critical", "> 20", **{"as": "increase", "over": "5m"}),
        metrics("BORN-RATE", "born_total", "critical", "> 0.05", **{"as": "rate", "over": "5m"}),
    ]
    born = {f"born_total{{{INSTANCE}}}": "_x69 30x30"}
    assert evaluated(planned(checks), {**UP, **born}, {fires("BORN", "> 20"), fires("BORN-RATE", "> 0.05")}) == ""
    # Of a target that nobody scraped before it is not known since when its counter has counted.
    fresh = {f"up{{{INSTANCE}}}": "_x69 1x30", 'up{job="other", instance="b"}': "1x99", **born}
    assert evaluated(planned(checks), fresh, set()) == ""
    returned = {f"up{{{INSTANCE}}}": "0x69 1x30", **born}
    assert evaluated(planned(checks), returned, set()) == ""


def test_window_and_promql(evaluated: Callable[..., str]) -> None:
    store = {"store": "sqlite:///var/lib/golive/golive.db", "environment": "shop"}
    checks = [
        {
            "id": "WIN",
            "window": {**store, "name": "errors_total", "reduce": "sum", "as": "increase", "over": "5m", "absent": "zero"},
            "warn": {"value": "> 5"},
            "critical": {"value": "> 100"},
        },
        {
            "id": "PQL",
            "promql": {"url": "http://127.0.0.1:9090", "query": "sum(load) # all", "age_of": "load"},
            "expect": {"value": "< 5"},
        },
        {"id": "PQL-OLD", "promql": {"url": "http://127.0.0.1:9090", "query": "stale"}, "expect": {"value": "< 5"}},
        {"id": "PQL-2", "promql": {"url": "http://127.0.0.1:9090", "query": "load", "reduce": "max"}, "critical": {"value": "> 5"}},
        {
            "id": "PQL-RANGE",
            "promql": {"url": "http://127.0.0.1:9090", "query": "sum(load)", "age_of": "load", "over": "5m", "step": "15s"},
            "critical": {"max": "> 7", "min": "> 7"},
        },
        {
            "id": "PQL-SCALAR",
            "promql": {"url": "http://127.0.0.1:9090", "query": "scalar(sum(load))", "age_of": "load"},
            "critical": {"value": "> 7"},
        },
    ]
    series = {
        **UP,
        f"errors_total{{{INSTANCE}}}": "0+1x100",
        f'load{{{INSTANCE},n="1"}}': "2x100",
        f'load{{{INSTANCE},n="2"}}': "6x100",
        f"stale{{{INSTANCE}}}": "1x60",
    }
    plan = planned(checks, matchers={"job": "app"})
    assert not plan.untranslated
    expected = {
        fires("WIN", "> 5", "warn"),
        fires("PQL", "< 5", "expect"),
        fires("PQL-2", "> 5"),
        fires("PQL-RANGE", "> 7", measure="max"),
        fires("PQL-RANGE", "> 7", measure="min"),
        fires("PQL-SCALAR", "> 7"),
        no_data("PQL-OLD"),
    }
    assert evaluated(plan, series, expected) == ""


def test_relative_to_a_baseline(evaluated: Callable[..., str]) -> None:
    checks = [metrics("MORE", "memory", "critical", "> +10%"), metrics("LESS", "memory", "expect", ">= -5%")]
    plan = planned(checks, baseline={"MORE": {"value": 100.0}, "LESS": {"value": 120.0}})
    assert (
        evaluated(plan, {**UP, f"memory{{{INSTANCE}}}": "111x100"}, {fires("MORE", "> +10%"), fires("LESS", ">= -5%", "expect")})
        == ""
    )
    assert evaluated(plan, {**UP, f"memory{{{INSTANCE}}}": "110x100"}, {fires("LESS", ">= -5%", "expect")}) == ""


def test_series_and_age(evaluated: Callable[..., str]) -> None:
    check = metrics("SERIES", "load", "critical", "> 5", reduce="sum")
    check["expect"] = {"series": "== 2", "age": "< 60s"}
    series = {**UP, f'load{{{INSTANCE},n="1"}}': "1x100", f'load{{{INSTANCE},n="2"}}': "1x77"}
    assert evaluated(planned([check]), series, set(), at="20m") == ""
    assert evaluated(planned([check]), series, {fires("SERIES", "< 60s", "expect", "age")}, at="21m30s") == ""
    assert evaluated(planned([check]), series, {fires("SERIES", "== 2", "expect", "series")}, at="25m") == ""

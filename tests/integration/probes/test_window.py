# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The window probe: what the samples in a store say about the last minutes, and when they say nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.window import WindowProbe
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Look
from tests.integration.probes import looking

PROBE = WindowProbe()
PAGE = "http://127.0.0.1:4001/metrics"
EVERY = 30.0


class Kept:
    """A store to put samples into, by how many seconds ago they were taken."""

    def __init__(self, address: str, password: Optional[str] = None, host: str = "") -> None:
        self.address = address
        self.password = password
        self.host = host
        self.now = time.time()

    def put(self, ago: float, page: str = PAGE, **values: float) -> None:
        # "errors__code_500" is errors{code="500"}
        series: dict[samples.Key, float] = {}
        for name, value in values.items():
            plain, _, label = name.partition("__")
            key, _, text = label.partition("_")
            series[(plain, ((key, text),) if label else ())] = value
        with open_store(self.address, "spark", self.password) as store:
            samples.write(store, [Look(page, self.now - ago, series)], host=self.host)

    def each(self, over: float, every: float = EVERY, page: str = PAGE, until: float = 0.0, **series: Any) -> None:
        """A sample of each series every so many seconds; the values are functions of the number of the sample."""
        count = int((over - until) / every)
        with open_store(self.address, "spark", self.password) as store:
            looks = []
            for number in range(count + 1):
                values: dict[samples.Key, float] = {
                    (name, ()): value(number) for name, value in series.items() if value(number) is not None
                }
                looks.append(Look(page, self.now - over + number * every, values))
            samples.write(store, looks, host=self.host)

    def look(self, **options: Any) -> Observation:
        """Look at the moment at which the store was made, however long ago that is."""
        clean = looking.read(PROBE, {"store": self.address, "environment": "spark", "over": "5m", **options})
        seen = PROBE.look(clean, Context(deadline=time.monotonic() + 5, now=lambda: self.now))
        assert seen.proof
        assert set(seen.measures) | set(seen.missing) == set(PROBE.measures_for(clean))
        assert not set(seen.measures) & set(seen.missing)
        return seen

    def refused(self, **options: Any) -> str:
        with pytest.raises(ProbeError) as caught:
            self.look(**options)
        return str(caught.value)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(f"sqlite://{tmp_path}/golive.db")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("value", 320),
        ("increase", 50),
        ("rate", 50 / 300),
        ("delta", 50),
        ("growth", 50 / 270),
        ("min", 275),
        ("max", 320),
        ("avg", 297.5),
        ("slope", 5 / 30),
    ],
)
def test_each_word(kept: Kept, kind: str, value: float) -> None:
    kept.each(665, until=5, a=lambda number: 210 + 5.0 * number)
    seen = kept.look(name="a", **{"as": kind})
    assert seen.measures["value"] == pytest.approx(value)
    assert seen.measures["coverage"] == 1.0
    assert (seen.measures["samples"], seen.measures["gaps"], seen.measures["series"]) == (10, 0, 1)
    assert seen.proof["every"] == 30.0
    if kind == "slope":
        assert seen.measures["tau"] == 1.0


def test_a_ratio_of_two_series(kept: Kept) -> None:
    kept.each(600, errors_total=lambda number: 2.0 * number, requests_total=lambda number: 100.0 * number)
    asked: dict[str, Any] = {"name": "errors_total", "as": "ratio", "to": {"name": "requests_total"}}
    seen = kept.look(**asked)
    assert seen.measures["value"] == pytest.approx(0.02)
    assert seen.proof["counted"]["value"] == {"of": 20.0, "to": 1000.0}
    assert "are too few to say: 2000 are needed" in kept.look(**asked, least=2000).missing["value"]


def test_no_traffic_is_no_ratio(kept: Kept) -> None:
    kept.each(600, errors_total=lambda _number: 0.0, requests_total=lambda _number: 7.0)
    seen = kept.look(name="errors_total", **{"as": "ratio", "to": {"name": "requests_total"}})
    assert "nothing to be a part of" in seen.missing["value"]


def test_resets_births_and_absences_are_told(kept: Kept) -> None:
    kept.each(
        600,
        a_total=lambda number: float(number if number < 15 else number - 15),
        b_total=lambda number: None if number < 15 else 3.0,
    )
    seen = kept.look(select={"a": {"name": "a_total", "as": "increase"}, "b": {"name": "b_total", "as": "increase"}})
    assert seen.measures["b"] == 3
    assert seen.measures["a"] == 9
    assert seen.measures["resets"] == 1
    assert (seen.proof["resets"], seen.proof["born"]) == (1, 1)
    assert seen.proof["series"] == {"a": 1, "b": 1}


def test_a_label_page_of_the_series_itself(kept: Kept) -> None:
    """It is not mistaken for the page on which the series stands, as which it would be left out of a sum."""
    with open_store(kept.address, "spark") as store:
        looks = []
        for number in range(12):
            values: dict[samples.Key, float] = {
                ("errors_total", (("page", "/a"),)): 5.0,
                ("errors_total", (("page", "zoo"),)): 100.0 * number,
            }
            looks.append(Look(PAGE, kept.now - 330 + number * 30, values))
        samples.write(store, looks)
    seen = kept.look(name="errors_total", reduce="sum", **{"as": "increase"})
    assert (seen.measures["value"], seen.measures["series"]) == (1000, 2)
    seen = kept.look(name="errors_total", labels={"exported_page": "zoo"}, **{"as": "increase"})
    assert (seen.measures["value"], seen.measures["series"]) == (1000, 1)


def test_several_series_need_a_reduction(kept: Kept) -> None:
    for ago in range(330, -1, -30):
        kept.put(ago, e_total__code_500=330 - ago, e_total__code_502=1)
    assert "2 series match e_total; say reduce" in kept.look(name="e_total", **{"as": "increase"}).missing["value"]
    assert kept.look(name="e_total", reduce="sum", **{"as": "increase"}).measures["value"] == 300
    assert kept.look(name="e_total", labels={"code": "502"}, **{"as": "increase"}).measures["value"] == 0
    assert kept.look(name="e_total", reduce="count").measures["value"] == 2


def test_absent_may_be_zero_where_the_page_was_looked_at(kept: Kept) -> None:
    kept.each(600, a=lambda _number: 1.0)
    assert "no series matches x" in kept.look(name="x").missing["value"]
    assert kept.look(name="x", absent="zero", **{"as": "increase"}).measures["value"] == 0


# ---------------------------------------------------------------------------------------------------------------------
# What is not covered


def test_a_sampler_that_began_late(kept: Kept) -> None:
    kept.each(120, a=float)
    seen = kept.look(name="a", **{"as": "increase"})
    assert "cover 40 % of the last 300 s, 90 % are needed: sampling began later" in seen.missing["value"]
    assert seen.measures["coverage"] == pytest.approx(0.4, abs=0.01)
    assert kept.look(name="a", coverage="30%", **{"as": "increase"}).measures["value"] == 4


def test_a_sampler_that_stopped(kept: Kept) -> None:
    kept.each(900, until=150, a=float)
    reason = kept.look(name="a").missing["value"]
    assert "1 gap of up to 150" in reason and "the newest sample is 150" in reason


def test_a_sampler_that_is_gone(kept: Kept) -> None:
    kept.each(7200, until=3600, a=float)
    error = kept.refused(name="a")
    assert f"{PAGE}: 0 samples in the window; two are needed; the newest is 3600" in error


def test_a_gap_in_the_middle(kept: Kept) -> None:
    kept.each(600, until=210, a=float)
    kept.each(90, a=lambda number: 100.0 + number)
    seen = kept.look(name="a", **{"as": "increase"})
    assert "1 gap of up to 120 s" in seen.missing["value"]
    assert (seen.measures["gaps"], seen.proof["gaps"]) == (1, 1)


def test_samples_of_the_future(kept: Kept) -> None:
    kept.each(600, a=float)
    kept.now -= 3600
    error = kept.refused(name="a")
    assert "in the future: the clock was put back" in error


def test_one_of_two_pages_is_silent(kept: Kept) -> None:
    other = "http://127.0.0.1:4002/metrics"
    kept.each(600, a=float)
    kept.each(600, page=other, until=400, a=float)
    asked: dict[str, Any] = {"name": "a", "reduce": "sum", "as": "increase"}
    assert other in kept.refused(**asked)
    assert kept.look(page=PAGE, **asked).measures["value"] == 10
    assert kept.look(page=[r"~.*:4001/.*"], **asked).measures["value"] == 10


def test_each_page_that_is_named_must_have_samples(kept: Kept) -> None:
    kept.each(600, a=float)
    asked: dict[str, Any] = {"name": "a", "reduce": "sum", "as": "increase"}
    assert "holds no samples of the page other for spark" in kept.refused(page=[PAGE, "other"], **asked)
    assert "holds no samples of the page ~.*:4002/.*" in kept.refused(page=["~.*:4001/.*", "~.*:4002/.*"], **asked)
    for page in ("other", "~.*:4002/.*"):
        seen = kept.look(labels={"page": page}, absent="zero", **asked)
        assert f"there are no samples of the page {page}" in seen.missing["value"]
    # One whose newest sample is older than what is kept has none.
    kept.each(600, page="old", a=float)
    kept.now += samples.KEEP + samples.SLOT
    kept.each(600, a=float)
    assert kept.look(**asked).measures["value"] == 10
    assert "holds no samples of the page old for spark" in kept.refused(page=[PAGE, "old"], **asked)


def test_few_samples_do_not_show_how_often_it_is_looked_at(kept: Kept) -> None:
    for ago in (70 * 60, 35 * 60):
        kept.put(ago, a=1)
    assert "1 sample in the window do not show how often" in kept.refused(name="a", over="1h")
    assert kept.look(name="a", over="1h", every="35m").measures["value"] == 1


def test_the_newest_sample_may_not_be_old(kept: Kept) -> None:
    """Not even where little of the window need be covered."""
    kept.each(600, until=150, a=float)
    assert "the newest sample of" in kept.look(name="a", coverage="10%").missing["value"]
    slow = Kept(kept.address.replace("golive", "slow"))
    slow.each(125 * 60, every=15 * 60, until=35 * 60, a=float)
    assert "the newest sample is 2100 s old" in slow.look(name="a", over="2h").missing["value"]


def test_series_that_did_not_fit_may_be_meant(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MOST_SERIES", 1)
    other = "http://127.0.0.1:4002/metrics"
    kept.each(600, page=other, errors_total=float)
    for ago in range(600, -1, -30):
        kept.put(ago, errors_total__i_0=0, errors_total__i_1=600 - ago)
    asked: dict[str, Any] = {"name": "errors_total", "reduce": "sum", "as": "increase", "absent": "zero"}
    seen = kept.look(**asked)
    why = f"some series of {PAGE} were left out because there were too many, errors_total may be among them"
    assert seen.missing == {"value": why, "series": why, "resets": why}
    assert kept.look(page=other, **asked).measures["value"] == 10
    assert kept.look(labels={"page": other}, **asked).measures["value"] == 10
    of = {"name": "errors_total", "labels": {"page": other}}
    asked = {**of, "as": "ratio", "to": {"name": "errors_total", "reduce": "sum"}}
    assert kept.look(**asked).missing["value"] == why


@pytest.mark.parametrize("kind", ["min", "max", "avg"])
def test_a_gauge_that_is_absent_could_have_had_any_value(kept: Kept, kind: str) -> None:
    kept.each(600, a=lambda number: 1.0 if number == 20 else None, b=lambda _number: 1.0)
    assert "the series was not on 9 of 10 pages" in kept.look(name="a", **{"as": kind}).missing["value"]
    assert kept.look(name="b", **{"as": kind}).measures["value"] == 1


def test_resets_are_unknown_where_the_value_is(kept: Kept) -> None:
    kept.each(120, a=float)
    assert "cover 40 %" in kept.look(name="a", **{"as": "increase"}).missing["resets"]


def test_a_store_without_samples(kept: Kept) -> None:
    error = kept.refused(name="a")
    assert "holds no samples for spark" in error
    kept.each(600, a=float)
    error = kept.refused(name="a", page="other")
    assert "holds no samples of the page other" in error


def test_nan_and_a_series_that_is_gone(kept: Kept) -> None:
    kept.each(600, a=lambda number: float("nan") if number == 15 else 1.0, b=lambda number: 1.0 if number < 20 else None)
    assert "a sample is nan" in kept.look(name="a", **{"as": "max"}).missing["value"]
    assert "not on the newest page" in kept.look(name="b").missing["value"]


# ---------------------------------------------------------------------------------------------------------------------
# As a check


def test_as_checks_of_a_runbook(kept: Kept) -> None:
    kept.each(900, errors_total=lambda number: number * 1.0, memory=lambda number: 1e8 + number * 1e6)
    common = {"store": kept.address, "environment": "spark"}
    checks = read_checks(
        [
            {
                "id": "E-1",
                "window": {**common, "name": "errors_total", "as": "increase", "over": "5m"},
                "warn": {"value": "> 5"},
                "critical": {"value": "> 20"},
            },
            {
                "id": "G-1",
                "window": {**common, "name": "memory", "as": "growth", "over": "10m"},
                "critical": {"value": "> 10%"},
            },
            {
                "id": "S-1",
                "window": {**common, "name": "memory", "as": "slope", "over": "10m"},
                "critical": {"tau": ">= 0.9"},
            },
            {"id": "X-1", "window": {**common, "name": "nothing", "over": "10m"}, "critical": {"value": "> 0"}},
        ],
        {"window": PROBE},
    )
    verdicts = {one["id"]: one for one in run_checks(checks, {"window": PROBE})}
    assert {name: one["status"] for name, one in verdicts.items()} == {
        "E-1": "warn",
        "G-1": "fail",
        "S-1": "fail",
        "X-1": "inconclusive",
    }
    assert verdicts["G-1"]["reason"].startswith("value is 18.")


def test_a_store_with_a_password(redis_server: Callable[..., Any], canary: str) -> None:
    server = redis_server({"requirepass": canary})
    kept = Kept(server.url, canary, "web-1")
    kept.each(600, a=float)
    assert kept.look(name="a", host="web-1", store_password=Secret(canary)).measures["value"] == 20
    error = kept.refused(name="a", host="web-1", store_password=Secret("no"))
    assert canary not in error and "cannot" in error


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, "name: give either name"),
        ({"name": "a", "select": {"b": {"name": "b"}}}, "name: give either name"),
        ({"name": "a", "as": "ratio"}, "to: is what a ratio is taken to"),
        ({"name": "a", "to": {"name": "b"}}, "to: is what a ratio is taken to"),
        ({"name": "a", "as": "ratio", "to": {}}, "window.to: to.name: is missing"),
        ({"name": "a", "least": 5}, "least: goes with as: ratio"),
        ({"name": "a", "over": "0s"}, "over: is no time"),
        ({"name": "a", "over": "60d"}, "over: is longer than samples can be kept"),
        ({"name": "a", "every": "10m"}, "every: is the pause"),
        ({"name": "a", "coverage": "0%"}, "expected a percentage"),
        ({"name": "a", "page": "~("}, "not a regular expression"),
        ({"name": "a", "as": "sum"}, "expected one of value, increase"),
        ({"select": {"series": {"name": "b"}}}, "none of series"),
        ({"select": {"b": {}}}, "b.name: is missing"),
        ({"select": {"b": {"name": "b"}}, "as": "rate"}, "as: goes into the entries of select"),
        ({"name": "a", "store": "redis://:secret@h/0"}, "a password in the address of the store"),
        ({"name": "a", "environment": "a b"}, "is not a name"),
        ({"name": "a", "store_password": "plain"}, "expected {secret: NAME}"),
    ],
)
def test_mistakes_are_refused(options: dict[str, Any], wrong: str) -> None:
    given = {"store": "sqlite:///nowhere/golive.db", "environment": "spark", "over": "5m", **options}
    assert any(wrong in one for one in looking.mistakes(PROBE, given)), looking.mistakes(PROBE, given)


# Error budgets


BURN: dict[str, Any] = {
    "name": "requests_failed_total",
    "as": "burn_rate",
    "to": {"name": "requests_total"},
    "objective": "99.5%",
    "period": "48h",
    "over": "24m",
}


@pytest.mark.parametrize(
    ("failed", "value", "short", "burning"),
    [
        # Of 40 requests a sample every 0.2 fails, which is the objective: the budget lasts just for the period.
        (lambda number: number * 0.2, 1, 1, False),
        (lambda number: number * 2.0, 10, 10, True),
        # It was bad, and is over; it began just now.
        (lambda number: min(number, 30) * 8.0, 15, 0, False),
        (lambda number: max(number - 56, 0) * 8.0, 10 / 3, 40, False),
    ],
)
def test_a_burn_rate_is_an_alert_where_both_windows_burn(kept: Kept, failed: Any, value: Any, short: Any, burning: bool) -> None:
    kept.each(1800, requests_total=lambda number: 100 + 60.0 * number, requests_failed_total=lambda number: failed(number) * 1.5)
    seen = kept.look(**BURN)
    assert {name: seen.measures[name] for name in ("value", "short", "factor")} == pytest.approx(
        {"value": value, "short": short, "factor": 6}
    )
    assert seen.measures["burning"] is burning
    assert seen.proof["counted"]["value"]["to"] == 48 * 60 and seen.proof["counted"]["short"]["to"] == 4 * 60
    # The same window, as a share of the budget: a twentieth of it in the hundred and twentieth part of the period.
    assert kept.look(**BURN, budget="5%").measures["factor"] == pytest.approx(6)


def test_too_few_requests_for_a_burn_rate(kept: Kept) -> None:
    kept.each(1800, requests_total=lambda number: 3.0 * number, requests_failed_total=lambda number: 0.0)
    seen = kept.look(**BURN)
    for name in ("value", "short", "burning"):
        assert seen.missing[name].endswith("144 requests are too few to say: an objective of 99.5 % needs 200")
    assert seen.proof["counted"] == {"value": {"of": 0, "to": 144}, "short": {"of": 0, "to": 12}}
    # Enough in the long window, in which nothing burns: so it is no alert, whatever the short one holds.
    kept.each(1800, page="b", requests_total=lambda number: 20.0 * number, requests_failed_total=lambda number: 0.0)
    seen = kept.look(**BURN, page=["b"])
    assert (seen.measures["value"], seen.measures["burning"]) == (0, False)
    assert seen.missing["short"] == "in the last 120 s 80 requests are too few to say: an objective of 99.5 % needs 200"
    kept.each(1800, page="c", requests_total=lambda number: 20.0 * number, requests_failed_total=lambda number: 1.0 * number)
    seen = kept.look(**BURN, page=["c"])
    assert seen.measures["value"] == pytest.approx(10)
    assert seen.missing["burning"] == seen.missing["short"]


def test_a_burn_rate_of_a_window_that_nobody_looked_at(kept: Kept) -> None:
    """One gap that the long window can stand is most of the short one."""
    kept.each(1800, until=120, requests_total=lambda number: 100.0 * number, requests_failed_total=lambda number: 0.0)
    kept.put(0, requests_total=6000.0, requests_failed_total=0.0)
    seen = kept.look(**BURN)
    assert {"value", "short", "factor", "burning"} <= set(seen.missing)
    assert "of the last 120 s" in seen.missing["burning"] or "in the window" in seen.missing["burning"]
    odd = Kept(kept.address)
    odd.each(1800, page="odd", requests_total=lambda number: 10.0 * number, requests_failed_total=lambda number: 20.0 * number)
    assert "is not a number of failed requests" in odd.look(**BURN, page=["odd"]).missing["value"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"objective": None}, "objective: is missing"),
        ({"period": None}, "period: is missing"),
        ({"to": None}, "to: is what a ratio is taken to"),
        ({"objective": "100%"}, "objective: 1.0 is not an objective that can be judged"),
        ({"over": "1h"}, "over: is the window of no alert for a period of 48h: 12m, 24m, 96m, 288m are; else say budget"),
        ({"over": "1h", "budget": "2%"}, "budget: 2 % of the budget of 48 h in 1 h is a burn rate of 0.96"),
        ({"every": "5m"}, "over: is the window of no alert for a period of 48h: 120m, 288m are"),
        ({"as": "ratio", "period": None}, "objective: goes with as: burn_rate"),
    ],
)
def test_mistakes_about_error_budgets(options: dict[str, Any], why: str) -> None:
    raw = {"store": "sqlite:///a.db", "environment": "spark", **BURN, **options}
    (found,) = looking.mistakes(PROBE, {name: value for name, value in raw.items() if value is not None})
    assert why in found

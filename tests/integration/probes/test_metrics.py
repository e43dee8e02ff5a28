# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The metrics probe against pages that are right, wrong, large and never ending."""

from __future__ import annotations

import email.utils
import resource
import time
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.metrics import MetricsProbe
from tests.integration.probes import servers
from tests.integration.probes.looking import look, mistakes, read, refused
from tests.integration.probes.servers import answer, page, replies, serve

PROBE = MetricsProbe()
PAGE = """\
# HELP alerts_suppressed_total Suppressed
# TYPE alerts_suppressed_total counter
alerts_suppressed_total{reason="cooldown"} 3
alerts_suppressed_total{reason="muted"} 4
# TYPE alerts_active gauge
alerts_active 2
"""


def _look(text: str, **options: Any) -> Any:
    with serve(replies(page(text))) as server:
        return look(PROBE, url=server.url("/metrics"), **options)


# One reading


def test_one_series() -> None:
    seen = _look(PAGE, name="alerts_active")
    assert (seen.measures["value"], seen.measures["series"], seen.measures["samples"]) == (2, 1, 1)
    assert (seen.proof["series"], seen.proof["samples"], seen.proof["bytes"]) == (1, 1, len(PAGE))


@pytest.mark.parametrize(("how", "value"), [("sum", 7), ("max", 4), ("min", 3), ("avg", 3.5), ("count", 2), (None, None)])
def test_several_series_need_a_reduction(how: str | None, value: float | None) -> None:
    seen = _look(PAGE, name="alerts_suppressed_total", reduce=how)
    assert seen.measures.get("value") == value
    assert seen.measures["series"] == 2
    if how is None:
        assert "2 series match alerts_suppressed_total; say reduce" in seen.missing["value"]


@pytest.mark.parametrize(("labels", "value"), [({"reason": "cooldown"}, 3), ({"reason": "~mut.*"}, 4), ({"reason": "mut"}, None)])
def test_labels(labels: dict[str, str], value: float | None) -> None:
    seen = _look(PAGE, name="alerts_suppressed_total", labels=labels)
    assert seen.measures.get("value") == value
    if value is None:
        assert seen.missing["value"] == 'no series matches alerts_suppressed_total{reason="mut"}'


def test_labels_may_be_written_as_numbers() -> None:
    assert _look('http_total{code="500"} 3\n', name="http_total", labels={"code": 500}).measures["value"] == 3


def test_a_series_that_is_absent_is_zero_only_when_that_is_said() -> None:
    assert "value" not in _look(PAGE, name="alerts_errors_total").measures
    seen = _look(PAGE, name="alerts_errors_total", absent="zero")
    assert (seen.measures["value"], seen.measures["series"]) == (0, 0)
    assert _look(PAGE, name="alerts_errors_total", absent="zero", reduce="count").measures["value"] == 0


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
@pytest.mark.parametrize("how", ["sum", "max", "min"])
def test_a_value_that_is_no_number_is_never_judged(value: str, how: str) -> None:
    seen = _look(f'a{{n="1"}} 1\na{{n="2"}} {value}\n', name="a", reduce=how)
    assert "value" not in seen.measures
    assert "one of 2 series is" in seen.missing["value"]


def test_a_series_that_appears_twice() -> None:
    seen = _look('a{n="1",m="2"} 1\na{m="2",n="1"} 5\n', name="a", reduce="sum")
    assert seen.missing["value"] == 'the series a{m="2",n="1"} appears twice on the page'


def test_several_values_from_one_reading() -> None:
    with serve(replies(page(PAGE))) as server:
        seen = look(
            PROBE,
            url=server.url(),
            select={
                "active": {"name": "alerts_active"},
                "suppressed": {"name": "~alerts_.*_total", "reduce": "sum"},
                "errors": {"name": "alerts_errors_total"},
            },
        )
        assert len(server.requests) == 1
    assert (seen.measures["active"], seen.measures["suppressed"], seen.measures["series.suppressed"]) == (2, 7, 2)
    assert "no series matches" in seen.missing["errors"]
    assert seen.proof["series"] == {"active": 1, "suppressed": 2, "errors": 0}


def test_openmetrics() -> None:
    text = '# TYPE app counter\napp_total 5 1700000000.5 # {trace="x"} 1\n# EOF\n'
    with serve(replies(page(text, "application/openmetrics-text; version=1.0.0; charset=utf-8"))) as server:
        seen = look(PROBE, url=server.url(), name="app_total")
        assert b"Accept: text/plain;version=0.0.4" in server.requests[0]
    assert seen.measures["value"] == 5
    assert float(seen.measures["age"]) == pytest.approx(time.time() - 1700000000.5, abs=5)
    with serve(replies(page(text[:-6], "application/openmetrics-text; version=1.0.0"))) as server:
        assert "without # EOF" in refused(PROBE, url=server.url(), name="app_total")


def test_headers_and_secrets_are_sent() -> None:
    with serve(replies(page(PAGE))) as server:
        look(PROBE, url=server.url(), name="alerts_active", bearer=Secret("CANARY-1"))
        assert b"Authorization: Bearer CANARY-1" in server.requests[0]


# Age


def test_age_by_timestamps_is_that_of_the_oldest() -> None:
    now = time.time()
    text = f'a{{n="1"}} 1 {int((now - 5) * 1000)}\na{{n="2"}} 1 {int((now - 90) * 1000)}\n'
    seen = _look(text, name="a", reduce="sum")
    assert float(seen.measures["age"]) == pytest.approx(90, abs=2)
    assert seen.proof["age_from"] == "timestamps"


def test_age_by_the_date_of_the_answer() -> None:
    old = email.utils.formatdate(time.time() - 600, usegmt=True)
    with serve(replies(answer(PAGE.encode(), headers=[f"Date: {old}"]))) as server:
        seen = look(PROBE, url=server.url(), name="alerts_active")
    assert float(seen.measures["age"]) == pytest.approx(600, abs=3)
    assert seen.proof["clock_skew"] == pytest.approx(-600, abs=3)


def test_age_that_cannot_be_told() -> None:
    assert "neither" in _look(PAGE, name="alerts_active").missing["age"]
    ahead = email.utils.formatdate(time.time() + 600, usegmt=True)
    with serve(replies(answer(PAGE.encode(), headers=[f"Date: {ahead}"]))) as server:
        assert "the clocks differ" in look(PROBE, url=server.url(), name="alerts_active").missing["age"]


# Over a sampling time


def _over(*pages: str, **options: Any) -> Any:
    """Look over 0.4 s; the pages come one after the other, the last one for ever."""
    with serve(replies(*[page(one) for one in pages])) as server:
        return look(PROBE, url=server.url(), **{"over": "400ms", "every": "100ms", "as": "increase", **options})


def test_increase_with_a_reset() -> None:
    seen = _over("a_total 5\n", "a_total 8\n", "a_total 2\n", "a_total 3\n", name="a_total")
    assert seen.measures["value"] == 3 + 2 + 1
    assert seen.measures["samples"] == seen.proof["samples"] == 5
    assert seen.proof["resets"] == 1
    assert 0.4 <= seen.proof["window"] < 0.9


def test_rate_is_per_second() -> None:
    seen = _over("a_total 0\n", "a_total 10\n", name="a_total", **{"as": "rate"})
    assert float(seen.measures["value"]) == pytest.approx(10 / seen.proof["window"], rel=0.01)


def test_a_counter_that_is_born_during_the_window_counts_from_zero() -> None:
    seen = _over("up 1\n", "up 1\nerrors_total 7\n", name="errors_total")
    assert (seen.measures["value"], seen.proof["born"]) == (7, 1)


def test_a_series_that_is_absent_in_all_samples_is_missing() -> None:
    seen = _over("up 1\n", name="errors_total")
    assert "no series matches" in seen.missing["value"]
    assert _over("up 1\n", name="errors_total", absent="zero").measures["value"] == 0


def test_a_reset_does_not_hide_in_a_sum() -> None:
    first, second = 'a_total{n="1"} 100\na_total{n="2"} 0\n', 'a_total{n="1"} 1\na_total{n="2"} 99\n'
    seen = _over(first, second, name="a_total", reduce="sum")
    assert seen.measures["value"] == 100


def test_delta_of_a_gauge() -> None:
    assert _over("m 10\n", "m 50\n", "m 4\n", name="m", **{"as": "delta"}).measures["value"] == -6
    assert "not on the first page" in _over("up 1\n", "m 4\nup 1\n", name="m", **{"as": "delta"}).missing["value"]


@pytest.mark.parametrize(("kind", "value"), [("growth", 0.5), ("min", 8), ("max", 15), ("avg", (10 + 11 + 8 + 14 + 15) / 5)])
def test_a_gauge_over_a_sampling_time(kind: str, value: float) -> None:
    seen = _over("m 10\n", "m 11\n", "m 8\n", "m 14\n", "m 15\n", name="m", **{"as": kind})
    assert seen.measures["value"] == pytest.approx(value)


@pytest.mark.parametrize("kind", ["min", "max", "avg"])
def test_a_gauge_that_was_absent_from_a_reading(kind: str) -> None:
    seen = _over("m 10\n", "up 1\n", "m 8\n", "m 14\n", "m 15\n", name="m", **{"as": kind})
    assert "m: the series was not on 1 of 5 pages" in seen.missing["value"]


def test_a_gauge_that_only_rises() -> None:
    pages = [f"m {value}\n" for value in (10, 11, 12, 13, 14)]
    seen = _over(*pages, name="m", **{"as": "slope"})
    assert float(seen.measures["value"]) == pytest.approx(4 / seen.proof["window"], rel=0.2)
    assert seen.measures["tau"] == 1.0
    seen = _over(*pages, select={"grown": {"name": "m", "as": "slope"}, "x": {"name": "x", "as": "slope"}}, **{"as": "value"})
    assert seen.measures["tau.grown"] == 1.0
    assert "no series matches x" in seen.missing["tau.x"]
    few = _over("m 1\n", "m 2\n", name="m", every="200ms", **{"as": "slope"})
    assert "3 samples are too few to say: a slope needs 5" in few.missing["value"] == few.missing["tau"]


def test_a_ratio_of_two_counters() -> None:
    first, second = "e_total 1\nr_total 100\n", "e_total 5\nr_total 300\n"
    asked: dict[str, Any] = {"name": "e_total", "as": "ratio", "to": {"name": "r_total"}}
    seen = _over(first, second, **asked)
    assert seen.measures["value"] == pytest.approx(0.02)
    assert seen.proof["counted"] == {"value": {"of": 4.0, "to": 200.0}}
    assert "200 of r_total are too few to say: 1000 are needed" in _over(first, second, **asked, least=1000).missing["value"]
    assert "nothing to be a part of" in _over(first, first, **asked).missing["value"]
    assert "no series matches r_total" in _over("e_total 1\n", **asked).missing["value"]
    select = {"share": asked, "requests": {"name": "r_total", "as": "increase"}}
    seen = _over(first, second, select=select, **{"as": "value"})
    assert (seen.measures["share"], seen.measures["requests"]) == (pytest.approx(0.02), 200)


def test_a_gauge_has_no_increase() -> None:
    seen = _over("# TYPE m gauge\nm 1\n", name="m")
    assert "m is a gauge" in seen.missing["value"]


def test_every_reading_must_succeed() -> None:
    with serve(replies(page("a 1\n"), page("a 2\n"), answer(b"", "503 Service Unavailable"))) as server:
        raw: dict[str, Any] = {"url": server.url(), "name": "a", "over": "400ms", "every": "100ms", "as": "increase"}
        reason = refused(PROBE, **raw)
    assert "status 503 (reading 3)" in reason


def test_the_time_runs_out_before_the_window() -> None:
    with serve(replies(page("a 1\n"))) as server:
        reason = refused(PROBE, timeout=0.5, url=server.url(), name="a", over="5s", **{"as": "increase"})
    assert "before the sampling time of 5 s" in reason


def test_values_and_increases_side_by_side() -> None:
    select = {"errors": {"name": "e_total", "as": "increase"}, "active": {"name": "active"}}
    with serve(replies(page("e_total 1\nactive 1\n"), page("e_total 4\nactive 9\n"))) as server:
        seen = look(PROBE, url=server.url(), select=select, over="200ms")
    assert (seen.measures["errors"], seen.measures["active"]) == (3, 9)


def test_the_sampling_time_is_told_to_the_runner() -> None:
    assert PROBE.at_least(read(PROBE, {"url": "http://x/", "name": "a", "as": "rate", "over": "5m"})) == 300
    assert PROBE.at_least(read(PROBE, {"url": "http://x/", "name": "a"})) == 0


# Pages that go wrong


@pytest.mark.parametrize(
    ("handle", "why"),
    [
        pytest.param(replies(page("")), "the page is empty", id="empty"),
        pytest.param(replies(page("<html>a 1</html>\n", "text/html")), "HTML, not metrics", id="HTML"),
        pytest.param(replies(page("\n<!doctype html>\n<p>a 1\n")), "HTML, not metrics", id="HTML in disguise"),
        pytest.param(replies(page("b 1\na 12")), "cut off", id="cut inside a line"),
        pytest.param(replies(page('{"a": 1}\n', "application/json")), "no sample", id="JSON"),
        pytest.param(replies(page("a 1\n# HELP b\nOops, out of memory\n")), "no sample", id="text at the end"),
        pytest.param(replies(answer(b"a 1\n", "404 Not Found")), "status 404", id="not found"),
        pytest.param(replies(answer(b"", "302 Found", ["Location: /login"])), "status 302", id="redirect"),
        pytest.param(replies(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\na 1\n", b""), "", id="broken off"),
        pytest.param(servers.silent, "no complete answer within", id="says nothing"),
        pytest.param(servers.drips(b"HTTP/1.1 200 OK\r\n\r\n", b"a 1\n"), "no complete answer within", id="drips"),
        pytest.param(servers.endless(b"HTTP/1.1 200 OK\r\n\r\n", b"b 1\n" * 16384), "", id="endless"),
        pytest.param(servers.endless(b"HTTP/1.1 200 OK\r\n\r\n", b"\0" * 65536), "more than 1 MB", id="endless zeros"),
        pytest.param(servers.endless(b"HTTP/1.1 200 OK\r\n\r\n", b"a 1\n" * 16384), "", id="endless and all selected"),
    ],
)
def test_pages_that_go_wrong(handle: Any, why: str) -> None:
    with serve(handle) as server:
        reason = refused(PROBE, timeout=2.0, url=server.url("/metrics"), name="a")
    assert why in reason
    assert reason.startswith(f"http://127.0.0.1:{server.port}/metrics: ")


def test_a_page_of_200_mb_is_refused_in_bounded_time_and_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serve(servers.large(200_000_000, b'b_total{path="/some/where",code="200"} 12345\n' * 1000)) as server:
        reason = refused(PROBE, timeout=10.0, url=server.url(), name="a_total")
    assert "larger than the limit of 64 MB" in reason
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000, f"{grown} kB more"


def test_a_page_of_200_mb_is_read_when_that_is_wanted() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = b'b_total{path="/some/where",code="200"} 12345\n' * 1000
    with serve(servers.large(200_000_000, piece)) as server:
        seen = look(PROBE, timeout=60.0, url=server.url(), name="a_total", max_page="300MB", absent="zero")
    assert seen.proof["lines"] >= 200_000_000 // 45
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000, f"{grown} kB more"


# Options


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "either name, for one value, or select"),
        ({"name": "a", "select": {"b": {"name": "b"}}}, "either name, for one value, or select"),
        ({"name": 'a{b="c"}'}, "labels go under labels"),
        ({"name": "~("}, "not a regular expression"),
        ({"name": "a", "labels": {"x": "~("}}, "not a regular expression"),
        ({"name": "a", "as": "increase"}, "the sampling time for increase"),
        ({"name": "a", "as": "ratio", "over": "1s"}, "to: is what a ratio is taken to"),
        ({"name": "a", "to": {}}, "to.name: is missing"),
        ({"name": "a", "least": 3}, "least: goes with as: ratio"),
        ({"name": "a", "over": "5m"}, "none of them is asked"),
        ({"name": "a", "as": "rate", "over": "1s", "every": "2s"}, "longer than the sampling time"),
        ({"name": "a", "as": "rate", "over": "1h", "every": "1ms"}, "more than 1000 times"),
        ({"name": "a", "every": "2s"}, "goes with over"),
        ({"name": "a", "reduce": "mean"}, "expected one of sum, max, min, avg, count"),
        ({"select": {"a b": {"name": "x"}}}, "expected a name of a-z"),
        ({"select": {"series": {"name": "x"}}}, "expected a name of a-z"),
        ({"select": {"a": {"nam": "x"}}}, "did you mean 'name'"),
        ({"select": {"a": {}}}, "a.name: is missing"),
        ({"select": {"a": {"name": "x"}}, "reduce": "sum"}, "goes into the entries of select"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    found = mistakes(PROBE, {"url": "http://x/metrics", **raw})
    assert any(why in line for line in found), found


def test_the_measures_fit_the_options() -> None:
    one = PROBE.measures_for(read(PROBE, {"url": "http://x/", "name": "a"}))
    assert set(one) == {"value", "series", "age", "samples"}
    several = PROBE.measures_for(read(PROBE, {"url": "http://x/", "select": {"errors": {"name": "a"}}}))
    assert set(several) == {"errors", "series.errors", "age", "samples"}


# Several pages


def test_several_pages_are_one_value_only_with_a_reduction() -> None:
    with serve(replies(page("errors_total 3\n"))) as one, serve(replies(page("errors_total 4\n"))) as two:
        urls = [one.url("/metrics"), two.url("/metrics")]
        assert look(PROBE, url=urls, name="errors_total", reduce="sum").measures["value"] == 7
        alone = look(PROBE, url=urls, name="errors_total")
    assert "2 series match" in alone.missing["value"]
    assert alone.measures["series"] == 2


def test_a_page_that_is_not_there_hides_behind_no_other() -> None:
    with serve(replies(page("errors_total 3\n"))) as one, serve(replies(page(""))) as empty:
        reason = refused(PROBE, url=[one.url("/metrics"), empty.url("/metrics")], name="errors_total", reduce="sum")
    assert reason.startswith(f"http://127.0.0.1:{empty.port}/metrics")

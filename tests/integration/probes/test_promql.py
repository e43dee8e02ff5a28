# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The probe promql against a real Prometheus server, and against stand-ins for what a real one cannot be made to answer."""

from __future__ import annotations

import json
import re
import resource
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.promql import PromqlProbe
from tests.conftest import Prometheus, wait_until
from tests.integration.probes import servers
from tests.integration.probes.looking import look, mistakes, read, refused
from tests.integration.probes.servers import answer, replies, serve

PROBE = PromqlProbe()
Start = Callable[..., Prometheus]

T = 1_700_000_000
"""When the history of the tests ends, in Unix seconds: a look in the past needs no waiting."""
HISTORY = "\n".join(
    [
        "# TYPE requests counter",
        *(f'requests_total{{code="200"}} {second * 2} {T - 600 + second}' for second in range(0, 601, 10)),
        *(f'requests_total{{code="500"}} {second // 100} {T - 600 + second}' for second in range(0, 601, 10)),
        "# TYPE queue gauge",
        *(f"queue {second} {T - 600 + second}" for second in range(0, 601, 10)),
        "# TYPE young gauge",
        *(f'young{{pod="a"}} 1 {T - 600 + second}' for second in range(0, 601, 10)),
        *(f'young{{pod="b"}} 1 {T - 600 + second}' for second in range(400, 601, 10)),
        "# TYPE gone gauge",
        *(f"gone 7 {T - 600 + second}" for second in range(0, 421, 10)),
        "# TYPE broken gauge",
        *(f"broken {'NaN' if second == 300 else 1} {T - 600 + second}" for second in range(0, 601, 10)),
    ]
)


@pytest.fixture
def past(prometheus: Start) -> Callable[..., Any]:
    """Look at the history, by default at its end."""
    server = prometheus(history=HISTORY)

    def at(query: str, **options: Any) -> Any:
        """An expression may be of any age unless it is said what of."""
        plain = re.fullmatch(r'\w+(\{[^"]*"[^"]*"\})?|\{[^}]*\}', query)
        return look(PROBE, url=server.url, query=query, **{"time": T, **({} if plain else {"age_of": "none"}), **options})

    return at


# One moment


def test_values_of_one_moment(past: Callable[..., Any]) -> None:
    seen = past('requests_total{code="200"}')
    assert (seen.measures["value"], seen.measures["series"], seen.measures["age"]) == (1200, 1, 0)
    assert (seen.proof["result"], seen.proof["series"], seen.proof["samples"]) == ("vector", 1, 1)
    assert past("sum(rate(requests_total[5m]))").measures["value"] == pytest.approx(2.01, rel=0.02)
    assert past("queue", time=T - 597).measures["age"] == pytest.approx(3)
    assert past("queue", time="2023-11-14T22:13:20Z").measures["value"] == 600


@pytest.mark.parametrize(("how", "value"), [("sum", 1206), ("max", 1200), ("min", 6), ("avg", 603), ("count", 2), (None, None)])
def test_several_series_need_a_reduction(past: Callable[..., Any], how: str | None, value: float | None) -> None:
    seen = past("requests_total", reduce=how)
    assert seen.measures.get("value") == value
    assert seen.measures["series"] == 2
    if how is None:
        assert "the result has 2 series; say reduce" in seen.missing["value"]


def test_results_that_are_no_number(past: Callable[..., Any]) -> None:
    for query, why in (
        ("nothing_of_that_name", "the result is empty"),
        ("queue > 1e9", "the result is empty"),
        ("queue * 0 / 0", "NaN"),
        ("queue / 0", "+inf"),
        ("scalar(nothing_of_that_name)", "NaN"),
        ('"seven"', "a text, not a number: seven"),
        ("queue[1m]", "a range of values"),
    ):
        seen = past(query)
        assert "value" not in seen.measures, query
        assert why in seen.missing["value"], query


def test_one_nan_of_several_series_is_named(past: Callable[..., Any]) -> None:
    seen = past('requests_total / (requests_total{code="500"} * 0 or requests_total)', reduce="max")
    assert 'one of 2 series, {code="500"}, is +inf' in seen.missing["value"]


def test_an_empty_result_is_zero_only_when_that_is_said(past: Callable[..., Any]) -> None:
    seen = past("nothing_of_that_name")
    assert {"value", "series", "age"} <= set(seen.missing)
    seen = past("queue > 1e9", absent="zero")
    assert (seen.measures["value"], seen.measures["series"]) == (0, 0)
    seen = past("queue > 1e9", absent="zero", age_of="queue")
    assert (seen.measures["value"], seen.measures["age"]) == (0, 0)
    seen = past("queue > 1e9", absent="zero", age_of="nothing_of_that_name")
    assert "there is no recent sample of nothing_of_that_name" in seen.missing["value"]


def test_a_scalar_belongs_to_no_series(past: Callable[..., Any]) -> None:
    seen = past("scalar(queue)")
    assert seen.measures["value"] == 600
    assert "scalar" in seen.missing["series"]


def test_a_stale_series_is_not_the_present(past: Callable[..., Any]) -> None:
    """The server goes on answering with the last sample for five minutes."""
    seen = past("gone")
    assert seen.measures["age"] == pytest.approx(180)
    assert "stale: the newest sample of a series is 180 s old, the limit is 120 s" in seen.missing["value"]
    assert past("gone", max_age="4m").measures["value"] == 7
    assert past("gone", age_of="none").measures["value"] == 7
    seen = past("gone + 1")
    assert seen.measures["value"] == 8
    assert seen.missing == {"age": "nothing is asked about the age of the data: age_of is none"}
    assert "stale" in past("gone + 1", age_of="gone").missing["value"]


def test_an_expression_goes_on_after_its_data_has_ended(past: Callable[..., Any]) -> None:
    """The target died 50 minutes ago, and an hour back there still are samples."""
    query, later = 'increase(requests_total{code="500"}[1h])', T + 50 * 60
    assert float(past(query, time=later).measures["value"]) <= 7
    seen = past(query, time=later, age_of="requests_total")
    assert "there is no recent sample of requests_total" in seen.missing["value"]
    (why,) = mistakes(PROBE, {"url": "http://a:9090", "query": query})
    assert why.startswith("age_of: is missing: the query is an expression")


# A range


def test_a_range(past: Callable[..., Any]) -> None:
    seen = past("queue", over="5m", step="10s")
    found = {name: seen.measures[name] for name in ("min", "max", "avg", "first", "last", "samples", "coverage", "series")}
    assert found == {"min": 300, "max": 600, "avg": 450, "first": 300, "last": 600, "samples": 31, "coverage": 1, "series": 1}
    assert (seen.proof["window"], seen.proof["step"]) == (300, 10)
    seen = past("requests_total", over="5m", step="100s", reduce="sum")
    assert (seen.measures["first"], seen.measures["last"]) == (603, 1206)


def test_a_range_of_several_series_needs_a_reduction(past: Callable[..., Any]) -> None:
    seen = past("requests_total", over="5m")
    assert {"min", "max", "avg", "first", "last"} <= set(seen.missing)
    assert "2 series" in seen.missing["max"]


def test_a_range_that_is_not_covered(past: Callable[..., Any]) -> None:
    seen = past("queue", over="20m", step="10s")
    assert seen.measures["coverage"] == pytest.approx(0.504, abs=0.01)
    assert "61 of 121 steps have a value, 90 % of them must" in seen.missing["max"]
    assert past("queue", over="20m", step="10s", coverage="50%").measures["max"] == 600
    assert "no value at the start" in past("queue", over="20m", step="10s", coverage="50%").missing["first"]
    # A sum of fewer series than there are would be too small.
    seen = past("young", over="10m", step="10s", reduce="sum")
    assert "21 of 61 steps have a value of all 2 series" in seen.missing["last"]
    assert past("young", over="10m", step="10s", reduce="count").measures["last"] == 2


def test_a_range_with_a_nan_in_it(past: Callable[..., Any]) -> None:
    seen = past("broken", over="10m", step="10s")
    assert "NaN" in seen.missing["avg"]


def test_a_range_whose_series_has_ended(past: Callable[..., Any]) -> None:
    assert "stale" in past("gone", over="5m", step="10s").missing["last"]
    seen = past("gone", over="5m", step="10s", time=T + 130, coverage="10%")
    assert "there is no recent sample of gone" in seen.missing["max"]


def test_an_empty_range(past: Callable[..., Any]) -> None:
    seen = past("nothing_of_that_name", over="5m")
    assert {"min", "max", "avg", "first", "last", "series", "samples", "coverage"} <= set(seen.missing)
    assert past("queue > 1e9", over="5m", absent="zero").measures["max"] == 0


# Now


def test_a_page_that_is_scraped_now(prometheus: Start) -> None:
    server = prometheus("up_to_now 1\n")
    wait_until(lambda: bool(server.ask("up_to_now")), what="the first scrape")
    seen = look(PROBE, url=server.url, query="up_to_now")
    assert seen.measures["value"] == 1
    assert 0 <= float(seen.measures["age"]) < 3
    server.page.text = "up_to_now 2\n"
    wait_until(lambda: server.ask("up_to_now")[0]["value"][1] == "2", what="the second value")
    seen = look(PROBE, url=server.url, query="up_to_now", over="1s", step="1s", coverage="1%")
    assert seen.measures["last"] == 2
    assert look(PROBE, url=server.url, query="up_to_now", over="1h").missing["max"].startswith("1 of 61 steps")
    # A target that is down leaves a mark of staleness: its series end at once.
    server.page.text = None
    wait_until(lambda: not server.ask("up_to_now"), what="the end of the series")
    assert "empty" in look(PROBE, url=server.url, query="up_to_now").missing["value"]
    server.stop()
    assert "connection refused" in refused(PROBE, url=server.url, query="up_to_now")


def test_errors_of_a_real_server(prometheus: Start) -> None:
    server = prometheus(history=HISTORY)
    assert "the server refused the query: bad_data" in refused(PROBE, url=server.url, query="sum(", age_of="none")
    many = refused(PROBE, url=server.url, query="requests_total + on(job) requests_total", time=T, age_of="none")
    assert "the server refused the query: execution: found duplicate series" in many
    assert "answered with status 404" in refused(PROBE, url=f"{server.url}/prefix", query="up")


def test_a_long_query_is_posted(past: Callable[..., Any]) -> None:
    names = "|".join(f"name_{number}" for number in range(1000))
    assert past(f'{{__name__=~"queue|{names}"}}').measures["value"] == 600


# Stand-ins: what a real server cannot be made to answer


def _standin(document: Any, **options: Any) -> Any:
    """A stand-in for a server: it answers every question with the same document."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with serve(replies(answer(body, headers=["Content-Type: application/json"]))) as server:
        return look(PROBE, url=server.url(), query="sum(a)", time=T, age_of="none", **options)


def _vector(*values: str, **more: Any) -> dict[str, Any]:
    result = [{"metric": {"n": str(number)}, "value": [T, value]} for number, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def test_standin_of_a_partial_response() -> None:
    partial = _vector("1", warnings=["receive series from store: 10.0.0.7 is unreachable"])
    seen = _standin(partial)
    assert "the server warns, so a part may be missing: receive series from store" in seen.missing["value"]
    assert seen.proof["warnings"] == ["receive series from store: 10.0.0.7 is unreachable"]
    assert _standin(partial, warnings="allow").measures["value"] == 1
    assert _standin(_vector("1", infos=["metric might not be a counter"])).measures["value"] == 1


def test_standin_of_a_native_histogram_and_of_a_series_twice() -> None:
    histogram = {"metric": {}, "histogram": [T, {"count": "1", "sum": "1", "buckets": []}]}
    seen = _standin({"status": "success", "data": {"resultType": "vector", "result": [histogram]}})
    assert "native histogram" in seen.missing["value"]
    twice = [{"metric": {"n": "1"}, "value": [T, "1"]}] * 2
    seen = _standin({"status": "success", "data": {"resultType": "vector", "result": twice}}, reduce="sum")
    assert "twice" in seen.missing["value"]


def test_standin_with_values_for_other_times() -> None:
    values = [{"metric": {}, "values": [[T - 7, "1"], [T - 3, "1"]]}]
    seen = _standin({"status": "success", "data": {"resultType": "matrix", "result": values}}, over="1m", step="10s")
    assert "other times" in seen.missing["max"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"ok",
        b"[" * 100_000,
        b"{}",
        {"status": "success"},
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}},
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [T, 1]}]}},
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [T, "one"]}]}},
        {"status": "success", "data": {"resultType": "table", "result": []}},
        {"status": "success", "data": {"resultType": "scalar", "result": []}},
    ],
)
def test_standin_of_something_else(document: Any) -> None:
    with pytest.raises(Exception, match=r"not JSON|not that of the API"):
        _standin(document)


def test_standin_with_html_and_with_errors() -> None:
    html = answer(b"<html>Sign in</html>", headers=["Content-Type: text/html"])
    with serve(replies(html)) as server:
        assert "answered with status 200 and HTML" in refused(PROBE, url=server.url(), query="up")
    with serve(replies(answer(b'{"message":"busy"}', "503 Service Unavailable"))) as server:
        assert "answered with status 503" in refused(PROBE, url=server.url(), query="up")
    with serve(replies(answer(b"", "302 Found", ["Location: /login"]))) as server:
        assert "status 302" in refused(PROBE, url=server.url(), query="up")


def test_standin_that_does_not_answer_or_never_ends() -> None:
    with serve(servers.silent) as server:
        assert "no complete answer within" in refused(PROBE, 0.5, url=server.url(), query="up")
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"
    with serve(servers.drips(start, b" ")) as server:
        assert "no complete answer within" in refused(PROBE, 0.5, url=server.url(), query="up")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serve(servers.endless(start, b" " * 65536)) as server:
        assert "larger than the limit of 10 MB" in refused(PROBE, url=server.url(), query="up")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_secrets_are_sent_and_not_shown(canary: str) -> None:
    error = json.dumps({"status": "error", "errorType": "bad_data", "error": f"no tenant {canary}"}).encode()
    with serve(replies(answer(error, "400 Bad Request"))) as server:
        text = refused(PROBE, url=server.url(), query="up", bearer=Secret(canary), headers={"X-Scope-OrgID": Secret(canary)})
        assert server.requests[0].count(canary.encode()) == 2
    assert canary not in text and "no tenant ***" in text


def test_a_clock_that_differs_is_mentioned() -> None:
    body = json.dumps(_vector("1")).replace(str(T), str(int(time.time()) - 60)).encode()
    with serve(replies(answer(body))) as server:
        seen = look(PROBE, url=server.url(), query="sum(a)", age_of="none")
    assert seen.proof["clock_skew"] == pytest.approx(-60, abs=3)


# Options


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"url": "http://a/?query=up"}, "the address of the server alone"),
        ({"url": "http://a/api/v1/query"}, "adds /api/v1/… itself"),
        ({"step": "5s"}, "promql.step|goes with over"),
        ({"over": "1m", "step": "2m"}, "no more than over"),
        ({"over": "24h", "step": "1s"}, "more than 11000 values"),
        ({"over": "10ms"}, "at least 1s"),
        ({"time": "2026-03-01T03:00:00"}, "has no zone"),
        ({"time": "yesterday"}, "expected a time"),
        ({"age_of": "rate(a[5m])"}, "expected a plain selector"),
        ({"query": "sum(rate(a[5m]))"}, "or none when it may be of any age"),
        ({"query": "a offset 1h"}, "age_of: is missing"),
        ({"query": "time()"}, "age_of: is missing"),
        ({"absent": "zero"}, "an empty result shows no data"),
        ({"age_of": "none", "max_age": "1m"}, "max_age: goes without age_of: none"),
        ({"coverage": "110%"}, "expected a percentage"),
        ({"reduce": "last"}, "expected one of"),
        ({"bearer": "plain"}, "{secret: NAME}"),
        ({"as": "increase"}, "over: is missing: the window for as: increase"),
        ({"to": {"query": "a"}}, "to: goes with as and over"),
        ({"every": "5s"}, "every: goes with as and over"),
        ({"least": 5}, "least: goes with as: ratio"),
        ({"as": "increase", "over": "1m", "query": "sum(up)"}, "query: expected with as a plain selector"),
        ({"as": "increase", "over": "1m", "step": "1s"}, "step: goes without as"),
        ({"as": "increase", "over": "1m", "every": "2m"}, "every: is the pause"),
        ({"as": "increase", "over": "10ms"}, "at least 1s"),
        ({"as": "ratio", "over": "1m"}, "to: is what a ratio is taken to"),
        ({"as": "ratio", "over": "1m", "to": {"query": "sum(a)"}}, "expected a plain selector"),
        ({"as": "rate", "over": "1m", "least": 5}, "least: goes with as: ratio"),
        ({"as": "increase", "over": "1m", "age_of": "none"}, "whose samples show when"),
        ({"as": "increase", "over": "1m", "absent": "zero"}, "an empty result shows no data"),
        ({"as": "increase", "over": "1m", "max_age": "1m"}, "max_age: goes without as"),
    ],
)
def test_mistakes(raw: dict[str, Any], why: str) -> None:
    found = mistakes(PROBE, {"url": "http://a:9090", "query": "up", **raw})
    assert len(found) == 1
    assert any(part in found[0] for part in why.split("|"))


def test_a_range_has_no_value_and_a_moment_no_minimum() -> None:
    asked = {"url": "http://a:9090/prometheus/", "query": "up"}
    assert set(PROBE.measures_for(read(PROBE, asked))) == {"value", "series", "age"}
    assert "value" not in PROBE.measures_for(read(PROBE, {**asked, "over": "5m"}))
    assert read(PROBE, asked)["url"] == "http://a:9090/prometheus"


def test_as_a_check_of_a_task(prometheus: Start, run_module: Callable[..., dict[str, Any]], canary: str) -> None:
    server = prometheus(history=HISTORY)
    common = {"url": server.url, "time": T, "bearer": {"secret": "token"}}
    checks = [
        {"id": "P-001", "promql": {**common, "query": "queue"}, "expect": {"value": "== 600", "age": "<= 10s"}},
        {"id": "P-002", "promql": {**common, "query": "requests_total"}, "expect": {"value": ">= 0"}},
        {"id": "P-003", "promql": {**common, "query": "queue", "over": "5m"}, "critical": {"max": "> 500"}},
    ]
    done = run_module("check", {"checks": checks, "secrets": {"token": canary}})
    assert [one["status"] for one in done["verdicts"]] == ["pass", "inconclusive", "fail"]
    assert "say reduce" in done["verdicts"][1]["reason"]
    assert canary not in str(done)

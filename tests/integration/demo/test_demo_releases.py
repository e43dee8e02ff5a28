# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every faulty release does what the list says, and nothing else that is wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from spark.releases import RELEASES
from tests.conftest import wait_until
from tests.integration.demo.conftest import App, Receiver, Spark

LOCK = "spark:alerts:scheduler:lock"
ALERT = {"symbol": "BTCUSDT", "condition": "price_above", "threshold": 1}
STREAM = "/api/marketdata/stream"


# -- what is good about a release; each returns normally when it is ------------------------------------------------------


def serves(web: App) -> None:
    answer = web.get("/api/marketdata/candles?limit=10")
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 1.5


def streams(web: App) -> None:
    with web.stream(STREAM, timeout=2) as stream:
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert len(stream.ticks(4)) == 4
        assert stream.arrivals[-1] - stream.arrivals[0] > 0.15


def feeds(web: App) -> None:
    with connect(web.url.replace("http", "ws") + "/ws", proxy=None) as socket:
        assert json.loads(socket.recv(5))["type"] == "hello"


def evaluates(executor: App) -> None:
    wait_until(lambda: executor.metric("alerts_evaluations_total") >= 2, seconds=3, what="evaluations")
    assert executor.metric("alerts_errors_total") == 0


def leads_alone(one: App, two: App) -> None:
    wait_until(lambda: one.metric("leader") + two.metric("leader") > 0, seconds=3, what="a leader")
    time.sleep(0.5)
    assert one.metric("leader") + two.metric("leader") == 1


@pytest.mark.parametrize("release", [release.id for release in RELEASES if release.good])
def test_good_release(spark: Spark, release: str) -> None:
    one, two, web = (spark.start(role, release) for role in ("executor", "executor", "web"))
    for app in (one, two, web):
        health = app.health()
        assert (health["status"], health["release"]) == ("ok", release)
    leads_alone(one, two)
    evaluates(one if one.metric("leader") else two)
    serves(web)
    streams(web)
    feeds(web)


def test_every_faulty_release_has_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [r.id for r in RELEASES if not r.good and source.count(f'"{r.id}"') < 1] == []


@pytest.mark.parametrize("release", ["1.1.0", "1.1.0-errors"])
def test_errors(spark: Spark, release: str) -> None:
    one = spark.start("executor", release)
    wait_until(lambda: one.metric("alerts_errors_total") >= 5, what="errors")
    assert one.metric("alerts_evaluations_total") == 0
    assert one.health()["status"] == "ok" and one.health()["leader"] is True
    assert "pollOnce failed: EvaluationError" in one.output()


@pytest.mark.parametrize("release", ["1.1.0", "1.1.0-stalled"])
def test_stalled(spark: Spark, release: str) -> None:
    web = spark.start("web", release)
    with web.stream(timeout=1.2) as stream:
        assert len(stream.ticks(1)) == 1
        with pytest.raises(requests.ConnectionError, match="timed out"):
            next(iter(stream))
    serves(web)
    feeds(web)
    wait_until(lambda: web.metric("streams_connected") == 0, what="the end of the stream")
    with web.stream() as stream:
        stream.ticks(1)
        code, seconds = web.terminate()
    assert code == 0 and seconds < 3


def test_only_the_engine_errors(spark: Spark) -> None:
    web = spark.start("web", "1.1.0-errors")
    serves(web)
    streams(web)


def test_slow(spark: Spark) -> None:
    web = spark.start("web", "1.1.0-slow", SPARK_FAULT_SLOW_SEC="2")
    began = time.monotonic()
    assert web.get("/api/tools/macd").status_code == 200
    assert time.monotonic() - began >= 2
    began = time.monotonic()
    assert web.health()["status"] == "ok"
    assert web.get("/alerts").status_code == 200
    assert time.monotonic() - began < 1.5
    streams(web)


def test_slow_takes_three_seconds_by_default(spark: Spark) -> None:
    web = spark.start("web", "1.1.0-slow")
    assert 3 <= web.get("/api/alerts").elapsed.total_seconds() < 5


def test_buffered(spark: Spark) -> None:
    web = spark.start("web", "1.1.0-buffered")
    assert requests.head(web.url + STREAM, timeout=5).headers["X-Accel-Buffering"] == "yes"
    began = time.monotonic()
    with web.stream() as stream:
        assert stream.headers["X-Accel-Buffering"] == "yes"
        ticks = stream.ticks(16)
        first, last = stream.arrivals[0], stream.arrivals[-1]
    # 16 events of 100 ms each: nothing for a while, then all of them.
    assert first - began > 1
    assert last - first < 0.3
    assert [int(t.id) for t in ticks] == list(range(int(ticks[0].id), int(ticks[0].id) + 16))
    serves(web)


def test_ws_dropped(spark: Spark) -> None:
    web = spark.start("web", "1.1.0-ws-dropped")
    with connect(web.url.replace("http", "ws") + "/ws", proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(5)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1011
    assert web.metric("websockets_closed_total", by="server") == 1
    serves(web)
    streams(web)


def test_ws_slow(spark: Spark) -> None:
    web = spark.start("web", "1.1.0-ws-slow")
    with connect(web.url.replace("http", "ws") + "/ws", proxy=None) as socket:
        began = time.monotonic()
        socket.send('{"type": "ping", "id": 1}')
        seen = []
        while "pong" not in seen:
            seen.append(json.loads(socket.recv(5))["type"])
        assert time.monotonic() - began >= 0.85
        assert seen.count("tick") >= 4
        assert socket.ping().wait(5)
    serves(web)
    streams(web)
    feeds(web)


def test_two_leaders(spark: Spark) -> None:
    one, two = spark.start("executor", "1.1.0-two-leaders"), spark.start("executor", "1.1.0-two-leaders")
    wait_until(lambda: one.metric("leader") + two.metric("leader") == 2, what="two leaders")
    time.sleep(0.5)
    assert one.metric("leader") + two.metric("leader") == 2
    assert "became leader" in one.output() and "became leader" in two.output()
    first = spark.client.get(LOCK)
    wait_until(lambda: spark.client.get(LOCK) != first, what="the other one in the lock")


def test_no_leader(spark: Spark) -> None:
    one, two = spark.start("executor", "1.1.0-no-leader"), spark.start("executor", "1.1.0-no-leader")
    time.sleep(0.6)
    assert spark.client.get(LOCK) is None
    for app in (one, two):
        assert app.health()["status"] == "ok"
        assert (app.metric("leader"), app.metric("leader_elected_total")) == (0, 0)
        assert app.metric("alerts_evaluations_total") == 0


@pytest.mark.parametrize("role", ["executor", "web"])
def test_bad_config(spark: Spark, role: str) -> None:
    app = spark.start(role, "1.1.0-bad-config", wait=False)
    assert app.process.wait(10) == 78
    assert "ALERT_RULES_SCHEMA is required and not set" in app.output()


@pytest.mark.parametrize("role", ["executor", "web"])
def test_crash(spark: Spark, role: str) -> None:
    app = spark.start(role, "1.1.0-crash", SPARK_FAULT_CRASH_AFTER_SEC="1.5")
    assert app.health()["status"] == "ok"
    assert app.process.wait(10) == 1
    assert "fatal: worker state corrupted" in app.output()


@pytest.mark.parametrize("role", ["executor", "web"])
def test_unhealthy(spark: Spark, role: str) -> None:
    app = spark.start(role, "1.1.0-unhealthy")
    time.sleep(0.5)
    answer = app.get("/health" if role == "executor" else "/api/public/health")
    assert (answer.status_code, answer.json()["status"], answer.json()["redis"]) == (503, "starting", "ok")


@pytest.mark.parametrize("role", ["executor", "web"])
def test_leak(spark: Spark, role: str) -> None:
    limit = 20
    app = spark.start(role, "1.1.0-leak", SPARK_FAULT_LEAK_MB_PER_SEC="40", SPARK_FAULT_LEAK_LIMIT_MB=str(limit), WS_PING_SEC="10")
    start = app.metric("process_resident_memory_bytes")
    wait_until(lambda: app.metric("process_resident_memory_bytes") > start + 8e6, what="growth")
    time.sleep(1)
    assert app.metric("process_resident_memory_bytes") < start + (limit + 10) * 2**20
    assert app.health()["status"] == "ok"


def test_notify_fails(spark: Spark, receiver: Receiver) -> None:
    variables = {"NOTIFY_WEBHOOK_URL": receiver.url, "NOTIFY_ALLOWED_HOSTS": receiver.host}
    one = spark.start("executor", "1.1.0-notify-fails", **variables)
    web = spark.start("web", "1.1.0-notify-fails", **variables)
    assert web.post("/api/alerts", json=ALERT).status_code == 201
    wait_until(lambda: one.metric("notifications_failed_total") == 1, what="the failure")
    assert one.metric("notifications_sent_total") == 0
    assert one.metric("alerts_triggered_total") == 1
    assert one.metric("alerts_errors_total") == 0
    assert web.post("/api/notifications/test").status_code == 502
    assert receiver.received == []


def test_js_error(spark: Spark) -> None:
    """Nothing that a request can see is wrong; tests/integration/probes/test_page_demo.py looks with a browser."""
    web = spark.start("web", "1.1.0-js-error")
    for path in ("/technical-analysis", "/alerts", "/btcturk", "/static/chart.js", "/static/alerts.js", "/static/feed.js"):
        assert web.get(path).status_code == 200, path
    assert web.get("/static/chart.js").headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "byId('theme')" in web.get("/static/chart.js").text
    assert web.health()["status"] == "ok"
    serves(web)
    streams(web)
    feeds(web)

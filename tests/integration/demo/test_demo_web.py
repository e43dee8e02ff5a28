# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""web-next: pages, API, security, configuration, life of the process."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.conftest import wait_until
from tests.integration.demo.conftest import App, Receiver, Spark, spark_environment

STOP = 3.0  # seconds: it takes one at most, on a machine that does nothing else
ALERT = {"symbol": "ETHUSDT", "condition": "price_below", "threshold": 1}


@pytest.fixture
def web(spark: Spark) -> App:
    return spark.start("web", NOTIFY_ALLOWED_HOSTS="hooks.slack.com,discord.com")


def websocket(app: App, path: str = "/ws") -> ClientConnection:
    return connect(app.url.replace("http", "ws") + path, close_timeout=2, proxy=None)


def test_health(web: App) -> None:
    answer = web.get("/api/public/health")
    assert answer.status_code == 200
    health = answer.json()
    assert {name: health[name] for name in ("status", "service", "release", "redis", "websocket_enabled")} == {
        "status": "ok",
        "service": "web-next",
        "release": "1.0.0",
        "redis": "ok",
        "websocket_enabled": True,
    }


def test_healthy_within_a_second_of_its_start(spark: Spark) -> None:
    # The processor's time, because the machine may be busy with other tests. Nothing else is waited for.
    for role in ("web", "executor"):
        assert spark.start(role).metric("process_cpu_seconds_total") < 1


def test_pages_with_all_they_need_and_nothing_from_elsewhere(web: App) -> None:
    for path in ("/technical-analysis", "/alerts", "/btcturk"):
        page_is_whole(web, path)


def page_is_whole(web: App, path: str) -> None:
    page = web.get(path)
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(files) == (5 if path == "/btcturk" else 4)
    for file in files:
        answer = web.get(file)
        assert answer.status_code == 200, file
        # The namespace of SVG is a name, not an address.
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page.text + answer.text)
    # The policy of the page forbids scripts and styles in it.
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script>", page.text)


def test_root_leads_to_the_chart(web: App) -> None:
    answer = web.get("/", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "/technical-analysis")


def test_security_headers_everywhere(web: App) -> None:
    for path in ("/alerts", "/api/alerts", "/api/marketdata/candles", "/nothing", "/api/marketdata/candles?symbol=x"):
        headers = web.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "server" not in headers
    assert web.get("/api/alerts").headers["Cache-Control"] == "no-store"


def test_candles(web: App) -> None:
    data = web.get("/api/marketdata/candles?symbol=BTCUSDT&timeframe=1h&limit=1").json()
    assert (data["symbol"], data["timeframe"], len(data["candles"])) == ("BTCUSDT", "1h", 1)
    assert len(web.get("/api/marketdata/candles?limit=1000&timeframe=1d").json()["candles"]) == 1000


def test_tools(web: App) -> None:
    fibonacci = web.get("/api/tools/fibonacci?symbol=BTCUSDT").json()
    assert len(fibonacci["levels"]) == 7
    assert fibonacci["levels"][0]["price"] == fibonacci["high"] > fibonacci["low"] == fibonacci["levels"][6]["price"]
    bollinger = web.get("/api/tools/bollinger?symbol=BTCUSDT").json()
    assert bollinger["bands"]["upper"] > bollinger["bands"]["middle"] > bollinger["bands"]["lower"]
    assert len(bollinger["series"]) == 81
    macd = web.get("/api/tools/macd?symbol=BTCUSDT").json()
    assert macd["current"].keys() == {"macd", "signal", "histogram"}
    assert macd["series"][-1]["macd"] == macd["current"]["macd"]


BAD_QUERIES = (
    "symbol=INVALID",
    "symbol=btcusdt",
    "symbol=%3Cscript%3Ealert(1)%3C/script%3E",
    "symbol=../../etc/passwd",
    "symbol=",
    "symbol=BTCUSDT%00",
    "timeframe=7h",
    "limit=0",
    "limit=-1",
    "limit=1001",
    "limit=1e3",
    "limit=%D9%A4",
)


def test_v001_bad_input_is_refused(web: App) -> None:
    for path in ("/api/marketdata/candles", "/api/tools/fibonacci", "/api/tools/bollinger", "/api/tools/macd"):
        for query in BAD_QUERIES:
            answer = web.get(f"{path}?{query}")
            assert (answer.status_code, answer.json()["field"]) == (400, query.split("=")[0]), query
            assert "<script>" not in answer.text


def test_tools_refuse_a_series_that_is_too_short(web: App) -> None:
    assert web.get("/api/tools/bollinger?limit=19").status_code == 400
    assert web.get("/api/tools/macd?limit=34").status_code == 400


def test_alert_life(web: App) -> None:
    made = web.post("/api/alerts", json={**ALERT, "note": "<b>n</b>"})
    assert made.status_code == 201
    path = made.headers["Location"]
    alert = made.json()
    assert path == f"/api/alerts/{alert['id']}"
    assert web.get(path).json() == alert
    assert web.get("/api/alerts").json() == {"count": 1, "alerts": [alert]}
    assert web.post(path + "/toggle").json()["enabled"] is False
    assert web.post(path + "/toggle").json()["enabled"] is True
    assert web.post(path + "/toggle", json={"enabled": True}).json()["enabled"] is True
    assert web.post(path).status_code == 405
    changed = requests.patch(web.url + path, json={"threshold": 2}, timeout=5).json()
    assert (changed["threshold"], changed["note"]) == (2.0, "<b>n</b>")
    assert web.get(path + "/history").json() == {"id": alert["id"], "history": []}
    assert requests.delete(web.url + path, timeout=5).json() == {"deleted": alert["id"]}
    assert web.get(path).status_code == 404
    assert requests.delete(web.url + path, timeout=5).status_code == 404
    assert web.get("/api/alerts").json()["count"] == 0


def test_alerts_survive_a_restart_of_web(spark: Spark, web: App) -> None:
    web.post("/api/alerts", json=ALERT)
    web.terminate()
    assert spark.start("web").get("/api/alerts").json()["count"] == 1


BAD_BODIES = (
    (b"", 400),
    (b"{", 400),
    (b"[1]", 400),
    (b"\xff\xfe", 400),
    (b"[" * 50_000, 400),
    (json.dumps({**ALERT, "surprise": 1}).encode(), 400),
    (json.dumps({**ALERT, "symbol": "'; DROP TABLE alerts; --"}).encode(), 400),
    (json.dumps({**ALERT, "note": "x" * 70_000}).encode(), 413),
)


def test_bad_body_is_refused(web: App) -> None:
    for body, status in BAD_BODIES:
        answer = web.post("/api/alerts", data=body)
        assert answer.status_code == status, body[:80]
        assert answer.json()["error"]
    assert web.get("/api/alerts").json()["count"] == 0


def test_strange_id_is_not_found(web: App) -> None:
    for alert_id in ("nope", "..%2F..%2Fscheduler%3Alock", "x" * 500, "%00", "*"):
        assert web.get(f"/api/alerts/{alert_id}").status_code == 404, alert_id


def test_v002_webhook_beyond_the_list_is_refused(web: App) -> None:
    for url in (
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:6379/",
        "http://localhost/",
        "https://hooks.slack.com.evil.test/",
        "file:///etc/passwd",
    ):
        answer = web.post("/api/alerts", json={**ALERT, "webhook_url": url})
        assert (answer.status_code, answer.json()["field"]) == (400, "webhook_url"), url
        assert web.post("/api/notifications/test", json={"webhook_url": url}).status_code == 400
    assert web.get("/api/alerts").json()["count"] == 0


def test_webhook_on_the_list_is_taken(web: App) -> None:
    answer = web.post("/api/alerts", json={**ALERT, "webhook_url": "https://hooks.slack.com/services/x"})
    assert answer.status_code == 201


def test_notifications(spark: Spark, web: App, receiver: Receiver) -> None:
    assert web.get("/api/notifications").json()["configured"] is False
    assert web.post("/api/notifications/test").status_code == 409
    other = spark.start("web", NOTIFY_WEBHOOK_URL=receiver.url, NOTIFY_ALLOWED_HOSTS=receiver.host)
    assert other.get("/api/notifications").json()["configured"] is True
    assert other.post("/api/notifications/test").json() == {"sent": 1}
    assert receiver.received[0]["type"] == "test"
    receiver.status = 403
    answer = other.post("/api/notifications/test")
    assert (answer.status_code, answer.json()["error"]) == (502, "notification failed: HTTP status 403")


def test_without_redis_the_market_is_there_and_the_alerts_say_so(spark: Spark, web: App) -> None:
    spark.redis.kill()
    assert web.get("/api/public/health").status_code == 503
    answer = web.get("/api/alerts")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert web.get("/api/marketdata/candles").status_code == 200
    spark.redis.start()
    wait_until(lambda: web.get("/api/alerts").status_code == 200, what="the alerts")


def test_metrics(web: App) -> None:
    for _ in range(3):
        web.get("/api/marketdata/candles")
    web.get("/nothing")
    assert web.metric("http_requests_total", status="2xx") >= 3
    assert web.metric("http_requests_total", status="4xx") == 1
    assert web.metric("http_requests_total", status="5xx") == 0
    assert web.metric("spark_build_info", service="web-next", release="1.0.0") == 1
    assert 1e6 < web.metric("process_resident_memory_bytes") < 120e6
    assert "_created" not in web.get("/metrics").text


# -- WebSocket ---------------------------------------------------------------------------------------------------------


def test_websocket_feed(web: App) -> None:
    with websocket(web, "/ws?symbol=SOLUSDT") as socket_:
        hello = json.loads(socket_.recv(5))
        assert (hello["type"], hello["release"], hello["symbol"]) == ("hello", "1.0.0", "SOLUSDT")
        ticks = [json.loads(socket_.recv(5)) for _ in range(3)]
        assert [tick["type"] for tick in ticks] == ["tick"] * 3
        assert [tick["seq"] for tick in ticks] == [ticks[0]["seq"] + n for n in range(3)]
        assert all(abs(tick["sent_at"] / 1000 - time.time()) < 5 for tick in ticks)
        assert web.metric("websockets_connected") == 1
        socket_.send(json.dumps({"type": "ping", "id": 7}))
        answers = [json.loads(socket_.recv(5)) for _ in range(3)]
        assert [(m["type"], m["id"]) for m in answers if m["type"] != "tick"] == [("pong", 7)]
        assert socket_.ping().wait(5)
        for bad in ("{", "[]", b"\x00"):
            socket_.send(bad)
        assert "error" in [json.loads(socket_.recv(5))["type"] for _ in range(8)]
    wait_until(lambda: web.metric("websockets_connected") == 0, what="the end of the socket")
    assert (web.metric("websockets_opened_total"), web.metric("websockets_reconnects_total")) == (1, 0)
    with websocket(web, "/ws?attempt=2") as socket_:
        socket_.recv(5)
    wait_until(lambda: web.metric("websockets_closed_total", by="client") == 2, what="the count of the end")
    assert (web.metric("websockets_opened_total"), web.metric("websockets_reconnects_total")) == (2, 1)
    assert web.metric("websockets_closed_total", by="loss") == 0


def test_the_flag_of_the_build_stays_until_the_next_one(spark: Spark) -> None:
    web = spark.start("web", NEXT_PUBLIC_WS_ENABLED="false")
    for _time in range(2):
        build = web.get("/static/build.js")
        assert (build.status_code, build.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
        assert 'const BUILD = {"release": "1.0.0", "websocket": false};' in build.text
        web.reload(NEXT_PUBLIC_WS_ENABLED="true")
    assert "needs a restart: websocket_built" in web.output()


def test_the_canary_is_for_who_has_the_token(spark: Spark, canary: str) -> None:
    assert spark.start("web").get("/api/canary").status_code == 409
    web = spark.start("web", SPARK_API_TOKEN=canary)
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": canary}):
        assert web.get("/api/canary", headers=headers).status_code == 401
    answer = web.get("/api/canary", headers={"Authorization": f"Bearer {canary}"})
    found = answer.json()
    assert (answer.status_code, found["status"], found["events"], found["release"]) == (200, "PASS", 5, "1.0.0")
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["max"] < 5000
    assert canary not in answer.text + web.output()


def test_canaries_at_the_same_time_leave_each_other_alone(spark: Spark, canary: str) -> None:
    """As that of a sampler and that of a cutover."""
    web = spark.start("web", SPARK_API_TOKEN=canary)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(web.get, "/api/canary", headers={"Authorization": f"Bearer {canary}"}) for _number in range(32)]
    assert {one.result().json()["status"] for one in asked} == {"PASS"}


def test_websocket_of_an_unknown_symbol_is_refused(web: App) -> None:
    with pytest.raises(InvalidStatus) as caught:
        websocket(web, "/ws?symbol=x")
    assert caught.value.response.status_code == 403


def test_websocket_is_switched_off_by_reload(web: App) -> None:
    web.reload(WS_ENABLED="false")
    assert web.health()["websocket_enabled"] is False
    with pytest.raises(InvalidStatus):
        websocket(web)


def test_websocket_server_pings_and_drops_who_does_not_answer(spark: Spark) -> None:
    web = spark.start("web", WS_PING_SEC="0.3")
    address = urlsplit(web.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=5) as raw:
        raw.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        received = b""
        while chunk := raw.recv(4096):
            received += chunk
    assert b"101 Switching Protocols" in received
    assert b"\x89\x04" in received  # a ping frame of four bytes


# -- configuration and life --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["executor", "web"])
def test_refuses_to_start_without_what_it_needs(role: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"spark.{role}"],
        env=spark_environment(SPARK_RELEASE="1.0.0", MAX_SSE_CONNECTIONS="many"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 78
    assert "configuration refused" in done.stderr
    assert "  - REDIS_URL is required and not set\n" in done.stderr
    assert "  - MAX_SSE_CONNECTIONS must be a whole number" in done.stderr
    assert "Traceback" not in done.stderr


def test_refuses_to_be_an_unknown_release(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spark.web"],
        env=spark_environment(SPARK_RELEASE="3.0.0", REDIS_URL="redis://127.0.0.1:1"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 78
    assert "unknown release '3.0.0'; known are 0.9.0, 1.0.0" in done.stderr


def test_port_that_is_taken_is_said(spark: Spark, web: App) -> None:
    port = str(urlsplit(web.url).port)
    other = spark.start("executor", wait=False, EXECUTOR_PORT=port)
    assert other.process.wait(10) == 3
    assert "address already in use" in other.output()


@pytest.mark.parametrize(("role", "argument"), [("executor", "executor"), ("web", "web")])
def test_healthcheck_command(spark: Spark, role: str, argument: str) -> None:
    app = spark.start(role)
    port = str(urlsplit(app.url).port)

    def check() -> int:
        return subprocess.run(
            [sys.executable, "-m", "spark.healthcheck", argument],
            env=spark_environment(**{f"{role.upper()}_PORT": port}),
            capture_output=True,
            timeout=10,
        ).returncode

    assert check() == 0
    spark.redis.stop()
    assert check() == 1
    app.terminate()
    assert check() == 1


def test_stops_at_once_with_streams_and_sockets_open(web: App) -> None:
    ended: list[str] = []

    def follow() -> None:
        with web.stream() as stream:
            for _ in stream:
                pass
            ended.append("stream")

    thread = threading.Thread(target=follow)
    thread.start()
    with websocket(web) as socket_:
        socket_.recv(5)
        wait_until(lambda: web.metric("streams_connected") == 1, what="the stream")
        # Someone who has stopped reading must not hold the process up either.
        address = urlsplit(web.url)
        with socket.create_connection((str(address.hostname), int(address.port or 0))) as stuck:
            stuck.sendall(b"GET /api/marketdata/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            code, seconds = web.terminate()
        assert code == 0 and seconds < STOP
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                socket_.recv(5)
        assert caught.value.rcvd is not None and caught.value.rcvd.code in (1001, 1012)
    thread.join(5)
    # The stream ended properly, it was not cut.
    assert ended == ["stream"]

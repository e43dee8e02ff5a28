# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event stream: order, resume, heartbeat, limits, many at once."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
import requests

from tests.conftest import wait_until
from tests.integration.demo.conftest import App, Spark

STREAM = "/api/marketdata/stream"


@pytest.fixture
def web(spark: Spark) -> App:
    return spark.start("web")


def test_stream_is_an_event_stream(web: App) -> None:
    with web.stream(STREAM + "?symbol=ETHUSDT") as stream:
        assert stream.response.status_code == 200
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert "no-cache" in stream.headers["Cache-Control"]
        assert stream.headers["X-Streams-Connected"] == "1"
        ticks = stream.ticks(5)
    assert [int(tick.id) for tick in ticks] == [int(ticks[0].id) + n for n in range(5)]
    event = ticks[0].json()
    assert (event["symbol"], event["seq"]) == ("ETHUSDT", int(ticks[0].id))
    assert abs(event["time"] / 1000 - time.time()) < 5
    candle = event["candle"]
    assert candle["low"] <= event["price"] <= candle["high"]


def test_events_arrive_one_by_one(web: App) -> None:
    with web.stream() as stream:
        stream.ticks(6)
        gaps = [b - a for a, b in zip(stream.arrivals, stream.arrivals[1:], strict=False)]
    # The first is sent at once, whatever the slot; the others follow the clock of 100 ms.
    assert sum(gap > 0.05 for gap in gaps) >= 4


def test_first_event_comes_at_once(spark: Spark) -> None:
    web = spark.start("web", STREAM_INTERVAL_MS="5000")
    began = time.monotonic()
    with web.stream() as stream:
        assert stream.ticks(1)
    assert time.monotonic() - began < 2


def test_heartbeat_without_events(spark: Spark) -> None:
    web = spark.start("web", STREAM_INTERVAL_MS="5000", STREAM_HEARTBEAT_SEC="0.2")
    with web.stream() as stream:
        comments = []
        for event in stream:
            comments += [event.comment] if event.comment else []
            if comments.count("heartbeat") == 3:
                break
    assert comments == ["connected", "heartbeat", "heartbeat", "heartbeat"]


def test_head_shows_the_headers_and_opens_nothing(web: App) -> None:
    # As in the runbook: without a symbol.
    answer = requests.head(web.url + STREAM, timeout=5)
    assert answer.status_code == 200
    assert [answer.headers[f"X-Streams-{name}"] for name in ("Connected", "Messages", "Errors")] == ["0", "0", "0"]
    with web.stream() as stream:
        stream.ticks(3)
        headers = requests.head(web.url + STREAM, timeout=5).headers
        assert headers["X-Streams-Connected"] == "1"
        assert int(headers["X-Streams-Messages"]) >= 3
    wait_until(lambda: web.metric("streams_connected") == 0, what="the end of the stream")
    assert requests.head(web.url + STREAM, timeout=5).headers["X-Streams-Errors"] == "0"


def test_bad_symbol_is_refused(web: App) -> None:
    for symbol in ("x", "", "%3Cscript%3E"):
        assert web.get(f"{STREAM}?symbol={symbol}").status_code == 400
    assert web.metric("streams_connected") == 0


def test_resume_gives_what_was_missed(web: App) -> None:
    with web.stream() as stream:
        last = stream.ticks(2)[-1].id
    time.sleep(0.55)
    with web.stream(headers={"Last-Event-ID": last}) as stream:
        ticks = stream.ticks(7)
    assert [int(tick.id) for tick in ticks] == [int(last) + n for n in range(1, 8)]


def test_resume_at_another_process_loses_nothing_and_repeats_nothing(spark: Spark, web: App) -> None:
    with web.stream() as stream:
        before = stream.ticks(3)
    assert web.terminate()[0] == 0
    other = spark.start("web")
    with other.stream(headers={"Last-Event-ID": before[-1].id}) as stream:
        after = stream.ticks(5)
    numbers = [int(tick.id) for tick in before + after]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    # And the same event again is the same.
    with other.stream(headers={"Last-Event-ID": str(numbers[0] - 1)}) as stream:
        assert [tick.data for tick in stream.ticks(3)] == [tick.data for tick in before]


def test_who_was_away_too_long_is_told(spark: Spark) -> None:
    web = spark.start("web", STREAM_RING_EVENTS="5")
    with web.stream() as stream:
        now = int(stream.ticks(1)[0].id)
    with web.stream(headers={"Last-Event-ID": str(now - 100)}) as stream:
        events = [event for event, _ in zip(stream, range(4), strict=False) if event.event]
    assert events[0].event == "gap"
    missed = events[0].json()["missed"]
    assert int(events[1].id) == now - 100 + 1 + missed
    assert missed >= 95


def test_strange_last_event_id_starts_with_now(spark: Spark) -> None:
    web = spark.start("web", MAX_SSE_CONNECTIONS="10")
    for last in ("junk", "-5", "99999999999999999", "", "9" * 200):
        with web.stream(headers={"Last-Event-ID": last}) as stream:
            tick = stream.ticks(1)[0]
        assert abs(tick.json()["time"] / 1000 - time.time()) < 5


def test_limit_for_each_client(spark: Spark) -> None:
    web = spark.start("web", MAX_SSE_CONNECTIONS="2")
    with web.stream() as one, web.stream() as two:
        one.ticks(1), two.ticks(1)
        refused = web.get(STREAM)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "5"
        assert refused.headers["X-Streams-Connected"] == "2"
        # HEAD takes no place.
        assert requests.head(web.url + STREAM, timeout=5).status_code == 200
        # The proxy is trusted, and says that this is somebody else.
        with web.stream(headers={"X-Forwarded-For": "192.0.2.7"}) as other:
            assert other.response.status_code == 200
            other.ticks(1)
    wait_until(lambda: web.metric("streams_connected") == 0, what="the end of the streams")
    assert web.metric("streams_rejected_total") == 1
    assert web.metric("streams_opened_total") == 3, "one that is refused was not opened"
    assert web.metric("streams_errors_total") == 0
    with web.stream() as again:
        assert again.response.status_code == 200


def test_limit_is_lowered_by_reload(spark: Spark) -> None:
    web = spark.start("web", MAX_SSE_CONNECTIONS="3")
    with web.stream() as one:
        one.ticks(1)
        web.reload(MAX_SSE_CONNECTIONS="1")
        assert web.get(STREAM).status_code == 429
        assert one.ticks(2)  # who was there stays


def test_stuck_client_holds_up_nobody(web: App) -> None:
    with web.stream() as stuck:
        stuck.ticks(1)
        with web.stream() as reader:
            assert len(reader.ticks(10)) == 10


async def _hold(port: int, wanted: int, seconds: float) -> tuple[int, int]:
    """Open ``wanted`` streams for ``seconds``; return how many sent events and how many events were missing."""

    async def one() -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        try:
            async with asyncio.timeout(seconds):
                while chunk := await reader.read(65536):
                    received += chunk
        except TimeoutError:
            pass
        writer.close()
        return [int(number) for number in re.findall(rb"\nid: (\d+)\n", received)]

    streams = await asyncio.gather(*(one() for _ in range(wanted)))
    missing = sum(len(range(ids[0], ids[-1] + 1)) - len(ids) for ids in streams if ids)
    return sum(len(ids) >= 3 for ids in streams), missing


def test_a_thousand_streams_at_once(spark: Spark) -> None:
    web = spark.start("web", MAX_SSE_CONNECTIONS="2000", STREAM_INTERVAL_MS="500", STREAM_HEARTBEAT_SEC="5")
    port = int(web.url.rpartition(":")[2])
    served, missing = asyncio.run(_hold(port, 1000, 6))
    assert (served, missing) == (1000, 0)
    wait_until(lambda: web.metric("streams_connected") == 0, what="the end of the streams")
    assert web.metric("streams_errors_total") == 0
    assert web.metric("process_resident_memory_bytes") < 200e6

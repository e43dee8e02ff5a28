# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe sse against servers that stream, stall, lie and hang up, and through a real nginx."""

from __future__ import annotations

import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context
from ansible_collections.golive.cutover.plugins.module_utils.probes.sse import SseProbe
from tests.integration.probes.looking import look, read, refused
from tests.integration.probes.stream_servers import Handler, Market, Request, certificate, serving

PROBE = SseProbe()

PROXY = """
server {{
  listen 127.0.0.1:@PORT@;
  location / {{ proxy_pass http://127.0.0.1:{upstream}; {inside} }}
}}
"""
OFF = "proxy_buffering off; proxy_http_version 1.1;"
GZIP = "gzip on; gzip_types text/event-stream; gzip_min_length 0;"
BUFFERS = "proxy_buffer_size 4k; proxy_buffers 8 4k;"


# -- opened and delivered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_stream_that_is_well(framing: str) -> None:
    with serving(Market(0.1, heartbeat=0.25, framing=framing)) as server:
        seen = look(PROBE, url=server.url(), hold="1.5s")
    m = seen.measures
    assert (m["status"], m["opened"], m["failed"], m["ended_early"]) == (200, 1, 0, 0)
    assert m["content_type"] == "text/event-stream"
    assert m["header.x-streams-connected"] == "1" and m["header_number.x-streams-connected"] == 1
    assert "header.set-cookie" not in m
    assert 12 <= int(m["events"]) <= 16 and m["events_total"] == m["events"]
    assert 3 <= int(m["heartbeats"]) <= 7
    assert 0 < float(m["first_event"]) < 0.4
    assert 0.05 < float(m["largest_gap"]) < 0.5
    assert 0.2 < float(m["heartbeat_gap"]) < 0.8
    assert float(m["rate"]) == pytest.approx(10, rel=0.3)
    assert m["buffered"] is False and m["event_ids"] is True
    assert (m["missed"], m["duplicated"]) == (0, 0)
    assert not seen.missing
    assert seen.proof["events"] == m["events"] and seen.proof["held"] == pytest.approx(1.5, abs=0.1)


def test_what_is_asked_for() -> None:
    with serving(Market(0.05)) as server:
        look(
            PROBE,
            url=server.url("/a/stream?symbol=BTC USDT&x=ü"),
            hold="300ms",
            headers={"Accept": "text/event-stream;q=1", "X-Key": Secret("CANARY-key")},
            bearer=Secret("CANARY-token"),
            last_event_id="7",
        )
        (request,) = server.requests
    assert request.path.startswith("/a/stream?symbol=BTC%20USDT&x=")
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["accept"] == "text/event-stream;q=1"
    assert request.headers["x-key"] == "CANARY-key"
    assert request.headers["authorization"] == "Bearer CANARY-token"
    assert request.headers["last-event-id"] == "7"


def test_head_asks_for_headers_alone() -> None:
    with serving(Market(0.1)) as server:
        seen = look(PROBE, url=server.url(), method="HEAD")
        assert server.requests[0].method == "HEAD"
    assert seen.measures["status"] == 200
    assert seen.measures["header.x-streams-connected"] == "1"
    assert "events" not in seen.measures


def test_several_streams_are_judged_by_the_worst() -> None:
    def one_is_silent(request: Request) -> None:
        (Market(0.1) if "0" not in request.headers["x-number"] else silent)(request)

    turn = iter(range(10))
    lock = threading.Lock()

    def numbered(request: Request) -> None:
        with lock:
            request.headers["x-number"] = str(next(turn))
        one_is_silent(request)

    with serving(numbered) as server:
        seen = look(PROBE, url=server.url(), hold="1s", connections=5)
    assert seen.measures["opened"] == 5
    assert seen.measures["events"] == 0
    assert int(seen.measures["events_total"]) >= 30
    assert seen.missing["first_event"].startswith("1 of 5 streams: no event within 1.")
    assert "buffered" in seen.missing


def silent(request: Request) -> None:
    request.head("Connection: close")
    request.wait(20)


def test_tls(tmp_path: Path) -> None:
    tls, authority = certificate(tmp_path)
    with serving(Market(0.1), tls) as server:
        trusted = look(PROBE, url=server.url(), hold="500ms", verify=str(authority))
        unverified = look(PROBE, url=server.url(), hold="500ms", verify=False)
        strict = look(PROBE, url=server.url(), hold="500ms")
    assert trusted.measures["opened"] == unverified.measures["opened"] == 1
    assert int(trusted.measures["events"]) >= 3
    assert strict.measures["opened"] == 0
    assert "certificate was refused" in strict.missing["status"]


# -- resuming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("market", "resumed", "missed", "duplicated"),
    [
        (Market(0.1), True, [0], [0]),
        (Market(0.1, ids="btc-{}"), True, [0], [0]),
        (Market(0.1, resume=False), False, range(8, 14), [0]),
        (Market(0.1, replay=True), False, [0], range(3, 100_000)),
    ],
    ids=["goes on", "prefixed ids", "forgets", "sends all again"],
)
def test_resume(market: Market, resumed: bool, missed: Any, duplicated: Any) -> None:
    with serving(market) as server:
        seen = look(PROBE, url=server.url(), hold="700ms", resume=True)
        first, second = server.requests
    assert "last-event-id" not in first.headers
    assert second.headers["last-event-id"].rsplit("-")[-1].isdigit()
    assert seen.measures["resumed"] is resumed
    assert seen.measures["missed"] in missed
    assert seen.measures["duplicated"] in duplicated


def test_resume_without_ids_is_not_known() -> None:
    with serving(Market(0.1, ids="")) as server:
        seen = look(PROBE, url=server.url(), hold="400ms", resume=True)
    assert seen.measures["event_ids"] is False
    for name in ("resumed", "missed", "duplicated"):
        assert seen.missing[name] == "no event had an id"


def test_resume_where_the_server_does_not_come_back() -> None:
    market = Market(0.1)

    def once(request: Request) -> None:
        if "last-event-id" in request.headers:
            request.head(status="503 Service Unavailable", kind="text/plain")
        else:
            market(request)

    with serving(once) as server:
        seen = look(PROBE, url=server.url(), hold="500ms", resume=True)
    assert seen.measures["resumed"] is False
    assert seen.proof["resume"] == "status 503"


# -- buffered, or not, through nginx -----------------------------------------------------------------------------------


def through(nginx: Callable[..., Any], handler: Handler, inside: str, *, direct: bool = False, **options: Any) -> Any:
    with serving(handler) as server:
        front = nginx(PROXY.format(upstream=server.port, inside=inside))
        if direct:
            options["direct"] = server.url()
        return look(PROBE, timeout=20, url=f"{front.url}/stream", **options)


@pytest.mark.parametrize(
    ("market", "inside"),
    [
        (Market(0.1), OFF),
        (Market(0.6), OFF),
        (Market(0.3, framing="close"), OFF),
        (Market(0.3, heartbeat=0.2), OFF + GZIP),
        (Market(0.3, framing="close", hint="X-Accel-Buffering: no"), BUFFERS),
    ],
    ids=["off", "off, slow", "off, close-delimited", "off, gzip", "the application says no"],
)
def test_not_buffered(nginx: Callable[..., Any], market: Market, inside: str) -> None:
    seen = through(nginx, market, inside, hold="2.5s")
    assert seen.measures["buffered"] is False, seen.proof
    assert int(seen.measures["events"]) >= 3


def test_buffered_shows_in_lines_that_are_cut(nginx: Callable[..., Any]) -> None:
    seen = through(nginx, Market(0.1, framing="close", size=400), BUFFERS, hold="3s")
    assert seen.measures["buffered"] is True
    assert "in the middle of a line" in seen.proof["buffering"]
    assert float(seen.measures["first_event"]) > 0.4


def test_buffered_shows_in_heartbeats(nginx: Callable[..., Any]) -> None:
    """Lines of 64 bytes: a buffer of 4 kB ends between two of them."""

    def beat(request: Request) -> None:
        request.head("Connection: close")
        while request.wait(0.02):
            request.send(":" + 61 * "." + "\n\n")

    seen = through(nginx, beat, BUFFERS + "proxy_ignore_headers X-Accel-Buffering;", hold="4s")
    assert seen.measures["buffered"] is True, seen
    assert seen.measures["events"] == 0


def test_buffered_shows_in_when_events_were_sent(nginx: Callable[..., Any]) -> None:
    """Groups of events prove nothing by themselves; with the time at which they were sent they do."""

    def whole_buffers(request: Request) -> None:
        # As a proxy that buffers whole events would: five at a time.
        request.head("Connection: close")
        while request.wait(0.6):
            now = time.time()
            for number in range(5):
                stamp = now - 0.6 + 0.12 * number
                request.send(f"data: {json.dumps({'meta': {'t': stamp * 1000}})}\n\n")

    unclear = through(nginx, whole_buffers, OFF, hold="2.5s")
    assert "buffered" not in unclear.measures
    assert "groups" in unclear.missing["buffered"] and "sent_at" in unclear.missing["buffered"]
    clear = through(nginx, whole_buffers, OFF, hold="2.5s", sent_at="meta.t")
    assert clear.measures["buffered"] is False or "varies" in clear.proof["buffering"]


def test_buffered_shows_against_the_direct_connection(nginx: Callable[..., Any]) -> None:
    """Nothing comes through within the hold, not even headers: only the comparison tells a buffer from a hang."""
    alone = through(nginx, Market(0.2, framing="close"), BUFFERS, hold="2s")
    assert alone.measures["opened"] == 0
    assert "buffered" not in alone.measures
    assert "no response headers within 2.0 s" in alone.missing["buffered"]
    both = through(nginx, Market(0.2, framing="close"), BUFFERS, hold="2s", direct=True)
    assert both.measures["buffered"] is True
    assert "direct connection" in both.proof["buffering"]
    open_ = through(nginx, Market(0.2), OFF, hold="2s", direct=True)
    assert open_.measures["buffered"] is False
    assert "direct connection" in open_.proof["buffering"]


def test_buffered_by_gzip(nginx: Callable[..., Any]) -> None:
    """nginx packs without flushing while it buffers: nothing comes out until much went in."""
    seen = through(nginx, Market(0.1, size=300), "proxy_http_version 1.1;" + GZIP, hold="2s", direct=True)
    assert seen.measures["buffered"] is True


def test_headers_that_wait_for_the_first_event(nginx: Callable[..., Any]) -> None:
    seen = through(nginx, Market(5.0), "proxy_http_version 1.1;", hold="2s", direct=True)
    assert seen.measures.get("buffered") is not False


# -- what a stream can do to a prober ----------------------------------------------------------------------------------


def test_a_stream_that_never_sends() -> None:
    with serving(silent) as server:
        seen = look(PROBE, url=server.url(), hold="600ms")
    assert (seen.measures["status"], seen.measures["opened"], seen.measures["events"]) == (200, 1, 0)
    assert seen.missing["first_event"] == "no event within 0.6 s"
    assert seen.missing["largest_gap"] == "no event within 0.6 s"
    assert "only 0 events came" in seen.missing["buffered"]


def test_one_event_and_then_nothing() -> None:
    def stalls(request: Request) -> None:
        request.head("Connection: close")
        request.send("id: 1\ndata: a\n\n")
        request.wait(20)

    with serving(stalls) as server:
        seen = look(PROBE, url=server.url(), hold="1s")
    assert seen.measures["events"] == 1
    assert float(seen.measures["largest_gap"]) == pytest.approx(1, abs=0.15)
    assert "buffered" in seen.missing


def test_a_snapshot_at_the_opening_proves_nothing() -> None:
    def snapshot(request: Request) -> None:
        request.head("Connection: close")
        request.send("data: a\n\n" * 50)
        request.wait(20)

    with serving(snapshot) as server:
        seen = look(PROBE, url=server.url(), hold="1s")
    assert "when the stream was opened, and none after" in seen.missing["buffered"]


def test_an_accepting_server_that_says_nothing() -> None:
    def mute(request: Request) -> None:
        request.wait(20)

    with serving(mute) as server:
        seen = look(PROBE, timeout=3, url=server.url(), hold="500ms")
    assert (seen.measures["opened"], seen.measures["failed"]) == (0, 1)
    assert "no response headers within 0.5 s" in seen.missing["status"]
    assert "buffered" not in seen.measures


def test_a_listener_that_does_not_accept() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        filling = [socket.socket() for _ in range(3)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        seen = look(PROBE, timeout=1.5, url=f"http://127.0.0.1:{port}/", hold="500ms")
        for one in filling:
            one.close()
    assert seen.measures["failed"] == 1
    assert "no connection in time" in seen.missing["status"]


def test_a_refused_connection(free_port: Callable[[], int]) -> None:
    begun = time.monotonic()
    seen = look(PROBE, url=f"http://127.0.0.1:{free_port()}/", hold="3s")
    assert time.monotonic() - begun < 1, "there is nothing to hold"
    assert seen.measures == {"opened": 0, "failed": 1}
    assert set(seen.missing.values()) == {"connection refused"}
    assert {"status", "events", "ended_early", "missed", "buffered"} <= set(seen.missing)
    assert float(seen.proof["held"]) < 0.5


def test_a_name_that_does_not_exist() -> None:
    """Nothing was looked at: a check that expects no stream must not pass by that."""
    assert "does not resolve" in refused(PROBE, url="http://no-such-host.invalid/", hold="300ms")


@pytest.mark.parametrize("kind", ["events", "line", "data", "head", "gzip"])
def test_a_stream_without_end(kind: str) -> None:
    """As fast as it goes: the time is held, and the memory does not grow with what was sent."""

    def flood(request: Request) -> None:
        if kind == "head":
            request.send("HTTP/1.1 200 OK\r\n")
            block = b"X-Pad: " + b"x" * 1000 + b"\r\n"
        else:
            request.head("Connection: close", *(["Content-Encoding: gzip"] if kind == "gzip" else []))
            block = {"events": b"id: 1\ndata: x\n\n" * 2000, "line": b"x" * 65536, "data": b"data: x\n" * 8000}.get(
                kind, b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\x07" * 400
            )
        while not request.stop.is_set():
            request.send(block)

    with serving(flood) as server:
        options = read(PROBE, {"url": server.url(), "hold": "1s"})
        tracemalloc.start()
        begun = time.monotonic()
        seen = PROBE.look(options, Context(begun + 10))
        taken = time.monotonic() - begun
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert taken < 8
    assert peak < 30_000_000
    if kind == "events":
        assert int(seen.measures["events"]) > 1000
        assert seen.measures["ended_early"] == 0
    elif kind == "head":
        assert "head of the answer has more than" in seen.missing["status"]
    else:
        assert seen.measures["ended_early"] == 1
        assert {"line": "a line of more", "data": "an event of more", "gzip": "gzip"}[kind] in seen.proof["broken"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", "status 503"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
        ("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "status 302"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "the content type is text/html"),
        ("HTTP/1.1 200 OK\r\n\r\n", "the content type is missing"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
        ("", "closed the connection without an answer"),
    ],
)
def test_answers_that_are_no_stream(answer: str, reason: str) -> None:
    with serving(lambda request: request.send(answer)) as server:
        seen = look(PROBE, url=server.url(), hold="1s")
    assert (seen.measures["opened"], seen.measures["failed"]) == (0, 1)
    assert reason in seen.proof["error"]
    assert reason in seen.missing["first_event"]
    if answer.startswith("HTTP"):
        assert seen.measures["status"] == int(answer.split()[1])
    else:
        assert reason in seen.missing["status"]


def test_a_stream_that_closes_at_once() -> None:
    with serving(lambda request: request.head("Connection: close")) as server:
        seen = look(PROBE, url=server.url(), hold="2s")
    assert (seen.measures["opened"], seen.measures["ended_early"], seen.measures["events"]) == (1, 1, 0)
    assert "before the stream ended" in seen.missing["first_event"]


def test_a_redirect_is_followed_when_asked() -> None:
    market = Market(0.1)

    def moved(request: Request) -> None:
        if request.path == "/old":
            request.head("Location: /new", "Content-Length: 0", status="307 Temporary Redirect", kind=None)
        else:
            market(request)

    with serving(moved) as server:
        seen = look(PROBE, url=server.url("/old"), hold="500ms", follow=True)
    assert seen.measures["status"] == 200
    assert int(seen.measures["events"]) >= 3


def test_a_redirect_to_another_origin_takes_no_headers_along() -> None:
    with serving(Market(0.1)) as other:
        there = other.url().replace("127.0.0.1", "localhost")

        def away(request: Request) -> None:
            request.head(f"Location: {there}", "Content-Length: 0", status="302 Found", kind=None)

        with serving(away) as server:
            look(PROBE, url=server.url(), hold="300ms", follow=True, headers={"X-Key": Secret("CANARY-key")})
        assert "x-key" in server.requests[0].headers
        assert "x-key" not in other.requests[0].headers


def test_it_stops_when_told() -> None:
    with serving(Market(0.1)) as server:
        options = read(PROBE, {"url": server.url(), "hold": "20s"})
        context = Context(time.monotonic() + 30)
        threading.Timer(0.5, context.stop.set).start()
        begun = time.monotonic()
        PROBE.look(options, context)
        assert time.monotonic() - begun < 1


def test_many_streams() -> None:
    with serving(Market(0.5)) as server:
        seen = look(PROBE, timeout=20, url=server.url(), hold="2s", connections=200)
    assert seen.measures["opened"] == 200
    assert seen.measures["missed"] == 0
    assert int(seen.measures["events"]) >= 3

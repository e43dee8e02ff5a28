# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe websocket against a real server of the library websockets, against liars, and through a real nginx."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context
from ansible_collections.golive.cutover.plugins.module_utils.probes.websocket import WebsocketProbe
from tests.integration.probes.looking import look, mistakes, read, refused
from tests.integration.probes.stream_servers import Request, certificate, serving

PROBE = WebsocketProbe()
Talk = Callable[[ServerConnection], Awaitable[None]]


@contextmanager
def talking(talk: Talk, tls: ssl.SSLContext | None = None, **options: Any) -> Iterator[int]:
    """A real WebSocket server in a thread; gives its port."""
    started: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def handler(link: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await talk(link)

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, ssl=tls, **options) as server:
            started.append(next(iter(server.sockets)).getsockname()[1])
            ready.set()
            await stop.wait()
            server.close(close_connections=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def ticker(link: ServerConnection) -> None:
    while True:
        await link.send(json.dumps({"t": time.time()}))
        await asyncio.sleep(0.1)


async def quiet(link: ServerConnection) -> None:
    await link.wait_closed()


# -- opened and held ---------------------------------------------------------------------------------------------------


def test_one_that_is_well() -> None:
    with talking(ticker) as port:
        seen = look(PROBE, url=f"ws://127.0.0.1:{port}/ws", hold="1.2s", ping_every="300ms")
    m = seen.measures
    assert (m["status"], m["opened"], m["failed"], m["open_ratio"], m["unexpected_closes"]) == (101, 1, 0, 1.0, 0)
    assert 0 < float(m["open_time"]) < 0.5
    assert 0 < float(m["round_trip"]) < 0.5
    assert max(seen.samples["round_trips"]) == pytest.approx(float(m["round_trip"]), abs=1e-6)
    assert 9 <= int(m["messages"]) <= 14
    assert 0 < float(m["first_message"]) < 0.5
    assert 0.05 < float(m["largest_gap"]) < 0.5
    assert seen.missing == {"close_code": "no connection was closed", "subprotocol": "the server chose none"}
    assert seen.proof["pings"] in (3, 4, 5)


def test_many_at_once() -> None:
    with talking(ticker) as port:
        seen = look(PROBE, timeout=15, url=f"ws://127.0.0.1:{port}/", hold="1s", connections=200)
    assert seen.measures["opened"] == 200
    assert int(seen.measures["messages"]) >= 5
    assert seen.measures["unexpected_closes"] == 0


def test_what_is_sent(canary: str) -> None:
    got: list[Any] = []

    async def note(link: ServerConnection) -> None:
        assert link.request is not None
        got.append({name.lower(): value for name, value in link.request.headers.raw_items()})
        got.extend([await link.recv(), await link.recv()])
        await link.send("thanks")
        await link.wait_closed()

    with talking(note, subprotocols=["v2"]) as port:
        seen = look(
            PROBE,
            url=f"ws://127.0.0.1:{port}/feed?x=1",
            hold="500ms",
            headers={"X-Key": Secret(canary)},
            subprotocol=["v3", "v2"],
            send=["hello", {"op": "auth", "token": Secret(canary)}],
        )
    headers, first, second = got
    assert headers["x-key"] == canary
    assert headers["sec-websocket-protocol"] == "v3, v2"
    assert first == "hello"
    assert json.loads(second) == {"op": "auth", "token": canary}
    assert seen.measures["messages"] == 1
    assert seen.measures["subprotocol"] == "v2"
    assert canary not in repr(seen)


def test_tls(tmp_path: Path) -> None:
    tls, authority = certificate(tmp_path)
    with talking(ticker, tls) as port:
        trusted = look(PROBE, url=f"wss://127.0.0.1:{port}/", hold="300ms", verify=str(authority))
        strict = look(PROBE, url=f"wss://127.0.0.1:{port}/", hold="300ms")
    assert trusted.measures["opened"] == 1
    assert strict.measures["opened"] == 0
    assert "certificate was refused" in strict.missing["status"]


# -- through nginx -----------------------------------------------------------------------------------------------------

FRONT = """
map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
server {{
  listen 127.0.0.1:@PORT@;
  location / {{ proxy_pass http://127.0.0.1:{upstream}; {inside} }}
}}
"""
UPGRADE = (
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
)


def test_through_nginx_that_passes_the_upgrade_on(nginx: Callable[..., Any]) -> None:
    with talking(ticker) as port:
        front = nginx(FRONT.format(upstream=port, inside=UPGRADE))
        seen = look(PROBE, url=f"ws://127.0.0.1:{front.port}/", hold="1s", connections=20)
    assert seen.measures["opened"] == 20
    assert int(seen.measures["messages"]) >= 5


@pytest.mark.parametrize(("inside", "status"), [("proxy_http_version 1.1;", 426), ("", 505)])
def test_through_nginx_that_loses_it(nginx: Callable[..., Any], inside: str, status: int) -> None:
    with talking(ticker) as port:
        front = nginx(FRONT.format(upstream=port, inside=inside))
        seen = look(PROBE, url=f"ws://127.0.0.1:{front.port}/", hold="1s")
    assert seen.measures["opened"] == 0
    assert seen.measures["status"] == status
    assert "a proxy on the way does not pass the request to upgrade on" in seen.missing["open_time"]


def test_nginx_cuts_an_idle_one(nginx: Callable[..., Any]) -> None:
    with talking(quiet, ping_interval=None) as port:
        front = nginx(FRONT.format(upstream=port, inside=UPGRADE + "proxy_read_timeout 1s;"))
        seen = look(PROBE, url=f"ws://127.0.0.1:{front.port}/", hold="2500ms", ping_every="30s")
    assert seen.measures["unexpected_closes"] == 1
    assert seen.measures["close_code"] == 1006


# -- what a server can do ----------------------------------------------------------------------------------------------


def test_one_that_closes_at_once() -> None:
    async def leave(link: ServerConnection) -> None:
        await link.close(4001, "go away")

    with talking(leave) as port:
        begun = time.monotonic()
        seen = look(PROBE, url=f"ws://127.0.0.1:{port}/", hold="3s")
        assert time.monotonic() - begun < 1
    assert (seen.measures["opened"], seen.measures["unexpected_closes"], seen.measures["close_code"]) == (1, 1, 4001)
    assert seen.proof["close"] == "4001 go away"
    assert "no message before it was closed" in seen.missing["first_message"]


def test_one_that_drops_the_connection() -> None:
    async def drop(link: ServerConnection) -> None:
        await asyncio.sleep(0.2)
        link.transport.abort()

    with talking(drop) as port:
        seen = look(PROBE, url=f"ws://127.0.0.1:{port}/", hold="2s")
    assert (seen.measures["unexpected_closes"], seen.measures["close_code"]) == (1, 1006)


def test_one_that_says_nothing() -> None:
    with talking(quiet) as port:
        seen = look(PROBE, url=f"ws://127.0.0.1:{port}/", hold="600ms")
    assert seen.measures["messages"] == 0
    assert seen.missing["first_message"] == seen.missing["largest_gap"] == "no message within 0.6 s"


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", 200, "status 200 instead of 101"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, "status 403 instead of 101"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101, "Accept"),
        ("SSH-2.0-OpenSSH_9.2\r\n", None, "the answer is not HTTP"),
        ("", None, "closed the connection without an answer"),
    ],
)
def test_what_is_no_websocket(answer: str, status: int | None, reason: str) -> None:
    def answering(request: Request) -> None:
        request.send(answer)
        if answer:
            request.wait(5)

    with serving(answering) as server:
        begun = time.monotonic()
        seen = look(PROBE, url=f"ws://127.0.0.1:{server.port}/", hold="3s")
        assert time.monotonic() - begun < 1
    assert (seen.measures["opened"], seen.measures["failed"], seen.measures["open_ratio"]) == (0, 1, 0.0)
    assert seen.measures.get("status") == status
    for name in ("open_time", "round_trip", "first_message", "close_code"):
        assert reason in seen.missing[name]


def mute(request: Request) -> None:
    request.wait(20)


def test_a_server_that_accepts_and_says_nothing() -> None:
    with serving(mute) as server:
        seen = look(PROBE, timeout=2, url=f"ws://127.0.0.1:{server.port}/", hold="700ms")
    assert seen.missing["status"] == "no answer to the upgrade within 0.7 s"
    assert seen.measures["failed"] == 1


def test_no_pong() -> None:
    """A server that opens and then never reads: the ping is not answered."""
    from websockets.datastructures import Headers
    from websockets.http11 import Request as WsRequest
    from websockets.server import ServerProtocol

    def deaf(request: Request) -> None:
        protocol = ServerProtocol()
        response = protocol.accept(WsRequest(request.path, Headers(request.headers)))
        request.send(response.serialize())
        request.wait(20)

    with serving(deaf) as server:
        seen = look(PROBE, url=f"ws://127.0.0.1:{server.port}/", hold="600ms")
    assert seen.measures["opened"] == 1
    assert seen.missing["round_trip"] == seen.missing["round_trips"] == "no pong within 0.6 s"


def test_one_that_closes_in_the_packet_that_opens() -> None:
    from websockets.datastructures import Headers
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Request as WsRequest
    from websockets.server import ServerProtocol

    def leave(request: Request) -> None:
        response = ServerProtocol().accept(WsRequest(request.path, Headers(request.headers)))
        goodbye = Frame(Opcode.CLOSE, (4001).to_bytes(2, "big") + b"go away").serialize(mask=False)
        request.send(response.serialize() + goodbye)
        request.wait(5)

    with serving(leave) as server:
        seen = look(PROBE, url=f"ws://127.0.0.1:{server.port}/", hold="3s", send="hello")
    assert (seen.measures["opened"], seen.measures["unexpected_closes"], seen.measures["close_code"]) == (1, 1, 4001)


def test_a_flood() -> None:
    async def flood(link: ServerConnection) -> None:
        while True:
            await link.send("x" * 10_000)

    async def too_large(link: ServerConnection) -> None:
        await link.send("x" * 5_000_000)
        await link.wait_closed()

    with talking(flood) as port:
        seen = look(PROBE, timeout=3, url=f"ws://127.0.0.1:{port}/", hold="1s")
    assert int(seen.measures["messages"]) > 100
    with talking(too_large) as port:
        seen = look(PROBE, timeout=3, url=f"ws://127.0.0.1:{port}/", hold="1s")
    assert seen.measures["unexpected_closes"] == 1
    assert seen.measures["close_code"] == 1009


def test_a_refused_connection(free_port: Callable[[], int]) -> None:
    seen = look(PROBE, url=f"ws://127.0.0.1:{free_port()}/", hold="3s")
    assert seen.missing["status"] == "connection refused"
    assert seen.measures == {"opened": 0, "failed": 1, "open_ratio": 0}
    assert set(seen.missing.values()) == {"connection refused"}
    assert "does not resolve" in refused(PROBE, url="ws://no-such-host.invalid/")


def test_it_stops_when_told() -> None:
    with talking(ticker) as port:
        options = read(PROBE, {"url": f"ws://127.0.0.1:{port}/", "hold": "20s"})
        context = Context(time.monotonic() + 30)
        threading.Timer(0.4, context.stop.set).start()
        begun = time.monotonic()
        PROBE.look(options, context)
        assert time.monotonic() - begun < 1


def test_options() -> None:
    url = "ws://h/"
    assert "starts with ws://" in mistakes(PROBE, {"url": "http://h/"})[0]
    assert "set by the probe" in mistakes(PROBE, {"url": url, "headers": {"Upgrade": "x"}})[0]
    assert "line break" in mistakes(PROBE, {"url": url, "headers": {"X": "a\r\nb"}})[0]
    assert "fragment" in mistakes(PROBE, {"url": url + "#a"})[0]
    assert "more than 0s" in mistakes(PROBE, {"url": url, "hold": "0s"})[0]

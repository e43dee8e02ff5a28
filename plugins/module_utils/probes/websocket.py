# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""WebSockets: whether they open, stay open and deliver, and how quickly the other side answers a ping.

The protocol is that of the library `websockets`, in the part of it that does no input and output by itself. So a few hundred
connections are held in one thread, and the moment is known at which each thing came.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, reveal
from ansible_collections.golive.cutover.plugins.module_utils.core.sampling import Reservoir
from ansible_collections.golive.cutover.plugins.module_utils.probes import _connections as net
from ansible_collections.golive.cutover.plugins.module_utils.probes._event_stream import ResponseReader, StreamError
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

MESSAGE_LIMIT = 1024 * 1024
"""Bytes that one message may have."""

_RESERVED = ("host", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol")

_QUIET = logging.getLogger("golive.cutover.websocket")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False
_QUIET.setLevel(logging.CRITICAL)
"""The library logs headers when it is asked for details; secrets are among them."""


def _message(value: Any) -> str:
    """What is sent for a message: a text as it is, anything else as JSON, with secrets put in."""

    def plain(one: Any) -> Any:
        if isinstance(one, Mapping):
            return {str(key): plain(inner) for key, inner in one.items()}
        if isinstance(one, (list, tuple)):
            return [plain(inner) for inner in one]
        return reveal(one)

    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Socket(asyncio.Protocol):
    """One WebSocket: opens, sends what it is asked to send, and notes what came when."""

    __slots__ = (
        "answered_at",
        "begun",
        "context",
        "ended_at",
        "error",
        "first_message",
        "gone",
        "largest_gap",
        "last_message",
        "library",
        "messages",
        "opened_at",
        "ping_sent",
        "pings",
        "protocol",
        "reader",
        "request",
        "round_trip",
        "round_trips",
        "sends",
        "transport",
    )

    def __init__(
        self, context: Context, library: _Library, protocol: Any, request: Any, sends: list[str], round_trips: Reservoir
    ) -> None:
        self.context = context
        self.library = library
        self.protocol = protocol
        self.request = request
        self.sends = sends
        self.reader = ResponseReader()
        self.begun = context.clock()
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self.answered_at: float | None = None
        self.opened_at: float | None = None
        self.ended_at: float | None = None
        self.error: str | None = None
        self.messages = 0
        self.first_message: float | None = None
        self.last_message = 0.0
        self.largest_gap = 0.0
        self.pings = 0
        self.ping_sent: float | None = None
        self.round_trip: float | None = None
        self.round_trips = round_trips

    @property
    def live(self) -> bool:
        return self.transport is not None and self.ended_at is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"expected a stream, got {transport!r}")
        self.transport = transport
        self.gone = False
        self.protocol.send_request(self.request)
        self._flush()

    def _flush(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        for data in self.protocol.data_to_send():
            if data:
                self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.ended_at is not None:
            return
        now = self.context.clock()
        if self.reader.status is None:
            # The library reads the body of a refusal to its end before it says what it was; a look has no time for that.
            try:
                self.reader.feed(data)
            except StreamError as error:
                return self._end(now, str(error))
            if self._refused(now):
                return self._end(now)
        self.protocol.receive_data(data)
        if self.opened_at is None:
            problem = self.protocol.handshake_exc
            if problem is not None:
                return self._end(now, f"the answer is not that of a WebSocket: {problem}")
            if self.protocol.state is not self.library.connecting:
                self._opened(now)
        for event in self.protocol.events_received():
            self._event(event, now)
        self._flush()
        if self.opened_at is not None and self.protocol.state is not self.library.open_state:
            self._end(now)

    def _opened(self, now: float) -> None:
        self.opened_at = now
        if self.protocol.state is not self.library.open_state:
            return  # closed again by what came in the same packet as the answer
        for message in self.sends:
            self.protocol.send_text(message.encode("utf-8"))
        self.ping()

    def _event(self, event: Any, now: float) -> None:
        kind = getattr(event, "opcode", None)
        if kind is self.library.pong:
            # A pong that nobody asked for is allowed, and answers nothing.
            if self.ping_sent is not None and bytes(event.data) == b"%d" % self.pings:
                self.round_trip = max(self.round_trip or 0.0, now - self.ping_sent)
                self.round_trips.add(now - self.ping_sent)
                self.ping_sent = None
        elif kind in self.library.message_ends and event.fin:
            if self.first_message is None:
                self.first_message = now
            else:
                self.largest_gap = max(self.largest_gap, now - self.last_message)
            self.last_message = now
            self.messages += 1

    def ping(self) -> None:
        """Send a ping, unless the last one is still without an answer."""
        if self.opened_at is not None and self.live and self.ping_sent is None:
            self.pings += 1
            self.ping_sent = self.context.clock()
            self.protocol.send_ping(b"%d" % self.pings)
            self._flush()

    def _refused(self, now: float) -> bool:
        """Whether the head of the answer is there, and is none that opens a WebSocket."""
        if self.reader.status is not None:
            self.answered_at = now
        return self.reader.status not in (None, 101)

    def _end(self, now: float, error: str | None = None) -> None:
        self.error = self.error or error
        if self.ended_at is None:
            self.ended_at = now
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self.ended_at is None:
            self.ended_at = self.context.clock()
            if exc is not None:
                self.error = net.explain(exc)
        if self.opened_at is not None:
            self.protocol.receive_eof()

    def close(self) -> None:
        """Take leave, without waiting for an answer."""
        if self.transport is None:
            return
        if self.opened_at is not None and self.ended_at is None:
            self.ended_at = self.context.clock()
            self.protocol.send_close(1000)
            self._flush()
            self.transport.close()
        else:
            self.transport.abort()

    @property
    def close_code(self) -> int:
        """Code of the server's close frame, or of ours when it broke the protocol; 1006 when there was none."""
        frame = self.protocol.close_rcvd or self.protocol.close_sent
        return int(frame.code) if frame is not None else 1006

    def trouble(self, held: float) -> str | None:
        """Why this WebSocket did not open, in a few words; None when it did."""
        if self.opened_at is not None:
            return None
        if self.error:
            return self.error
        if self.reader.status is not None:
            lost = ": a proxy on the way does not pass the request to upgrade on" if self.reader.status in (426, 505) else ""
            return f"status {self.reader.status} instead of 101{lost}"
        if self.transport is None:
            return "no connection in time"
        if self.ended_at is not None:
            return "the server closed the connection without an answer"
        return f"no answer to the upgrade within {held:.1f} s"


class _Library:
    """What is needed of the library `websockets`. Raises LibraryMissing."""

    def __init__(self) -> None:
        try:
            from websockets.client import ClientProtocol
            from websockets.frames import Opcode
            from websockets.protocol import State
            from websockets.uri import parse_uri
        except ImportError as error:
            raise LibraryMissing("websockets") from error
        self.parse_uri: Callable[[str], Any] = parse_uri
        self.client: Callable[..., Any] = ClientProtocol
        self.connecting = State.CONNECTING
        self.open_state = State.OPEN
        self.pong = Opcode.PONG
        self.message_ends = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class WebsocketProbe(Probe):
    """Opens WebSockets, holds them for a while, and says what became of them."""

    name = "websocket"
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(opt.url("ws", "wss"), "address, ws:// or wss://", required=True),
        **net.OPTIONS,
        "subprotocol": Option(opt.list_of(opt.text), "subprotocols to offer, the preferred one first"),
        "send": Option(opt.anything, "a message to send once it is open, as text or as data for JSON; or a list of them"),
        "hold": Option(opt.duration, "how long they are held once all have been asked for", default=5.0),
        "connections": Option(opt.integer(1, 5000), "how many are held at once", default=1),
        "ping_every": Option(opt.duration, "time between two pings", default=1.0),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "status": "count",
        "opened": "count",
        "failed": "count",
        "open_ratio": "ratio",
        "open_time": "time",
        "subprotocol": "text",
        "round_trip": "time",
        "round_trips": "samples",
        "messages": "count",
        "messages_total": "count",
        "first_message": "time",
        "largest_gap": "time",
        "unexpected_closes": "count",
        "close_code": "count",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        problems = net.problems(options, _RESERVED)
        if options["hold"] <= 0:
            problems.append(Problem("hold", "expected more than 0s"))
        if options["ping_every"] < 0.01:
            problems.append(Problem("ping_every", "expected at least 10ms"))
        if urlsplit(options["url"]).fragment:
            problems.append(Problem("url", "a WebSocket has no fragment (#)"))
        try:
            for message in _sends(options):
                _message(message)
        except (TypeError, ValueError):
            problems.append(Problem("send", "cannot be written as JSON"))
        return problems

    def at_least(self, options: Mapping[str, Any]) -> float:
        return float(options["hold"])

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        library = _Library()
        return asyncio.run(_Look(options, context, library).run())


def _sends(options: Mapping[str, Any]) -> list[Any]:
    send = options["send"]
    return [] if send is None else send if isinstance(send, list) else [send]


class _Look:
    """One look: the WebSockets, and what is made of them."""

    def __init__(self, options: Mapping[str, Any], context: Context, library: _Library) -> None:
        self.options = options
        self.context = context
        self.library = library
        self.dialer = net.Dialer(options, context, context.deadline - options["hold"])
        self.blind = 0
        self.round_trips = Reservoir()

    def _socket(self) -> Socket:
        protocol = self.library.client(
            self.library.parse_uri(self.options["url"]),
            subprotocols=self.options["subprotocol"],
            max_size=MESSAGE_LIMIT,
            logger=_QUIET,
        )
        request = protocol.connect()
        request.headers["User-Agent"] = "golive.cutover"
        for name, value in net.own_headers(self.options).items():
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        sends = [_message(one) for one in _sends(self.options)]
        return Socket(self.context, self.library, protocol, request, sends, self.round_trips)

    def _opener(self, socket: Socket) -> Callable[[], Awaitable[None]]:
        async def opener() -> None:
            socket.begun = self.context.clock()
            try:
                await self.dialer.dial(self.options["url"], lambda: socket)
            except (OSError, asyncio.TimeoutError, ProbeError) as error:
                self.blind += isinstance(error, ProbeError)
                socket.error = net.explain(error)
                socket.ended_at = self.context.clock()

        return opener

    async def run(self) -> Observation:
        count: int = self.options["connections"]
        net.allow_files(count)
        sockets = [self._socket() for _number in range(count)]
        try:
            await net.race(net.open_all([self._opener(one) for one in sockets]), self.context)
            if self.blind == count:
                raise ProbeError(str(sockets[0].error))
            asked = self.context.clock()
            until = min(asked + self.options["hold"], self.context.deadline)
            stall = 0.0
            while any(one.live for one in sockets) and self.context.clock() < until and not self.context.over():
                pause = min(until, self.context.clock() + self.options["ping_every"])
                stall = max(stall, await net.hold(pause, self.context, lambda: any(one.live for one in sockets)))
                if self.context.clock() < until:
                    for one in sockets:
                        one.ping()
            end = self.context.clock() if self.context.stop.is_set() else until
            return self._observed(sockets, asked, end, stall)
        finally:
            await net.finish(sockets)

    def _observed(self, sockets: list[Socket], asked: float, end: float, stall: float) -> Observation:
        seen = Observation()
        measures, missing, proof = seen.measures, seen.missing, seen.proof
        held = max(self.context.clock() - asked, 0.0)
        troubles = [trouble for one in sockets if (trouble := one.trouble(held)) is not None]
        opened = [one for one in sockets if one.opened_at is not None]
        closed = [one for one in opened if one.ended_at is not None]
        proof.update({"connections": len(sockets), "held": round(held, 3)})
        proof.update({"messages": sum(one.messages for one in sockets), "pings": sum(one.pings for one in sockets)})
        if troubles:
            proof["error"] = net.most_common(troubles)
        if stall >= 0.1:
            proof["own_stall"] = round(stall, 3)
        measures["opened"] = len(opened)
        measures["failed"] = len(troubles)
        measures["open_ratio"] = len(opened) / len(sockets)
        if opened:
            measures["unexpected_closes"] = len(closed)
            measures["messages"] = min(one.messages for one in sockets)
            measures["messages_total"] = sum(one.messages for one in sockets)
        else:
            # No connection: that none was closed, or that no message came, would be no news.
            missing.update(dict.fromkeys(("unexpected_closes", "messages", "messages_total"), troubles[0]))
        statuses = [one.reader.status for one in sockets if one.reader.status is not None]
        other = [status for status in statuses if status != 101]
        if statuses:
            measures["status"] = (other or statuses)[0]
        else:
            missing["status"] = troubles[0]
        if closed:
            measures["close_code"] = closed[0].close_code
            frame = closed[0].protocol.close_rcvd or closed[0].protocol.close_sent
            reason = frame.reason if frame is not None else ""
            proof["close"] = f"{closed[0].close_code} {reason or ''}".strip()
        else:
            missing["close_code"] = troubles[0] if not opened else "no connection was closed"
        chosen = opened[0].protocol.subprotocol if opened else None
        if chosen is not None:
            measures["subprotocol"] = str(chosen)
        else:
            missing["subprotocol"] = troubles[0] if not opened else "the server chose none"

        def each(name: str, times: list[float | None], why: Callable[[Socket], str]) -> None:
            have = [one for one in times if one is not None]
            if len(have) == len(sockets):
                measures[name] = max(have)
                return
            first = next(socket for socket, one in zip(sockets, times) if one is None)
            few = f"{len(times) - len(have)} of {len(times)} connections: " if len(times) > 1 else ""
            missing[name] = few + (first.trouble(held) or why(first))

        def until(one: Socket) -> str:
            """How long a connection was open, in words."""
            if one.ended_at is not None:
                return f"before it was closed after {one.ended_at - one.begun:.1f} s"
            return f"within {end - one.begun:.1f} s"

        each("open_time", [one.opened_at - one.begun if one.opened_at is not None else None for one in sockets], until)
        slowest = [_round_trip(one, end) for one in sockets]
        each("round_trip", slowest, lambda one: f"no pong {until(one)}")
        if "round_trip" in missing:
            missing["round_trips"] = missing["round_trip"]
        else:
            # A ping without its answer counts where it has waited longer than any other of its connection.
            for one, took in zip(sockets, slowest):
                if took is not None and took != one.round_trip:
                    self.round_trips.add(took)
            seen.sampled("round_trips", self.round_trips.kept)
        each(
            "first_message",
            [one.first_message - one.begun if one.first_message is not None else None for one in sockets],
            lambda one: f"no message {until(one)}",
        )
        each(
            "largest_gap",
            [
                max(one.largest_gap, end - one.last_message) if one.first_message is not None else None
                for one in sockets
            ],
            lambda one: f"no message {until(one)}",
        )
        return seen


def _round_trip(socket: Socket, end: float) -> float | None:
    """The slowest answer to a ping; one that is still waited for took at least as long as it has been waited for."""
    if socket.round_trip is None:
        return None
    if socket.ping_sent is None:
        return socket.round_trip
    return max(socket.round_trip, (socket.ended_at or end) - socket.ping_sent)

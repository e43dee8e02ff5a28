# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The event stream: one ring of events for each symbol, and any number of clients that read from it.

An event is numbered by the time slot that it belongs to (``epoch milliseconds // interval``) and its content follows
from that number alone. So consecutive events have consecutive ids, every process sends the same event under the same
id, and a client that comes back with ``Last-Event-ID`` gets what it missed even from a process that was not there yet.
The ring bounds how far back that goes; a client that was away for longer is told so by an event ``gap``.

For every symbol an event is encoded once, and one wake-up serves all of its clients.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from starlette.types import Message, Receive, Scope, Send

from spark import market

CANDLE_TIMEFRAME = "1m"
BLOCK_EVENTS = 16  # what the release 1.1.0-buffered gathers before it sends

TOTALS_KEY = "spark:streams:totals"
CONNECTED_KEY = "spark:streams:connected:"
REPORT_EVERY = 1.0  # seconds


def event_of(symbol: str, number: int, interval: float) -> dict[str, Any]:
    """Return the event ``number`` of ``symbol``. Times are epoch milliseconds."""
    at = number * interval
    candle = market.candles(symbol, CANDLE_TIMEFRAME, 1, now=at)[0]
    return {
        "type": "tick",
        "symbol": symbol,
        "seq": number,
        "time": round(at * 1000),
        "price": market.price(symbol, at),
        "timeframe": CANDLE_TIMEFRAME,
        "candle": candle,
    }


def encoded(event: dict[str, Any]) -> bytes:
    data = json.dumps(event, separators=(",", ":"))
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {data}\n\n".encode()


class Ring:
    """The last ``size`` events of one symbol, made when they are first wanted."""

    def __init__(self, symbol: str, size: int, interval: float) -> None:
        self.symbol = symbol
        self.size = size
        self.interval = interval
        self._encoded: dict[int, bytes] = {}

    def latest(self, now: float) -> int:
        """Return the number of the newest event at epoch time ``now`` (seconds)."""
        # Whole milliseconds, so that a slot does not begin early or late by the error of a division.
        return round(now * 1000) // round(self.interval * 1000)

    def oldest(self, now: float) -> int:
        return self.latest(now) - self.size + 1

    def get(self, number: int) -> bytes:
        """Return one event as it goes on the wire."""
        made = self._encoded.get(number)
        if made is None:
            made = self._encoded[number] = encoded(event_of(self.symbol, number, self.interval))
            if len(self._encoded) > 2 * self.size:
                newest = max(self._encoded)
                self._encoded = {n: event for n, event in self._encoded.items() if n > newest - self.size}
        return made


class Hub:
    """The rings, the clients of this process, and the counters that the X-Streams-* headers show."""

    def __init__(self, interval: float, ring_size: int, heartbeat: float = 5.0, now: Callable[[], float] = time.time) -> None:
        self.interval = interval
        self.heartbeat = heartbeat
        self.now = now
        self.rings = {symbol: Ring(symbol, ring_size, interval) for symbol in market.SYMBOLS}
        self.connected = 0
        self.opened = 0
        self.messages = 0
        self.errors = 0
        self.rejected = 0
        self.per_client: Tally[str] = Tally()
        self.closing = asyncio.Event()
        self._tick: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Wake all clients at the beginning of every time slot, and for a heartbeat where slots are longer than that."""
        while True:
            now = self.now()
            await asyncio.sleep(min(self.interval - now % self.interval + 0.001, self.heartbeat))
            self._wake()

    def close(self) -> None:
        """Let every stream end."""
        self.closing.set()
        self._wake()

    def _wake(self) -> None:
        if self._tick is not None and not self._tick.done():
            self._tick.set_result(None)
        self._tick = None

    async def tick(self) -> None:
        """Wait for the next wake-up."""
        if self.closing.is_set():
            return
        if self._tick is None:
            self._tick = asyncio.get_running_loop().create_future()
        # Shielded: the future is shared, and one client that leaves must not cancel it for the others.
        await asyncio.shield(self._tick)

    def enter(self, client: str, limit: int) -> bool:
        """Take a place for ``client``, if it has fewer than ``limit`` streams."""
        if self.per_client[client] >= limit:
            self.rejected += 1
            return False
        self.per_client[client] += 1
        self.connected += 1
        self.opened += 1
        return True

    def leave(self, client: str) -> None:
        self.connected -= 1
        self.per_client[client] -= 1
        if not self.per_client[client]:
            del self.per_client[client]

    def headers(self) -> dict[str, str]:
        return {
            "X-Streams-Connected": str(self.connected),
            "X-Streams-Messages": str(self.messages),
            "X-Streams-Errors": str(self.errors),
        }


def resume_from(last_event_id: str | None) -> int | None:
    """Return the number after ``Last-Event-ID``; None when there is none or it is not one of ours."""
    if last_event_id and len(last_event_id) <= 18 and last_event_id.isascii() and last_event_id.isdigit():
        return int(last_event_id) + 1
    return None


@dataclass(frozen=True)
class Manner:
    """How a stream is sent. The good releases use the defaults."""

    buffered: bool = False
    stalled: bool = False


class EventStream:
    """The answer to GET on the stream, as an ASGI application. The place in the hub is already taken."""

    def __init__(self, hub: Hub, symbol: str, client: str, start: int | None, manner: Manner) -> None:
        self.hub = hub
        self.ring = hub.rings[symbol]
        self.client = client
        self.start = start
        self.manner = manner
        self.headers = {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "yes" if manner.buffered else "no",
            **hub.headers(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(self._disconnected(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        except OSError:
            return  # the client is gone; that is its right
        except Exception:
            self.hub.errors += 1
            raise
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            self.hub.leave(self.client)

    @staticmethod
    async def _disconnected(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _send(self, send: Send) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.manner.buffered:
            await self._send_blocks(send)
        else:
            await self._send_events(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _pending(self, position: int) -> tuple[list[bytes], int]:
        """Return the events from ``position`` on that are due, and the position after them."""
        now = self.hub.now()
        newest, oldest = self.ring.latest(now), self.ring.oldest(now)
        chunks: list[bytes] = []
        if position < oldest:
            # Told, not hidden: this client lost events and can act on it, by asking for the candles again.
            chunks.append(f'event: gap\ndata: {{"type":"gap","missed":{oldest - position}}}\n\n'.encode())
            position = oldest
        chunks.extend(self.ring.get(number) for number in range(position, newest + 1))
        return chunks, max(position, newest + 1)

    def _first(self) -> int:
        newest = self.ring.latest(self.hub.now())
        # An id from the future (another clock, another interval) would make the client wait for ever.
        return newest if self.start is None or self.start > newest + 1 else self.start

    async def _send_events(self, send: Send) -> None:
        position = self._first()
        loop = asyncio.get_running_loop()
        chunks, position = self._pending(position)
        await self._write(send, [b"retry: 1000\n: connected\n\n", *chunks], len(chunks))
        if self.manner.stalled:
            await self.hub.closing.wait()
            return
        beat = loop.time()
        while not self.hub.closing.is_set():
            await self.hub.tick()
            chunks, position = self._pending(position)
            count = len(chunks)
            if loop.time() - beat >= self.hub.heartbeat:
                beat = loop.time()
                chunks.append(b": heartbeat\n\n")
            if chunks:
                await self._write(send, chunks, count)

    async def _send_blocks(self, send: Send) -> None:
        position = self._first()
        held: list[bytes] = []
        while not self.hub.closing.is_set():
            await self.hub.tick()
            chunks, position = self._pending(position)
            held += chunks
            if len(held) >= BLOCK_EVENTS:
                await self._write(send, held, len(held))
                held = []

    async def _write(self, send: Send, chunks: list[bytes], messages: int) -> None:
        body: Message = {"type": "http.response.body", "body": b"".join(chunks), "more_body": True}
        await send(body)
        self.hub.messages += messages


# -- the streams of the whole platform, for the executor's metrics --------------------------------------------------


@dataclass(frozen=True)
class StreamTotals:
    """What all web processes together have: open streams now, messages and errors ever."""

    connected: int = 0
    messages: int = 0
    errors: int = 0


class Reporter:
    """Adds what happened in this process to the totals in Redis."""

    def __init__(self, redis: Redis, hub: Hub, instance: str) -> None:
        self.redis = redis
        self.hub = hub
        self.key = CONNECTED_KEY + instance
        self._reported = (0, 0)

    async def report(self) -> None:
        messages, errors = self.hub.messages, self.hub.errors
        async with self.redis.pipeline(transaction=True) as pipe:
            # Expires, so that a process that was killed does not count for ever.
            pipe.set(self.key, self.hub.connected, ex=10)
            pipe.hincrby(TOTALS_KEY, "messages", messages - self._reported[0])
            pipe.hincrby(TOTALS_KEY, "errors", errors - self._reported[1])
            await pipe.execute()
        self._reported = (messages, errors)

    async def withdraw(self) -> None:
        await self.redis.delete(self.key)


async def read_totals(redis: Redis) -> StreamTotals:
    totals = await cast("Awaitable[dict[str, str]]", redis.hgetall(TOTALS_KEY))
    keys = [key async for key in redis.scan_iter(match=CONNECTED_KEY + "*", count=1000)]
    values = await cast("Awaitable[list[str | None]]", redis.mget(keys)) if keys else []
    return StreamTotals(
        connected=sum(int(value) for value in values if value),
        messages=int(totals.get("messages", 0)),
        errors=int(totals.get("errors", 0)),
    )

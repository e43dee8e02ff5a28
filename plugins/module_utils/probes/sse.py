# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Server-sent events: whether streams open, deliver, are held back by a proxy, and go on where they stopped.

All streams of a check are held in one thread on one selector, with a reader of a few kilobytes for each. A library that
parses one blocking stream would need a thread for each, and would not tell when bytes came, which is what shows that a
proxy buffers.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes import _connections as net
from ansible_collections.golive.cutover.plugins.module_utils.probes._arrivals import (
    HELD,
    Arrivals,
    buffered,
    compared,
    moment,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes._event_stream import (
    Event,
    EventParser,
    ResponseReader,
    StreamError,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

PAUSE = 1.0
"""Seconds between the end of a stream and its reconnection, so that there is something to catch up with."""

HOPS = 5
"""Redirects that are followed at the most."""

RECORDED = 5000
"""Events whose arrival is kept for the comparison with a direct connection."""

RECENT = 256
"""Ids of a stream that are kept to notice one that comes again after a reconnection."""

_NUMBERED = re.compile(r"(.*?)(\d{1,18})\Z", re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?\Z")
_RESERVED = ("host", "connection", "content-length", "transfer-encoding", "last-event-id")
_HIDDEN = ("set-cookie", "set-cookie2")


class Ids:
    """The ids of one stream as they came, also over a reconnection: what was left out, and what came again."""

    __slots__ = (
        "backwards",
        "last",
        "missed",
        "number",
        "prefix",
        "recent",
        "repeated",
        "steps",
        "with_id",
        "without_id",
    )

    def __init__(self, recent: int = 0) -> None:
        self.last: str | None = None
        self.prefix = ""
        self.number: int | None = None
        self.steps = 0
        self.missed = 0
        self.backwards = 0
        self.repeated = 0
        self.with_id = 0
        self.without_id = 0
        self.recent: deque[str] = deque(maxlen=recent)

    def came(self, own: str | None) -> None:
        if own is None:
            self.without_id += 1
            return
        self.with_id += 1
        if own in self.recent or own == self.last:
            self.repeated += 1
        elif self.recent.maxlen:
            self.recent.append(own)
        match = _NUMBERED.match(own)
        if match:
            prefix, number = match.group(1), int(match.group(2))
            if self.number is not None and prefix == self.prefix:
                step = number - self.number
                self.steps += step == 1
                self.missed += max(step - 1, 0)
                self.backwards += step < 1
            if self.number is None or prefix != self.prefix or number > self.number:
                self.prefix, self.number = prefix, number
        self.last = own

    @property
    def counting(self) -> bool:
        """Whether the ids count up by one, so that a missing one shows: at least half of the steps do."""
        return self.steps > 0 and 2 * self.steps >= self.with_id - 1 - self.backwards and not self.without_id

    @property
    def duplicated(self) -> int:
        return self.backwards if self.counting else self.repeated


class Feed(asyncio.Protocol):
    """One stream: sends the request, reads the answer, and notes what came when."""

    __slots__ = (
        "answered_at",
        "arrivals",
        "begun",
        "context",
        "ended_at",
        "error",
        "gone",
        "head_only",
        "heartbeat_names",
        "ids",
        "on_event",
        "opened",
        "parser",
        "reader",
        "received",
        "request",
        "transport",
    )

    def __init__(
        self,
        context: Context,
        heartbeat_names: frozenset[str],
        ids: Ids,
        on_event: Callable[[Feed, Event, float], None] | None = None,
    ) -> None:
        self.context = context
        self.heartbeat_names = heartbeat_names
        self.ids = ids
        self.on_event = on_event
        self.begun = context.clock()
        self.request = b""
        self.reader = ResponseReader()
        self.parser = EventParser()
        self.arrivals = Arrivals(self.begun)
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self.received = 0
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.error: str | None = None
        self.opened = False
        self.head_only = False

    def begin(self, request: bytes) -> Feed:
        """Start over with a new request on a new connection."""
        self.request = request
        self.reader = ResponseReader()
        self.answered_at = None
        return self

    @property
    def status(self) -> int | None:
        return self.reader.status

    @property
    def is_stream(self) -> bool:
        return (self.reader.header("content-type") or "").partition(";")[0].strip().lower() == "text/event-stream"

    @property
    def live(self) -> bool:
        return self.transport is not None and self.ended_at is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"expected a stream, got {transport!r}")
        self.transport = transport
        self.gone = False
        self.ended_at = None
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = self.context.clock()
        if self.ended_at is not None:
            return
        self.received += len(data)
        try:
            body = self.reader.feed(data)
            self._answered(now)
            if body and self.live:
                self._body(body, now)
            if self.reader.done:
                self._end(now)
        except StreamError as error:
            self._answered(now)
            self.error = str(error)
            self._end(now)

    def _answered(self, now: float) -> None:
        """Note that the head of the answer is there, and whether it is that of an event stream."""
        if self.answered_at is not None or self.reader.status is None:
            return
        self.answered_at = now
        self.opened = self.reader.status == 200 and self.is_stream
        if not self.opened or self.head_only:
            self._end(now)

    def _body(self, body: bytes, now: float) -> None:
        events, heartbeats = self.parser.feed(body)
        real = [event for event in events if event.name not in self.heartbeat_names] if self.heartbeat_names else events
        self.arrivals.arrived(now, len(real), heartbeats + len(events) - len(real), self.parser.cut)
        for event in real:
            self.ids.came(event.id)
            if self.on_event is not None:
                self.on_event(self, event, now)

    def _end(self, now: float) -> None:
        if self.ended_at is None:
            self.ended_at = now
        if self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self.ended_at is None:
            self.ended_at = self.context.clock()
            if exc is not None:
                self.error = net.explain(exc)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def trouble(self, held: float) -> str | None:
        """Why this stream did not open, in a few words; None when it did."""
        if self.opened:
            return None
        if self.status is None:
            if self.error:
                return self.error
            if self.ended_at is not None:
                return "the server closed the connection without an answer"
            return (
                f"no response headers within {held:.1f} s, which a server that hangs does and a proxy that buffers"
                if self.transport is not None
                else "no connection in time"
            )
        if self.status != 200:
            return f"status {self.status}"
        return f"the content type is {self.reader.header('content-type') or 'missing'}, not text/event-stream"


class SseProbe(Probe):
    """Holds event streams for a while and says what came, when, and whether a proxy held it back."""

    name = "sse"
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(opt.url("http", "https"), "address of the stream", required=True),
        "method": Option(opt.choice("GET", "HEAD"), "HEAD asks for the headers alone", default="GET"),
        **net.OPTIONS,
        "last_event_id": Option(opt.text, "id to go on from, sent as Last-Event-ID"),
        "hold": Option(opt.duration, "how long the streams are held once all have been asked for", default=5.0),
        "connections": Option(opt.integer(1, 20000), "how many streams are held at once", default=1),
        "resume": Option(opt.flag, "whether to reconnect from the last id after the hold", default=False),
        "sent_at": Option(opt.text, "where the JSON of an event says when it was sent: a field, or JMESPath"),
        "direct": Option(opt.url("http", "https"), "the same stream without the proxy, to compare the arrivals with"),
        "heartbeat_events": Option(
            opt.list_of(opt.text),
            "names of events that are heartbeats, as comments are",
            default=["heartbeat", "ping", "keepalive", "keep-alive"],
        ),
        "follow": Option(opt.flag, "whether redirects are followed", default=False),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "status": "count",
        "opened": "count",
        "failed": "count",
        "open_time": "time",
        "content_type": "text",
        "header.*": "text",
        "header_number.*": "count",
        "first_event": "time",
        "events": "count",
        "events_total": "count",
        "rate": "rate",
        "bytes": "size",
        "largest_gap": "time",
        "heartbeats": "count",
        "heartbeat_gap": "time",
        "ended_early": "count",
        "buffered": "flag",
        "event_ids": "flag",
        "missed": "count",
        "duplicated": "count",
        "resumed": "flag",
    }
    _OF_HEAD: ClassVar[tuple[str, ...]] = (
        "status",
        "opened",
        "failed",
        "open_time",
        "content_type",
        "header.*",
        "header_number.*",
    )

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        problems = net.problems(options, _RESERVED)
        last = options["last_event_id"]
        if last is not None and any(ord(sign) < 32 for sign in last):
            problems.append(Problem("last_event_id", "has a line break or another control character"))
        if options["method"] == "HEAD":
            problems.extend(
                Problem(key, "has no meaning with method: HEAD, which opens no stream")
                for key in ("resume", "direct", "sent_at")
                if options[key]
            )
        elif options["hold"] <= 0:
            problems.append(Problem("hold", "expected more than 0s"))
        return problems

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        if options["method"] == "HEAD":
            return {name: self.measures[name] for name in self._OF_HEAD}
        return {name: kind for name, kind in self.measures.items() if name != "resumed" or options["resume"]}

    def at_least(self, options: Mapping[str, Any]) -> float:
        if options["method"] == "HEAD":
            return 0.0
        hold = float(options["hold"])
        return 2 * hold + PAUSE if options["resume"] else hold

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        of_stream = [name for name in self.measures_for(options) if name not in (*self._OF_HEAD, "buffered")]
        return asyncio.run(_Look(options, context, self.at_least(options), of_stream).run())


def _sent_at(where: str | None) -> Callable[[bytes], float | None] | None:
    """A function that finds in the data of an event when it was sent."""
    if where is None:
        return None
    if where.isidentifier():

        def field(document: Any) -> Any:
            return document.get(where) if isinstance(document, dict) else None

        find: Callable[[Any], Any] = field
    else:
        try:
            import jmespath
        except ImportError:
            raise LibraryMissing("jmespath") from None
        try:
            find = jmespath.compile(where).search
        except jmespath.exceptions.JMESPathError as error:
            raise ProbeError(f"sent_at: {where!r} is not a JMESPath expression: {str(error).splitlines()[0]}") from None

    def read(data: bytes) -> float | None:
        try:
            return moment(find(json.loads(data)))
        except (ValueError, TypeError, RecursionError):
            return None

    return read


class _Look:
    """One look: the streams, and what is made of them."""

    def __init__(
        self, options: Mapping[str, Any], context: Context, at_least: float, of_stream: Iterable[str]
    ) -> None:
        self.options = options
        self.of_stream = of_stream
        self.context = context
        self.hold: float = options["hold"] if options["method"] == "GET" else 0.0
        # What is left beyond the holding is for connecting.
        self.dialer = net.Dialer(options, context, context.deadline - at_least)
        self.heartbeat_names = frozenset(options["heartbeat_events"])
        self.read_sent = _sent_at(options["sent_at"])
        self.stall = 0.0
        self.blind = 0
        self.record: dict[Feed, dict[object, float]] = {}

    # -- asking ------------------------------------------------------------------------------------------------------

    def _request(self, url: str, last_event_id: str | None, foreign: bool = False) -> bytes:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
        standard = 443 if parts.scheme == "https" else 80
        lines = {
            "Host": host if parts.port in (None, standard) else f"{host}:{parts.port}",
            "Accept": "text/event-stream",
            "Accept-Encoding": "gzip",  # as browsers do: what packs a stream may hold it back
            "Cache-Control": "no-cache",
            "User-Agent": "golive.cutover",
        }
        if last_event_id is not None:
            lines["Last-Event-ID"] = last_event_id
        if not foreign:
            own = net.own_headers(self.options)
            given = {name.lower() for name in own}
            lines = {**{name: value for name, value in lines.items() if name.lower() not in given}, **own}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        path = path.encode("utf-8").decode("latin-1").replace(" ", "%20")
        return f"{self.options['method']} {path} HTTP/1.1\r\n{text}\r\n".encode("utf-8" if last_event_id else "latin-1")

    async def _connect(self, feed: Feed, url: str, request: bytes) -> None:
        feed.begin(request)
        feed.head_only = self.options["method"] == "HEAD"
        await self.dialer.dial(url, lambda: feed)

    async def _open(self, feed: Feed, url: str, last_event_id: str | None) -> None:
        feed.begun = self.context.clock()
        feed.arrivals = Arrivals(feed.begun)
        origin = urlsplit(url)[:2]
        try:
            for _hop in range(HOPS + 1):
                foreign = urlsplit(url)[:2] != origin
                await self._connect(feed, url, self._request(url, last_event_id, foreign))
                if not self.options["follow"]:
                    return
                await net.hold(
                    self.context.clock() + max(self.hold, 1.0),
                    self.context,
                    lambda: feed.live and feed.answered_at is None,
                )
                where = feed.reader.header("location")
                if feed.status not in (301, 302, 303, 307, 308) or not where:
                    return
                url = urljoin(url, where)
                if urlsplit(url).scheme not in ("http", "https"):
                    feed.error = f"the redirect leads to {url}"
                    return
            feed.error = f"more than {HOPS} redirects"
        except (OSError, asyncio.TimeoutError, ProbeError, ValueError) as error:
            if isinstance(error, ProbeError):
                self.blind += 1
            feed.error = net.explain(error)
            feed.ended_at = self.context.clock()

    def _opener(self, feed: Feed, url: str, last_event_id: str | None) -> Callable[[], Awaitable[None]]:
        return lambda: self._open(feed, url, last_event_id)

    def _noted(self, feed: Feed, event: Event, now: float) -> None:
        record = self.record.get(feed)
        if record is not None and len(record) < RECORDED:
            key = event.id if event.id is not None else hash((event.name, event.data))
            record.setdefault(key, now)
        if self.read_sent is not None:
            at = self.read_sent(event.data)
            if at is not None:
                feed.arrivals.was_sent(at, self.context.now())

    def _feed(self, ids: Ids) -> Feed:
        wanted = self.read_sent is not None or self.options["direct"] is not None
        return Feed(self.context, self.heartbeat_names, ids, self._noted if wanted else None)

    async def _hold(self, feeds: list[Feed], hold: float) -> float:
        """Hold the feeds, as long as one of them could still send something; returns when the hold was to end."""
        until = min(self.context.clock() + hold, self.context.deadline)
        self.stall = max(
            self.stall, await net.hold(until, self.context, lambda: any(feed.live for feed in feeds))
        )
        return until if not self.context.stop.is_set() else self.context.clock()

    # -- the look ----------------------------------------------------------------------------------------------------

    async def run(self) -> Observation:
        options = self.options
        count: int = options["connections"]
        net.allow_files(count)
        url: str = options["url"]
        feeds = [self._feed(Ids(RECENT if options["resume"] else 0)) for _number in range(count)]
        last = options["last_event_id"]
        everyone = list(feeds)
        openers = [self._opener(feed, url, last) for feed in feeds]
        direct: Feed | None = None
        if options["direct"] is not None:
            direct = self._feed(Ids())
            everyone.append(direct)
            self.record = {feeds[0]: {}, direct: {}}
            openers.insert(0, self._opener(direct, options["direct"], last))
        again: list[Feed] = []
        try:
            await net.race(net.open_all(openers), self.context)
            asked = self.context.clock()
            if options["method"] == "HEAD":
                await net.hold(self.context.deadline, self.context, lambda: any(f.live for f in feeds))
                end = self.context.clock()
            else:
                end = await self._hold(everyone, self.hold)
            held = self.context.clock() - asked
            ended_early = sum(1 for feed in feeds if feed.opened and feed.ended_at is not None)
            for feed in everyone:
                feed.close()
            if self.blind >= len(everyone):
                raise ProbeError(str(feeds[0].error))
            observation = Observation()
            self._opening(observation, feeds, held)
            if options["method"] == "HEAD":
                return observation
            if not any(feed.opened for feed in feeds):
                # No stream: that none ended early, or that no event was missed, would be no news.
                why = str(feeds[0].trouble(held))
                names = set(self.of_stream) - set(observation.missing)
                observation.missing.update(dict.fromkeys(sorted(names), why))
                self._buffering(observation, feeds, direct, asked, end)
                return observation
            self._events(observation, feeds, end)
            observation.measures["ended_early"] = ended_early
            broken = [feed.error for feed in feeds if feed.opened and feed.error]
            if broken:
                observation.proof["broken"] = net.most_common(broken)
            self._buffering(observation, feeds, direct, asked, end)
            if options["resume"]:
                again = await self._again(feeds, url)
            self._ids(observation, feeds, again)
            return observation
        finally:
            await net.finish([*everyone, *again])

    async def _again(self, feeds: list[Feed], url: str) -> list[Feed]:
        """Reconnect every stream from the last id that it saw; its ids go on being followed."""
        self.dialer.until = self.context.deadline - self.hold
        await net.hold(self.context.clock() + PAUSE, self.context)
        pairs = [(self._feed(feed.ids), feed.ids.last) for feed in feeds if feed.opened and feed.ids.last is not None]
        openers = [self._opener(feed, url, last) for feed, last in pairs]
        again = [feed for feed, _last in pairs]
        if again:
            await net.race(net.open_all(openers), self.context)
            await self._hold(again, self.hold)
        return again

    # -- what is made of it ------------------------------------------------------------------------------------------

    def _opening(self, observation: Observation, feeds: list[Feed], held: float) -> None:
        measures, missing = observation.measures, observation.missing
        head = self.options["method"] == "HEAD"
        held = max(held, 0.0)
        troubles = [trouble for feed in feeds if (trouble := feed.trouble(held)) is not None]
        first = next((feed for feed in feeds if feed.status not in (None, 200)), None)
        first = first or next((feed for feed in feeds if feed.status is not None), feeds[0])
        measures["opened"] = len(feeds) - len(troubles)
        measures["failed"] = len(troubles)
        observation.proof["streams"] = len(feeds)
        if not head:
            observation.proof["held"] = round(held, 3)
        if troubles:
            observation.proof["error"] = net.most_common(troubles)
        if first.status is None:
            for name in ("status", "content_type", "open_time"):
                missing[name] = troubles[0]
            return
        measures["status"] = first.status
        times = [feed.answered_at - feed.begun for feed in feeds if feed.answered_at is not None]
        if len(times) == len(feeds):
            measures["open_time"] = max(times)
        else:
            missing["open_time"] = f"{len(feeds) - len(times)} of {len(feeds)} streams were not answered: {troubles[0]}"
        for name, _value in first.reader.headers:
            if name not in _HIDDEN:
                value = (first.reader.header(name) or "")[:500]
                measures[f"header.{name}"] = value
                if _NUMBER.match(value):
                    measures[f"header_number.{name}"] = float(value)
        if first.reader.header("content-type") is not None:
            measures["content_type"] = str(first.reader.header("content-type"))
        else:
            missing["content_type"] = "the answer has no content type"

    def _events(self, observation: Observation, feeds: list[Feed], end: float) -> None:
        measures, missing = observation.measures, observation.missing
        arrivals = [feed.arrivals for feed in feeds]
        total = sum(one.events for one in arrivals)
        beats = sum(one.heartbeats for one in arrivals)
        longest = max(end - min(one.begun for one in arrivals), 0.001)
        measures["events"] = min(one.events for one in arrivals)
        measures["events_total"] = total
        measures["heartbeats"] = min(one.heartbeats for one in arrivals)
        measures["rate"] = total / longest
        measures["bytes"] = sum(feed.received for feed in feeds)
        observation.proof.update({"events": total, "heartbeats": beats, "seconds": round(longest, 3)})
        self._of_each(observation, "first_event", "event", [
            None if one.first_event is None else one.first_event - one.begun for one in arrivals
        ], end, feeds)
        self._of_each(observation, "largest_gap", "event", [
            None if one.first_event is None else one.gap(end) for one in arrivals
        ], end, feeds)
        self._of_each(observation, "heartbeat_gap", "heartbeat", [
            None if not one.heartbeats else one.gap_of_heartbeats(end) for one in arrivals
        ], end, feeds)
        if total:
            measures["event_ids"] = all(not feed.ids.without_id for feed in feeds)
        else:
            missing["event_ids"] = missing["first_event"]

    @staticmethod
    def _of_each(
        observation: Observation, name: str, what: str, times: list[float | None], end: float, feeds: list[Feed]
    ) -> None:
        """The largest of the times, when every stream has one; else the reason why there is none."""
        have = [one for one in times if one is not None]
        if len(have) == len(times):
            observation.measures[name] = max(have)
            return
        silent = next(feed for feed, one in zip(feeds, times) if one is None)
        held = end - silent.begun
        why = silent.trouble(held) or (
            f"no {what} within {held:.1f} s"
            if silent.ended_at is None or silent.ended_at >= end
            else f"no {what} before the stream ended after {silent.ended_at - silent.begun:.1f} s"
        )
        few = f"{len(times) - len(have)} of {len(times)} streams: " if len(times) > 1 else ""
        observation.missing[name] = f"{few}{why}"

    def _buffering(
        self, observation: Observation, feeds: list[Feed], direct: Feed | None, asked: float, end: float
    ) -> None:
        # A stream that ended is judged up to its end.
        verdict: bool | None = None
        why = ""
        if direct is not None:
            if direct.opened:
                verdict, why = compared(self.record[feeds[0]], self.record[direct], asked + 0.5, end)
                late = (feeds[0].answered_at or end) - feeds[0].begun - ((direct.answered_at or end) - direct.begun)
                if verdict is not True and feeds[0].opened and late >= HELD:
                    verdict, why = True, f"the headers came {late:.1f} s later than on the direct connection"
            else:
                why = f"the direct connection: {direct.trouble(end - direct.begun)}"
        if verdict is None:
            closed = [feed.trouble(end - feed.begun) for feed in feeds if not feed.opened]
            found = [buffered(feed.arrivals, feed.ended_at or end, self.stall) for feed in feeds if feed.opened]
            held_back = [reason for one, reason in found if one is True]
            unknown = [reason for one, reason in found if one is None]
            if held_back:
                verdict, own = True, held_back[0]
                if len(feeds) > 1:
                    own = f"{len(held_back)} of {len(feeds)} streams: {own}"
            elif closed or unknown:
                own = str(closed[0] if closed else unknown[0])
                if len(feeds) > 1:
                    own = f"{len(closed) + len(unknown)} of {len(feeds)} streams: {own}"
            else:
                verdict, own = False, found[0][1]
            why = f"{own}; {why}" if why and verdict is None else own
        if verdict is None:
            observation.missing["buffered"] = why
        else:
            observation.measures["buffered"] = verdict
        observation.proof["buffering"] = why
        hint = next((value for feed in feeds if (value := feed.reader.header("x-accel-buffering"))), None)
        if hint is not None:
            observation.proof["x_accel_buffering"] = hint
        if self.stall >= 0.1:
            observation.proof["own_stall"] = round(self.stall, 3)

    def _ids(self, observation: Observation, feeds: list[Feed], again: list[Feed]) -> None:
        measures, missing, proof = observation.measures, observation.missing, observation.proof
        resume = self.options["resume"]
        known = [feed.ids for feed in feeds if feed.ids.with_id]
        if resume:
            proof["reconnected"] = sum(1 for feed in again if feed.opened)
            proof["events_after"] = sum(feed.arrivals.events for feed in again)
        if len(known) < len(feeds):
            why = "no event had an id" if not known else f"{len(feeds) - len(known)} streams had no event with an id"
            missing.update(dict.fromkeys(("missed", "duplicated", *(["resumed"] if resume else [])), why))
            return
        counting = all(ids.counting for ids in known)
        measures["duplicated"] = sum(ids.duplicated for ids in known)
        if counting:
            measures["missed"] = sum(ids.missed for ids in known)
        else:
            missing["missed"] = "the ids do not count up by one, so a missing one does not show"
        if not resume:
            return
        troubles = [feed.error or feed.trouble(self.hold) or "" for feed in again if not feed.opened]
        quiet = sum(1 for feed in again if feed.opened and not feed.arrivals.events)
        if len(again) < len(feeds):
            missing["resumed"] = f"{len(feeds) - len(again)} streams were not open, or had no id to go on from"
        elif troubles:
            measures["resumed"] = False
            proof["resume"] = net.most_common(troubles)
        elif quiet:
            missing["resumed"] = f"no event within {self.hold:g} s after the reconnection"
        elif measures["duplicated"]:
            measures["resumed"] = False
            proof["resume"] = f"{measures['duplicated']} events came again"
        elif not counting:
            missing["resumed"] = missing["missed"]
        else:
            measures["resumed"] = measures["missed"] == 0
            gone = measures["missed"]
            proof["resume"] = f"{gone} events are missing" if gone else "went on with the next id"

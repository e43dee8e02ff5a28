# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Load: many requests over many connections from one thread, each answer read whole, each time taken where it is due.

The loop works on sockets and epoll itself. `asyncio`, with which the stream probes hold thousands of connections, spends several
times as long on opening one as this does on a whole request, and a generator that is slower than the service measures itself.

Two models. In the closed one each connection asks again as soon as it has its answer, so a service that stalls is asked less
often. In the open one requests are due at a constant rate, whether or not earlier ones were answered, and the latency counts from
the moment when a request was due: waiting behind a stalled one is part of what a user sees.
"""

from __future__ import annotations

import errno
import math
import os
import re
import select
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Optional, Union

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.sampling import Reservoir
from ansible_collections.golive.cutover.plugins.module_utils.probes import _connections as net
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

MOST_SAMPLES = 200_000
"""Latencies that are kept. Of more a random sample of this size is kept, in which each has the same chance."""

HEAD_LIMIT = 64 * 1024
"""Bytes that the head of an answer, or its trailers, may have."""

READ = 64 * 1024
"""Bytes that are read at a time."""

SCAN = 0.05
"""Seconds between two looks at what has run into its timeout."""

REST = 0.01
"""Seconds that a connection waits before it is tried again when the service refused it, so that refusing is not a busy loop."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*)", re.IGNORECASE)
_ENCODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r]*)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[ \t]*([^\r]*)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: |\r)")

ERRORS = ("connect", "timeout", "broken", "status")
"""The kinds of errors: no connection; no whole answer in time; broken off, or not HTTP; whole, but not with the status wanted."""

_OURS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
"""Errors of opening a connection that say something about this machine, not about the service."""


class BadAnswer(ValueError):
    """What came is not one whole HTTP/1.1 answer; says why."""


class Answer:
    """Reads answers from a connection, one after the other, and keeps nothing of their bodies."""

    __slots__ = ("_bodiless", "_buffer", "_facts", "_known", "_left", "_part", "keep", "started", "status")

    def __init__(self, bodiless: bool) -> None:
        self._bodiless = bodiless
        self._known = b""
        self._facts = (0, True, "head", 0)
        self.begin()

    def begin(self) -> None:
        """Expect the next answer."""
        self._buffer = b""
        self._part = "head"
        self._left = 0
        self.status = 0
        self.keep = True
        self.started = False

    def feed(self, data: bytes) -> bool:
        """Take what came; returns whether the answer is whole now. Raises BadAnswer."""
        self.started = True
        if self._part == "head":
            data = self._buffer + data if self._buffer else data
            rest = self._head(data)
            if rest is None:
                return False
            data = rest
        if self._part == "counted":
            self._left -= len(data)
            if self._left < 0:
                raise BadAnswer("the body is longer than its Content-Length")
            return self._left == 0
        if self._part == "chunks":
            return self._chunks(data)
        return False

    def eof(self) -> bool:
        """The connection ended; returns whether that makes the answer whole."""
        return self._part == "rest"

    def _head(self, data: bytes) -> Optional[bytes]:
        """Read the head; returns what comes behind it, or None when it is not whole yet."""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > HEAD_LIMIT:
                    raise BadAnswer(f"the head of the answer has more than {HEAD_LIMIT} bytes")
                if data[:7] != b"HTTP/1."[: len(data[:7])]:
                    raise BadAnswer("the answer is not HTTP/1.1")
                self._buffer = data
                return None
            head = data[: end + 2]
            # Within a second a service sends the same head again and again.
            if head != self._known:
                self._facts = _read_head(head, self._bodiless)
                self._known = head
            self.status, self.keep, self._part, self._left = self._facts
            data = data[end + 4 :]
            if self.status >= 200:
                self._buffer = b""
                return data

    def _chunks(self, data: bytes) -> bool:
        """``_left``: bytes of the chunk that are still to come with its line break, -1 for a size, -2 for trailers."""
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        at, size = 0, len(data)
        while True:
            if self._left > 2:
                step = min(self._left - 2, size - at)
                at += step
                self._left -= step
            if self._left > 0:
                if self._left > 2 or size - at < 2:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise BadAnswer("a chunk is longer than it says")
                at += 2
                self._left = -1
            end = data.find(b"\r\n", at)
            if end < 0:
                if size - at > HEAD_LIMIT:
                    raise BadAnswer("the size of a chunk is missing")
                break
            line = data[at:end]
            at = end + 2
            if self._left == -2:
                if not line:
                    if at != size:
                        raise BadAnswer("there is more than one answer to a request")
                    return True
                continue
            try:
                length = int(line.split(b";", 1)[0].strip() or b"-", 16)
            except ValueError:
                length = -1
            if length < 0:
                raise BadAnswer("the size of a chunk is not a number")
            self._left = length + 2 if length else -2
        self._buffer = data[at:]
        return False


def _read_head(head: bytes, bodiless: bool) -> tuple[int, bool, str, int]:
    """What a head says: the status, whether the connection is kept, how the body is sent, and how long it is."""
    found = _STATUS.match(head)
    if found is None:
        raise BadAnswer("the answer is not HTTP/1.1")
    status = int(found.group(2))
    if status < 200:
        if status == 101:
            raise BadAnswer("the answer changes the protocol")
        return status, True, "head", 0
    connection = b",".join(_CONNECTION.findall(head)).lower()
    keep = b"close" not in connection and (found.group(1) == b"1" or b"keep-alive" in connection)
    if bodiless or status in (204, 304):
        return status, keep, "counted", 0
    coding = b",".join(_ENCODING.findall(head)).strip().lower()
    if coding:
        if not coding.endswith(b"chunked"):
            raise BadAnswer("the end of the body cannot be seen from its Transfer-Encoding")
        return status, keep, "chunks", -1
    lengths = {one.strip() for one in _LENGTH.findall(head)}
    if not lengths:
        return status, False, "rest", 0
    length = lengths.pop()
    if lengths or not length.isdigit():
        raise BadAnswer("the Content-Length is not one number")
    return status, keep, "counted", int(length)


@dataclass(frozen=True)
class Plan:
    """How much is asked, and how. Times in seconds."""

    request: bytes
    bodiless: bool
    requests: Optional[int]
    duration: Optional[float]
    concurrency: int
    rate: Optional[float]
    warm_up: float
    timeout: float
    keep_alive: bool
    wanted: Callable[[int], bool]


@dataclass(frozen=True)
class Target:
    """Where the requests go."""

    family: int
    address: tuple[Union[str, int], ...]
    tls: Optional[ssl.SSLContext]
    name: str


@dataclass
class Tally:
    """What came of the requests that count; those of the warm-up are only counted themselves.

    ``latencies`` in seconds; infinite for a request that failed.
    """

    latencies: Reservoir = field(default_factory=lambda: Reservoir(MOST_SAMPLES))
    begun: int = 0
    completed: int = 0
    good: int = 0
    total: float = 0.0
    slowest: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    size: int = 0
    connections: int = 0
    warm: int = 0
    warm_errors: int = 0
    window: float = 0.0
    queued: int = 0
    late: float = 0.0
    busy: float = 0.0
    whole: bool = True


class _Connection:
    __slots__ = ("answer", "closing", "counted", "due", "ready", "sent", "sock", "state")

    def __init__(self, bodiless: bool) -> None:
        self.answer = Answer(bodiless)
        self.sock: Optional[socket.socket] = None
        self.state = "free"
        self.due = 0.0
        self.counted = False
        self.sent = 0
        self.ready = False
        self.closing = False

    @property
    def link(self) -> socket.socket:
        """The socket of a connection that is open."""
        if self.sock is None:
            raise RuntimeError("the connection is not open")
        return self.sock


_WAIT = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Generator:
    """Makes the requests of a plan. `run` once."""

    def __init__(self, plan: Plan, target: Target, context: Context) -> None:
        if not hasattr(select, "epoll"):
            raise ProbeError("load needs epoll, which this system does not have")
        self.plan = plan
        self.target = target
        self.context = context
        self.clock = context.clock
        self.tally = Tally()
        self._free: list[_Connection] = [_Connection(plan.bodiless) for _number in range(plan.concurrency)]
        self._resting: deque[tuple[float, _Connection]] = deque()
        self._open: dict[int, _Connection] = {}
        self._working = 0
        self._index = 0
        self._total = math.inf
        self._begin = self._measured = self._last = 0.0
        self._ended = False

    def run(self) -> Tally:
        """Make all requests. Raises ProbeError when this machine, not the service, was the obstacle."""
        plan, tally = self.plan, self.tally
        # Threads other than this one do not count: other checks run beside this one.
        cpu = time.thread_time()
        self._begin = self._last = self.clock()
        self._measured = self._begin + plan.warm_up
        if plan.rate is not None:
            warm = math.ceil(plan.rate * plan.warm_up)
            self._total = warm + (plan.requests or max(round(plan.rate * (plan.duration or 0.0)), 1))
        with select.epoll() as self._epoll:
            try:
                self._loop()
            finally:
                for one in self._open.values():
                    if one.sock is not None:
                        one.sock.close()
        spent = max(self.clock() - self._begin, 1e-9)
        tally.busy = (time.thread_time() - cpu) / spent
        asked = plan.duration or 0.0 if plan.rate is None else tally.begun / plan.rate
        tally.window = max(self._last - self._measured, asked, 1e-9)
        return tally

    def _loop(self) -> None:
        scan = self._begin + SCAN
        poll, advance = self._wait, self._advance
        while True:
            now = self.clock()
            if self.context.over():
                self.tally.whole = False
                return
            if now >= scan:
                self._timeouts(now)
                scan = now + SCAN
            while self._resting and self._resting[0][0] <= now:
                self._free.append(self._resting.popleft()[1])
            wait = min(self._fill(), scan - now)
            if self._ended and not self._working:
                return
            for number, mask in poll(max(wait, 0.0)):
                one = self._open.get(number)
                if one is not None:
                    advance(one, mask)

    def _wait(self, seconds: float) -> list[tuple[int, int]]:
        # epoll waits in whole milliseconds, which would make requests that are due sooner late; select does not.
        if self.plan.rate is not None and self._epoll.fileno() < 1024:
            if not select.select([self._epoll.fileno()], [], [], seconds)[0]:
                return []
            seconds = 0.0
        return self._epoll.poll(seconds)

    # -- what is due -------------------------------------------------------------------------------------------------

    def _fill(self) -> float:
        """Begin what is due on the connections that are free; returns seconds until something is due."""
        plan = self.plan
        if plan.rate is not None:
            return self._fill_open()
        while self._free and not self._ended:
            now = self.clock()
            counted = now >= self._measured
            if counted:
                if (plan.requests is not None and self.tally.begun >= plan.requests) or (
                    plan.duration is not None and now >= self._measured + plan.duration
                ):
                    self._ended = True
                    break
                if not self.tally.begun:
                    self._measured = now
            self._start(self._free.pop(), now, counted)
        return self._resting[0][0] - self.clock() if self._resting else SCAN

    def _fill_open(self) -> float:
        rate = self.plan.rate or 1.0
        while True:
            if self._index >= self._total:
                self._ended = True
                return SCAN
            due = self._begin + self._index / rate
            now = self.clock()
            if due > now:
                return due - now
            counted = due >= self._measured - 1e-9
            if now > due + self.plan.timeout:
                # It waited for a connection until nobody would have gone on waiting for the answer.
                self._index += 1
                self._note(counted)
                self._failed(counted, "timeout", f"no connection was free within {self.plan.timeout:g} s")
                continue
            if not self._free:
                return SCAN
            self._index += 1
            if counted:
                if now - due > 0.001:
                    self.tally.queued += 1
                self.tally.late = max(self.tally.late, now - due)
            self._start(self._free.pop(), due, counted)

    def _note(self, counted: bool) -> None:
        if counted:
            self.tally.begun += 1
        else:
            self.tally.warm += 1

    # -- one request -------------------------------------------------------------------------------------------------

    def _start(self, one: _Connection, due: float, counted: bool) -> None:
        self._note(counted)
        self._working += 1
        one.due, one.counted = due, counted
        one.sent = 0
        one.answer.begin()
        if one.sock is not None:
            self._send(one)
            return
        one.ready = one.closing = False
        self.tally.connections += 1
        try:
            sock = socket.socket(self.target.family, socket.SOCK_STREAM)
        except OSError as error:
            raise ProbeError(f"no socket could be opened: {net.explain(error)}") from error
        one.sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(self.target.address)
        if code not in (0, errno.EINPROGRESS):
            self._refused(one, code)
            return
        one.state = "connecting"
        self._open[sock.fileno()] = one
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)

    def _refused(self, one: _Connection, code: int) -> None:
        if code in _OURS:
            raise ProbeError(f"no more connections could be opened from here: {os.strerror(code)}")
        self._fail(one, "connect", net.explain(OSError(code, os.strerror(code))))

    def _advance(self, one: _Connection, mask: int) -> None:
        """Go on with a connection on which something has happened."""
        if mask & ~select.EPOLLOUT:
            one.ready = True
            one.closing = one.closing or mask != mask & (select.EPOLLIN | select.EPOLLOUT)
        if one.state == "reading":
            if one.ready:
                self._read(one)
        elif one.state == "connecting":
            code = one.link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._refused(one, code)
            elif mask & select.EPOLLOUT:
                self._connected(one)
        elif one.state == "sending":
            self._send(one)
        elif one.state == "handshake":
            self._handshake(one)
        elif one.ready:
            self._idle(one)

    def _connected(self, one: _Connection) -> None:
        if self.target.tls is None:
            self._send(one)
            return
        number = one.link.fileno()
        try:
            one.sock = self.target.tls.wrap_socket(one.link, server_hostname=self.target.name, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            del self._open[number]
            self._fail(one, "connect", net.explain(error))
            return
        one.state = "handshake"
        self._handshake(one)

    def _handshake(self, one: _Connection) -> None:
        link = one.link
        if not isinstance(link, ssl.SSLSocket):
            raise TypeError(f"expected a connection with TLS, got {link!r}")
        try:
            link.do_handshake()
        except _WAIT:
            return
        except (OSError, ValueError) as error:
            self._fail(one, "connect", net.explain(error))
            return
        self._send(one)

    def _send(self, one: _Connection) -> None:
        request = self.plan.request
        one.state = "sending"
        link = one.link
        try:
            while one.sent < len(request):
                one.sent += link.send(request[one.sent :] if one.sent else request)
        except _WAIT:
            # An answer that comes before the request was sent, such as 413, ends it.
            if one.ready:
                one.state = "reading"
                self._read(one)
            return
        except OSError as error:
            # The service may have answered before it closed.
            one.state = "reading"
            self._read(one, error)
            return
        one.state = "reading"
        if one.ready:
            self._read(one)

    def _read(self, one: _Connection, sending: Optional[OSError] = None) -> None:
        sock, answer = one.link, one.answer
        try:
            while True:
                data = sock.recv(READ)
                now = self.clock()
                if not data:
                    if answer.eof():
                        self._done(one, now)
                    elif answer.started:
                        self._fail(one, "broken", "the connection was closed in the middle of an answer")
                    else:
                        self._fail(one, "broken", "the connection was closed without an answer")
                    return
                self.tally.size += len(data)
                if answer.feed(data):
                    self._done(one, now)
                    return
                if now > one.due + self.plan.timeout:
                    self._timed_out(one)
                    return
        except _WAIT:
            one.ready = False
            if sending is not None:
                self._fail(one, "broken", net.explain(sending))
            elif one.sent < len(self.plan.request):
                one.state = "sending"
        except BadAnswer as error:
            self._fail(one, "broken", str(error))
        except (OSError, ValueError) as error:
            self._fail(one, "broken", net.explain(error))

    def _idle(self, one: _Connection) -> None:
        """Something happened on a connection that waits for its next request: it has ended, or does not belong to us."""
        try:
            one.link.recv(READ)
        except _WAIT:
            one.ready = False
            return
        except (OSError, ValueError):
            pass
        self._close(one)

    # -- how it ended ------------------------------------------------------------------------------------------------

    def _done(self, one: _Connection, now: float) -> None:
        self._working -= 1
        answer, tally = one.answer, self.tally
        if self.plan.keep_alive and answer.keep and not one.closing and one.sent == len(self.plan.request):
            one.state = "free"
            one.ready = self.target.tls is not None  # TLS may hold more than the answer
        else:
            self._close(one)
        self._free.append(one)
        good = self.plan.wanted(answer.status)
        if not one.counted:
            tally.warm_errors += not good
            return
        tally.completed += 1
        tally.statuses[answer.status] += 1
        self._last = now
        if not good:
            self._failed(True, "status", f"answered with status {answer.status}")
            return
        latency = now - one.due
        tally.good += 1
        tally.total += latency
        tally.slowest = max(tally.slowest, latency)
        tally.latencies.add(latency)

    def _fail(self, one: _Connection, kind: str, why: str) -> None:
        self._working -= 1
        self._close(one)
        if kind == "connect":
            self._resting.append((self.clock() + REST, one))
        else:
            self._free.append(one)
        self._failed(one.counted, kind, why)

    def _failed(self, counted: bool, kind: str, why: str) -> None:
        tally = self.tally
        if not counted:
            tally.warm_errors += 1
            return
        self._last = self.clock()
        tally.errors[kind] += 1
        tally.examples.setdefault(kind, why)
        tally.latencies.add(math.inf)

    def _timed_out(self, one: _Connection) -> None:
        what = "no connection" if one.state in ("connecting", "handshake") else "no whole answer"
        self._fail(one, "timeout", f"{what} within {self.plan.timeout:g} s")

    def _timeouts(self, now: float) -> None:
        for one in list(self._open.values()):
            if one.state != "free" and now > one.due + self.plan.timeout:
                self._timed_out(one)

    def _close(self, one: _Connection) -> None:
        one.state = "free"
        if one.sock is not None:
            self._open.pop(one.sock.fileno(), None)
            one.sock.close()
            one.sock = None

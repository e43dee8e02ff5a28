# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real server whose answers are changed on their way: what a faulty release would say, and all else as it is."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.integration.monitoring.stand_ins import _Served


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


Change = Callable[[Answer], None]
"""Changes an answer, of which a stream has no body."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is said instead, where the method and the path match."""

    where: str
    change: Change = lambda _answer: None
    stream: Callable[[Iterator[bytes]], Iterator[bytes]] = iter
    drops: Sequence[str] = ()
    """Headers of the request that do not arrive."""


def says(status: int) -> Change:
    def change(answer: Answer) -> None:
        answer.status = status

    return change


def header(name: str, value: str) -> Change:
    def change(answer: Answer) -> None:
        for known in [known for known in answer.headers if known.lower() == name.lower()]:
            del answer.headers[known]
        answer.headers[name] = value

    return change


def body(old: str, new: str) -> Change:
    def change(answer: Answer) -> None:
        answer.body = answer.body.replace(old.encode(), new.encode())

    return change


def document(edit: Callable[[Any], Any]) -> Change:
    """``edit`` changes the JSON, or gives another."""

    def change(answer: Answer) -> None:
        found = json.loads(answer.body)
        answer.body = json.dumps(edit(found) or found).encode()

    return change


def sets(**values: Any) -> Change:
    return document(lambda found: {**found, **values})


def metric(name: str, value: Callable[[float], float]) -> Change:
    """Each series of this name has another value."""

    def change(answer: Answer) -> None:
        lines = [
            f"{line.rpartition(' ')[0]} {value(float(line.rpartition(' ')[2]))}" if re.match(rf"{name}[ {{]", line) else line
            for line in answer.body.decode().splitlines()
        ]
        answer.body = "".join(f"{line}\n" for line in lines).encode()

    return change


def growing(name: str, by: float) -> Change:
    """By so much more at each look."""
    looks = iter(range(1, 1_000_000))
    return metric(name, lambda value: value + by * next(looks))


def one_event(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The stream says one thing, and nothing more."""
    yield next(chunks)
    for _chunk in chunks:
        yield b":\n"  # a comment, by which is noticed that the client has gone


def in_blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A proxy that hands over what has come once a second."""
    held, since = b"", time.monotonic()
    for chunk in chunks:
        held += chunk
        if time.monotonic() - since < 1.0:
            yield b""
            continue
        yield held
        held, since = b"", time.monotonic()


def some(count: int, of: int, change: Change) -> Change:
    """``count`` of each ``of`` answers."""
    asked = iter(range(1_000_000_000))

    def changed(answer: Answer) -> None:
        if next(asked) % of < count:
            change(answer)

    return changed


class Tampered(_Served):
    """Answers as the server at ``upstream`` does, but for the faults."""

    def __init__(self, upstream: str) -> None:
        self.faults: list[Fault] = []
        place = urlsplit(upstream).netloc
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                self.close_connection = True
                asked = f"{self.command} {self.path}"
                faults = [one for one in served.faults if re.search(one.where, asked)]
                dropped = {"connection", *(name for one in faults for name in one.drops)}
                headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                connection = http.client.HTTPConnection(place, timeout=30)
                with contextlib.closing(connection), contextlib.suppress(OSError):
                    connection.request(self.command, self.path, content or None, {**headers, "Connection": "close"})
                    raw = connection.getresponse()
                    answer = Answer(raw.status, dict(raw.headers.items()))
                    streams = self.command == "GET" and raw.headers.get_content_type() == "text/event-stream"
                    if not streams:
                        answer.body = raw.read()
                    for one in faults:
                        one.change(answer)
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                            self.send_header(name, value)
                    self.send_header("Connection", "close")
                    if not streams:
                        self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    if streams:
                        chunks: Iterator[bytes] = iter(lambda: raw.read1(65536), b"")
                        for one in faults:
                            chunks = one.stream(chunks)
                        for chunk in chunks:
                            self.wfile.write(chunk)
                            self.wfile.flush()
                    elif self.command != "HEAD":
                        self.wfile.write(answer.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

            def log_message(self, format: str, *args: Any) -> None:
                return

        super().__init__(Handler)

    @contextlib.contextmanager
    def wrong(self, *faults: Fault) -> Iterator[None]:
        self.faults = list(faults)
        try:
            yield
        finally:
            self.faults = []

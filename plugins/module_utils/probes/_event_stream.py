# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Readers that take bytes as they come: an HTTP/1.1 response without end, and the event stream inside it.

Neither opens a socket, waits, or keeps more than one line and one event. The grammar of event streams is that of the
HTML standard, "Server-sent events", section "Parsing an event stream".
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

HEAD_LIMIT = 64 * 1024
"""Bytes that the head of a response may have."""

EVENT_LIMIT = 1024 * 1024
"""Bytes that one line or one event may have."""

LINE_COST = 32
"""Bytes that a line of an event counts on top of its text, so that very many short lines are bounded, too."""

UNPACKED_LIMIT = 16 * 1024 * 1024
"""Bytes that what came in one read may unpack to."""


class StreamError(ValueError):
    """What came is not what HTTP or an event stream allows; says what it was."""


class Event(NamedTuple):
    """One event as it is dispatched. ``id`` is its own id, None when it had none."""

    name: str
    data: bytes
    id: str | None


class EventParser:
    """Cuts the bytes of an event stream into events and heartbeats (comment lines)."""

    __slots__ = ("_after_cr", "_data", "_event", "_id", "_line", "_size", "_started")

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id: str | None = None
        self._after_cr = False
        self._started = False

    @property
    def cut(self) -> bool:
        """Whether the last byte that came was in the middle of a line."""
        return bool(self._line)

    def feed(self, data: bytes) -> tuple[list[Event], int]:
        """Take bytes; returns the events that they complete, and how many heartbeats.

        Comment lines right after one another are one heartbeat. Raises StreamError beyond the limit.
        """
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events: list[Event] = []
        heartbeats = 0
        comment = False
        head, newline, rest = data.partition(b"\n")
        self._line += head
        if len(self._line) > EVENT_LIMIT:
            raise StreamError(f"a line of more than {EVENT_LIMIT} bytes")
        if not newline:
            return events, heartbeats
        lines = [bytes(self._line), *rest.split(b"\n")]
        self._line = bytearray(lines.pop())
        for line in lines:
            if not self._started:
                self._started = True
                if line.startswith(b"\xef\xbb\xbf"):
                    line = line[3:]
            if line.startswith(b":"):
                heartbeats += not comment
                comment = True
                continue
            comment = False
            if line:
                self._field(line)
                continue
            if self._data:
                events.append(Event(self._event or "message", b"\n".join(self._data), self._id))
            self._data, self._size, self._event, self._id = [], 0, "", None
        return events, heartbeats

    def _field(self, line: bytes) -> None:
        name, _colon, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._size += len(value) + LINE_COST
            if self._size > EVENT_LIMIT:
                raise StreamError(f"an event of more than {EVENT_LIMIT} bytes")
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")


class ResponseReader:
    """Reads one HTTP/1.1 response: head first, then whatever of its body has come.

    Knows bodies in chunks, with a length, and up to the end of the connection, plain or packed with gzip.
    """

    __slots__ = ("_buffer", "_chunked", "_in_chunk", "_left", "_unpack", "done", "headers", "status", "status_line")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._chunked = False
        self._in_chunk = False
        self._left: int | None = None
        self._unpack: zlib._Decompress | None = None
        self.status: int | None = None
        self.status_line = ""
        self.headers: list[tuple[str, str]] = []
        self.done = False

    def header(self, name: str) -> str | None:
        """The value of a header by its lower-case name; several are joined as HTTP says."""
        found = [value for key, value in self.headers if key == name]
        return ", ".join(found) if found else None

    def feed(self, data: bytes) -> bytes:
        """Take bytes; returns the bytes of the body that they hold, unpacked. Raises StreamError."""
        if self.done:
            return b""
        if self.status is None:
            self._buffer += data
            if not self._head():
                return b""
            data = bytes(self._buffer)
            self._buffer.clear()
        body = self._dechunk(data) if self._chunked else self._counted(data)
        if self._unpack is None or not body:
            return body
        try:
            plain = self._unpack.decompress(body, UNPACKED_LIMIT)
        except zlib.error as error:
            raise StreamError(f"the body says that it is gzip, but is not: {error}") from error
        if self._unpack.unconsumed_tail:
            raise StreamError(f"the body unpacks to more than {UNPACKED_LIMIT} bytes at once")
        self.done = self.done or self._unpack.eof
        return plain

    def _head(self) -> bool:
        """Read the head from the buffer when it is complete; steps over interim answers (1xx)."""
        while True:
            if self._buffer[:5] != b"HTTP/"[: len(self._buffer[:5])]:
                raise StreamError(f"the answer is not HTTP: it begins with {bytes(self._buffer[:20])!r}")
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > HEAD_LIMIT:
                    raise StreamError(f"the head of the answer has more than {HEAD_LIMIT} bytes")
                return False
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            del self._buffer[: end + 4]
            words = lines[0].split(" ", 2)
            if len(words) < 2 or not (words[1].isdigit() and len(words[1]) == 3):
                raise StreamError(f"the answer has no status: {lines[0][:80]!r}")
            status = int(words[1])
            if 100 <= status < 200 and status != 101:
                continue
            for line in lines[1:]:
                name, colon, value = line.partition(":")
                if colon:
                    self.headers.append((name.strip().lower(), value.strip()))
            self.status, self.status_line = status, lines[0]
            self._body()
            return True

    def _body(self) -> None:
        self._chunked = "chunked" in (self.header("transfer-encoding") or "").lower()
        length = self.header("content-length")
        if not self._chunked and length is not None and length.isdigit():
            self._left = int(length)
            self.done = self._left == 0
        if self.status in (204, 304):
            self.done = True
        if (self.header("content-encoding") or "").lower() in ("gzip", "x-gzip"):
            self._unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def _counted(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        body = data[: self._left]
        self._left -= len(body)
        self.done = self.done or self._left == 0
        return body

    def _dechunk(self, data: bytes) -> bytes:
        self._buffer += data
        out = bytearray()
        at = 0
        buffer = self._buffer
        while not self.done:
            if self._in_chunk:
                left = self._left or 0
                part = buffer[at : at + left]
                out += part
                at += len(part)
                self._left = left - len(part)
                if self._left or len(buffer) < at + 2:
                    break
                if buffer[at : at + 2] != b"\r\n":
                    raise StreamError("a chunk is longer than it says")
                at += 2
                self._in_chunk = False
            end = buffer.find(b"\r\n", at)
            if end < 0:
                if len(buffer) - at > 1024:
                    raise StreamError("the size of a chunk is missing")
                break
            size = bytes(buffer[at:end]).split(b";", 1)[0].strip()
            try:
                self._left = int(size, 16)
            except ValueError as error:
                raise StreamError(f"{size[:20]!r} is not the size of a chunk") from error
            at = end + 2
            self._in_chunk = True
            if self._left == 0:
                self.done = True  # trailers tell nothing about events
        del buffer[:at]
        return bytes(out)

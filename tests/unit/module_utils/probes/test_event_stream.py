# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers of bytes: however they are cut, what they say is the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import pytest
import sseclient
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.probes._event_stream import (
    EVENT_LIMIT,
    HEAD_LIMIT,
    Event,
    EventParser,
    ResponseReader,
    StreamError,
)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    places = sorted({min(place, len(data)) for place in at} | {0, len(data)})
    return [data[one:other] for one, other in zip(places, places[1:])]


def parse(pieces: Iterable[bytes]) -> tuple[list[Event], int, EventParser]:
    parser = EventParser()
    events: list[Event] = []
    heartbeats = 0
    for piece in pieces:
        more, beats = parser.feed(piece)
        events += more
        heartbeats += beats
    return events, heartbeats, parser


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_what_the_standard_says(end: str) -> None:
    lines = ["\ufeff: hello", "", "data: YHOO", "data: +2", "data:10", "", "event: add", "data: 73", "id: 5", ""]
    lines += ["data", "", "data", "data", "", "data:test", "id", "", "data: test  ", "unknown: x", "retry: 10", "", "id: 6", ""]
    events, heartbeats, parser = parse([end.join([*lines, ""]).encode()])
    assert events == [
        Event("message", b"YHOO\n+2\n10", None),
        Event("add", b"73", "5"),
        Event("message", b"", None),
        Event("message", b"\n", None),
        Event("message", b"test", ""),
        Event("message", b"test  ", None),
    ]
    assert heartbeats == 1
    assert not parser.cut


def test_an_event_is_only_one_when_it_is_whole() -> None:
    events, _, parser = parse([b"data: a\n\ndata: b\nid"])
    assert [event.data for event in events] == [b"a"]
    assert parser.cut
    assert parse([b"data: a\n\ndata: b\n"])[2].cut is False


def test_heartbeats() -> None:
    assert parse([b": a\n\n", b": b\n\n"])[1] == 2
    assert parse([b": a\n\n: b\n\n"])[1] == 2
    assert parse([b": one\n: that has\n: several lines\n\n"])[1] == 1
    assert parse([b":\n", b":\n"])[1] == 2


_text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
_line = st.one_of(
    _text.map(lambda one: f"data: {one}"),
    _text.map(lambda one: f"id: {one}"),
    st.sampled_from(["event: update", "", "", ": heartbeat", "retry: 3"]),
)


@given(st.lists(_line, max_size=30), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 600), max_size=12))
def test_the_cuts_do_not_matter(lines: list[str], end: str, places: list[int]) -> None:
    data = (end.join(lines) + end).encode()
    whole, beats, _ = parse([data])
    pieces, more_beats, _ = parse(cut(data, places))
    assert pieces == whole
    assert more_beats >= beats


@given(st.lists(_line, max_size=30))
def test_a_kept_library_reads_the_same(lines: list[str]) -> None:
    data = ("\n".join([*lines, "", ""])).encode()
    theirs = [(event.event, event.data) for event in sseclient.SSEClient(iter([data])).events()]
    ours = [(event.name, event.data.decode()) for event in parse([data])[0]]
    assert [one for one in ours if one[1]] == [one for one in theirs if one[1]]


@pytest.mark.parametrize("block", [b"x" * 10_000, b"data: " + b"x" * 10_000 + b"\n", b"data: x\n" * 1000])
def test_a_line_or_an_event_without_end(block: bytes) -> None:
    parser = EventParser()
    with pytest.raises(StreamError, match="of more than"):
        for _ in range(2 * EVENT_LIMIT // 10_000 * 10):
            parser.feed(block)


# -- HTTP --------------------------------------------------------------------------------------------------------------


def answer(head: str, body: bytes, places: Iterable[int] = ()) -> tuple[bytes, ResponseReader]:
    reader = ResponseReader()
    got = b"".join(reader.feed(piece) for piece in cut(head.replace("\n", "\r\n").encode() + body, places))
    return got, reader


BODY = bytes(range(256)) * 3
CHUNKED = b"".join(b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in (BODY[:1], BODY[1:500], BODY[500:])) + b"0\r\n\r\n"


def packed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data[:100]) + packer.flush(zlib.Z_SYNC_FLUSH) + packer.compress(data[100:]) + packer.flush()


@given(st.lists(st.integers(0, 1200), max_size=20))
def test_bodies(places: list[int]) -> None:
    got, reader = answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", CHUNKED + b"more", places)
    assert (got, reader.done, reader.status) == (BODY, True, 200)
    got, reader = answer(f"HTTP/1.1 200 OK\nContent-Length: {len(BODY)}\n\n", BODY + b"more", places)
    assert (got, reader.done) == (BODY, True)
    got, reader = answer("HTTP/1.0 200 OK\n\n", BODY, places)
    assert (got, reader.done) == (BODY, False)
    got, reader = answer("HTTP/1.1 200 OK\nContent-Encoding: gzip\n\n", packed(BODY), places)
    assert (got, reader.done) == (BODY, True)


def test_packed_bytes_come_out_as_soon_as_they_were_flushed() -> None:
    packer = zlib.compressobj(wbits=31)
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    assert reader.feed(packer.compress(b"data: a\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)) == b"data: a\n\n"


def test_heads() -> None:
    _, reader = answer("HTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 204 No Content\nX-A: 1\nx-a: 2\n\n", b"")
    assert (reader.status, reader.header("x-a"), reader.header("link"), reader.done) == (204, "1, 2", None, True)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
        (b"HT\0P", "not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "no status"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * HEAD_LIMIT, "more than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "size of a chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 2000, "size of a chunk is missing"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nplain text", "is not"),
    ],
)
def test_what_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        ResponseReader().feed(raw)


def test_a_body_that_unpacks_to_very_much() -> None:
    bomb = zlib.compressobj(9, wbits=31)
    data = bomb.compress(b"\0" * 50_000_000) + bomb.flush()
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    with pytest.raises(StreamError, match="unpacks to more"):
        reader.feed(data)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_are_read_or_refused(data: bytes, places: list[int]) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        reader, parser = ResponseReader(), EventParser()
        try:
            for piece in cut(start + data, places):
                parser.feed(reader.feed(piece))
        except StreamError:
            pass

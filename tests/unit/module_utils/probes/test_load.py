# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How the probe load reads answers, whatever the pieces in which they come, and how it keeps latencies."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core import percentiles
from ansible_collections.golive.cutover.plugins.module_utils.probes import _load
from ansible_collections.golive.cutover.plugins.module_utils.probes._load import Answer, BadAnswer, Tally

WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "empty": b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
    "none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhel\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\nSum: 1\r\nMore: 2\r\n\r\n",
    "both": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_is_whole_at_its_last_byte(name: str, size: int) -> None:
    data = WHOLE[name]
    answer = Answer(False)
    for _time in range(2):
        answer.begin()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert [answer.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert answer.status == (204 if name == "none" else 200)
        assert answer.keep
        assert not Answer(False).eof()


@pytest.mark.parametrize("name", WHOLE)
def test_the_end_of_the_connection_before_is_no_whole_answer(name: str) -> None:
    for end in range(len(WHOLE[name])):
        answer = Answer(False)
        assert not (end and answer.feed(WHOLE[name][:end]))
        assert not answer.eof()


def test_an_answer_up_to_the_end_of_the_connection() -> None:
    answer = Answer(False)
    assert not answer.feed(b"HTTP/1.0 200 OK\r\n\r\nhello")
    assert answer.eof()
    assert not answer.keep


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive", True),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive", True),
        (b"HTTP/1.0 200 OK", False),
    ],
)
def test_whether_the_connection_is_kept(head: bytes, keep: bool) -> None:
    answer = Answer(True)
    assert answer.feed(head + b"\r\nContent-Length: 10\r\n\r\n")
    assert answer.keep is keep


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"SSH-",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100_000,
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        Answer(False).feed(data)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_chunks_of_any_size_in_pieces_of_any_size(chunks: list[bytes], sizes: list[int]) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    answer = Answer(False)
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        whole = answer.feed(data[at : at + size])
        at += size
        number += 1
        assert whole is (at >= len(data))


def test_latencies_are_never_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load, "MOST_SAMPLES", 2000)
    latencies = Tally().latencies
    source = random.Random(7)
    for _number in range(100_000):
        latencies.add(math.inf if source.random() < 0.01 else source.random())
    assert (latencies.count, len(latencies.kept)) == (100_000, 2000)
    assert percentiles.percentile(latencies.kept, 50) == pytest.approx(0.505, abs=0.05)
    assert sum(math.isinf(one) for one in latencies.kept) == pytest.approx(20, abs=15)

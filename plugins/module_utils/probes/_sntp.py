# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How far our clock is from that of a time server: SNTP (RFC 4330), as far as a client needs it.

With t1 and t4 our times of sending and receiving, t2 and t3 those of the server: offset = ((t2 - t1) + (t3 - t4)) / 2, and
delay = (t4 - t1) - (t3 - t2). How long each way took is not known, so the offset is uncertain by half the delay, and by what the
server says of its own distance from a reference clock. Of several answers the one with the least delay is the best.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

_PACKET = struct.Struct("!BBbbII4sQQQQ")
_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins to count, to 1970."""
_ERA = 1 << 32
"""Seconds after which the count starts anew; the first time is in 2036."""


class Answer(NamedTuple):
    """Seconds. ``offset``: what must be added to our clock; ``uncertainty``: how far from the truth that may be."""

    offset: float
    delay: float
    uncertainty: float
    stratum: int


def ask(host: str, port: int, context: Context, patience: float) -> Answer:
    """One question, and its answer. Raises ProbeError when there is none, or none that may be believed."""
    where = f"the time server {host}:{port}"
    family, address = _net.resolve(host, port, context)[0]
    mark = int.from_bytes(os.urandom(8), "big") or 1  # not our time: it only has to come back
    with socket.socket(family, socket.SOCK_DGRAM) as link:
        link.settimeout(min(patience, context.remaining()))
        try:
            link.connect(address)  # so that only answers from there are received
            sent, begun = context.now(), context.clock()
            link.send(_PACKET.pack(0x23, 0, 0, 0, 0, 0, b"\0" * 4, 0, 0, 0, mark))
            data = link.recv(512)
            took = context.clock() - begun
        except OSError as error:
            raise ProbeError(f"{where}: {_net.describe(error)}") from None
    if len(data) < _PACKET.size:
        raise ProbeError(f"{where}: the answer is not that of a time server")
    first, stratum, _poll, _precision, root_delay, dispersion, reference, _at, origin, t2, t3 = _PACKET.unpack(data[: _PACKET.size])
    if first & 7 != 4 or origin != mark:
        raise ProbeError(f"{where}: the answer does not belong to the question")
    if stratum == 0:
        raise ProbeError(f"{where} refuses to answer: {reference.decode('ascii', 'replace').strip(chr(0))}")
    if first >> 6 == 3 or stratum > 15 or not t3:
        raise ProbeError(f"{where} has no time itself: it is not synchronised")
    received, answered = (_seconds(stamp, sent) for stamp in (t2, t3))
    delay = max(took - (answered - received), 0.0)
    offset = ((received - sent) + (answered - (sent + took))) / 2
    return Answer(offset, delay, delay / 2 + root_delay / 65536 / 2 + dispersion / 65536, stratum)


def _seconds(stamp: int, near: float) -> float:
    """A time of NTP in Unix seconds, in the era that is nearest to a time."""
    seconds = stamp / (1 << 32) - _EPOCH
    return seconds + round((near - seconds) / _ERA) * _ERA


def best(answers: Sequence[Answer]) -> Answer:
    return min(answers, key=lambda one: one.delay)

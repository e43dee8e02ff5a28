# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import socket

from ansible_collections.golive.cutover.plugins.module_utils.probes.tcp import TcpProbe
from tests.integration.probes import servers
from tests.integration.probes.looking import look, mistakes, refused


def test_an_open_port() -> None:
    with servers.serve(servers.silent) as server:
        seen = look(TcpProbe(), port=server.port)
    assert seen.measures["open"] is True
    assert 0 < float(seen.measures["latency"]) < 1
    assert seen.proof["address"] == "127.0.0.1"


def test_a_closed_port_is_an_answer() -> None:
    seen = look(TcpProbe(), host="localhost", port=servers.closed_port())
    assert seen.measures == {"open": False}
    assert "refused" in seen.missing["latency"]


def test_silence_is_no_answer() -> None:
    """A listener whose queue is full does not answer a new connection at all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = []
        for _number in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            filling.append(one)
        reason = refused(TcpProbe(), timeout=0.4, port=listener.getsockname()[1])
        for one in filling:
            one.close()
    assert "no answer within the time" in reason


def test_a_name_that_does_not_resolve_is_not_a_closed_port() -> None:
    assert "nowhere.invalid" in refused(TcpProbe(), host="nowhere.invalid", port=80)


def test_the_port_is_checked() -> None:
    assert mistakes(TcpProbe(), {"port": 70000}) == ["tcp.port: expected at most 65535, got 70000"]
    assert "is missing" in mistakes(TcpProbe(), {})[0]

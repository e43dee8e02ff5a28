# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The TLS probe against certificates that are good, expired, foreign and self-signed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes.tls import TlsProbe
from tests.integration.probes import servers
from tests.integration.probes.looking import look, mistakes, refused
from tests.integration.probes.servers import replies, serve

PROBE = TlsProbe()
QUIET = replies(b"")


def test_a_good_certificate(tmp_path: Path) -> None:
    issued = servers.issue(tmp_path, names=["localhost", "*.trade.example", "127.0.0.1"], days=30)
    with serve(QUIET, issued.server_context()) as server:
        seen = look(PROBE, host="localhost", port=server.port, ca=str(issued.ca))
        other = look(PROBE, host="127.0.0.1", port=server.port, ca=str(issued.ca), server_name="other.example")
    measures = seen.measures
    assert float(measures["days_left"]) == pytest.approx(30, abs=0.01)
    assert str(measures["not_after"]).endswith("Z")
    assert measures["names"] == "localhost, *.trade.example, 127.0.0.1"
    assert (measures["covers"], measures["chain_valid"], measures["self_signed"]) == (True, True, False)
    assert measures["issuer"] == "CN=Test Authority"
    assert measures["version"] == "TLSv1.3"
    assert seen.proof["subject"] == "CN=localhost"
    assert "chain_error" not in seen.proof
    assert (other.measures["covers"], other.measures["chain_valid"]) == (False, True)


def test_an_expired_certificate_is_measured(tmp_path: Path) -> None:
    issued = servers.issue(tmp_path, days=-3)
    with serve(QUIET, issued.server_context()) as server:
        seen = look(PROBE, host="localhost", port=server.port, ca=str(issued.ca))
    assert float(seen.measures["days_left"]) == pytest.approx(-3, abs=0.01)
    assert seen.measures["chain_valid"] is False
    assert seen.proof["chain_error"] == "certificate has expired"
    assert seen.measures["covers"] is True


def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    issued = servers.issue(tmp_path)
    with serve(QUIET, issued.server_context()) as server:
        seen = look(PROBE, host="localhost", port=server.port)
    assert seen.measures["chain_valid"] is False
    assert "unable to get local issuer" in seen.proof["chain_error"]


def test_a_self_signed_certificate(tmp_path: Path) -> None:
    issued = servers.issue(tmp_path, self_signed=True)
    with serve(QUIET, issued.server_context()) as server:
        seen = look(PROBE, host="localhost", port=server.port)
    assert (seen.measures["self_signed"], seen.measures["chain_valid"]) == (True, False)


def test_a_certificate_without_names_covers_nothing(tmp_path: Path) -> None:
    issued = servers.issue(tmp_path, names=[])
    with serve(QUIET, issued.server_context()) as server:
        seen = look(PROBE, host="localhost", port=server.port, ca=str(issued.ca))
    assert (seen.measures["names"], seen.measures["covers"], seen.measures["chain_valid"]) == ("", False, True)


def test_servers_without_a_handshake() -> None:
    with serve(servers.silent) as server:
        assert "did not end within" in refused(PROBE, timeout=0.6, host="127.0.0.1", port=server.port)

    def drip(connection: socket.socket, server: servers.Server) -> None:
        for byte in b"\x16\x03\x03\x40\x00" + b"\0" * 1000:
            connection.sendall(bytes([byte]))
            server.stopping.wait(0.05)

    with serve(drip) as server:
        assert "did not end within" in refused(PROBE, timeout=0.6, host="127.0.0.1", port=server.port)
    with serve(lambda connection, _server: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        assert "no TLS handshake: " in refused(PROBE, host="127.0.0.1", port=server.port)
    with serve(lambda connection, _server: None) as server:
        refused(PROBE, host="127.0.0.1", port=server.port)
    assert "connection refused" in refused(PROBE, host="127.0.0.1", port=servers.closed_port())


def test_a_ca_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refused(PROBE, host="127.0.0.1", port=1, ca=str(tmp_path / "none.pem"))
    (tmp_path / "empty.pem").write_text("nothing")
    assert "no certificate" in refused(PROBE, host="127.0.0.1", port=1, ca=str(tmp_path / "empty.pem"))


def test_options() -> None:
    assert mistakes(PROBE, {"host": "x", "prot": 1}) == [
        "tls.prot: unknown key, did you mean 'port'?; expected one of ca, host, port, server_name"
    ]

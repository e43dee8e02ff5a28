# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The HTTP probe against servers that answer, and against servers that go wrong."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.http_endpoint import HttpProbe
from tests.integration.probes import servers
from tests.integration.probes.looking import look, mistakes, read, refused
from tests.integration.probes.servers import answer, replies, serve

PROBE = HttpProbe()
OK = answer(b"fine")
CANARY = "CANARY-7f3a91"


def test_one_answer() -> None:
    body = json.dumps({"levels": [1, 2, 3]}).encode()
    headers = ["Content-Type: application/json", "X-Streams-Connected: 3", "Date: Mon, 01 Jan 2024 00:00:00 GMT"]
    with serve(replies(answer(body, "201 Created", headers))) as server:
        seen = look(PROBE, url=server.url("/x?y=1"))
        assert server.requests[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n")
    measures = seen.measures
    assert (measures["status"], measures["size"], measures["json"], measures["redirects"]) == (201, len(body), True, 0)
    assert measures["header.x-streams-connected"] == "3"
    assert measures["header_number.x-streams-connected"] == 3
    assert "header_number.content-type" not in measures
    assert 0 < float(measures["first_byte"]) <= float(measures["latency"]) < 1
    assert seen.document == {"levels": [1, 2, 3]}
    assert seen.proof["requests"] == 1
    assert seen.proof["age"] > 1e6
    assert measures["error_ratio"] == 0


def test_head_has_headers_and_no_body() -> None:
    with serve(replies(answer(b"x" * 1000, headers=["X-Streams-Messages: 12"]))) as server:
        seen = look(PROBE, url=server.url(), method="HEAD")
    assert (seen.measures["size"], seen.measures["header.x-streams-messages"]) == (0, "12")
    assert seen.document is None


def test_a_body_that_is_not_json() -> None:
    with serve(replies(answer(b'{"a": 1', headers=["Content-Type: application/json"]))) as server:
        seen = look(PROBE, url=server.url())
    assert seen.measures["json"] is False
    assert seen.document is None


def test_deeply_nested_json_is_no_crash() -> None:
    with serve(replies(answer(b"[" * 200_000))) as server:
        assert look(PROBE, url=server.url()).measures["json"] is False


def test_a_compressed_body_is_unpacked_and_bounded() -> None:
    packed = gzip.compress(b"0" * 50_000_000)
    with serve(replies(answer(packed, headers=["Content-Encoding: gzip"]))) as server:
        assert "limit of 10 MB" in refused(PROBE, url=server.url())
    with serve(replies(answer(gzip.compress(b"hello"), headers=["Content-Encoding: gzip"]))) as server:
        assert look(PROBE, url=server.url()).measures["body"] == "hello"
    with serve(replies(answer(b"hello", headers=["Content-Encoding: gzip"]))) as server:
        assert "not in the encoding" in refused(PROBE, url=server.url())


def test_json_and_secrets_are_sent_but_not_told() -> None:
    with serve(replies(OK)) as server:
        look(
            PROBE,
            url=server.url(),
            method="POST",
            json={"a": [Secret(CANARY)], "b": 1},
            headers={"X-Key": Secret(CANARY), "X-Plain": "1"},
            username="me",
            password=Secret("pass"),
        )
        request = server.requests[0]
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"a": [CANARY], "b": 1}
    assert f"X-Key: {CANARY}".encode() in request
    assert b"Authorization: Basic bWU6cGFzcw==" in request
    assert b"Content-Type: application/json" in request


def test_a_bearer_token() -> None:
    with serve(replies(OK)) as server:
        look(PROBE, url=server.url(), bearer=Secret(CANARY))
        assert f"Authorization: Bearer {CANARY}".encode() in server.requests[0]


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"http://127.0.0.1:{servers.closed_port()}"
    monkeypatch.setenv("http_proxy", dead)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serve(replies(OK)) as server:
        assert look(PROBE, url=server.url()).measures["status"] == 200
        assert "connection refused" in refused(PROBE, url=server.url(), proxy=True)


def test_a_proxy_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serve(replies(OK)) as server:
        monkeypatch.setenv("http_proxy", server.url())
        assert look(PROBE, url="http://app.invalid/x", proxy=True).measures["status"] == 200
        assert server.requests[0].startswith(b"GET http://app.invalid/x ")


# Redirects


def _redirect(where: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, [f"Location: {where}"])


def test_a_redirect_is_an_answer_unless_it_is_followed() -> None:
    with serve(replies(_redirect("/there"), _redirect("/there"), OK)) as server:
        seen = look(PROBE, url=server.url())
        assert (seen.measures["status"], seen.measures["location"], seen.measures["redirects"]) == (302, "/there", 0)
        seen = look(PROBE, url=server.url(), follow=True)
        assert (seen.measures["status"], seen.measures["redirects"]) == (200, 1)
        assert seen.measures["url"] == server.url("/there")
        assert "no header Location" in seen.missing["location"]


def test_a_redirect_without_end() -> None:
    with serve(replies(_redirect("/again"))) as server:
        assert "more than 10 redirects" in refused(PROBE, url=server.url(), follow=True)


def test_a_redirect_to_another_host_is_not_told_the_secrets() -> None:
    with serve(replies(OK)) as other, serve(replies(_redirect(other.url("/x", host="localhost")))) as server:
        options: dict[str, Any] = {
            "url": server.url(),
            "follow": True,
            "headers": {"X-Key": Secret(CANARY), "X-Plain": "1"},
        }
        look(PROBE, **options)
        assert CANARY.encode() in server.requests[0]
        assert CANARY.encode() not in other.requests[0]
        assert b"X-Plain: 1" in other.requests[0]
        look(PROBE, url=server.url(), follow=True, bearer=Secret(CANARY))
        assert b"Authorization" not in other.requests[1]
    with serve(replies(OK)) as other, serve(replies(_redirect(other.url(), "307 Temporary Redirect"))) as server:
        assert "must not be sent the body" in refused(PROBE, url=server.url(), follow=True, method="POST", body=Secret(CANARY))
        assert other.requests == []


def test_a_redirect_to_a_file_is_refused() -> None:
    with serve(replies(_redirect("file:///etc/passwd"))) as server:
        assert "not http or https" in refused(PROBE, url=server.url(), follow=True)


def test_a_redirect_with_an_endless_body() -> None:
    start = b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"
    with serve(servers.endless(start, b"x" * 65536)) as server:
        assert "limit of 10 MB" in refused(PROBE, url=server.url())


# Several requests


def test_percentiles_name_their_method_and_their_samples() -> None:
    with serve(replies(OK)) as server:
        seen = look(PROBE, url=server.url(), requests=100, concurrency=4)
        assert server.connections == 4, "connections are kept"
    measures = seen.measures
    assert float(measures["p50"]) <= float(measures["p95"]) <= float(measures["p99"]) <= float(measures["max"])
    assert max(seen.samples["latencies"]) == pytest.approx(float(measures["max"]), abs=1e-6)
    assert (measures["status"], measures["completed"], measures["error_ratio"]) == (200, 100, 0)
    assert (seen.proof["method"], seen.proof["samples"], seen.proof["requests"]) == ("nearest-rank", 100, 100)
    assert seen.proof["bytes"] == 400


def test_too_few_requests_for_a_percentile() -> None:
    with serve(replies(OK)) as server:
        seen = look(PROBE, url=server.url(), requests=19)
    assert "p50" in seen.measures
    assert seen.missing["p95"] == "19 samples are too few to say: p95 needs 20"
    assert "needs 100" in seen.missing["p99"]


def test_answers_that_differ_have_no_single_status() -> None:
    broken = answer(b"", "503 Service Unavailable")
    with serve(replies(OK, broken, broken, OK)) as server:
        seen = look(PROBE, url=server.url(), requests=20)
    assert seen.missing["status"] == "the answers differ: 18 x 200, 2 x 503"
    assert seen.measures["error_ratio"] == 0.1
    assert seen.measures["completed"] == 20


def test_requests_without_an_answer_are_the_slowest() -> None:
    with serve(replies(*[OK] * 18, b"", b"", OK)) as server:
        seen = look(PROBE, url=server.url(), requests=20)
    assert (seen.measures["completed"], seen.measures["error_ratio"]) == (18, 0.1)
    assert "2 without an answer" in seen.missing["status"]
    assert seen.missing["p95"] == seen.missing["max"] == seen.missing["latencies"] == "2 of 20 requests had no answer"
    assert "p50" in seen.measures
    assert "closed without an answer" in seen.proof["error"]


def test_all_requests_refused() -> None:
    seen = look(PROBE, url=f"http://127.0.0.1:{servers.closed_port()}/", requests=5)
    assert (seen.measures["error_ratio"], seen.measures["completed"]) == (1, 0)
    assert set(seen.missing) >= {"status", "p50", "max"}


def test_time_runs_out_between_requests() -> None:
    with serve(servers.slow(0.2, OK)) as server:
        reason = refused(PROBE, timeout=0.7, url=server.url(), requests=50)
    assert "of 50 requests had been answered when the time ran out" in reason


def test_the_measures_fit_the_number_of_requests() -> None:
    one = PROBE.measures_for(read(PROBE, {"url": "http://x/"}))
    many = PROBE.measures_for(read(PROBE, {"url": "http://x/", "requests": 5}))
    assert "latency" in one and "p95" not in one
    assert "p95" in many and "latency" not in many


# Servers that go wrong


@pytest.mark.parametrize(
    ("handle", "why"),
    [
        pytest.param(servers.silent, "no complete answer within", id="says nothing"),
        pytest.param(servers.drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), "no complete answer within", id="drips headers"),
        pytest.param(servers.drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.2), "no complete answer", id="drips lines"),
        pytest.param(
            servers.drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"),
            "no complete answer",
            id="drips body",
        ),
        pytest.param(servers.drips(b"HTTP/1.1 200 OK\r\n\r\n", b"a"), "no complete answer within", id="drips without length"),
        pytest.param(
            servers.drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
            "no complete answer within",
            id="drips chunks",
        ),
        pytest.param(
            servers.endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
            "larger than the limit of 10 MB",
            id="endless body",
        ),
        pytest.param(
            servers.endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", b"x" * 65536),
            "the body is 100 MB, the limit is 10 MB",
            id="announced too large",
        ),
        pytest.param(servers.endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536), "not HTTP", id="endless header"),
        pytest.param(servers.endless(b"SSH-2.0-OpenSSH_9.9\r\n", b"x" * 100), "not HTTP", id="not HTTP"),
        pytest.param(replies(b""), "closed without an answer", id="closes"),
        pytest.param(
            replies(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc", b""),
            "broke off|no complete",
            id="breaks",
        ),
        pytest.param(
            servers.endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"x"),
            "not valid HTTP",
            id="bad chunk",
        ),
    ],
)
def test_servers_that_go_wrong(handle: Any, why: str) -> None:
    with serve(handle) as server:
        reason = refused(PROBE, timeout=1.0, url=server.url())
    assert any(part in reason for part in why.split("|")), reason
    assert "object at 0x" not in reason and "Pool" not in reason


def test_a_truncated_body() -> None:
    def handle(connection: socket.socket, server: servers.Server) -> None:
        servers.read_request(connection, server)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    with serve(handle) as server:
        assert "broke off after 3 B" in refused(PROBE, url=server.url())


def test_refused_and_unknown() -> None:
    assert "connection refused" in refused(PROBE, url=f"http://127.0.0.1:{servers.closed_port()}/")
    assert "does not resolve" in refused(PROBE, url="http://nowhere.invalid/")


def test_a_secret_is_never_in_an_error() -> None:
    for value in (f"{CANARY}\n", f"{CANARY}\u20ac"):
        reason = refused(PROBE, url="http://127.0.0.1:9/", headers={"X-Key": Secret(value)})
        assert CANARY not in reason


# TLS


def test_tls_is_verified(tmp_path: Path) -> None:
    issued = servers.issue(tmp_path / "good", names=["localhost"])
    with serve(replies(OK), issued.server_context()) as server:
        url = server.url(scheme="https", host="localhost")
        assert look(PROBE, url=url, verify=str(issued.ca)).measures["status"] == 200
        assert "certificate was not accepted" in refused(PROBE, url=url)
        assert look(PROBE, url=url, verify=False).measures["status"] == 200
        assert "does not exist" in refused(PROBE, url=url, verify="/nowhere/ca.pem")


def test_expired_and_foreign_certificates(tmp_path: Path) -> None:
    expired = servers.issue(tmp_path / "expired", days=-1)
    with serve(replies(OK), expired.server_context()) as server:
        reason = refused(PROBE, url=server.url(scheme="https", host="localhost"), verify=str(expired.ca))
        assert "certificate has expired" in reason
    foreign = servers.issue(tmp_path / "foreign", names=["other.example"])
    with serve(replies(OK), foreign.server_context()) as server:
        reason = refused(PROBE, url=server.url(scheme="https", host="localhost"), verify=str(foreign.ca))
        assert "certificate was not accepted" in reason


def test_a_tls_handshake_that_never_ends() -> None:
    with serve(servers.silent) as server:
        assert "no complete answer within" in refused(PROBE, timeout=0.5, url=server.url(scheme="https"))
    with serve(lambda connection, _server: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        assert "no TLS connection" in refused(PROBE, timeout=2, url=server.url(scheme="https"))


def test_connections_are_closed() -> None:
    """A guard that keeps a duplicate of a connection would keep the other side waiting for its end."""
    ends: list[bytes] = []

    def handle(connection: socket.socket, server: servers.Server) -> None:
        while servers.read_request(connection, server):
            connection.sendall(OK)
        ends.append(b"seen")

    with serve(handle) as server:
        look(PROBE, url=server.url(), requests=2)
        for _wait in range(100):
            if ends:
                break
            server.stopping.wait(0.01)
        assert ends == [b"seen"]


# Options


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "http.url: is missing"),
        ({"url": "ftp://x/"}, "starts with http:// or https://"),
        ({"url": "http://me:pw@x/"}, "would be shown in reports"),
        ({"url": "http://x/", "metod": "GET"}, "did you mean 'method'"),
        ({"url": "http://x/", "requests": 0}, "at least 1"),
        ({"url": "http://x/", "concurrency": 2}, "only 1 requests are made"),
        ({"url": "http://x/", "body": "a", "json": {}}, "either body or json"),
        ({"url": "http://x/", "username": "me"}, "go together"),
        ({"url": "http://x/", "password": "plain"}, "{secret: NAME}"),
        ({"url": "http://x/", "verify": "ca.pem"}, "path of a CA file"),
        ({"url": "http://x/", "max_body": 5}, "not a size"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)

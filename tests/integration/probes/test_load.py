# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The probe load on a real nginx, beside ab and wrk, and on servers that break their answers."""

from __future__ import annotations

import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes import _load
from ansible_collections.golive.cutover.plugins.module_utils.probes.load import LoadProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.bench import load_sides
from tests.conftest import Nginx
from tests.integration.probes import servers
from tests.integration.probes.looking import look, mistakes, refused
from tests.integration.probes.servers import Server, answer, closed_port, issue, read_request, replies, serve

PROBE = LoadProbe()
Start = Callable[..., Nginx]

PAGE = "server { listen 127.0.0.1:@PORT@; keepalive_requests 100000; location / { return 200 'hello world\\n'; } }"
HUNDREDTH_CONNECTION = """
map $connection $drop { ~00$ 1; default 0; }
server { listen 127.0.0.1:@PORT@; location / { if ($drop) { return 444; } return 200 'hello world\\n'; } }
"""
HUNDREDTH_REQUEST = HUNDREDTH_CONNECTION.replace("map $connection ", "map $connection_requests ")


def _logged(server: Nginx) -> list[str]:
    """The status of every request that the server has seen, as it says itself, which is a moment after it has answered."""
    lines: list[str] | None = None
    while lines != (lines := (server.directory / "access.log").read_text(encoding="utf-8").splitlines()):
        time.sleep(0.1)
    return [line.split('" ')[1].split()[0] for line in lines]


def _load_of(handle: Callable[[socket.socket, Server], None], **options: Any) -> Any:
    with serve(handle) as server:
        return look(PROBE, **{"url": server.url(), "requests": 20, "concurrency": 2, **options})


# A real nginx


@pytest.mark.parametrize("keep_alive", [False, True])
def test_so_many_requests(nginx: Start, keep_alive: bool) -> None:
    server = nginx(PAGE)
    seen = look(PROBE, url=server.url, requests=1000, concurrency=10, keep_alive=keep_alive)
    assert (seen.measures["completed"], seen.measures["errors"], seen.measures["error_ratio"]) == (1000, 0, 0)
    p50, p95, p99, slowest, mean = (float(seen.measures[name]) for name in ("p50", "p95", "p99", "max", "mean"))
    assert 0 < p50 <= p95 <= p99 <= slowest < 5
    assert 0 < mean <= slowest
    assert len(seen.samples["latencies"]) == 500 and max(seen.samples["latencies"]) <= slowest + 1e-6
    assert seen.measures["throughput"] == pytest.approx(1000 / seen.proof["window"], rel=0.05)
    assert seen.proof["connections"] == (10 if keep_alive else 1000)
    assert (seen.proof["requests"], seen.proof["samples"], seen.proof["method"]) == (1000, 1000, "nearest-rank")
    assert seen.proof["statuses"] == {"200": 1000}
    assert _logged(server) == ["200"] * 1000


@pytest.mark.parametrize(("config", "keep_alive"), [(HUNDREDTH_CONNECTION, False), (HUNDREDTH_REQUEST, True)])
def test_every_hundredth_is_dropped_and_each_is_counted(nginx: Start, config: str, keep_alive: bool) -> None:
    server = nginx(config)
    seen = look(PROBE, url=server.url, requests=3000, concurrency=10, keep_alive=keep_alive)
    dropped = _logged(server).count("444")
    assert dropped == 30 if not keep_alive else 20 <= dropped <= 30
    assert (seen.measures["errors"], seen.measures["errors.broken"]) == (dropped, dropped)
    assert seen.measures["error_ratio"] == pytest.approx(dropped / 3000)
    assert seen.measures["completed"] == 3000 - dropped
    assert "closed without an answer" in seen.proof["error"]
    assert "p95" in seen.measures
    assert f"{dropped} of 3000 requests failed" in seen.missing["max"]


def test_a_time_of_requests_after_a_warm_up(nginx: Start) -> None:
    server = nginx(PAGE)
    seen = look(PROBE, url=server.url, duration="500ms", warm_up="300ms", concurrency=2)
    assert seen.proof["window"] == pytest.approx(0.5, abs=0.3)
    assert seen.proof["warm_up"]["requests"] > 0
    assert seen.proof["warm_up"]["errors"] == 0
    assert len(_logged(server)) == seen.proof["warm_up"]["requests"] + seen.measures["completed"]


def test_a_constant_rate(nginx: Start) -> None:
    server = nginx(PAGE)
    begun = time.monotonic()
    seen = look(PROBE, url=server.url, duration="1s", rate="100/s", concurrency=10)
    assert time.monotonic() - begun >= 0.95
    assert (seen.measures["completed"], seen.proof["rate"], seen.proof["model"]) == (100, 100, "open")
    assert seen.measures["throughput"] == pytest.approx(100, rel=0.1)
    seen = look(PROBE, url=server.url, requests=50, rate="100/s", warm_up="200ms", keep_alive=True, concurrency=10)
    assert (seen.measures["completed"], seen.proof["warm_up"]["requests"]) == (50, 20)
    assert len(_logged(server)) == 170


def test_a_reload_in_the_middle_loses_no_request(nginx: Start) -> None:
    server = nginx(PAGE)
    timer = threading.Timer(0.3, server.reload)
    timer.start()
    seen = look(PROBE, url=server.url, duration="800ms", concurrency=4)
    timer.join()
    assert seen.measures["errors"] == 0


def test_answers_of_every_kind_of_body(nginx: Start) -> None:
    server = nginx(
        "server { listen 127.0.0.1:@PORT@; set $a '"
        + "x" * 1000
        + "'; set $b $a$a$a$a$a$a$a$a$a$a; location = /large { return 200 $b$b$b$b$b$b$b$b$b$b; } "
        "location = /chunks { ssi on; ssi_types *; return 200 '<!--# echo var=\"uri\" -->$b'; } "
        "location = /none { return 204; } location = /gone { return 410; } }"
    )
    for path, more in (("/large", {}), ("/chunks", {"keep_alive": True}), ("/none", {}), ("/large", {"method": "HEAD"})):
        seen = look(PROBE, url=server.url + path, requests=20, concurrency=2, **more)
        assert (seen.measures["completed"], seen.measures["errors"]) == (20, 0), path
        assert (seen.proof["bytes"] > 2_000_000) == (path == "/large" and not more), path
    seen = look(PROBE, url=server.url + "/gone", requests=20)
    assert (seen.measures["completed"], seen.measures["errors.status"], seen.measures["error_ratio"]) == (20, 20, 1)
    assert seen.measures["throughput"] == 0
    assert "20 of 20 requests failed" in seen.missing["p50"]
    assert look(PROBE, url=server.url + "/gone", requests=20, accept=[200, 410]).measures["errors"] == 0


# Oracles


def test_the_figures_agree_with_ab_and_wrk(nginx: Start, ab_bin: str, wrk_bin: str, tmp_path: Path) -> None:
    """A tenth of the answers takes 100 ms, so that the percentiles are those of the service and not of this machine."""
    with load_sides.slow_tenth() as upstream:
        server = nginx(f"server {{ listen 127.0.0.1:@PORT@; location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }}")
        ours = look(PROBE, 30, url=server.url, requests=1000, concurrency=10).measures
        theirs = load_sides.ab(ab_bin, f"{server.url}/", 1000, 10, tmp_path)
        others = load_sides.wrk(wrk_bin, f"{server.url}/", 3, 10, tmp_path)
    assert (theirs.failed, others.failed, ours["errors"]) == (0, 0, 0)
    assert theirs.completed == ours["completed"] == 1000
    for other in (theirs, others):
        assert ours["p95"] == pytest.approx(other.p95, rel=0.1)
        assert ours["throughput"] == pytest.approx(other.throughput, rel=0.15)
    assert ours["p50"] == pytest.approx(theirs.p50, rel=0.2)


@pytest.mark.parametrize("keep_alive", [False, True])
def test_half_the_throughput_of_ab(nginx: Start, ab_bin: str, tmp_path: Path, keep_alive: bool) -> None:
    """The best of a few rounds: what else this machine does disturbs one side more than the other."""
    server = nginx(PAGE)
    ratios = []
    for _round in range(5):
        theirs = load_sides.ab(ab_bin, f"{server.url}/", 5000, 10, tmp_path, keep_alive)
        ours = look(PROBE, 20, url=server.url, requests=5000, concurrency=10, keep_alive=keep_alive)
        ratios.append(float(ours.measures["throughput"]) / theirs.throughput)
    assert max(ratios) >= 0.5


def test_ab_counts_the_same_errors(nginx: Start, ab_bin: str, tmp_path: Path) -> None:
    server = nginx(HUNDREDTH_CONNECTION)
    subprocess.run([ab_bin, "-q", "-r", "-n", "1000", "-c", "10", f"{server.url}/"], capture_output=True, check=True, timeout=60)
    before = len(_logged(server))
    assert _logged(server).count("444") == 10
    seen = look(PROBE, url=server.url, requests=1000, concurrency=10)
    assert len(_logged(server)) == before + 1000
    assert seen.measures["errors"] == _logged(server)[before:].count("444") == 10


# Stand-ins for services that break their answers


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "in the middle of an answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "in the middle of an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", "in the middle of an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger", "longer than its Content-Length"),
        (b"220 mail.example.net ESMTP\r\n", "not HTTP/1.1"),
    ],
)
def test_standin_that_breaks_every_answer(data: bytes, why: str, keep_alive: bool) -> None:
    def handle(connection: socket.socket, server: Server) -> None:
        read_request(connection, server)
        connection.sendall(data)

    seen = _load_of(handle, keep_alive=keep_alive)
    assert (seen.measures["errors.broken"], seen.measures["completed"], seen.measures["error_ratio"]) == (20, 0, 1)
    assert why in seen.proof["error"]
    assert {"p50", "p95", "max", "mean"} <= set(seen.missing)
    assert seen.samples["latencies"] == [5.0] * 20, "as long as a request may take"


def test_standin_that_resets() -> None:
    def handle(connection: socket.socket, server: Server) -> None:
        read_request(connection, server)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    assert _load_of(handle).measures["errors.broken"] == 20


def test_standin_that_closes_after_each_answer_without_saying_so() -> None:
    """It is closed before the next request, so no request is lost with it."""

    def handle(connection: socket.socket, server: Server) -> None:
        read_request(connection, server)
        connection.sendall(answer(b"hello"))

    seen = _load_of(handle, keep_alive=True, rate="10/s", requests=10)
    assert (seen.measures["errors"], seen.proof["connections"]) == (0, 10)


def test_standin_that_is_silent_or_never_ends() -> None:
    seen = _load_of(servers.silent, request_timeout="200ms", requests=4)
    assert seen.measures["errors.timeout"] == 4
    assert "no whole answer within 0.2 s" in seen.proof["error"]
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert _load_of(servers.drips(head, b"."), request_timeout="200ms", requests=4).measures["errors.timeout"] == 4
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert _load_of(servers.endless(head, b"." * 65536), request_timeout="300ms", requests=4).measures["errors.timeout"] == 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def test_nothing_listens() -> None:
    url = f"http://127.0.0.1:{closed_port()}/"
    seen = look(PROBE, url=url, requests=20, concurrency=2)
    assert (seen.measures["errors.connect"], seen.measures["completed"]) == (20, 0)
    assert "connection refused" in seen.proof["error"]
    # Refusing is no busy loop: each connection rests before it tries again.
    seen = look(PROBE, url=url, duration="300ms", concurrency=2)
    assert float(seen.measures["errors.connect"]) < 100
    assert "does not resolve" in refused(PROBE, url="http://no.such.host.invalid/", requests=10)


def test_waiting_behind_a_stall_is_part_of_the_latency() -> None:
    """One request of a hundred takes half a second and holds up the others that come in the meantime."""

    def stalling() -> Callable[[socket.socket, Server], None]:
        lock = threading.Lock()
        count = [0]

        def handle(connection: socket.socket, server: Server) -> None:
            read_request(connection, server)
            with lock:
                count[0] += 1
                time.sleep(0.5 if count[0] == 50 else 0)
            connection.sendall(answer(b"hello"))

        return handle

    closed = _load_of(stalling(), requests=100, concurrency=2)
    assert closed.measures["p95"] < 0.2
    assert closed.measures["max"] >= 0.5
    opened = _load_of(stalling(), requests=100, concurrency=2, rate="200/s")
    assert opened.measures["p95"] > 0.35
    assert opened.proof["queued"] > 20
    assert opened.proof["longest_wait"] > 0.3


def test_what_waited_too_long_for_a_connection_is_an_error() -> None:
    seen = _load_of(servers.silent, rate="50/s", requests=20, concurrency=1, request_timeout="300ms")
    assert seen.measures["errors.timeout"] == 20
    assert seen.proof["requests"] == 20


def test_the_time_runs_out(nginx: Start) -> None:
    with serve(servers.slow(0.2, answer(b"x"))) as server:
        text = refused(PROBE, 0.7, url=server.url(), requests=100, concurrency=2)
    assert "of 100 requests had been answered when the time ran out" in text


def test_a_warm_up_that_never_ends() -> None:
    with serve(servers.silent) as server:
        text = refused(PROBE, url=server.url(), duration="200ms", warm_up="200ms", concurrency=2, request_timeout="1s")
    assert "all connections waited for answers of the warm-up" in text


def test_a_large_body_is_sent_whole() -> None:
    body = "x" * 3_000_000
    with serve(replies(answer(b"thanks"))) as server:
        for keep_alive in (False, True):
            seen = look(PROBE, url=server.url(), method="POST", body=body, requests=4, concurrency=2, keep_alive=keep_alive)
            assert (seen.measures["completed"], seen.measures["errors"]) == (4, 0)
        assert {len(one.partition(b"\r\n\r\n")[2]) for one in server.requests} == {len(body)}


def test_standin_that_refuses_a_body_before_it_came() -> None:
    """The answer counts, whether the service goes on reading or not."""

    def handle(connection: socket.socket, server: Server) -> None:
        connection.recv(1000)
        connection.sendall(answer(b"", "413 Content Too Large", ["Connection: close"]))
        while connection.recv(65536):
            pass

    seen = _load_of(handle, method="POST", body="x" * 3_000_000, requests=4)
    assert (seen.measures["completed"], seen.measures["errors.status"]) == (4, 4)


def test_tls(tmp_path: Path) -> None:
    issued = issue(tmp_path, names=("127.0.0.1",))
    with serve(replies(answer(b"hello" * 20_000)), issued.server_context()) as server:
        for keep_alive, connections in ((True, 3), (False, 30)):
            url = server.url(scheme="https")
            seen = look(PROBE, url=url, requests=30, concurrency=3, keep_alive=keep_alive, verify=str(issued.ca))
            assert (seen.measures["completed"], seen.measures["errors"], seen.proof["connections"]) == (30, 0, connections)
        seen = look(PROBE, url=server.url(scheme="https"), requests=5, concurrency=1)
        assert seen.measures["errors.connect"] == 5
        assert "the certificate was refused" in seen.proof["error"]


def test_requests_are_what_was_asked(canary: str) -> None:
    with serve(replies(answer(b"hello"))) as server:
        seen = look(
            PROBE,
            url=server.url("/a b?q=ü"),
            method="POST",
            body=Secret(canary),
            bearer=Secret(canary),
            headers={"X-Own": "1", "Host": "trade.example.net"},
            requests=3,
            concurrency=1,
        )
        assert set(server.requests) == {
            b"POST /a%20b?q=\xc3\xbc HTTP/1.1\r\nAccept: */*\r\nUser-Agent: golive.cutover\r\nConnection: close\r\n"
            + f"Content-Length: {len(canary)}\r\nX-Own: 1\r\nHost: trade.example.net\r\n".encode()
            + f"Authorization: Bearer {canary}\r\n\r\n{canary}".encode()
        }
    assert canary not in str(seen)


def test_memory_is_bounded(nginx: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load, "MOST_SAMPLES", 500)
    monkeypatch.setattr("ansible_collections.golive.cutover.plugins.module_utils.probes.load.MOST_SAMPLES", 500)
    seen = look(PROBE, url=nginx(PAGE).url, requests=3000, concurrency=10, keep_alive=True)
    assert (seen.proof["samples"], seen.proof["sampled_from"], seen.proof["requests"]) == (500, 3000, 3000)
    assert float(seen.measures["p99"]) <= float(seen.measures["max"])


def test_few_samples_have_no_high_percentile(nginx: Start) -> None:
    seen = look(PROBE, url=nginx(PAGE).url, requests=19, concurrency=1)
    assert "p50" in seen.measures
    assert "19 samples are too few to say: p95" in seen.missing["p95"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "either requests or duration"),
        ({"requests": 10, "duration": "1s"}, "either requests or duration"),
        ({"requests": 5}, "only 5 requests"),
        ({"requests": 10, "rate": "50"}, "a rate with its unit"),
        ({"requests": 10, "rate": "0/s"}, "a rate with its unit"),
        ({"duration": "0s"}, "more than 0s"),
        ({"duration": "1s", "request_timeout": "0s"}, "more than 0s"),
        ({"duration": "1s", "headers": {"Connection": "close"}}, "set by the probe itself"),
        ({"duration": "1s", "accept": 99}, "at least 200"),
    ],
)
def test_mistakes(raw: dict[str, Any], why: str) -> None:
    found = mistakes(PROBE, {"url": "http://127.0.0.1/", **raw})
    assert len(found) == 1
    assert why in found[0]


def test_too_few_requests_to_say() -> None:
    with serve(replies(answer(b"ok"))) as server:
        load = {"url": server.url(), "requests": 40, "concurrency": 2}
        limit = {"error_ratio": "<= 1%"}
        checks = [
            {"id": "L-001", "load": load, "expect": limit},
            {"id": "L-002", "load": load, "critical": {"p95": "> 5s"}},
            {"id": "L-003", "load": {**load, "least": 40}, "expect": limit, "critical": {"p95": "> 5s"}},
            {"id": "L-004", "load": {**load, "accept": 204}, "expect": limit},
        ]
        verdicts = run_checks(read_checks(checks, PROBES), PROBES)
    assert [one["status"] for one in verdicts] == ["inconclusive", "inconclusive", "pass", "fail"]
    assert "40 requests are too few to say: error_ratio <= 1% needs 100" in verdicts[0]["reason"]
    assert "40 requests are too few to say: p95 > 5s needs 59" in verdicts[1]["reason"]


def test_as_a_check_of_a_task(nginx: Start, run_module: Callable[..., dict[str, Any]]) -> None:
    server = nginx(HUNDREDTH_CONNECTION)
    load = {"url": server.url, "requests": 1000, "concurrency": 10}
    checks = [
        {"id": "L-001", "load": load, "expect": {"errors": "== 10"}, "critical": {"p95": "> 5s"}},
        {"id": "L-002", "load": load, "expect": {"max": "< 5s"}},
        {"id": "L-003", "load": {**load, "duration": "1s", "requests": None}, "expect": {"error_ratio": "<= 0.5%"}},
    ]
    verdicts = [run_module("check", {"checks": [one]})["verdicts"][0] for one in checks]
    assert [one["status"] for one in verdicts] == ["pass", "inconclusive", "fail"]
    assert "10 of 1000 requests failed" in verdicts[1]["reason"]

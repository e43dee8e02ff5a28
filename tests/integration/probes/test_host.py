# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe host against this machine, a stand-in for a time server, and a real peer."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net, host
from ansible_collections.golive.cutover.plugins.module_utils.probes.host import HostProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.integration.probes.looking import look, mistakes, refused

PROBE = HostProbe()


# -- this machine ------------------------------------------------------------------------------------------------------


def test_figures_of_this_machine(tmp_path: Path) -> None:
    seen = look(PROBE, over="300ms", path=str(tmp_path))
    m = seen.measures
    assert m["cores"] == os.cpu_count()
    assert m["load"] == pytest.approx(os.getloadavg()[0] / float(m["cores"]), abs=0.5)
    for name in ("cpu", "iowait", "steal", "memory_used", "disk_used"):
        assert 0 <= float(m[name]) <= 1, name
    assert m["memory_total"] == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.05)
    assert 0 < float(m["memory_available"]) < float(m["memory_total"])
    usage = shutil.disk_usage(tmp_path)
    assert m["disk_free"] == pytest.approx(usage.free, rel=0.05)
    assert m["disk_total"] == usage.total
    df = subprocess.run(["df", "--output=pcent,target", str(tmp_path)], capture_output=True, text=True, check=True)
    percent, target = df.stdout.splitlines()[1].split()
    assert float(m["disk_used"]) * 100 == pytest.approx(float(percent.rstrip("%")), abs=1.5)
    assert m["mount"] == target
    assert m["uptime"] == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)
    assert seen.proof["window"] >= 0.3


def test_a_core_that_is_busy_is_seen() -> None:
    stop = time.monotonic() + 1.2
    busy = subprocess.Popen(["nice", "-n", "19", "sh", "-c", "while :; do :; done"])
    try:
        seen = look(PROBE, over="800ms")
    finally:
        busy.kill()
        busy.wait()
    assert time.monotonic() < stop + 30
    assert float(seen.measures["cpu"]) > 0.5 / float(seen.measures["cores"])


def test_cpu_is_only_there_when_asked_for() -> None:
    seen = look(PROBE)
    assert "cpu" not in seen.measures and "cpu" not in seen.missing


def test_a_path_that_is_not_there_leaves_the_rest(tmp_path: Path) -> None:
    seen = look(PROBE, path=str(tmp_path / "none"))
    assert "No such file" in seen.missing["disk_used"] and "No such file" in seen.missing["inodes_used"]
    assert "memory_used" in seen.measures


def test_a_file_system_without_space() -> None:
    seen = look(PROBE, path="/proc")
    assert "takes no space" in seen.missing["disk_used"]
    assert "does not count inodes" in seen.missing["inodes_used"]
    assert seen.measures["mount"] == "/proc"


def test_inodes_of_this_machine() -> None:
    """A file system may be full of small files while it has space; `df -i` says the same."""
    seen = look(PROBE, path="/dev/shm")
    df = subprocess.run(["df", "--output=itotal,iused,iavail", "/dev/shm"], capture_output=True, text=True, check=True)
    total, used, free = (int(one) for one in df.stdout.splitlines()[1].split())
    assert seen.measures["inodes_used"] == pytest.approx(used / total, abs=0.02)
    assert seen.measures["inodes_free"] == pytest.approx(free, rel=0.05)


@pytest.mark.parametrize(("left", "status"), [(500, "pass"), (150, "warn"), (20, "fail"), (0, "fail")])
def test_a_file_system_that_runs_out_of_inodes(left: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel would say of one with a thousand of them and much space, of which root may use ten more."""

    def statvfs(_path: str) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 10_000, 9_000, 8_500, 1_000, left, max(left - 10, 0), 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    seen = look(PROBE)
    assert seen.measures["inodes_used"] == pytest.approx(1 - left / 1000)
    assert seen.measures["inodes_free"] == max(left - 10, 0)
    assert seen.measures["disk_used"] == pytest.approx(1000 / 9500)
    check = {"id": "H", "host": {}, "warn": {"inodes_used": "> 80%"}, "critical": {"inodes_used": "> 95%"}}
    (verdict,) = run_checks(read_checks([check], PROBES), PROBES)
    assert verdict["status"] == status, verdict


def test_a_host_without_figures_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PROC", str(tmp_path))
    seen = look(PROBE, over="100ms")
    for name in ("cpu", "load", "memory_used", "uptime"):
        assert "No such file" in seen.missing[name]
    assert "disk_used" in seen.measures


def test_figures_that_make_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PROC", str(tmp_path))
    for name in ("stat", "loadavg", "meminfo", "uptime"):
        (tmp_path / name).write_text("nothing\n")
    seen = look(PROBE, over="100ms")
    for name in ("cpu", "load", "memory_used", "uptime"):
        assert name in seen.missing
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 25 kB\nSwapTotal: 40 kB\nSwapFree: 10 kB\n")
    seen = look(PROBE)
    assert (seen.measures["memory_used"], seen.measures["swap_used"]) == (0.75, 0.75)


# -- clock -------------------------------------------------------------------------------------------------------------

EPOCH = 2_208_988_800


@contextlib.contextmanager
def stand_in_for_a_time_server(ahead: float = 0.0, **how: Any) -> Iterator[str]:
    """A stand-in for an NTP server, which cannot be had here: answers by RFC 4330 with a clock that is ``ahead`` seconds wrong."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind(("127.0.0.1", 0))
    asked = []

    def stamp(seconds: float) -> int:
        return int((seconds + EPOCH) * (1 << 32)) % (1 << 64)

    def serve() -> None:
        while True:
            data, address = link.recvfrom(512)
            if data == b"end":
                return
            asked.append(data)
            received = time.time() + ahead
            if how.get("silent") or (how.get("silent_after") and len(asked) > how["silent_after"]):
                continue
            origin = struct.unpack("!Q", data[40:48])[0] if not how.get("forged") else 7
            answered = 0 if how.get("no_time") else stamp(time.time() + ahead)
            head = how.get("head", 0x24)
            answer = struct.pack(
                "!BBbbII4sQQQQ",
                head,
                how.get("stratum", 2),
                0,
                -20,
                655,
                65,
                how.get("code", b"LOCL"),
                0,
                origin,
                stamp(received),
                answered,
            )
            link.sendto(answer[: how.get("length", 48)], address)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{link.getsockname()[1]}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b"end", link.getsockname())
    thread.join(5)
    link.close()


@pytest.mark.parametrize("ahead", [0.0, 3.5, -120.0, 400_000_000.0])
def test_the_clock_against_a_server(ahead: float) -> None:
    """The last one is beyond 2036, where the count of NTP starts anew."""
    with stand_in_for_a_time_server(ahead) as server:
        seen = look(PROBE, clock=server)
    assert seen.measures["clock_offset"] == pytest.approx(abs(ahead), abs=0.2)
    assert 0.005 < float(seen.measures["clock_uncertainty"]) < 0.3
    clock = seen.proof["clock"]
    assert (clock["server"], clock["answers"], clock["stratum"]) == (server, 4, 2)
    assert clock["offset"] == pytest.approx(ahead, abs=0.2)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"forged": True}, "does not belong to the question"),
        ({"head": 0x23}, "does not belong to the question"),
        ({"head": 0xE4}, "not synchronised"),
        ({"stratum": 16}, "not synchronised"),
        ({"no_time": True}, "not synchronised"),
        ({"stratum": 0, "code": b"RATE"}, "refuses to answer: RATE"),
        ({"length": 20}, "not that of a time server"),
    ],
)
def test_answers_that_are_not_believed(how: dict[str, Any], why: str) -> None:
    with stand_in_for_a_time_server(**how) as server:
        seen = look(PROBE, clock=server)
    assert why in seen.missing["clock_offset"] and why in seen.missing["clock_uncertainty"]


def test_a_time_server_that_is_silent() -> None:
    with stand_in_for_a_time_server(silent=True) as server:
        seen = look(PROBE, timeout=1.0, clock=server)
    assert "no answer within the time" in seen.missing["clock_offset"]
    with stand_in_for_a_time_server(silent_after=2) as server:
        seen = look(PROBE, timeout=1.0, clock=server)
    assert seen.proof["clock"]["answers"] == 2


# -- peer --------------------------------------------------------------------------------------------------------------


def test_the_way_to_a_peer(redis_server: Callable[..., Any]) -> None:
    server = redis_server()
    seen = look(PROBE, peer=f"127.0.0.1:{server.port}")
    assert 0 < float(seen.measures["peer_latency"]) <= float(seen.measures["peer_p95"]) < 0.2
    assert len(seen.samples["peer_latencies"]) == 20
    assert (seen.measures["peer_errors"], seen.proof["connects"]) == (0, 20)
    few = look(PROBE, peer=f"127.0.0.1:{server.port}", peer_samples=5)
    assert few.missing["peer_p95"] == "5 samples are too few to say: p95 needs 20"


def test_a_peer_that_refuses(free_port: Callable[[], int]) -> None:
    seen = look(PROBE, peer=f"127.0.0.1:{free_port()}")
    assert seen.measures["peer_errors"] == 1
    assert "connection refused" in seen.missing["peer_latency"]


@pytest.mark.parametrize(("opened", "there"), [(1, False), (10, False), (11, True)])
def test_a_connection_that_is_refused_counts_as_the_slowest(
    redis_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, opened: int, there: bool
) -> None:
    server = redis_server()
    connect, tried = _net.connect, iter(range(20))

    def some(*given: Any) -> Any:
        if next(tried) < opened:
            return connect(*given)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(_net, "connect", some)
    seen = look(PROBE, peer=f"127.0.0.1:{server.port}")
    assert seen.measures["peer_errors"] == (20 - opened) / 20
    assert seen.missing["peer_latencies"] == f"{20 - opened} of 20 connections were not opened"
    assert ("peer_latency" in seen.measures) is there
    for name in ("peer_p95", *(() if there else ("peer_latency",))):
        assert seen.missing[name] == f"{20 - opened} of 20 connections were not opened"


def test_a_peer_that_is_silent() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with contextlib.ExitStack() as full:
            for _number in range(2):
                link = full.enter_context(socket.socket())
                link.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    link.connect(("127.0.0.1", port))
            seen = look(PROBE, timeout=1.0, peer=f"127.0.0.1:{port}")
    assert "the time ran out" in seen.missing["peer_latency"]


def test_a_peer_without_a_name() -> None:
    seen = look(PROBE, peer="no-such-host.invalid:80")
    assert "does not resolve" in seen.missing["peer_latency"] or "was not resolved" in seen.missing["peer_latency"]


def test_nothing_at_all_is_no_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PROC", str(tmp_path))
    assert "No such file" in refused(PROBE, path=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"path": "var"}, "absolute path"),
        ({"over": "10ms"}, "at least 100ms"),
        ({"peer": "redis"}, "expected HOST:PORT"),
        ({"peer": "redis:99999"}, "expected HOST:PORT"),
        ({"clock": "http://x"}, "expected HOST:PORT or HOST"),
        ({"clock": "x", "clock_samples": 0}, "at least 1"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)


def test_addresses() -> None:
    read = PROBE.options["clock"].read
    assert (read("a.b"), read("a:1"), read("[::1]"), read("[::1]:7")) == (("a.b", 123), ("a", 1), ("::1", 123), ("::1", 7))

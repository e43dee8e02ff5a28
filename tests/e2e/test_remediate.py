# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four incidents of the runbook, produced on a running release, remedied and verified; and what is left alone."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from tests.conftest import AnsibleResult, wait_until
from tests.e2e.stage import Stage, quick, recap

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-remediate")]

LOCK = "spark:alerts:scheduler:lock"


@pytest.fixture(scope="module")
def accepted(module_stage: Any) -> Stage:
    """Return a machine on which 1.0.0 was accepted, with few checks: the incidents have their own."""
    made: Stage = module_stage()
    made.machine.start()
    few = quick("redis", "proxy")
    few["cutover_checks"] = [one for one in few["cutover_checks"] if one["id"] == "SMOKE-1"]
    few["cutover_steps"] = [one for one in few["cutover_steps"] if one["name"] in ("secrets", "deploy", "redis", "proxy", "smoke")]
    few["cutover_gate"] = {"criteria": [{"name": "Smoke", "tags": ["smoke"]}]}
    made.go("1.0.0", **few)
    return made


def remediate(live: Stage, incident: str, *arguments: str, **more: Any) -> AnsibleResult:
    return live.run("remediate", None, *arguments, incident=incident, spark_remedy_window="3s", **more)


def executors(live: Stage) -> list[dict[str, Any]]:
    """What the executors say of themselves; one that does not answer is left out."""
    found = []
    for number in (0, 1):
        with contextlib.suppress(requests.ConnectionError):
            found.append(requests.get(f"http://127.0.0.1:{live.base + 3 + number}/health", timeout=5).json())
    return found


def leader(live: Stage) -> str:
    leading = [one["instance"] for one in executors(live) if one["leader"]]
    return leading[0] if len(leading) == 1 else ""


def pids(live: Stage, what: str) -> set[int]:
    return {pid for pid, command in live.processes() if command.rstrip().endswith(what)}


def metric(live: Stage, name: str) -> float:
    """The sum of a counter over the executors."""
    total = 0.0
    for number in (0, 1):
        page = requests.get(f"http://127.0.0.1:{live.base + 3 + number}/metrics", timeout=5).text
        total += sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"{name} "))
    return total


def remembered(live: Stage) -> dict[str, Any]:
    """What the ledger holds of the newest remediation."""
    with live.open() as store:
        found: dict[str, Any] = [one["data"] for one in ledger.read(store) if one["event"] == "remediation"][-1]
        return found


def test_a_lock_that_is_held_by_a_living_leader_survives_all_incidents_that_are_not_there(live: Stage) -> None:
    wait_until(lambda: leader(live) != "", 20, what="a leader")
    value, before = live.machine.redis.get(LOCK), pids(live, "spark.executor")
    done = remediate(live, "no_leader")
    assert done.rc == 0, done.why
    assert "NOTHING TO DO: The incident no_leader is not there." in done.stdout
    assert (live.machine.redis.get(LOCK), pids(live, "spark.executor")) == (value, before)
    assert recap(done.stdout)["changed"] == 0
    told = remembered(live)
    assert (told["incident"], told["state"], told["changed"]) == ("no_leader", "absent", False)
    assert "leads and holds" in told["seen"][0]
    decision = live.decision()
    assert (decision["kind"], decision["decision"], decision["reason"]) == ("remediation", "go", "no_leader")
    assert not live.locked()


def test_no_leader_because_the_lock_is_stuck(live: Stage) -> None:
    wait_until(lambda: leader(live) != "", 20, what="a leader")
    redis, name = live.machine.redis, leader(live)
    value = redis.get(LOCK)
    assert isinstance(value, bytes)
    number = int(str(name)[-1])
    victim = next(pid for pid in pids(live, "spark.executor") if _listens(pid, live.base + 2 + number))
    others = pids(live, "spark.executor") - {victim}
    redis.persist(LOCK)
    os.kill(victim, signal.SIGKILL)
    # Its value is left behind without an end. supervisord starts the instance again, which does not lead.
    redis.set(LOCK, value)
    wait_until(lambda: len(executors(live)) == 2 and not leader(live), 30, what="two executors without a leader")

    done = remediate(live, "no_leader")
    assert done.rc == 0, done.why
    assert "REMEDIATED: The incident no_leader on demo is over" in done.stdout
    assert leader(live)
    assert redis.get(LOCK) != value and redis.ttl(LOCK) > 0
    # The smallest step was enough: nobody was restarted.
    assert others <= pids(live, "spark.executor")
    told = remembered(live)
    assert told["state"] == "remediated" and told["changed"] is True
    assert [one.split(":")[0] for one in told["done"]] == ["release_lock"]
    assert "never expires" in told["seen"][0] and "leads and holds" in told["verified"][0]
    assert [one["name"] for one in live.decision()["hosts"]["demo"]["steps"]] == ["look", "release_lock"]
    assert not live.locked()


def _listens(pid: int, port: int) -> bool:
    """Whether a process is the executor of a port."""
    with contextlib.suppress(OSError):
        return f"EXECUTOR_PORT={port}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


def test_redis_is_lost_and_comes_back_with_its_data(live: Stage) -> None:
    redis = live.machine.redis
    keys = len(redis.keys("demo:order:*"))
    assert keys == 1000
    redis_pid = int((live.home / "redis/redis.pid").read_text(encoding="utf-8"))
    before = pids(live, "spark.executor") | pids(live, "spark.web")
    os.kill(redis_pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{redis_pid}"), 20, what="the end of Redis")
    done = remediate(live, "redis_lost")
    assert done.rc == 0, done.why
    assert len(live.machine.redis.keys("demo:order:*")) == keys
    assert live.machine.redis.config_get("appendonly") == {"appendonly": "yes"}
    # The clients came back by themselves.
    assert pids(live, "spark.executor") | pids(live, "spark.web") == before
    told = remembered(live)
    assert told["state"] == "remediated" and told["done"] == ["start_redis: run start Redis again"]
    assert any(one.startswith("INC-45") for one in told["verified"])
    assert [one["name"] for one in live.decision()["hosts"]["demo"]["steps"]] == ["look", "start_redis"]


def test_too_many_streams(live: Stage) -> None:
    """Clients that come back when they are cut, as browsers do."""
    stop = threading.Event()
    web = f"http://127.0.0.1:{live.base + 2}/api/marketdata/stream?symbol=BTCUSDT"

    def client(address: str) -> None:
        while not stop.is_set():
            with (
                contextlib.suppress(requests.RequestException),
                requests.get(web, stream=True, timeout=5, headers={"X-Forwarded-For": address}) as answer,
            ):
                for _chunk in answer.iter_content(1):
                    if stop.is_set():
                        return
            stop.wait(0.3)

    threads = [threading.Thread(target=client, args=(f"10.0.0.{number // 3}",), daemon=True) for number in range(9)]
    for one in threads:
        one.start()
    try:
        wait_until(lambda: metric(live, "streams_connected") >= 2 * 9, 30, what="nine streams, which both executors show")
        done = remediate(live, "sse_overload", spark_streams_most=5)
        assert done.rc == 0, done.why
        told = remembered(live)
        assert [one.split(":")[0] for one in told["done"]] == ["fewer_streams"]
        assert told["way_back"] and told["way_back"][0].startswith("MAX_SSE_CONNECTIONS was 3: put that back in ")
        assert metric(live, "streams_connected") <= 2 * 5
        text = (live.home / "golive/current/.env").read_text(encoding="utf-8")
        assert re.search(r"^MAX_SSE_CONNECTIONS=.?1\b", text, re.MULTILINE)
        assert "way back: MAX_SSE_CONNECTIONS was 3" in done.stdout
    finally:
        stop.set()
        for one in threads:
            one.join(10)


@contextlib.contextmanager
def receiver(pause: float) -> Iterator[str]:
    """A receiver that refuses what comes sooner than ``pause`` seconds after what it has accepted."""
    last = [0.0]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            soon = time.monotonic() - last[0] < pause
            last[0] = last[0] if soon else time.monotonic()
            self.send_response(429 if soon else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_notifications_fail_because_there_are_too_many(live: Stage) -> None:
    front = f"http://127.0.0.1:{live.base}/api/alerts"
    with receiver(3.0) as url:
        alert = {"symbol": "BTCUSDT", "condition": "price_above", "threshold": 0.01, "enabled": True, "cooldown_sec": 0}
        made = requests.post(front, json={**alert, "webhook_url": url}, timeout=5)
        assert made.status_code == 201, made.text
        failed = metric(live, "notifications_failed_total")
        wait_until(lambda: metric(live, "notifications_failed_total") > failed + 2, 30, what="failures")

        file = (live.home / "golive/current/.env").resolve()
        text = file.read_text(encoding="utf-8")
        tried = remediate(live, "notification_failures", "--check")
        assert tried.rc == 0, tried.why
        assert "lower_rate: would have set NOTIFY_RATE_LIMIT in" in tried.stdout
        assert file.read_text(encoding="utf-8") == text
        assert recap(tried.stdout)["failed"] == 0

        # The other receiver, Telegram, which nobody answers for here, is out of the way.
        file.write_text(text.replace("http://127.0.0.1:9", url), encoding="utf-8")
        before = pids(live, "spark.executor")
        done = remediate(live, "notification_failures")
        assert done.rc == 0, done.why
        told = remembered(live)
        assert told["state"] == "remediated"
        assert told["way_back"][0].startswith("NOTIFY_RATE_LIMIT was not set: take it out of the env file in ")
        assert pids(live, "spark.executor") == before
        requests.delete(f"{front}/{made.json()['id']}", timeout=5)
    assert json.dumps(told).count("AAHdqTcv") == 0
    assert live.verify_ledger() > 0
    assert not live.locked()

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
import requests.adapters
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from tests.conftest import ROOT, AnsibleResult, wait_until
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
    victim = executor_of(live, name)
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


def executor_of(live: Stage, name: str) -> int:
    """The process of an executor, by the name that it gives itself."""
    return next(pid for pid in pids(live, "spark.executor") if _listens(pid, live.base + 2 + int(name[-1])))


def test_no_leader_because_it_hangs(live: Stage) -> None:
    """It may go on, and then it still believes in its lock."""
    wait_until(lambda: leader(live) != "", 20, what="a leader")
    redis, name, before = live.machine.redis, leader(live), pids(live, "spark.executor")
    victim = executor_of(live, name)
    os.kill(victim, signal.SIGSTOP)
    try:
        redis.persist(LOCK)
        value = redis.get(LOCK)
        assert value is not None
        done = remediate(live, "no_leader")
        assert done.rc != 0 and "NOTHING DONE" in done.stdout, done.why
        assert (redis.get(LOCK), redis.ttl(LOCK), pids(live, "spark.executor")) == (value, -1, before)
    finally:
        os.kill(victim, signal.SIGCONT)
    told = remembered(live)
    assert (told["state"], told["changed"], told["done"]) == ("unknown", False, [])
    assert f"{name} may lead" in told["seen"][0]
    wait_until(lambda: leader(live) == name and redis.ttl(LOCK) > 0, 20, what="the leader that is back")
    assert redis.get(LOCK) == value and not live.locked()


def test_no_leader_because_it_was_stopped_on_purpose_and_then_because_nobody_was_told(live: Stage) -> None:
    wait_until(lambda: leader(live) != "", 20, what="a leader")
    redis, before, web = live.machine.redis, pids(live, "spark.executor"), pids(live, "spark.web")
    file = (live.home / "golive/current/.env").resolve()
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"(?m)^SCHEDULER_ENABLED=.*$", "SCHEDULER_ENABLED='False'", text), encoding="utf-8")
    for pid in before:
        os.kill(pid, signal.SIGHUP)
    wait_until(lambda: not leader(live) and redis.get(LOCK) is None, 20, what="executors that do not lead")
    done = remediate(live, "no_leader")
    assert done.rc != 0 and "NOTHING DONE" in done.stdout, done.why
    told = remembered(live)
    assert (told["state"], told["changed"], told["done"]) == ("refused", False, [])
    assert told["refused"][0].startswith("INC-12 (The scheduler was not stopped on purpose) fail")
    assert pids(live, "spark.executor") == before and redis.get(LOCK) is None

    # It may lead again, and the executors have not heard of it: there is no lock to let go, so they are started again.
    file.write_text(text, encoding="utf-8")
    done = remediate(live, "no_leader")
    assert done.rc == 0, done.why
    assert leader(live) and len(executors(live)) == 2
    assert not pids(live, "spark.executor") & before and pids(live, "spark.web") == web
    told = remembered(live)
    assert told["state"] == "remediated" and "nobody holds" in told["seen"][0]
    assert [one.partition(",")[0] for one in told["done"]] == [
        "release_lock: nothing to let go",
        "restart_executors: restarted executor",
    ]
    assert [one["name"] for one in live.decision()["hosts"]["demo"]["steps"]] == ["look", "release_lock", "restart_executors"]


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


class _From(requests.adapters.HTTPAdapter):
    """A client with an address of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
        super().init_poolmanager(*arguments, **more, source_address=(self.address, 0))


@contextlib.contextmanager
def clients(live: Stage, port: int, through: str) -> Iterator[None]:
    """Nine clients, three at each of three addresses, that come back when they are cut, as browsers do."""
    stop = threading.Event()
    url = f"http://127.0.0.1:{port}/api/marketdata/stream?symbol=BTCUSDT"

    def client(number: int) -> None:
        # The web front believes the last proxy; nginx says where a connection comes from.
        session = requests.Session()
        headers = {"X-Forwarded-For": f"10.0.0.{number // 3}"}
        if through == "nginx":
            headers = {}
            session.mount("http://", _From(f"127.0.1.{number // 3 + 1}"))
        while not stop.is_set():
            with (
                contextlib.suppress(requests.RequestException),
                session.get(url, stream=True, timeout=5, headers=headers) as answer,
            ):
                for _chunk in answer.iter_content(1):
                    if stop.is_set():
                        return
            stop.wait(0.3)

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(9)]
    for one in threads:
        one.start()
    try:
        wait_until(lambda: metric(live, "streams_connected") >= 2 * 9, 30, what="nine streams, which both executors show")
        yield
    finally:
        stop.set()
        for one in threads:
            one.join(10)


def test_too_many_streams_and_only_nginx_can_limit_them(live: Stage) -> None:
    described = yaml.safe_load((ROOT / "inventories/spark_ta/group_vars/all/remediate.yml").read_text(encoding="utf-8"))
    overload = described["remediate_incidents"]["sse_overload"]
    overload["steps"] = [one for one in overload["steps"] if one["name"] != "fewer_streams"]
    overload["verify"][0]["retry"] = {"for": "6s", "every": "500ms", "settle": "1s"}
    limits = live.home / "nginx/server.d/golive-streaming.conf"
    text = limits.read_text(encoding="utf-8")
    before, web = pids(live, "spark.executor"), pids(live, "spark.web")
    with clients(live, live.base, "nginx"):
        done = remediate(live, "sse_overload", spark_streams_most=5, remediate_incidents={"sse_overload": overload})
        assert done.rc == 0, done.why
        assert metric(live, "streams_connected") <= 2 * 5
    told = remembered(live)
    # nginx leaves what is open with its old workers, so the limit alone was seen not to help.
    assert [one.split(":")[0] for one in told["done"]] == ["limit_conn", "cut_streams"]
    assert told["verified"][0].startswith("INC-32 (The number of open streams has come down) fail")
    assert told["way_back"] and "tasks rollback with nginx_streaming_rollback_run" in told["way_back"][0]
    assert re.findall(r"limit_conn \w+ (\d+);", limits.read_text(encoding="utf-8")) == ["1"] and "limit_conn " not in text
    assert pids(live, "spark.executor") == before and not pids(live, "spark.web") & web


def test_too_many_streams(live: Stage) -> None:
    with clients(live, live.base + 2, "web"):
        done = remediate(live, "sse_overload", spark_streams_most=5)
        assert done.rc == 0, done.why
        told = remembered(live)
        assert [one.split(":")[0] for one in told["done"]] == ["fewer_streams"]
        assert told["way_back"] and told["way_back"][0].startswith("MAX_SSE_CONNECTIONS was 3: put that back in ")
        assert metric(live, "streams_connected") <= 2 * 5
        env = (live.home / "golive/current/.env").read_text(encoding="utf-8")
        assert re.search(r"^MAX_SSE_CONNECTIONS=.?1\b", env, re.MULTILINE)
        assert "way back: MAX_SSE_CONNECTIONS was 3" in done.stdout


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

        # What the notifications need is not there: nothing is lowered, and what is missing is named.
        file.write_text(re.sub(r"(?m)^TELEGRAM_BOT_TOKEN=.*\n", "", text), encoding="utf-8")
        refused = remediate(live, "notification_failures")
        assert refused.rc != 0 and "NOTHING DONE" in refused.stdout, refused.why
        told = remembered(live)
        assert (told["state"], told["changed"], told["done"]) == ("refused", False, [])
        assert told["refused"][0].startswith("INC-22 ") and told["refused"][0].endswith("[TELEGRAM_BOT_TOKEN]")
        assert "NOTIFY_RATE_LIMIT" not in file.read_text(encoding="utf-8")

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

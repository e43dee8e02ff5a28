# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of spark_ta that asks a running system, on the reference application: it passes, and it fails when what it is
about is wrong. What goes wrong is said by the real processes, or changed in what they say."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.conftest import RedisServer, wait_until
from tests.integration.demo.conftest import Receiver, Spark, receiver, spark
from tests.integration.inventories.asking import ill, unfound
from tests.integration.inventories.tampering import (
    Fault,
    Tampered,
    body,
    document,
    growing,
    header,
    in_blocks,
    metric,
    one_event,
    says,
    sets,
)
from tests.integration.probes.servers import Server, serve
from tests.inventories import by_id, rendered

__all__ = ["receiver", "spark"]
INVENTORY = "spark_ta"
LISTS = ("cutover_checks", "hypercare_checklist", "hypercare_sampler_checks", "hypercare_watch_checks", "spark_panels")
EXECUTORS = ("executor-1", "executor-2")


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A fault of the web front or of executors, and what is found: ids, and words of their reasons."""

    parts: tuple[str, ...]
    fault: Fault
    found: Mapping[str, str]


def web(where: str, change: Any = None, /, *, found: Mapping[str, str], **fault: Any) -> Wrong:
    return Wrong(("web",), Fault(where, **({"change": change} if change else {}), **fault), found)


def executor(where: str, change: Any, /, *, found: Mapping[str, str], parts: tuple[str, ...] = ("executor-1",)) -> Wrong:
    return Wrong(parts, Fault(where, change), found)


def shows(name: str, value: float, **found: str) -> Wrong:
    """Every executor shows this value."""
    return Wrong(
        EXECUTORS, Fault("GET /metrics", metric(name, lambda _known: value)), {i.replace("_", "-"): w for i, w in found.items()}
    )


def same(words: str, *ids: str) -> dict[str, str]:
    return dict.fromkeys(ids, words)


def swapped(found: Any) -> None:
    found["bands"]["upper"], found["bands"]["lower"] = found["bands"]["lower"], found["bands"]["upper"]


STREAM, HEALTH = "/api/marketdata/stream", "/api/public/health"
WRONG = [
    web(f"GET {HEALTH}", sets(release="0.9.0"), found=same("release is 0.9.0", "SMOKE-1", "HC-01")),
    web(f"GET {HEALTH}", sets(status="degraded", redis="down"), found={"H-001": "health is degraded", "INC-44": "redis is down"}),
    web(f"GET {HEALTH}", says(503), found={"AV-WEB": "status is 503"}),
    web(
        f"HEAD {STREAM}",
        header("X-Streams-Connected", "many"),
        found=same("header.x-streams-connected is many", "SMOKE-2", "CLI-3", "FIELD-3"),
    ),
    web(f"HEAD {STREAM}", says(502), found={"AV-SSE": "status is 502"}),
    web(f"GET {STREAM}", stream=one_event, found=same("events is 1", "SMOKE-8", "HC-12")),
    web(f"GET {STREAM}", stream=in_blocks, found=same("buffered is true", "S-003", "HC-12")),
    web(f"GET {STREAM}", header("Content-Type", "text/event"), found={"S-001": "content_type is text/event"}),
    web(f"GET {STREAM}", drops=["last-event-id"], found=same("resumed is false", "S-004", "HC-33")),
    web(f"GET {STREAM}", says(503), found={"INC-33": "status is 503"}),
    web(
        "GET /api/tools/fibonacci",
        document(lambda found: found["levels"].pop() and None),
        found=same("levels is 6", "SMOKE-3", "A-001"),
    ),
    web("GET /api/tools/bollinger", document(swapped), found={"A-002": "ordered is false"}),
    web("GET /api/tools/macd", document(lambda found: found["current"].update(signal=None)), found={"A-003": "numbers is false"}),
    web("GET /api/tools/macd", says(200), found={"V-001": "status is 200"}),
    web(
        "POST /api/alerts$",
        says(200),
        found={**same("status.create is 200", "SMOKE-4", "C-001", "HC-11"), "V-002": "status is 200"},
    ),
    web("GET /api/alerts$", sets(count=0), found={"C-002": "count is 0"}),
    web("GET /api/alerts/[0-9a-z]+$", sets(threshold=1), found={"C-003": "same is false"}),
    web("POST /api/alerts/.*/toggle", sets(enabled=False), found={"C-004": "toggled is false"}),
    web("GET /api/alerts/.*/history", sets(history=None), found=same("is_list is false", "C-005", "HC-11")),
    web("GET /api/alerts/[0-9a-z]+$", says(200), found={"C-006": "status.read is 200"}),
    web("GET /api/notifications$", sets(configured=False), found=same("configured is false", "SMOKE-6", "HC-13")),
    web("GET /technical-analysis", header("Content-Type", "text/plain"), found={"SMOKE-7": "header.content-type is text/plain"}),
    web("GET /technical-analysis", body("BTCUSDT", "ETHUSDT"), found={"UI-1": "body"}),
    web("GET /alerts$", header("Content-Type", "text/plain"), found={"UI-4": "header.content-type is text/plain"}),
    web(
        "GET /api/marketdata/candles",
        document(lambda found: {**found, "candles": found["candles"][1:] or [{}, {}]}),
        found={"UI-2": "candles is 99", "HC-02": "candles is 2"},
    ),
    web("GET /api/marketdata/candles", says(500), found={"HC-34": "status is 500"}),
    Wrong(("web",), Fault("GET /metrics", growing("process_resident_memory_bytes", 5e6)), {"RES-1": "critical when > 1000000"}),
    Wrong(EXECUTORS, Fault("GET /metrics", growing("alerts_errors_total", 1)), {"SMOKE-5": "errors is"}),
    Wrong(EXECUTORS, Fault("GET /metrics", growing("notifications_failed_total", 1)), same("expected <= 1", "INC-21", "INC-23")),
    executor("GET /health", sets(leader=True), parts=EXECUTORS, found=same("leaders is 2", "LEADER-1", "LEADER-3", "HC-05")),
    executor("GET /health", sets(redis="down"), found={"H-002": "redis is down"}),
    shows("alerts_errors_total", 30, M_001="errors is 30", CLI_5="alerts is 60", HC_03="alerts is 60"),
    shows("streams_errors_total", 30, M_002="stream_errors is 30", CLI_5="streams is 30", HC_03="streams is 30"),
    shows(
        "alerts_active",
        -1,
        M_001="active is -1",
        CLI_1="value is -1",
        FIELD_2="value is -1",
        HC_10="active is -1",
        GRAF_4="alerts_active is -1",
    ),
    shows("leader_elected_total", 3, CLI_2="value is 6"),
    shows("leader_elected_total", 0, CLI_2="value is 0", HC_10="elected is 0"),
    shows("notifications_sent_total", -1, CLI_4="value is -1"),
    shows("notifications_failed_total", 1, FIELD_4="value is 2"),
    shows("alerts_evaluations_total", 7, FIELD_5="evaluations is 0", SMOKE_5="evaluations is 0"),
    shows("streams_connected", 150, ESC_8="critical when > 100", INC_31="value is 150", INC_32="value is 150"),
    shows("redis_up", 0, HC_04="value is 0", INC_43="value is 0"),
]

#: In a Redis of nobody: no lock, no keys, no append-only file.
EMPTY = {
    "LEADER-2": "lock_held is false",
    "FIELD-1": "lock_held is false",
    "CLI-6": "aof_enabled is false",
    "HC-50": "aof_enabled is false",
    "INC-45": "keys is 0",
}
FULL = {"HC-24": "critical when >= 500MB"}
SLOW = {"FIELD-6": "warning when > 50ms"}
GONE = {"INC-41": "open is false"}
LOADING = {"INC-42": "ping is false"}
DROPPED = {"UI-3": "expected >= 1"}
UNDELIVERED = {"HC-14": "status is 502"}
UNCONFIGURED = {"HC-14": "status is 409"}
#: After option 1 and option 2 of the emergency rollback, when they did nothing.
STILL_EVALUATING = {"RB-1": "enabled is 1"}
STILL_OPEN = {"RB-2": "opened is 2"}

MADE_TO_FAIL = {
    INVENTORY: {id for wrong in WRONG for id in wrong.found}.union(
        EMPTY, FULL, SLOW, GONE, LOADING, DROPPED, UNDELIVERED, UNCONFIGURED, STILL_EVALUATING, STILL_OPEN
    )
}


class Platform:
    """Two executors and a web front behind what changes their answers, and the checks of the inventory that are about them."""

    def __init__(self, stack: contextlib.ExitStack, spark: Spark, receiver: Receiver) -> None:
        self.spark, self.receiver = spark, receiver
        self.settings = {"MAX_SSE_CONNECTIONS": "20", "NOTIFY_WEBHOOK_URL": receiver.url, "NOTIFY_ALLOWED_HOSTS": receiver.host}
        self.apps = {name: spark.start(name.partition("-")[0], **self.settings) for name in (*EXECUTORS, "web")}
        self.parts = {name: stack.enter_context(Tampered(app.url)) for name, app in self.apps.items()}
        spark.client.config_set("appendonly", "yes")
        self.text = json.dumps(
            rendered(
                INVENTORY,
                *LISTS,
                "remediate_incidents",
                cutover_expected_release="1.0.0",
                cutover_base_url=self.parts["web"].url,
                spark_executors=[{"name": name, "url": self.parts[name].url} for name in EXECUTORS],
                spark_websocket_url=f"{self.apps['web'].url.replace('http', 'ws')}/ws?symbol=BTCUSDT",
                spark_redis_port=spark.redis.port,
                spark_browser=False,
                spark_container_checks=[],
                spark_container_checklist=[],
                spark_stream_rate=10,
                spark_remedy_window="1s",
            )
        )

    def checks(self, text: str = "") -> dict[str, dict[str, Any]]:
        found = json.loads(
            re.sub(r'"hold": "[235]s"', '"hold": "1200ms"', text or self.text).replace('"hold": "10s"', '"hold": "3s"')
        )
        incidents = found["remediate_incidents"].values()
        lists = [one.get(key, []) for one in incidents for key in ("look", "require", "verify")]
        checks = by_id(*(found[name] for name in LISTS), *lists)
        checks["RES-1"]["metrics"].update(over="2s", every="500ms")
        return {id: one for id, one in checks.items() if not {"window", "log", "env_file", "file"} & set(one)}

    def unfound(self, found: Mapping[str, str], text: str = "") -> dict[str, str]:
        return unfound(self.checks(text), found)

    def ill(self, *ids: str, text: str = "") -> dict[str, str]:
        return ill(self.checks(text), ids)


def redis_that_loads(connection: socket.socket, _server: Server) -> None:
    """A stand-in for a Redis with a large data set, which refuses nearly all commands until it has read it."""
    with contextlib.suppress(OSError):
        while asked := connection.recv(65536):
            for command in asked.split(b"*")[1:]:
                allowed = b"CLIENT" in command or b"HELLO" in command or b"SELECT" in command
                connection.sendall(b"+OK\r\n" if allowed else b"-LOADING Redis is loading the dataset in memory\r\n")


def used_memory(client: Any) -> float:
    return float(client.info("memory")["used_memory"])


def far_away(port: int, connection: socket.socket, _server: Server) -> None:
    """Hands on what is asked a while later, and the answers at once."""
    with socket.create_connection(("127.0.0.1", port)) as real, contextlib.suppress(OSError):

        def answers() -> None:
            with contextlib.suppress(OSError):
                while answered := real.recv(65536):
                    connection.sendall(answered)

        threading.Thread(target=answers, daemon=True).start()
        while asked := connection.recv(65536):
            time.sleep(0.06)
            real.sendall(asked)


@pytest.fixture
def platform(spark: Spark, receiver: Receiver) -> Iterator[Platform]:
    with contextlib.ExitStack() as stack:
        yield Platform(stack, spark, receiver)


def test_what_is_wrong_is_found_by_the_check_that_is_about_it(
    platform: Platform, redis_server: Callable[..., RedisServer], free_port: Callable[[], int]
) -> None:
    """One platform for all of it, as starting it takes longer than asking it."""
    asked = platform.checks().keys() - {*STILL_EVALUATING, *STILL_OPEN}
    assert asked <= MADE_TO_FAIL[INVENTORY], "each is made to fail below"
    wait_until(lambda: platform.ill("LEADER-1", "LEADER-2") == {}, what="a leader")
    assert platform.ill(*asked) == {}

    missed = []
    for wrong in WRONG:
        with contextlib.ExitStack() as stack:
            for part in wrong.parts:
                stack.enter_context(platform.parts[part].wrong(wrong.fault))
            missed += [f"{wrong.fault.where}: {id} {why}" for id, why in platform.unfound(wrong.found).items()]
    assert not missed, "\n".join(missed)

    # Redis: another, none, slow, and full of one large argument that a client has only announced.
    port = str(platform.spark.redis.port)
    other, nobody = (platform.text.replace(port, str(one)) for one in (redis_server().port, free_port()))
    assert platform.unfound(EMPTY, other) == {}
    assert platform.unfound(GONE, nobody) == {}
    with serve(redis_that_loads) as loading:
        assert platform.unfound(LOADING, platform.text.replace(port, str(loading.port))) == {}
    with serve(functools.partial(far_away, platform.spark.redis.port)) as slow:
        assert platform.unfound(SLOW, platform.text.replace(port, str(slow.port))) == {}
    with socket.create_connection(("127.0.0.1", platform.spark.redis.port)) as large:
        large.sendall(b"*2\r\n$4\r\nECHO\r\n$512000000\r\n")
        wait_until(lambda: used_memory(platform.spark.client) > 500e6, what="the memory of Redis")
        assert platform.unfound(FULL) == {}

    # What needs a release, or a setting, of its own.
    dropping = platform.spark.start("web", "1.1.0-ws-dropped", **platform.settings).url.replace("http", "ws")
    assert platform.unfound(DROPPED, platform.text.replace(platform.apps["web"].url.replace("http", "ws"), dropping)) == {}
    for found, release, settings in (
        (UNDELIVERED, "1.1.0-notify-fails", platform.settings),
        (UNCONFIGURED, "1.0.0", {}),
    ):
        another = platform.spark.start("web", release, **settings)
        assert platform.unfound(found, platform.text.replace(platform.parts["web"].url, another.url)) == {}

    # The ways back of the runbook that leave the release: what verifies them fails before, and passes after.
    assert platform.unfound({**STILL_EVALUATING, **STILL_OPEN}) == {}
    for name in EXECUTORS:
        platform.apps[name].reload(SCHEDULER_ENABLED="false")
    platform.apps["web"].reload(MAX_SSE_CONNECTIONS="1")
    wait_until(lambda: platform.ill(*STILL_EVALUATING, *STILL_OPEN) == {}, what="the ways back")

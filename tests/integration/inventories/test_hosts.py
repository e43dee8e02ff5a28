# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of an inventory that asks what stands in logs or in an environment file, or what an engine says of containers: it
passes, and it fails when there stands what should not."""

from __future__ import annotations

import contextlib
import copy
import datetime
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes import _docker
from tests.integration.inventories.asking import Checks, ill, unfound
from tests.inventories import by_id, rendered

MINUTE, HOUR = 60.0, 3600.0
Lines = Iterable[tuple[float, str]]
"""Seconds ago, and what was written then."""


def every(step: float, since: float, until: float, text: str) -> list[tuple[float, str]]:
    return [(since - step * number, text) for number in range(int((since - until) / step) + 1)]


class Logs:
    """Logs of one moment, and the checks of an inventory that ask them."""

    def __init__(self, inventory: str, form: str = "%Y-%m-%dT%H:%M:%S", **variables: Any) -> None:
        self.now, self.form = time.time(), form
        live = datetime.datetime.fromtimestamp(self.now - HOUR, tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        watch = {"hypercare_result": {"watch": {"start": live}}}
        found = rendered(inventory, "cutover_checks", "hypercare_checklist", spark_browser=False, **watch, **variables)
        self.checks: Checks = {
            id: one for id, one in by_id(found["cutover_checks"], found["hypercare_checklist"]).items() if "log" in one
        }

    def write(self, log: Path, lines: Lines) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        ordered = sorted(lines, reverse=True)
        stamps = [time.strftime(self.form, time.localtime(self.now - ago)) for ago, _text in ordered]
        log.write_text("".join(f"{at} {text}\n" for at, (_ago, text) in zip(stamps, ordered, strict=True)), encoding="utf-8")


# -- spark_ta ----------------------------------------------------------------------------------------------------------

START = (9 * HOUR, "INFO spark.executor listening")
#: A leader that was elected before the GO, beats, and has evaluated a moment ago.
ELECTED = (2 * HOUR, "INFO spark.executor became leader owner=executor-1")
BEATS = every(30, 2 * HOUR + 5, 5, "INFO spark.executor heartbeat lock=x")
POLLS = every(30, 2 * HOUR + 5, 5, "INFO spark.executor pollOnce alerts=1")
ERROR, FATAL = "ERROR spark.executor pollOnce failed: x", "CRITICAL spark.executor x"
#: Errors that are no spike: three of them in each 5 minutes, 240 in 8 hours.
STEADY = every(2 * MINUTE, 8 * HOUR, 2 * MINUTE, ERROR)
LEADING = [START, ELECTED, *BEATS, *POLLS]
SPARK_TA: dict[str, tuple[Lines, Mapping[str, str]]] = {
    "no heartbeat for a minute": (
        [START, ELECTED, *every(30, 2 * HOUR, 60, "INFO spark.executor heartbeat lock=x"), *POLLS],
        {"LOG-1": "count.beat is 0", "HC-35": "critical when > 45s"},
    ),
    "elected again and again": (
        [*LEADING, *every(10 * MINUTE, 55 * MINUTE, 5 * MINUTE, ELECTED[1])],
        {"HC-35": "count.elected is 6, critical when > 4"},
    ),
    "nothing is evaluated": ([START, ELECTED, *BEATS], {"HC-25": "count.evaluated is 0"}),
    "evaluated after the stop": ([*LEADING, (1, POLLS[0][1])], {"RB-3": "count.poll is 1"}),
    "errors since the go-live": ([*LEADING, *every(5 * MINUTE, 40 * MINUTE, 5 * MINUTE, ERROR)], {"HC-06": "critical when > 5"}),
    "a spike in the night": (
        [*LEADING, *every(10, 5 * HOUR, 5 * HOUR - 4 * MINUTE, ERROR)],
        {"HC-43": "peak.error is 25, critical when > 20"},
    ),
    "one that ended the process": (
        [*LEADING, (30 * MINUTE, FATAL)],
        {"HC-06": "count.fatal is 1", "HC-43": "count.fatal is 1"},
    ),
}


@pytest.fixture
def spark_ta(tmp_path: Path) -> Logs:
    logs = [str(tmp_path / f"executor-{number}.log") for number in (1, 2)]
    local = {"zone": "local"}
    found = Logs(
        "spark_ta",
        spark_container_checks=[],
        spark_container_checklist=[],
        spark_executor_log={**local, "file": logs, "since": "10s"},
        spark_release_logs={**local, "file": [*logs, str(tmp_path / "web.log")]},
    )
    for name in ("executor-2.log", "web.log"):
        found.write(tmp_path / name, [START, (5, "INFO spark listening")])
    return found


def test_the_logs_of_a_good_release_of_spark_ta(spark_ta: Logs, tmp_path: Path) -> None:
    assert spark_ta.checks.keys() == {id for _lines, found in SPARK_TA.values() for id in found}, "each is made to fail below"
    spark_ta.write(tmp_path / "executor-1.log", LEADING)
    assert ill(spark_ta.checks, spark_ta.checks, spark_ta.now) == {}
    spark_ta.write(tmp_path / "executor-1.log", [*LEADING, *STEADY])
    assert ill(spark_ta.checks, ["HC-43"], spark_ta.now) == {}


@pytest.mark.parametrize("wrong", SPARK_TA)
def test_what_stands_in_the_logs_of_spark_ta_is_found(wrong: str, spark_ta: Logs, tmp_path: Path) -> None:
    lines, found = SPARK_TA[wrong]
    spark_ta.write(tmp_path / "executor-1.log", lines)
    assert unfound(spark_ta.checks, found, spark_ta.now) == {}


# -- websocket_migration -----------------------------------------------------------------------------------------------

OF_SERVICES = {"OBS-6": "critical when > 5", "RB-4": "count.error is 6", "HC-5": "critical when > 20"}
OF_NGINX = {"OBS-7": "critical when > 5", "HC-6": "critical when > 20"}


@pytest.mark.parametrize(
    ("form", "bad", "found"), [("%Y-%m-%dT%H:%M:%S", "ERROR", OF_SERVICES), ("%Y/%m/%d %H:%M:%S", "[error]", OF_NGINX)]
)
def test_what_stands_in_the_logs_of_the_websocket_migration_is_found(
    form: str, bad: str, found: Mapping[str, str], tmp_path: Path
) -> None:
    services, nginx = [str(tmp_path / f"{name}.log") for name in ("web", "executor")], str(tmp_path / "error.log")
    logs = Logs("websocket_migration", form, spark_web_logs=services, spark_nginx_error_log=nginx)
    assert logs.checks.keys() == {*OF_SERVICES, *OF_NGINX}, "each is made to fail here"
    older = [(HOUR, "[notice] INFO started"), (1, "[notice] INFO well")]
    for name in (*services, nginx):
        logs.write(Path(name), older)
    assert ill(logs.checks, found, logs.now) == {}
    logs.write(Path(nginx if found is OF_NGINX else services[0]), [*older, *every(10, 4 * MINUTE, 10, bad), *[(2, bad)] * 6])
    assert unfound(logs.checks, found, logs.now) == {}


# -- environment file --------------------------------------------------------------------------------------------------

STOPPED = {"INC-12": "count.stopped is 1"}
NO_TOKEN = {"INC-22": "missing_keys is 1"}


def test_an_environment_file_that_explains_an_incident(tmp_path: Path) -> None:
    settings = tmp_path / ".env"
    incidents = rendered("spark_ta", "remediate_incidents", spark_env_file=str(settings))["remediate_incidents"].values()
    checks = by_id(*(one.get("require", []) for one in incidents))
    assert checks.keys() == {*STOPPED, *NO_TOKEN}
    good = "SCHEDULER_ENABLED=true\nTELEGRAM_BOT_TOKEN=110201543:AAHd\nTELEGRAM_CHAT_ID=-1001\n"
    settings.write_text(good, encoding="utf-8")
    assert ill(checks, checks) == {}
    settings.write_text(good.replace("true", "false").replace("TELEGRAM_CHAT_ID=-1001\n", ""), encoding="utf-8")
    assert unfound(checks, {**STOPPED, **NO_TOKEN}) == {}


# -- containers --------------------------------------------------------------------------------------------------------

CONTAINERS = ("executor-1", "executor-2", "web-next-1", "spark-redis")
MB = 1_000_000
#: Of one container: what the engine says, what it uses, and what finds it.
ILL: list[tuple[str, dict[str, Any], float, int, Mapping[str, str]]] = [
    ("executor-2", {"State": {"Health": {"Status": "unhealthy"}}}, 0.01, 50, {"DOCKER-1": "healthy is 3", "HC-07": "healthy is 3"}),
    ("spark-redis", {"State": {"OOMKilled": True}}, 0.01, 50, {"DOCKER-1": "oom_killed is true", "HC-07": "oom_killed is true"}),
    ("web-next-1", {"RestartCount": 1}, 0.01, 50, {"HC-07": "restarts is 1", "DOCKER-1": "warning when > 0"}),
    ("executor-1", {}, 0.01, 600, {"DOCKER-2": "critical when >= 500MB"}),
    ("executor-1", {}, 0.9, 50, {"DOCKER-2": "warning when >= 20%"}),
    ("web-next-1", {}, 0.01, 1200, {"DOCKER-3": "critical when >= 1GB"}),
    ("spark-redis", {}, 0.01, 150, {"DOCKER-4": "warning when >= 100MB"}),
]


class EngineStandIn:
    """Four containers that run, of which one may be ill. A real one that uses so much memory would use it."""

    def __init__(self, name: str = "", says: Mapping[str, Any] | None = None, cpu: float = 0.01, memory: int = 50) -> None:
        self.name, self.says, self.cpu, self.memory = name, says or {}, cpu, memory

    def inspect_container(self, name: str) -> dict[str, Any]:
        state = {"Status": "running", "Running": True, "Health": {"Status": "healthy"}, "StartedAt": "2025-11-21T03:00:00Z"}
        raw = {
            "Id": name,
            "Name": f"/{name}",
            "State": state,
            "Config": {"Image": "spark:1"},
            "Image": "sha256:1",
            "RestartCount": 0,
        }
        if name == self.name:
            raw = {**raw, **self.says, "State": {**state, **self.says.get("State", {})}}
        return copy.deepcopy(raw)

    def inspect_image(self, _image: str) -> dict[str, Any]:
        return {"RepoDigests": []}

    def stats(self, name: str, **_asked: Any) -> dict[str, Any]:
        cpu, memory = (self.cpu, self.memory) if name == self.name else (0.01, 50)
        now = time.time()
        read = datetime.datetime.fromtimestamp(now, tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"read": read, "cpu_stats": {"cpu_usage": {"total_usage": cpu * now * 1e9}}, "memory_stats": {"usage": memory * MB}}


@pytest.mark.parametrize(("name", "says", "cpu", "memory", "found"), ILL)
def test_a_container_that_is_ill(
    name: str, says: dict[str, Any], cpu: float, memory: int, found: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = rendered("spark_ta", "spark_container_checks", "spark_container_checklist")
    checks = by_id(known["spark_container_checks"], known["spark_container_checklist"])
    assert checks.keys() == {id for *_one, ids in ILL for id in ids}, "each is made to fail here"
    for one in checks.values():
        if "over" in one["container"]:
            one["container"]["over"] = "100ms"

    def engine(stand_in: EngineStandIn) -> None:
        monkeypatch.setattr(_docker, "engine", lambda *_given: contextlib.nullcontext(stand_in))

    engine(EngineStandIn())
    assert ill(checks, checks) == {}
    engine(EngineStandIn(name, says, cpu, memory))
    assert unfound(checks, found) == {}


MADE_TO_FAIL = {
    "spark_ta": {id for _lines, found in SPARK_TA.values() for id in found}.union(
        STOPPED, NO_TOKEN, (id for *_one, found in ILL for id in found)
    ),
    "websocket_migration": {*OF_SERVICES, *OF_NGINX},
}

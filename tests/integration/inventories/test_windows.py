# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of an inventory that asks the samples of the sampler: what a good release leaves in the store passes, and one
series that goes wrong is found by the checks that are about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key
from tests.integration.hypercare.test_48_hours import Course
from tests.unit.inventories.simulated import Simulated

MINUTE, HOUR, MB = 60.0, 3600.0, 1e6
Pages = dict[str, dict[Key, float]]


@dataclasses.dataclass(frozen=True)
class Wrong:
    """What one series of a page does instead, by the seconds since the GO, and what is found: ids, and words of their reasons."""

    page: str
    series: Key
    does: Callable[[float], float]
    found: Mapping[str, str]


def one(name: str, **labels: str) -> Key:
    return name, tuple(labels.items())


def rising(each_minute: float) -> Callable[[float], float]:
    return lambda passed: each_minute * passed / MINUTE


def always(value: float) -> Callable[[float], float]:
    return lambda _passed: value


def passed_check(id: str) -> Key:
    return one("golive_check_passed", check=id)


def spark_ta(passed: float) -> Pages:
    """More happens than in the 48 hours of `Course`, so that no window has too few to say."""
    pages = Course().pages(passed)
    pages["executor-1"].update(
        {
            one("notifications_sent_total"): 1000 + 5 * passed / MINUTE,
            one("alerts_triggered_total"): 1000 + 5 * passed / MINUTE,
            one("alerts_suppressed_total", reason="cooldown"): 1000 + passed / MINUTE,
        }
    )
    pages["web-next"][one("http_requests_total", status="2xx")] = 5 * passed
    return pages


def websocket_migration(passed: float) -> Pages:
    looks = {passed_check(f"AV-{one}"): 1.0 for one in ("WEB", "EXECUTOR", "WS", "UI", "CANARY")}
    return {
        "spark-web": {
            one("websockets_reconnects_total"): 0.0,
            one("http_requests_total", status="2xx"): passed,
            one("http_requests_total", status="5xx"): 0.0,
            one("websockets_closed_total", by="server"): 0.0,
            one("websockets_closed_total", by="loss"): 0.0,
        },
        "golive_checks": {**looks, one("golive_check_measure", check="AV-WS", measure="round_trip"): 0.02},
    }


FAILED = one("notifications_failed_total")


def now_and_then(passed: float) -> float:
    """One minute in forty it does not pass."""
    return float(int(passed / MINUTE) % 40 != 7)


SPARK_TA = [
    Wrong("golive_checks", passed_check("AV-SSE"), now_and_then, {"SLO-1": "expected >= 99.5%"}),
    Wrong("executor-1", one("alerts_evaluation_seconds_bucket", le="2.0"), lambda p: 600 + 1.8 * p, {"SLO-2": "expected >= 95%"}),
    Wrong(
        "executor-1",
        FAILED,
        rising(1.0),
        {"SLO-3": "expected <= 2%", "ESC-6": "critical when > 10%", "HC-40": "critical when > 10%"},
    ),
    Wrong("web-next", one("http_requests_total", status="5xx"), rising(30), {"SLO-4": "burning is true"}),
    Wrong("executor-1", one("streams_errors_total"), rising(5), {"ESC-1": "critical when > 20"}),
    Wrong("executor-1", one("alerts_errors_total"), rising(5), {"ESC-2": "critical when > 20", "HC-21": "critical when > 20"}),
    Wrong("executor-1", one("leader_elected_total"), rising(0.1), {"ESC-3": "critical when >= 5", "HC-31": "critical when > 4"}),
    Wrong(
        "executor-1",
        one("process_resident_memory_bytes"),
        lambda p: 70 * MB + 4 * MB * p / MINUTE,
        {"HC-30": "critical when > 2500", "HC-23": "executor is"},
    ),
    # Half as much again in ten minutes, at the end.
    Wrong(
        "executor-1",
        one("process_resident_memory_bytes"),
        lambda p: 70 * MB * (1.6 ** max(0.0, (p - 8.3 * HOUR) / (10 * MINUTE))),
        {"ESC-4": "critical when > 50%"},
    ),
    Wrong("web-next", one("process_resident_memory_bytes"), always(1200 * MB), {"HC-23": "web is"}),
    Wrong("executor-2", one("leader"), always(1.0), {"ESC-5": "value is 2, expected <= 1.2"}),
    Wrong("executor-1", one("leader"), always(0.0), {"ESC-5": "value is 0, expected >= 0.8"}),
    Wrong(
        "executor-1",
        one("alerts_suppressed_total", reason="cooldown"),
        rising(50),
        {"ESC-7": "critical when > 80%", "HC-42": "critical when > 80%"},
    ),
    Wrong("executor-1", one("alerts_suppressed_total", reason="cooldown"), always(0.0), {"HC-32": "expected > 0%"}),
    Wrong(
        "executor-1",
        one("process_cpu_seconds_total"),
        lambda p: 0.95 * p,
        {"ESC-9": "critical when >= 0.8/s", "HC-22": "executor is"},
    ),
    Wrong("web-next", one("process_cpu_seconds_total"), lambda p: 0.95 * p, {"ESC-9": "critical when >= 0.8/s", "HC-22": "web is"}),
    Wrong("executor-1", one("alerts_evaluations_total"), always(50.0), {"HC-20": "expected >= 1"}),
    Wrong("web-next", one("streams_opened_total"), rising(300), {"HC-26": "critical when > 200/min"}),
    Wrong("executor-1", one("streams_connected"), always(120.0), {"HC-51": "critical when > 100"}),
    Wrong("executor-1", one("notifications_sent_total"), rising(10), {"HC-53": "critical when > 110%"}),
]

WEBSOCKET_MIGRATION = [
    Wrong("golive_checks", passed_check("AV-WEB"), now_and_then, {"HO-1": "expected >= 99.5%"}),
    Wrong("golive_checks", passed_check("AV-EXECUTOR"), now_and_then, {"HO-2": "expected >= 99.5%"}),
    Wrong("golive_checks", passed_check("AV-CANARY"), lambda p: float(p % 600 > 120), {"HO-3": "expected >= 95%"}),
    Wrong("spark-web", one("websockets_closed_total", by="server"), rising(5), {"HO-4": "critical when > 20"}),
    Wrong("spark-web", one("websockets_closed_total", by="loss"), rising(5), {"HO-4": "critical when > 20"}),
    Wrong(
        "spark-web",
        one("websockets_reconnects_total"),
        rising(12),
        {"HO-5": "critical when > 10/min", "HC-3": "tau is"},
    ),
    Wrong(
        "golive_checks",
        one("golive_check_measure", check="AV-WS", measure="round_trip"),
        always(1.2),
        {"HO-6": "critical when > 1s"},
    ),
    Wrong("golive_checks", passed_check("AV-WS"), always(0.0), {"HO-7": "open is 0, expected == 1"}),
    Wrong("spark-web", one("http_requests_total", status="5xx"), rising(5), {"HO-8": "critical when > 20"}),
    Wrong("golive_checks", passed_check("AV-UI"), always(0.0), {"HO-9": "answered is 0, expected == 1"}),
]

WRONG = {"spark_ta": SPARK_TA, "websocket_migration": WEBSOCKET_MIGRATION}
GOOD = {"spark_ta": spark_ta, "websocket_migration": websocket_migration}
LASTS = {"spark_ta": 8.5 * HOUR, "websocket_migration": 2.2 * HOUR}
EVERY = {"spark_ta": MINUTE, "websocket_migration": 30.0}
#: The follower is not idle: there is no level above that of a warning.
IDLE = {"HC-41": "warning when >= 0.1/s"}

MADE_TO_FAIL = {inventory: {id for wrong in rows for id in wrong.found} for inventory, rows in WRONG.items()}
MADE_TO_FAIL["spark_ta"] |= set(IDLE)


def simulated(inventory: str, directory: Path, **wrong: Wrong) -> Simulated:
    def pages(passed: float) -> Pages:
        shown = GOOD[inventory](passed)
        for one in wrong.values():
            shown[one.page][one.series] = one.does(passed)
        return shown

    return Simulated(inventory, directory, pages, LASTS[inventory], EVERY[inventory])


@pytest.mark.parametrize("inventory", WRONG)
def test_a_good_release_passes_every_window(inventory: str, tmp_path: Path) -> None:
    good = simulated(inventory, tmp_path)
    asked = [id for id, check in good.checks.items() if "window" in check]
    assert set(asked) == MADE_TO_FAIL[inventory], "each is made to fail below"
    verdicts = good.verdicts(*asked)
    assert {id: one["reason"] for id, one in verdicts.items() if one["status"] != "pass"} == {}


@pytest.mark.parametrize(
    ("inventory", "wrong"),
    [(inventory, wrong) for inventory, rows in WRONG.items() for wrong in rows],
    ids=lambda one: one if isinstance(one, str) else f"{one.page}-{one.series[0]}",
)
def test_what_goes_wrong_is_found_by_the_checks_that_are_about_it(inventory: str, wrong: Wrong, tmp_path: Path) -> None:
    bad = simulated(inventory, tmp_path, wrong=wrong)
    asked = [id for id, check in bad.checks.items() if "window" in check]
    verdicts = bad.verdicts(*asked)
    for id, words in wrong.found.items():
        expected = "warn" if words.startswith("warning") else "fail"
        assert (verdicts[id]["status"], words in verdicts[id]["reason"]) == (expected, True), verdicts[id]["reason"]
    # Nothing else is blamed, and what could not be measured is not told as a failure.
    others = {id: one["reason"] for id, one in verdicts.items() if id not in wrong.found and one["status"] == "fail"}
    assert others == {}


def test_a_follower_that_is_not_idle(tmp_path: Path) -> None:
    """Leader and follower both: it is asked of the one that uses less."""
    busy = {
        f"of_{number}": Wrong(f"executor-{number}", one("process_cpu_seconds_total"), lambda p: 0.15 * p, IDLE) for number in (1, 2)
    }
    verdict: dict[str, Any] = simulated("spark_ta", tmp_path, **busy).verdicts("HC-41")["HC-41"]
    assert (verdict["status"], IDLE["HC-41"] in verdict["reason"]) == ("warn", True), verdict["reason"]

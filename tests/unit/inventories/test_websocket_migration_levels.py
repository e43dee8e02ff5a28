# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollback triggers of websocket_migration in the first hour: each leads to its level, and what is critical to its way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import escalation
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.escalation import Action
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import canaries
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key
from tests.inventories import by_id, rendered
from tests.unit.inventories.simulated import LISTS, Simulated

LASTS = 20 * 60.0
STOPS = {
    "HO-6": "reduce_load",
    "HO-5": "reduce_load",
    "HO-7": "reduce_load",
    "HO-9": "previous_release",
    "HO-8": "previous_release",
    "HO-3": "previous_release",
}


class Course:
    """``failing``: for each check of the sampler the looks, of forty, at which it does not pass."""

    def __init__(self, latency: float = 0.02, reconnects: float = 0.0, errors: float = 0.0, **failing: range) -> None:
        self.latency, self.reconnects, self.errors, self.failing = latency, reconnects, errors, failing

    def __call__(self, passed: float) -> dict[str, dict[Key, float]]:
        number = round(passed / 30)
        late = passed > 0.75 * LASTS
        looks: dict[Key, float] = {
            ("golive_check_passed", (("check", f"AV-{one}"),)): float(number not in self.failing.get(one, ()))
            for one in ("WEB", "EXECUTOR", "WS", "UI", "CANARY")
        }
        if number not in self.failing.get("WS", ()):
            # A WebSocket is slow now and then; it is consistently slow when the quickest answer is.
            looks["golive_check_measure", (("check", "AV-WS"), ("measure", "round_trip"))] = self.latency + 2 * (number % 3 == 0)
        web: dict[Key, float] = {
            ("websockets_reconnects_total", ()): self.reconnects * passed / 60,
            ("http_requests_total", (("status", "2xx"),)): passed,
            ("http_requests_total", (("status", "5xx"),)): self.errors if late else 0.0,
            ("websockets_closed_total", (("by", "server"),)): 0.0,
            ("websockets_closed_total", (("by", "loss"),)): 0.0,
        }
        return {"spark-web": web, "golive_checks": looks}


def test_the_table_is_one_that_the_watch_takes() -> None:
    found = rendered("websocket_migration", "hypercare_escalations", "rollback_strategies", "hypercare_secrets", *LISTS)
    checks = by_id(*(found[one] for one in LISTS))
    table = escalation.read_escalations(found["hypercare_escalations"], checks)
    assert {one.check: one.critical for one in table} == {id: Action("stop", way) for id, way in STOPS.items()}
    assert {one.warning for one in table} == {Action("inform")} and all(one.advice for one in table)
    assert {one.critical.strategy for one in table} <= set(found["rollback_strategies"]), (
        "a stop is verified by what its strategy says"
    )
    # Two levels each: thresholds stand in the checks, once.
    assert all("warn" in checks[one.check] and {"expect", "critical"} & set(checks[one.check]) for one in table)


@pytest.mark.parametrize(
    ("id", "course", "level"),
    [
        ("HO-6", Course(latency=0.9), "warning"),
        ("HO-6", Course(latency=1.2), "critical"),
        ("HO-5", Course(reconnects=5), "warning"),
        ("HO-5", Course(reconnects=12), "critical"),
        ("HO-7", Course(WS=range(38, 39)), "warning"),
        ("HO-7", Course(WS=range(30, 41)), "critical"),
        ("HO-9", Course(UI=range(38, 39)), "warning"),
        ("HO-9", Course(UI=range(30, 41)), "critical"),
        ("HO-8", Course(errors=5), "warning"),
        ("HO-8", Course(errors=25), "critical"),
        ("HO-3", Course(CANARY=range(30, 31)), "warning"),
        ("HO-3", Course(CANARY=range(30, 33)), "critical"),
    ],
)
def test_a_trigger_leads_to_its_level_and_to_its_way_back(id: str, course: Course, level: str, tmp_path: Path) -> None:
    watched = Simulated("websocket_migration", tmp_path, course, LASTS)
    found = watched.levels(*STOPS)
    # A WebSocket that does not open has no latency, and nobody says that it is a good one.
    others = {one: "unmeasured" if (id, one) == ("HO-7", "HO-6") else "ok" for one in STOPS}
    assert found == {**others, id: level}
    looks: list[Any] = [
        escalation.Seen(one, one, found[one] if found[one] in escalation.LEVELS else None, "because") for one in STOPS
    ]
    due = escalation.stop_due(watched.table, looks, {}, {})
    assert due is None if level == "warning" else due is not None and (due["condition"], due["strategy"]) == (id, STOPS[id])


def test_nothing_happens_to_a_release_that_is_well(tmp_path: Path) -> None:
    assert set(Simulated("websocket_migration", tmp_path, Course(), LASTS).levels(*STOPS).values()) == {"ok"}


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        (["pass"], "warn"),  # one of one is no rate
        (["pass"] * 6, "warn"),
        (["pass"] * 7, "pass"),
        (["fail"] + ["pass"] * 7, "pass"),  # the last seven
        (["pass"] * 6 + ["fail"], "fail"),
        (["fail"], "fail"),
    ],
)
def test_a_rate_of_the_last_seven_canaries_wants_seven(runs: list[str], status: str, tmp_path: Path) -> None:
    check = by_id(rendered("websocket_migration", "cutover_checks")["cutover_checks"])["CN-2"]
    check["canary"]["store"] = address = f"sqlite://{tmp_path}/golive.db"
    with open_store(address, "websocket_migration") as store:
        for number, one in enumerate(runs):
            canaries.add(store, "canary", f"run-{number}", "1.0.0", {"status": one, "reason": "because", "duration": 0.1})
    (verdict,) = run_checks(read_checks([check], PROBES), PROBES)
    assert verdict["status"] == status, verdict
    assert status != "warn" or f"runs is {len(runs)}" in verdict["reason"]

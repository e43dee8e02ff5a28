# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The escalation thresholds of spark_ta that the first hour is held against, each driven from well to warning to critical."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key
from tests.unit.inventories.simulated import Simulated

MINUTE = 60.0


class Rates:
    """What happens in a minute: notifications and how many of them fail, triggers and how many the cooldown suppresses besides;
    and how much of a core the leader and the web front use."""

    def __init__(
        self,
        notified: float = 10.0,
        failing: float = 0.0,
        triggered: float = 10.0,
        suppressed: float = 0.0,
        executor: float = 0.05,
        web: float = 0.05,
    ) -> None:
        self.notified, self.failing = notified, failing
        self.triggered, self.suppressed = triggered, suppressed
        self.executor, self.web = executor, web

    def __call__(self, passed: float) -> dict[str, dict[Key, float]]:
        minutes = passed / MINUTE
        cooldown: Key = ("alerts_suppressed_total", (("reason", "cooldown"),))
        follower: dict[Key, float] = {
            ("notifications_sent_total", ()): 0.0,
            ("notifications_failed_total", ()): 0.0,
            ("alerts_triggered_total", ()): 0.0,
            cooldown: 0.0,
            ("process_cpu_seconds_total", ()): passed * 0.01,
        }
        leader: dict[Key, float] = {
            ("notifications_sent_total", ()): 1000 + self.notified * (1 - self.failing) * minutes,
            ("notifications_failed_total", ()): self.notified * self.failing * minutes,
            ("alerts_triggered_total", ()): 1000 + self.triggered * minutes,
            cooldown: self.suppressed * minutes,
            ("process_cpu_seconds_total", ()): passed * self.executor,
        }
        web: dict[Key, float] = {("process_cpu_seconds_total", ()): passed * self.web}
        return {"executor-1": leader, "executor-2": follower, "web-next": web}


@pytest.mark.parametrize(
    ("id", "rates", "level"),
    [
        # 2 % and 10 % of the notifications of 15 minutes
        ("ESC-6", Rates(failing=0.01), "ok"),
        ("ESC-6", Rates(failing=0.05), "warning"),
        ("ESC-6", Rates(failing=0.15), "critical"),
        ("ESC-6", Rates(notified=1, failing=1.0), "not yet"),  # 15 in 15 minutes are too few to say
        # 50 % and 80 % of what would have triggered
        ("ESC-7", Rates(suppressed=5), "ok"),
        ("ESC-7", Rates(suppressed=20), "warning"),
        ("ESC-7", Rates(suppressed=90), "critical"),
        ("ESC-7", Rates(triggered=0.1, suppressed=0.9), "not yet"),
        # 20 % of a core, and what a core can hardly give more of; whichever process it is
        ("ESC-9", Rates(executor=0.15), "ok"),
        ("ESC-9", Rates(executor=0.4), "warning"),
        ("ESC-9", Rates(web=0.4), "warning"),
        ("ESC-9", Rates(executor=0.95), "critical"),
    ],
)
def test_a_condition_of_the_first_hour_has_its_level(id: str, rates: Rates, level: str, tmp_path: Path) -> None:
    assert Simulated("spark_ta", tmp_path, rates, 20 * MINUTE).levels(id) == {id: level}


@pytest.mark.parametrize(("suppressed", "status"), [(5, "pass"), (20, "warn"), (90, "fail")])
def test_the_cooldown_of_the_first_night(suppressed: float, status: str, tmp_path: Path) -> None:
    """HC-42 of T+12h looks back eight hours. It is nice to have: what it finds is said, and does not block."""
    night = Simulated("spark_ta", tmp_path, Rates(suppressed=suppressed), 8.5 * 60 * MINUTE, every=2 * MINUTE)
    verdict = night.verdicts("HC-42")["HC-42"]
    assert (verdict["status"], verdict["required"]) == (status, False), verdict


@pytest.mark.parametrize(
    ("triggered", "suppressed", "status"),
    [(0.1, 0.3, "pass"), (0.5, 0.0, "fail"), (0.05, 0.0, "inconclusive")],  # 0.05 a minute are 7 in 150 minutes: too few to say
)
def test_a_cooldown_that_suppresses_nothing(triggered: float, suppressed: float, status: str, tmp_path: Path) -> None:
    rates = Rates(triggered=triggered, suppressed=suppressed)
    verdict = Simulated("spark_ta", tmp_path, rates, 160 * MINUTE, every=2 * MINUTE).verdicts("HC-32")["HC-32"]
    assert (verdict["status"], verdict["required"]) == (status, False), verdict


@pytest.mark.parametrize(("opened", "status"), [(5, "pass"), (80, "warn"), (300, "fail")])
def test_streams_that_are_opened_again_and_again(opened: float, status: str, tmp_path: Path) -> None:
    """Each minute so many are opened; how many are open at a time does not show it."""

    def pages(passed: float) -> dict[str, dict[Key, float]]:
        return {"web-next": {("streams_opened_total", ()): opened * passed / MINUTE, ("streams_connected", ()): 4.0}}

    verdict = Simulated("spark_ta", tmp_path, pages, 40 * MINUTE).verdicts("HC-26")["HC-26"]
    assert (verdict["status"], verdict["required"]) == (status, True), verdict


def test_what_has_happened_before_the_hour_is_not_held_against_it(tmp_path: Path) -> None:
    """Notifications that failed for ten minutes after the GO, and none since."""

    def recovered(passed: float) -> dict[str, dict[Key, float]]:
        bad, good = Rates(failing=0.5)(min(passed, 10 * MINUTE)), Rates()(max(passed - 10 * MINUTE, 0))
        return {page: {key: value + good[page][key] for key, value in values.items()} for page, values in bad.items()}

    soon, later = tmp_path / "soon", tmp_path / "later"
    for one in (soon, later):
        one.mkdir()
    assert Simulated("spark_ta", soon, recovered, 16 * MINUTE).levels("ESC-6") == {"ESC-6": "critical"}
    assert Simulated("spark_ta", later, recovered, 30 * MINUTE).levels("ESC-6") == {"ESC-6": "ok"}

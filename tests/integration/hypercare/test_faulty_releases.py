# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of the reference application that are well when they go live, and are found by the watch.

Their metrics pages are real; the half minute between two looks at them is not waited for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock, run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Look
from tests.conftest import wait_until
from tests.integration.demo.conftest import Receiver, Spark, receiver, spark
from tests.integration.hypercare.test_checklist import rendered

__all__ = ["receiver", "spark"]
START = 1763694000.0
EVERY = 30.0
TOLD = ("notifications_sent_total", "notifications_failed_total")

Watch = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory, collection_path: Path) -> str:
    """Pages and objectives of the inventory as JSON, with names in it for what each test has of its own."""
    executors = [{"name": f"executor-{number}", "url": f"http://executor-{number}.test"} for number in (1, 2)]
    found = rendered(
        tmp_path_factory.mktemp("inventory"),
        collection_path,
        cutover_store="sqlite:///@STORE@",
        cutover_environment="spark_ta",
        cutover_expected_release="1.0.0",
        cutover_base_url="http://web.test",
        spark_executors=executors,
    )
    return json.dumps(found)


@pytest.fixture
def watch(spark: Spark, receiver: Receiver, tmp_path: Path, inventory: str) -> Watch:
    """``watch(release, minutes, *ids)``: run a release whose one alert triggers all the time, look at its pages as often as the
    sampler does in so many minutes, and ask those objectives."""

    def watched(release: str, minutes: float, *ids: str, **variables: str) -> dict[str, dict[str, Any]]:
        settings = {"NOTIFY_WEBHOOK_URL": receiver.url, "NOTIFY_ALLOWED_HOSTS": receiver.host, **variables}
        executors = [spark.start("executor", release, **settings) for _number in range(2)]
        web = spark.start("web", release, **settings)
        alert = {"symbol": "BTCUSDT", "condition": "price_above", "threshold": 1, "cooldown_sec": 0}
        assert web.post("/api/alerts", json=alert).status_code == 201
        text = inventory.replace("/@STORE@", f"{tmp_path}/golive.db").replace("http://web.test", web.url)
        for number, one in enumerate(executors, 1):
            text = text.replace(f"http://executor-{number}.test", one.url)
        found = json.loads(text)
        asked = sampler.read_asked(found["hypercare_pages"], [], PROBES)
        now = START
        looks: list[Look] = []
        while now <= (end := START + minutes * 60):
            if now + EVERY > end and "SLO-3" in ids:
                wait_until(lambda: sum(one.metric(name) for one in executors for name in TOLD) >= 60, what="60 notifications")
            seen = sampler.look(asked, PROBES)
            assert seen.failed == {}
            looks += [Look(one.page, now, one.values) for one in seen.looks]
            now += EVERY
        now -= EVERY
        with open_store(f"sqlite://{tmp_path}/golive.db", "spark_ta") as opened:
            opened._clock = lambda: now  # type: ignore[attr-defined]
            samples.write(opened, looks)
        checks = [one for one in found["hypercare_objectives"] + found["hypercare_checklist"] if one["id"] in ids]
        for one in checks:
            if one["id"] == "HC-53":
                one["window"]["over"] = "50m"
        verdicts = run_checks(read_checks(checks, PROBES), PROBES, clock=Clock(now=lambda: now))
        return {one["id"]: one for one in verdicts}

    return watched


def test_a_good_release_is_let_be(watch: Watch) -> None:
    found = watch("1.0.0", 61, "SLO-3", "ESC-1", "ESC-2", "HC-53")
    # A notification that was under way at one look and not at the other makes the count a little more or less.
    assert found.pop("HC-53")["status"] in ("pass", "warn"), found
    assert {id: one["status"] for id, one in found.items()} == {"SLO-3": "pass", "ESC-1": "pass", "ESC-2": "pass"}, found
    assert found["SLO-3"]["measures"]["value"]["value"] == 0


def test_notifications_that_are_not_delivered(watch: Watch) -> None:
    found = watch("1.1.0-notify-fails", 61, "SLO-3", "ESC-1", "ESC-2")
    assert {id: one["status"] for id, one in found.items()} == {"SLO-3": "fail", "ESC-1": "pass", "ESC-2": "pass"}, found
    assert "value is 100 %, expected <= 2%" in found["SLO-3"]["reason"]


def test_memory_that_leaks(watch: Watch) -> None:
    """Fast, so that it need not be waited for; with what grows slowly the 48 hours in simulated time deal."""
    found = watch("1.1.0-leak", 10.5, "ESC-4", "ESC-2", SPARK_FAULT_LEAK_MB_PER_SEC="100", SPARK_FAULT_LEAK_LIMIT_MB="400")
    assert found["ESC-4"]["status"] == "fail", found
    assert "critical when > 50%" in found["ESC-4"]["reason"]
    assert found["ESC-2"]["status"] == "pass", found

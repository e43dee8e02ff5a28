# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""48 hours in simulated time, with the objectives and the checklist of the inventory spark_ta: what is found, and when.

A sampler fills a real store; what the executors and the web front would show is made up. The checks that look at the
running system are left out: there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check, read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import CHECKPOINTS
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock, run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import (
    SAMPLER_CLOCK,
    SAMPLER_PAGE,
    judge_time,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, samples
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key, Look

ROOT = Path(__file__).resolve().parents[3]
GO = 1_763_700_000.0
HOUR = 3600.0
EVERY = 30.0
MB = 1e6


@dataclass
class Course:
    """What happens in the 48 hours. Times in seconds after the GO."""

    leak: float = 0.0
    """Bytes a second that the first executor grows by."""
    flaps: float = 0.0
    """Seconds after which the leader changes."""
    failing: float = 0.0
    """Part of the notifications that fails."""
    refusing: float = 0.0
    """How many answers of the web front are errors, to those that are not, from the sixth hour on."""
    doubled: bool = False
    """Each notification is sent twice."""
    burst: Optional[float] = None
    """When 25 stream errors come within two minutes."""
    silent: tuple[float, float] = (0.0, 0.0)
    """From when to when the sampler does not look."""
    jump: tuple[float, float] = (0.0, 0.0)
    """When the clock jumps, and by how many seconds."""

    def clock(self, passed: float) -> float:
        return GO + passed + (self.jump[1] if self.jump[1] and passed >= self.jump[0] else 0.0)

    def pages(self, passed: float) -> dict[str, dict[Key, float]]:
        up = passed + 300.0  # the processes are five minutes older than the GO
        flapped = int(max(passed, 0) / self.flaps) if self.flaps else 0
        burst = 0.0 if self.burst is None else min(max((passed - self.burst) / 120.0, 0.0), 1.0) * 25
        notified = 8 * up / HOUR
        sent = (1 - self.failing) * (2 if self.doubled else 1)
        wobble = 0.4 * MB * ((passed // EVERY) % 7)
        executors: dict[str, dict[Key, float]] = {}
        for number in (0, 1):
            leads = flapped % 2 == number
            elected = (1 if number == 0 else 0) + (flapped + 1 - number) // 2
            executors[f"executor-{number + 1}"] = {
                ("alerts_active", ()): 12.0,
                ("alerts_errors_total", ()): 0.0,
                ("alerts_evaluations_total", ()): float(int(up * 2)) if number == 0 else 0.0,
                ("alerts_evaluation_seconds_bucket", (("le", "2.0"),)): float(int(up * 2)) if number == 0 else 0.0,
                ("alerts_evaluation_seconds_count", ()): float(int(up * 2)) if number == 0 else 0.0,
                ("alerts_triggered_total", ()): float(int(notified)) if number == 0 else 0.0,
                ("alerts_suppressed_total", (("reason", "cooldown"),)): float(int(up / 1500)) if number == 0 else 0.0,
                ("notifications_sent_total", ()): float(int(notified * sent)) if number == 0 else 0.0,
                ("notifications_failed_total", ()): float(int(notified * self.failing)) if number == 0 else 0.0,
                ("leader", ()): float(leads),
                ("leader_elected_total", ()): float(elected),
                ("streams_connected", ()): 4.0 + (passed // 60) % 3,
                ("streams_errors_total", ()): float(int(burst)),
                ("process_cpu_seconds_total", ()): up * (0.05 if leads else 0.01),
                ("process_resident_memory_bytes", ()): 70 * MB + wobble + (self.leak * max(passed, 0) if number == 0 else 0),
            }
        web: dict[Key, float] = {
            ("http_requests_total", (("status", "2xx"),)): float(int(up / 2)),
            ("http_requests_total", (("status", "5xx"),)): self.refusing * float(int(max(passed - 6 * HOUR, 0) / 2)),
            ("process_cpu_seconds_total", ()): up * 0.04,
            ("streams_opened_total", ()): float(int(up / 60)),
            ("process_resident_memory_bytes", ()): 90 * MB + wobble,
        }
        asked: dict[Key, float] = {
            ("golive_check_passed", (("check", "AV-SSE"),)): 1.0,
            ("golive_check_passed", (("check", "AV-WEB"),)): 1.0,
        }
        own: dict[Key, float] = {(SAMPLER_CLOCK, ()): 100_000.0 + passed}
        return {**executors, "web-next": web, "golive_checks": asked, SAMPLER_PAGE: own}


@pytest.fixture(scope="session")
def inventory(tmp_path_factory: pytest.TempPathFactory, collection_path: Path) -> dict[str, Any]:
    """The objectives and the checklist of the inventory, as a task sees them."""
    import os
    import subprocess
    import sys

    work = tmp_path_factory.mktemp("inventory")
    play = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [
                {
                    "ansible.builtin.copy": {
                        "content": "{{ {'objectives': hypercare_objectives, 'checklist': hypercare_checklist} | to_json }}",
                        "dest": str(work / "found.json"),
                    }
                }
            ],
        }
    ]
    (work / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    extra = {
        "cutover_store": "sqlite:///@STORE@",
        "cutover_expected_release": "1.0.0",
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook", str(work / "play.yml")),
            *("-i", str(ROOT / "inventories/spark_ta"), "-e", json.dumps(extra)),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collection_path), "ANSIBLE_HOME": str(work)},
        check=True,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads((work / "found.json").read_text(encoding="utf-8"))
    return found


Simulate = Callable[[Course], dict[str, dict[str, tuple[str, str]]]]


@pytest.fixture
def simulate(inventory: dict[str, Any], tmp_path: Path) -> Simulate:
    """Let 48 hours pass, and look at every checkpoint a minute after it is due: name of the checkpoint to id to status and
    reason of everything that blocks, and of what is nice to have and fails."""

    def read(raw: list[dict[str, Any]]) -> list[Check]:
        text = json.dumps(raw).replace("/@STORE@", f"{tmp_path}/golive.db")
        return read_checks(json.loads(text), PROBES)

    def run(course: Course) -> dict[str, dict[str, tuple[str, str]]]:
        objectives = read(inventory["objectives"])
        checklist = read([one for one in inventory["checklist"] if "window" in one])
        now = [GO]
        blocked: dict[str, dict[str, tuple[str, str]]] = {}
        with open_store(f"sqlite://{tmp_path}/golive.db", "spark_ta") as store:
            store._clock = lambda: now[0]  # type: ignore[attr-defined]
            data = {"kind": "cutover", "decision": "go", "release": "1.0.0"}
            ledger.append(store, "spark_ta", "run-1", "run_ended", data)
            passed = -600.0
            for checkpoint in CHECKPOINTS:
                looked = checkpoint.after + 60.0
                if course.jump[1] < 0 and checkpoint.after > course.jump[0]:
                    looked -= course.jump[1]  # whoever looks goes by that clock
                looks = []
                while passed <= looked:
                    if not course.silent[0] <= passed < course.silent[1]:
                        looks += [Look(page, course.clock(passed), values) for page, values in course.pages(passed).items()]
                    passed += EVERY
                now[0] = course.clock(looked)
                samples.write(store, looks)
                watch = hypercare.find_watch(entries := ledger.read(store))
                known = hypercare.states(watch, CHECKPOINTS, hypercare.looks_of(entries, watch), now[0])
                chosen = hypercare.choose(known, now[0], checkpoint.name)
                assert chosen is not None
                found = judge_time(store, objectives, watch, known, chosen, now[0], EVERY, entries)
                due = [one for one in checklist if checkpoint.name in one.tags]
                found += run_checks(due, PROBES, clock=Clock(now=lambda: now[0]))
                bad = {
                    one["id"]: (one["status"], one["reason"])
                    for one in found
                    if one["status"] not in ("pass", "warn") and (one["required"] or one["status"] == "fail")
                }
                blocked[checkpoint.name] = bad
                look = {"watch": watch.run, "checkpoint": chosen.name, "at": now[0], "decision": "no_go" if bad else "go"}
                ledger.append(store, "spark_ta", f"look-{chosen.name.replace('+', '')}", hypercare.EVENT, look)
        return blocked

    return run


def first(blocked: dict[str, dict[str, tuple[str, str]]]) -> Optional[str]:
    return next((name for name, bad in blocked.items() if bad), None)


def test_a_healthy_run_passes_all_checkpoints(simulate: Simulate) -> None:
    assert simulate(Course()) == {one.name: {} for one in CHECKPOINTS}


def test_a_slow_leak_is_found_at_four_hours(simulate: Simulate) -> None:
    blocked = simulate(Course(leak=4096))
    assert first(blocked) == "T+4h"
    assert blocked["T+4h"]["HC-30"][0] == "fail"
    assert blocked["T+48h"]["HYPERCARE-CHECKPOINTS"][0] == "fail"


def test_a_leader_that_flaps_is_found_at_four_hours_and_sooner_when_it_flaps_more(simulate: Simulate) -> None:
    blocked = simulate(Course(flaps=1200))
    assert first(blocked) == "T+4h"
    assert blocked["T+4h"]["HC-31"][0] == "fail"


def test_a_leader_that_flaps_every_ten_minutes_is_found_in_the_first_hour(simulate: Simulate) -> None:
    blocked = simulate(Course(flaps=600))
    assert first(blocked) == "T+1h"
    assert "critical when >= 5" in blocked["T+1h"]["ESC-3"][1]


def test_notifications_that_fail_at_three_percent_are_found_at_twelve_hours(simulate: Simulate) -> None:
    blocked = simulate(Course(failing=0.03, refusing=0.05))
    assert first(blocked) == "T+12h"
    assert "value is 3" in blocked["T+12h"]["SLO-3"][1]
    # The budget of the web front goes nine times as fast as it may.
    assert blocked["T+12h"]["SLO-4"][0] == "fail"
    assert "burning is true, expected == false" in blocked["T+12h"]["SLO-4"][1]
    assert blocked["T+48h"]["SLO-3"][0] == "fail"


def test_notifications_that_are_sent_twice_are_found_at_a_day(simulate: Simulate) -> None:
    blocked = simulate(Course(doubled=True))
    assert first(blocked) == "T+24h"
    assert "value is 20" in blocked["T+24h"]["HC-53"][1]


def test_a_burst_between_two_checkpoints_is_found_at_the_next_one_and_at_the_end(simulate: Simulate) -> None:
    blocked = simulate(Course(burst=6.2 * HOUR))
    assert first(blocked) == "T+12h"
    status, reason = blocked["T+12h"]["ESC-1"]
    assert (status, "critical when > 20" in reason) == ("fail", True)
    assert "ESC-1" not in blocked["T+24h"], "between these two nothing happened"
    assert blocked["T+48h"]["ESC-1"][0] == "fail", "but it was not met continuously"


@pytest.mark.parametrize(("until", "what"), [(16 * HOUR, "1 gap of up to"), (99 * HOUR, "the sampler has stopped")])
def test_a_sampler_that_stopped_is_found_at_the_next_checkpoint(simulate: Simulate, until: float, what: str) -> None:
    blocked = simulate(Course(silent=(13 * HOUR, until)))
    assert first(blocked) == "T+24h"
    status, reason = blocked["T+24h"]["HYPERCARE-LOOKS"]
    assert (status, what in reason) == ("inconclusive", True), reason
    assert blocked["T+48h"]["HYPERCARE-LOOKS"][0] == "inconclusive"
    assert blocked["T+48h"]["SLO-1"][0] == "inconclusive", "and what it did not see is not known to be good"


@pytest.mark.parametrize("by", [600.0, -600.0])
def test_a_clock_that_jumped_is_found_at_the_next_checkpoint(simulate: Simulate, by: float) -> None:
    blocked = simulate(Course(jump=(2 * HOUR, by)))
    assert first(blocked) == "T+4h"
    status, reason = blocked["T+4h"]["HYPERCARE-LOOKS"]
    assert (status, "the clock jumped 600 s" in reason) == ("inconclusive", True), reason
    assert blocked["T+48h"]["HYPERCARE-LOOKS"][0] == "inconclusive"

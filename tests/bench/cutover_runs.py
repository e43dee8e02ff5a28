# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of ``playbooks/cutover.yml`` on the demo: the first, again with nothing to change, and one that is rolled back.

Each round has a machine of its own, in a directory and on ports of its own. What became of a run is read from its
decision.json; a run that did not end as it must is an error and not a time.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import ansible_runs
from tests.bench.figures import Figure, Measured, NotMeasured, WrongValues, single

TITLE = "whole runs of playbooks/cutover.yml on the demo"
GOOD, BAD = "1.0.0", "1.1.0"
ROLLBACK_TARGET = 15.0
"""Seconds to the verified rollback; the runbook allows two minutes."""


@dataclass(frozen=True)
class Cutover:
    """A cutover that has ended. ``changed`` and ``tasks``: over all hosts, from the recap."""

    seconds: float
    cpu: float
    changed: int
    tasks: int
    decision: Mapping[str, Any]


def recap(output: str) -> dict[str, int]:
    """The sums over all hosts of the recap at the end of a playbook: ok, changed, skipped, …"""
    found: dict[str, int] = {}
    for line in output.rpartition("PLAY RECAP")[2].splitlines():
        for name, count in re.findall(r"(\w+)=(\d+)", line):
            found[name] = found.get(name, 0) + int(count)
    return found


def must_be(decision: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises WrongValues, with the reasons of the run, when it did not end as it must."""
    wrong = [f"{key} is {decision.get(key)!r} instead of {value!r}" for key, value in wanted.items() if decision.get(key) != value]
    if wrong:
        reasons = "; ".join(str(one) for one in decision.get("reasons") or [])
        raise WrongValues(f"the cutover to {decision.get('release')}: {', '.join(wrong)} ({reasons[:600]})")


def _cut_over(release: str, home: Path) -> Cutover:
    reports = home / "reports"
    extra = json.dumps({"cutover_release": release, "demo_home": str(home / "machine"), "cutover_reports_dir": str(reports)})
    command = [ansible_runs.PLAYBOOK, "-i", "inventories/demo", "playbooks/cutover.yml", "-e", extra]
    before = sorted(reports.glob("demo/*/decision.json"))
    done = ansible_runs.run(command, environment=ansible_runs.environment(home, ANSIBLE_STDOUT_CALLBACK="default"))
    latest = reports / "demo" / "latest" / "decision.json"
    if not latest.exists() or sorted(reports.glob("demo/*/decision.json")) == before:
        end = (done.errors.strip() or done.output.strip())[-800:]
        raise NotMeasured(f"the cutover to {release} ended with {done.exit_code} and without a report: {end}")
    decision = json.loads(latest.read_text(encoding="utf-8"))
    must_be(decision, {"release": release})
    if (done.exit_code == 0) is not (decision["decision"] == "go"):
        raise WrongValues(f"the cutover to {release}: the decision is {decision['decision']}, the exit code {done.exit_code}")
    counts = recap(done.output)
    return Cutover(done.seconds, done.cpu, counts.get("changed", 0), counts.get("ok", 0), decision)


def _round(seen: dict[str, list[float]], facts: dict[str, Any]) -> None:
    """A machine as it is found before a cutover, and the three runs on it, one after the other."""
    sys.path.insert(0, str(ansible_runs.ROOT / "demo"))
    try:
        from machine import Machine, MachineError
    finally:
        sys.path.pop(0)
    with tempfile.TemporaryDirectory(prefix="golive-bench-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        machine = Machine(home=home / "machine")
        try:
            machine.start()
            first = _cut_over(GOOD, home)
            must_be(first.decision, {"decision": "go", "rolled_back": False})
            again = _cut_over(GOOD, home)
            must_be(again.decision, {"decision": "go", "rolled_back": False})
            if again.changed:
                raise WrongValues(f"the same cutover again changed {again.changed} tasks instead of none")
            bad = _cut_over(BAD, home)
            must_be(bad.decision, {"decision": "no_go", "previous_release": GOOD, "rolled_back": True, "rollback_verified": True})
        except MachineError as error:
            raise NotMeasured(str(error)) from error
        finally:
            machine.stop()
            time.sleep(0.5)  # its processes write until they have ended
    for name, one in (("first", first), ("again", again), ("bad", bad)):
        seen.setdefault(name, []).append(one.seconds)
        seen.setdefault(f"{name} cpu", []).append(one.cpu)
        facts[name] = {
            "release": one.decision["release"],
            "decision": one.decision["decision"],
            "changed": one.changed,
            "tasks": one.tasks,
            "steps": {step["name"]: step["seconds"] for step in one.decision["steps"]},
            "counts": one.decision["counts"],
        }
    seen.setdefault("rollback", []).append(float(bad.decision["rollback_seconds"]))


def measure(rounds: int = 3) -> Measured:
    """The three runs, several times; ``facts`` are those of the last round."""
    seen: dict[str, list[float]] = {}
    facts: dict[str, Any] = {}
    for _number in range(rounds):
        _round(seen, facts)
    titles = {
        "first": f"cutover to {GOOD} for the first time",
        "again": f"cutover to {GOOD} again, changed=0",
        "bad": f"cutover to {BAD}, NO-GO and rolled back",
    }
    time_of = {name: Figure(title, "s", tuple(seen[name])) for name, title in titles.items()}
    cpu_of = [Figure(f"{title}: processor time", "s", tuple(seen[f"{name} cpu"])) for name, title in titles.items()]
    rollback = Figure("rollback until verified", "s", tuple(seen["rollback"]))
    results = [*(single(one) for one in time_of.values()), single(rollback, at_most=ROLLBACK_TARGET, worst=True)]
    return Measured([*time_of.values(), *cpu_of, rollback], results, facts)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller is killed in the middle of every step. The same command again gets past it, and the ledger is whole."""

from __future__ import annotations

import time

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store import baselines
from tests.e2e.stage import Stage, quick, tree

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-killed")]

#: Step, the task in the middle of it, and the how manieth time that this task is begun.
ON_THE_WAY = (
    ("preflight", "golive.cutover.deploy : Look what would stand in the way of the services", 1),
    ("secrets", "golive.cutover.secrets : Render the env file", 1),
    ("deploy", "golive.cutover.deploy : Put the content in place", 1),
    ("deploy", "golive.cutover.deploy : Run the services of the release", 1),
    ("redis", "golive.cutover.redis_aof : Switch on the append-only file", 1),
    ("proxy", "golive.cutover.nginx_streaming : Place the drop-ins", 1),
    ("smoke", "golive.cutover.verify : Ask the checks", 1),
    ("regression", "golive.cutover.verify : Ask the checks", 2),
)


def kill_at(stage: Stage, playbook: str, release: str | None, task: str, nth: int = 1, wait: float = 0.3) -> None:
    """Start a run and end it, with all that it has started on the controller, shortly after a task was begun."""
    running = stage.start(playbook, release)
    try:
        running.saw(f"TASK [{task}", nth)
        time.sleep(wait)
        assert running.process.poll() is None, "it was over before it could be killed"
    finally:
        running.kill()


def test_killed_in_every_step_of_a_cutover(stage: Stage) -> None:
    """One after the other on one machine: each run gets past where the one before was killed, and the last one to GO."""
    stage.variables.update(quick("redis", "proxy"))
    keys = stage.machine.redis.dbsize()
    for _step, task, nth in ON_THE_WAY:
        kill_at(stage, "cutover", "1.0.0", task, nth)
        if stage.store.exists():
            stage.verify_ledger()
    stage.go("1.0.0")
    assert stage.statuses() == {"1.0.0": "accepted"}
    assert stage.health()["release"] == "1.0.0"
    assert not stage.locked()
    assert stage.machine.redis.dbsize() >= keys
    assert stage.machine.redis.config_get("appendonly") == {"appendonly": "yes"}
    assert stage.verify_ledger() > 20
    assert not [name for name in tree(stage.home / "golive") if name.endswith((".tmp", ".part"))]
    # Every run that got as far as the ledger is in it.
    assert [event for event, _name in stage.events()].count("run_begun") >= len(ON_THE_WAY) - 1


#: Five letters before the change, twelve after it: told apart without a clock.
AGAINST_BEFORE = {
    "id": "BEFORE-1",
    "title": "The name of the release is as long as before",
    "http": {"url": "{{ cutover_base_url }}/api/public/health"},
    "measures": {"letters": "length(release)"},
    "expect": {"status": "== 200", "letters": "<= +10%"},
    "retry": {"for": "5s"},
    "tags": ["smoke", "rollback"],
}


def test_killed_while_it_refuses_and_rolls_back(live: Stage) -> None:
    """In the check that finds the fault, in the middle of going back, and while that is verified.

    The first of these runs has measured what was before the change. The last one finds a changed system, and is judged by that.
    """
    few = quick()
    few["cutover_checks"] = [*few["cutover_checks"], AGAINST_BEFORE]
    live.variables.update(few)
    kill_at(live, "cutover", "1.1.0-errors", "golive.cutover.verify : Ask the checks", wait=1)
    kill_at(live, "cutover", "1.1.0-errors", "golive.cutover.deploy : Run its services as they were")
    kill_at(live, "cutover", "1.1.0-errors", "golive.cutover.verify : Ask the checks", 2)
    done = live.run("cutover", "1.1.0-errors")
    assert done.rc != 0
    decision = live.decision()
    assert decision["decision"] == "no_go"
    assert decision["previous_release"] == "1.0.0"
    assert (decision["rolled_back"], decision["rollback_verified"]) == (True, True), done.output
    assert live.health()["release"] == "1.0.0"
    assert live.statuses() == {"1.0.0": "accepted", "1.1.0-errors": "rejected"}
    assert not live.locked()
    live.verify_ledger()

    found, again = ({one["id"]: one for one in of["verdicts"]}["BEFORE-1"] for of in (decision, decision["rollback"]))
    assert (found["status"], found["proof"]["baseline"]) == ("fail", {"letters": 5.0})
    assert "letters is 12, expected <= +10% of 5 before" in found["reason"]
    assert (again["status"], again["proof"]["baseline"]) == ("pass", {"letters": 5.0})
    with live.open() as store:
        kept = baselines.read(store, release="1.1.0-errors", host="demo")
    assert kept["newest"] and kept["run"] != decision["run"]
    # Nobody has measured before 1.0.0 came.
    assert live.run("verify", None, cutover_verify_tags=["smoke"]).rc != 0
    (unknown,) = [one for one in live.decision()["verdicts"] if one["id"] == "BEFORE-1"]
    assert (unknown["status"], "there is no baseline" in unknown["reason"]) == ("inconclusive", True)


def test_rollback_by_hand_after_a_kill(live: Stage) -> None:
    """A cutover that died with the new release half in place is undone by the playbook rollback alone, itself killed once."""
    live.variables.update(quick())
    kill_at(live, "cutover", "1.0.1", "golive.cutover.deploy : Run the services of the release", wait=1.5)
    kill_at(live, "rollback", None, "golive.cutover.deploy : Run its services as they were")
    done = live.run("rollback")
    assert done.rc == 0, done.why
    decision = live.decision()
    assert decision["kind"] == "rollback"
    assert (decision["rolled_back"], decision["rollback_verified"], decision["rollback"]["to"]) == (True, True, "1.0.0")
    assert live.health()["release"] == "1.0.0"
    assert not live.locked()
    live.verify_ledger()

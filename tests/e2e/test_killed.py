# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller is killed in the middle of every step. The same command again gets past it, and the ledger is whole."""

from __future__ import annotations

import time

import pytest

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
    stage.variables.update(quick())
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


def test_killed_while_it_refuses_and_rolls_back(live: Stage) -> None:
    """In the check that finds the fault, in the middle of going back, and while that is verified."""
    live.variables.update(quick())
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

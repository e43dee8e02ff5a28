# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same command again changes nothing, and check mode never does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.stage import Stage, quick, recap, tree

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-again")]


def test_the_same_release_again_changes_nothing(live: Stage) -> None:
    pids = {pid for pid, command in live.processes() if "spark" in command}
    done = live.go("1.0.0")
    assert recap(done.stdout)["changed"] == 0, done.stdout
    assert {pid for pid, command in live.processes() if "spark" in command} == pids
    assert live.statuses() == {"1.0.0": "accepted"}


def test_check_mode_on_a_running_system(live: Stage) -> None:
    """It says what would be done, asks the checks of what runs, and claims neither GO nor a deployment."""
    before, runs = tree(live.home / "golive"), live.runs()
    seen = live.decision()["run"]
    done = live.run("cutover", "1.0.1", "--check", **quick("redis", "proxy"))
    assert done.rc == 0, done.why
    after = tree(live.home / "golive")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in changed if not name.endswith(".log")} == set(), changed
    assert live.statuses() == {"1.0.0": "accepted"}
    assert live.health()["release"] == "1.0.0"
    assert not live.locked()
    assert live.runs() == runs, "a run that did nothing has no report"
    assert live.decision()["run"] == seen
    assert "is live" not in done.stdout
    assert recap(done.stdout)["changed"] > 0, "check mode says what would change"


def test_check_mode_on_a_fresh_machine(stage: Stage) -> None:
    before = tree(stage.home)
    done = stage.run("cutover", "1.0.0", "--check")
    assert done.rc == 0, done.why
    after = tree(stage.home)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in changed if not name.endswith(".log")} == set(), changed
    assert stage.runs() == set()
    assert "is live" not in done.stdout


def test_check_mode_refuses_wrong_input(new_stage: Callable[[], Stage]) -> None:
    stage = new_stage()
    done = stage.run("cutover", None, "--check")
    assert done.rc != 0
    assert "cutover_release" in done.output

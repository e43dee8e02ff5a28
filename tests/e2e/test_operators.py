# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators, a lock that stays behind, and a rollback that is no longer possible."""

from __future__ import annotations

import shutil

import pytest

from tests.e2e.stage import Stage, quick, recap, tree

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-operators")]


def test_a_second_operator_is_refused_and_the_first_goes_on(live: Stage) -> None:
    live.variables.update(quick())
    first = live.start("cutover", "1.0.1", cutover_operator="anna", cutover_reason="the maintenance window of tonight")
    try:
        first.saw("TASK [golive.cutover.secrets : Render the env file")
        second = live.run("cutover", "1.1.0", cutover_operator="bert")
        assert first.process.poll() is None, "the first run was over too soon for this test"
    except BaseException:
        first.kill()
        raise
    assert second.rc != 0
    said = second.output
    for word in ("anna", "since", "the maintenance window of tonight"):
        assert word in said, said
    done = first.wait()
    assert done.rc == 0, done.why
    assert live.statuses() == {"1.0.0": "accepted", "1.0.1": "accepted"}
    assert live.health()["release"] == "1.0.1"
    assert not live.locked()
    live.verify_ledger()
    reports = {live.report(run)["operator"]: live.report(run) for run in live.runs()}
    assert reports["anna"]["decision"] == "go"
    assert reports["bert"]["decision"] == "no_go"
    assert reports["bert"]["rolled_back"] is False
    assert not reports["bert"]["hosts"]["demo"]["changed"]
    live.go("1.0.0")


def test_unlock_needs_the_run_by_name(live: Stage) -> None:
    live.variables.update(quick())
    free = live.run("unlock")
    assert free.rc == 0, free.why
    killed = live.start("cutover", "1.0.0", cutover_operator="anna", cutover_run_id="the-run-that-died")
    try:
        killed.saw("TASK [golive.cutover.secrets : Render the env file")
    finally:
        killed.kill()
    assert live.locked()
    shown = live.run("unlock")
    assert shown.rc != 0
    assert "the-run-that-died" in shown.output and "anna" in shown.output
    assert live.locked()
    other = live.run("unlock", None, unlock_run="another-run")
    assert other.rc != 0
    assert live.locked()
    done = live.run("unlock", None, unlock_run="the-run-that-died")
    assert done.rc == 0, done.why
    assert not live.locked()
    live.verify_ledger()


def test_a_release_that_does_not_exist(live: Stage) -> None:
    """The content of the demo is known by any name; what the application does not know, the deploy does not accept."""
    before = live.health()["release"]
    done = live.run("cutover", "9.9.9", **quick())
    assert done.rc != 0
    decision = live.decision()
    assert decision["decision"] == "no_go"
    assert (decision["rolled_back"], decision["rollback_verified"]) == (True, True), done.output
    assert "9.9.9" in "\n".join(decision["reasons"])
    assert live.health()["release"] == before


def test_a_source_that_is_not_there(live: Stage) -> None:
    before = tree(live.home / "golive/releases")
    done = live.run("cutover", "1.0.1", deploy_source=str(live.root / "nowhere"), **quick())
    assert done.rc != 0
    decision = live.decision()
    assert decision["hosts"]["demo"]["failed"]["step"] == "preflight"
    assert not decision["hosts"]["demo"]["changed"]
    assert "nowhere" in done.output
    assert tree(live.home / "golive/releases") == before


def test_a_rollback_target_that_is_gone_is_said_before_anything_changes(live: Stage) -> None:
    aside = live.root / "aside"
    releases = live.home / "golive/releases"
    shutil.move(str(releases / "1.0.0"), str(aside))
    try:
        before = tree(releases)
        done = live.run("cutover", "1.1.0", **quick())
        assert done.rc != 0
        decision = live.decision()
        assert decision["decision"] == "no_go"
        assert decision["rolled_back"] is False
        assert decision["hosts"]["demo"]["failed"]["step"] == "preflight"
        said = "\n".join(decision["reasons"])
        assert "1.0.0" in said and "rollback" in said, said
        assert tree(releases) == before
        assert recap(done.stdout)["changed"] == 0
        assert "1.1.0" not in live.statuses()
        assert not live.locked()
    finally:
        shutil.move(str(aside), str(releases / "1.0.0"))

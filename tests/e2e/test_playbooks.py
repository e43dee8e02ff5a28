# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other playbooks, each once: verify, status, rollback."""

from __future__ import annotations

import pytest

from tests.e2e.stage import Stage, quick, recap, tree

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-playbooks")]


def test_verify_looks_and_changes_nothing(live: Stage) -> None:
    before = tree(live.home / "golive/releases")
    events = live.events()
    done = live.run("verify")
    assert done.rc == 0, done.why
    decision = live.decision()
    assert (decision["kind"], decision["decision"]) == ("verify", "go")
    assert len(decision["verdicts"]) > 30
    assert recap(done.stdout)["changed"] == 0
    assert tree(live.home / "golive/releases") == before
    assert live.events() == events
    assert not live.locked()


def test_status_is_a_table_of_the_six_diagnostics(live: Stage) -> None:
    done = live.run("status")
    assert done.rc == 0, done.why
    for word in ("Who is the leader?", "Active alert count?", "SSE status?", "Notification failures?", "Alert trigger trend?"):
        assert word in done.stdout, done.stdout
    for word in ("Redis health?", "1.0.0", "executor-", "nobody"):
        assert word in done.stdout, done.stdout
    assert recap(done.stdout)["changed"] == 0


def test_status_before_anything_was_cut_over(stage: Stage) -> None:
    """It is asked when something is wrong: it answers then too, and does not fail."""
    done = stage.run("status")
    assert done.rc == 0, done.why
    assert "Who is the leader?" in done.stdout
    assert not (stage.home / "golive").exists()


def test_option_3_goes_back_to_the_release_before_and_asking_twice_goes_back_once(live: Stage) -> None:
    live.go("1.0.1", **quick())
    for _time in range(2):
        done = live.run("rollback", None, **quick())
        assert done.rc == 0, done.why
        rollback = live.decision()["rollback"]
        assert (rollback["strategy"], rollback["to"], rollback["verified"]) == ("previous_release", "1.0.0", True)
        assert rollback["budget"] == 120
        assert live.health()["release"] == "1.0.0"
        assert live.statuses()["1.0.0"] == "accepted"
    assert not live.locked()

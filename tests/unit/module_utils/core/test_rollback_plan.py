# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release is given up, and where to go: the same answer when it is asked again."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.rollback_plan import plan


def release(id: str, status: str, at: str) -> dict[str, Any]:
    return {"id": id, "status": status, "at": at}


OLD = release("0.9.0", "accepted", "2025-01-01T00:00:00Z")
GOOD = release("1.0.0", "accepted", "2025-02-01T00:00:00Z")


@pytest.mark.parametrize("status", ["staged", "deployed"])
def test_by_hand_the_release_on_trial_is_given_up(status: str) -> None:
    trial = release("1.1.0", status, "2025-03-01T00:00:00Z")
    for current in (GOOD, trial):
        known = {"current": current, "releases": [OLD, GOOD, trial]}
        assert plan(known) == {"candidate": "1.1.0", "to": "1.0.0", "problems": []}


def test_asked_again_it_goes_back_once() -> None:
    bad = release("1.1.0", "rejected", "2025-03-01T00:00:01Z")
    back = {**GOOD, "at": "2025-03-01T00:00:00Z"}
    assert plan({"current": back, "releases": [OLD, back, bad]})["to"] == "1.0.0"
    # A later release proved good: it is the one that is given up now.
    new = release("1.2.0", "accepted", "2025-04-01T00:00:00Z")
    assert plan({"current": new, "releases": [OLD, back, bad, new]}) == {"candidate": "1.2.0", "to": "1.0.0", "problems": []}


def test_rejected_and_killed_before_the_way_back() -> None:
    bad = release("1.1.0", "rejected", "2025-03-01T00:00:00Z")
    assert plan({"current": bad, "releases": [OLD, GOOD, bad]}) == {"candidate": "1.1.0", "to": "1.0.0", "problems": []}


def test_nowhere_to_go() -> None:
    only = release("1.0.0", "deployed", "2025-01-01T00:00:00Z")
    assert plan({"current": only, "releases": [only]}) == {"candidate": "1.0.0", "to": None, "problems": []}
    assert plan({"current": None, "releases": []})["problems"] == ["no release is known, so there is nothing to roll back"]


@pytest.mark.parametrize(
    ("to", "expected"),
    [("2.0.0", "is not known; known are 0.9.0, 1.0.0, 1.1.0"), ("1.1.0", "never accepted"), ("1.0.0", "given up")],
)
def test_only_what_was_accepted_is_gone_back_to(to: str, expected: str) -> None:
    bad = release("1.1.0", "rejected", "2025-01-15T00:00:00Z")
    found = plan({"current": GOOD, "releases": [OLD, GOOD, bad]}, named="1.0.0", to=to)
    assert expected in found["problems"][0]
    assert plan({"current": GOOD, "releases": [OLD, GOOD, bad]}, named="1.0.0", to="0.9.0")["to"] == "0.9.0"


def test_the_accepted_release_that_was_cut_over_to_again_is_kept() -> None:
    known = {"current": GOOD, "releases": [OLD, GOOD]}
    assert plan(known, named="1.0.0", before="1.0.0") == {"candidate": None, "to": "1.0.0", "problems": []}
    assert plan(known, named="1.0.0")["to"] == "0.9.0"


def test_the_only_accepted_release_is_never_stopped() -> None:
    assert "is left as it is" in plan({"current": GOOD, "releases": [GOOD]})["problems"][0]
    trial = release("0.1.0", "deployed", "2025-01-01T00:00:00Z")
    assert plan({"current": trial, "releases": [trial]}) == {"candidate": "0.1.0", "to": None, "problems": []}


def test_what_a_dead_run_left_behind_long_ago_is_not_on_trial() -> None:
    stale = release("1.5.0", "deployed", "2025-02-15T00:00:00Z")
    new = release("1.8.0", "accepted", "2025-03-01T00:00:00Z")
    assert plan({"current": new, "releases": [OLD, GOOD, stale, new]}) == {"candidate": "1.8.0", "to": "1.0.0", "problems": []}

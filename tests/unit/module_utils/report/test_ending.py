# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run is called settled only when it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.report.decision_json import as_mapping
from ansible_collections.golive.cutover.plugins.module_utils.report.ending import KINDS, closing_lines, ending
from ansible_collections.golive.cutover.plugins.module_utils.report.model import read_run

RunOf = Callable[[str], dict[str, Any]]


@pytest.mark.parametrize("kind", KINDS)
def test_each_ending_is_recognised_and_said(run_of: RunOf, kind: str) -> None:
    run = read_run(run_of(kind))
    end = ending(run)
    assert end.kind == kind
    lines = closing_lines(run, "reports/report.html")
    assert end.sentence in "\n".join(lines)
    assert any("reports/report.html" in line for line in lines)
    assert (lines[-1] == "=" * 78) is end.loud
    assert bool(end.todo) is end.loud


def test_go_is_one_glance(run_of: RunOf) -> None:
    assert closing_lines(read_run(run_of("go")), "r.html") == [
        "GO: Release 1.0.0 is live on spark_ta.",
        "  All 4 required criteria are met.",
        "20260301T030000Z-4f2a: 7 checks: 6 passed, 1 skipped; 1 min 12 s.",
        "Report: r.html",
    ]


def test_no_go_says_what_failed_and_what_was_rolled_back(run_of: RunOf) -> None:
    said = "\n".join(closing_lines(read_run(run_of("no_go_rolled_back"))))
    assert "spark_ta was rolled back to 1.0.0 in 6.2 s (2 min allowed), verified by 6 checks." in said
    assert "failed S-003 Candle stream reaches the browser unbuffered on web-1: first_event was not seen" in said
    assert "not measured L-001" in said


def test_a_failed_rollback_is_loud_and_says_what_to_do(run_of: RunOf) -> None:
    said = "\n".join(closing_lines(read_run(run_of("rollback_failed"))))
    assert "ROLLBACK FAILED: spark_ta is NOT back on 1.0.0" in said
    assert "golive.cutover.rollback -e cutover_hosts=web-2" in said
    assert "web-3" in said


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda run: run["rollback"].update(verified=False), "rollback_unverified"),
        (lambda run: run["rollback"].pop("verified"), "rollback_unverified"),
        (lambda run: run["rollback"].update(hosts={}), "rollback_failed"),
        (lambda run: run["rollback"]["hosts"].pop("web-2"), "rollback_failed"),
        (lambda run: run["rollback"]["hosts"]["web-1"].update(verified=False), "rollback_unverified"),
        (lambda run: run["rollback"]["hosts"]["web-1"].update(error="no"), "rollback_failed"),
        (
            lambda run: run["rollback"]["hosts"]["web-1"]["verdicts"][0].update(status="inconclusive"),
            "rollback_unverified",
        ),
        (
            lambda run: run["rollback"]["hosts"]["web-1"]["verdicts"][0].update(status="fail", required=False),
            "no_go_rolled_back",
        ),
        (lambda run: run.update(rollback=None), "no_go_not_rolled_back"),
    ],
)
def test_what_speaks_against_a_rollback_is_heard(run_of: RunOf, change: Callable[[dict[str, Any]], None], kind: str) -> None:
    run = run_of("no_go_rolled_back")
    change(run)
    assert ending(read_run(run)).kind == kind


PARTS = [{"name": "previous_release", "status": "ok"}, {"name": "services", "status": "ok"}, {"name": "checks", "status": "failed"}]


def _blocked(run: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    run["rollback"]["verified"] = False
    run["rollback"]["hosts"]["web-1"].update(verified=False, error="Refuse what blocks: blocked by X", steps=parts)


def test_checks_that_fail_after_the_release_is_back_are_no_failed_rollback(run_of: RunOf) -> None:
    run = run_of("no_go_rolled_back")
    _blocked(run, PARTS)
    end = ending(read_run(run))
    assert (end.kind, end.loud) == ("rollback_unverified", True)
    assert "was rolled back to 1.0.0" in end.sentence and "could NOT be verified" in end.sentence
    assert any("web-1: Refuse what blocks: blocked by X" in line for line in closing_lines(read_run(run)))


@pytest.mark.parametrize("part", [0, 1])
def test_a_part_before_the_checks_that_fails_is_a_failed_rollback(run_of: RunOf, part: int) -> None:
    run = run_of("no_go_rolled_back")
    _blocked(run, [*PARTS[:part], {**PARTS[part], "status": "failed"}])
    assert ending(read_run(run)).kind == "rollback_failed"


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("stop_scheduler", "the scheduler of spark_ta was stopped"),
        ("reduce_load", "the load on spark_ta was reduced"),
        ("other_way", "the strategy other_way was carried out on spark_ta"),
    ],
)
def test_a_strategy_that_lets_the_release_stay_is_not_called_rolled_back(run_of: RunOf, strategy: str, said: str) -> None:
    run = {**run_of("no_go_rolled_back"), "kind": "rollback", "decision": "go", "reasons": []}
    run["rollback"].update(strategy=strategy, to="1.1.0")
    end = ending(read_run(run))
    assert end.headline == "DONE"
    assert f"{said} in 6.2 s (2 min allowed), verified by 6 checks; release 1.1.0 stays." in end.sentence
    found = as_mapping(read_run(run))
    assert (found["rolled_back"], found["rollback_verified"]) == (False, True)
    run["rollback"]["hosts"]["web-1"]["error"] = "no"
    assert "is NOT in the state that was asked for" in ending(read_run(run)).sentence


def test_a_rollback_on_its_own(run_of: RunOf) -> None:
    run = {**run_of("no_go_rolled_back"), "kind": "rollback", "decision": "go", "reasons": []}
    end = ending(read_run(run))
    assert (end.headline, end.loud) == ("ROLLED BACK", False)
    assert closing_lines(read_run(run))[0].startswith("ROLLED BACK: spark_ta was rolled back to 1.0.0")
    run["rollback"]["verified"] = False
    assert ending(read_run(run)).loud


def test_verify_changes_nothing_and_says_so(run_of: RunOf) -> None:
    run = {**run_of("go"), "kind": "verify"}
    assert ending(read_run(run)).sentence == "spark_ta passes its gate. Nothing was changed."
    run = {**run_of("no_go_not_rolled_back"), "kind": "verify"}
    assert not ending(read_run(run)).loud


def test_a_run_that_could_not_be_closed_says_so(run_of: RunOf) -> None:
    run = {**run_of("go"), "problems": ["web-1: the lock was taken over"]}
    assert ending(read_run(run)).todo == ("The run could not be closed: web-1: the lock was taken over",)


def test_no_go_without_a_reason_says_that(run_of: RunOf) -> None:
    run = {**run_of("no_go_untouched"), "reasons": [" "]}
    assert "  - The gate gave no reason." in closing_lines(read_run(run))


def test_foreign_text_cannot_reach_the_terminal(run_of: RunOf) -> None:
    run = run_of("rollback_failed")
    run["reasons"] = ["\x1b]0;owned\x07\nGO: all is well"]
    run["environment"] = "x\x1b[2J"
    run["rollback"]["hosts"]["web-2"]["error"] = "a\nGO: fine\x1b[1m"
    lines = closing_lines(read_run(run))
    assert not any("\x1b" in line or "\n" in line for line in lines)
    assert not any(line.startswith("GO") for line in lines)


def test_a_first_release_has_nothing_to_go_back_to(run_of: RunOf) -> None:
    run = run_of("no_go_rolled_back")
    run["previous_release"] = None
    run["rollback"]["to"] = None
    for host in run["rollback"]["hosts"].values():
        host["verdicts"] = []
    end = ending(read_run(run))
    assert (end.kind, end.loud) == ("no_go_rolled_back", False)
    assert "runs nothing, as before" in end.sentence

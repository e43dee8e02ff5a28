# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run is read as it is, or refused with every mistake at once; secrets do not get in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.report.model import parse_time, read_run, worst_first
from ansible_collections.golive.cutover.plugins.module_utils.report.scrub import scrubber

RunOf = Callable[[str], dict[str, Any]]


def test_every_mistake_is_named(run_of: RunOf) -> None:
    run = run_of("go")
    run["id"] = "../escape"
    run["decision"] = "maybe"
    run["hosts"]["web-1"]["steps"][0]["status"] = "fine"
    run["hosts"]["web-1"]["verdicts"][1]["status"] = "passed"
    run["hosts"]["web-1"]["verdicts"][2]["duration"] = "soon"
    run["criteria"][0]["met"] = "perhaps"
    del run["environment"]
    with pytest.raises(InputError) as refused:
        read_run(run)
    assert {problem.where for problem in refused.value.problems} == {
        "run.id",
        "run.decision",
        "run.environment",
        "run.hosts.web-1.steps[0].status",
        "run.hosts.web-1.verdicts[1].status",
        "run.hosts.web-1.verdicts[2].duration",
        "run.criteria[0].met",
    }


@pytest.mark.parametrize("raw", [None, [], "go", {"hosts": []}, {"rollback": "yes"}, {"hosts": {"a": None}}, {"criteria": {}}])
def test_what_is_not_a_run_is_refused(raw: object) -> None:
    with pytest.raises(InputError):
        read_run(raw)


@pytest.mark.parametrize("run_id", ["", "latest", "..", ".hidden", "a/b", "a\nb", "x" * 200])
def test_an_id_that_is_no_directory_name_is_refused(run_of: RunOf, run_id: str) -> None:
    with pytest.raises(InputError):
        read_run({**run_of("go"), "id": run_id})


def test_go_and_a_rollback_exclude_each_other(run_of: RunOf) -> None:
    run = {**run_of("no_go_rolled_back"), "decision": "go"}
    with pytest.raises(InputError, match="cannot have ended in go"):
        read_run(run)
    assert read_run({**run, "kind": "rollback"}).rollback is not None


def test_a_host_that_does_not_say_whether_it_was_changed_may_have_been() -> None:
    run = read_run({"id": "1", "environment": "e", "decision": "no_go", "hosts": {"a": {"state": "lost"}}})
    assert run.hosts[0].changed


def test_steps_are_shown_as_on_the_worst_host(run_of: RunOf) -> None:
    run = read_run(run_of("no_go_rolled_back"))
    smoke = next(step for step in run.steps if step.name == "smoke")
    assert (smoke.status, smoke.seconds, smoke.budget, smoke.host, smoke.worst) == (
        "over",
        19.5,
        15,
        "web-2",
        ("web-2",),
    )


def test_numbers_may_come_as_texts(run_of: RunOf) -> None:
    run = run_of("go")
    run["hosts"]["web-1"]["steps"][0]["seconds"] = "1.30"
    run["hosts"]["web-1"]["changed"] = "True"
    assert read_run(run).hosts[0].steps[0].seconds == 1.3


def test_the_worst_comes_first_and_what_blocks_before_what_does_not(run_of: RunOf) -> None:
    run = run_of("no_go_rolled_back")
    run["hosts"]["web-1"]["verdicts"][0].update(status="fail", required=False)
    found = [(one.id, one.status) for one in worst_first(read_run(run).verdicts)]
    assert found[:5] == [
        ("S-003", "fail"),
        ("M-002", "fail"),
        ("SMOKE-1", "fail"),
        ("L-001", "inconclusive"),
        ("A-001", "warn"),
    ]


def test_times_without_a_zone_are_utc() -> None:
    assert parse_time("2026-03-01T03:00:00") == parse_time("2026-03-01T03:00:00Z") == parse_time("2026-03-01T04:00:00+01:00")
    assert parse_time("yesterday") is None
    assert read_run({"id": "1", "environment": "e", "decision": "no_go", "started": "?"}).seconds is None


SECRET = 'CANARY-a"b&c d/é'


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        "CANARY-a%22b%26c%20d%2F%C3%A9",
        "CANARY-a%22b%26c+d%2F%C3%A9",
        'CANARY-a\\"b&c d/é',
        "Q0FOQVJZLWEiYiZjIGQvw6k=",
    ],
)
def test_a_secret_is_taken_out_however_it_is_spelled(spelling: str) -> None:
    assert scrubber([SECRET])({"k " + spelling: [f"x{spelling}y", {"z": spelling}]}) == {"k ***": ["x***y", {"z": "***"}]}


def test_secrets_are_taken_out_of_everything_and_words_of_our_own_stay(run_of: RunOf) -> None:
    run = run_of("no_go_rolled_back")
    verdict = run["hosts"]["web-1"]["verdicts"][0]
    verdict.update(reason="got CANARY-token", proof={"CANARY-token": 90817263, "body": ["CANARY-token"]}, tags=["CANARY-token"])
    verdict["measures"]["who"] = {"value": "CANARY-token", "unit": ""}
    run["reasons"].append("CANARY-token was seen")
    read = read_run(run, ["CANARY-token", "90817263", "pass", "no_go", "", "  "])
    assert "CANARY" not in repr(read)
    assert "90817263" not in repr(read)
    assert (read.decision, read.hosts[0].verdicts[0].status) == ("no_go", "pass")


def test_a_short_secret_does_not_eat_the_report() -> None:
    clean = scrubber(["ab", "line one of the key\nline two of the key"])
    assert clean("ab about ab, cab") == "*** about ***, cab"
    assert clean("bad line: line two of the key!") == "bad line: ***!"
    assert clean([float("nan"), float("inf"), True, None, 3]) == ["nan", "inf", True, None, 3]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role rollback: what it does, what it calls verified, and what it does when it is asked again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import answers


def checks(world: Any, release: str, tags: list[str], field: str = "release") -> list[dict[str, Any]]:
    return [
        {
            "id": "R-001",
            "title": "The right release answers",
            "http": {"url": f"http://127.0.0.1:{world.port}/"},
            "measures": {"answer": field},
            "expect": {"status": "== 200", "answer": f"== '{release}'"},
            "tags": tags,
        }
    ]


def roll_back(world: Any, *arguments: str, release: str = "1.1.0", kind: str = "cutover", **more: Any) -> Any:
    outcome = world.root / "outcome.json"
    outcome.unlink(missing_ok=True)
    run = {"id": "test", "kind": kind}
    tasks: list[dict[str, Any]] = [
        {"name": "run", "ansible.builtin.set_fact": {"cutover_run": run}},
        {
            "name": "rollback",
            "block": [{"name": "role", "ansible.builtin.include_role": {"name": "golive.cutover.rollback"}}],
            "always": [
                {
                    "name": "outcome",
                    "ansible.builtin.copy": {
                        "content": "{{ rollback_outcome | ansible.builtin.to_json }}",
                        "dest": str(outcome),
                        "mode": "0600",
                    },
                    "changed_when": False,
                    "check_mode": False,
                },
                {
                    "name": "store",
                    "golive.cutover.release": {
                        "store": f"sqlite://{world.home}/golive.db",
                        "environment": "test",
                    },
                    "register": "known",
                },
                {
                    "name": "known",
                    "ansible.builtin.copy": {
                        "content": "{{ known | ansible.builtin.to_json }}",
                        "dest": str(world.root / "known.json"),
                        "mode": "0600",
                    },
                    "changed_when": False,
                    "check_mode": False,
                },
            ],
        },
    ]
    play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
    result = world.run([play], *arguments, extra_vars=world.variables(release, **more))
    result.outcome = json.loads(outcome.read_text(encoding="utf-8")) if outcome.exists() else None
    result.known = json.loads((world.root / "known.json").read_text(encoding="utf-8"))
    return result


def test_previous_release_verified_timed_and_asked_again(world: Any) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    result = roll_back(world, cutover_checks=checks(world, "1.0.0", ["smoke"]))
    assert result.rc == 0, result.why
    outcome = result.outcome
    assert outcome["verified"] is True
    assert (outcome["strategy"], outcome["to"], outcome["error"], outcome["budget"]) == ("previous_release", "1.0.0", None, 120.0)
    assert 0 < outcome["seconds"] < 60
    assert [(one["name"], one["status"]) for one in outcome["steps"]] == [
        ("previous_release", "ok"),
        ("services", "ok"),
        ("checks", "ok"),
    ]
    assert [one["status"] for one in outcome["verdicts"]] == ["pass"]
    assert world.ask()["release"] == "1.0.0"
    assert result.known["current"]["id"] == "1.0.0"
    assert {one["id"]: one["status"] for one in result.known["releases"]}["1.1.0"] == "rejected"

    # By hand and again: it is the same rollback, not one release further back.
    again = roll_back(world, kind="rollback", cutover_checks=checks(world, "1.0.0", ["smoke"]))
    assert again.rc == 0, again.why
    assert again.outcome["to"] == "1.0.0"
    assert again.outcome["verified"] is True
    assert again.changed() == 0, again.output


@pytest.mark.parametrize(
    ("tags", "release", "expected"),
    [(["smoke"], "1.1.0", "R-001"), (["other"], "1.0.0", "No check carries any of the tags")],
)
def test_not_verified_when_checks_fail_or_none_was_asked(world: Any, tags: list[str], release: str, expected: str) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    result = roll_back(world, cutover_checks=checks(world, release, tags))
    assert result.rc != 0
    assert result.outcome["verified"] is False
    assert expected in result.outcome["error"]
    assert result.outcome["to"] == "1.0.0"
    assert world.ask()["release"] == "1.0.0"


def test_target_gone_is_an_error_and_what_runs_is_left_alone(world: Any) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    (world.home / "releases" / "1.0.0" / "RELEASE").unlink()
    result = roll_back(world, cutover_checks=checks(world, "1.0.0", ["smoke"]))
    assert result.rc != 0
    assert result.outcome["verified"] is False
    assert "RELEASE is gone" in result.outcome["error"]
    assert world.ask()["release"] == "1.1.0"
    assert result.known["current"]["id"] == "1.1.0"


def test_first_release_is_stopped_and_seen_to_be_stopped(world: Any) -> None:
    world.deploy("1.1.0", accept=False)
    result = roll_back(world, cutover_checks=checks(world, "1.1.0", ["smoke"]))
    assert result.rc == 0, result.why
    assert (result.outcome["to"], result.outcome["verified"], result.outcome["verdicts"]) == (None, True, [])
    assert not answers(world.port)


def test_release_that_is_named_must_have_been_accepted(world: Any) -> None:
    for release in ("0.9.0", "1.0.0"):
        world.deploy(release)
    world.deploy("1.1.0", accept=False)
    refused = roll_back(world, rollback_to="2.0.0")
    assert refused.rc != 0
    assert "the release 2.0.0 is not known" in refused.outcome["error"]
    result = roll_back(world, rollback_to="0.9.0", cutover_checks=checks(world, "0.9.0", ["smoke"]))
    assert result.rc == 0, result.why
    assert world.ask()["release"] == "0.9.0"


def test_strategy_that_changes_a_setting(world: Any) -> None:
    world.deploy("1.0.0")
    strategies = {
        "stop_scheduler": {"set": {"LEVEL": "off"}, "services": ["api"], "tags": ["smoke"], "budget": "20s"},
    }
    result = roll_back(
        world,
        release="1.0.0",
        rollback_strategy="stop_scheduler",
        rollback_strategies=strategies,
        cutover_checks=checks(world, "off", ["smoke"], field="level"),
    )
    assert result.rc == 0, result.why
    assert result.outcome["verified"] is True
    assert result.outcome["to"] == "1.0.0"
    assert world.ask()["level"] == "off"
    assert result.known["current"]["status"] == "accepted"


def test_check_mode_changes_nothing_and_claims_nothing(world: Any) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    result = roll_back(world, "--check", cutover_checks=checks(world, "1.0.0", ["smoke"]))
    assert result.rc == 0, result.why
    assert result.outcome["verified"] is False
    assert world.ask()["release"] == "1.1.0"
    assert result.known["current"]["id"] == "1.1.0"


LESS_FIRST = [{"strategy": "stop_scheduler", "tags": ["level"]}, {"strategy": "previous_release"}]
LEVEL = {"stop_scheduler": {"set": {"LEVEL": "off"}, "services": ["api"], "tags": ["stopped"], "budget": "20s"}}


def asked(world: Any, wanted: str) -> list[dict[str, Any]]:
    """What shows that the scheduler stopped, what the release was refused for, and what is asked after going back."""
    (stopped,) = checks(world, "off", ["stopped"], field="level")
    (refused,) = checks(world, wanted, ["level"], field="level")
    (back,) = checks(world, "1.0.0", ["smoke"])
    return [{**stopped, "id": "STOPPED"}, {**refused, "id": "LEVEL"}, {**back, "id": "BACK"}]


def test_auto_does_the_least_that_answers(world: Any) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    result = roll_back(
        world,
        rollback_strategy="auto",
        rollback_order=LESS_FIRST,
        rollback_strategies=LEVEL,
        rollback_causes=[{"host": "h", "check": "LEVEL", "tags": ["level"]}],
        cutover_checks=asked(world, "off"),
    )
    assert result.rc == 0, result.why
    outcome = result.outcome
    assert (outcome["strategy"], outcome["to"], outcome["verified"], outcome["budget"]) == ("stop_scheduler", "1.1.0", True, 20.0)
    assert [(one["strategy"], one["verified"]) for one in outcome["attempts"]] == [("stop_scheduler", True)]
    # What the release was refused for was asked again.
    assert {one["id"] for one in outcome["verdicts"]} == {"STOPPED", "LEVEL"}
    assert (world.ask()["release"], world.ask()["level"]) == ("1.1.0", "off")
    assert {one["id"]: one["status"] for one in result.known["releases"]}["1.1.0"] == "deployed"


def test_auto_goes_on_when_the_least_did_not_help(world: Any) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    result = roll_back(
        world,
        rollback_strategy="auto",
        rollback_order=LESS_FIRST,
        rollback_strategies=LEVEL,
        rollback_causes=[{"host": "h", "check": "LEVEL", "tags": ["level"]}],
        cutover_checks=asked(world, "high"),
    )
    assert result.rc == 0, result.why
    outcome = result.outcome
    assert (outcome["strategy"], outcome["to"], outcome["verified"], outcome["error"]) == ("previous_release", "1.0.0", True, None)
    assert [(one["strategy"], one["verified"]) for one in outcome["attempts"]] == [
        ("stop_scheduler", False),
        ("previous_release", True),
    ]
    assert "blocked by LEVEL" in outcome["attempts"][0]["error"]
    assert outcome["budget"] == 140.0
    assert world.ask()["release"] == "1.0.0"
    assert {one["id"]: one["status"] for one in result.known["releases"]}["1.1.0"] == "rejected"


def test_auto_says_of_each_attempt_why_it_failed(world: Any) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    questions = [one for one in asked(world, "high") if one["id"] != "BACK"]
    result = roll_back(
        world,
        rollback_strategy="auto",
        rollback_order=LESS_FIRST,
        rollback_strategies=LEVEL,
        rollback_causes=[{"host": "h", "check": "LEVEL", "tags": ["level"]}],
        cutover_checks=questions,
    )
    assert result.rc != 0
    assert result.outcome["verified"] is False
    assert "stop_scheduler: " in result.outcome["error"]
    assert "previous_release: " in result.outcome["error"]
    first, second = (result.outcome["error"].find(why) for why in ("blocked by LEVEL", "No check carries any of the tags smoke"))
    assert 0 < first < second


def test_emergency_stop_runs_the_command_of_the_environment(world: Any) -> None:
    world.deploy("1.0.0")
    stop = {"command": ["touch", str(world.root / "stopped")], "tags": ["smoke"], "budget": "20s"}
    more: dict[str, Any] = {"release": "1.0.0", "rollback_strategy": "emergency_stop"}
    more["cutover_checks"] = checks(world, "1.0.0", ["smoke"])
    seen = roll_back(world, "--check", rollback_strategies={"emergency_stop": stop}, **more)
    assert seen.rc == 0, seen.why
    assert not (world.root / "stopped").exists()
    result = roll_back(world, rollback_strategies={"emergency_stop": stop}, **more)
    assert result.rc == 0, result.why
    assert (result.outcome["to"], result.outcome["verified"]) == ("1.0.0", True)
    assert (world.root / "stopped").exists()
    refused = roll_back(world, rollback_strategies={"emergency_stop": {"tags": ["smoke"]}}, **more)
    assert refused.rc != 0
    assert "rollback_strategies.emergency_stop.command: is missing" in refused.outcome["error"]

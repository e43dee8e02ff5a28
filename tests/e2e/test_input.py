# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong input is refused before anything is touched, every mistake in one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.e2e.stage import CHECKS, STEPS, Stage, quick, settings, tree


def wrong(**more: Any) -> dict[str, Any]:
    return {**quick(), **more}


def refused(stage: Stage, release: str | None, **variables: Any) -> str:
    """Run, expect a refusal that touched nothing, and return what the report gives as the reasons."""
    before = tree(stage.home)
    done = stage.run("cutover", release, **variables)
    assert done.rc != 0, done.why
    assert tree(stage.home) == before
    assert not (stage.home / "golive").exists()
    decision = stage.decision()
    assert decision["decision"] == "no_go"
    assert decision["rolled_back"] is False
    assert all(not host["changed"] for host in decision["hosts"].values())
    return "\n".join(decision["reasons"])


MISTAKEN_CHECKS = [
    {"id": "X-1", "http": {"url": "http://127.0.0.1:1/", "methode": "GET"}, "expect": {"status": "== 200"}},
    {"id": "X-2", "telepathy": {"mind": "open"}, "expect": {"status": "== 200"}},
    {"id": "X-3", "tcp": {"host": "127.0.0.1", "port": 1}},
    {"id": "X-4", "http": {"url": "http://127.0.0.1:1/"}, "warn": {"latency": "> 5 parsecs"}},
]
MISTAKEN_STEPS = [
    *quick()["cutover_steps"],
    {"name": "dance", "budget": "1 waltz", "role": "golive.cutover.deploy", "tempo": "fast"},
    {"name": "nothing"},
]
MISTAKEN_ORDER = [{"strategy": "emergency_stop", "tags": ["smoke"]}, {"strategy": "undo"}]


def test_all_mistakes_in_one_message(stage: Stage) -> None:
    keys = stage.machine.redis.dbsize()
    checks = [{"title": "A mistake", "tags": ["smoke", "regression"], **one} for one in MISTAKEN_CHECKS]
    token = settings(TELEGRAM_BOT_TOKEN="your_telegram_bot_token_here")
    plan = wrong(cutover_checks=checks, cutover_steps=MISTAKEN_STEPS, secrets_values=token, rollback_order=MISTAKEN_ORDER)
    said = refused(stage, None, **plan)
    wanted = "cutover_release X-1 methode X-2 telepathy X-3 X-4 parsecs dance waltz tempo nothing TELEGRAM_BOT_TOKEN"
    wanted += " undo emergency_stop.command"
    for word in wanted.split():
        assert word in said, f"{word}\n{said}"
    assert "your_telegram_bot_token_here" not in said
    assert stage.machine.redis.dbsize() == keys
    assert stage.machine.redis.config_get("appendonly") == {"appendonly": "no"}


def test_a_placeholder_alone_is_refused_before_anything_changes(stage: Stage) -> None:
    said = refused(stage, "1.0.0", **wrong(secrets_values=settings(TELEGRAM_CHAT_ID="your_chat_id_here")))
    assert "TELEGRAM_CHAT_ID" in said


def test_a_plan_without_an_end_is_refused(stage: Stage) -> None:
    """No steps, no checks, a gate that names what is not there: none of it may end in GO."""
    gate = {"criteria": [{"name": "All", "checks": ["Y-1"]}]}
    said = refused(stage, "1.0.0", cutover_steps=[], cutover_checks=[], cutover_gate=gate)
    for word in ("cutover_steps", "cutover_checks", "Y-1"):
        assert word in said, said


def test_a_name_that_would_leave_its_directory_is_refused(stage: Stage) -> None:
    assert "cutover_release" in refused(stage, "../../1.0.0", **quick())


def test_a_run_that_could_not_be_reported_is_refused(stage: Stage) -> None:
    nowhere = stage.root / "a-file"
    nowhere.write_text("", encoding="utf-8")
    before = tree(stage.home)
    done = stage.run("cutover", "1.0.0", cutover_reports_dir=str(nowhere), **quick())
    assert done.rc != 0
    assert "no report can be written to" in done.output
    assert "Nothing was touched" in done.output
    assert tree(stage.home) == before


def test_a_pattern_that_matches_nothing(new_stage: Callable[[], Stage]) -> None:
    stage = new_stage()
    done = stage.run("cutover", "1.0.0", cutover_hosts="nobody")
    assert done.rc != 0
    assert "nobody" in done.output


def test_serial_that_is_no_number(stage: Stage) -> None:
    said = refused(stage, "1.0.0", cutover_serial="a few", **quick())
    assert "cutover_serial" in said


def test_the_runbook_has_its_numbers() -> None:
    """18 regression checks, each id once, and every step asks something that no other step asks."""
    ids = [one["id"] for one in CHECKS]
    assert len(ids) == len(set(ids))
    assert sum("regression" in one["tags"] for one in CHECKS) == 18
    assert [one["name"] for one in STEPS] == ["secrets", "deploy", "redis", "proxy", "smoke", "regression", "cli", "ui"]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted secrets: wherever a run writes, none of them stands there, however verbose it was."""

from __future__ import annotations

import stat

import pytest

from tests.e2e.stage import CHECKS, Stage, quick, settings

pytestmark = pytest.mark.slow


def everywhere(stage: Stage, secrets: dict[str, str]) -> list[str]:
    """Where a secret stands, other than in an env file or in the variables that the test hands over."""
    found = []
    for path, content in stage.files():
        if path.name == "vars.json" or (path.name == ".env" and "releases" in path.parts):
            continue
        found += [f"{name} in {path.relative_to(stage.root)}" for name, value in secrets.items() if value.encode() in content]
    for pid, command in stage.processes():
        found += [f"{name} on the command line of {pid}: {command[:80]}" for name, value in secrets.items() if value in command]
    return found


def test_no_secret_is_written_anywhere(stage: Stage, canary: str) -> None:
    # In the forms that a token has, so that nothing is refused as a placeholder; each half is looked for as well.
    token, webhook, checked = f"110201543:{canary}-bot", f"{canary}-hook", f"{canary}-header"
    secrets = {"canary": canary, "token": token, "webhook": webhook, "checked": checked}
    few = quick("redis", "proxy")
    asked = [dict(one) for one in few["cutover_checks"]]
    asked[0]["http"] = {**asked[0]["http"], "headers": {"Authorization": {"secret": "front_token"}}}
    # One that fails, so that its request is told in full.
    failing = {
        "id": "SECRET-1",
        "title": "A page that is not there, asked with a secret",
        "http": {"url": "{{ cutover_base_url }}/not-there", "headers": {"X-Token": {"secret": "front_token"}}},
        "expect": {"status": "== 200"},
        "required": False,
        "tags": ["smoke"],
    }
    stage.variables.update(
        {
            **few,
            "cutover_checks": [*asked, failing, *(one for one in CHECKS if one["id"] == "FIELD-1")],
            "cutover_secrets": {"front_token": checked},
            "secrets_values": settings(TELEGRAM_BOT_TOKEN=token, NOTIFY_WEBHOOK_URL=f"https://hooks.slack.com/services/{webhook}"),
        }
    )
    go = stage.run("cutover", "1.0.0", "-vvv", "--diff")
    assert go.rc == 0, go.output[-5000:]
    seen = {one["id"]: one for one in stage.decision()["verdicts"]}
    assert seen["SECRET-1"]["status"] in ("fail", "warn")
    no_go = stage.run("cutover", "1.1.0-errors", "-vvv", "--diff")
    assert no_go.rc != 0
    assert stage.decision()["rollback_verified"] is True
    status = stage.run("status", None, "-vvv")
    assert status.rc == 0, status.output[-3000:]
    for env_file in (stage.home / "golive/releases").glob("*/.env"):
        assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
        assert token in env_file.read_text(encoding="utf-8")
    assert everywhere(stage, secrets) == []
    outputs = {"go": go.output, "no_go": no_go.output, "status": status.output}
    assert [name for name, said in outputs.items() if canary in said] == []


def test_the_checks_of_the_runbook_carry_no_secret() -> None:
    assert "110201543" not in repr(CHECKS)

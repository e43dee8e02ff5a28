# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""People are told of the course of a cutover and of a rollback by hand, and it decides nothing when they cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stage import Stage, quick
from tests.integration.notify.conftest import HttpReceiver

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-notify")]


@pytest.fixture
def receiver() -> Any:
    server = HttpReceiver()
    yield server
    server.close()


def second_inventory(path: Path, **variables: Any) -> list[str]:
    """Arguments for an inventory that adds variables of the hosts: not extra variables, which the controller would have too."""
    path.write_text(json.dumps({"all": {"vars": variables}}), encoding="utf-8")
    return ["-i", str(path)]


def test_the_course_of_a_cutover(stage: Stage, receiver: HttpReceiver, tmp_path: Path, free_port: Callable[[], int]) -> None:
    hook = {"name": "hook", "kind": "webhook", "url": f"{receiver.url}/x"}
    nobody = {"name": "nobody", "kind": "webhook", "url": f"http://localhost:{free_port()}/", "events": ["go", "rollback_ended"]}
    told = {"notify_channels": [hook, nobody], "notify_budget": "1s"}
    refused = stage.run("cutover", "1.0.0", *second_inventory(tmp_path / "no.json", **told), **quick())
    assert refused.rc != 0 and "is not among the allowed hosts" in refused.output and not receiver.requests
    assert not stage.store.exists()
    more = second_inventory(tmp_path / "more.json", **told, notify_allowed_hosts="localhost,hooks.slack.com")
    good = stage.run("cutover", "1.0.0", *more, **quick())
    assert good.rc == 0, good.output
    assert "nobody (localhost) was not told of go" in good.output
    became = [(one["channel"], one["event"], one["status"]) for one in stage.decision()["notifications"]]
    assert became == [("hook", "start", "sent"), ("hook", "go", "sent"), ("nobody", "go", "failed")]
    assert stage.decision()["dora"]["figures"]["deployment_duration"]["count"] == 1
    assert [one["json"]["subject"] for one in receiver.requests] == [
        "START: demo is being cut over to 1.0.0",
        "GO: demo runs 1.0.0",
    ]
    receiver.requests.clear()
    bad = stage.run("cutover", "1.1.0-errors", *more, **quick())
    assert bad.rc != 0 and stage.decision()["rolled_back"] is True, bad.output
    assert [one["json"]["event"] for one in receiver.requests] == ["start", "no_go", "rollback_begun", "rollback_ended"]
    assert receiver.requests[-1]["json"]["subject"] == "ROLLBACK ended: demo runs 1.0.0, verified"
    assert (stage.reports / "notifications.db").exists()
    assert ("nobody", "rollback_ended", "failed") in [
        (one["channel"], one["event"], one["status"]) for one in stage.decision()["notifications"]
    ]

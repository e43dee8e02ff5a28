# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module notify as a task: no message twice, no failed task, and no secret in anything that is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.notify.conftest import HttpReceiver, TelegramStandIn
from tests.integration.probes.servers import Issued

Told = Callable[..., Any]


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    return {
        "store": f"sqlite://{tmp_path}/golive.db",
        "environment": "spark",
        "run": "run-1",
        "event": "no_go",
        "subject": "NO-GO",
        "allowed_hosts": ["localhost"],
    }


def hook(server: HttpReceiver, name: str = "hook") -> dict[str, Any]:
    return {"name": name, "kind": "webhook", "url": server.url}


def test_a_rerun_tells_nobody_twice(run_module: Told, started: Callable[[Any], Any], arguments: dict[str, Any]) -> None:
    server: HttpReceiver = started(HttpReceiver())
    arguments |= {"channels": [hook(server), {**hook(server, "other"), "events": ["go"]}]}
    rehearsed = run_module("notify", arguments, check=True)
    assert rehearsed["changed"] and [one["status"] for one in rehearsed["results"]] == ["would_send"] and not server.requests
    first = run_module("notify", arguments)
    assert first["changed"] and [(one["channel"], one["status"]) for one in first["results"]] == [("hook", "sent")]
    again = run_module("notify", arguments)
    assert not again["changed"] and again["results"][0]["status"] == "already"
    assert not run_module("notify", {**arguments, "subject": "NO-GO", "text": ""})["changed"]
    assert run_module("notify", {**arguments, "text": "One more"})["changed"]
    assert len(server.requests) == 2


def test_what_makes_it_the_same_can_be_said(run_module: Told, started: Callable[[Any], Any], arguments: dict[str, Any]) -> None:
    server: HttpReceiver = started(HttpReceiver())
    arguments |= {"channels": [hook(server)], "identity": {"decision": "no_go"}}
    assert run_module("notify", {**arguments, "text": "after 3 s"})["changed"]
    assert not run_module("notify", {**arguments, "text": "after 4 s"})["changed"]


def test_a_channel_that_cannot_be_told_is_a_result(
    run_module: Told, started: Callable[[Any], Any], arguments: dict[str, Any], free_port: Callable[[], int]
) -> None:
    server: HttpReceiver = started(HttpReceiver())
    nobody = {"name": "nobody", "kind": "webhook", "url": f"http://localhost:{free_port()}/"}
    done = run_module("notify", {**arguments, "channels": [nobody, hook(server)], "budget": "1s"})
    assert not done["failed"] and done["changed"]
    assert [(one["channel"], one["status"]) for one in done["results"]] == [("nobody", "failed"), ("hook", "sent")]
    # A store that does not work keeps nobody from being told.
    (Path(arguments["store"][9:]).parent / "file").write_text("")
    broken = run_module("notify", {**arguments, "store": f"{arguments['store']}/../file/x.db", "channels": [hook(server)]})
    assert not broken["failed"] and broken["results"][0]["status"] == "sent"
    assert "may be told twice" in broken["results"][0]["reason"]


def test_an_input_that_is_refused(run_module: Told, arguments: dict[str, Any], canary: str) -> None:
    channels = [{"name": "hook", "kind": "slack", "url": f"https://hooks.example.org/{canary}"}]
    done = run_module("notify", {**arguments, "channels": channels, "secrets": {"misplaced": canary}, "state": "validated"})
    assert done["failed"] and "expected {secret: NAME}" in done["msg"] and canary not in str(done)
    done = run_module("notify", {**arguments, "channels": [], "rate": "many", "budget": "30"})
    assert done["failed"] and "rate" in done["msg"] and "budget" in done["msg"]


def test_no_secret_is_written(
    ansible_playbook: Callable[..., Any], started: Callable[[Any], Any], issued: Issued, arguments: dict[str, Any], tmp_path: Path
) -> None:
    """A token in an address, with the characters that are spelled in another way there, in everything that -vvv shows."""
    telegram: TelegramStandIn = started(TelegramStandIn(issued))
    server: HttpReceiver = started(HttpReceiver(issued))
    server.replies = [(400, {}, "canary-hook is not welcome")]
    secrets = {
        "telegram": TelegramStandIn.token,
        "gone": "77:canary_gone",
        "hook": f"{server.url}/canary-hook/a+b%2Fc?x=canary+1",
        "header": "Bearer canary-header",
    }
    common = {"kind": "telegram", "chat_id": 1, "api": telegram.url, "ca": str(issued.ca)}
    channels = [
        {"name": "telegram", **common, "token": {"secret": "telegram"}},
        {"name": "gone", **common, "token": {"secret": "gone"}},
        {
            "name": "hook",
            "kind": "webhook",
            "url": {"secret": "hook"},
            "headers": {"Authorization": {"secret": "header"}},
            "ca": str(issued.ca),
        },
    ]
    task = {
        "golive.cutover.notify": {**arguments, "channels": channels, "secrets": "{{ given }}", "hide": ["{{ hidden }}"]}
        | {"text": "S-003: password {{ hidden }} was refused", "data": {"reasons": ["{{ hidden }}"]}},
        "register": "told",
    }
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [task, {"ansible.builtin.debug": {"var": "told"}}]}
    done = ansible_playbook([play], "-vvv", extra_vars={"given": secrets, "hidden": "canary-db-password"})
    assert done.rc == 0, done.output
    assert [request["path"] for request in server.requests] == ["/canary-hook/a+b%2Fc?x=canary+1"]
    assert server.requests[0]["headers"]["authorization"] == "Bearer canary-header"
    assert server.requests[0]["json"]["text"] == "S-003: password *** was refused"
    assert server.requests[0]["json"]["data"] == {"reasons": ["***"]}
    assert "localhost answered 404" in done.output
    assert "canary" not in done.output
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("golive.db*"))
    assert kept and b"canary" not in kept

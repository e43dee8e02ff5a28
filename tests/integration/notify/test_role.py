# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role notify in a play of two hosts, of which one cannot be reached."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.notify.conftest import HttpReceiver

RUN = {"id": "run-1", "environment": "spark", "kind": "cutover", "release": "1.0.0", "operator": "ann", "hosts": ["web-1", "web-2"]}


def event(name: str, **more: Any) -> dict[str, Any]:
    given = {"notify_event": name, "notify_run": RUN, **{f"notify_{key}": value for key, value in more.items()}}
    return {"name": name, "ansible.builtin.include_role": {"name": "golive.cutover.notify"}, "vars": given}


def test_the_course_of_a_run(
    ansible_playbook: Callable[..., Any], started: Callable[[Any], Any], tmp_path: Path, canary: str, free_port: Callable[[], int]
) -> None:
    server: HttpReceiver = started(HttpReceiver())
    no_go = {"decision": "no_go", "reasons": [f"S-003: password {canary} was refused"]}
    back = {"rollback": {"to": "0.9.0", "verified": True, "seconds": 6.2, "hosts": {}}}
    checkpoint = {"status": "no_go", "reasons": ["memory is 512 MB"], "about": ["M-1"]}
    events = [
        event("start"),
        event("no_go", record=no_go),
        event("rollback_begun"),
        event("rollback_ended", record=back),
        event("checkpoint", topic="T+4h", record=checkpoint),
        event("checkpoint", topic="T+4h", record={**checkpoint, "reasons": ["memory is 513 MB"]}),
        event("checkpoint", topic="T+4h", record={**checkpoint, "about": ["M-1", "L-1"]}),
        event("checkpoint"),
    ]
    shown = {"content": "{{ notify_results | to_json }}", "dest": str(tmp_path / "results.json"), "mode": "0600"}
    tasks = [*events, {"ansible.builtin.copy": shown, "delegate_to": "localhost", "run_once": True}]
    plays = [{"hosts": "localhost:all", "gather_facts": False, "tasks": tasks}]
    nobody = {"name": "nobody", "kind": "webhook", "url": f"http://localhost:{free_port()}/", "events": ["rollback_ended"]}
    variables = {
        "cutover_environment": "spark",
        "cutover_reports_dir": str(tmp_path / "reports"),
        "cutover_secrets": {"password": canary, "hook": f"{server.url}/{canary}"},
        "notify_channels": [{"name": "hook", "kind": "webhook", "url": {"secret": "hook"}}, nobody],
        "notify_allowed_hosts": ["localhost"],
        "notify_budget": "1s",
    }
    far = {"ansible_host": "192.0.2.1", "ansible_connection": "ssh"}
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {"localhost": here, "web-1": far, "web-2": far}, "vars": variables}}
    done = ansible_playbook(plays, "-vvv", inventory=inventory)
    assert done.rc == 0, done.output
    told = [request["json"] for request in server.requests]
    assert [(one["event"], one["subject"]) for one in told] == [
        ("start", "START: spark is being cut over to 1.0.0"),
        ("no_go", "NO-GO: spark does not get 1.0.0"),
        ("rollback_begun", "ROLLBACK begun: spark"),
        ("rollback_ended", "ROLLBACK ended: spark runs 0.9.0, verified"),
        ("checkpoint", "CHECKPOINT T+4h of spark: NOT met"),
        ("checkpoint", "CHECKPOINT T+4h of spark: NOT met"),
    ]
    assert told[1]["text"] == "- S-003: password *** was refused\nRun run-1 by ann"
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    became = [(one["event"], one["channel"], one["status"]) for one in results]
    assert became == [
        ("start", "hook", "sent"),
        ("no_go", "hook", "sent"),
        ("rollback_begun", "hook", "sent"),
        ("rollback_ended", "hook", "sent"),
        ("rollback_ended", "nobody", "failed"),
        ("checkpoint", "hook", "sent"),
        ("checkpoint", "hook", "already"),
        ("checkpoint", "hook", "sent"),
        ("checkpoint", "-", "failed"),
    ]
    assert "a checkpoint has a name" in results[-1]["reason"]
    assert "nobody (localhost) was not told of rollback_ended" in done.output
    assert canary not in done.output + json.dumps(results)
    before = len(server.requests)
    again = ansible_playbook(plays, inventory=inventory)
    # Of a topic the last state was told; what was before it is news again.
    assert again.rc == 0 and [one["json"]["event"] for one in server.requests[before:]] == ["checkpoint", "checkpoint"]


def test_channels_are_refused_before_a_run(ansible_playbook: Callable[..., Any], tmp_path: Path) -> None:
    validate = {"name": "golive.cutover.notify", "tasks_from": "validate"}
    plays = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.include_role": validate}]}]
    variables = {
        "cutover_environment": "spark",
        "cutover_reports_dir": str(tmp_path),
        "notify_channels": [{"name": "hook", "kind": "webhook", "url": "https://hooks.example.org/"}],
    }
    done = ansible_playbook(plays, extra_vars=variables)
    assert done.rc != 0 and "hooks.example.org is not among the allowed hosts" in done.output
    fine = ansible_playbook(plays, extra_vars={**variables, "notify_allowed_hosts": ["hooks.example.org"]})
    assert fine.rc == 0, fine.output


def test_a_rollback_goes_on_whatever_the_channels_are(
    ansible_playbook: Callable[..., Any], started: Callable[[Any], Any], tmp_path: Path
) -> None:
    server: HttpReceiver = started(HttpReceiver())
    run = {**RUN, "kind": "rollback", "reports_dir": str(tmp_path), "hosts": ["web-1"]}
    outcome = {"state": "done", "changed": True, "steps": [], "verdicts": [], "failed": None}
    undone = {"strategy": "previous_release", "to": "0.9.0", "verified": True, "seconds": 3, "verdicts": []}
    tasks = [
        {"ansible.builtin.set_fact": {"cutover_run": run, "cutover_outcome": outcome, "cutover_undone": undone}},
        *[
            {
                "ansible.builtin.include_role": {"name": "golive.cutover.notify", "tasks_from": part},
                "when": "part == 'begin' or notify_usable",
                "vars": {"part": part},
            }
            for part in ("begin", "ended")
        ],
        {"ansible.builtin.debug": {"msg": "went on on {{ inventory_hostname }}"}},
    ]
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    channels = [{"name": "hook", "kind": "webhook", "url": server.url}]
    for allowed, told in ((["elsewhere.example"], []), (["localhost"], ["rollback_begun", "rollback_ended"])):
        of_hosts = {**here, "notify_channels": channels, "notify_allowed_hosts": allowed}
        inventory = {"all": {"hosts": {"localhost": here, "web-1": of_hosts}, "vars": {"cutover_environment": "spark"}}}
        done = ansible_playbook([{"hosts": "localhost:all", "gather_facts": False, "tasks": tasks}], inventory=inventory)
        assert done.rc == 0 and all(f"went on on {host}" in done.output for host in ("localhost", "web-1")), done.output
        assert [one["json"]["event"] for one in server.requests] == told
    assert server.requests[1]["json"]["subject"] == "ROLLBACK ended: spark runs 0.9.0, verified"


def test_a_rollback_waits_no_longer_than_it_may_and_all_is_told_in_the_end(
    ansible_playbook: Callable[..., Any], started: Callable[[Any], Any], tmp_path: Path
) -> None:
    team: HttpReceiver = started(HttpReceiver())
    slow: HttpReceiver = started(HttpReceiver())
    slow.replies = [60.0]
    run = {**RUN, "reports_dir": str(tmp_path), "hosts": ["web-1"]}
    outcome = {"state": "done", "changed": True, "steps": [], "verdicts": [], "failed": None}
    undone = {"strategy": "previous_release", "to": "0.9.0", "verified": True, "seconds": 3, "verdicts": []}
    decided = {"decision": "no_go", "reasons": ["S-003 failed"], "criteria": []}
    shown = {
        "content": "{{ [notify_results, notify_put_off] | to_json }}",
        "dest": f"{tmp_path}/{{{{ part }}}}.json",
        "mode": "0600",
    }

    def tell(part: str) -> list[dict[str, Any]]:
        role = {"name": "golive.cutover.notify", "tasks_from": part}
        keep = {"ansible.builtin.copy": shown, "vars": {"part": part}, "delegate_to": "localhost", "run_once": True}
        return [{"ansible.builtin.include_role": role}, keep]

    facts = {"cutover_run": run, "cutover_outcome": outcome, "cutover_undone": undone, "cutover_decided": decided}
    tasks = [{"ansible.builtin.set_fact": facts}, *tell("begin"), *tell("decided"), *tell("ended")]
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    channels = [
        {"name": "slow", "kind": "webhook", "url": slow.url, "events": ["no_go", "rollback_begun", "rollback_ended"]},
        {"name": "team", "kind": "webhook", "url": team.url},
    ]
    of_hosts: dict[str, Any] = {**here, "notify_channels": channels, "notify_allowed_hosts": ["localhost"]}
    of_hosts["notify_prompt_budget"] = "3s"
    # A secret that is also the name of a channel: its records do not show the name, and it is told later all the same.
    of_hosts["cutover_secrets"] = {"word": "slow"}
    inventory = {"all": {"hosts": {"localhost": here, "web-1": of_hosts}, "vars": {"cutover_environment": "spark"}}}
    done = ansible_playbook([{"hosts": "localhost:all", "gather_facts": False, "tasks": tasks}], inventory=inventory)
    assert done.rc == 0, done.output

    def read(part: str) -> tuple[list[tuple[str, str, str]], list[Any]]:
        results, put_off = json.loads((tmp_path / f"{part}.json").read_text(encoding="utf-8"))
        assert all(one["seconds"] < 20 for one in results), "what waits for it waits for one budget"
        return [(one["event"], one["channel"], one["status"]) for one in results], put_off

    became, put_off = read("decided")
    assert became == [
        ("start", "team", "sent"),
        ("no_go", "***", "failed"),
        ("no_go", "team", "sent"),
        ("rollback_begun", "***", "failed"),
        ("rollback_begun", "team", "sent"),
    ]
    assert [(one["event"], one["only"]) for one in put_off] == [("no_go", ["slow"]), ("rollback_begun", ["slow"])]
    became, put_off = read("ended")
    assert not put_off and [one for one in became if one[1] == "***"] == [
        ("no_go", "***", "sent"),
        ("rollback_begun", "***", "sent"),
        ("rollback_ended", "***", "sent"),
    ]
    # The first of them is the one that was given up. Nobody else is told twice.
    assert [one["json"]["event"] for one in slow.requests] == ["no_go", "no_go", "rollback_begun", "rollback_ended"]
    assert [one["json"]["event"] for one in team.requests] == ["start", "no_go", "rollback_begun", "rollback_ended"]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account on a terminal, from real runs of small playbooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

STEPS = [
    {"name": "preflight", "seconds": 1.31, "budget": 30.0, "status": "ok", "error": None},
    {"name": "smoke", "seconds": 19.5, "budget": 15.0, "status": "over", "error": None},
    {"name": "deploy", "seconds": 4, "budget": None, "status": "failed", "error": "web-next never became healthy"},
]
CHECKS = [
    {"id": "T-1", "title": "Somebody listens", "tcp": {"host": "127.0.0.1", "port": 1}, "expect": {"open": "== true"}},
    {"id": "T-2", "title": "Nobody listens", "tcp": {"host": "127.0.0.1", "port": 1}, "expect": {"open": "== false"}},
]
Play = dict[str, Any]


def _record(count: int) -> Play:
    return {"name": "Record step", "ansible.builtin.set_fact": {"cutover_outcome": {"steps": STEPS[:count]}}}


def _plays(tasks: list[Play], hosts: str = "all") -> list[Play]:
    return [{"name": "Cut over", "hosts": hosts, "gather_facts": False, "tasks": tasks}]


@pytest.fixture
def account(ansible_playbook: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``run(tasks, *arguments, **options)``, which plays tasks with the account on screen."""

    def run(tasks: list[Play], *arguments: str, **options: Any) -> Any:
        env = {"ANSIBLE_STDOUT_CALLBACK": "golive.cutover.account", **options.pop("env", {})}
        return ansible_playbook(_plays(tasks), *arguments, env=env, **options)

    return run


def test_a_line_for_each_step_and_what_did_not_pass(account: Callable[..., Any]) -> None:
    quiet = {"name": "A quiet change", "ansible.builtin.command": "echo noise", "changed_when": True}
    ask = {"name": "Ask", "golive.cutover.check": {"checks": CHECKS}}
    done = account([_record(1), quiet, ask, _record(2), _record(2), _record(3)])
    assert done.rc == 0, done.why
    assert done.stdout.splitlines() == [
        "Cut over",
        "  ✓ preflight      1.3 s of 30 s",
        "  ! smoke          19.5 s of 15 s       over its budget, 1 of 2 checks passed",
        "      ✗ T-1 Somebody listens",
        "          " + done.stdout.splitlines()[4].strip(),
        "  ✗ deploy         4 s",
        "      web-next never became healthy",
    ]
    assert "open" in done.stdout.splitlines()[4]


def test_checks_that_no_step_claims_are_shown_at_the_end(account: Callable[..., Any]) -> None:
    done = account([{"name": "Ask", "golive.cutover.check": {"checks": CHECKS}}])
    assert done.stdout.splitlines()[1] == "  ✗ T-1 Somebody listens"
    assert "T-2" not in done.stdout


def test_a_failure_is_shown_in_full_and_a_loop_item_by_item(account: Callable[..., Any]) -> None:
    broken = {
        "name": "A broken command",
        "ansible.builtin.command": {"argv": ["sh", "-c", "echo out; echo err >&2; exit 3"]},
        "ignore_errors": True,
    }
    loop = {"name": "Loop", "ansible.builtin.fail": {"msg": "line one of {{ item }}\nline two"}, "loop": ["a", "b"]}
    done = account([broken, loop])
    assert done.rc == 2
    for said in (
        "  ✗ localhost failed, ignored: A broken command",
        "        err",
        "        out",
        "  ✗ localhost failed: Loop (item a)",
        "      line one of b",
        "      line two",
    ):
        assert said in done.stdout.splitlines(), done.stdout
    assert "failures=1" in done.stdout


def test_the_decision_is_the_last_word(account: Callable[..., Any]) -> None:
    lines = ["NO-GO: release 1.1.0 was refused.", "  - because", "demo was rolled back \x1b[31mto 1.0.0."]
    say = {"name": "Say", "ansible.builtin.debug": {"msg": lines}}
    end = {"name": "End the run", "ansible.builtin.fail": {"msg": "\n".join(lines)}}
    done = account([say, end])
    assert done.rc == 2
    assert done.stdout.splitlines()[1:] == [
        "",
        "  NO-GO: release 1.1.0 was refused.",
        "    - because",
        "  demo was rolled back \\x1b[31mto 1.0.0.",
    ]


def test_a_host_that_is_lost_is_named(account: Callable[..., Any]) -> None:
    inventory = {
        "all": {"hosts": {"web-1": {}, "web-2": {"ansible_connection": "ssh", "ansible_port": 1, "ansible_host": "127.0.0.1"}}}
    }
    done = account([{"ansible.builtin.ping": None}, _record(1)], inventory=inventory)
    assert "  ✗ web-2 is UNREACHABLE" in done.stdout.splitlines()
    assert "  ✓ preflight      1.3 s of 30 s  [web-1]" in done.stdout.splitlines()


@pytest.mark.parametrize("verbosity", ["", "-v", "-vvv"])
def test_what_no_log_hides_stays_hidden(account: Callable[..., Any], verbosity: str) -> None:
    tasks = [
        {"ansible.builtin.command": "echo CANARY-1", "no_log": True, "changed_when": False},
        {"ansible.builtin.command": "sh -c 'echo CANARY-2; exit 1'", "no_log": True, "ignore_errors": True},
        {"ansible.builtin.command": "echo CANARY-{{ item }}", "no_log": True, "changed_when": False, "loop": [3, 4]},
        {
            "ansible.builtin.set_fact": {"cutover_outcome": {"steps": [{**STEPS[2], "error": "CANARY-5"}]}},
            "no_log": True,
        },
        # Not hidden, but an argument: it is never part of the account.
        {"ansible.builtin.command": {"argv": ["true", "CANARY-6"]}, "changed_when": False, "register": "x"},
    ]
    done = account(tasks, *([verbosity] if verbosity else []))
    assert done.rc == 0, done.why
    shown = done.output if verbosity != "-vvv" else done.output.replace('"CANARY-6"', "")
    assert "CANARY-" not in shown
    assert "invocation" not in done.output


def test_more_is_shown_when_asked_for(account: Callable[..., Any]) -> None:
    task = {"name": "A quiet change", "ansible.builtin.command": "echo noise", "changed_when": True}
    assert "A quiet change" not in account([task]).output
    one = account([task], "-v").stdout
    assert "    changed: localhost" in one.splitlines()
    assert "noise" not in one
    assert '"stdout": "noise"' in account([task], "-vv").stdout


def test_colours_only_when_they_can_be_seen(account: Callable[..., Any]) -> None:
    assert "\x1b[" not in account([_record(3)]).stdout
    coloured = account([_record(3)], env={"ANSIBLE_FORCE_COLOR": "1", "ANSIBLE_NOCOLOR": ""}).stdout
    assert "\x1b[" in coloured


def test_a_table_from_a_filter(account: Callable[..., Any]) -> None:
    rows = [{"host": "web-1", "alerts": 3}, {"host": "web-2", "alerts": 12}]
    done = account([{"ansible.builtin.debug": {"msg": "{{ rows | golive.cutover.table }}"}, "vars": {"rows": rows}}])
    assert done.stdout.splitlines()[-4:] == ["  host   alerts", "  -----  ------", "  web-1       3", "  web-2      12"]

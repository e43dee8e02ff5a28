# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A decision that cannot be made is NO-GO: what follows it, rollback and report, still happens."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import AnsibleResult


def test_a_decision_that_could_not_be_made(ansible_playbook: Callable[..., AnsibleResult]) -> None:
    run = {"kind": "cutover", "hosts": ["a", "b"], "gate": {"criterias": []}}
    play = {
        "hosts": "localhost:all",
        "gather_facts": False,
        "vars": {"cutover_run": run, "cutover_environment": "test"},
        "tasks": [
            {"name": "Decide", "ansible.builtin.import_role": {"name": "golive.cutover.cutover", "tasks_from": "decide"}},
            {
                "name": "On every host",
                "ansible.builtin.assert": {
                    "that": ["cutover_decided.decision == 'no_go'", "cutover_decided.reasons[0] is search('criterias')"],
                    "success_msg": "known on {{ inventory_hostname }}",
                },
            },
        ],
    }
    done = ansible_playbook([play], inventory={"all": {"hosts": {"a": {}, "b": {}}}})
    assert done.rc == 0, done.why
    assert all(f"known on {host}" in done.stdout for host in ("localhost", "a", "b")), done.stdout

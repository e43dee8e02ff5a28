# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role secrets as a user runs it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import AnsibleResult

PLAY: list[dict[str, Any]] = [
    {"hosts": "all", "gather_facts": False, "roles": [{"role": "golive.cutover.secrets"}]},
]


def test_first_run_in_check_mode_then_real_then_nothing_to_do(
    ansible_playbook: Callable[..., AnsibleResult], tmp_path: Path, canary: str
) -> None:
    home = tmp_path / "home"
    variables = {
        "cutover_environment": "prod",
        "cutover_release": "1.0.0",
        "cutover_home": str(home),
        "secrets_values": {"TOKEN": f"{canary} it's $5"},
        "secrets_required": ["TOKEN"],
    }
    env = {"ANSIBLE_VERBOSITY": "3"}
    planned = ansible_playbook(PLAY, "--check", "--diff", extra_vars=variables, env=env)
    assert planned.rc == 0, planned.why
    assert planned.changed() == 2
    assert not home.exists()
    done = ansible_playbook(PLAY, "--diff", extra_vars=variables, env=env)
    assert done.rc == 0, done.why
    path = home / "releases" / "1.0.0" / ".env"
    assert path.read_text() == f'TOKEN="{canary} it\'s \\$5"\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = ansible_playbook(PLAY, "--diff", extra_vars=variables, env=env)
    assert (again.rc, again.changed()) == (0, 0)
    for run in (planned, done, again):
        assert canary not in run.output
        assert "+ TOKEN" in run.output or run is again


def test_a_placeholder_is_a_failure_that_names_the_key(
    ansible_playbook: Callable[..., AnsibleResult], tmp_path: Path, canary: str
) -> None:
    variables = {
        "cutover_environment": "prod",
        "cutover_release": "1.0.0",
        "cutover_home": str(tmp_path),
        "secrets_values": {"TOKEN": canary, "CHAT": "your_chat_id_here"},
        "secrets_formats": {"TOKEN": "integer"},
    }
    done = ansible_playbook(PLAY, extra_vars=variables, env={"ANSIBLE_VERBOSITY": "3"})
    assert done.rc == 2
    assert "CHAT: is still a placeholder" in done.output
    assert "TOKEN: is not a whole number" in done.output
    assert canary not in done.output
    validated = ansible_playbook(PLAY, extra_vars={**variables, "secrets_state": "validated"})
    assert "does not exist" in validated.output

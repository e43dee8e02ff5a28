# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role redis_aof as a user runs it."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import AnsibleResult, RedisServer

PLAY = [{"hosts": "all", "gather_facts": False, "roles": [{"role": "golive.cutover.redis_aof"}]}]


def test_first_run_in_check_mode_then_real_then_nothing_to_do(
    ansible_playbook: Callable[..., AnsibleResult], redis_server: Callable[..., RedisServer], canary: str
) -> None:
    server = redis_server({"requirepass": canary})
    variables = {"cutover_environment": "prod", "redis_aof_port": server.port, "redis_aof_password": canary}
    runs = [
        ansible_playbook(PLAY, *more, extra_vars=variables, env={"ANSIBLE_VERBOSITY": "3"})
        for more in (["--check"], [], [])
    ]
    assert [(run.rc, run.changed()) for run in runs] == [(0, 1), (0, 1), (0, 0)], runs[0].output
    assert "appendonly yes" in server.config.read_text()
    assert not any(canary in run.output for run in runs)

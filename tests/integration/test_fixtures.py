# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures themselves: if these fail, look here before anywhere else."""

from __future__ import annotations

import urllib.request
from typing import Any

import redis


def test_redis_answers_and_survives_a_restart(redis_server: Any) -> None:
    server = redis_server({"appendonly": "yes"})
    with redis.Redis(port=server.port) as client:
        client.set("key", "value")
    server.stop()
    server.start()
    with redis.Redis(port=server.port) as client:
        assert client.get("key") == b"value"


def test_nginx_serves_and_reloads(nginx: Any) -> None:
    server = nginx('server { listen 127.0.0.1:@PORT@; location / { return 200 "hello\\n"; } }')
    with urllib.request.urlopen(server.url) as answer:
        assert answer.read() == b"hello\n"
    server.reload()
    with urllib.request.urlopen(server.url) as answer:
        assert answer.status == 200
    assert "[emerg]" not in server.error_log


def test_a_module_runs_as_a_task(run_module: Any) -> None:
    result = run_module("ansible.builtin.ping", {"data": "x"})
    assert (result["ping"], result["failed"], result["changed"]) == ("x", False, False)


def test_a_refused_module_is_a_result_too(run_module: Any) -> None:
    result = run_module("ansible.builtin.ping", {"nonsense": True})
    assert result["failed"] is True
    assert "nonsense" in result["msg"]


def test_a_playbook_runs_with_variables_from_a_file(ansible_playbook: Any, canary: str) -> None:
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "{{ word | length }}"}}]}
    done = ansible_playbook([play], extra_vars={"word": canary})
    assert done.rc == 0, done.why
    assert str(len(canary)) in done.stdout
    assert canary not in " ".join(done.command)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as they are declared, and the programs that become of them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.services import programs, read_services, show_wait

WEB: dict[str, Any] = {
    "name": "web",
    "command": ["python3", "-m", "web", "{port}", "{other}"],
    "environment": {"PORT": "{port}", "DEBUG": False, "WORKERS": 2},
    "port": 3000,
    "instances": 2,
    "ready": {"http": "http://127.0.0.1:{port}/health"},
}


def test_instances_become_programs_with_ports_of_their_own() -> None:
    found = programs(read_services([WEB]), release="1.0.0", release_dir="/r/1.0.0", home="/h")
    assert [one.name for one in found] == ["web-1", "web-2"]
    assert [one.port for one in found] == [3000, 3001]
    assert found[1].command == ("python3", "-m", "web", "3001", "{other}")
    assert found[1].environment == {"PORT": "3001", "DEBUG": "false", "WORKERS": "2"}
    assert found[1].ready.http == "http://127.0.0.1:3001/health"
    assert found[1].policy == "healthy"


@pytest.mark.parametrize(
    ("ready", "policy"),
    [(None, "running"), ("completed", "completed"), ({"running": "3s"}, "running"), ({"tcp": "{port}"}, "healthy")],
)
def test_policy_follows_from_ready(ready: Any, policy: str) -> None:
    (service,) = read_services([{"name": "a", "command": ["a"], "port": 1, "ready": ready}])
    assert service.policy == policy
    (program,) = programs([service], release="", release_dir="", home="")
    assert show_wait(program)


def test_every_mistake_is_in_one_message() -> None:
    with pytest.raises(InputError) as refused:
        read_services(
            [
                {"name": "web", "comand": ["x"], "port": 70000, "start_timeout": 30},
                {"name": "web", "command": "a b", "environment": {"A-B": "1"}, "directory": "../x"},
                {"name": "api", "command": ["a"], "policy": "healthy"},
            ]
        )
    text = str(refused.value)
    for part in (
        "services[web].comand: unknown key, did you mean 'command'?",
        "at most 65535",
        "30 has no unit",
        "expected a list of words",
        "'A-B': not the name",
        "inside the release",
        "needs http or tcp",
        "two services or instances are named web",
    ):
        assert part in text


def test_compose_needs_no_commands() -> None:
    (service,) = read_services([{"name": "api", "policy": "healthy"}], commands=False)
    assert service.policy == "healthy"

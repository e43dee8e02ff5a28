# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines by exact equality, and what a container says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import compose

BASE = ["compose", "--ansi", "never", "--project-directory", "/r/1", "--project-name", "shop"]


def test_command_lines() -> None:
    words = [*BASE, "--file", "/r/1/compose.yml", "--profile", "jobs"]
    assert compose.config_command("shop", "/r/1", ["compose.yml"], ["jobs"]) == [*words, "config", "--format", "json"]
    assert compose.build_command("shop", "/r/1", ["compose.yml"], ["jobs"]) == [*words, "build", "--quiet"]
    assert compose.pull_command("shop", "/r/1", [], [], "missing") == [
        *BASE, "pull", "--quiet", "--policy", "missing", "--ignore-buildable",
    ]  # fmt: skip


def inspected(status: str = "running", health: str | None = None, exit_code: int = 0, restarts: int = 0) -> dict[str, Any]:
    state: dict[str, Any] = {"Status": status, "ExitCode": exit_code}
    if health:
        state["Health"] = {"Status": health}
    return {
        "Id": "c1",
        "Name": "/shop-api-1",
        "Image": "sha256:1",
        "RestartCount": restarts,
        "State": state,
        "Config": {"Labels": {compose.SERVICE_LABEL: "api"}},
    }


@pytest.mark.parametrize(
    ("policy", "container", "expected"),
    [
        (None, inspected(), "up"),
        (None, inspected(health="starting"), "waiting"),
        (None, inspected(health="healthy"), "up"),
        (None, inspected(health="unhealthy"), "failed"),
        ("running", inspected(health="starting"), "up"),
        ("healthy", inspected(), "failed"),
        ("healthy", inspected("created"), "waiting"),
        ("healthy", inspected("restarting"), "failed"),
        ("healthy", inspected(health="healthy", restarts=1), "failed"),
        ("running", inspected("exited"), "failed"),
        ("completed", inspected("exited"), "up"),
        ("completed", inspected("exited", exit_code=1), "failed"),
        ("completed", inspected(), "waiting"),
        ("completed", inspected("dead"), "failed"),
    ],
)
def test_judge(policy: str | None, container: dict[str, Any], expected: str) -> None:
    state, reason = compose.judge(compose.container(container), policy)
    assert state == expected
    assert bool(reason) is (expected != "up")


def test_what_is_kept_of_a_configuration_holds_no_values() -> None:
    rendered = {"services": {"api": {"environment": {"TOKEN": "CANARY-1"}, "command": ["run", "--key=CANARY-1"], "image": "a:1"}}}
    assert compose.without_values(rendered, ["CANARY-1", "a"]) == {
        "services": {"api": {"environment": ["TOKEN"], "command": ["run", "--key=***"], "image": "a:1"}}
    }


def test_images_are_pinned_by_id() -> None:
    assert compose.pinned({"api": {"id": "sha256:1", "reference": "a:1"}}) == {
        "services": {"api": {"image": "sha256:1", "pull_policy": "never"}}
    }
    assert compose.own_tag("shop", "Api", "1.0.0") == "golive/shop-api:1.0.0"
    assert compose.image_of("shop", "api", {"build": "."}) == "shop-api"


def test_marks_of_settings_are_laid_over_and_read_back() -> None:
    file = compose.pinned({"web": {"id": "sha256:1"}, "redis": {"id": "sha256:2"}}, {"web": "m1"})
    assert file["services"]["web"] == {"image": "sha256:1", "pull_policy": "never", "labels": {compose.SETTINGS_LABEL: "m1"}}
    assert "labels" not in file["services"]["redis"]
    assert compose.marks_of(file) == {"web": "m1"}
    assert compose.marks_of(compose.pinned({"web": {"id": "sha256:1"}})) == {}


@pytest.mark.parametrize(
    ("volume", "reads"),
    [
        ({"type": "bind", "source": "/r/1", "target": "/srv"}, True),
        ({"type": "bind", "source": "/r/1/", "target": "/srv"}, True),
        ({"type": "bind", "source": "/r/1/.env", "target": "/srv/.env"}, True),
        ({"type": "bind", "source": "/r", "target": "/srv"}, True),
        ({"type": "bind", "source": "/r/1/conf", "target": "/etc/app"}, False),
        ({"type": "bind", "source": "/r/10", "target": "/srv"}, False),
        ({"type": "volume", "source": "data", "target": "/r/1"}, False),
    ],
)
def test_who_reads_the_env_file_by_itself(volume: dict[str, str], reads: bool) -> None:
    rendered = {"services": {"web": {"volumes": [volume]}, "redis": {"volumes": None}}}
    assert compose.settings_readers(rendered, "/r/1/.env") == (["web"] if reads else [])

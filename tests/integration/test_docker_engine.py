# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private Docker engine and the images of the tests: what the tests of the `compose` backend stand on."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]

COMPOSE = {
    "services": {
        "redis": {
            "image": "golive-test/redis",
            "pull_policy": "never",
            "init": True,
            "ports": ["127.0.0.1:0:6379"],
            "healthcheck": {
                "test": ["CMD", "redis-cli", "ping"],
                "interval": "1s",
                "start_interval": "250ms",
                "start_period": "20s",
            },
        },
        "app": {
            "image": "golive-test/python",
            "pull_policy": "never",
            "init": True,
            "depends_on": {"redis": {"condition": "service_healthy"}},
            "command": ["python3", "-c", "import redis, starlette, uvicorn; print(redis.Redis('redis').ping())"],
        },
    }
}


@pytest.fixture
def project(
    docker_engine: dict[str, str], docker_image: Callable[[str], str], tmp_path: Path
) -> Iterator[Callable[..., str]]:
    for image in ("redis", "python"):
        docker_image(image)
    name = f"golive-{uuid.uuid4().hex[:8]}"
    (tmp_path / "compose.yml").write_text(json.dumps(COMPOSE), encoding="utf-8")

    def compose(*arguments: str) -> str:
        done = subprocess.run(
            ["docker", "compose", "-p", name, *arguments],
            cwd=tmp_path,
            env=docker_engine,
            text=True,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    yield compose
    compose("down", "-v", "-t", "1")


def test_services_find_each_other_and_are_reached_from_here(
    project: Callable[..., str], redis_cli_bin: str, docker_engine: dict[str, str]
) -> None:
    project("up", "-d", "--wait", "redis")
    assert project("run", "--rm", "-T", "app").endswith("True")
    port = project("port", "redis", "6379").rpartition(":")[2]
    answer = subprocess.run([redis_cli_bin, "-p", port, "ping"], text=True, capture_output=True, timeout=20)
    assert answer.stdout.strip() == "PONG"


def test_the_engine_leaves_the_network_of_the_machine_alone(project: Callable[..., str]) -> None:
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="utf-8")
    project("up", "-d", "--wait", "redis")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="utf-8") == before
    rules = subprocess.run(
        [str(Path(__file__).resolve().parents[2] / ".cache/bin/iptables"), "-S"], text=True, capture_output=True
    )
    assert "10.231." not in rules.stdout

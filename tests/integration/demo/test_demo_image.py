# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of the application, in a real Docker engine."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import wait_until
from tests.integration.demo.conftest import DEMO

pytestmark = pytest.mark.docker

Docker = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def name() -> str:
    return f"spark-test-{secrets.token_hex(4)}"


@pytest.fixture
def docker(docker_engine: dict[str, str], name: str) -> Iterator[Docker]:
    """Return ``docker(*arguments)``; what carries the test's name is removed afterwards."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["docker", *arguments], env=docker_engine, text=True, capture_output=True, timeout=120)

    yield run
    containers = run("ps", "-aq", "--filter", f"name={name}").stdout.split()
    if containers:
        run("rm", "-f", "-v", *containers)
    run("network", "rm", name)
    run("image", "rm", "-f", f"{name}:1.0.0")


def test_one_image_two_roles(docker: Docker, docker_image: Callable[[str], str], name: str) -> None:
    base = docker_image("python")
    build = ["build", "--network", "none", "--build-arg", f"BASE={base}"]
    built = docker(*build, "--build-arg", "RELEASE=1.0.0", "-t", f"{name}:1.0.0", str(DEMO))
    assert built.returncode == 0, built.stderr
    assert docker(*build, str(DEMO)).returncode != 0, "an image without a release"
    assert docker("network", "create", name).returncode == 0
    cache = ("-d", "--name", f"{name}-redis", "--network", name, "--network-alias", "spark-redis", docker_image("redis"))
    assert docker("run", *cache).returncode == 0
    for role in ("executor", "web"):
        started = docker(
            *("run", "-d", "--name", f"{name}-{role}", "--network", name),
            *("-e", "REDIS_URL=redis://spark-redis:6379", f"{name}:1.0.0", "python3", "-m", f"spark.{role}"),
        )
        assert started.returncode == 0, started.stderr

    def health(role: str) -> str:
        return docker("exec", f"{name}-{role}", "python3", "-m", "spark.healthcheck", role).stdout

    for role in ("executor", "web"):
        wait_until(lambda role=role: health(role).startswith("200 "), what=role)  # type: ignore[misc]
        assert '"release":"1.0.0"' in health(role)
    assert "became leader" in docker("logs", f"{name}-executor").stdout

    # Process 1 gets no signal that it does not handle: both of these must be handled.
    assert docker("kill", "--signal", "HUP", f"{name}-executor").returncode == 0
    wait_until(lambda: "configuration reloaded" in docker("logs", f"{name}-executor").stdout, what="the reload")
    began = time.monotonic()
    assert docker("stop", "-t", "10", f"{name}-executor", f"{name}-web").returncode == 0
    assert time.monotonic() - began < 8
    for role in ("executor", "web"):
        assert docker("inspect", "-f", "{{.State.ExitCode}}", f"{name}-{role}").stdout.strip() == "0"

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend compose: a real engine, real containers, no registry."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CACHE

pytestmark = pytest.mark.docker

DOCKER = str(CACHE / "bin" / "docker")

PROJECT = """
services:
  api:
    image: ${API_IMAGE:?no image is named}
    init: true
    command: [python3, service.py, "8000", all]
    working_dir: /srv
    env_file: .env
    environment: {NAME: api}
    ports: ["127.0.0.1:${API_PORT}:8000"]
    volumes: ["./:/srv:ro"]
    stop_grace_period: 2s
    healthcheck:
      test: [CMD, python3, -c, "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
      interval: 2s
      start_interval: 300ms
      start_period: 20s
      retries: 1
  migrate:
    image: ${API_IMAGE}
    command: [python3, -c, "print('migrated')"]
"""


@pytest.fixture
def docker(docker_engine: dict[str, str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        done = subprocess.run([DOCKER, *arguments], env=docker_engine, text=True, capture_output=True, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def shop(
    world: Any, docker_engine: dict[str, str], docker: Callable[..., str], docker_image: Callable[[str], str]
) -> Iterator[Any]:
    """A world whose releases are Compose projects, each with an image of its own."""
    base = docker_image("python")
    project = f"shop{secrets.token_hex(3)}"
    made: list[str] = []

    def release(name: str, mode: str = "good", compose: str = PROJECT, **env: str) -> str:
        source = world.source(name, mode)
        (source / "compose.yml").write_text(compose, encoding="utf-8")
        image = f"golive-test/{project}:{name}"
        build = world.root / f"image-{name}"
        build.mkdir(exist_ok=True)
        (build / "Dockerfile").write_text(f"FROM {base}\nLABEL release={name}-{secrets.token_hex(4)}\n", encoding="utf-8")
        docker("build", "-q", "-t", image, str(build))
        made.append(image)
        world.write_env(name, API_IMAGE=image, API_PORT=str(world.port), **env)
        return image

    supervisor_variables = world.variables

    def variables(name: str, **more: Any) -> dict[str, Any]:
        return {
            **supervisor_variables(name),
            "cutover_backend": "compose",
            "deploy_services": [
                {"name": "migrate", "policy": "completed"},
                {"name": "api", "policy": "healthy", "start_timeout": "30s"},
            ],
            "deploy_compose_project": project,
            "deploy_compose_pull": "never",
            "deploy_compose_docker_host": docker_engine["DOCKER_HOST"],
            "deploy_compose_docker_cli": DOCKER,
            **more,
        }

    world.variables = variables
    world.release, world.project, world.docker = release, project, docker
    yield world
    docker("compose", "-p", project, "down", "--volumes", "--remove-orphans", "--timeout", "1")
    world.variables = supervisor_variables
    tags = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    for tag in tags:
        if project in tag:
            docker("image", "rm", "--force", tag)


def deploy(shop: Any, name: str, mode: str = "good", accept: bool = True, **more: Any) -> Any:
    shop.release(name, mode)
    result = shop.verb("deploy", name, accept=accept, **more)
    assert result.rc == 0, result.why
    return result


def container_image(shop: Any, service: str = "api") -> str:
    found = shop.docker(
        "ps",
        "-aq",
        "--filter",
        f"label=com.docker.compose.project={shop.project}",
        "--filter",
        f"label=com.docker.compose.service={service}",
    )
    return str(json.loads(shop.docker("inspect", found))[0]["Image"])


def test_deploy_again_next_and_back_by_image_id(shop: Any) -> None:
    result = deploy(shop, "1.0.0")
    states = {one["service"]: (one["state"], one["healthy"]) for one in result.facts["deploy_status"]["services"]}
    assert states == {"api": ("running", True), "migrate": ("exited", True)}
    assert shop.ask()["release"] == "1.0.0"
    assert shop.ask()["token"] is True
    first = container_image(shop)

    again = shop.verb("deploy", "1.0.0", accept=True)
    assert again.rc == 0, again.why
    assert again.changed() == 0, again.output

    deploy(shop, "1.1.0", accept=False)
    assert shop.ask()["release"] == "1.1.0"
    assert container_image(shop) != first
    # Somebody gives the name of the old image to the new one: what is gone back to stays what it was.
    shop.docker("tag", f"golive-test/{shop.project}:1.1.0", f"golive-test/{shop.project}:1.0.0")

    possible = shop.verb("possible", "1.1.0")
    assert possible.facts["deploy_possible"] == {"ok": True, "problems": [], "previous": "1.0.0"}, possible.output
    back = shop.verb("rollback", "1.1.0")
    assert back.rc == 0, back.why
    assert shop.ask()["release"] == "1.0.0"
    assert container_image(shop) == first
    status = shop.verb("status", "1.1.0").facts["deploy_status"]
    assert status["release"] == "1.0.0"
    assert all(one["healthy"] for one in status["services"])


@pytest.mark.parametrize(("mode", "expected"), [("crash", "flux compensator"), ("unhealthy", "its health check fails")])
def test_release_that_never_becomes_healthy_fails_fast_with_its_last_lines(shop: Any, mode: str, expected: str) -> None:
    deploy(shop, "1.0.0")
    compose = PROJECT.replace("start_period: 20s", "start_period: 1s")
    shop.release("1.1.0", mode, compose)
    result = shop.verb("deploy", "1.1.0", "-vvv", "--diff")
    assert result.rc != 0
    assert "api did not come up" in result.output
    assert expected in result.output
    assert shop.canary not in result.output
    back = shop.verb("rollback", "1.1.0")
    assert back.rc == 0, back.why
    assert shop.ask()["release"] == "1.0.0"


def test_one_shot_that_fails_is_named(shop: Any) -> None:
    broken = PROJECT.replace("print('migrated')", "import sys; print('column is missing'); sys.exit(7)")
    shop.release("1.0.0", compose=broken)
    result = shop.verb("deploy", "1.0.0")
    assert result.rc != 0
    assert "migrate did not come up: it ended with exit code 7" in result.output
    assert "column is missing" in result.output
    back = shop.verb("rollback", "1.0.0")
    assert back.rc == 0, back.why
    assert back.facts["deploy_status"] == {"release": None, "services": []}
    assert shop.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={shop.project}") == ""


def test_missing_images_are_seen_before_anything_changes(shop: Any) -> None:
    deploy(shop, "1.0.0")
    first = container_image(shop)
    image = shop.release("1.1.0")
    shop.docker("image", "rm", image)
    possible = shop.verb("possible", "1.1.0", deploy_compose_images=[image])
    assert f"the image {image} is not on the engine" in possible.facts["deploy_possible"]["problems"]
    result = shop.verb("deploy", "1.1.0")
    assert result.rc != 0
    assert "images are missing on the engine" in result.output
    assert container_image(shop) == first


def test_rollback_target_whose_image_is_gone(shop: Any) -> None:
    deploy(shop, "1.0.0")
    first = container_image(shop)
    deploy(shop, "1.1.0", accept=False)
    shop.docker("image", "rm", "--force", first)
    possible = shop.verb("possible", "1.1.0")
    assert not possible.facts["deploy_possible"]["ok"]
    assert "no longer on the engine" in "\n".join(possible.facts["deploy_possible"]["problems"])
    back = shop.verb("rollback", "1.1.0")
    assert back.rc != 0
    assert "no longer on the engine" in back.output
    assert shop.ask()["release"] == "1.1.0"


def test_same_release_with_another_image_is_refused(shop: Any) -> None:
    deploy(shop, "1.0.0")
    shop.release("1.0.0")
    shop.verb("deploy", "1.0.0")
    result = shop.verb("deploy", "1.0.0")
    assert result.rc != 0
    assert "already recorded with another image of api" in result.output


def test_check_mode_reconfigure_and_secrets(shop: Any) -> None:
    shop.release("1.0.0")
    checked = shop.verb("deploy", "1.0.0", "--check")
    assert checked.rc == 0, checked.why
    assert shop.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={shop.project}") == ""
    result = shop.verb("deploy", "1.0.0", "-vvv", "--diff", accept=True)
    assert result.rc == 0, result.why
    changed = shop.verb("reconfigure", "1.0.0", "-vvv", deploy_set={"LEVEL": "5"}, deploy_apply="restart")
    assert changed.rc == 0, changed.why
    assert shop.ask()["level"] == "5"
    shop.docker("kill", shop.docker("ps", "-q", "--filter", f"label=com.docker.compose.project={shop.project}").split()[0])
    again = shop.verb("restart", "1.0.0", deploy_only=["api"])
    assert again.rc == 0, again.why
    assert (shop.ask()["level"], shop.ask()["release"]) == ("5", "1.0.0")
    assert all(one["healthy"] for one in again.facts["deploy_status"]["services"] if one["service"] == "api")
    assert shop.canary not in result.output + changed.output
    found = [p for p in Path(shop.home).rglob("*") if p.is_file() and shop.canary.encode() in p.read_bytes()]
    assert found == [shop.home / "releases" / "1.0.0" / ".env"]

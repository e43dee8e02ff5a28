# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that read the env file by themselves: no part of their configuration changes when their settings do."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.compose_project import Project
from ansible_collections.golive.cutover.plugins.module_utils.core import compose
from tests.conftest import CACHE

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]

DOCKER = str(CACHE / "bin" / "docker")
FILE = """
services:
  reader: {image: "@IMAGE@", command: [sleep, infinity], init: true, volumes: ["./:/srv:ro"]}
  other: {image: "@IMAGE@", command: [sleep, infinity], init: true, volumes: [".env:/srv/.env:ro"]}
  data: {image: "@IMAGE@", command: [sleep, infinity], init: true}
"""


@pytest.fixture
def project(tmp_path: Path, docker_engine: dict[str, str], docker_image: Callable[[str], str]) -> Iterator[Project]:
    (tmp_path / "compose.yml").write_text(FILE.replace("@IMAGE@", docker_image("base")), encoding="utf-8")
    (tmp_path / ".golive").mkdir()
    made = Project(
        "1.0.0", tmp_path, f"settings{secrets.token_hex(3)}", ["compose.yml"], docker=DOCKER, host=docker_engine["DOCKER_HOST"]
    )
    yield made
    made.down()
    made.forget()


def settings(project: Project, text: str) -> None:
    (project.directory / ".env").write_text(text, encoding="utf-8")


def up(project: Project) -> dict[str, str]:
    """Start what is not in place, as the role does; returns the containers by service."""
    if not project.in_place():
        files = ["--file", "compose.yml", "--file", ".golive/compose.pinned.json"]
        command = [DOCKER, "compose", "--project-name", project.name, *files, "up", "-d", "--timeout", "1"]
        environment = {"DOCKER_HOST": project.host, "PATH": f"{CACHE / 'bin'}:/usr/bin:/bin", "HOME": str(project.directory)}
        done = subprocess.run(command, cwd=project.directory, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        project.note_up()
    return {one.service: one.id for one in project.containers()}


def record(project: Project) -> bool:
    return project.record([], build="never", pull="never", dry=False)


def new(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name, one in after.items() if before[name] != one}


def test_a_change_reaches_those_that_read_it_and_nobody_else(project: Project) -> None:
    settings(project, "TOKEN='CANARY-one'\n")
    assert record(project)
    first = up(project)
    assert not record(project)
    assert up(project) == first

    settings(project, "TOKEN='CANARY-two'\n")
    assert record(project)
    second = up(project)
    assert new(first, second) == {"reader", "other"}

    # A change that is for one service.
    settings(project, "TOKEN='CANARY-three'\n")
    project.renew(["reader"])
    third = up(project)
    assert new(second, third) == {"reader"}
    project.renew(["reader"])
    assert up(project) == third


def test_a_change_that_a_signal_brought_is_taken_back_by_the_next_deployment(project: Project) -> None:
    settings(project, "SCHEDULER='true'\n")
    record(project)
    first = up(project)
    settings(project, "SCHEDULER='false'\n")
    assert project.signal(["data"], "WINCH")
    assert up(project) == first
    settings(project, "SCHEDULER='true'\n")
    record(project)
    assert new(first, up(project)) == {"reader", "other"}


def test_cut_off_between_the_marks_and_the_note_it_draws_again(project: Project) -> None:
    settings(project, "A='1'\n")
    record(project)
    first = up(project)
    settings(project, "A='2'\n")
    project.settings_file.unlink()
    record(project)
    assert new(first, up(project)) == {"reader", "other"}


def test_a_mark_says_nothing_of_the_settings(project: Project) -> None:
    settings(project, "A='1'\n")
    record(project)
    marks = compose.marks_of(json.loads(project.pinned_file.read_text(encoding="utf-8")))
    assert set(marks) == {"reader", "other"}
    settings(project, "A='2'\n")
    record(project)
    settings(project, "A='1'\n")
    record(project)
    assert not set(marks.values()) & set(compose.marks_of(json.loads(project.pinned_file.read_text(encoding="utf-8"))).values())

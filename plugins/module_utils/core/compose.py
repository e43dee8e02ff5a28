# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A Compose project as records: command lines, what a rendered configuration needs, and what containers say. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
DIRECTORY_LABEL = "com.docker.compose.project.working_dir"
SETTINGS_LABEL = "golive.settings"
"""Carries a mark that is drawn anew whenever the settings change that a container reads by itself. Compose then makes that
container anew. It says nothing of the settings: whoever may inspect a container may read its labels."""

UP, WAITING, FAILED = "up", "waiting", "failed"


@dataclass(frozen=True)
class Container:
    """What is known of one container. ``health`` is None where the image and the project have no health check."""

    id: str
    name: str
    service: str
    image: str
    status: str
    exit_code: int
    health: str | None
    restarts: int
    directory: str


def config_command(project: str, directory: str, files: Sequence[str], profiles: Sequence[str]) -> list[str]:
    """The arguments behind ``docker`` that render a project as JSON."""
    return [*_base(project, directory, files, profiles), "config", "--format", "json"]


def build_command(project: str, directory: str, files: Sequence[str], profiles: Sequence[str]) -> list[str]:
    return [*_base(project, directory, files, profiles), "build", "--quiet"]


def pull_command(project: str, directory: str, files: Sequence[str], profiles: Sequence[str], policy: str) -> list[str]:
    return [
        *_base(project, directory, files, profiles),
        "pull", "--quiet", "--policy", policy, "--ignore-buildable",
    ]  # fmt: skip


def _base(project: str, directory: str, files: Sequence[str], profiles: Sequence[str]) -> list[str]:
    words = ["compose", "--ansi", "never", "--project-directory", directory, "--project-name", project]
    for file in files:
        words += ["--file", f"{directory}/{file}"]
    for profile in profiles:
        words += ["--profile", profile]
    return words


def image_of(project: str, service: str, config: Mapping[str, Any]) -> str:
    """The reference of a service's image; Compose names what it builds after project and service."""
    return str(config.get("image") or f"{project}-{service}")


def pinned(images: Mapping[str, Mapping[str, Any]], marks: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A Compose file that is laid over the project: it names each image by what it is, not by what it is called, and
    carries the mark of the settings for each service that reads them by itself."""
    services: dict[str, dict[str, Any]] = {
        service: {"image": one["id"], "pull_policy": "never"} for service, one in images.items()
    }
    for service, mark in (marks or {}).items():
        services[service]["labels"] = {SETTINGS_LABEL: mark}
    return {"services": services}


def marks_of(pinned_file: Mapping[str, Any]) -> dict[str, str]:
    """The marks of the settings in such a file, by service."""
    found = {}
    for service, one in (pinned_file.get("services") or {}).items():
        mark = (one.get("labels") or {}).get(SETTINGS_LABEL)
        if mark is not None:
            found[str(service)] = str(mark)
    return found


def settings_readers(rendered: Mapping[str, Any], env_file: str) -> list[str]:
    """The services into which the env file is mounted, by itself or with a directory that holds it.

    What is in such a file is no part of their configuration, so Compose does not see when it changes.
    """
    above = {str(one) for one in (PurePosixPath(env_file), *PurePosixPath(env_file).parents)}
    return sorted(
        service
        for service, config in rendered["services"].items()
        if any(
            isinstance(volume, Mapping) and volume.get("type") == "bind" and str(volume.get("source")).rstrip("/") in above
            for volume in config.get("volumes") or []
        )
    )


def own_tag(project: str, service: str, release: str) -> str:
    """A name that we give an image, so that pruning what has no name does not take the way back with it."""
    return f"golive/{project}-{re.sub('[^a-z0-9._-]', '-', service.lower())}:{release}"


def container(inspected: Mapping[str, Any]) -> Container:
    """A container from what ``docker inspect`` says of it."""
    state, labels = inspected["State"], inspected["Config"].get("Labels") or {}
    health = (state.get("Health") or {}).get("Status")
    return Container(
        id=str(inspected["Id"]),
        name=str(inspected["Name"]).lstrip("/"),
        service=str(labels.get(SERVICE_LABEL, "")),
        image=str(inspected["Image"]),
        status=str(state["Status"]),
        exit_code=int(state.get("ExitCode") or 0),
        health=None if health in (None, "", "none") else str(health),
        restarts=int(inspected.get("RestartCount") or 0),
        directory=str(labels.get(DIRECTORY_LABEL, "")),
    )


def judge(one: Container, policy: str | None, restarts: int = 0) -> tuple[str, str]:
    """Whether a container is up by its policy, may still come up, or will not; and why.

    Without a policy it must be healthy where it has a health check, else run. ``restarts`` is how often it had been
    restarted when the waiting began. What exits, is unhealthy or restarts is failed at once, not after a timeout.
    """
    if policy == "completed":
        if one.status == "exited":
            return (UP, "") if one.exit_code == 0 else (FAILED, f"it ended with exit code {one.exit_code}")
        return (FAILED, "it is dead") if one.status == "dead" else (WAITING, f"it is {one.status} and not completed")
    if one.status in ("exited", "dead"):
        return FAILED, f"it ended with exit code {one.exit_code}"
    if one.status == "restarting" or one.restarts > restarts:
        return FAILED, f"it ended with exit code {one.exit_code} and was restarted"
    if one.status != "running":
        return WAITING, f"it is {one.status}"
    if policy == "running" or (policy is None and one.health is None):
        return UP, ""
    if one.health is None:
        return FAILED, "it must be healthy, and neither its image nor the project has a health check"
    if one.health == "unhealthy":
        return FAILED, "its health check fails"
    return (UP, "") if one.health == "healthy" else (WAITING, f"its health is {one.health}")


def without_values(rendered: Any, values: Sequence[str]) -> Any:
    """A rendered configuration fit to be kept: environments by their names only, and no value of the env file
    anywhere."""
    if isinstance(rendered, Mapping):
        return {
            key: sorted(one) if key in ("environment", "args") and isinstance(one, Mapping) else without_values(one, values)
            for key, one in rendered.items()
        }
    if isinstance(rendered, list):
        return [without_values(one, values) for one in rendered]
    if isinstance(rendered, str):
        for value in sorted((value for value in values if len(value) > 3), key=len, reverse=True):
            rendered = rendered.replace(value, "***")
    return rendered

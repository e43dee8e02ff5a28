#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: compose_release
short_description: Record, wait for and look at a release of a Compose project
version_added: 0.1.0
description:
  - Writes down the images of a release by their ids, before anything changes, so that a name that is given to another
    image later does not change what is gone back to.
  - Waits for each service by a policy of its own, and fails at once when a container exits, restarts or is unhealthy,
    with its last lines. C(docker compose up --wait) knows one policy for all and does not cope with containers that
    end.
  - It starts nothing. That is done by M(community.docker.docker_compose_v2), which needs the files of a release even to stop it.
options:
  release:
    description: Id of the release.
    type: str
    required: true
  release_dir:
    description: Directory of the release.
    type: path
    required: true
  project:
    description: Name of the Compose project.
    type: str
    required: true
  files:
    description: Compose files in O(release_dir).
    type: list
    elements: str
    default: [compose.yml]
  profiles:
    description: Profiles that are active. Give the same ones with every state.
    type: list
    elements: str
    default: []
  services:
    description:
      - Policies, as documented for the role C(golive.cutover.deploy). Only name, policy, ready and start_timeout
        count here.
      - A service that is not named must be healthy where it has a health check, else run.
      - Without it, those that were recorded.
    type: list
    elements: dict
  state:
    description:
      - V(recorded) builds and pulls as told, and writes down images and rendered configuration into the release.
      - V(up) waits until all services are up.
      - V(status) only looks, and returns RV(services).
      - V(possible) only looks, and returns in RV(problems) why the engine cannot be used and which of O(images) are
        missing.
      - V(whole) only looks, and returns in RV(problems) what of a recorded release is gone.
      - V(renewed) lets the next start make those containers anew that read changed settings from a mounted env file.
        Otherwise as V(whole).
      - V(signalled) sends SIGHUP.
      - V(stopped) removes the containers and networks of the project, whichever release they are of. Volumes stay.
      - V(forgotten) takes the names off the images that V(recorded) gave them.
    type: str
    choices: [recorded, up, status, possible, whole, renewed, signalled, stopped, forgotten]
    default: up
  images:
    description: Images that must be on the engine. For O(state=possible).
    type: list
    elements: str
    default: []
  only:
    description: Names of services. For O(state=signalled) and O(state=renewed).
    type: list
    elements: str
    default: []
  build:
    description: Whether images are built by O(state=recorded).
    type: str
    choices: [always, never]
    default: never
  pull:
    description: Which images are pulled by O(state=recorded).
    type: str
    choices: [always, missing, never]
    default: never
  settle:
    description: Time for which everything must stay up, as a duration with its unit.
    type: str
    default: 1s
  docker_host:
    description: Address of the engine. Without it, that of the environment.
    type: str
  docker_cli:
    description: Path of the command C(docker).
    type: path
attributes:
  check_mode:
    support: full
    description: Says what would be recorded; waits for nothing.
  diff_mode:
    support: none
    description: A rendered configuration is not shown.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: community.docker.docker_compose_v2
"""

EXAMPLES = r"""
- name: Write down what the release is made of
  golive.cutover.compose_release:
    release: 1.0.0
    release_dir: /var/lib/golive/releases/1.0.0
    project: shop
    state: recorded

- name: Wait for its services
  golive.cutover.compose_release:
    release: 1.0.0
    release_dir: /var/lib/golive/releases/1.0.0
    project: shop
    services:
      - {name: migrate, policy: completed}
      - {name: web, policy: healthy, start_timeout: 30s}
"""

RETURN = r"""
services:
  description: The containers as they are now, each with C(name), C(service), C(state), C(healthy), C(restarts) and
    C(reason).
  returned: with the states V(up), V(status) and V(signalled)
  type: list
  elements: dict
problems:
  description: What stands in the way, all of it.
  returned: always
  type: list
  elements: str
files:
  description: The Compose files to start the release with, the one that pins the images last.
  returned: with the states V(recorded), V(whole) and V(renewed)
  type: list
  elements: str
in_place:
  description: Whether the containers of the project are those of the release, made from its files and settings as they are now.
  returned: with the states V(recorded), V(whole) and V(renewed)
  type: bool
reason:
  description: Why a service did not come up.
  returned: when a service did not come up
  type: str
log:
  description: The last lines of that service, without the values of its settings.
  returned: when a service did not come up
  type: list
  elements: str
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.compose_project import ComposeError, Project
from ansible_collections.golive.cutover.plugins.module_utils.core import tree, units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.services import Service, read_services

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _services(params: dict[str, Any], project: Project) -> list[Service]:
    raw = params["services"] if params["services"] is not None else project.recorded()["services"]
    return read_services(raw, commands=False)


def _whole(project: Project) -> dict[str, Any]:
    problems = project.engine() or project.gone()
    try:
        files = project.recorded()["files"]
    except ComposeError:
        files = []
    return {"problems": problems, "files": [*files, f"{tree.OWN}/{project.pinned_file.name}"]}


def compose_release(module: AnsibleModule) -> dict[str, Any]:
    params, state = module.params, module.params["state"]
    project = Project(
        params["release"],
        Path(params["release_dir"]),
        params["project"],
        params["files"],
        params["profiles"],
        params["docker_cli"] or "docker",
        params["docker_host"] or "",
    )
    try:
        settle = units.parse_duration(params["settle"])
    except ValueError as error:
        raise InputError([Problem("settle", str(error))]) from error
    result: dict[str, Any] = {"changed": False, "problems": []}
    if state == "possible":
        problems = project.engine()
        if not problems:
            problems = [f"the image {one} is not on the engine" for one in params["images"] if project.image(one) is None]
        return {**result, "problems": problems}
    if state in ("whole", "renewed"):
        if state == "renewed" and not module.check_mode:
            project.renew(params["only"])
        return {**result, **_whole(project), "in_place": project.in_place()}
    if state == "stopped":
        running = [one.name for one in project.containers()]
        if running and not module.check_mode:
            project.down()
        return {**result, "changed": bool(running), "services": []}
    if state == "forgotten":
        if not module.check_mode:
            project.forget()
        return result
    if state == "recorded":
        services = params["services"] or []
        read_services(services, commands=False)
        files = [*params["files"], f"{tree.OWN}/{project.pinned_file.name}"]
        if module.check_mode and not all((project.directory / file).exists() for file in params["files"]):
            return {**result, "changed": True, "files": files, "in_place": False}
        changed = project.record(services, build=params["build"], pull=params["pull"], dry=module.check_mode)
        return {**result, "changed": changed, "files": files, "in_place": project.in_place()}
    if module.check_mode and not project.run_file.exists():
        return {**result, "services": []}
    services_read = _services(params, project)
    if state == "signalled":
        if module.check_mode:
            return {**result, "changed": True, "services": project.status(services_read)}
        project.signal(params["only"], "HUP")
        return {**result, "changed": True, "services": project.status(services_read)}
    if state == "up" and not module.check_mode:
        project.wait(services_read, settle)
        project.note_up()
    return {**result, "services": project.status(services_read)}


def main() -> None:
    run_module(
        {
            "release": {"type": "str", "required": True},
            "release_dir": {"type": "path", "required": True},
            "project": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "str", "default": ["compose.yml"]},
            "profiles": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "list", "elements": "dict"},
            "state": {
                "type": "str",
                "choices": ["recorded", "up", "status", "possible", "whole", "renewed", "signalled", "stopped", "forgotten"],
                "default": "up",
            },
            "images": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "list", "elements": "str", "default": []},
            "build": {"type": "str", "choices": ["always", "never"], "default": "never"},
            "pull": {"type": "str", "choices": ["always", "missing", "never"], "default": "never"},
            "settle": {"type": "str", "default": "1s"},
            "docker_host": {"type": "str"},
            "docker_cli": {"type": "path"},
        },
        compose_release,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: supervisor_programs
short_description: Run the services of a release under a supervisord of their own
version_added: 0.1.0
description:
  - Starts C(supervisord) as the remote user where it does not run, and brings all programs of a release where they
    should be, one by one in the order given. The old program is stopped just before the new one is started.
  - Waits for each program by its policy, and fails at the first crash with the last lines of its log.
  - What is wanted is compared with what C(supervisord) runs. Called again after a run that was killed anywhere, it
    converges.
  - Settings and secrets are read from an env file when a program starts. They are neither in the configuration nor on
    a command line.
options:
  directory:
    description: Directory for configuration, logs and socket.
    type: path
    required: true
  python:
    description: Python interpreter on the host that can import C(supervisor), such as that of the role
      P(golive.cutover.toolbox#role).
    type: path
    required: true
  release:
    description: Id of the release.
    type: str
    required: true
  release_dir:
    description: Directory of the release.
    type: path
    required: true
  env_file:
    description: Env file with the settings of the release. Without it, C(.env) in O(release_dir).
    type: path
  services:
    description:
      - The services, as documented for the role C(golive.cutover.deploy).
      - Without it, those that the release was last run with, which stand in its directory.
    type: list
    elements: dict
  only:
    description: Names of services. Without it, all of them. For the states V(signalled) and V(restarted).
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) brings all programs where they should be.
      - V(possible) only looks, and returns everything that would prevent that in RV(problems).
      - V(status) only looks, and returns RV(services).
      - V(signalled) sends SIGHUP.
      - V(restarted) restarts the programs whose env file was written since they were started, and those that do not run. With
        O(anew) all of them.
      - V(stopped) stops all programs and C(supervisord).
    type: str
    choices: [present, possible, status, signalled, restarted, stopped]
    default: present
  anew:
    description: Whether O(state=restarted) also restarts programs that run and have seen their settings.
    type: bool
    default: false
  settle:
    description: Time after which all programs must still be up, as a duration with its unit.
    type: str
    default: 1s
attributes:
  check_mode:
    support: full
    description: Says what would be done.
  diff_mode:
    support: none
    description: The actions are named in the result.
author:
  - The golive.cutover contributors (@golive-cutover)
notes:
  - M(community.general.supervisorctl) was looked at first. It acts on one program in a call, applies no changed
    configuration to a program that it finds, and does not wait for more than the state of the process.
"""

EXAMPLES = r"""
- name: Run release 1.0.0
  golive.cutover.supervisor_programs:
    directory: /var/lib/golive/supervisor
    python: /var/lib/golive/toolbox/bin/python
    release: 1.0.0
    release_dir: /var/lib/golive/releases/1.0.0
    services:
      - name: web
        command: [python3, -m, http.server, "{port}"]
        port: 8000
        ready:
          http: http://127.0.0.1:{port}/
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
services:
  description: The programs as they are now.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the program.
      type: str
    service:
      description: Name of the service that it is an instance of.
      type: str
    state:
      description: State of the process, in lower case.
      type: str
    healthy:
      description: Whether it meets its policy and runs the release that was asked for.
      type: bool
    restarts:
      description: How often it was started again since it was put in place.
      type: int
    reason:
      description: Why it is not healthy.
      type: str
problems:
  description: What stands in the way, all of it.
  returned: always
  type: list
  elements: str
release:
  description: The release that runs, or null.
  returned: success
  type: str
reason:
  description: Why a program did not come up.
  returned: when a program did not come up
  type: str
log:
  description: The last lines of that program, without the values of its settings.
  returned: when a program did not come up
  type: list
  elements: str
"""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils import commands, launcher, readiness
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import tree, units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.services import Program, programs, read_services
from ansible_collections.golive.cutover.plugins.module_utils.release_files import write_atomically
from ansible_collections.golive.cutover.plugins.module_utils.supervisor import Supervisor, SupervisorError

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _run_file(params: dict[str, Any]) -> Path:
    return Path(params["release_dir"]) / tree.OWN / "run.json"


def _services(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The services that were given, or those that the release was last run with."""
    if params["services"] is not None:
        return list(params["services"])
    path = _run_file(params)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["env_file"] and not os.path.exists(params["env_file"]):
            raise SupervisorError(f"release {params['release']} ran with an env file, and {params['env_file']} is gone")
        return list(record["services"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SupervisorError(f"what release {params['release']} runs is not known: {path} cannot be read ({error})") from error


def _programs(params: dict[str, Any]) -> list[Program]:
    return programs(
        read_services(_services(params)),
        release=params["release"],
        release_dir=params["release_dir"],
        home=str(Path(params["directory"]).parent),
    )


def _settle(params: dict[str, Any]) -> float:
    try:
        return units.parse_duration(params["settle"])
    except ValueError as error:
        raise InputError([Problem("settle", str(error))]) from error


def _chosen(wanted: list[Program], only: list[str]) -> list[Program]:
    known = {program.service for program in wanted}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InputError(
            [Problem("only", f"there is no service {name}; expected one of {', '.join(sorted(known))}") for name in unknown]
        )
    return [program for program in wanted if not only or program.service in only]


def _possible(params: dict[str, Any], manager: Supervisor) -> list[str]:
    problems: list[str] = []
    try:
        wanted = _programs(params)
    except InputError as error:
        return [str(problem) for problem in error.problems]
    except CutoverError as error:
        return [str(error)]
    if not wanted:
        problems.append("the release has no services")
    own = manager.own_ports()
    problems += [
        f"port {program.port} of {program.name} is taken by another process"
        for program in wanted
        if program.port is not None and program.port not in own and readiness.listens(program.port)
    ]
    try:
        if commands.run([params["python"], "-c", "import supervisor.supervisord"], timeout=30).code:
            problems.append(f"{params['python']} cannot import supervisor; the role golive.cutover.toolbox makes one that can")
    except (OSError, subprocess.TimeoutExpired) as error:
        problems.append(f"the interpreter {params['python']} cannot be used: {error}")
    if os.path.exists(params["env_file"]):
        try:
            launcher.read_settings(params["env_file"])
        except (OSError, ValueError) as error:
            problems.append(f"the env file {params['env_file']} cannot be read: {error}")
    return problems


def supervisor_programs(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    params["env_file"] = params["env_file"] or f"{params['release_dir']}/{tree.ENV_FILE}"
    settle, state = _settle(params), params["state"]
    manager = Supervisor(Path(params["directory"]), params["python"], params["env_file"], params["release_dir"])
    result: dict[str, Any] = {
        "changed": False,
        "actions": [],
        "problems": [],
        "services": [],
        "release": params["release"],
    }

    if state == "possible":
        return {**result, "problems": _possible(params, manager)}
    if state == "stopped":
        if module.check_mode:
            running = manager.rpc.alive()
            return {**result, "changed": running, "actions": ["stop everything"] if running else [], "release": None}
        return {**result, "changed": manager.stop(), "actions": manager.actions, "release": None}

    wanted = _programs(params)
    if state == "status":
        return {**result, "services": manager.status(wanted)}
    if state in ("signalled", "restarted"):
        chosen = _chosen(wanted, params["only"])
        if module.check_mode:
            verb = "signal" if state == "signalled" else "restart"
            return {**result, "changed": True, "actions": [f"{verb} {program.name}" for program in chosen]}
        if state == "signalled":
            manager.signal(chosen, "HUP")
        else:
            manager.restart(chosen, settle=settle, anew=params["anew"])
        return {
            **result,
            "changed": bool(manager.actions),
            "actions": manager.actions,
            "services": manager.status(wanted),
        }

    if not wanted:
        raise InputError([Problem("services", "is empty; a release without services cannot be run")])
    if module.check_mode:
        actions = manager.pending(wanted)
        return {**result, "changed": bool(actions), "actions": actions}
    written = False
    if params["services"] is not None:
        # What the release runs is kept with it, so that going back does not depend on the variables of a later release.
        record = {"services": params["services"], "env_file": os.path.exists(params["env_file"])}
        written = write_atomically(_run_file(params), json.dumps(record, indent=1) + "\n", 0o600)
    manager.converge(wanted, settle=settle)
    return {
        **result,
        "changed": written or bool(manager.actions),
        "actions": manager.actions,
        "services": manager.status(wanted),
    }


def main() -> None:
    run_module(
        {
            "directory": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
            "release": {"type": "str", "required": True},
            "release_dir": {"type": "path", "required": True},
            "env_file": {"type": "path"},
            "services": {"type": "list", "elements": "dict"},
            "only": {"type": "list", "elements": "str", "default": []},
            "state": {
                "type": "str",
                "choices": ["present", "possible", "status", "signalled", "restarted", "stopped"],
                "default": "present",
            },
            "anew": {"type": "bool", "default": False},
            "settle": {"type": "str", "default": "1s"},
        },
        supervisor_programs,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

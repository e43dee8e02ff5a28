#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nginx_dropin
short_description: Place drop-in files of nginx as one change that is tested, taken, or undone
version_added: 0.1.0
description:
  - Places files that the configuration of nginx includes, tests the whole tree, sees that nginx does read them, reloads nginx and
    sees that it has new workers. It never restarts nginx, so no connection is cut.
  - When anything is refused, the previous files are back, byte for byte, with mode and owner, and what was absent is absent. The
    error is that of nginx itself.
  - What was there is saved below O(state_dir) before the first file is touched. A run that dies half way is undone and done again
    by the next one; a run that came to its end can be undone with O(state=restored).
options:
  files:
    description: The files, as one change. Their directories must exist.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file.
        type: path
        required: true
      content:
        description: Its content.
        type: str
        default: ""
      state:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
      mode:
        description: Its mode.
        type: str
        default: "0644"
      owner:
        description: Name or number of its owner. Without it, an existing file keeps its owner.
        type: str
      group:
        description: Name or number of its group. Without it, an existing file keeps its group.
        type: str
  state:
    description:
      - V(present) makes the files what O(files) says.
      - V(restored) puts back the files that were there before the run O(run), or before the release O(release) where one is named.
        Nothing is done when none were changed.
    type: str
    choices: [present, restored]
    default: present
  run:
    description: Name of this run, or of the run to undo.
    type: str
    required: true
  release:
    description:
      - With O(state=present) the release for which the files are placed, which the run may not live to see.
      - With O(state=restored) the release to undo, whichever runs have placed its files, also those that died.
    type: str
  state_dir:
    description: Directory on the host for what was there before. It is made when it is missing.
    type: path
    required: true
  binary:
    description: The program to call.
    type: str
    default: nginx
  config:
    description: Main configuration file (C(-c)), when nginx was not started with its own default.
    type: path
  prefix:
    description: Prefix of relative paths (C(-p)), when nginx was not started with its own default.
    type: path
  reload:
    description:
      - Whether a running nginx must take the change. Then one that does not run is a failure.
      - With V(false) the files are placed and tested, and count when nginx is started.
    type: bool
    default: true
  timeout:
    description: Seconds that nginx may take until it has new workers.
    type: int
    default: 15
attributes:
  check_mode:
    support: full
    description: Shows the difference of the files. Files that are not there are not tested.
  diff_mode:
    support: full
    description: Shows the difference of each file.
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: Own a drop-in of the site
  golive.cutover.nginx_dropin:
    run: "{{ cutover_run.id }}"
    state_dir: /var/lib/golive/nginx
    files:
      - path: /etc/nginx/golive.d/limits.conf
        content: |
          client_max_body_size 1m;

- name: Put back what was there before that run
  golive.cutover.nginx_dropin:
    run: "{{ cutover_run.id }}"
    state_dir: /var/lib/golive/nginx
    state: restored

- name: Put back what was there before a release, whichever run has changed it
  golive.cutover.nginx_dropin:
    run: "{{ cutover_run.id }}"
    release: 1.1.0
    state_dir: /var/lib/golive/nginx
    state: restored
"""

RETURN = r"""
files:
  description: What became of each file, C(path) and C(state), one of C(created), C(changed), C(removed), C(same).
  returned: success
  type: list
  elements: dict
reloaded:
  description: Whether the running nginx was reloaded. It is too when its files are older than those on the disk.
  returned: success
  type: bool
recovered:
  description: Name of a run that had died half way and was undone first; else null.
  returned: success
  type: str
"""

import os
import re
import time
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils._files import FileState, read_file, read_owner
from ansible_collections.golive.cutover.plugins.module_utils._nginx import Nginx
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.nginx_dropin import Change, Saved, Wanted, read_run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _wanted(files: list[dict[str, Any]], lenient: bool) -> list[Wanted]:
    """The files as they shall be. In check mode an owner may be one that the run would make."""
    problems: list[Problem] = []
    wanted = []
    for one in files:
        path = one["path"]
        if one["state"] == "absent":
            wanted.append(Wanted(path, None))
            continue
        if not re.fullmatch(r"0?[0-7]{3}", one["mode"]):
            problems.append(Problem(f"{path}: mode", f"{one['mode']!r} is not an octal mode such as '0644'"))
            continue
        uid, gid = read_owner(one, lenient, problems, f"{path}: ")
        data = one["content"].encode("utf-8")
        wanted.append(Wanted(path, FileState(data, int(one["mode"], 8), uid, gid)))
    if problems:
        raise InputError(problems)
    return wanted


def _text(state: FileState | None) -> str:
    return "" if state is None else state.data.decode("utf-8", "replace")


def _difference(wanted: list[Wanted]) -> list[dict[str, str]]:
    found = []
    for one in wanted:
        there = read_file(one.path)
        if _text(there) != _text(one.state) or (there is None) != (one.state is None):
            found.append(
                {
                    "before_header": one.path if there is not None else os.devnull,
                    "after_header": one.path if one.state is not None else os.devnull,
                    "before": _text(there),
                    "after": _text(one.state),
                }
            )
    return found


def nginx_dropin(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    try:
        run = read_run(params["run"])
    except ValueError as error:
        raise InputError([Problem("run", str(error))]) from None

    def run_command(line: list[str]) -> tuple[int, str, str]:
        code, output, errors = module.run_command(line, environ_update={"LC_ALL": "C"}, handle_exceptions=False)
        return code, output, errors

    change = Change(
        nginx=Nginx(run_command, params["binary"], params["config"], params["prefix"]),
        saved=Saved(params["state_dir"]),
        run=run,
        clock=time.monotonic,
        sleep=time.sleep,
        release=params["release"],
        reload=params["reload"],
        timeout=float(params["timeout"]),
    )
    restored = params["state"] == "restored"
    wanted = change.restorable() if restored else _wanted(params["files"], module.check_mode)
    difference = _difference(wanted)
    if not wanted:
        result: dict[str, Any] = {"changed": False, "files": [], "reloaded": False, "recovered": None}
    elif module.check_mode:
        files = change.plan(wanted)
        changed = any(one.state != "same" for one in files)
        placed = [one._asdict() for one in files]
        result = {"changed": changed, "files": placed, "reloaded": changed and params["reload"], "recovered": None}
    else:
        result = change.restore() if restored else change.apply(wanted)
    if module._diff:
        result["diff"] = difference
    return result


def main() -> None:
    run_module(
        {
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "default": ""},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str"},
                    "group": {"type": "str"},
                },
            },
            "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
            "run": {"type": "str", "required": True},
            "release": {"type": "str"},
            "state_dir": {"type": "path", "required": True},
            "binary": {"type": "str", "default": "nginx"},
            "config": {"type": "path"},
            "prefix": {"type": "path"},
            "reload": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 15},
        },
        nginx_dropin,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: env_file
short_description: Render and validate an env file without showing its values
version_added: 0.1.0
description:
  - Writes C(KEY=value) lines so that each program in O(readers) reads exactly the given values, whatever characters
    they hold.
  - Holds the file against rules before anything is written. Every mistake is in one message, which names keys and
    never values.
  - The file is replaced as a whole or not at all, and is never readable by others, not even for a moment.
options:
  path:
    description: The env file. Its directory must exist. A symbolic link is followed.
    type: path
    required: true
  state:
    description:
      - V(present) renders, validates and writes the file.
      - V(validated) reads the file at O(path) as it stands, validates it and changes nothing.
    type: str
    choices: [present, validated]
    default: present
  values:
    description:
      - The keys and their values. A value is a text, a number or a flag (written as V(true) or V(false)).
      - They take precedence over those of O(base).
    type: dict
    default: {}
  base:
    description:
      - An env file on the host whose keys, order and comments are kept, unless O(values) overrides a key. An
        C(.env.example), say.
      - It may be O(path) itself, to change some keys of a file and keep the rest. Only then it may be missing.
      - Without it the file holds O(values) and nothing else.
    type: path
  required:
    description: Keys that must be there and not be empty.
    type: list
    elements: str
    default: []
  formats:
    description:
      - Key to format. A format is V(url), V(integer), V(boolean) or V(host_list).
      - "A format with an argument is a mapping: V({url: [redis, rediss]}), V({integer: {min: 1, max: 65535}}),
        V({one_of: [a, b]}), V({regex: '[0-9]+:.+'})."
      - A regular expression must match the whole value. A host list has commas between its hosts, each with or
        without a port.
      - An empty value has no format; list the key in O(required) to refuse it.
    type: dict
    default: {}
  placeholders:
    description:
      - Regular expressions. A value in which one of them is found was never filled in, and is refused.
      - The default finds C(your_..._here), C(example.com) (also C(.org), C(.net)), C(changeme), C(<...>), C(todo),
        C(tbd), C(xxx).
      - An empty list allows everything.
    type: list
    elements: str
  readers:
    description:
      - The programs that must read the same value out of each line. V(compose) is Docker Compose, V(shell) is C(.
        ./.env) in a
        POSIX shell, V(python_dotenv) is the Python library with its defaults.
      - A value that no notation carries to all of them is refused. A carriage return never is carried.
    type: list
    elements: str
    choices: [compose, shell, python_dotenv]
    default: [compose, shell]
  mode:
    description: Mode of the file. One that lets others read it is refused.
    type: str
    default: "0600"
  owner:
    description: Name or number of the user who owns the file. Without it, an existing file keeps its owner.
    type: str
  group:
    description: Name or number of the group of the file. Without it, an existing file keeps its group.
    type: str
  backup:
    description: Keep the file that was there beside the new one, with a time in its name. It holds secrets too.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says what would change, after the same validation.
  diff_mode:
    support: full
    description: Shows the names of keys that were added, changed or removed, never a value.
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: Render the env file from the example and the secrets
  golive.cutover.env_file:
    path: /srv/app/.env
    base: /srv/app/.env.example
    values:
      TELEGRAM_BOT_TOKEN: "{{ vault_telegram_bot_token }}"
      REDIS_URL: redis://redis:6379
      SCHEDULER_ENABLED: true
    required: [TELEGRAM_BOT_TOKEN, TELEGRAM_CHAT_ID, REDIS_URL]
    formats:
      REDIS_URL: {url: [redis, rediss]}
      SCHEDULER_ENABLED: boolean
      NOTIFY_ALLOWED_HOSTS: host_list

- name: Change one key and keep the rest
  golive.cutover.env_file:
    path: /srv/app/.env
    base: /srv/app/.env
    values:
      MAX_SSE_CONNECTIONS: 1

- name: Refuse placeholders in a file that somebody else wrote
  golive.cutover.env_file:
    path: /srv/app/.env
    state: validated
    required: [REDIS_URL]
"""

RETURN = r"""
path:
  description: The env file.
  returned: success
  type: str
changed_keys:
  description: Names of the keys that were C(added), C(changed) and C(removed).
  returned: success
  type: dict
env_keys:
  description: Names of all keys of the file, in order.
  returned: success
  type: list
  elements: str
problems:
  description: The mistakes, each with C(where) (a key or a line) and C(message).
  returned: failure
  type: list
  elements: dict
backup_file:
  description: Where the file that was there is kept.
  returned: when O(backup=true) and the file was replaced
  type: str
"""

import os
import time
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils import env_file as core
from ansible_collections.golive.cutover.plugins.module_utils._files import read_file, read_owner, write_file
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def _take_values(module: AnsibleModule) -> dict[str, Any]:
    """Take the values out of the parameters, so that no part of the result can hold them.

    Ansible masks every occurrence of a hidden value in a result. Values such as ``1`` or ``true`` would mask half of
    every message, so only what is long enough to be a secret, and is no part of a path, stays on its list.
    """
    values: dict[str, Any] = module.params["values"]
    module.params["values"] = dict.fromkeys(values, HIDDEN)
    public = " ".join([*values, module.params["path"], module.params["base"] or "", *module.params["required"]])
    module.no_log_values = {value for value in module.no_log_values if len(value) >= 8 and value not in public}
    return values


def env_file(module: AnsibleModule) -> dict[str, Any]:
    given = _take_values(module)
    params = module.params
    path: str = params["path"]
    problems: list[Problem] = []
    rules = core.Rules()
    mode = 0
    try:
        rules = core.read_rules(params["required"], params["formats"], params["placeholders"], params["readers"])
    except InputError as error:
        problems.extend(error.problems)
    try:
        mode = core.read_mode(params["mode"])
    except ValueError as error:
        problems.append(Problem("mode", str(error)))
    # In check mode the user may be one that the run would make.
    uid, gid = read_owner(params, module.check_mode, problems)
    if problems:
        raise InputError(problems)

    there = read_file(path)
    if params["state"] == "validated":
        if there is None:
            raise InputError([Problem(path, "does not exist")])
        env = core.parse(core.decode(there.data))
        problems, warnings = core.validate(env, rules)
        if there.mode & 0o007:
            problems.append(Problem(path, f"has the mode {there.mode:04o}, so that others can read it"))
        if problems:
            raise InputError(problems)
        return _result(module, path, env, core.Changes([], [], []), warnings, changed=False)

    values: dict[str, str] = {}
    base = None
    try:
        values = core.read_given(given)
    except InputError as error:
        problems.extend(error.problems)
    if params["base"] is not None:
        found = read_file(params["base"])
        if found is not None:
            base = core.parse(core.decode(found.data))
        elif os.path.realpath(params["base"]) != os.path.realpath(path):
            problems.append(Problem("base", f"{params['base']} does not exist"))
    warnings = []
    text = ""
    try:
        text, warnings = core.render(values, base, rules.readers)
    except InputError as error:
        problems.extend(error.problems)
    after = dict(core.read_values(base)[0]) if base is not None else {}
    after.update(values)
    seen = {problem.where for problem in problems}
    problems += [problem for problem in core.validate_values(after, rules) if problem.where not in seen]
    if problems:
        raise InputError(problems)

    env = core.parse(text)
    before = core.read_values(core.parse(there.data.decode("utf-8", "replace")))[0] if there is not None else {}
    names = core.changes(before, core.read_values(env)[0])
    data = text.encode("utf-8")
    same = there is not None and there.data == data and there.mode == mode and uid in (-1, there.uid) and gid in (-1, there.gid)
    result = _result(module, path, env, names, warnings, changed=not same)
    if same or module.check_mode:
        return result
    if there is not None:
        uid = there.uid if uid == -1 else uid
        gid = there.gid if gid == -1 else gid
        if params["backup"]:
            result["backup_file"] = f"{path}.{time.strftime('%Y-%m-%dT%H-%M-%S')}"
            write_file(result["backup_file"], there.data, 0o600, there.uid, there.gid)
    write_file(path, data, mode, uid, gid)
    return result


def _result(
    module: AnsibleModule, path: str, env: core.EnvFile, names: core.Changes, warnings: list[str], changed: bool
) -> dict[str, Any]:
    for warning in warnings:
        module.warn(f"{path}: {warning}")
    result: dict[str, Any] = {"changed": changed, "path": path, "changed_keys": names._asdict(), "env_keys": env.keys}
    if module._diff:
        signs = (("+", names.added), ("~", names.changed), ("-", names.removed))
        lines = [f"{sign} {key}\n" for sign, keys in signs for key in keys]
        result["diff"] = {"prepared": f"{path} (names only)\n{''.join(lines)}" if lines else ""}
    return result


def main() -> None:
    run_module(
        {
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "validated"], "default": "present"},
            "values": {"type": "dict", "default": {}, "no_log": True},
            "base": {"type": "path"},
            "required": {"type": "list", "elements": "str", "default": []},
            "formats": {"type": "dict", "default": {}},
            "placeholders": {"type": "list", "elements": "str"},
            "readers": {
                "type": "list",
                "elements": "str",
                "choices": ["compose", "shell", "python_dotenv"],
                "default": ["compose", "shell"],
            },
            "mode": {"type": "str", "default": "0600"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "backup": {"type": "bool", "default": False},
        },
        env_file,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

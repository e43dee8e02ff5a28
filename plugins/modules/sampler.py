#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sampler
short_description: Put the program on a host that keeps samples without Ansible
version_added: 0.1.0
description:
  - Writes the sampler as one file that Python runs, and its settings for one environment. It starts nothing; the role
    C(golive.cutover.hypercare) does, with systemd or cron.
  - C(PYTHON sampler.pyz SETTINGS) looks every so many seconds until it is ended. One runs for each file of settings. When its
    settings or the program change, it begins anew by itself.
  - The settings may hold secrets, so their file is readable by its owner alone.
options:
  state:
    description: V(absent) removes the settings of the environment, and the program when no other environment needs it.
    type: str
    choices: [present, absent]
    default: present
  directory:
    description: Where both files are put. It is made when it is missing.
    type: path
    required: true
  environment:
    description: The environment whose samples they are.
    type: str
    required: true
  store:
    description: Address of the store. A password of Redis stands in a file that the address names, C(?password_file=…).
    type: str
  host:
    description:
      - Whose samples they are, in a store that hosts share.
      - Needed there (C(redis:), C(rediss:)), because the same address is another page on each host.
      - A store of one host (C(sqlite:)) needs none.
    type: str
    default: ""
  every:
    description: Pause between two looks, with its unit.
    type: str
    default: 30s
  keep:
    description: How long samples are kept, with its unit; 15 minutes to 31 days.
    type: str
    default: 50h
  pages:
    description: Metrics pages, as M(golive.cutover.sample) takes them.
    type: list
    elements: dict
    default: []
  checks:
    description:
      - Checks whose measures are kept, as M(golive.cutover.check) takes them. They are asked at every look, so few and quick ones.
    type: list
    elements: dict
    default: []
  secrets:
    description: "Values for C({secret: NAME}) in O(pages) and O(checks)."
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Says whether a file would change.
  diff_mode:
    support: none
    description: The settings may hold secrets.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.sample
"""

EXAMPLES = r"""
- name: Put the sampler there
  golive.cutover.sampler:
    directory: /var/lib/golive/sampler
    environment: spark-ta
    store: sqlite:///var/lib/golive/golive.db
    pages:
      - name: executor-1
        url: http://127.0.0.1:4001/metrics
  register: sampler

- name: Look once, as a try
  ansible.builtin.command:
    argv: ["{{ ansible_playbook_python }}", "{{ sampler.program }}", "{{ sampler.settings }}", --once]
  changed_when: true

- name: Take it away
  golive.cutover.sampler:
    directory: /var/lib/golive/sampler
    environment: spark-ta
    state: absent
"""

RETURN = r"""
program:
  description: Path of the program.
  returned: success
  type: str
settings:
  description: Path of the settings.
  returned: success
  type: str
"""

import contextlib
import glob
import json
import os
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils._files import read_file, write_file
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import bundle, program
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import check_names

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _put(path: str, data: bytes, mode: int, dry: bool) -> bool:
    """Write a file when it is another; returns whether it is."""
    known = read_file(path)
    if known is not None and known.data == data and known.mode == mode:
        return False
    if not dry:
        write_file(path, data, mode)
    return True


def _absent(directory: str, target: str, place: str, dry: bool) -> bool:
    others = [path for path in glob.glob(os.path.join(glob.escape(directory), "*.json")) if path != place]
    gone = [path for path in (place, f"{place}.lock", *([] if others else [target])) if os.path.lexists(path)]
    for path in () if dry else gone:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    return bool(gone)


def sampler(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    problems = check_names(environment=params["environment"])
    if problems:
        raise InputError(problems)
    directory = params["directory"]
    target = os.path.join(directory, "sampler.pyz")
    place = os.path.join(directory, f"{params['environment']}.json")
    result = {"program": target, "settings": place}
    if params["state"] == "absent":
        return {"changed": _absent(directory, target, place, module.check_mode), **result}
    settings = {key: params[key] for key in program.SETTINGS}
    program.read_settings(settings)
    if not module.check_mode:
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
        except OSError as error:
            raise CutoverError(f"{directory} cannot be made: {error.strerror}") from error
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    changed = _put(target, bundle.build(), 0o644, module.check_mode)
    changed = _put(place, text.encode(), 0o600, module.check_mode) or changed
    return {"changed": changed, **result}


def main() -> None:
    run_module(
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "directory": {"type": "path", "required": True},
            "environment": {"type": "str", "required": True},
            "store": {"type": "str"},
            "host": {"type": "str", "default": ""},
            "every": {"type": "str", "default": "30s"},
            "keep": {"type": "str", "default": "50h"},
            "pages": {"type": "list", "elements": "dict", "default": []},
            "checks": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        sampler,
        required_if=[("state", "present", ("store",))],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

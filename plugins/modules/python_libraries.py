#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: python_libraries
short_description: Find a Python interpreter that can import given libraries
version_added: 0.1.0
description:
  - Asks interpreters on the host, in order, whether they can import all of the libraries, and returns the first that
    can.
  - It installs nothing.
options:
  libraries:
    description: Names as they are imported, such as V(requests).
    type: list
    elements: str
    required: true
  candidates:
    description:
      - Paths of interpreters. One that is missing or too old is passed over.
      - The interpreter that runs this module is asked first, unless O(own) is false.
    type: list
    elements: path
    default: []
  own:
    description: Whether the interpreter that runs this module is a candidate.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: The module only looks.
  diff_mode:
    support: none
    description: Nothing is changed.
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: Which Python can be used for the checks
  golive.cutover.python_libraries:
    libraries: [requests, redis]
    candidates: [/var/lib/golive/toolbox/bin/python]
  register: found
"""

RETURN = r"""
python:
  description: The first interpreter that has all libraries, or null.
  returned: success
  type: str
own:
  description: The interpreter that runs this module.
  returned: success
  type: str
missing:
  description: For each interpreter that was asked, what it lacks. One that could not be asked lacks everything.
  returned: success
  type: dict
"""

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils import commands
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# A library that is found but cannot be imported is as good as missing, so it is really imported, by an interpreter of its own.
_LOOK = """
import importlib, json, sys
if sys.version_info < (3, 9):
    raise SystemExit(3)
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:
        missing.append(name)
print(json.dumps(missing))
"""


def lacks(python: str, libraries: list[str]) -> list[str]:
    """What an interpreter cannot import; everything when it cannot be asked."""
    try:
        done = commands.run([python, "-c", _LOOK, *libraries], timeout=60)
        if done.code == 0:
            return list(json.loads(done.output.strip().splitlines()[-1]))
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        pass
    return list(libraries)


def python_libraries(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    candidates = ([sys.executable] if params["own"] else []) + params["candidates"]
    missing: dict[str, list[str]] = {}
    for python in dict.fromkeys(candidates):
        missing[python] = lacks(python, params["libraries"])
        if not missing[python]:
            return {"changed": False, "python": python, "own": sys.executable, "missing": missing}
    return {"changed": False, "python": None, "own": sys.executable, "missing": missing}


def main() -> None:
    run_module(
        {
            "libraries": {"type": "list", "elements": "str", "required": True},
            "candidates": {"type": "list", "elements": "path", "default": []},
            "own": {"type": "bool", "default": True},
        },
        python_libraries,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

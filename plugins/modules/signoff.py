#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: signoff
short_description: Sign off a run in the ledger, and see who has
version_added: 0.1.0
description:
  - Writes a signature to the ledger of an environment, takes one back, or says which of the required ones are there.
  - The ledger is verified first. In one that is not what was written, nothing is signed and nothing counts.
  - Whether a signature counts is decided when it is read, by O(required), O(people) and O(distinct).
  - For C(hypercare) one that was given before the newest look at a checkpoint does not count, because whoever signed has not seen
    what it found. It has to be given again.
  - The collection does not know who is at the keyboard. A signature is the word of whoever may write to the store, with O(operator)
    beside it.
extends_documentation_fragment:
  - golive.cutover.store
options:
  state:
    description:
      - V(read) says what is signed.
      - V(signed) signs. Who has signed already changes nothing.
      - V(withdrawn) takes a signature back. The ledger keeps both.
    type: str
    choices: [read, signed, withdrawn]
    default: read
  of:
    description: What is signed off.
    type: str
    default: hypercare
  run:
    description: The run that is signed off. By default the newest cutover that ended with GO.
    type: str
  required:
    description: The roles that have to sign, by name.
    type: list
    elements: str
    required: true
  people:
    description: Who may sign, by role. For a role that is not named here, anybody may.
    type: dict
    default: {}
  distinct:
    description: Whether each role needs a person of its own. For C(hypercare) it does, and V(false) is refused.
    type: bool
    default: true
  role:
    description: As what is signed, one of O(required). Needed unless O(state=read).
    type: str
  by:
    description: Who signs. Needed unless O(state=read).
    type: str
  operator:
    description: Whose account it is written from.
    type: str
    default: ''
  statement:
    description: What the signer says to it.
    type: str
    default: ''
attributes:
  check_mode:
    support: full
    description: Says whether something would be signed and writes nothing.
  diff_mode:
    support: none
    description: The result says what is signed.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.ledger
"""

EXAMPLES = r"""
- name: Sign off the 48 hours as Operations Lead
  golive.cutover.signoff:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: signed
    required: [Operations Lead, Development Lead]
    people:
      Operations Lead: [ann, bob]
    role: Operations Lead
    by: ann
    statement: No incident in 48 hours.

- name: Who has signed?
  golive.cutover.signoff:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    required: [Operations Lead, Development Lead]
  register: signed

- name: Say who is missing
  ansible.builtin.debug:
    msg: "{{ signed.lines }}"
"""

RETURN = r"""
signoff:
  description:
    - What is signed of the run, with C(run), C(of) and C(complete) (whether every required signature is there).
    - C(signatures) are those that count, each with C(role), C(by), C(operator), C(statement), C(time), and C(seq) and C(hash)
      of its entry in the ledger. C(missing) are the roles without one. C(not_counted) are others, with C(why).
  returned: success
  type: dict
lines:
  description: The same for a person, a line each.
  returned: success
  type: list
  elements: str
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import signoff as signing
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import signatures
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import check_names

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def signoff(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    rules = signing.read_rules(params["required"], params["people"], params["distinct"])
    problems = check_names(of=params["of"], **({"run": params["run"]} if params["run"] else {}))
    if problems:
        raise InputError(problems)
    changed = False
    with open_from(params, module.no_log_values.add) as store:
        if params["state"] == "read":
            found = signatures.read(store, params["environment"], params["of"], rules, params["run"])
        else:
            changed, found = signatures.sign(
                store,
                params["environment"],
                params["of"],
                rules,
                params["role"].strip(),
                params["by"].strip(),
                {"operator": params["operator"], "statement": params["statement"]},
                run=params["run"],
                withdraw=params["state"] == "withdrawn",
                dry=module.check_mode,
            )
    return {"changed": changed, "signoff": found, "lines": signing.lines(found)}


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "state": {"type": "str", "choices": ["read", "signed", "withdrawn"], "default": "read"},
            "of": {"type": "str", "default": "hypercare"},
            "run": {"type": "str"},
            "required": {"type": "list", "elements": "str", "required": True},
            "people": {"type": "dict", "default": {}},
            "distinct": {"type": "bool", "default": True},
            "role": {"type": "str"},
            "by": {"type": "str"},
            "operator": {"type": "str", "default": ""},
            "statement": {"type": "str", "default": ""},
        },
        signoff,
        required_if=[("state", "signed", ("role", "by")), ("state", "withdrawn", ("role", "by"))],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: go_no_go
short_description: Decide GO or NO-GO from the evidence of all hosts
version_added: 0.1.0
description:
  - Holds the verdicts and steps of all hosts against one policy and decides, with reasons.
  - It fails closed. A host without evidence, a check that was asked and has no verdict, and a criterion that nothing answers are
    each a reason for NO-GO.
  - A verdict that is neither C(pass) nor C(warn) blocks, unless its check is not required or a pass rate speaks for it.
  - Run it once, on the controller, after the hosts were looked at.
options:
  evidence:
    description:
      - Host to what is known of it, C(asked) (ids of the checks that were put to it), C(verdicts) (from M(golive.cutover.check)),
        C(steps) (each with C(name) and C(status)) and C(failed) (a mapping with C(step), C(task) and C(message), or null).
    type: dict
    required: true
  hosts:
    description: The hosts that must have answered. An empty list is NO-GO.
    type: list
    elements: str
    required: true
  policy:
    description:
      - C(criteria) is the go/no-go table. Each row has a C(name), C(required) (default true), one or more of C(tags), C(checks) and
        C(steps), and may have a C(pass_rate) such as C(95%).
      - C(max_warnings) is how many warnings are allowed; without it any number is.
    type: dict
    default: {}
  fail_on_no_go:
    description: Whether the task fails when the decision is C(no_go).
    type: bool
    default: true
  validate_only:
    description: Read and validate the policy, and decide nothing.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Deciding changes nothing.
  diff_mode:
    support: none
    description: Nothing is changed.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.check
"""

EXAMPLES = r"""
- name: Decide over two hosts
  golive.cutover.go_no_go:
    hosts: [web1, web2]
    evidence:
      web1:
        asked: [H-001]
        verdicts:
          - {id: H-001, title: Health, status: pass, required: true, reason: status 200, tags: [smoke]}
      web2:
        asked: [H-001]
        verdicts:
          - {id: H-001, title: Health, status: warn, required: true, reason: latency is 600 ms, tags: [smoke]}
    policy:
      criteria:
        - name: Smoke tests passed
          tags: [smoke]
          pass_rate: 95%
      max_warnings: 3
"""

RETURN = r"""
decision:
  description: C(go) or C(no_go).
  returned: when decided
  type: str
reasons:
  description: Why the decision is C(no_go), a line for each reason. Empty on C(go).
  returned: when decided
  type: list
  elements: str
criteria:
  description: The rows of the go/no-go table with C(name), C(required), C(met) (null when nothing answered it) and C(detail).
  returned: when decided
  type: list
  elements: dict
counts:
  description: How many verdicts there are of each status, over all hosts.
  returned: when decided
  type: dict
causes:
  description:
    - What the reasons come down to, for what has to choose by them. Each has C(host), and C(check) with its C(tags) for a check
      that does not hold, C(step) for a step that failed by itself, or C(other) in words.
  returned: when decided
  type: list
  elements: dict
blocking:
  description: The verdicts that block each by itself, with C(host), C(id), C(status) and C(reason).
  returned: when decided
  type: list
  elements: dict
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.gate import decide, read_policy

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def go_no_go(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    policy = read_policy(params["policy"])
    if params["validate_only"]:
        return {"changed": False}
    result = {"changed": False, **dataclasses.asdict(decide(params["evidence"], params["hosts"], policy))}
    if params["fail_on_no_go"] and result["decision"] != "go":
        result["failed_message"] = "NO-GO:\n" + "\n".join(f"  - {reason}" for reason in result["reasons"])
    return result


def main() -> None:
    run_module(
        {
            "evidence": {"type": "dict", "required": True},
            "hosts": {"type": "list", "elements": "str", "required": True},
            "policy": {"type": "dict", "default": {}},
            "fail_on_no_go": {"type": "bool", "default": True},
            "validate_only": {"type": "bool", "default": False},
        },
        go_no_go,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

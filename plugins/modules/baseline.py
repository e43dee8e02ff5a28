#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: baseline
short_description: Remember what checks measured before a run changed anything
version_added: 0.1.0
description:
  - Keeps the numbers of M(golive.cutover.check) with the run that took them, so that thresholds such as C(<= +10%) can be held
    against them after the change, by another play or another command.
  - The first number of a measure stays. A run that died and is started again looks at a system that it has already changed,
    and what it measures then is no baseline any more. Where another run finishes it, O(release) leads to what the first one kept.
  - The baselines of the newest 20 runs of each host are kept.
extends_documentation_fragment:
  - golive.cutover.store
options:
  state:
    description:
      - V(kept) keeps O(measures) with the run, as far as it has none yet.
      - V(read) only returns what is kept.
    type: str
    choices: [kept, read]
    default: read
  run:
    description: The run that the baseline belongs to. Needed with O(state=kept).
    type: str
  release:
    description:
      - The release that the run goes to.
      - With O(state=read) and without O(run), the newest run to this release that has kept a baseline is meant, and without
        O(release) the newest to the release that runs now.
    type: str
  host:
    description: The host that was measured, where several share a store.
    type: str
    default: ''
  measures:
    description:
      - What RV(golive.cutover.check#module:baseline) was. Needed with O(state=kept).
      - Nothing measured is kept too, as C({}), so that nobody takes what is measured later for a baseline.
    type: dict
attributes:
  check_mode:
    support: full
    description: Says what would be kept and writes nothing.
  diff_mode:
    support: none
    description: The numbers are in the result.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.check
"""

EXAMPLES = r"""
- name: Look before anything is changed
  golive.cutover.check:
    checks:
      - id: L-001
        tcp:
          port: 6379
        expect:
          latency: "<= +50%"
  register: before

- name: Keep what was measured
  golive.cutover.baseline:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: kept
    run: 20251121T030000Z-7f3a
    release: 1.0.0
    measures: "{{ before.baseline }}"

- name: What was it before 1.0.0 came, whichever run it was that brought it?
  golive.cutover.baseline:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    release: 1.0.0
  register: kept

- name: Look after the change
  golive.cutover.check:
    checks:
      - id: L-001
        tcp:
          port: 6379
        expect:
          latency: "<= +50%"
    baseline: "{{ kept.baseline }}"
"""

RETURN = r"""
run:
  description: The run that has kept it. Null when none was asked for and none is found.
  returned: success
  type: str
release:
  description: The release that the run went to. Null when it did not say.
  returned: success
  type: str
baseline:
  description:
    - Check id to measure to number, in the base units of the measures, or to a list of samples. Empty when the run has none.
  returned: success
  type: dict
taken:
  description: When the first of it was kept, in UTC. Null when nothing was kept.
  returned: success
  type: str
newest:
  description: Whether no later run has kept a baseline of this host.
  returned: success
  type: bool
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.baseline import read_baseline
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.store import baselines
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def baseline(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if params["state"] == "read" and params["measures"] is not None:
        raise InputError([Problem("measures", "has no meaning with state: read")])
    measures = read_baseline(params["measures"] or {}, "measures")
    run, release, host = params["run"], params["release"], params["host"]
    with open_from(params, module.no_log_values.add) as store:
        if params["state"] == "read":
            return {"changed": False, **baselines.read(store, run, release, host)}
        return baselines.keep(store, run, measures, dry=module.check_mode, release=release or "", host=host)


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "state": {"type": "str", "choices": ["kept", "read"], "default": "read"},
            "run": {"type": "str"},
            "release": {"type": "str"},
            "host": {"type": "str", "default": ""},
            "measures": {"type": "dict"},
        },
        baseline,
        required_if=[("state", "kept", ("run", "measures"))],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

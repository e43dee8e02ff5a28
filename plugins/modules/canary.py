#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: canary
short_description: Run a canary, keep its answer, and write down how it went
version_added: 0.1.0
description:
  - Asks one check of the system by the probe C(http) or C(command), keeps the whole answer as evidence, and writes down in
    the store how it went.
  - A run that could not be measured is a run that did not pass.
  - How the last runs went is judged by the probe C(canary), with M(golive.cutover.check). The task fails only when its input is
    refused or the store does not work.
extends_documentation_fragment:
  - golive.cutover.store
options:
  name:
    description: Name of the canary. Each has runs of its own.
    type: str
    default: canary
  run:
    description: The run that it is part of.
    type: str
    required: true
  release:
    description: The release that it runs against.
    type: str
    default: ''
  check:
    description: What is asked, as a check of M(golive.cutover.check) with the probe C(http) or C(command).
    type: dict
    required: true
  secrets:
    description: "Secret values by name. The check refers to one as C({secret: NAME})."
    type: dict
    default: {}
  answer:
    description: Name of the artefact that the answer becomes.
    type: str
    default: canary_resp.json
  artefacts_dir:
    description:
      - The directory of the run's report on the controller. The answer is written to C(evidence/) in it.
      - Without it, the verdict names the answer and it is dropped.
    type: path
  last:
    description: How many of the newest runs are returned.
    type: int
    default: 7
attributes:
  check_mode:
    support: full
    description: A canary may change something in the system, so it is not run. What is known of the runs before is returned.
  diff_mode:
    support: none
    description: The result says how it went.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.check
"""

EXAMPLES = r"""
- name: Run the canary
  golive.cutover.canary:
    store: sqlite:///var/lib/golive/golive.db
    environment: shop
    run: 20251121T030000Z-7f3a
    release: 1.0.0
    check:
      id: CN-001
      title: An order goes through
      http:
        url: http://127.0.0.1:3000/api/canary
      measures:
        result: status
      expect:
        status: "== 200"
        result: "== PASS"
      critical:
        latency: "> 800ms"
    artefacts_dir: "{{ cutover_reports_dir }}/{{ cutover_environment }}/{{ cutover_run.id }}"
  register: canary

- name: Judge its last runs
  golive.cutover.check:
    checks:
      - id: CN-007
        title: At least 95 % of the last seven canaries passed
        canary:
          store: sqlite:///var/lib/golive/golive.db
          environment: shop
        expect:
          newest: "== pass"
          pass_rate: ">= 95%"
  register: gate
"""

RETURN = r"""
verdict:
  description: What became of this run, as RV(golive.cutover.check#module:verdicts) describes it. Null in check mode.
  returned: success
  type: dict
runs:
  description:
    - The newest runs, oldest first, each with C(at) (seconds since 1970), C(time), C(run), C(release), C(status), C(passed),
      C(reason) and C(duration).
  returned: success
  type: list
  elements: dict
rate:
  description:
    - What they say, C(passed), C(total), C(ratio), and the bounds C(low) and C(high) of it after Wilson with 95 %.
    - Null without any run.
  returned: success
  type: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.artefacts import Kept
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import pass_rate
from ansible_collections.golive.cutover.plugins.module_utils.probes._answers import Answering
from ansible_collections.golive.cutover.plugins.module_utils.probes.command import CommandProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.http_endpoint import HttpProbe
from ansible_collections.golive.cutover.plugins.module_utils.store import canaries
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import check_names

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def canary(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    probes = {probe.name: Answering(probe, params["answer"]) for probe in (HttpProbe(), CommandProbe())}
    problems = check_names(name=params["name"], run=params["run"], answer=params["answer"])
    if not 1 <= params["last"] <= canaries.MOST:
        problems.append(Problem("last", f"expected 1 to {canaries.MOST}, got {params['last']}"))
    try:
        (check,) = read_checks([params["check"]], probes, params["secrets"])
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    if check.skip is not None:
        problems.append(Problem(check.id, "a canary that is skipped says nothing; leave the task out instead"))
    if problems:
        raise InputError(problems)
    kept: list[Kept] = []
    verdict: dict[str, Any] | None = None
    with open_from(params, module.no_log_values.add) as store:
        if not module.check_mode:
            # A store that does not work is found before the canary changes anything.
            canaries.read(store, params["name"])
            (verdict,) = run_checks([check], probes, kept=kept)
            canaries.add(store, params["name"], params["run"], params["release"], verdict)
        runs, _now = canaries.read(store, params["name"], params["last"])
    passed = sum(one["passed"] is True for one in runs)
    # The action plugin of the same name takes what was kept out of the result, and writes it on the controller.
    packed = {"artefacts": [one.packed() for one in kept]} if kept else {}
    return {
        "changed": True,
        "verdict": verdict,
        "runs": runs,
        "rate": pass_rate(passed, len(runs)).record() if runs else None,
        **packed,
    }


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "name": {"type": "str", "default": "canary"},
            "run": {"type": "str", "required": True},
            "release": {"type": "str", "default": ""},
            "check": {"type": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "answer": {"type": "str", "default": "canary_resp.json"},
            "artefacts_dir": {"type": "path"},
            "last": {"type": "int", "default": 7},
        },
        canary,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

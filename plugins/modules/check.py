#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: check
short_description: Put checks to a running system and get verdicts
version_added: 0.1.0
description:
  - Asks all checks at once, each in bounded time, and returns one verdict for each, in the order asked.
  - The module judges single checks. Whether the system may go live is decided by M(golive.cutover.go_no_go) over all verdicts.
  - The task fails only when its input is refused, with every mistake in one message. A check that fails does not fail the task.
  - What could not be measured is C(inconclusive), with the reason, and never a pass.
options:
  checks:
    description:
      - The checks. Each has an C(id), exactly one probe key with the options of that probe, and at least one threshold under
        C(expect), C(warn) or C(critical).
      - Further keys are C(title), C(measures) (own measures, name to a JMESPath expression over the JSON that the probe got),
        C(required) (default true), C(timeout), C(retry) (C(for), C(every), C(settle)), C(lane) (checks with the same
        word take turns), C(confidence) (of a comparison of samples), C(tags) and C(skip).
      - The probes, with their options and measures, are described in the documentation of the collection, a page for each.
    type: list
    elements: dict
    required: true
  secrets:
    description:
      - "Secret values by name. A check refers to one as C({secret: NAME}) where a probe allows it, such as in a header or
        a password."
      - The values are replaced by C(***) in everything that the module returns.
    type: dict
    default: {}
  tags:
    description: Ask only the checks that carry at least one of these tags. All checks are read and validated all the same.
    type: list
    elements: str
    default: []
  deadline:
    description: The time that all checks have together, as a duration with its unit. What is not answered by then is inconclusive.
    type: str
    default: 10m
  concurrency:
    description: How many checks are asked at the same time.
    type: int
    default: 64
  validate_only:
    description: Read and validate the checks, and ask none.
    type: bool
    default: false
  baseline:
    description:
      - "What the measures of the checks were before the change, for thresholds such as C(<= +10%): check id to measure to number,
        in the base units of RV(verdicts). Of a measure that is many samples, such as C(latencies), it is a list of at most 500."
      - It is what RV(baseline) was before the change. Checks that are not asked here may be in it.
      - A relative threshold without a baseline is C(inconclusive).
    type: dict
    default: {}
  before:
    description:
      - Ask before a change, only for RV(baseline). Nothing is judged, so there are no verdicts and no retries, and nothing is kept
        as evidence.
      - What a check measured that fails by its other thresholds is left out. Something is broken then, and an error page is quick.
    type: bool
    default: false
  artefacts_dir:
    description:
      - The directory of the run's report on the controller. What a probe keeps as evidence, such as a picture of a page,
        is written to C(evidence/) in it.
      - Without it, and in check mode, the verdicts name the evidence and it is dropped.
    type: path
attributes:
  async:
    support: none
    description:
      - A task with C(async) is refused. What a check keeps as evidence is put into files by the part of the module that runs on
        the controller, when the host has answered. A task that is only started has no answer yet, and C(async_status) would put
        the evidence into the result of the task, and into no file.
      - Checks are asked at once and in bounded time. Set O(deadline), and C(timeout) of a check, instead.
  check_mode:
    support: full
    description:
      - Checks that only look are asked in check mode too. One whose question may change something, such as a request that is not a
        GET, gets the status C(skip). The key C(writes) of a check says it where the probe cannot know.
  diff_mode:
    support: none
    description: Nothing is changed.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.go_no_go
"""

EXAMPLES = r"""
- name: Look at the running system from several sides
  golive.cutover.check:
    checks:
      - id: H-001
        title: The web front answers
        http:
          url: http://127.0.0.1:3000/api/public/health
        expect:
          status: "== 200"
        warn:
          latency: "> 500ms"
        retry:
          for: 5s
          every: 500ms
        tags: [smoke]
      - id: T-001
        title: Redis accepts connections
        tcp:
          port: 6379
        expect:
          open: "== true"
  register: look

- name: Look again after the change, and hold the latency against what it was
  golive.cutover.check:
    checks:
      - id: H-001
        title: The web front is as fast as before
        http:
          url: http://127.0.0.1:3000/api/public/health
        expect:
          latency: "<= +25%"
    baseline: "{{ look.baseline }}"

- name: Validate checks without asking them
  golive.cutover.check:
    checks:
      - id: T-002
        tcp:
          host: 127.0.0.1
          port: 22
        expect:
          open: "== true"
    validate_only: true

- name: Look at a page as a visitor would, and keep a picture of it
  golive.cutover.check:
    checks:
      - id: UI-001
        title: The page is rendered without an error
        page:
          url: http://127.0.0.1:3000/
          ready: body
        expect:
          status: "== 200"
          js_errors: "== 0"
        critical:
          render_time: "> 30s"
        timeout: 60s
    artefacts_dir: "{{ cutover_reports_dir }}/{{ cutover_environment }}/{{ cutover_run.id }}"
  register: ui
"""

RETURN = r"""
verdicts:
  description: One record for each check, in the order asked. None with O(before) and O(validate_only).
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id of the check.
      type: str
    title:
      description: What is asked, in words.
      type: str
    probe:
      description: The probe that looked.
      type: str
    status:
      description: One of C(pass), C(warn), C(fail), C(inconclusive) and C(skip).
      type: str
    required:
      description: Whether the check can block a decision.
      type: bool
    reason:
      description: Why the verdict is what it is, in one line.
      type: str
    measures:
      description: Name to C(value) and C(unit); seconds, bytes, ratios of one.
      type: dict
    expected:
      description: The thresholds as they were written.
      type: dict
    proof:
      description: What shows that there was something to judge, such as the number of requests, samples, series or events.
      type: dict
    attempts:
      description: How many times the probe looked.
      type: int
    started:
      description: When the first look began, in UTC.
      type: str
    duration:
      description: Seconds from the first look to the verdict.
      type: float
    tags:
      description: The tags of the check.
      type: list
      elements: str
    artefacts:
      description:
        - What the probe kept as evidence, each with C(name), C(media_type), C(bytes), C(sha256), and C(file), its place
          below O(artefacts_dir).
      returned: when there is some
      type: list
      elements: dict
asked:
  description: The ids of the checks that were chosen by O(tags).
  returned: success
  type: list
  elements: str
baseline:
  description:
    - Every number that was measured, check id to measure to number, and of measures that are many samples those that a threshold
      asks for. Recorded before a change, it is the O(baseline) of the checks after it.
  returned: success
  type: dict
without_baseline:
  description: The ids of the checks that have no number in RV(baseline), with why.
  returned: with O(before)
  type: dict
counts:
  description: How many verdicts there are of each status.
  returned: success
  type: dict
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.artefacts import Kept
from ansible_collections.golive.cutover.plugins.module_utils.core.baseline import from_verdicts, read_baseline, worth_keeping
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks, select
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import STATUSES
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

WRITES = "asking may change something, so check mode does not ask"


def check(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    try:
        deadline = units.parse_duration(params["deadline"])
    except ValueError as error:
        raise InputError([Problem("deadline", str(error))]) from error
    chosen = select(read_checks(params["checks"], PROBES, params["secrets"]), params["tags"])
    asked = [one.id for one in chosen]
    verdicts: list[dict[str, Any]] = []
    kept: list[Kept] = []
    samples: dict[str, dict[str, list[float]]] = {}
    baseline = read_baseline(params["baseline"])
    if module.check_mode:
        chosen = [dataclasses.replace(one, skip=WRITES) if one.writes and one.skip is None else one for one in chosen]
    if params["before"]:
        chosen = [dataclasses.replace(one, retry=None) for one in chosen]
    if not params["validate_only"]:
        together = {"deadline": deadline, "concurrency": params["concurrency"]}
        verdicts = run_checks(chosen, PROBES, **together, kept=kept, baseline=baseline, samples=samples)
    if params["before"]:
        measured, without = worth_keeping(verdicts, samples)
        return {"changed": False, "verdicts": [], "asked": asked, "baseline": measured, "without_baseline": without, "counts": {}}
    counts = {status: sum(v["status"] == status for v in verdicts) for status in STATUSES}
    # The action plugin of the same name takes what was kept out of the result, and writes it on the controller.
    packed = {"artefacts": [one.packed() for one in kept]} if kept else {}
    measured = from_verdicts(verdicts, samples)
    return {"changed": False, "verdicts": verdicts, "asked": asked, "baseline": measured, "counts": counts, **packed}


def main() -> None:
    run_module(
        {
            "checks": {"type": "list", "elements": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "tags": {"type": "list", "elements": "str", "default": []},
            "deadline": {"type": "str", "default": "10m"},
            "concurrency": {"type": "int", "default": 64},
            "validate_only": {"type": "bool", "default": False},
            "baseline": {"type": "dict", "default": {}},
            "before": {"type": "bool", "default": False},
            "artefacts_dir": {"type": "path"},
        },
        check,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: report
short_description: Write the report of a run
version_added: 0.1.0
description:
  - Writes what became of a run as files for people, for programs and for a CI server.
  - Returns the closing lines for the terminal.
  - The files go to C(<directory>/<id of the run>/). The symbolic link C(<directory>/latest) then points there.
  - A file appears whole or not at all, and the link moves last, so nobody reads half a report.
  - Files are readable by their owner and group.
  - The module writes where it runs. Delegate it to the controller, as the role C(golive.cutover.report) does.
  - What checks have kept as evidence, such as a picture of a page, lies in C(evidence/) beside the report, where
    M(golive.cutover.check) has put it. C(report.html) shows it and holds it itself.
  - A rollback is called done only when every changed host is part of it, none has an error and no check blocks.
options:
  run:
    description:
      - The run. Missing keys that are not required are shown as unknown. Keys that a report does not need are ignored.
      - Required are C(id), C(environment) and C(decision) (C(go) or C(no_go)).
      - Of the run itself C(kind) (C(cutover), C(rollback) or C(verify)), C(release), C(previous_release), C(operator),
        C(controller), C(started), C(ended), C(command), C(reason), C(reasons), C(problems) and C(lost_hosts).
      - C(criteria) is a list of C(name), C(required), C(met) (C(null) when it could not be judged) and C(detail).
      - C(hosts) maps each host to C(state), C(changed), C(steps), C(verdicts) and C(failed).
      - C(rollback) is C(null), or C(strategy), C(to), C(seconds), C(budget), C(verified) and C(hosts), which maps each
        host to its C(verdicts), C(verified) and C(error).
      - Verdicts are records as M(golive.cutover.check) returns them. Times are seconds.
      - Required unless O(state=possible).
    type: dict
  state:
    description:
      - V(written) writes the report.
      - V(possible) makes the directory when it is missing and tries whether a report could be written there. What stands in the way
        is returned and is no failure.
    type: str
    choices: [written, possible]
    default: written
  directory:
    description: The directory of the environment's reports. It is made when it is not there.
    type: path
    required: true
  formats:
    description: Which files to write.
    type: list
    elements: str
    choices: [decision_json, junit, summary_md, html]
    default: [decision_json, junit, summary_md, html]
  secrets:
    description:
      - Secret values. Each is replaced by C(***) wherever it stands in the run, also as it looks inside a URL,
        a JSON text or base64, before anything is written.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Nothing is written. The closing lines are the same.
  diff_mode:
    support: none
    description: A report is new in every run.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.go_no_go
  - module: golive.cutover.check
"""

EXAMPLES = r"""
- name: Write the report of a run on the controller
  golive.cutover.report:
    directory: "{{ cutover_reports_dir }}/{{ cutover_environment }}"
    secrets: "{{ cutover_secrets.values() | list }}"
    run:
      id: 20260301T030000Z-4f2a
      environment: spark_ta
      release: 1.1.0
      previous_release: 1.0.0
      decision: no_go
      reasons:
        - "Smoke tests passed: S-003 failed on web-1"
      hosts:
        web-1:
          state: done
          changed: true
          steps:
            - {name: deploy, seconds: 12.3, budget: 120, status: ok}
          verdicts: "{{ look.verdicts }}"
      rollback:
        strategy: previous_release
        to: 1.0.0
        seconds: 6.2
        budget: 120
        verified: true
        hosts:
          web-1: {verdicts: "{{ look_again.verdicts }}"}
  delegate_to: localhost
  run_once: true
  become: false
  register: written

- name: Say how it ended
  ansible.builtin.debug:
    msg: "{{ written.lines }}"

- name: See before a run whether its report could be written
  golive.cutover.report:
    directory: "{{ cutover_reports_dir }}/{{ cutover_environment }}"
    state: possible
  delegate_to: localhost
  register: tried
  failed_when: tried.problems | length > 0

- name: Write decision.json alone
  golive.cutover.report:
    directory: /srv/reports/spark_ta
    formats: [decision_json]
    run: "{{ my_run }}"
  delegate_to: localhost
"""

RETURN = r"""
problems:
  description: Why no report could be written; empty when one could.
  returned: O(state=possible)
  type: list
  elements: str
path:
  description: The directory of this run.
  returned: O(state=written)
  type: str
paths:
  description: Format to the file that was written.
  returned: success
  type: dict
  sample: {"html": "/srv/reports/spark_ta/20260301T030000Z-4f2a/report.html"}
latest:
  description: The symbolic link to the newest run.
  returned: success
  type: str
ending:
  description:
    - How the run ended. The last three leave the environment in a state that nobody has verified.
    - One of V(go), V(no_go_untouched), V(no_go_rolled_back), V(no_go_not_rolled_back), V(rollback_unverified),
      V(rollback_failed).
  returned: success
  type: str
lines:
  description:
    - The closing lines for the terminal.
    - What was decided and why, what was rolled back and whether that is verified, and what to do.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.report import ending, evidence, files
from ansible_collections.golive.cutover.plugins.module_utils.report.model import read_run
from ansible_collections.golive.cutover.plugins.module_utils.report.registry import FORMATS, render

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def report(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    if params["state"] == "possible":
        return {"changed": False, "problems": files.problems(Path(params["directory"]))}
    directory = Path(params["directory"])
    run = read_run(params["run"], params["secrets"], evidence.reader(directory))
    home = directory / run.id
    paths = {name: str(home / FORMATS[name].filename) for name in params["formats"]}
    changed = files.write(directory, run.id, render(run, params["formats"]), check_mode=module.check_mode)
    shown = paths.get("html") or paths.get("summary_md") or next(iter(paths.values()), "")
    return {
        "changed": changed,
        "path": str(home),
        "paths": paths,
        "latest": str(directory / files.LATEST),
        "ending": ending.ending(run).kind,
        "lines": ending.closing_lines(run, "" if module.check_mode else shown),
    }


def main() -> None:
    run_module(
        {
            "run": {"type": "dict"},
            "state": {"choices": ["written", "possible"], "default": "written"},
            "directory": {"type": "path", "required": True},
            "formats": {"type": "list", "elements": "str", "choices": list(FORMATS), "default": list(FORMATS)},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        report,
        unshown=("run",),
        required_if=[("state", "written", ["run"])],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

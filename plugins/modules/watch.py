#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: watch
short_description: One look of the live watch after a GO, in one line
version_added: 0.1.0
description:
  - Asks the check of every condition and says which level each has, which is ok, warning or critical. The look is shown on the
    terminal as one line.
  - What is another than the ledger knows is written there and returned, so that it is told once, also by a watch that is started
    again, and told again when its level is another.
  - What could not be measured keeps its level, and is a condition of its own, C(UNMEASURED).
  - Never looks behind the GO. A check of the probe C(window) waits until as much time has passed as it is about; one on an increase
    may be too much already.
  - Carries nothing out. RV(stop) names the emergency stop that is due.
extends_documentation_fragment:
  - golive.cutover.store
options:
  escalations:
    description:
      - The conditions. Each has C(check), the id of one of O(checks), and may have C(warning) and C(critical), what that level
        leads to, and C(advice).
      - "A level leads to C({action: inform}) (the default of a warning), C({action: page}) (that of a critical level), or, only
        where it is critical, C({action: stop, strategy: stop_scheduler}) with a strategy of the role C(rollback)."
    type: list
    elements: dict
    required: true
  checks:
    description: Checks, as in M(golive.cutover.check). Those that O(escalations) name are asked.
    type: list
    elements: dict
    required: true
  unmeasured:
    description: How people are told of what could not be measured.
    type: str
    choices: [inform, page]
    default: inform
  secrets:
    description: "Values for C({secret: NAME}) in O(checks)."
    type: dict
    default: {}
  watch:
    description: The run whose GO began the watch. By default the newest one.
    type: str
  run:
    description: The run that looks.
    type: str
    required: true
  host:
    description: The name of the host in the ledger and, unless O(alone), on the terminal.
    type: str
    default: ''
  alone:
    description: Whether it is the only host.
    type: bool
    default: true
  until:
    description: When to look, in seconds since 1970, as RV(next) of the look before says. Without it, at once.
    type: float
  every:
    description: Pause between two looks.
    type: str
    default: 30s
  deadline:
    description: The time that one look may take.
    type: str
    default: 30s
  tally:
    description: What RV(tally) of the look before says.
    type: dict
    default: {}
  lost:
    description: How many looks could not be made so far.
    type: int
    default: 0
attributes:
  async:
    support: none
    description: A task with C(async) is refused. The line is shown by the controller when the look is done.
  check_mode:
    support: full
    description: Looks, and writes nothing.
  diff_mode:
    support: none
    description: The result says what has changed.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.hypercare
  - module: golive.cutover.notify
"""

EXAMPLES = r"""
- name: Look once
  golive.cutover.watch:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    run: 20251121T030500Z-7f3a
    escalations:
      - check: W-1
        advice: Look whether the front is up.
        critical:
          action: stop
          strategy: stop_scheduler
    checks:
      - id: W-1
        title: The health endpoint answers soon
        http:
          url: http://127.0.0.1:3000/health
        expect:
          status: "== 200"
        warn:
          latency: "> 500ms"
  register: look

- name: Say what has changed
  ansible.builtin.debug:
    msg: "{{ look.changes }}"
"""

RETURN = r"""
line:
  description: The look in one line.
  returned: success
  type: str
now:
  description: When it looked, in seconds since 1970.
  returned: success
  type: float
next:
  description: When the next look is due.
  returned: success
  type: float
watch:
  description: C(run), C(release) and C(start) (UTC) of what is watched.
  returned: success
  type: dict
changes:
  description:
    - What has changed, each with C(condition), C(level), C(was), C(action), C(strategy), C(event) (how people are told), C(reason),
      C(advice) and C(about).
  returned: success
  type: list
  elements: dict
known:
  description: What the ledger knew before this look, for messages that did not get through.
  returned: success
  type: list
  elements: dict
stop:
  description: The emergency stop that is due, with C(condition), C(strategy) and C(reason); or null.
  returned: success
  type: dict
tally:
  description: What the looks so far have found.
  returned: success
  type: dict
verdicts:
  description: What the watch has come to so far, as records of M(golive.cutover.check).
  returned: success
  type: list
  elements: dict
criteria:
  description: The rows of a go/no-go table that these verdicts answer.
  returned: success
  type: list
  elements: dict
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import escalation, units
from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare as core
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import watching
from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import with_host
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _durations(params: dict[str, Any], *keys: str) -> list[float]:
    problems: list[Problem] = []
    found = []
    for key in keys:
        try:
            found.append(units.parse_duration(params[key]))
            if found[-1] <= 0:
                raise ValueError("is no time")
        except ValueError as error:
            problems.append(Problem(key, str(error)))
    if problems:
        raise InputError(problems)
    return found


def watch(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    every, deadline = _durations(params, "every", "deadline")
    secrets = {str(name): str(value) for name, value in params["secrets"].items() if value is not None}
    named = [one.get("check") for one in params["escalations"]]
    # What the table does not name may be about something that this look has no values for.
    chosen = [one for one in params["checks"] if one.get("id") in named]
    table = escalation.read_escalations(params["escalations"], [str(one.get("id")) for one in params["checks"]])
    checks = read_checks(with_host(chosen, params["host"]), PROBES, secrets)
    if params["until"] is not None:
        time.sleep(min(max(params["until"] - time.time(), 0.0), every))
    with open_from(params, module.no_log_values.add) as store:
        found = core.find_watch(ledger.read(store), params["watch"])
        now = store.read([]).now
        looks = watching.ask(table, checks, PROBES, found, now, deadline)
        before = escalation.known_levels(ledger.read(store), found, params["host"])
        changed, stop = watching.note(
            store,
            params["environment"],
            params["run"],
            found,
            params["host"],
            table,
            looks,
            escalation.Action(params["unmeasured"]),
            list(secrets.values()),
            dry=module.check_mode,
        )
    tally = escalation.add(params["tally"], looks, now)
    verdicts = escalation.verdicts(tally, now, params["lost"])
    clock = time.time()
    due = params["until"] if params["until"] is not None else clock
    return {
        "changed": bool(changed),
        "line": escalation.line(found, looks, now, "" if params["alone"] else params["host"]),
        "now": now,
        "next": due + every * max(int((clock - due) // every) + 1, 1),
        "watch": {"run": found.run, "release": found.release, "start": core.utc(found.start)},
        "changes": changed,
        "known": escalation.still_there(before),
        "stop": stop,
        "tally": tally,
        "verdicts": verdicts,
        "criteria": escalation.rows(verdicts),
    }


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "escalations": {"type": "list", "elements": "dict", "required": True},
            "checks": {"type": "list", "elements": "dict", "required": True},
            "unmeasured": {"type": "str", "choices": ["inform", "page"], "default": "inform"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "watch": {"type": "str"},
            "run": {"type": "str", "required": True},
            "host": {"type": "str", "default": ""},
            "alone": {"type": "bool", "default": True},
            "until": {"type": "float"},
            "every": {"type": "str", "default": "30s"},
            "deadline": {"type": "str", "default": "30s"},
            "tally": {"type": "dict", "default": {}},
            "lost": {"type": "int", "default": 0},
        },
        watch,
        unshown=("checks", "secrets", "tally"),
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

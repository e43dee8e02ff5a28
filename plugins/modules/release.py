#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release
short_description: Remember which releases there are, which one runs, and which one to go back to
version_added: 0.1.0
description:
  - Records the releases of an environment. It deploys nothing.
  - The release to go back to is the one that was accepted last, other than the one that is on trial. A release that was
    rejected, or deployed and never accepted, is never gone back to.
  - A step that is not allowed is refused with a message, such as accepting a release that does not run.
extends_documentation_fragment:
  - golive.cutover.store
  - golive.cutover.fenced
options:
  state:
    description:
      - V(staged) records a release before anything is changed. One that was rejected can be staged again.
      - V(deployed) records that it runs now. One that was accepted before stays accepted.
      - V(accepted) records that the release that runs proved good.
      - V(rejected) records that it is bad.
      - V(forgotten) removes it from the record. The current one and the one to go back to are refused.
      - V(read) only returns what is recorded.
    type: str
    choices: [staged, deployed, accepted, rejected, forgotten, read]
    default: read
  id:
    description:
      - The release. Needed except to read.
      - With O(state=read), the release that is on trial, so that RV(previous) is another one. The default is the
        current one.
    type: str
  run:
    description: The run that does this. Needed except to read.
    type: str
  backend:
    description: What deploys the release. Only with O(state=staged) and O(state=deployed).
    type: str
  digest:
    description:
      - What tells the artefact of this release from every other. Only with O(state=staged) and O(state=deployed).
      - The digest of a release that was accepted cannot change.
    type: str
  recipe:
    description:
      - What the backend needs to get back to this release. Only with O(state=staged) and O(state=deployed).
      - It holds no secrets, because it is shown.
    type: dict
attributes:
  check_mode:
    support: full
    description: Says what would be recorded and writes nothing.
  diff_mode:
    support: full
    description: Shows the current release, the one to go back to, and the status of each.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.lock
  - module: golive.cutover.ledger
"""

EXAMPLES = r"""
- name: Record the release before anything is changed
  golive.cutover.release:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: staged
    id: 1.0.0
    run: 20251121T030000Z-7f3a
    backend: supervisor
    digest: sha256:9f86d081884c7d659a2feaa0c55ad015
    recipe:
      directory: /var/lib/golive/releases/1.0.0

- name: It runs
  golive.cutover.release:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: deployed
    id: 1.0.0
    run: 20251121T030000Z-7f3a

- name: It proved good
  golive.cutover.release:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: accepted
    id: 1.0.0
    run: 20251121T030000Z-7f3a

- name: Where would a rollback of 1.1.0 go to?
  golive.cutover.release:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    id: 1.1.0
  register: releases
"""

RETURN = r"""
current:
  description:
    - The release that runs, or null. It has C(id), C(status), C(backend), C(digest), C(recipe), C(run) and C(at).
    - C(run) and C(at) are the run and the UTC time of its last change.
  returned: success
  type: dict
previous:
  description: The release to go back to, in the shape of RV(current). Null when there is none.
  returned: success
  type: dict
releases:
  description: All of them, in the shape of RV(current). The one that was accepted last stands last of those accepted.
  returned: success
  type: list
  elements: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.store import releases
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import (
    FENCE_ARGUMENTS,
    STORE_ARGUMENTS,
    open_fenced,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def release(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    details = {key: params[key] for key in releases.DETAILS if params[key] is not None}
    takes_details = params["state"] in ("staged", "deployed")
    if details and not takes_details:
        raise InputError(Problem(key, f"has no meaning with state: {params['state']}") for key in details)
    with open_fenced(params, module.no_log_values.add) as store:
        if params["state"] == "read":
            return {"changed": False, **releases.read(store, params["id"])}
        step: Any = {
            "staged": releases.stage,
            "deployed": releases.deployed,
            "accepted": releases.accept,
            "rejected": releases.reject,
            "forgotten": releases.forget,
        }[params["state"]]
        given = (details,) if takes_details else ()
        result: dict[str, Any] = step(store, params["id"], params["run"], *given, dry=module.check_mode)
    before = result.pop("before")
    result["diff"] = {"before": outline(before), "after": outline(result)}
    return result


def outline(known: dict[str, Any]) -> dict[str, Any]:
    """What a diff shows of the releases."""
    return {
        "current": (known["current"] or {}).get("id"),
        "previous": (known["previous"] or {}).get("id"),
        "releases": {one["id"]: {"status": one["status"], "digest": one["digest"]} for one in known["releases"]},
    }


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            **FENCE_ARGUMENTS,
            "state": {
                "type": "str",
                "choices": ["staged", "deployed", "accepted", "rejected", "forgotten", "read"],
                "default": "read",
            },
            "id": {"type": "str"},
            "run": {"type": "str"},
            "backend": {"type": "str"},
            "digest": {"type": "str"},
            "recipe": {"type": "dict"},
        },
        release,
        required_if=[("state", state, ("id", "run")) for state in ("staged", "deployed", "accepted", "rejected", "forgotten")],
        required_by={"token": ("run",)},
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

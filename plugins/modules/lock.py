#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lock
short_description: Let one run at a time change an environment
version_added: 0.1.0
description:
  - Takes, renews, reads and releases the lock of an environment. The lock says who holds it, since when, why and until
    when.
  - Whoever is refused is told who holds the lock and how to proceed.
  - A lock is leased. It ends by itself unless it is renewed, so that a run that died does not block the next one for
    ever.
  - Each time the lock is taken it gets a token that is higher than every one before. Only the newest one renews and
    releases.
  - When the holder ran on this controller and its process is certainly dead, the lock is taken over at once, and the
    result says from whom. When that is not certain (another machine, another container), it is not taken over before
    its lease has ended.
extends_documentation_fragment:
  - golive.cutover.store
options:
  state:
    description:
      - V(acquired) takes the lock. A run that holds it already renews it.
      - V(renewed) moves the end of the lease.
      - V(released) lets go. Letting go again is no change.
      - V(read) only says who holds it.
    type: str
    choices: [acquired, renewed, released, read]
    default: acquired
  run:
    description: The id of the run that takes or holds the lock. Needed except to read and to release by O(force).
    type: str
  owner:
    description: Who takes the lock. The default is the user of AWX, or the user that runs Ansible on the controller.
    type: str
  reason:
    description: Why the lock is taken. Whoever is refused reads it.
    type: str
  lease:
    description:
      - How long the lock is held unless it is renewed, such as V(15m).
      - V(0) is a lock that is held by hand. It needs a O(reason), has no end, nobody waits for it and nobody takes it
        over.
    type: str
    default: 15m
  token:
    description: The token that O(state=acquired) returned. Needed to renew and to release.
    type: int
  wait:
    description:
      - How long to wait for somebody else's lock, such as V(2m). A lock that is held by hand is not waited for.
    type: str
    default: 0s
  force:
    description:
      - Releases a lock that another run holds. The value is the id of that run, as proof of having looked who holds it.
      - Only with O(state=released).
    type: str
  takeover:
    description: Takes the lock over from a dead holder with this token. Set when the death of the holder is proven.
    type: int
  takeover_reason:
    description: Why the holder is known to be dead.
    type: str
  controller:
    description: The controller process that takes the lock. It is always set by the action plugin, on the controller.
    type: dict
attributes:
  action:
    support: full
    description: Has an action plugin, which looks at processes of the controller.
  check_mode:
    support: full
    description: Says what would happen and writes nothing. It does not wait.
  diff_mode:
    support: none
    description: The result shows the lock.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.ledger
  - module: golive.cutover.release
"""

EXAMPLES = r"""
- name: Take the lock
  golive.cutover.lock:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    run: 20251121T030000Z-7f3a
    reason: Go-live of release 1.0.0
    lease: 15m
    wait: 2s
  register: lock

- name: Hold it for another quarter of an hour
  golive.cutover.lock:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: renewed
    run: 20251121T030000Z-7f3a
    token: "{{ lock.token }}"

- name: Let go
  golive.cutover.lock:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: released
    run: 20251121T030000Z-7f3a
    token: "{{ lock.token }}"

- name: Keep everybody out by hand until further notice
  golive.cutover.lock:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    run: database-maintenance
    reason: The database is being moved, ask the platform team
    lease: "0"

- name: Who holds it?
  golive.cutover.lock:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: read
  register: lock

- name: Take it away from the run that holds it
  golive.cutover.lock:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: released
    force: "{{ lock.lock.run }}"
"""

RETURN = r"""
lock:
  description:
    - The lock afterwards. C(held), C(expired) and C(manual) are flags. C(since) and C(until) are UTC times.
    - C(run), C(owner), C(reason) and C(controller) are null when nobody holds it.
  returned: success
  type: dict
  sample:
    held: true
    run: 20251121T030000Z-7f3a
    owner: alice
    reason: Go-live of release 1.0.0
    since: "2025-11-21T03:00:00Z"
    until: "2025-11-21T03:15:00Z"
    manual: false
    expired: false
    token: 1763694000
    controller: {host: bastion, pid: 4711}
token:
  description: The token of the lock, to renew and release it with.
  returned: success
  type: int
taken_over_from:
  description: The lock as it was held before, with C(why) it could be taken over. Null when it was free.
  returned: when O(state=acquired)
  type: dict
released_from:
  description: The lock as it was held before. Null when it was free.
  returned: when O(state=released)
  type: dict
held:
  description: Whether the task failed because somebody else holds the lock.
  returned: when somebody else holds the lock
  type: bool
holder:
  description: The lock that somebody else holds, in the shape of RV(lock).
  returned: when somebody else holds the lock
  type: dict
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.units import parse_duration
from ansible_collections.golive.cutover.plugins.module_utils.store import lock as locks
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def lock(module: AnsibleModule) -> dict[str, Any]:
    params, dry = module.params, module.check_mode
    seconds = durations(params)
    with open_from(params, module.no_log_values.add) as store:
        if params["state"] == "read":
            found = locks.read(store)
            return {"changed": False, "lock": found, "token": found["token"]}
        if params["state"] == "renewed":
            return locks.renew(store, params["token"], params["run"], seconds["lease"], dry)
        if params["state"] == "released":
            if params["force"] is not None:
                return locks.force_release(store, params["force"], dry)
            return locks.release(store, params["token"], params["run"], dry)
        claim = locks.Claim(
            run=params["run"],
            owner=params["owner"] or "",
            reason=params["reason"] or "",
            lease=seconds["lease"],
            controller=params["controller"],
            takeover=params["takeover"],
            takeover_why=params["takeover_reason"] or "",
        )
        if dry:
            return locks.acquire(store, claim, dry=True)
        return locks.acquire_waiting(store, claim, seconds["wait"], time.monotonic, time.sleep)


def durations(params: dict[str, Any]) -> dict[str, float]:
    """Lease and wait in seconds; a lease may be plain 0. Raises InputError with both mistakes."""
    seconds, problems = {}, []
    for name in ("lease", "wait"):
        try:
            seconds[name] = 0.0 if params[name] == "0" else parse_duration(params[name])
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    if params["force"] is not None and params["state"] != "released":
        problems.append(Problem("force", "only releases: it needs state: released"))
    if problems:
        raise InputError(problems)
    return seconds


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "state": {"type": "str", "choices": ["acquired", "renewed", "released", "read"], "default": "acquired"},
            "run": {"type": "str"},
            "owner": {"type": "str"},
            "reason": {"type": "str"},
            "lease": {"type": "str", "default": "15m"},
            "token": {"type": "int", "no_log": False},
            "wait": {"type": "str", "default": "0s"},
            "force": {"type": "str"},
            "takeover": {"type": "int"},
            "takeover_reason": {"type": "str"},
            "controller": {"type": "dict"},
        },
        lock,
        required_if=[
            ("state", "acquired", ("run",)),
            ("state", "renewed", ("run", "token")),
            ("state", "released", ("token", "force"), True),
        ],
        required_by={"token": ("run",)},
        mutually_exclusive=[("token", "force")],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: leader_lock
short_description: Look at the lock of a leader election, and let go one that is stuck
version_added: 0.1.0
description:
  - Watches the lock in Redis and all instances that may hold it, and says what is the case.
  - A lock is deleted only when no living leader can hold it. All instances either answer and say that they do not lead, or
    nobody listens at their addresses; the holder is one of them; and nobody touched the lock during the look.
  - An instance that does not answer although something listens there may hang and go on later. Then nothing is deleted.
  - The lock is compared and deleted by one script in Redis. A lock that has another value than the one that was looked at, or
    that somebody has renewed meanwhile, stays.
requirements:
  - the Python libraries redis, requests, jmespath and prometheus_client
options:
  leader:
    description:
      - The lock and the instances, as the options of the probe C(leader) of M(golive.cutover.check).
      - C(lock) and C(hold) are needed. Look for longer than the pause between two renewals of the lock.
      - C(refused) says what it means when all addresses of an instance refuse connections in every round. V(uncertain), the
        default, takes it for no proof, as a firewall, a proxy or the service of a cluster refuses in the name of an instance that
        lives. V(dead) is for addresses where only the instance itself listens, such as ports of this host.
    type: dict
    required: true
  state:
    description:
      - V(read) only looks.
      - V(released) deletes the lock when it is stale. When it is led, or what is the case is not certain, the task fails.
    type: str
    choices: [read, released]
    default: read
  value:
    description: The value that the lock had when it was looked at before. A lock with another value is left alone.
    type: str
  expires_within:
    description: A lock that ends by itself within this time is waited for by nobody here and deleted by nobody.
    type: str
    default: 60s
  secrets:
    description: "Values for C({secret: NAME}) in O(leader)."
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Looks, and says what would be deleted.
  diff_mode:
    support: full
    description: Shows the lock that is deleted.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.check
  - module: golive.cutover.lock
    description: The lock of the environment, under which runs of this collection change something.
"""

EXAMPLES = r"""
- name: Whose is the lock of the scheduler?
  golive.cutover.leader_lock:
    leader: &scheduler
      instances:
        executor-1: {health: "http://127.0.0.1:4001/health", metrics: "http://127.0.0.1:4001/metrics"}
        executor-2: {health: "http://127.0.0.1:4002/health"}
      lock: {url: "redis://127.0.0.1:6379/0", key: "spark:alerts:scheduler:lock"}
      identity: instance
      hold: 1s
      every: 200ms
  register: scheduler

- name: Let it go when nobody alive holds it
  golive.cutover.leader_lock:
    leader: *scheduler
    state: released
    value: "{{ scheduler.lock.value }}"
"""

RETURN = r"""
finding:
  description:
    - V(led) when one instance leads and holds the lock, V(free) when nobody holds it and nobody leads.
    - V(expiring) when nobody leads and the lock ends by itself, V(stale) when nobody leads and it does not.
    - V(uncertain) when it may be that of a living leader, or nothing can be said of it.
  returned: always
  type: str
reason:
  description: The finding in words.
  returned: always
  type: str
proof:
  description: Why the holder of a stale lock is known not to lead.
  returned: always
  type: str
lock:
  description: The lock at the end of the look, with C(key), C(held), C(value), C(holder), C(ttl) (seconds) and C(expires).
  returned: always
  type: dict
instances:
  description: Name of each instance to C(leads), C(answers), C(refused) (nobody listens there) and C(why) (why it was silent).
  returned: always
  type: dict
rounds:
  description: How often all of them were asked.
  returned: always
  type: int
window:
  description: How long that took, in seconds.
  returned: always
  type: float
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils import leader_lock as locks
from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def leader_lock(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    options = locks.read(params["leader"], params["secrets"])
    try:
        expires_within = units.parse_duration(params["expires_within"])
    except ValueError as error:
        raise InputError([Problem("expires_within", str(error))]) from None
    return locks.run(
        options,
        Context(time.monotonic() + locks.time_for(options)),
        state=params["state"],
        value=params["value"],
        expires_within=expires_within,
        check=module.check_mode,
    )


def main() -> None:
    run_module(
        {
            "leader": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["read", "released"], "default": "read"},
            "value": {"type": "str"},
            "expires_within": {"type": "str", "default": "60s"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
        leader_lock,
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

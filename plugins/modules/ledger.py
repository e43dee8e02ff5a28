#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ledger
short_description: Record what happened so that a change to the record is noticed
version_added: 0.1.0
description:
  - Appends events of a run to the ledger of an environment, reads them, and verifies that they are what was written.
  - The ledger is append-only. Each entry holds the hash of the one before it, and the number of entries and the newest
    hash are kept apart from them.
  - Verifying finds entries that were edited, removed, inserted, reordered or cut off. Whoever can write the store could
    still write all of it anew. To find that too, note the hash of an entry elsewhere (each report holds one) and give
    it as O(anchor).
extends_documentation_fragment:
  - golive.cutover.store
  - golive.cutover.fenced
options:
  state:
    description:
      - V(appended) writes one event.
      - V(read) returns entries, in the order written, without verifying them.
      - V(verified) checks every entry, and fails when one is not what was written.
    type: str
    choices: [appended, read, verified]
    default: appended
  run:
    description: The run that the event belongs to. With O(state=read), only entries of this run.
    type: str
  event:
    description: What happened, as a name such as V(deploy.started). With O(state=read), only entries of this name.
    type: str
  data:
    description: What is to be known of it. At most 64 KiB as JSON, and nothing that must not be shown.
    type: dict
    default: {}
  secrets:
    description: Values that must not get into the ledger. Wherever one stands in O(data), it is replaced by asterisks.
    type: list
    elements: str
    default: []
  last:
    description: With O(state=read), only this many of the newest entries that match.
    type: int
  since:
    description: With O(state=read), only entries that are not older, as UTC time such as V(2025-11-21T03:00:00Z).
    type: str
  anchor:
    description: With O(state=verified), the hash of an entry that was noted elsewhere and must still be there.
    type: str
attributes:
  check_mode:
    support: full
    description: Says what would be written and writes nothing.
  diff_mode:
    support: none
    description: The result shows the entry.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.lock
  - module: golive.cutover.release
"""

EXAMPLES = r"""
- name: Record that the deploy began
  golive.cutover.ledger:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    run: 20251121T030000Z-7f3a
    event: deploy.started
    data:
      release: 1.0.0
  register: written

- name: Take the lock
  golive.cutover.lock:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    run: 20251121T030000Z-7f3a
  register: lock

- name: Record a step only while the lock is ours, and hold it for another quarter of an hour
  golive.cutover.ledger:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    run: 20251121T030000Z-7f3a
    token: "{{ lock.token }}"
    lease: 15m
    event: deploy.ended

- name: What happened in this run?
  golive.cutover.ledger:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: read
    run: 20251121T030000Z-7f3a
    last: 20

- name: Is the ledger what was written, and does it still hold the entry that we know?
  golive.cutover.ledger:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: verified
    anchor: "{{ written.entry.hash }}"
"""

RETURN = r"""
entry:
  description:
    - The entry that was written, with C(seq), C(time), C(environment), C(run), C(event), C(data), C(previous) and
      C(hash).
    - C(hash) is SHA-256 over the entry without it, as JSON with sorted keys, without spaces and in ASCII.
  returned: when O(state=appended)
  type: dict
entries:
  description: The entries that were asked for, oldest first.
  returned: when O(state=read)
  type: list
  elements: dict
count:
  description: How many entries there are.
  returned: when O(state=verified)
  type: int
head:
  description: The hash of the newest entry, null in an empty ledger. Noted elsewhere, it is an anchor for later.
  returned: when O(state=verified)
  type: str
problems:
  description: What is wrong with the ledger, each with C(seq) (null when it is about the whole) and C(problem).
  returned: when the ledger is not what was written
  type: list
  elements: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger as ledgers
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import (
    FENCE_ARGUMENTS,
    STORE_ARGUMENTS,
    open_fenced,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def ledger(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    with open_fenced(params, module.no_log_values.add) as store:
        if params["state"] == "read":
            entries = ledgers.read(store, params["run"], params["event"], params["last"], params["since"])
            return {"changed": False, "entries": entries}
        if params["state"] == "verified":
            return {"changed": False, **ledgers.verify(store, params["environment"], params["anchor"])}
        entry = ledgers.append(
            store,
            params["environment"],
            params["run"],
            params["event"],
            params["data"],
            secrets=params["secrets"],
            dry=module.check_mode,
        )
        return {"changed": True, "entry": entry}


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            **FENCE_ARGUMENTS,
            "state": {"type": "str", "choices": ["appended", "read", "verified"], "default": "appended"},
            "run": {"type": "str"},
            "event": {"type": "str"},
            "data": {"type": "dict", "default": {}},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "last": {"type": "int"},
            "since": {"type": "str"},
            "anchor": {"type": "str"},
        },
        ledger,
        required_if=[("state", "appended", ("run", "event"))],
        required_by={"token": ("run",)},
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

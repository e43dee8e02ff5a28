# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of its own that works on a store: ``worker.py acquire|append ADDRESS ENVIRONMENT NAME``.

``acquire`` takes the lock once for each line on its input, which is the time to begin, and answers ``won`` or ``held``.
``append`` reads how many entries to append, and prints the number of each once it is written.
"""

from __future__ import annotations

import sys
import time

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, lock
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LockHeld
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store


def acquire(address: str, environment: str, name: str) -> None:
    with open_store(address, environment) as store:
        lock.read(store)
        print("ready", flush=True)
        for number, line in enumerate(sys.stdin):
            while time.time() < float(line):
                pass
            try:
                lock.acquire(store, lock.Claim(run=f"{name}-{number}", lease=600))
                print("won", flush=True)
            except LockHeld:
                print("held", flush=True)


def append(address: str, environment: str, name: str) -> None:
    with open_store(address, environment) as store:
        for _number in range(int(sys.stdin.readline())):
            entry = ledger.append(store, environment, name, "tick", {"text": "x" * 2000})
            print(entry["seq"], flush=True)


if __name__ == "__main__":
    {"acquire": acquire, "append": append}[sys.argv[1]](*sys.argv[2:])

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The runs of canaries: when each ran, against which release, and what became of it.

Only what passed counts as passed: a run that could not be measured is a run that did not pass. All of it is the record
``canaries``, of each canary the newest `MOST` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import GOOD
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Snapshot, Store, check_names
from ansible_collections.golive.cutover.plugins.module_utils.store.lock import utc

RECORD = "canaries"
MOST = 200
LONGEST_REASON = 500


def add(store: Store, name: str, run: str, release: str, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Write down one run of a canary, by its verdict; returns it as `read` does. Raises InputError."""
    problems = check_names(name=name, run=run)
    if problems:
        raise InputError(problems)

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        record = snapshot.records.get(RECORD) or {}
        entry = {
            "at": snapshot.now,
            "run": run,
            "release": release,
            "status": verdict["status"],
            "passed": verdict["status"] in GOOD,
            "reason": str(verdict["reason"])[:LONGEST_REASON],
            "duration": verdict.get("duration"),
        }
        kept = [*record.get(name, []), entry][-MOST:]
        return Change(_out(entry), {RECORD: {**record, name: kept}})

    return store.change([RECORD], decide)


def read(store: Store, name: str, last: int | None = None) -> tuple[list[dict[str, Any]], float]:
    """The runs of a canary, oldest first, at most the newest so many; and what the store's clock says (seconds since 1970).

    Each has ``at`` (seconds), ``time`` (UTC), ``run``, ``release``, ``status``, ``passed``, ``reason`` and ``duration`` (seconds).
    """
    snapshot = store.read([RECORD])
    runs = (snapshot.records.get(RECORD) or {}).get(name, [])
    return [_out(one) for one in (runs if last is None else runs[-last:])], snapshot.now


def _out(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "time": utc(entry["at"])}

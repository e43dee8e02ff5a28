# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The baselines of runs: what checks measured before a run changed anything.

The first number that a run keeps of a measure stays. A run that died and is started again looks at a system that it has already
changed; what it measures then is no baseline any more. All of it is the record ``baselines``, of the newest `MOST` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.baseline import Baseline
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Snapshot, Store, check_names
from ansible_collections.golive.cutover.plugins.module_utils.store.lock import utc

RECORD = "baselines"
MOST = 20
"""Runs whose baselines are kept."""


def keep(store: Store, run: str, baseline: Baseline, dry: bool = False) -> dict[str, Any]:
    """Keep what a run measured before it changed anything; returns what `read` gives, with ``changed``. Raises InputError."""
    problems = check_names(run=run)
    if problems:
        raise InputError(problems)

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        runs = _load(snapshot)
        old = runs.pop(run, {"at": snapshot.now, "measures": {}})
        measures = {check: dict(row) for check, row in old["measures"].items()}
        for check, row in baseline.items():
            for name, value in row.items():
                measures.setdefault(check, {}).setdefault(name, float(value))
        if measures == old["measures"]:
            return Change({"changed": False, **_out(run, old)})
        runs[run] = {"at": old["at"], "measures": measures}
        newest = dict(list(runs.items())[-MOST:])
        put = {"runs": [{"run": name, **one} for name, one in newest.items()]}
        return Change({"changed": True, **_out(run, runs[run])}, {RECORD: put})

    return (store.predict if dry else store.change)([RECORD], decide)


def read(store: Store, run: str) -> dict[str, Any]:
    """``{baseline, taken}`` of a run: check id to measure to number, and when it was first kept (UTC). Empty and None for a run
    without one."""
    return _out(run, _load(store.read([RECORD])).get(run))


def _load(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    record = snapshot.records.get(RECORD) or {"runs": []}
    return {one["run"]: {"at": one["at"], "measures": one["measures"]} for one in record["runs"]}


def _out(run: str, one: Mapping[str, Any] | None) -> dict[str, Any]:
    if one is None:
        return {"run": run, "baseline": {}, "taken": None}
    return {"run": run, "baseline": one["measures"], "taken": utc(one["at"]) if one["measures"] else None}

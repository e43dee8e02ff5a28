# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The baselines of runs: what checks measured before a run changed anything.

The first number that a run keeps of a measure stays. A run that died and is started again looks at a system that it has already
changed; what it measures then is no baseline any more. So a run also keeps to which release it goes: whoever goes there again finds
what was measured before that change began. All of it is the record ``baselines``, of the newest `MOST` runs of each host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.baseline import Baseline
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import releases
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Snapshot, Store, check_names
from ansible_collections.golive.cutover.plugins.module_utils.store.lock import utc

RECORD = "baselines"
MOST = 20
"""Runs whose baselines are kept, of each host."""

Row = dict[str, Any]


def keep(store: Store, run: str, baseline: Baseline, dry: bool = False, release: str = "", host: str = "") -> dict[str, Any]:
    """Keep what a run to a release measured before it changed anything; returns what `read` gives, with ``changed``.

    Nothing measured is kept too: what is measured later is no baseline. Raises InputError.
    """
    problems = check_names(run=run, **({"release": release} if release else {}))
    if problems:
        raise InputError(problems)

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        rows = _load(snapshot)
        old = next((one for one in rows if (one["run"], one["host"]) == (run, host)), None)
        new: Row = old or {"run": run, "release": release, "host": host, "at": snapshot.now, "measures": {}}
        measures = {check: dict(row) for check, row in new["measures"].items()}
        for check, row in baseline.items():
            for name, value in row.items():
                number = [float(one) for one in value] if isinstance(value, Sequence) else float(value)
                measures.setdefault(check, {}).setdefault(name, number)
        if old is not None and measures == old["measures"]:
            return Change({"changed": False, **_out(old, rows)})
        new = {**new, "measures": measures}
        kept = [*(one for one in rows if one is not old), new]
        spared = {id(one) for one in [one for one in kept if one["host"] == host][-MOST:]}
        kept = [one for one in kept if one["host"] != host or id(one) in spared]
        return Change({"changed": True, **_out(new, kept)}, {RECORD: {"runs": kept}})

    return (store.predict if dry else store.change)([RECORD], decide)


def read(store: Store, run: str | None = None, release: str | None = None, host: str = "") -> dict[str, Any]:
    """``{run, release, baseline, taken, newest}`` of a run; or of the newest one to a release; or of the newest one to the release
    that runs now. ``baseline`` is check id to measure to number or samples, ``taken`` when it was first kept (UTC), and ``newest``
    whether the host has kept none since. Without one: an empty baseline, and ``taken`` None.
    """
    snapshot = store.read([RECORD, releases.RECORD])
    rows = [one for one in _load(snapshot) if one["host"] == host]
    if run is None and release is None:
        release = (snapshot.records.get(releases.RECORD) or {}).get("current") or ""
    found = [one for one in rows if (one["run"] == run if run is not None else release and one["release"] == release)]
    if not found:
        return {"run": run, "release": release or None, "baseline": {}, "taken": None, "newest": False}
    return _out(found[-1], rows)


def _load(snapshot: Snapshot) -> list[Row]:
    record = snapshot.records.get(RECORD) or {"runs": []}
    return [{"release": "", "host": "", **one} for one in record["runs"]]


def _out(one: Row, rows: list[Row]) -> dict[str, Any]:
    newest = [row["run"] for row in rows if row["host"] == one["host"]][-1] == one["run"]
    return {
        "run": one["run"],
        "release": one["release"] or None,
        "baseline": one["measures"],
        "taken": utc(one["at"]),
        "newest": newest,
    }

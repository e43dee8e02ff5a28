# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""One look of the live watch: its checks are asked, what has changed is written to the ledger, and the stop that is due named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import escalation
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check
from ansible_collections.golive.cutover.plugins.module_utils.core.closing import ESCALATION
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.escalation import Action, Escalation, Known, Seen
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Watch
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import Past
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Probe
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

WINDOW = "window"


def _grows(check: Check) -> bool:
    """Whether a threshold that holds in a part of the time holds in all of it: increases, held against an upper limit."""
    options = check.options
    kinds = [one.get("as") for one in options["select"].values()] if options["select"] else [options["as"]]
    upper = all(one.operator in (">", ">=") for column in check.thresholds.values() for rows in column.values() for one in rows)
    return all(kind == "increase" for kind in kinds) and not check.thresholds.get("expect") and upper


def _look_back(check: Check, watch: Watch, now: float) -> Seen:
    """What a check of the probe window says of the time before now. It never looks behind the GO: what was before is about another
    release. While less time has passed than it is about, an increase may be too much already; all else waits."""
    over = float(check.options["over"])
    short = now - watch.start < over
    waiting = Seen(check.id, check.title, None, "not enough time has passed since the GO", waiting=True, required=check.required)
    if short and not _grows(check):
        return waiting
    begin = max(now - over, watch.start)
    asked = replace(check, options={**check.options, "over": max(now - begin, 1e-3)})
    try:
        found = Past(asked, begin, now).ask(begin, now)
    except ProbeError as error:
        return waiting if short else _seen(check, {"status": "inconclusive", "reason": str(error)})
    seen = _seen(check, found.verdict)
    # Where samples cover the time and there was too little of it to say, nothing is wrong with the watch.
    return replace(seen, waiting=True) if seen.level is None and (short or found.few) else seen


def _seen(check: Check, verdict: Mapping[str, Any]) -> Seen:
    level = escalation.level_of(verdict.get("status"))
    reason = str(verdict.get("reason")).replace("could not be measured, because ", "", 1)
    return Seen(check.id, check.title, level, reason, escalation.shown(verdict) if level else "", required=check.required)


def ask(
    table: Sequence[Escalation], checks: Sequence[Check], probes: Mapping[str, Probe], watch: Watch, now: float, deadline: float
) -> list[Seen]:
    """Ask the check of every row, in the order of the table. A retry is left out: the next look is one."""
    by_id = {one.id: one for one in checks}
    chosen = [replace(by_id[row.check], retry=None) for row in table]
    live = [one for one in chosen if one.probe != WINDOW]
    verdicts = {one["id"]: one for one in run_checks(live, probes, deadline=deadline)} if live else {}
    return [_look_back(one, watch, now) if one.probe == WINDOW else _seen(one, verdicts.get(one.id) or {}) for one in chosen]


def note(
    store: Store,
    environment: str,
    run: str,
    watch: Watch,
    host: str,
    table: Sequence[Escalation],
    looks: Sequence[Seen],
    unmeasured: Action,
    secrets: Sequence[str] = (),
    dry: bool = False,
) -> tuple[list[dict[str, Any]], Optional[dict[str, Any]]]:
    """Write what has changed to the ledger. Returns the changes, and the emergency stop that is due."""
    entries = ledger.read(store)
    known = escalation.known_levels(entries, watch, host)
    changed = escalation.changes(table, looks, known, unmeasured)
    for one in changed:
        data = {"watch": watch.run, "host": host, **one}
        entry = ledger.append(store, environment, run, ESCALATION, data, secrets, dry=dry)
        known[one["condition"]] = Known(one["level"], tuple(one["about"]), one["event"], int(entry["seq"]), one["reason"])
    return changed, escalation.stop_due(table, looks, known, escalation.stops_of(entries, watch, host))

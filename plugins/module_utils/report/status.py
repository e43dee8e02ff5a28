# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How a host is now, in lines for a terminal: the release, the lock, the ledger, and the diagnostics as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.report import text
from ansible_collections.golive.cutover.plugins.module_utils.report.table import table

_STATES = {"pass": "ok", "warn": "warning", "fail": "FAILED", "inconclusive": "NOT MEASURED", "skip": "skipped"}


def _release(known: Mapping[str, Any]) -> str:
    current, previous = known.get("current"), known.get("previous")
    if not current:
        return "no release was deployed by this collection"
    back = f"a rollback goes to {previous['id']}" if previous else "there is no release to roll back to"
    return f"{current['id']} ({current['status']} at {current['at']}), {back}"


def _lock(lock: Mapping[str, Any]) -> str:
    if not lock.get("held"):
        return "nobody holds it"
    why = f", because: {lock['reason']}" if lock.get("reason") else ""
    until = "until it is released by hand" if lock.get("manual") else f"lease until {lock.get('until')}"
    ended = ", which is over" if lock.get("expired") else ""
    return f"{lock.get('owner') or 'unknown'} with run {lock['run']} since {lock.get('since')}{why} ({until}{ended})"


def _ledger(ledger: Mapping[str, Any]) -> str:
    if ledger.get("failed"):
        return f"NOT VERIFIED: {ledger.get('msg', 'no reason given')}"
    return f"{text.count(int(ledger.get('count', 0)), 'entry', 'entries')}, verified"


def _answer(verdict: Mapping[str, Any]) -> str:
    """The measures that the check was about, in the order of its thresholds; the reason when it did not pass."""
    if verdict.get("status") != "pass":
        return str(verdict.get("reason", ""))
    asked = dict.fromkeys(name for level in (verdict.get("expected") or {}).values() for name in level or {})
    measures = verdict.get("measures") or {}
    found = [(name, measures[name]) for name in asked if name in measures]
    return ", ".join(f"{name} {text.measured(one.get('value'), one.get('unit') or '')}" for name, one in found)


def lines(
    verdicts: Iterable[Mapping[str, Any]], host: str, lock: Mapping[str, Any], known: Mapping[str, Any], ledger: Mapping[str, Any]
) -> list[str]:
    """The status of a host. ``lock``, ``known`` and ``ledger`` are the results of the modules lock, release and ledger."""
    rows = [
        {
            "question": one.get("title") or one.get("id"),
            "answer": _answer(one),
            "state": _STATES.get(str(one.get("status")), str(one.get("status"))),
        }
        for one in verdicts
    ]
    found = [
        f"{host}",
        f"release: {_release(known)}",
        f"lock: {_lock(lock.get('lock') or {})}",
        f"ledger: {_ledger(ledger)}",
        *table(rows, ["question", "state", "answer"], {}).splitlines(),
    ]
    return [text.one_line(one) if index < 4 else one for index, one in enumerate(found)]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks checks of an inventory once each, and says which of them do not fail as they should, or are not well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock, run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

Checks = Mapping[str, dict[str, Any]]


def ask(checks: Checks, ids: Iterable[str], now: float | None = None, **secrets: str) -> dict[str, dict[str, Any]]:
    """The verdicts by their ids, without looking again at what fails; ``now`` is what the clock says, where it stands still."""
    chosen = [{**checks[id], "retry": None} for id in ids]
    clock = Clock() if now is None else Clock(now=lambda: now)
    return {one["id"]: one for one in run_checks(read_checks(chosen, PROBES, secrets), PROBES, concurrency=12, clock=clock)}


def unfound(checks: Checks, found: Mapping[str, str], now: float | None = None, **secrets: str) -> dict[str, str]:
    """Which of these do not fail, or not for the reason that has these words. Where there is no level above a warning, and the
    words are of one, it is how the check fails. What could not be measured has not failed."""
    wrong = {}
    for id, verdict in ask(checks, found, now, **secrets).items():
        level = "warn" if found[id].startswith("warning") else "fail"
        if verdict["status"] != level or found[id] not in verdict["reason"]:
            wrong[id] = f"{verdict['status']}: {verdict['reason']}"
    return wrong


def ill(checks: Checks, ids: Iterable[str], now: float | None = None, **secrets: str) -> dict[str, str]:
    """Which of these neither pass nor warn, and why."""
    verdicts = ask(checks, ids, now, **secrets)
    return {id: one["reason"] for id, one in verdicts.items() if one["status"] not in ("pass", "warn")}

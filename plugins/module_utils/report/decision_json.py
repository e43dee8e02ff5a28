# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""``decision.json``: the run for programs. The order of its keys is fixed, so that two can be compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.report import ending
from ansible_collections.golive.cutover.plugins.module_utils.report.model import (
    STATUSES,
    Artefact,
    Dora,
    Host,
    Notification,
    Rollback,
    Run,
    Step,
    Verdict,
)

SCHEMA_VERSION = 1
"""Raised when a key is taken away or changes its meaning; new keys do not raise it."""


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "seconds": step.seconds,
        "budget": step.budget,
        "status": step.status,
        "started": step.started or None,
        "error": step.error or None,
    }


def _sorted(value: Any) -> Any:
    """A value with the keys of every mapping in it in order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "host": verdict.host,
        "id": verdict.id,
        "title": verdict.title,
        "probe": verdict.probe,
        "status": verdict.status,
        "required": verdict.required,
        "reason": verdict.reason,
        "measures": {name: {"value": one.value, "unit": one.unit} for name, one in sorted(verdict.measures.items())},
        "expected": {level: dict(sorted(said.items())) for level, said in sorted(verdict.expected.items())},
        "proof": _sorted(dict(verdict.proof)),
        "attempts": verdict.attempts,
        "started": verdict.started or None,
        "duration": verdict.duration,
        "tags": list(verdict.tags),
        **({"artefacts": [_artefact(one) for one in verdict.artefacts]} if verdict.artefacts else {}),
    }


def _artefact(artefact: Artefact) -> dict[str, Any]:
    return {
        "name": artefact.name,
        "media_type": artefact.media_type,
        "bytes": artefact.size,
        "sha256": artefact.sha256 or None,
        "file": artefact.file or None,
    }


def _counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    counts = Counter(verdict.status for verdict in verdicts)
    return {status: counts[status] for status in reversed(STATUSES)}


def _host(host: Host) -> dict[str, Any]:
    return {
        "state": host.state,
        "changed": host.changed,
        "failed": None
        if host.failed is None
        else {
            "step": host.failed.step,
            "task": host.failed.task,
            "message": host.failed.message,
        },
        "steps": [_step(step) for step in host.steps],
    }


def _rollback(run: Run, rollback: Rollback) -> dict[str, Any]:
    return {
        "strategy": rollback.strategy,
        "to": rollback.to or None,
        "seconds": rollback.seconds,
        "budget": rollback.budget,
        "verified": rollback.verified,
        "reason": rollback.reason,
        "counts": _counts(rollback.verdicts),
        "hosts": {
            host.name: {
                "verified": host.verified,
                "error": host.error or None,
                "attempts": [
                    {"strategy": one.strategy, "verified": one.verified, "seconds": one.seconds, "error": one.error or None}
                    for one in host.attempts
                ],
            }
            for host in sorted(rollback.hosts, key=lambda one: one.name)
        },
        "hosts_missing": ending.uncovered(run),
        "verdicts": [_verdict(verdict) for verdict in rollback.verdicts],
    }


def _notification(one: Notification) -> dict[str, Any]:
    return {
        "event": one.event,
        "channel": one.channel,
        "kind": one.kind or None,
        "host": one.host or None,
        "status": one.status,
        "subject": one.subject or None,
        "reason": one.reason or None,
        "attempts": one.attempts,
        "seconds": one.seconds,
    }


def _dora(dora: Dora) -> dict[str, Any]:
    return {
        "since": dora.since or None,
        "until": dora.until or None,
        "error": dora.error or None,
        "figures": {
            one.name: {
                "value": one.value,
                "unit": one.unit,
                "count": one.count,
                "reason": one.reason or None,
                **_sorted(dict(one.more)),
            }
            for one in dora.figures
        },
    }


def as_mapping(run: Run) -> dict[str, Any]:
    """The content of ``decision.json``. The page reports.md of the documentation describes each key."""
    end = ending.ending(run)
    return {
        "schema_version": SCHEMA_VERSION,
        "decision": run.decision,
        "ending": end.kind,
        "run": run.id,
        "kind": run.kind,
        "environment": run.environment,
        "release": run.release or None,
        "previous_release": run.previous_release or None,
        "rolled_back": end.kind in (ending.ROLLED_BACK, ending.UNVERIFIED) and ending.release_went_back(run),
        "rollback_verified": end.kind == ending.ROLLED_BACK,
        "rollback_seconds": run.rollback.seconds if run.rollback else None,
        "reasons": list(run.reasons),
        "started": run.started or None,
        "ended": run.ended or None,
        "seconds": run.seconds,
        "operator": run.operator or None,
        "controller": run.controller or None,
        "command": run.command or None,
        "reason": run.reason or None,
        "problems": list(run.problems),
        "criteria": [{"name": one.name, "required": one.required, "met": one.met, "detail": one.detail} for one in run.criteria],
        "counts": _counts(run.verdicts),
        "steps": [
            {
                "name": step.name,
                "seconds": step.seconds,
                "budget": step.budget,
                "status": step.status,
                "started": step.started or None,
                "error": step.error or None,
                "host": step.host,
            }
            for step in run.steps
        ],
        "hosts": {host.name: _host(host) for host in sorted(run.hosts, key=lambda one: one.name)},
        "lost_hosts": sorted(run.lost_hosts),
        "rollback": _rollback(run, run.rollback) if run.rollback else None,
        "verdicts": [_verdict(verdict) for verdict in run.verdicts],
        "notifications": [_notification(one) for one in run.notifications],
        "dora": _dora(run.dora) if run.dora else None,
    }


def render(run: Run) -> str:
    return json.dumps(as_mapping(run), indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"

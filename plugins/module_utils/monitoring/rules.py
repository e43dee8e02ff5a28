# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Prometheus rules: a recording rule for each signal, an alert for each threshold, and one for each signal that has no data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.monitoring import promql as pq
from ansible_collections.golive.cutover.plugins.module_utils.monitoring._yaml import dump
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import (
    NO_DATA,
    RECORD,
    THRESHOLD,
    Plan,
    Settings,
    Signal,
    Threshold,
)

_WORDS = {"expect": "expected", "warn": "warning when", "critical": "critical when"}
_SHOWN = {"ratio": "{{ $value | humanizePercentage }}", "time": "{{ $value | humanizeDuration }}"}


def group_name(environment: str) -> str:
    """The name of the rule group of an environment."""
    return f"golive:{environment}"


def evaluated(plan: Plan) -> list[dict[str, Any]]:
    """The rules of the file in their order: ``group``, ``name``, ``expr`` and ``labels`` of each, and of an alert its ``for``."""
    group = group_name(plan.settings.environment)
    found = [rule for signal in plan.signals for rule in _rules(signal, plan.settings)]
    return [
        {"group": group, "name": rule.get("alert") or rule["record"], "expr": rule["expr"], "labels": rule["labels"]}
        | ({"for": rule.get("for", "0s")} if "alert" in rule else {})
        for rule in found
    ]


def render(plan: Plan) -> str:
    """The rule file. One group: the alerts are asked of what was recorded just before."""
    settings = plan.settings
    group: dict[str, Any] = {"name": group_name(settings.environment)}
    if settings.interval is not None:
        group["interval"] = pq.duration(settings.interval)
    group["rules"] = [rule for signal in plan.signals for rule in _rules(signal, settings)]
    notes = [f"not translated: {one.check} {one.measure} {one.condition}".rstrip() + f": {one.reason}" for one in plan.untranslated]
    return dump({"groups": [group] if group["rules"] else []}, notes)


def _rules(signal: Signal, settings: Settings) -> list[dict[str, Any]]:
    labels = signal.labels(settings.environment)
    recorded = f"{RECORD}{{{pq.matchers(labels)}}}"
    rules: list[dict[str, Any]] = [{"record": RECORD, "expr": signal.expression, "labels": labels}]
    rules += [_alert(signal, one, settings) for one in signal.thresholds]
    severity = "critical" if any(one.severity == "critical" for one in signal.thresholds) else "warning"
    rules.append(
        {
            "alert": NO_DATA,
            "expr": f"absent({recorded})" + (f" unless on() ({signal.few})" if signal.few else ""),
            **_hold(settings.no_data_hold),
            "labels": {**_label_values({**settings.labels, **labels}), "severity": severity},
            "annotations": {
                "summary": f"{signal.check}: {_plain(signal.title)}",
                "description": f"{signal.measure} could not be measured, which is no success",
            },
        }
    )
    return rules


def _alert(signal: Signal, one: Threshold, settings: Settings) -> dict[str, Any]:
    shown = _SHOWN.get(signal.kind, "{{ $value }}")
    return {
        "alert": THRESHOLD,
        "expr": one.expression,
        **_hold(max(settings.hold, signal.retried)),
        "labels": {
            **_label_values({**settings.labels, **signal.labels(settings.environment)}),
            "severity": one.severity,
            "condition": f"{one.column} {one.source}",
        },
        "annotations": {
            "summary": f"{signal.check}: {_plain(signal.title)}",
            "description": f"{signal.measure} is {shown}, {_WORDS[one.column]} {_plain(one.source)}",
        },
    }


def _hold(seconds: float) -> dict[str, str]:
    return {"for": pq.duration(seconds)} if seconds > 0 else {}


def _label_values(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: _plain(value) for name, value in labels.items()}


def _plain(text: str) -> str:
    """A text that Prometheus does not take for a template."""
    return text.replace("{{", '{{ "{{" }}')

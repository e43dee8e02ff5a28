# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A Grafana dashboard: one panel for each signal, with its thresholds drawn in it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.monitoring import promql as pq
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import RECORD, Plan, Settings, Signal, Threshold

SCHEMA = 37
"""The schema of Grafana 9.3, which every later one reads."""

LONGEST_UID = 40
GREEN, YELLOW, RED = "green", "yellow", "red"
_UNITS = {"time": "s", "size": "bytes", "ratio": "percentunit", "rate": "cps"}
_WIDE, _HIGH = 12, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def uid(settings: Settings) -> str:
    """The uid of the dashboard: what the settings say, else made of the environment, within what Grafana takes."""
    wanted = settings.dashboard_uid or re.sub(r"[^a-zA-Z0-9_-]", "-", f"golive-{settings.environment}")
    if len(wanted) <= LONGEST_UID:
        return wanted
    return f"{wanted[:31]}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"


def render(plan: Plan) -> str:
    """The dashboard as Grafana's provisioning and its import read it."""
    settings = plan.settings
    panels = [_panel(signal, number, settings) for number, signal in enumerate(plan.signals)]
    top = math.ceil(len(panels) / 2) * _HIGH
    panels.append(_alerts(len(panels), top, settings))
    if plan.untranslated:
        panels.append(_not_here(len(panels), top, plan))
    document = {
        "uid": uid(settings),
        "title": settings.dashboard_title or f"Cutover of {settings.environment}",
        "tags": ["golive", settings.environment],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": pq.duration(settings.refresh),
        "time": {"from": f"now-{pq.duration(settings.span)}", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}]
        },
        "annotations": {"list": []},
        "panels": panels,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _panel(signal: Signal, number: int, settings: Settings) -> dict[str, Any]:
    steps = thresholds(signal.thresholds)
    single = signal.measure == "value"
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": f"{signal.check}: {signal.title}" + ("" if single else f" ({signal.measure})"),
        "description": "; ".join(f"{one.severity}: {one.column} {one.source}" for one in signal.thresholds),
        "datasource": _SOURCE,
        "gridPos": {"h": _HIGH, "w": _WIDE, "x": number % 2 * _WIDE, "y": number // 2 * _HIGH},
        "targets": [
            {
                "refId": "A",
                "datasource": _SOURCE,
                "expr": f"{RECORD}{{{pq.matchers(signal.labels(settings.environment))}}}",
                "legendFormat": signal.measure,
            }
        ],
        "fieldConfig": {
            "defaults": {
                "unit": _UNITS.get(signal.kind, "short"),
                "noValue": "could not be measured",
                "color": {"mode": "thresholds"},
                "custom": {"thresholdsStyle": {"mode": "line+area"}, "spanNulls": False, "lineWidth": 2},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "single"}},
    }


def thresholds(of: Sequence[Threshold]) -> list[dict[str, Any]]:
    """The thresholds as Grafana draws them: from which value on which colour.

    A step begins at its value. Whether a limit itself is still good is one point on the line, and drawn with what is above it,
    except where it is a point that differs from both sides (``== 1``).
    """
    points = sorted({limit for one in of for limit in one.limits})
    steps: list[dict[str, Any]] = [{"color": _colour(of, points[0] - 1 - abs(points[0])), "value": None}]
    for index, point in enumerate(points):
        last = index + 1 == len(points)
        above = _colour(of, point + 1 + abs(point) if last else (point + points[index + 1]) / 2)
        here = _colour(of, point)
        island = here not in (steps[-1]["color"], above)
        for value, colour in ((point, here), (_just_above(point), above)) if island else ((point, above),):
            if colour != steps[-1]["color"]:
                steps.append({"color": colour, "value": value})
    return steps


def _just_above(point: float) -> float:
    return point + max(abs(point), 1.0) * 1e-9


def _colour(of: Sequence[Threshold], value: float) -> str:
    found: Optional[str] = None
    for one in of:
        if _breaks(one, value) and found != RED:
            found = RED if one.severity == "critical" else YELLOW
    return found or GREEN


def _breaks(one: Threshold, value: float) -> bool:
    limits = one.limits
    holds = {
        "in": value in limits,
        "==": value == limits[0],
        "!=": value != limits[0],
        "<": value < limits[0],
        "<=": value <= limits[0],
        ">": value > limits[0],
        ">=": value >= limits[0],
    }[one.operator]
    return holds is one.bad_when_holds


def _alerts(number: int, top: int, settings: Settings) -> dict[str, Any]:
    """The alerts as they fire, also those that say that there is no data."""
    firing = {"alertstate": "firing", "environment": settings.environment, "alertname": "~Golive.+"}
    return {
        "id": number + 1,
        "type": "table",
        "title": "Alerts that fire",
        "datasource": _SOURCE,
        "gridPos": {"h": _HIGH, "w": _WIDE, "x": 0, "y": top},
        "targets": [
            {"refId": "A", "datasource": _SOURCE, "expr": f"ALERTS{{{pq.matchers(firing)}}}", "format": "table", "instant": True}
        ],
        "fieldConfig": {"defaults": {"noValue": "none"}, "overrides": []},
        "options": {"showHeader": True},
    }


def _not_here(number: int, top: int, plan: Plan) -> dict[str, Any]:
    """What is judged by the gate and cannot be seen here."""
    lines = [
        f"- **{_escaped(one.check)}** {_escaped(f'{one.measure} {one.condition}'.strip())}: {_escaped(one.reason)}"
        for one in plan.untranslated
    ]
    return {
        "id": number + 1,
        "type": "text",
        "title": "Judged by the cutover, not watched here",
        "gridPos": {"h": _HIGH, "w": _WIDE, "x": _WIDE, "y": top},
        "options": {"mode": "markdown", "content": "\n".join(lines)},
    }


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", " ".join(text.split()))

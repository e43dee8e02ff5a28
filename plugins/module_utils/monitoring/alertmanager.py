# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The configuration of Alertmanager: a route for the environment, by severity, put into the configuration that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.monitoring._yaml import dump
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import SEVERITIES, THRESHOLD, Plan, Settings

NOBODY = "golive-nobody"
"""The receiver of what nobody asked for, in a configuration that has no route of its own."""

_WAIT = {"critical": "0s", "warning": "30s"}
_AGAIN = {"critical": "1h", "warning": "4h"}


def receiver_name(environment: str, severity: str) -> str:
    return f"golive-{environment}-{severity}"


def render(plan: Plan) -> str:
    """The whole configuration: that of the base with our route first, our receivers and our inhibition, each once.

    What was rendered into the base before is replaced. Raises InputError for a base that is no configuration.
    """
    settings = plan.settings
    base = _checked(settings.base)
    ours = _names(settings)
    receivers = [one for one in base.get("receivers") or [] if one.get("name") not in ours]
    route = dict(base.get("route") or {"receiver": NOBODY})
    if route.get("receiver") == NOBODY and all(one.get("name") != NOBODY for one in receivers):
        receivers.append({"name": NOBODY})
    told = [severity for severity in SEVERITIES if settings.receivers.get(severity)]
    receivers += [{"name": receiver_name(settings.environment, one), **settings.receivers[one]} for one in told]
    others = [one for one in route.get("routes") or [] if not _is_ours(one, settings)]
    route["routes"] = ([_route(settings, told)] if told else []) + others
    inhibitions = [one for one in base.get("inhibit_rules") or [] if one != _inhibition(settings)]
    document = {**base, "route": route, "receivers": receivers, "inhibit_rules": [*inhibitions, _inhibition(settings)]}
    return dump(document)


def _of(environment: str) -> str:
    escaped = environment.replace("\\", "\\\\").replace('"', '\\"')
    return f'environment="{escaped}"'


def _route(settings: Settings, told: Sequence[str]) -> dict[str, Any]:
    """By severity; what has no receiver of its own goes to the more severe one: nothing is lost."""
    routes = [
        {
            "matchers": [f'severity="{severity}"'],
            "receiver": receiver_name(settings.environment, severity),
            "group_wait": _WAIT[severity],
            "repeat_interval": _AGAIN[severity],
        }
        for severity in told
    ]
    return {
        "matchers": [_of(settings.environment), 'alertname=~"Golive.+"'],
        "receiver": receiver_name(settings.environment, told[0]),
        "group_by": ["environment", "check", "alertname", "severity"],
        "group_wait": "0s",
        "group_interval": "10s",
        "routes": routes,
    }


def _inhibition(settings: Settings) -> dict[str, Any]:
    """Of one measure the warning is not told beside the critical alert."""
    return {
        "source_matchers": [_of(settings.environment), f'alertname="{THRESHOLD}"', 'severity="critical"'],
        "target_matchers": [_of(settings.environment), f'alertname="{THRESHOLD}"', 'severity="warning"'],
        "equal": ["environment", "check", "measure"],
    }


def _is_ours(route: Mapping[str, Any], settings: Settings) -> bool:
    return route.get("receiver") in _names(settings)


def _names(settings: Settings) -> set[str]:
    """The receivers that are ours: those of another environment, whose name may begin with that of this one, are not."""
    return {receiver_name(settings.environment, severity) for severity in SEVERITIES}


def _checked(base: Mapping[str, Any]) -> Mapping[str, Any]:
    """The base, with the shape that is relied on. Alertmanager itself judges the rest."""
    problems = []
    route = base.get("route")
    if route is not None and not isinstance(route, Mapping):
        problems.append(Problem("base.route", "expected a mapping"))
    nested = route.get("routes") if isinstance(route, Mapping) else None
    for where, value in (
        ("route.routes", nested),
        ("receivers", base.get("receivers")),
        ("inhibit_rules", base.get("inhibit_rules")),
    ):
        if value is not None and not (isinstance(value, list) and all(isinstance(one, Mapping) for one in value)):
            problems.append(Problem(f"base.{where}", "expected a list of mappings"))
    if problems:
        raise InputError(problems)
    return base

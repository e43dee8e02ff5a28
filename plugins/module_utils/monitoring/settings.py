# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The settings of monitoring, as their author writes them: every mistake in one message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.monitoring._yaml import load
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import SEVERITIES, Settings

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_OURS = ("environment", "check", "measure", "severity", "condition", "alertname")


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of label to value, got {value!r}")
    for label, one in value.items():
        if not _LABEL.match(str(label)):
            raise ValueError(f"{label!r} is not the name of a label")
        if not isinstance(one, str):
            raise ValueError(f"{label}: expected a text, got {one!r}")
        if one.startswith("~"):
            try:
                re.compile(one[1:])
            except re.error as error:
                raise ValueError(f"{label}: {one[1:]!r} is not a regular expression: {error}") from error
    return {str(label): str(one) for label, one in value.items()}


def _own_labels(value: Any) -> dict[str, str]:
    labels = _labels(value)
    taken = sorted(set(labels) & set(_OURS))
    if taken:
        raise ValueError(f"{' and '.join(taken)} say which threshold it is, and cannot be set")
    return labels


def _targets(value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of page to its labels, got {value!r}")
    return {str(page): _labels(labels) for page, labels in value.items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping, got {value!r}")
    return value


def _base(value: Any) -> Any:
    """A configuration as a mapping, or as the text that it is read from; an empty text is none."""
    if isinstance(value, str):
        value = load(value) or {}
    if not isinstance(value, Mapping):
        raise ValueError("expected a mapping")  # what it is may be a secret
    return value


def _receivers(value: Any) -> Mapping[str, Any]:
    strange = sorted(set(_mapping(value)) - set(SEVERITIES))
    if strange:
        raise ValueError(f"{strange[0]!r} is no severity; expected {' or '.join(SEVERITIES)}")
    for severity, one in value.items():
        if not isinstance(one, Mapping) or "name" in one:
            raise ValueError(f"{severity}: expected what Alertmanager takes as a receiver, such as webhook_configs, without a name")
    return dict(value)


OPTIONS: Mapping[str, Option] = {
    "environment": Option(opt.text, "name of what is watched", required=True),
    "matchers": Option(_labels, "labels of every series of the environment", default={}),
    "targets": Option(_targets, "page to the labels by which Prometheus knows it", default={}),
    "baseline": Option(_mapping, "check id to measure to its value before the change", default={}),
    "hold": Option(opt.duration, "how long a threshold is broken before its alert fires", default=0.0),
    "no_data_hold": Option(opt.duration, "how long nothing is measured before that is an alert", default=120.0),
    "interval": Option(opt.duration, "time between two evaluations; that of Prometheus if left out"),
    "scrape_interval": Option(opt.duration, "time between two scrapes of the targets", default=15.0),
    "labels": Option(_own_labels, "further labels of every alert", default={}),
    "receivers": Option(_receivers, "severity to what Alertmanager takes as a receiver", default={}),
    "base": Option(_base, "the configuration of Alertmanager that is there, as a mapping or as its text", default={}),
    "dashboard_uid": Option(opt.text, "uid of the dashboard"),
    "dashboard_title": Option(opt.text, "title of the dashboard"),
    "refresh": Option(opt.duration, "time after which the dashboard is drawn again", default=10.0),
    "span": Option(opt.duration, "time that the dashboard shows", default=3600.0),
}


def read_settings(raw: Any) -> Settings:
    """Read the settings. Raises InputError with every mistake."""
    problems: list[Problem] = []
    clean = opt.read_options(raw, OPTIONS, "settings", problems)
    for check, values in (clean["baseline"] or {}).items():
        if not isinstance(values, Mapping):
            problems.append(Problem(f"settings.baseline.{check}", f"expected a mapping of measure to value, got {values!r}"))
    for name in ("interval", "scrape_interval", "refresh", "span"):
        if clean[name] is not None and clean[name] <= 0:
            problems.append(Problem(f"settings.{name}", "is no time"))
    uid = clean["dashboard_uid"]
    if uid is not None and not re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid):
        problems.append(Problem("settings.dashboard_uid", "expected at most 40 of a-z, A-Z, 0-9, _ and -"))
    if problems:
        raise InputError(problems)
    return Settings(**clean)

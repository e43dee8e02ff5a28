# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of thresholds in monitoring: signals with their thresholds, and what could not be translated, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

RECORD = "golive:measure"
"""The series that every recording rule makes; its labels say of which environment, check and measure."""

SEVERITIES = ("critical", "warning")
THRESHOLD, NO_DATA = "GoliveThreshold", "GoliveNoData"
"""The names of the alerts: a threshold is broken; what it is about could not be measured."""


@dataclass(frozen=True)
class Settings:
    """How the running system looks from Prometheus. Durations in seconds.

    ``matchers``: labels of every series of the environment. ``targets``: address of a page, or its name in the store, to the labels
    by which Prometheus knows it. ``baseline``: check id to measure to the value before the change. ``hold``: how long a threshold
    is broken before the alert fires; ``no_data_hold``: how long nothing is measured before that is one. ``scrape_interval``: of the
    targets; a window of less than two of them is not measured. ``receivers``: severity to what Alertmanager takes as a receiver.
    ``base``: the configuration of Alertmanager into which ours is put.
    """

    environment: str
    matchers: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    baseline: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hold: float = 0.0
    no_data_hold: float = 120.0
    interval: Optional[float] = None
    scrape_interval: float = 15.0
    labels: Mapping[str, str] = field(default_factory=dict)
    receivers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=dict)
    dashboard_uid: Optional[str] = None
    dashboard_title: Optional[str] = None
    refresh: float = 10.0
    span: float = 3600.0


class Threshold(NamedTuple):
    """One condition of a check: when it makes an alert, and how that is asked of the recorded series."""

    column: str
    """``expect``, ``warn`` or ``critical``, as in the check."""
    source: str
    severity: str
    expression: str
    bad_when_holds: bool
    limits: tuple[float, ...]
    operator: str
    kind: str


@dataclass(frozen=True)
class Signal:
    """One measure of one check: the expression that measures it, and its thresholds."""

    check: str
    title: str
    measure: str
    kind: str
    required: bool
    expression: str
    thresholds: tuple[Threshold, ...]
    retried: float = 0.0
    """Seconds for which the check looks again before it fails: a shorter breach is none."""
    few: str = ""
    """What yields something while there was too little to say, and was measured all the same; empty when that cannot be."""

    def labels(self, environment: str) -> dict[str, str]:
        return {"environment": environment, "check": self.check, "measure": self.measure}


class Untranslated(NamedTuple):
    """A threshold of which no rule was made, and why. ``measure`` and ``condition`` are empty for a whole check."""

    check: str
    measure: str
    condition: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that the outputs are made from."""

    settings: Settings
    signals: tuple[Signal, ...]
    untranslated: tuple[Untranslated, ...]

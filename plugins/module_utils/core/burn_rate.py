# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Burn rates: how fast the error budget of an objective is spent, and from which rate on it is an alert.

Source: Google, "The Site Reliability Workbook", chapter 5 "Alerting on SLOs" (sre.google/workbook/alerting-on-slos):

- burn rate = error ratio / (1 - objective); at 1 the budget lasts exactly for the period;
- the factor of an alert = share of the budget that may be gone by then * period / window;
- an alert fires when a long window and a short one, a twelfth of it, both burn at the factor or faster.

The well-known factors 14.4, 6, 3 and 1 belong to windows of 1 h, 6 h, 1 d and 3 d in a period of 30 days. The same windows in a
shorter period give other factors: 2 % of the budget of 48 h in 1 h is a factor of 0.96, which a healthy service reaches.
So `table` scales the windows with the period. Where a short window would then hold too few samples, both windows
are lengthened; the factor stays and the share that is gone by then grows, and is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import TooFew, enough_requests

SHORT = Fraction(1, 12)
"""The short window in parts of the long one."""

LEAST_SHORT = 60.0
"""Seconds of the shortest window where the pause between two samples is not told: two of 30 s."""
HOUR = 3600.0
DAY = 24 * HOUR

WORKBOOK: Sequence[tuple[str, Fraction, Fraction]] = (
    ("page", Fraction(2, 100), Fraction(1, 720)),
    ("page", Fraction(5, 100), Fraction(1, 120)),
    ("ticket", Fraction(10, 100), Fraction(1, 30)),
    ("ticket", Fraction(10, 100), Fraction(1, 10)),
)
"""Severity, share of the budget, and long window in parts of the period: 1 h, 6 h, 1 d, 3 d of 30 days."""


class Alert(NamedTuple):
    """From which burn rate on, over which two windows in seconds; ``share`` of the budget is gone by then."""

    severity: str
    share: float
    long: float
    short: float
    factor: float


class Burn(NamedTuple):
    """How fast the budget burns over the long and the short window, and whether that is an alert."""

    long: float
    short: float
    fires: bool


def factor(share: float, period: float, window: float) -> float:
    """The burn rate that spends a share of the budget of a period within a window (both in seconds).

    Raises ValueError for a factor below 1: a service that meets its objective would be an alert.

    >>> round(factor(0.02, 30 * DAY, HOUR), 1)
    14.4
    """
    if not 0 < share <= 1:
        raise ValueError(f"{share!r} is not a share of the budget; expected more than 0 and at most 1")
    if not 0 < window <= period:
        raise ValueError(f"a window of {window:g} s does not fit into a period of {period:g} s")
    found = share * period / window
    if found < 1:
        raise ValueError(
            f"{share * 100:g} % of the budget of {period / HOUR:g} h in {window / HOUR:g} h is a burn rate of {found:g}, "
            f"which a service that meets its objective reaches; take a shorter window or a larger share"
        )
    return found


def table(period: float, least_short: float = LEAST_SHORT) -> list[Alert]:
    """The alerts for a period, both in seconds. ``least_short`` is the shortest window that holds enough samples: two
    pauses of the sampler.

    >>> [(round(one.long / 60), one.factor) for one in table(48 * HOUR)]
    [(12, 14.4), (24, 6.0), (96, 3.0), (288, 1.0)]
    """
    if period <= 0 or least_short <= 0:
        raise ValueError("a period and a window last longer than 0 s")
    alerts: list[Alert] = []
    for severity, share, part in WORKBOOK:
        of = share / part
        long = max(Fraction(period) * part, Fraction(least_short) / SHORT)
        spent = of * long / Fraction(period)
        if spent > 1 or long > period:
            continue  # by then the whole budget is gone: this is no early warning any more
        if alerts and (alerts[-1].severity, alerts[-1].long) == (severity, float(long)):
            alerts.pop()  # over the same windows the lower factor fires first: the sharper row says nothing more
        alerts.append(Alert(severity, float(spent), float(long), float(long * SHORT), float(of)))
    if not alerts:
        raise ValueError(
            f"a period of {period:g} s is too short for windows of {least_short:g} s; sample more often, or take a longer period"
        )
    return alerts


def burn_rate(errors: float, total: float, objective: float) -> float:
    """``(errors/total) / (1 - objective)``. Raises TooFew when a single failure would break the objective, no traffic
    included, and ValueError for what cannot be.

    >>> round(burn_rate(10, 1000, 0.995), 6)
    2.0
    """
    if errors < 0 or errors > total:
        raise ValueError(f"{errors:g} of {total:g} is not a number of failed requests")
    enough_requests(int(total), objective)
    return errors / total / (1 - objective)


def burning(alert: Alert, objective: float, long: tuple[float, float], short: tuple[float, float]) -> Burn:
    """Hold ``(errors, total)`` over the long and the short window against an alert.

    Raises as `burn_rate`. Too few requests in the short window alone do not hide what the long one shows: when the long
    one does not burn, nothing fires, and otherwise it cannot be said whether it still burns.
    """
    over_long = burn_rate(*long, objective)
    try:
        over_short = burn_rate(*short, objective)
    except TooFew:
        if over_long < alert.factor:
            return Burn(over_long, float("nan"), False)
        raise
    return Burn(over_long, over_short, over_long >= alert.factor and over_short >= alert.factor)

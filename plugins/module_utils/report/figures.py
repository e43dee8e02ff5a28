# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The figures of DORA in words, for every format: what each is called, its value, and what it was counted from."""

from __future__ import annotations

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.report import text
from ansible_collections.golive.cutover.plugins.module_utils.report.model import Dora, Figure, parse_time

_TITLES = {
    "deployment_frequency": "Deployment frequency",
    "lead_time": "Lead time of a change",
    "change_failure_rate": "Change failure rate",
    "time_to_restore": "Time to restore",
    "deployment_duration": "Duration of a deployment",
}
TOO_FEW = "too few to say"


def title(figure: Figure) -> str:
    return _TITLES.get(figure.name, figure.name.replace("_", " "))


def value(figure: Figure) -> str:
    """The value as a person reads it. Where there is too little to say, that is what it says, and no number."""
    if figure.value is None:
        return TOO_FEW
    if figure.unit == "/d":
        return f"{figure.value:.2g} a day"
    if figure.unit == "s":
        return text.duration(figure.value)
    return units.show(figure.value, "ratio" if figure.unit == "ratio" else "any")


def note(figure: Figure) -> str:
    """What it was counted from, or why there is no number."""
    if figure.reason:
        return figure.reason
    said = [str(figure.more["method"])] if figure.more.get("method") else []
    if isinstance(figure.more.get("low"), (int, float)) and isinstance(figure.more.get("high"), (int, float)):
        said.append(f"between {units.show(figure.more['low'], 'ratio')} and {units.show(figure.more['high'], 'ratio')}")
    if figure.more.get("open"):
        said.append(f"{len(figure.more['open'])} not restored yet")
    if figure.count is not None:
        said.insert(0, f"{figure.count} counted")
    return "; ".join(said)


def window(dora: Dora) -> str:
    """From when to when they are counted."""
    days = [moment.strftime("%Y-%m-%d") if (moment := parse_time(one)) else one for one in (dora.since, dora.until) if one]
    return " to ".join(days)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What the samples that a Prometheus server keeps say about a window: in the words, and by the code, of the probe `window`.

A server keeps the samples of a series and nothing of when it was not there. So it is also asked for samples that are there
whenever the target was scraped, by default ``up``: they show the looks. A look at which a series has no sample is one at which
it was not there, as in the store, so that a birth is counted and a gap is seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import windows
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Coverage, Point
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Key, Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes._selection import Selection, put_missing, put_value
from ansible_collections.golive.cutover.plugins.module_utils.probes._windowed import (
    counted_from,
    enough,
    measured,
    tell_coverage,
    tell_resets,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation

LEAD = 600.0
"""Seconds before the window that are asked for too, where the pause between two scrapes is not told: the last sample before
the window is in them."""
VALUE = "value"
UP = "up"
"""The series that a server writes of each target at each scrape: 1 where it succeeded."""

Series = Mapping[Key, Sequence[Point]]
"""For each series its samples, in the order of time."""


class Kept(NamedTuple):
    """What a server keeps of a window, and of some time before it."""

    sides: Sequence[Series]
    """What is selected, and for a ratio what it is taken to."""
    looks: Optional[Series]
    """Samples that show when the targets were scraped; None where those of each series show it for that series alone."""
    all_of_them: bool = False
    """Whether every target of ``looks`` is meant, also one that has no series of those that are selected."""


def selection_of(options: Mapping[str, Any]) -> Selection:
    """What the options ask for, as the other probes have it."""
    to = options["to"]
    return Selection(
        selector=Selector(options["query"].strip()),
        kind=options["as"],
        reduce=options["reduce"],
        absent=options["absent"],
        to=Selection(Selector(to["query"].strip()), "increase", to["reduce"], "missing") if to else None,
        least=options["least"],
    )


def lead(options: Mapping[str, Any]) -> float:
    """How many seconds before the window are asked for, too."""
    return float(windows.GAP * options["every"] if options["every"] else min(options["over"], LEAD))


def target(key: Key) -> str:
    """The target of a series, by the two labels that a server gives to everything that it scrapes."""
    labels = dict(key[1])
    return f"{labels.get('job', '')}/{labels.get('instance', '')}"


def up_of(keys: Collection[Key]) -> str:
    """The selector of ``up`` of the targets of some series."""

    def matcher(label: str) -> str:
        values = sorted({dict(key[1]).get(label, "") for key in keys})
        return f"{label}=~{json.dumps('|'.join(re.escape(value) for value in values), ensure_ascii=False)}"

    return f"{UP}{{{matcher('job')},{matcher('instance')}}}"


def judge(seen: Observation, options: Mapping[str, Any], kept: Kept, end: float) -> None:
    """Put the measures of a window that ends at a time into an observation, or why there are none."""
    choice = selection_of(options)
    start = end - options["over"]
    try:
        name = target if kept.looks is not None else _series
        looks = _looks(kept, name, start, end)
        found = [_aligned(side, looks, name, start, end) for side in kept.sides]
        if not looks:
            raise CannotMeasure(_nothing(options, choice))
        covered = {page: _covered(page, times, start, end, options["every"]) for page, times in looks.items()}
        tell_coverage(seen, covered, looks)
        chosen = [_counted(side, covered, name, start) for side in found]
        seen.measures["series"] = seen.proof["series"] = len(chosen[0])
        sides = [measured(seen, side.kind, series, start) for side, series in zip(choice.sides(), chosen)]
        put_value(seen, VALUE, "", choice, sides[0], sides[-1])
        enough(covered, options["over"], options["coverage"])
    except CannotMeasure as error:
        put_missing(seen, VALUE, "", choice, str(error))
    tell_resets(seen, [VALUE])


def _series(key: Key) -> str:
    return str(Selector(key[0], dict(key[1])))


def _nothing(options: Mapping[str, Any], choice: Selection) -> str:
    if options["age_of"] is not None:
        return f"there is no sample of {options['age_of']} in the window: no series matches it, or all have ended"
    return f"no series matches {choice.selector}"


def _looks(kept: Kept, name: Callable[[Key], str], start: float, end: float) -> dict[str, list[float]]:
    """For each target that is meant when it was looked at, from the last look before the start on.

    A target whose samples all are from before the window is one that the server has no more, and is left out; one
    that does not answer goes on having samples of ``up``, which are 0.
    """
    shown: dict[str, set[float]] = {}
    present: set[str] = set()
    for series in kept.sides if kept.looks is None else [kept.looks]:
        for key, points in series.items():
            answered = [point.at for point in points if point.at <= end and not (key[0] == UP and point.value == 0)]
            shown.setdefault(name(key), set()).update(answered)
            if kept.looks is None or any(start < point.at <= end for point in points):
                present.add(name(key))
    if not kept.all_of_them:
        found = [(name(key), points) for side in kept.sides for key, points in side.items()]
        unknown = sorted({one for one, points in found if any(start < point.at <= end for point in points)} - set(shown))
        if unknown:
            raise CannotMeasure(
                f"the server has no {UP} of {unknown[0]}, which would show when it was looked at; say age_of: a plain selector of "
                f"a series of the same job and instance that is always there, or the query itself"
            )
        present &= {one for one, _points in found}
    looks = {}
    for one in sorted(present):
        times = sorted(shown[one])
        before = [at for at in times if at <= start]
        looks[one] = before[-1:] + [at for at in times if at > start]
    return looks


def _aligned(
    side: Series, looks: Mapping[str, Sequence[float]], name: Callable[[Key], str], start: float, end: float
) -> dict[Key, list[Point]]:
    """Of each series a point for each look at its target. Raises CannotMeasure for samples that are from no look."""
    found = {}
    for key, points in side.items():
        times = looks.get(name(key))
        if not times:
            if any(start < point.at <= end for point in points):
                raise CannotMeasure(f"{_series(key)} has samples, and nothing shows when {name(key)} was looked at")
            continue
        values = {point.at: point.value for point in points if times[0] <= point.at <= end}
        if set(values) - set(times):
            raise CannotMeasure(
                f"samples of {_series(key)} are from other times than the looks at {name(key)}; say age_of: the query itself"
            )
        if values:
            found[key] = [Point(at, values.get(at)) for at in times]
    return found


def _covered(page: str, times: Sequence[float], start: float, end: float, every: Optional[float]) -> Coverage:
    try:
        return windows.coverage(times, start, end, every)
    except CannotMeasure as error:
        raise CannotMeasure(f"{page}: {error}") from error


def _counted(
    side: Mapping[Key, list[Point]], covered: Mapping[str, Coverage], name: Callable[[Key], str], start: float
) -> dict[Key, list[Point]]:
    """The series that were there at a look that counts."""
    found = {key: counted_from(points, start, covered[name(key)].every) for key, points in side.items()}
    return {key: points for key, points in found.items() if any(point.value is not None for point in points)}

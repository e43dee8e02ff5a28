# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What is said of a window over samples of the past, whoever kept them: the store (`window`) or a Prometheus server (`promql`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import units, windows
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Coverage, Measured, Point
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Key, Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation

COVERAGE = 0.9
ABOUT_LOOKS = ("age", "samples", "coverage", "gaps", "resets")
"""Measures of every window, whatever is selected."""


def counted_from(points: list[Point], start: float, every: float) -> list[Point]:
    """The points of a series without a look that is too long before the start to be where counting begins."""
    limit = start - windows.GAP * every
    return points[1:] if len(points) > 1 and points[0].at <= start and points[0].at < limit else points


def tell_coverage(seen: Observation, covered: Mapping[str, Coverage], looks: Mapping[str, Sequence[float]]) -> None:
    """Measures and proof of how well the window is covered: of several pages, what is worst."""
    all_of = list(covered.values())
    seen.measures.update(
        samples=min(one.samples for one in all_of),
        coverage=min(one.share for one in all_of),
        gaps=sum(one.gaps for one in all_of),
        age=max(one.age for one in all_of),
    )
    seen.proof.update(
        samples=min(one.samples for one in all_of),
        window=round(max(looks[page][-1] - looks[page][0] for page in covered), 3),
        coverage=round(min(one.share for one in all_of), 4),
        every=round(max(one.every for one in all_of), 3),
        age=round(max(one.age for one in all_of), 1),
    )
    gaps = sum(one.gaps for one in all_of)
    if gaps:
        seen.proof.update(gaps=gaps, longest_gap=round(max(one.longest for one in all_of), 1))
    if len(covered) > 1:
        seen.proof["pages"] = len(covered)


def enough(covered: Mapping[str, Coverage], over: float, wanted: float) -> None:
    """Raises CannotMeasure when a page covers too little of the window, or was looked at too long ago."""
    worst = min(covered, key=lambda page: covered[page].share)
    if covered[worst].share < wanted:
        raise CannotMeasure(_uncovered(worst, covered[worst], over, wanted))
    for page, found in covered.items():
        if found.stale:
            raise CannotMeasure(f"the newest sample of {page} is {units.show(round(found.age, 1), 'time')} old")


def _uncovered(page: str, found: Coverage, over: float, wanted: float) -> str:
    """Why a window is not covered, in a few words."""
    why = []
    if found.gaps:
        why.append(f"{found.gaps} gap{'' if found.gaps == 1 else 's'} of up to {units.show(round(found.longest, 1), 'time')}")
    else:
        why.append("sampling began later")
    if found.stale:
        why.append(f"the newest sample is {units.show(round(found.age, 1), 'time')} old")
    return (
        f"samples of {page} cover {units.show(found.share, 'ratio')} of the last {units.show(over, 'time')}, "
        f"{units.show(wanted, 'ratio')} are needed: {', '.join(why)}"
    )


def measured(seen: Observation, kind: str, chosen: Mapping[Key, list[Point]], start: float) -> list[Measured]:
    """What each series did after the start, in the order of their names; what happened in them goes into the proof."""
    found = []
    for key, points in sorted(chosen.items()):
        try:
            asked = windows.over(kind, points, start)
            found.append(_last(asked) if kind == "value" else windows.measure(kind, asked))
        except CannotMeasure as error:
            raise CannotMeasure(f"{Selector(key[0], dict(key[1]))}: {error}") from error
    for word, count in (
        ("resets", sum(one.resets for one in found)),
        ("born", sum(one.born for one in found)),
        ("vanished", sum(one.vanished for one in found)),
        ("absent", sum(one.absent for one in found)),
    ):
        if count:
            seen.proof[word] = seen.proof.get(word, 0) + count
    return found


def _last(points: Sequence[Point]) -> Measured:
    """The newest value. A series that is gone has none."""
    value = points[-1].value if points else None
    if value is None:
        raise CannotMeasure("the series is not on the newest page")
    return Measured(windows.RANGES["max"]([points[-1]]))


def tell_resets(seen: Observation, names: Sequence[str]) -> None:
    """How many counters fell. Where one of the measures is missing, that is not known."""
    unknown: Optional[str] = next((seen.missing[name] for name in names if name in seen.missing), None)
    if unknown is None:
        seen.measures["resets"] = seen.proof.get("resets", 0)
    else:
        seen.missing["resets"] = unknown

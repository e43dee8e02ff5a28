# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What series did over a window of time that is past, by the samples that a sampler has put into the store.

The words are those of the probe `metrics`, which looks for itself while somebody waits. A window says nothing when it
is not covered: a sampler that began late, stopped or paused makes the measure missing, with what is not covered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import burn_rate, units, windows
from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import requests_for
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Coverage, Point
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Key, Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes._selection import (
    BURN_RATE,
    SELECTION,
    WINDOWED,
    Selection,
    named_selections,
    put_missing,
    put_value,
    reduced,
    selected_measures,
    selection_problems,
    selections,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import STORE_OPTIONS, whose
from ansible_collections.golive.cutover.plugins.module_utils.probes._windowed import (
    ABOUT_LOOKS,
    COVERAGE,
    counted_from,
    enough,
    measured,
    tell_coverage,
    tell_resets,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.address import is_shared
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store

STRETCH = "stretch"
"""In the options of a check that is asked of another length of time than its own: its own."""
_OF_BURNING = ("short", "factor", "burning")
_RESERVED = ("series", "age", "samples", "coverage", "gaps", "resets", "tau")


class WindowProbe(Probe):
    """Asks the samples in the store what series did during the last minutes or hours.

    Only what is covered by samples is judged; the proof says how many there were, how much of the window they cover, and
    what happened in it: resets, births, gaps.
    """

    name = "window"
    options: ClassVar[Mapping[str, Option]] = {
        **STORE_OPTIONS,
        "host": Option(opt.text, "in a store that hosts share, whose samples; without it, those of the host that looks"),
        "page": Option(opt.list_of(opt.text), "only samples of these pages; one may be ~ and a regular expression"),
        **SELECTION,
        "as": Option(opt.choice("value", *WINDOWED, BURN_RATE), "what is measured of each series", default="value"),
        "objective": Option(opt.share, "for as: burn_rate, the share that must succeed, such as 99.5%"),
        "period": Option(opt.duration, "for as: burn_rate, how long the error budget must last, such as 48h"),
        "budget": Option(opt.share, "for as: burn_rate, the share of the budget that may be gone in the window"),
        "select": Option(
            named_selections(_RESERVED),
            "several values of one window: own name to {name, labels, reduce, as, absent, to, least}",
        ),
        "over": Option(opt.duration, "how far the window reaches back", required=True),
        "every": Option(opt.duration, "pause between two samples; without it, what is usual in the window"),
        "coverage": Option(opt.share, "the part of the window that must be covered by samples", default=COVERAGE),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "value": "any",
        "series": "count",
        "series.*": "count",
        "tau": "count",
        "tau.*": "count",
        "age": "time",
        "samples": "count",
        "coverage": "ratio",
        "gaps": "count",
        "resets": "count",
        "short": "count",
        "factor": "count",
        "burning": "flag",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = selection_problems(options) + _burn_problems(options)
        if not options["over"]:
            found.append(Problem("over", "is no time"))
        elif options["over"] > samples.MOST_KEPT:
            found.append(Problem("over", f"is longer than samples can be kept, {units.show(samples.MOST_KEPT, 'time')}"))
        elif options["every"] is not None and not 0 < options["every"] < options["over"]:
            found.append(Problem("every", "is the pause between two samples, so it is shorter than the window"))
        for name in options["page"] or ():
            if name.startswith("~"):
                try:
                    compile_pattern(name[1:])
                except ValueError as error:
                    found.append(Problem("page", str(error)))
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        burn = {name: self.measures[name] for name in _OF_BURNING} if options["as"] == BURN_RATE else {}
        return {**selected_measures(options), **burn, **{name: self.measures[name] for name in ABOUT_LOOKS}}

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        # To the millisecond, as the samples are.
        end = round(context.now(), 3)
        return judge_window(options, *read_window(options, round(end - options["over"], 3), end), end)


def read_window(options: Mapping[str, Any], start: float, end: float) -> tuple[samples.Window, dict[str, Any]]:
    """The samples that a check is about, from start to end, and the status of what is kept. Raises ProbeError."""
    selectors = [side.selector for one in selections(options).values() for side in one.sides()]
    try:
        host = whose(options["store"], options["host"] or "")
    except ValueError as error:
        raise ProbeError(str(error)) from error
    try:
        with open_store(options["store"], options["environment"], opt.reveal(options["store_password"])) as store:
            window = samples.read(store, lambda key: any(one.selects(key) for one in selectors), start, end, host=host)
            return window, samples.status(store, host)
    except StoreError as error:
        raise ProbeError(str(error)) from error


def judge_window(options: Mapping[str, Any], window: samples.Window, kept: Mapping[str, Any], end: float) -> Observation:
    """What the samples of a window say that ends at a time. Raises ProbeError when they are none, or too few."""
    choices = selections(options)
    start = round(end - options["over"], 3)
    newest = {name: one["newest"] for name, one in kept["pages"].items() if one["newest"] >= end - kept["keep"]}
    pages = [name for name in window.looks if name in newest and _named(name, options["page"])]
    without = [one for one in options["page"] or () if not any(_named(page, [one]) for page in pages)]
    if without or not pages:
        of = f" of the page {' and of the page '.join(without)}" if without else ""
        on = f" on {options['host']}" if options["host"] and is_shared(options["store"]) else ""
        raise ProbeError(f"the store {options['store']} holds no samples{of} for {options['environment']}{on}")
    seen = Observation()
    jumps = [jump for page in pages for jump in samples.jumped(kept, page, start, end)]
    try:
        covered = {page: _covered(page, window.looks[page], start, end, options["every"], newest[page]) for page in pages}
    except CannotMeasure as error:
        raise ProbeError(f"{error}; {_went_back(jumps)}" if jumps else str(error)) from error
    tell_coverage(seen, covered, window.looks)
    if window.left_out:
        seen.proof["left_out"] = window.left_out
    if jumps:
        seen.proof["jumps"] = len(jumps)
    for name, choice in choices.items():
        suffix = "" if options["select"] is None else f".{name}"
        try:
            series = _within(window, pages, covered, start)
            _count(seen, name, suffix, choice, series, pages, window)
            if jumps:
                raise CannotMeasure(f"{_went_back(jumps)}, and when its samples were taken is not certain")
            if choice.kind == BURN_RATE:
                _burn(seen, choice, series, window, covered, options, end)
            else:
                _judge(seen, name, suffix, choice, series, start)
            enough(covered, options["over"], options["coverage"])
        except CannotMeasure as error:
            put_missing(seen, name, suffix, choice, str(error))
            if choice.kind == BURN_RATE:
                for one in _OF_BURNING:
                    seen.measures.pop(one, None)
                    seen.missing[one] = str(error)
    tell_resets(seen, list(choices))
    return seen


def _went_back(jumps: Sequence[tuple[float, float]]) -> str:
    was, at = jumps[-1]
    return f"the clock of the sampler jumped {units.show(round(was - at, 1), 'time')} back"


def _named(page: str, wanted: Optional[Sequence[str]]) -> bool:
    if wanted is None:
        return True
    return any(re.fullmatch(one[1:], page) is not None if one.startswith("~") else one == page for one in wanted)


def _complete(selector: Selector, pages: Sequence[str], window: samples.Window) -> None:
    """Raises CannotMeasure when the store may lack a series that is meant: its page has no samples, or had too many series."""
    wanted = selector.labels.get("page")
    meant = [page for page in pages if wanted is None or _named(page, [wanted])]
    if not meant:
        raise CannotMeasure(f"there are no samples of the page {wanted}")
    for page in meant:
        if window.left_out_of.get(page):
            raise CannotMeasure(f"some series of {page} were left out because there were too many, {selector} may be among them")


def _covered(page: str, looks: Sequence[float], start: float, end: float, every: Optional[float], newest: float) -> Coverage:
    try:
        return windows.coverage(looks, start, end, every)
    except CannotMeasure as error:
        ago = units.show(round(abs(end - newest), 1), "time")
        last = f"the newest is {ago} old" if newest <= end else f"the newest is {ago} in the future: the clock was put back"
        raise CannotMeasure(f"{page}: {error}; {last}") from error


def _within(window: samples.Window, pages: Iterable[str], covered: Mapping[str, Coverage], start: float) -> dict[Key, list[Point]]:
    """The series of the pages that are asked for. A look that is too long before the start is not where counting begins."""
    found = {}
    wanted = set(pages)
    for key, points in window.series.items():
        page = dict(key[1])["page"]
        if page not in wanted:
            continue
        kept = counted_from(points, start, covered[page].every)
        if any(point.value is not None for point in kept):
            found[key] = kept
    return found


def _count(
    seen: Observation,
    name: str,
    suffix: str,
    choice: Selection,
    series: Mapping[Key, list[Point]],
    pages: Sequence[str],
    window: samples.Window,
) -> None:
    """Put the number of series into an observation. Raises CannotMeasure when there may be more than the store has."""
    found = sum(choice.selector.selects(key) for key in series)
    if suffix:
        seen.proof.setdefault("series", {})[name] = found
    else:
        seen.proof["series"] = found
    try:
        for side in choice.sides():
            _complete(side.selector, pages, window)
    except CannotMeasure as error:
        seen.missing[f"series{suffix}"] = str(error)
        raise
    seen.measures[f"series{suffix}"] = found


def _judge(
    seen: Observation,
    name: str,
    suffix: str,
    choice: Selection,
    series: Mapping[Key, list[Point]],
    start: float,
) -> None:
    """Put one measure into an observation. Raises CannotMeasure."""
    sides = [
        measured(seen, side.kind, {key: points for key, points in series.items() if side.selector.selects(key)}, start)
        for side in choice.sides()
    ]
    put_value(seen, name, suffix, choice, sides[0], sides[-1])


# ---------------------------------------------------------------------------------------------------------------------
# Error budgets


def _burn_problems(options: Mapping[str, Any]) -> list[Problem]:
    given = [name for name in ("objective", "period", "budget") if options[name] is not None]
    if options["as"] != BURN_RATE:
        return [Problem(name, "goes with as: burn_rate") for name in given]
    found = [
        Problem(name, f"is missing: {WindowProbe.options[name].help}") for name in ("objective", "period") if options[name] is None
    ]
    if found:
        return found
    try:
        requests_for(options["objective"])
    except ValueError as error:
        found.append(Problem("objective", str(error)))
    try:
        alert_of(options)
    except ValueError as error:
        found.append(Problem("over" if options["budget"] is None else "budget", str(error)))
    return found


def alert_of(options: Mapping[str, Any]) -> burn_rate.Alert:
    """From which burn rate on the window is an alert: by the share of the budget that may be gone by then, or else by the row
    of the table for the period whose window it is. Raises ValueError."""
    over, period, share = options.get(STRETCH, options["over"]), options["period"], options["budget"]
    short = over * float(burn_rate.SHORT)
    if share is not None:
        return burn_rate.Alert("", share, over, short, burn_rate.factor(share, period, over))
    rows = burn_rate.table(period, 2 * options["every"] if options["every"] else burn_rate.LEAST_SHORT)
    chosen = [row for row in rows if math.isclose(row.long, over, rel_tol=1e-6)]
    if not chosen:
        known = ", ".join(dict.fromkeys(f"{row.long / 60:g}m" for row in rows))
        raise ValueError(f"is the window of no alert for a period of {period / burn_rate.HOUR:g}h: {known} are; else say budget")
    return min(chosen, key=lambda row: row.factor)


def _burn(
    seen: Observation,
    choice: Selection,
    series: Mapping[Key, list[Point]],
    window: samples.Window,
    covered: Mapping[str, Coverage],
    options: Mapping[str, Any],
    end: float,
) -> None:
    """Put the burn rates over the window and over its last twelfth into an observation, and whether they are an alert. Raises
    CannotMeasure."""
    objective, alert = options["objective"], alert_of(options)
    counted = {}
    length = options["over"] * float(burn_rate.SHORT)
    for page, found in covered.items():
        enough({page: _covered(page, window.looks[page], end - length, end, found.every, end)}, length, options["coverage"])
    for name, start, about in (("value", end - options["over"], seen), ("short", end - length, Observation())):
        parts = {key: _from(points, start, covered[dict(key[1])["page"]].every) for key, points in series.items()}
        there = {key: points for key, points in parts.items() if any(point.value is not None for point in points)}
        of, to = (reduced(side, _increases(about, side, there, start)) for side in choice.sides())
        counted[name] = (of, to)
    seen.proof["counted"] = {name: {"of": of, "to": to} for name, (of, to) in counted.items()}
    seen.measures["factor"] = alert.factor
    try:
        seen.measures["value"] = burn_rate.burn_rate(*counted["value"], objective)
    except ValueError as error:
        raise CannotMeasure(str(error)) from error
    try:
        seen.measures["short"] = burn_rate.burn_rate(*counted["short"], objective)
    except ValueError as error:
        seen.missing["short"] = f"in the last {units.show(length, 'time')} {error}"
    try:
        seen.measures["burning"] = burn_rate.burning(alert, objective, counted["value"], counted["short"]).fires
    except ValueError:
        seen.missing["burning"] = seen.missing["short"]


def _from(points: Sequence[Point], start: float, every: float) -> list[Point]:
    """The points of a part of the window: those after its start, and the last one before."""
    before = [point for point in points if point.at <= start][-1:]
    return counted_from([*before, *(point for point in points if point.at > start)], start, every)


def _increases(seen: Observation, side: Selection, series: Mapping[Key, list[Point]], start: float) -> list[float]:
    chosen = {key: points for key, points in series.items() if side.selector.selects(key)}
    return [one.value for one in measured(seen, "increase", chosen, start)]

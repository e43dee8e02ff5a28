# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Values of series on a Prometheus or OpenMetrics page: as they stand, or as they change over a sampling time."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import windows
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Measured, Point
from ansible_collections.golive.cutover.plugins.module_utils.probes import _http, _net
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import BadPage, Key, Page, Reader, Sample, Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes._selection import (
    SELECTION,
    WINDOWED,
    Selection,
    named_selections,
    put_missing,
    put_value,
    selected_measures,
    selection_problems,
    selections,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

ACCEPT = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1"
MOST_LOOKS = 1000
_RESERVED = ("series", "age", "samples", "tau")
LARGE_SKEW = 5.0
"""Seconds between the clock of the page and ours from which it is mentioned."""


@dataclass
class Look:
    """One reading of the page: when (monotonic seconds), what was on it, and when the server says that it made it."""

    at: float
    page: Page
    made: Optional[float]


class MetricsProbe(Probe):
    """Reads a metrics page, once or over a sampling time, and picks series from it.

    A page that is not there, not whole or not a metrics page could not be measured. Several series are never one
    value unless
    ``reduce`` says how.
    """

    name = "metrics"
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(
            opt.list_of(opt.url("http", "https")),
            "address of the page, or a list: one page for each instance, told apart by a label page",
            required=True,
        ),
        **_http.OPTIONS,
        **SELECTION,
        "select": Option(
            named_selections(_RESERVED),
            "several values from one reading: own name to {name, labels, reduce, as, absent, to, least}",
        ),
        "over": Option(opt.duration, "sampling time, for everything but as: value"),
        "every": Option(opt.duration, "pause between two readings within the sampling time"),
        "max_page": Option(opt.size, "largest page that is read", default=64_000_000),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "value": "any",
        "series": "count",
        "series.*": "count",
        "tau": "count",
        "tau.*": "count",
        "age": "time",
        "samples": "count",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = _http.problems(options)
        if not options["url"]:
            found.append(Problem("url", "names no page"))
        if len(set(options["url"])) != len(options["url"]):
            found.append(Problem("url", "names a page twice"))
        found += selection_problems(options)
        over, every = options["over"], options["every"]
        kinds = {selection.kind for selection in selections(options).values()}
        windowed = sorted(kinds.intersection(WINDOWED))
        if windowed and not over:
            found.append(Problem("over", f"is missing: the sampling time for {' and '.join(windowed)}"))
        if over is not None and not windowed:
            found.append(Problem("over", f"is the sampling time for as: {', '.join(WINDOWED)}, and none of them is asked"))
        if every is not None and (over is None or every > over):
            found.append(Problem("every", "is longer than the sampling time" if over else "goes with over"))
        elif over and every is not None and over / max(every, 1e-9) > MOST_LOOKS:
            found.append(Problem("every", f"is so short that the page would be read more than {MOST_LOOKS} times"))
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return {**selected_measures(options), "age": "time", "samples": "count"}

    def at_least(self, options: Mapping[str, Any]) -> float:
        return float(options["over"] or 0.0)

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        wanted = selections(options)
        with _net.Guard(context) as guard, contextlib.closing(_http.Client(options, context, guard)) as client:
            looks = sample(options, [side.selector for one in wanted.values() for side in one.sides()], client, context)
        last = looks[-1]
        seen = Observation(
            measures={"samples": len(looks)},
            proof={"samples": len(looks), "bytes": last.page.size, "lines": last.page.lines},
        )
        if len(looks) > 1:
            seen.proof["window"] = round(last.at - looks[0].at, 3)
        index = 0
        for name, selection in wanted.items():
            sides = [[(one.at, one.page.samples[index + side]) for one in looks] for side in range(len(selection.sides()))]
            judge(seen, name, selection, sides, last.page.gauges)
            index += len(sides)
        _age(seen, last, context)
        if options["select"] is None:
            seen.measures["series"] = seen.measures.pop("series.value")
            seen.proof["series"] = seen.proof["series"]["value"]
            if "tau.value" in seen.measures:
                seen.measures["tau"] = seen.measures.pop("tau.value")
            if "tau.value" in seen.missing:
                seen.missing["tau"] = seen.missing.pop("tau.value")
        return seen


def sample(options: Mapping[str, Any], selectors: Sequence[Selector], client: _http.Client, context: Context) -> list[Look]:
    """Read the page once, or from the start to the end of the sampling time. Each reading must succeed: a hole in the
    window
    could hide a reset. Raises ProbeError."""
    over = options["over"] or 0.0
    every = options["every"] or min(over / 5, 15.0)
    looks = [_read_all(options, selectors, client, context)]
    ends = looks[0].at + over
    while looks[-1].at < ends:
        until = min(looks[-1].at + every, ends)
        if ends - until < every / 2:
            until = ends
        while context.clock() < until:
            if context.over():
                raise ProbeError(f"{', '.join(options['url'])}: the time ran out before the sampling time of {over:g} s had passed")
            context.sleep(min(max(until - context.clock(), 0.0), 0.2))
        looks.append(_read_all(options, selectors, client, context, len(looks) + 1))
    return looks


def _read_all(
    options: Mapping[str, Any], selectors: Sequence[Selector], client: _http.Client, context: Context, number: int = 1
) -> Look:
    """One reading of every page. Of several pages each series gets the label ``page``, so that none hides another."""
    looks = [_read(url, options, selectors, client, context, number) for url in options["url"]]
    if len(looks) == 1:
        return looks[0]
    samples = [
        [
            replace(one, key=(one.key[0], (*one.key[1], ("page", url))))
            for url, look in zip(options["url"], looks)
            for one in look.page.samples[index]
        ]
        for index in range(len(selectors))
    ]
    page = Page(
        samples=samples,
        gauges=frozenset().union(*(look.page.gauges for look in looks)),
        size=sum(look.page.size for look in looks),
        lines=sum(look.page.lines for look in looks),
        openmetrics=all(look.page.openmetrics for look in looks),
    )
    made = [look.made for look in looks]
    return Look(looks[0].at, page, None if None in made else min(one for one in made if one is not None))


def _read(
    url: str,
    options: Mapping[str, Any],
    selectors: Sequence[Selector],
    client: _http.Client,
    context: Context,
    number: int = 1,
) -> Look:
    """One reading of one page."""
    at = context.clock()
    try:
        with client.request("GET", url, {"Accept": ACCEPT, "Accept-Encoding": "identity"}) as reply:
            if reply.status != 200:
                raise BadPage(f"answered with status {reply.status}")
            if reply.is_html():
                raise BadPage("the page is HTML, not metrics")
            reader = Reader(selectors, _declared(reply.headers.get("content-type", "")))
            for piece in reply.chunks(options["max_page"]):
                reader.feed(piece)
            page = reader.finish(context.over)
            made = None
            with contextlib.suppress(KeyError, ValueError, TypeError):
                made = parsedate_to_datetime(reply.headers["date"]).timestamp()
            return Look(at, page, made)
    except ProbeError as error:
        text = str(error) if str(error).startswith(url) else f"{url}: {error}"
        raise ProbeError(text + (f" (reading {number})" if number > 1 else "")) from error


def _declared(content_type: str) -> Optional[bool]:
    """Whether the server says that the page is OpenMetrics; None when it says neither."""
    if content_type.startswith("application/openmetrics-text"):
        return True
    return False if re.search(r"version=0\.0\.4", content_type) else None


Looks = Sequence[tuple[float, Sequence[Sample]]]
"""For each reading, when it was made and the samples that one selector chose."""


def judge(seen: Observation, name: str, selection: Selection, sides: Sequence[Looks], gauges: frozenset[str]) -> None:
    """Put one measure into an observation, or the reason why there is none; and the number of its series.

    ``sides``: the readings of the selection, and for a ratio those of what it is taken to.
    """
    looks = sides[0][-1:] if selection.kind == "value" else sides[0]
    series = {one.key for _at, samples in looks for one in samples}
    seen.measures[f"series.{name}"] = len(series)
    seen.proof.setdefault("series", {})[name] = len(series)
    try:
        measured = _measured(seen, selection, looks, gauges)
        others = _measured(seen, selection.to, sides[1], gauges) if selection.to is not None else []
        put_value(seen, name, f".{name}", selection, measured, others)
    except CannotMeasure as error:
        put_missing(seen, name, f".{name}", selection, str(error))


def _measured(seen: Observation, selection: Selection, looks: Looks, gauges: frozenset[str]) -> list[Measured]:
    """What was measured of each series, in the order of their names."""
    _once(looks)
    if selection.kind == "value":
        values = looks[-1][1]
        return [Measured(_finite(one.value, len(values))) for one in values]
    return _changes(seen, selection, {one.key for _at, samples in looks for one in samples}, looks, gauges)


def _once(looks: Sequence[tuple[float, Sequence[Sample]]]) -> None:
    for _at, samples in looks:
        seen: set[Key] = set()
        for one in samples:
            if one.key in seen:
                raise CannotMeasure(f"the series {_show(one.key)} appears twice on the page")
            seen.add(one.key)


def _finite(value: float, of: int) -> float:
    if not math.isfinite(value):
        raise CannotMeasure(f"{'the' if of == 1 else f'one of {of}'} series is {'NaN' if math.isnan(value) else value}")
    return value


def _changes(seen: Observation, selection: Selection, series: set[Key], looks: Looks, gauges: frozenset[str]) -> list[Measured]:
    """What each series did over the window. First each on its own, so that no reset hides in a sum."""
    pages = [(at, {one.key: one.value for one in samples}) for at, samples in looks]
    found: list[Measured] = []
    for key in sorted(series):
        if selection.kind in windows.COUNTED and key[0] in gauges:
            raise CannotMeasure(f"{key[0]} is a gauge, which has no {selection.kind}; use as: delta")
        points = [Point(at, values.get(key)) for at, values in pages]
        try:
            found.append(windows.measure(selection.kind, points))
        except CannotMeasure as error:
            raise CannotMeasure(f"{_show(key)}: {error}") from error
    for word, count in (
        ("resets", sum(one.resets for one in found)),
        ("born", sum(one.born for one in found)),
        ("vanished", sum(one.vanished for one in found)),
        ("absent", sum(one.absent for one in found)),
    ):
        if count:
            seen.proof[word] = seen.proof.get(word, 0) + count
    return found


def _age(seen: Observation, look: Look, context: Context) -> None:
    """How old the oldest selected sample is: by its own timestamp, else by the date of the answer."""
    now = context.now()
    if look.made is not None and abs(now - look.made) > LARGE_SKEW:
        seen.proof["clock_skew"] = round(look.made - now, 1)
    stamps = [one.at for chosen in look.page.samples for one in chosen]
    known = [stamp for stamp in (look.made if stamp is None else stamp for stamp in stamps or [None]) if stamp is not None]
    if len(known) < max(len(stamps), 1):
        seen.missing["age"] = "neither the samples nor the answer say when they were made"
        return
    seen.proof["age_from"] = "timestamps" if any(stamp is not None for stamp in stamps) else "date of the answer"
    oldest = min(known)
    age = now - oldest
    if age < -1.0:
        seen.missing["age"] = f"the page is from {-age:.0f} s in the future: the clocks differ"
    else:
        seen.measures["age"] = max(age, 0.0)


def _show(key: Key) -> str:
    return str(Selector(key[0], dict(key[1])))

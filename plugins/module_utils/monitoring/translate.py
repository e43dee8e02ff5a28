# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Checks into signals: the same threshold, asked of Prometheus. What has no translation is named with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import Condition
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import requests_for
from ansible_collections.golive.cutover.plugins.module_utils.monitoring import promql as pq
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import (
    RECORD,
    Plan,
    Settings,
    Signal,
    Threshold,
    Untranslated,
)
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.promql import Untranslatable
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes._selection import BURN_RATE, raw_selections
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import kind_of_measure
from ansible_collections.golive.cutover.plugins.module_utils.probes.promql import _SELECTOR as PLAIN_SELECTOR
from ansible_collections.golive.cutover.plugins.module_utils.probes.promql import OVER_TIME
from ansible_collections.golive.cutover.plugins.module_utils.probes.window import alert_of

LEAST_SCRAPES = 2
"""Scrapes that a window must be long enough for."""

LEAST_COUNTED = 1
"""What a ratio has counted at the least when its check does not say: without any, nothing can be said of it."""

_ABOUT_LOOKING = ("samples", "coverage", "gaps", "resets", "tau")
"""Measures that say how the probe looked, or that only its own arithmetic knows."""


def translate(checks: Iterable[Check], settings: Settings) -> Plan:
    """Every threshold of every check becomes part of a signal, or is named among the untranslated."""
    signals: list[Signal] = []
    untranslated: list[Untranslated] = []
    for check in checks:
        if check.skip is not None:
            untranslated.append(Untranslated(check.id, "", "", f"the check is skipped: {check.skip}"))
            continue
        if check.probe not in _PROBES:
            reason = f"the probe {check.probe} asks the running system itself; Prometheus has no series of its answers"
            untranslated.append(Untranslated(check.id, "", "", reason))
            continue
        for measure in dict.fromkeys(measure for rows in check.thresholds.values() for measure in rows):
            signal = _signal(check, measure, settings, untranslated)
            if signal is not None:
                signals.append(signal)
    return Plan(settings, tuple(signals), tuple(untranslated))


def _signal(check: Check, measure: str, settings: Settings, untranslated: list[Untranslated]) -> Optional[Signal]:
    rows = [(column, one) for column, found in check.thresholds.items() for one in found.get(measure, ())]
    try:
        expression = pq.finite(_PROBES[check.probe](check, measure, settings))
    except Untranslatable as error:
        untranslated += [Untranslated(check.id, measure, one.source, str(error)) for _column, one in rows]
        return None
    labels = {"environment": settings.environment, "check": check.id, "measure": measure}
    recorded = f"{RECORD}{{{pq.matchers(labels)}}}"
    thresholds = []
    for column, condition in rows:
        try:
            thresholds.append(_threshold(check, measure, column, condition, recorded, settings))
        except Untranslatable as error:
            untranslated.append(Untranslated(check.id, measure, condition.source, str(error)))
    if not thresholds:
        return None
    kind = kind_of_measure(measure, check.kinds) or "any"
    if kind == "any":
        kind = next((one.kind for one in thresholds if one.kind != "count"), "any")
    retried = 0.0 if check.retry is None else check.retry.window
    few = _too_few(check, measure, settings)
    return Signal(check.id, check.title, measure, kind, check.required, expression, tuple(thresholds), retried, few)


def _threshold(check: Check, measure: str, column: str, condition: Condition, recorded: str, settings: Settings) -> Threshold:
    if condition.kind == "flag" and measure == "burning" and isinstance(condition.operand, bool):
        condition = replace(condition, kind="count", operand=float(condition.operand))
    before = settings.baseline.get(check.id, {}).get(measure) if condition.relative else None
    if before is not None and (isinstance(before, bool) or not isinstance(before, (int, float)) or not math.isfinite(before)):
        raise Untranslatable(f"the baseline {before!r} is not a number")
    bad_when_holds = column != "expect"
    expression = pq.holds(recorded, condition, before) if bad_when_holds else pq.fails(recorded, condition, before)
    # What is only nice to have can warn, and never more: as in the gate.
    severity = "critical" if column != "warn" and check.required else "warning"
    return Threshold(
        column=column,
        source=condition.source,
        severity=severity,
        expression=expression,
        bad_when_holds=bad_when_holds,
        limits=tuple(pq.limits(condition, before)),
        operator=condition.operator,
        kind=condition.kind,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Where the series are


def _labels_of(page: str, settings: Settings) -> Mapping[str, str]:
    """By which labels Prometheus knows a page: as the settings say, else by the host and port of its address."""
    if page in settings.targets:
        return settings.targets[page]
    parts = urlsplit(page)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Untranslatable(f"targets does not say by which labels Prometheus knows {page}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return {"instance": f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"}


def _narrow(pages: Sequence[str], settings: Settings) -> dict[str, str]:
    """The labels that choose exactly the targets of some pages. Raises Untranslatable."""
    found = [{**settings.matchers, **_labels_of(page, settings)} for page in pages]
    if not found:
        return dict(settings.matchers)
    first = found[0]
    differing = [label for label in first if any(one.get(label) != first[label] for one in found)]
    if any(set(one) != set(first) for one in found) or len(differing) > 1:
        raise Untranslatable("its targets differ in more than one label, so no selector chooses just them")
    narrow = dict(first)
    for label in differing:
        values = list(dict.fromkeys(one[label] for one in found))
        narrow[label] = "~" + "|".join(value[1:] if value.startswith("~") else _literal(value) for value in values)
    return narrow


def _literal(text: str) -> str:
    return "".join(f"\\{one}" if one in r"\.+*?()|[]{}^$" else one for one in text)


def _long_enough(over: Optional[float], settings: Settings) -> None:
    if over is not None and over < LEAST_SCRAPES * settings.scrape_interval:
        raise Untranslatable(
            f"its window of {over:g} s is shorter than {LEAST_SCRAPES} scrapes of {settings.scrape_interval:g} s; "
            f"ask the same threshold of a longer window"
        )


# ---------------------------------------------------------------------------------------------------------------------
# Probes


def _selected(
    check: Check, measure: str, settings: Settings, narrow: Mapping[str, str], guards: Sequence[str], can_be_zero: bool
) -> str:
    """What the probes `metrics` and `window` measure."""
    choices = raw_selections(check.options)
    over = check.options["over"]
    family, _dot, name = measure.partition(".")
    if family in _ABOUT_LOOKING and measure not in choices:
        raise Untranslatable(f"{family} is the arithmetic of the probe, not a value of a series")
    if measure == "age":
        if len(choices) > 1:
            raise Untranslatable("age is that of several selections at once")
        only = next(iter(choices.values()))
        series = pq.selector(Selector(only["name"] or "", only["labels"] or {}), narrow)
        return pq.both(f"max(time() - timestamp({series}))", *guards)
    if family == "series" and measure not in choices:
        one = choices[name or "value"]
        wanted = Selector(one["name"] or "", one["labels"] or {})
        window = None if one["as"] == "value" else over
        _long_enough(window, settings)
        return pq.both(f"count({_each(one['as'], wanted, window, narrow).present})", *guards)
    one = choices[measure]
    _long_enough(None if one["as"] == "value" else over, settings)
    value = _side(one, one["as"], over, narrow, can_be_zero)
    if one["to"] is not None:
        other = _side({**one["to"], "absent": "missing"}, "ratio", over, narrow, can_be_zero)
        value = f"({value}) / (({other}) >= {one['least']})"
    return pq.both(f"({value})", *guards) if guards else value


def _side(one: Mapping[str, Any], kind: str, over: Optional[float], narrow: Mapping[str, str], can_be_zero: bool) -> str:
    wanted = Selector(one["name"] or "", one["labels"] or {})
    of = _each(kind, wanted, over, narrow)
    value = pq.reduced(of, one["reduce"])
    if one["absent"] != "zero":
        return value
    if not can_be_zero:
        raise Untranslatable("absent: zero needs to know that its targets are scraped; say matchers or targets")
    return pq.or_zero(value, of.present)


def _each(kind: str, wanted: Selector, over: Optional[float], narrow: Mapping[str, str]) -> pq.Each:
    """What is measured of each series of a selector; over a window of each of its names."""
    if over is None or kind == "value" or not wanted.name.startswith("~"):
        return pq.each("value" if over is None else kind, pq.selector(wanted, narrow), over)
    found = [Selector(name, wanted.labels) for name in pq.names(wanted.name[1:])]
    return pq.together({one.name: pq.each(kind, pq.selector(one, narrow), over) for one in found})


def _too_few(check: Check, measure: str, settings: Settings) -> str:
    """Something while a ratio has counted less than its check wants before it says anything: that was measured, and is no gap in
    the data. Empty for all else, also for a ratio whose check wants no more than anything at all."""
    one = raw_selections(check.options).get(measure) if check.probe in ("metrics", "window") else None
    if one is None or one["to"] is None or one["least"] <= LEAST_COUNTED:
        return ""
    check = _by_label(check, measure)
    one = raw_selections(check.options)[measure]
    narrow, guards = _METRICS_AND_WINDOW[check.probe](check, settings)
    other = _side({**one["to"], "absent": "missing"}, "ratio", check.options["over"], narrow, bool(narrow))
    return pq.both(f"({other}) < {one['least']}", *guards)


def _metrics_targets(check: Check, settings: Settings) -> tuple[dict[str, str], list[str]]:
    pages = check.options["url"]
    narrow = _narrow(pages, settings)
    return narrow, [pq.alive(narrow, len(pages))] if narrow else []


def _metrics(check: Check, measure: str, settings: Settings) -> str:
    narrow, guards = _metrics_targets(check, settings)
    return _selected(check, measure, settings, narrow, guards, bool(narrow))


def _by_label(check: Check, measure: str) -> Check:
    """A selection whose pages the label ``page`` chooses, which only the store has, as one that chooses them by the option."""
    choices = raw_selections(check.options)
    name = measure if measure in choices else measure.partition(".")[2] or "value"
    one = choices.get(name)
    page = ((one or {}).get("labels") or {}).get("page")
    if one is None or page is None or check.options["page"]:
        return check
    sides = {"": one, "to": one["to"] or {"labels": {"page": page}}}
    if any((side["labels"] or {}).get("page") != page for side in sides.values()):
        return check
    bare = {
        side: {**found, "labels": {label: value for label, value in found["labels"].items() if label != "page"}}
        for side, found in sides.items()
    }
    chosen = {**bare[""], "to": bare["to"] if one["to"] else None}
    select = None if check.options["select"] is None else {**choices, name: chosen}
    return replace(check, options={**check.options, **(chosen if select is None else {}), "select": select, "page": [page]})


def _window_targets(check: Check, settings: Settings) -> tuple[dict[str, str], list[str]]:
    pages = check.options["page"] or []
    patterns = [page for page in pages if page.startswith("~") and page not in settings.targets]
    if patterns:
        raise Untranslatable(f"targets does not say by which labels Prometheus knows the pages {patterns[0]}")
    narrow = _narrow(pages, settings)
    guards = [pq.covered(narrow, check.options["over"], check.options["coverage"])] if narrow else []
    if narrow:
        # A pattern may stand for several pages, and nobody knows here for how many: then all have to be there.
        guards.insert(0, pq.alive(narrow, None if any(page.startswith("~") for page in pages) else len(pages) or None))
    return narrow, guards


def _window(check: Check, measure: str, settings: Settings) -> str:
    check = _by_label(check, measure)
    narrow, guards = _window_targets(check, settings)
    if check.options["as"] == BURN_RATE and measure in ("value", "short", "factor", "burning"):
        return _burn_rate(check, measure, settings, narrow, guards)
    return _selected(check, measure, settings, narrow, guards, bool(narrow))


def _burn_rate(check: Check, measure: str, settings: Settings, narrow: Mapping[str, str], guards: Sequence[str]) -> str:
    """How fast an error budget goes over the window and over its last twelfth, and 1 where both are an alert."""
    options, alert = check.options, alert_of(check.options)
    if measure == "factor":
        raise Untranslatable("factor is the arithmetic of the probe, not a value of a series")

    def rate(over: float) -> str:
        _long_enough(over, settings)
        failed = _side(options, "ratio", over, narrow, bool(narrow))
        total = _side({**options["to"], "absent": "missing"}, "ratio", over, narrow, bool(narrow))
        return f"(({failed}) / (({total}) >= {requests_for(options['objective'])}) / {1 - options['objective']:g})"

    if measure != "burning":
        return pq.both(rate(alert.long if measure == "value" else alert.short), *guards)
    long, short, factor = rate(alert.long), rate(alert.short), pq.number(alert.factor)
    # Where the long window does not burn, the short one may have too few requests.
    return pq.both(f"(({long} >= bool {factor}) * ({short} >= bool {factor}) or ({long} < {factor}) * 0)", *guards)


def _promql(check: Check, measure: str, settings: Settings) -> str:
    options = check.options
    if options["time"] is not None:
        raise Untranslatable("its query is about one fixed moment")
    if options["as"] is not None and options["over"] is not None:
        return _promql_window(options, measure, settings)
    text = pq.query(options["query"])
    about = options["age_of"] or (options["query"].strip() if PLAIN_SELECTOR.match(options["query"]) else None)
    if measure == "age":
        if about is None:
            raise Untranslatable("the query is an expression, of which the server knows no age; say age_of")
        return f"max(time() - timestamp({about}))"
    fresh = [f"max(time() - timestamp({about})) <= {options['max_age']:g}"] if about is not None else []
    if measure == "series":
        return pq.both(f"count({text})", *fresh)
    value = pq.reduced(pq.Each(text, text), options["reduce"])
    if options["absent"] == "zero":
        if not settings.matchers:
            raise Untranslatable("absent: zero needs to know that its targets are scraped; say matchers")
        value = pq.both(f"({pq.or_zero(value, text)})", pq.alive(settings.matchers, None))
    if options["over"] is None or measure == "last":
        return pq.both(f"({value})", *fresh)
    if measure not in OVER_TIME:
        raise Untranslatable(f"{measure} is the arithmetic of the probe, not a value of a series")
    over, step = options["over"], float(options["step"] or max(options["over"] / 60, 1.0))
    window = f"[{pq.duration(over)}:{pq.duration(step)}]"
    needed = math.floor(over / step + 1e-9) * options["coverage"]
    return pq.both(f"{measure}_over_time(({value}){window})", f"count_over_time(({value}){window}) >= {needed:g}", *fresh)


def _promql_window(options: Mapping[str, Any], measure: str, settings: Settings) -> str:
    """What the probe `promql` measures of raw samples, with the functions of the server: these extrapolate."""
    over, query = options["over"], options["query"].strip()
    _long_enough(over, settings)
    if measure in _ABOUT_LOOKING:
        raise Untranslatable(f"{measure} is the arithmetic of the probe, not a value of a series")
    if measure == "age":
        return f"max(time() - timestamp({query}))"
    of = _of_plain(options["as"], query, over)
    guards = [pq.covered(settings.matchers, over, options["coverage"])] if settings.matchers else []
    if measure == "series":
        return pq.both(f"count({of.present})", *guards)
    value = pq.reduced(of, options["reduce"])
    if options["absent"] == "zero":
        if not settings.matchers:
            raise Untranslatable("absent: zero needs to know that its targets are scraped; say matchers")
        value = pq.or_zero(value, of.present)
    if options["to"] is not None:
        other = pq.reduced(_of_plain("ratio", options["to"]["query"].strip(), over), options["to"]["reduce"])
        value = f"({value}) / (({other}) >= {options['least']})"
    return pq.both(f"({value})", *guards) if guards else value


def _of_plain(kind: str, query: str, over: float) -> pq.Each:
    if query.startswith("{"):
        raise Untranslatable("over a window Prometheus loses the names of series; say the name before the braces")
    return pq.each(kind, query, over)


_METRICS_AND_WINDOW: Mapping[str, Callable[[Check, Settings], tuple[dict[str, str], list[str]]]] = {
    "metrics": _metrics_targets,
    "window": _window_targets,
}
_PROBES: Mapping[str, Callable[[Check, str, Settings], str]] = {"metrics": _metrics, "window": _window, "promql": _promql}
"""The probes whose measures are values of series."""

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""PromQL for what the probes `metrics`, `window` and `promql` measure.

An expression yields one value without labels, or nothing. It yields nothing where the probe has nothing to judge: no series,
several without a reduction, NaN or infinite, a ratio to nothing, a target that is not scraped. Nothing is then its own alert.

Where Prometheus is blinder than the probes, the expression makes up for it:

- ``increase`` does not see the first value of a counter that appears. A counter that was not there a window ago, on a target that
  was not down then, while Prometheus was scraping, has counted all that it shows.
- ``max`` and ``min`` pass over NaN. The sum does not, so it is looked at beside them.
- A sum over two instances of which one is gone is a smaller sum. So as many targets must be up as the check has pages.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import Condition
from ansible_collections.golive.cutover.plugins.module_utils.core.trend import LEAST
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector

INVERSE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
"""What holds of a number when the operator does not. There is no third case: an expression yields no NaN."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_WORDS = re.compile(
    r"(?:and|atan2|avg|bool|bottomk|by|count|count_values|end|group|group_left|group_right|ignoring|inf|limitk|limit_ratio|max|min|nan|"
    r"offset|on|or|quantile|start|stddev|stdvar|sum|topk|unless|without)\Z",
    re.IGNORECASE,
)
"""Words of PromQL: a series of such a name can only be named between braces."""

_SCALAR = re.compile(r"\s*(?:scalar\s*\(|time\s*\(\s*\)\s*\Z|pi\s*\(|[+-]?[0-9.]+(?:e[+-]?[0-9]+)?\s*\Z)", re.IGNORECASE)


class Untranslatable(ValueError):
    """There is no PromQL for it; the text says why, in a few words."""


def quoted(text: str) -> str:
    """A text as PromQL writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def duration(seconds: float) -> str:
    """A duration as PromQL writes it. Raises Untranslatable for one that is no whole number of milliseconds.

    >>> duration(300), duration(1.5), duration(90)
    ('5m', '1500ms', '90s')
    """
    milliseconds = round(seconds * 1000)
    if milliseconds <= 0 or abs(milliseconds - seconds * 1000) > 1e-6:
        raise Untranslatable(f"{seconds:g} s is no whole number of milliseconds")
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def matchers(labels: Mapping[str, str]) -> str:
    """Label matchers between braces; a value that starts with ``~`` is a regular expression. Raises Untranslatable."""
    parts = []
    for label, value in labels.items():
        if not _LABEL.match(label):
            raise Untranslatable(f"{label!r} is not the name of a label")
        parts.append(f"{label}=~{quoted(value[1:])}" if value.startswith("~") else f"{label}={quoted(value)}")
    return ",".join(parts)


def selector(of: Selector, narrow: Mapping[str, str]) -> str:
    """A series selector. ``narrow``: labels that Prometheus adds, by which the targets are chosen. Raises Untranslatable."""
    both = sorted(set(of.labels) & set(narrow))
    if both:
        raise Untranslatable(f"the label {both[0]} is both asked for by the check and added by Prometheus")
    if "page" in of.labels:
        raise Untranslatable("the label page is made by the probe; Prometheus has none")
    labels = {**of.labels, **narrow}
    if of.name.startswith("~"):
        return "{" + ",".join(filter(None, (f"__name__=~{quoted(of.name[1:])}", matchers(labels)))) + "}"
    if not _NAME.match(of.name):
        raise Untranslatable(f"{of.name} has a dot, which the names of Prometheus do not have")
    if _WORDS.match(of.name):
        return "{" + ",".join(filter(None, (f"__name__={quoted(of.name)}", matchers(labels)))) + "}"
    return of.name + ("{" + matchers(labels) + "}" if labels else "")


def names(pattern: str) -> list[str]:
    """The names that a regular expression stands for, where it is only a choice of texts. Raises Untranslatable.

    >>> names("notifications_(sent|failed)_total")
    ['notifications_sent_total', 'notifications_failed_total']
    """
    parts = re.findall(r"\((?:\?:)?([a-zA-Z0-9_:|]+)\)|([a-zA-Z0-9_:]+)|(.)", pattern, re.DOTALL)
    if any(other for _choice, _text, other in parts):
        raise Untranslatable(
            "over a window Prometheus loses the names of series, so a regular expression for the name must be a choice of names, "
            "such as a_(b|c)_total"
        )
    return ["".join(one) for one in itertools.product(*(choice.split("|") if choice else [text] for choice, text, _rest in parts))]


class Each(NamedTuple):
    """What is measured of each series, and an expression that yields every series that should have been measured."""

    value: str
    present: str
    complete: bool = False
    """Whether a series without a value makes the whole a thing that could not be measured."""


def each(kind: str, series: str, over: Optional[float]) -> Each:
    """What ``as`` says, of each series of a selector. Raises Untranslatable."""
    if kind == "value":
        return Each(series, series)
    if over is None:
        raise Untranslatable(f"{kind} has no window")
    window = duration(over)
    present = f"last_over_time({series}[{window}])"
    before = f"{series} offset {window}"
    if kind in ("increase", "rate", "ratio"):
        # Of a target that nobody scraped before, nobody knows since when the counter has counted.
        born = f"{series} unless ({before}) and on (job, instance) (up offset {window} == 1)"
        if kind == "rate":
            return Each(f"({born}) / {over:g} or rate({series}[{window}])", present)
        return Each(f"{born} or increase({series}[{window}])", present)
    if kind == "delta":
        return Each(f"{series} - {before}", f"{series} or {before}", complete=True)
    if kind == "growth":
        return Each(f"{series} / ({before} > 0) - 1", f"{series} or {before}", complete=True)
    if kind == "slope":
        return Each(f"deriv({series}[{window}]) and count_over_time({series}[{window}]) >= {LEAST}", present, complete=True)
    if kind in ("min", "max", "avg"):
        whole = finite(f"sum_over_time({series}[{window}])")
        return Each(f"{kind}_over_time({series}[{window}]) and {whole}", present, complete=True)
    raise Untranslatable(f"there is no PromQL for as: {kind}")


def together(several: Mapping[str, Each]) -> Each:
    """Series of several names, which functions over windows drop: each keeps its name as a label."""
    if len(several) == 1:
        return next(iter(several.values()))

    def named(which: Callable[[Each], str]) -> str:
        return " or ".join(f'label_replace({which(one)}, "series", {quoted(name)}, "", "")' for name, one in several.items())

    return Each(named(lambda one: one.value), named(lambda one: one.present), next(iter(several.values())).complete)


def reduced(of: Each, reduce: Optional[str]) -> str:
    """Several series as one value, or nothing."""
    value = f"{reduce or 'sum'}({of.value})"
    guards = []
    if reduce is None:
        guards.append(f"count({of.value}) == 1")
    elif reduce in ("max", "min", "count"):
        guards.append(finite(f"sum({of.value})"))
    if of.complete:
        guards.append(f"count({of.value}) == count({of.present})")
    return both(value, *guards)


def both(value: str, *guards: str) -> str:
    """A value where all guards yield something. All are without labels."""
    return " and ".join([value, *(f"({guard})" for guard in guards)])


def finite(value: str) -> str:
    """The value, or nothing when it is NaN or infinite: comparisons with NaN are false."""
    return f"(({value}) > -Inf) < +Inf"


def alive(labels: Mapping[str, str], pages: Optional[int]) -> str:
    """Something when the targets are scraped: as many as there are pages, else all of them. Raises Untranslatable."""
    up = f"up{{{matchers(labels)}}}"
    return f"count({up} == 1) >= {pages}" if pages is not None else f"min({up}) == 1"


def covered(labels: Mapping[str, str], over: float, share: float) -> str:
    """Something when a part of the scrapes of a window succeeded, of every target."""
    return f"min(avg_over_time(up{{{matchers(labels)}}}[{duration(over)}])) >= {share:g}"


def or_zero(value: str, present: str) -> str:
    """The value, or zero when there is no series at all. A series that could not be judged is not zero."""
    return f"({value}) or (vector(0) unless count({present}))"


def query(text: str) -> str:
    """A query of a user, as a part of a larger expression. Of its own line, because it may end in a comment."""
    inner = f"(\n{text.strip()}\n)" if "#" in text or "\n" in text else f"({text.strip()})"
    return f"vector{inner}" if _SCALAR.match(text) else inner


def number(value: float) -> str:
    """A number as PromQL writes it, with all its digits."""
    return repr(float(value)) if value != int(value) or abs(value) >= 1e15 else str(int(value))


def holds(value: str, condition: Condition, baseline: Optional[float] = None) -> str:
    """An expression that yields something when the condition holds of the value. Raises Untranslatable."""
    operator, limits = _compared(condition, baseline)
    if operator == "in":
        return " or ".join(f"{value} == {number(limit)}" for limit in limits)
    return f"{value} {operator} {number(limits[0])}"


def fails(value: str, condition: Condition, baseline: Optional[float] = None) -> str:
    """An expression that yields something when the condition does not hold of the value. Raises Untranslatable."""
    operator, limits = _compared(condition, baseline)
    if operator == "in":
        inverse = value
        for limit in limits:
            inverse = f"({inverse} != {number(limit)})"
        return inverse
    return f"{value} {INVERSE[operator]} {number(limits[0])}"


def limits(condition: Condition, baseline: Optional[float] = None) -> Sequence[float]:
    """The numbers with which a value is compared. Raises Untranslatable."""
    return _compared(condition, baseline)[1]


def _compared(condition: Condition, baseline: Optional[float]) -> tuple[str, Sequence[float]]:
    operand = condition.operand
    if condition.relative:
        if baseline is None:
            raise Untranslatable("it is relative to a baseline, and none is given")
        if baseline <= 0:
            raise Untranslatable(f"it is relative to a baseline of {baseline:g}, of which nothing is a part")
        share = operand if isinstance(operand, float) else float("nan")
        return condition.operator, [baseline * (1 + share)]
    if condition.kind in ("text", "flag"):
        raise Untranslatable(f"a {condition.kind} is no value of a series")
    if isinstance(operand, tuple):
        return "in", [float(one) for one in operand]
    if isinstance(operand, (str, re.Pattern)):
        raise Untranslatable("a text is no value of a series")
    return condition.operator, [float(operand)]

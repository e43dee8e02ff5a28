# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a Prometheus server answers to a query, at one moment or over a range of time; and what a series did over a window."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Optional
from urllib.parse import urlencode, urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units, windows
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure
from ansible_collections.golive.cutover.plugins.module_utils.probes import _http, _kept_by_prometheus, _net
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Key
from ansible_collections.golive.cutover.plugins.module_utils.probes._selection import SHARES, WINDOWED
from ansible_collections.golive.cutover.plugins.module_utils.probes._windowed import ABOUT_LOOKS
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

REDUCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": math.fsum,
    "max": max,
    "min": min,
    "avg": lambda values: math.fsum(values) / len(values),
    "count": len,
}
OVER_TIME: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "avg": lambda values: math.fsum(values) / len(values),
}
MOST_STEPS = 11_000
"""Steps of a range that a Prometheus server answers at the most."""

LONGEST_GET = 2000
"""Characters of a query that go into the address. A longer one is posted, because proxies cut long addresses off."""

LARGE_SKEW = 5.0
"""Seconds between the clock of the server and ours from which it is mentioned."""

_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`"
_SELECTOR = re.compile(rf"\s*(?=[a-zA-Z_:{{])(?:[a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?:\{{(?:[^{{}}\"'`]|{_QUOTED})*\}})?\s*\Z")
"""A plain selector: a name, matchers in braces, or both. Only of such a one the server knows how old its samples are."""
NONE = "none"
"""Said of an expression that no samples are behind, or whose samples may be of any age."""


def _moment(value: Any) -> float:
    """A point in time as Unix seconds."""
    expected = "expected a time with its zone, such as 2026-03-01T03:00:00Z, or Unix seconds"
    if isinstance(value, bool):
        raise ValueError(expected)
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)
        if math.isfinite(number) and number > 0:
            return number
        raise ValueError(expected)
    try:
        moment = datetime.datetime.fromisoformat(re.sub(r"[zZ]\Z", "+00:00", opt.text(value)))
    except ValueError:
        raise ValueError(f"{expected}, got {value!r}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no zone; {expected}")
    return moment.timestamp()


def _selector(value: Any) -> str:
    text = opt.text(value)
    if not _SELECTOR.match(text):
        raise ValueError(f'expected a plain selector, such as http_requests_total{{job="web"}}, got {text!r}')
    return text


_TO: Mapping[str, Option] = {
    "query": Option(_selector, "plain selector of the other side", required=True),
    "reduce": Option(opt.choice(*REDUCTIONS), "how its several series become one value"),
}


def _other_side(value: Any) -> dict[str, Any]:
    problems: list[Problem] = []
    clean = opt.read_options(value, _TO, "to", problems)
    if problems:
        raise ValueError("; ".join(str(problem) for problem in problems))
    return clean


def _server(value: Any) -> str:
    where: str = opt.url("http", "https")(value)
    parts = urlsplit(where)
    if parts.query or parts.fragment:
        raise ValueError("expected the address of the server alone, without a query; the query goes under query")
    if "/api/v1" in parts.path:
        raise ValueError("expected the address of the server alone; the probe adds /api/v1/… itself")
    return where.rstrip("/")


class Sample(NamedTuple):
    """One value and when it is for, in Unix seconds."""

    at: float
    value: float


@dataclass
class Series:
    """One series of a result. ``samples`` is empty where the server sent histograms instead of numbers."""

    labels: Mapping[str, str]
    samples: list[Sample] = field(default_factory=list)
    histograms: int = 0

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(self.labels.items()) if name != "__name__")
        return f"{self.labels.get('__name__', '')}{{{labels}}}" if labels else self.labels.get("__name__", "{}")


@dataclass
class Result:
    """What the server answered: the type of the result in its own word, the series, and its warnings."""

    kind: str
    series: list[Series]
    text: str
    warnings: list[str]
    infos: list[str]
    size: int


class PromqlProbe(Probe):
    """Asks a Prometheus server a query, at one moment or over a range.

    A server that cannot be reached, or answers with an error or something that is not its API, could not be measured. An empty
    result, NaN, several series without ``reduce``, warnings of the server (a part of the data may be missing), samples that are too
    old and a range that is not covered are each a reason why the value is missing.

    With ``as`` and ``over`` the server is asked for raw samples, and what they say is computed as the probe `window` does it.
    """

    name = "promql"
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(_server, "address of the server, with its path prefix where it has one", required=True),
        "query": Option(opt.text, "the query, in PromQL", required=True),
        **_http.OPTIONS,
        "time": Option(_moment, "when the query is evaluated, or when its range ends; now by the clock of the server if left out"),
        "as": Option(opt.choice("value", *WINDOWED), "what is measured of each series over the window, by its raw samples"),
        "to": Option(_other_side, "for as: ratio, what the increase is a part of: {query, reduce}"),
        "least": Option(opt.integer(1), "for as: ratio, how much the other side must have counted", default=1),
        "over": Option(opt.duration, "length of the range or window; a query at one moment if left out"),
        "step": Option(opt.duration, "time between two values of a range; a sixtieth of it, at least 1s, if left out"),
        "every": Option(opt.duration, "with as, pause between two scrapes; without it, what is usual in the window"),
        "reduce": Option(opt.choice(*REDUCTIONS), "how several series become one value"),
        "absent": Option(opt.choice("missing", "zero"), "what an empty result means", default="missing"),
        "age_of": Option(_selector, "plain selector whose samples show how old the data behind an expression is, or none"),
        "max_age": Option(opt.duration, "older samples do not count", default=120.0),
        "coverage": Option(opt.share, "share of the steps of a range, or part of a window, that must have values", default=0.9),
        "warnings": Option(opt.choice("refuse", "allow"), "whether a result with warnings is judged", default="refuse"),
        "max_answer": Option(opt.size, "largest answer that is read", default=10_000_000),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "value": "any",
        "series": "count",
        "age": "time",
        "min": "any",
        "max": "any",
        "avg": "any",
        "first": "any",
        "last": "any",
        "samples": "count",
        "coverage": "ratio",
        "gaps": "count",
        "resets": "count",
        "tau": "count",
    }
    _OF_RANGE = (*OVER_TIME, "first", "last")

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = _http.problems(options)
        if _windowed(options):
            return found + _problems_of_a_window(options)
        found += [Problem(name, "goes with as and over") for name in ("to", "every") if options[name] is not None]
        if options["as"] not in (None, "value"):
            found.append(Problem("over", f"is missing: the window for as: {options['as']}"))
        if options["least"] != self.options["least"].default:
            found.append(Problem("least", "goes with as: ratio"))
        over, step = options["over"], options["step"]
        if options["age_of"] is None and not _SELECTOR.match(options["query"]):
            found.append(
                Problem(
                    "age_of",
                    "is missing: the query is an expression, of which the server knows no age; say the plain selector of the data "
                    'behind it, such as http_requests_total{job="web"}, or none when it may be of any age',
                )
            )
        elif options["age_of"] is None and options["absent"] == "zero":
            found.append(
                Problem(
                    "age_of",
                    "is missing: an empty result shows no data, so with absent: zero say a plain selector of data that is always "
                    "there, such as up, or none",
                )
            )
        if options["age_of"] == NONE and options["max_age"] != self.options["max_age"].default:
            found.append(Problem("max_age", f"goes without age_of: {NONE}"))
        if over is None:
            if step is not None:
                found.append(Problem("step", "goes with over"))
        elif over < 1:
            found.append(Problem("over", "expected at least 1s"))
        elif step is not None and not 0 < step <= over:
            found.append(Problem("step", "expected more than 0s and no more than over"))
        elif over / _step(options) >= MOST_STEPS:
            found.append(Problem("step", f"makes more than {MOST_STEPS} values of a range, which a server does not answer"))
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        if options["over"] is None:
            return {name: self.measures[name] for name in ("value", "series", "age")}
        if _windowed(options):
            value = {"value": "ratio" if options["as"] in SHARES else "any"}
            names = ("series", *ABOUT_LOOKS, *(("tau",) if options["as"] == "slope" else ()))
            return {**value, **{name: self.measures[name] for name in names}}
        return {name: kind for name, kind in self.measures.items() if name not in ("value", "gaps", "resets", "tau")}

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        with _net.Guard(context) as guard, contextlib.closing(_http.Client(options, context, guard)) as client:
            if _windowed(options):
                return _Look(options, client, context).window(list(self.measures_for(options)))
            return _Look(options, client, context).run(("value",) if options["over"] is None else self._OF_RANGE)


def _windowed(options: Mapping[str, Any]) -> bool:
    """Whether it is about what series did over a window, by their raw samples."""
    return options["as"] is not None and options["over"] is not None


def _problems_of_a_window(options: Mapping[str, Any]) -> list[Problem]:
    found = []
    if not _SELECTOR.match(options["query"]):
        why = (
            'expected with as a plain selector, such as http_requests_total{job="web"}, and no functions: as says what is measured'
        )
        found.append(Problem("query", why))
    if options["step"] is not None:
        found.append(Problem("step", "goes without as: all samples of the window are taken"))
    if options["over"] < 1:
        found.append(Problem("over", "expected at least 1s"))
    elif options["every"] is not None and not 0 < options["every"] < options["over"]:
        found.append(Problem("every", "is the pause between two scrapes, so it is shorter than the window"))
    if (options["as"] == "ratio") != (options["to"] is not None):
        found.append(Problem("to", "is what a ratio is taken to: give it with as: ratio, and only then"))
    if options["least"] != PromqlProbe.options["least"].default and options["as"] != "ratio":
        found.append(Problem("least", "goes with as: ratio"))
    if options["age_of"] == NONE:
        found.append(Problem("age_of", "expected with as a plain selector, whose samples show when the targets were looked at"))
    elif options["age_of"] is None and options["absent"] == "zero":
        found.append(
            Problem(
                "age_of",
                "is missing: an empty result shows no data, so with absent: zero say a plain selector of data that is always "
                'there, such as up{job="web"}',
            )
        )
    if options["max_age"] != PromqlProbe.options["max_age"].default:
        found.append(Problem("max_age", "goes without as: every says how old the newest sample may be"))
    return found


def _step(options: Mapping[str, Any]) -> float:
    return float(options["step"] or max(options["over"] / 60, 1.0))


class _Look:
    """One look: the query, and the questions about the age of its data and the clock of the server."""

    def __init__(self, options: Mapping[str, Any], client: _http.Client, context: Context) -> None:
        self.options = options
        self.client = client
        self.context = context
        self.seen = Observation()
        self.at: Optional[float] = options["time"]

    def run(self, names: Sequence[str]) -> Observation:
        """Ask, and put each of the named measures under ``measures`` or ``missing``."""
        options, seen = self.options, self.seen
        result = self._range() if options["over"] is not None else self._instant()
        seen.proof.update({"result": result.kind, "series": len(result.series), "bytes": result.size})
        seen.proof["samples"] = sum(len(one.samples) for one in result.series)
        self._tell(result)
        try:
            _whole(result, options)
            self._count(result)
            self._fresh(result)
            if options["over"] is None:
                seen.measures["value"] = self._value(result)
            else:
                self._over_time(result)
        except CannotMeasure as error:
            for name in names:
                if name not in seen.measures:
                    seen.missing.setdefault(name, str(error))
        for name in ("series", "age", *(("samples", "coverage") if options["over"] is not None else ())):
            if name not in seen.measures:
                seen.missing.setdefault(name, seen.missing.get(names[0], "the result has none"))
        return seen

    def window(self, names: Sequence[str]) -> Observation:
        """What series did over a window, by their raw samples; each of the named measures, or why there is none."""
        options, seen = self.options, self.seen
        if self.at is None:
            self._ask_the_time()
        # To the millisecond, as the samples are.
        end = self.at = round(self.at or 0.0, 3)
        seen.proof.update({"result": "matrix", "series": 0, "samples": 0, "bytes": 0})
        try:
            wanted = [side.selector.name for side in _kept_by_prometheus.selection_of(options).sides()]
            sides = [self._raw(query) for query in wanted]
            keys = {key for side in sides for key in side}
            about = options["age_of"]
            looks: Optional[_kept_by_prometheus.Series] = {}
            if about is not None and about.strip() == wanted[0]:
                looks = None
            elif about is not None or keys:
                looks = self._raw(about or _kept_by_prometheus.up_of(keys))
            _kept_by_prometheus.judge(seen, options, _kept_by_prometheus.Kept(sides, looks, about is not None), end)
        except CannotMeasure as error:
            seen.missing["value"] = str(error)
        for name in names:
            if name not in seen.measures:
                seen.missing.setdefault(name, seen.missing.get("value", "the result has none"))
        return seen

    def _raw(self, selector: str) -> dict[Key, list[windows.Point]]:
        """The raw samples of some series in the window and before it. Raises CannotMeasure when they may not be all."""
        seconds = self.options["over"] + _kept_by_prometheus.lead(self.options)
        result = self._ask("query", f"{selector}[{math.ceil(seconds * 1000)}ms]", self._when())
        if result.kind != "matrix":
            raise ProbeError(f"{self.options['url']}: a window was answered with a result of the type {result.kind!r}")
        self._tell(result)
        self.seen.proof["bytes"] += result.size
        _whole(result, self.options)
        found = {}
        for one in result.series:
            labels = tuple(sorted((label, text) for label, text in one.labels.items() if label != "__name__"))
            points = [windows.Point(round(sample.at, 3), sample.value) for sample in one.samples]
            found[(one.labels.get("__name__", ""), labels)] = points
        return found

    # -- asking ------------------------------------------------------------------------------------------------------

    def _instant(self) -> Result:
        result = self._ask("query", self.options["query"], self._when())
        stamps = [sample.at for one in result.series for sample in one.samples]
        if self.at is None and stamps and result.kind in ("vector", "scalar"):
            self.at = stamps[0]
            self._skew()
        return result

    def _ask_the_time(self) -> None:
        now = self._ask("query", "time()", {})
        if now.kind != "scalar" or not math.isfinite(now.series[0].samples[0].value):
            raise ProbeError(f"{self.options['url']}: the server does not say what time it is")
        self.at = now.series[0].samples[0].value
        self._skew()

    def _tell(self, result: Result) -> None:
        """What the server noted goes into the proof."""
        for word, texts in (("warnings", result.warnings), ("infos", result.infos)):
            if texts:
                self.seen.proof[word] = [units.show(self.client.hide(text)) for text in texts[:5]]

    def _range(self) -> Result:
        if self.at is None:
            self._ask_the_time()
        end = self.at or 0.0
        step, over = _step(self.options), self.options["over"]
        self.seen.proof.update({"window": over, "step": step})
        # The steps are counted from the end, so that the last one is at the end.
        start = end - math.floor(over / step + 1e-9) * step
        result = self._ask(
            "query_range", self.options["query"], {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        )
        if result.kind != "matrix":
            raise ProbeError(f"{self.options['url']}: a range was answered with a result of the type {result.kind!r}")
        return result

    def _when(self) -> dict[str, str]:
        return {} if self.at is None else {"time": f"{self.at:.3f}"}

    def _skew(self) -> None:
        skew = (self.at or 0.0) - self.context.now()
        if abs(skew) > LARGE_SKEW:
            self.seen.proof["clock_skew"] = round(skew, 1)

    def _ask(self, what: str, query: str, more: Mapping[str, str]) -> Result:
        """One question to the API. Raises ProbeError for whatever is not an answer to it."""
        url = f"{self.options['url']}/api/v1/{what}"
        # The server gives up when we do; a query goes on burning its processor otherwise.
        form = urlencode({"query": query, **more, "timeout": f"{max(self.context.remaining(), 0.1):.3f}"})
        headers = {"Accept": "application/json"}
        if len(query) <= LONGEST_GET:
            asked = self.client.request("GET", f"{url}?{form}", headers)
        else:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            asked = self.client.request("POST", url, headers, form.encode())
        try:
            with asked as reply:
                if reply.is_html():
                    raise ProbeError(f"{url}: answered with status {reply.status} and HTML, not as the API of Prometheus does")
                content = reply.body(self.options["max_answer"])
                status = reply.status
        except ProbeError as error:
            raise ProbeError(str(error).replace(f"?{form}", "")) from None
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise ProbeError(f"{url}: answered with status {status} and something that is not JSON") from None
        if isinstance(document, dict) and document.get("status") == "error":
            kind, text = document.get("errorType", "error"), units.show(str(document.get("error", "")))
            raise ProbeError(self.client.hide(f"{url}: the server refused the query: {kind}: {text}"))
        if status != 200:
            raise ProbeError(f"{url}: answered with status {status}")
        try:
            return _read(document, len(content))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise ProbeError(f"{url}: the answer is JSON, but not that of the API of Prometheus") from None

    # -- what is made of it ------------------------------------------------------------------------------------------

    def _count(self, result: Result) -> None:
        if result.kind == "scalar":
            self.seen.missing["series"] = "the result is a scalar, which belongs to no series"
        elif result.series or self.options["absent"] == "zero":
            self.seen.measures["series"] = len(result.series)

    def _fresh(self, result: Result) -> None:
        """How old the data is. The server stamps a result with the time of the question, so it is asked about the samples."""
        seen = self.seen
        if self.options["age_of"] == NONE:
            seen.missing["age"] = f"nothing is asked about the age of the data: age_of is {NONE}"
            return
        own = result.kind in ("vector", "matrix") and bool(result.series)
        about = self.options["age_of"] or (self.options["query"].strip() if own else None)
        if about is None:
            return
        stamps = self._ask("query", f"timestamp({about})", self._when())
        if stamps.warnings and self.options["warnings"] == "refuse":
            raise CannotMeasure(f"the server warns about the age of the data: {units.show(stamps.warnings[0])}")
        ages = [(self.at or one.samples[0].at) - one.samples[0].value for one in stamps.series if one.samples]
        if not ages:
            ended = "no series matches it" if self.options["age_of"] else "every series has ended"
            raise CannotMeasure(f"there is no recent sample of {about}: {ended}")
        oldest = max(ages)
        if not math.isfinite(oldest):
            raise CannotMeasure(f"the age of {about} is {oldest}")
        seen.measures["age"] = max(oldest, 0.0)
        seen.proof["age"] = round(max(oldest, 0.0), 3)
        if oldest > self.options["max_age"]:
            limit = units.show(self.options["max_age"], "time")
            raise CannotMeasure(f"stale: the newest sample of a series is {units.show(oldest, 'time')} old, the limit is {limit}")

    def _value(self, result: Result) -> float:
        if not result.series:
            return self._nothing()
        values = [_finite(one.samples[0].value, one, len(result.series)) for one in result.series]
        return self._reduced(values)

    def _nothing(self) -> float:
        if self.options["absent"] != "zero":
            raise CannotMeasure("the result is empty: no series matches the query")
        return 0.0

    def _reduced(self, values: Sequence[float]) -> float:
        if self.options["reduce"] is not None:
            return REDUCTIONS[self.options["reduce"]](values)
        if len(values) > 1:
            raise CannotMeasure(f"the result has {len(values)} series; say reduce: {', '.join(REDUCTIONS)}")
        return values[0]

    def _over_time(self, result: Result) -> None:
        """The values of a range: at each step all series become one, then the steps do."""
        measures, missing, options = self.seen.measures, self.seen.missing, self.options
        if not result.series:
            zero = self._nothing()
            measures.update(dict.fromkeys((*OVER_TIME, "first", "last"), zero))
            measures.update({"samples": 0, "coverage": 0.0})
            return
        step, end = _step(options), self.at or 0.0
        steps = math.floor(options["over"] / step + 1e-9) + 1
        rows: dict[int, list[float]] = {}
        for one in result.series:
            for sample in one.samples:
                back = round((end - sample.at) / step)
                if not 0 <= back < steps or abs(end - back * step - sample.at) > max(0.01, step / 100):
                    raise CannotMeasure("the server sent values for other times than it was asked for")
                rows.setdefault(back, []).append(_finite(sample.value, one, len(result.series)))
        # A step at which one of the series has no value says nothing about all of them; their number is known at each.
        needed = 1 if options["reduce"] == "count" else len(result.series)
        if len(result.series) > 1 and options["reduce"] is None:
            self._reduced([0.0] * len(result.series))
        values = {back: self._reduced(row) for back, row in rows.items() if len(row) >= needed}
        covered = len(values) / steps
        measures.update({"samples": len(values), "coverage": covered})
        self.seen.proof["coverage"] = round(covered, 4)
        if covered < options["coverage"]:
            of_all = f" of all {needed} series" if needed > 1 else ""
            wanted = units.show(options["coverage"], "ratio")
            raise CannotMeasure(f"{len(values)} of {steps} steps have a value{of_all}, {wanted} of them must")
        for name, function in OVER_TIME.items():
            measures[name] = function(list(values.values()))
        for name, back, where in (("first", steps - 1, "start"), ("last", 0, "end")):
            if back in values:
                measures[name] = values[back]
            else:
                missing[name] = f"there is no value at the {where} of the range"


def _whole(result: Result, options: Mapping[str, Any]) -> None:
    """Raises CannotMeasure when the result is of a type that cannot be judged, or may be a part of one."""
    if result.warnings and options["warnings"] == "refuse":
        raise CannotMeasure(f"the server warns, so a part may be missing: {units.show(result.warnings[0])}")
    if result.kind == "string":
        raise CannotMeasure(f"the result is a text, not a number: {units.show(result.text)}")
    if result.kind == "matrix" and options["over"] is None:
        raise CannotMeasure("the result is a range of values for each series; use a function over it, or say over")
    if any(one.histograms for one in result.series):
        raise CannotMeasure("the result is a native histogram; make a number of it with histogram_quantile or the like")
    if len({tuple(sorted(one.labels.items())) for one in result.series}) < len(result.series):
        raise CannotMeasure("the same series is in the result twice")


def _finite(value: float, series: Series, of: int) -> float:
    if not math.isfinite(value):
        shown = "NaN" if math.isnan(value) else f"{value:+}"
        raise CannotMeasure(f"the value is {shown}" if of == 1 else f"one of {of} series, {units.show(str(series))}, is {shown}")
    return value


def _read(document: Mapping[str, Any], size: int) -> Result:
    """The answer of the API. Raises one of the errors of wrong data when it has another shape."""
    if document["status"] != "success":
        raise ValueError("status")
    data = document["data"]
    kind, raw = data["resultType"], data["result"]
    text, series = "", []
    if kind == "string":
        text = str(raw[1])
    elif kind == "scalar":
        series = [Series({}, [_sample(raw)])]
    elif kind == "vector":
        for one in raw:
            histogram = "value" not in one and "histogram" in one
            samples = [] if histogram else [_sample(one["value"])]
            series.append(Series(_labels(one["metric"]), samples, int(histogram)))
    elif kind == "matrix":
        for one in raw:
            samples = [_sample(pair) for pair in one.get("values", ())]
            histograms = len(one.get("histograms", ()))
            if not samples and not histograms:
                raise ValueError("a series without values")
            series.append(Series(_labels(one["metric"]), samples, histograms))
    else:
        raise ValueError("resultType")
    warnings, infos = ([str(one) for one in document.get(word) or ()] for word in ("warnings", "infos"))
    return Result(kind, series, text, warnings, infos, size)


def _labels(raw: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in raw.items()}


def _sample(raw: Sequence[Any]) -> Sample:
    at, value = raw
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not math.isfinite(at) or not isinstance(value, str):
        raise ValueError("a sample")
    return Sample(float(at), float(value))

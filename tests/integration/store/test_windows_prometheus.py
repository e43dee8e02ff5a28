# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same samples on a page, in the store and in a real Prometheus: the same words say the same numbers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import windows
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Point
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe
from ansible_collections.golive.cutover.plugins.module_utils.probes.metrics import MetricsProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.promql import PromqlProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.window import WindowProbe
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key, Look
from tests.conftest import Prometheus
from tests.integration.probes import looking
from tests.integration.probes.servers import answer, replies, serve
from tests.integration.store.conftest import Place

SERIES = 1000
END = 1_700_000_000.0
OVER = 600.0
EVERY = 30.0
PAGE = "page"
TARGET = 'job="spark",instance="page"'


def counter(numbers: random.Random, times: list[float]) -> dict[float, float]:
    """A counter that is reset now and then, and is missing now and then."""
    value = numbers.choice([0.0, float(numbers.randrange(10**6))])
    speed, resets, gaps = numbers.choice([0.05, 3, 500]), numbers.choice([0, 0.05, 0.2]), numbers.choice([0, 0.1, 0.3])
    found = {}
    for at in times:
        if numbers.random() < resets:
            value = 0.0
        value += int(numbers.expovariate(1 / speed))
        if numbers.random() >= gaps:
            found[at] = value
    return found


def gauge(numbers: random.Random, times: list[float]) -> dict[float, float]:
    level, noise, slope = numbers.uniform(-100, 1000), numbers.choice([0, 1, 50]), numbers.choice([0, 0.01, -0.3])
    return {at: level + slope * (at - END) + numbers.gauss(0, noise) for at in times if numbers.random() > 0.1}


@pytest.fixture
def world(store: Store, prometheus: Callable[..., Prometheus]) -> tuple[Store, Prometheus]:
    """A thousand counters and a thousand gauges, with gaps that differ from series to series, in both places."""
    numbers = random.Random(20251121)
    # The last sample lies 7 s before the end, so that no sample lies on an end of the window.
    times = [END - 7 - EVERY * back for back in range(40, -1, -1)]
    kept: dict[float, dict[Key, float]] = {at: {} for at in times}
    history = []
    for name, make in (("c_total", counter), ("g", gauge)):
        for number in range(SERIES):
            for at, value in make(numbers, times).items():
                kept[at][(name, (("n", str(number)),))] = value
                history.append(f'{name}{{n="{number}",{TARGET}}} {value!r} {at:.3f}')
    history += [f"up{{{TARGET}}} 1 {at:.3f}" for at in times]
    samples.write(store, [Look(PAGE, at, values) for at, values in kept.items()])
    return store, prometheus(history="\n".join(history))


def asked(server: Prometheus, query: str, at: float = END) -> dict[str, float]:
    return {one["metric"]["n"]: float(one["value"][1]) for one in server.ask(query, time=str(at))}


def ours(store: Store, name: str, at: float = END) -> dict[str, list[Point]]:
    found = samples.read(store, lambda key: key[0] == name, at - OVER, at)
    return {dict(key[1])["n"]: points for key, points in found.series.items()}


def there(points: list[Point]) -> list[Point]:
    """Prometheus knows no "absent": between two scrapes a series is taken to be as it was."""
    return [point for point in points if point.value is not None]


def test_counters(world: tuple[Store, Prometheus]) -> None:
    """Where a series has a sample at both ends of the window, the server has next to nothing to extrapolate: a second of 600."""
    store, server = world
    last = END - 7
    theirs = asked(server, f"increase(c_total[{OVER + 1:g}s])", last)
    resets = asked(server, f"resets(c_total[{OVER + 1:g}s])", last)
    rates = asked(server, f"rate(c_total[{OVER + 1:g}s])", last)
    compared = with_resets = 0
    for number, points in ours(store, "c_total", last).items():
        inside = there(windows.over("increase", points, last - OVER))
        if not inside or (inside[0].at, inside[-1].at) != (last - OVER, last):
            continue
        counted = windows.measure("increase", inside)
        assert counted.value == pytest.approx(theirs[number], rel=0.01, abs=1e-9)
        assert windows.measure("rate", inside).value == pytest.approx(rates[number], rel=0.01, abs=1e-12)
        assert counted.resets == resets[number]
        compared += 1
        with_resets += counted.resets > 0
    assert compared > 0.6 * SERIES
    assert with_resets > 0.25 * SERIES
    # Elsewhere the server adds what it thinks was counted before its first sample and behind its last one: at each end at most a
    # pause and a tenth.
    theirs = asked(server, f"increase(c_total[{OVER:g}s])")
    for number, points in ours(store, "c_total").items():
        inside = there(windows.over("max", points, END - OVER))
        if len(inside) < 2:
            assert number not in theirs
            continue
        amount = windows.measure("increase", inside).value
        assert amount * (1 - 1e-9) <= theirs[number] <= amount * (1 + 2 * 1.1 / (len(inside) - 1)) + 1e-9


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("min", "min_over_time(g[{over}])"),
        ("max", "max_over_time(g[{over}])"),
        ("avg", "avg_over_time(g[{over}])"),
        ("slope", "deriv(g[{over}])"),
    ],
)
def test_gauges(world: tuple[Store, Prometheus], kind: str, query: str) -> None:
    store, server = world
    theirs = asked(server, query.format(over=f"{OVER:g}s"))
    compared = 0
    for number, points in ours(store, "g").items():
        value = windows.measure(kind, windows.over(kind, there(points), END - OVER)).value
        assert value == pytest.approx(theirs[number], rel=0.01, abs=1e-9)
        compared += 1
    assert compared == SERIES


def test_changes_from_one_moment_to_another(world: tuple[Store, Prometheus]) -> None:
    """Both take the newest sample at each end; Prometheus looks up to five minutes back for it, and we say that it is
    missing."""
    store, server = world
    deltas, growths = asked(server, f"g - g offset {OVER:g}s"), asked(server, f"g / g offset {OVER:g}s - 1")
    compared: Any = {"delta": 0, "growth": 0}
    for number, points in ours(store, "g").items():
        for kind, theirs in (("delta", deltas), ("growth", growths)):
            try:
                value = windows.measure(kind, windows.over(kind, points, END - OVER)).value
            except CannotMeasure as error:
                assert "was not on the" in str(error) or "there is no growth" in str(error)
                continue
            assert value == pytest.approx(theirs[number], rel=0.01, abs=1e-9)
            compared[kind] += 1
    assert compared["delta"] > 0.75 * SERIES and compared["growth"] > 0.6 * SERIES


# The three probes


def asked_of(probe: Probe, **options: Any) -> Observation:
    """A look at the end of the samples, whatever the clock of the machine says."""
    return probe.look(looking.read(probe, options), Context(deadline=time.monotonic() + 30, now=lambda: END))


def said(seen: Observation, *names: str) -> dict[str, Any]:
    """What was measured, and in place of what was not that there is a reason."""
    return {name: seen.measures.get(name, "missing") for name in ("value", "series", *names)}


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_thousand_series_by_the_store_and_by_a_server(place: Place, world: tuple[Store, Prometheus]) -> None:
    """Births, resets, and samples that are missing now and then: both say the same numbers, or both say none."""
    _store, server = world
    kept = {"store": place.address, "environment": place.environment, "over": f"{OVER:g}s"}
    about = {"url": server.url, "time": END, "over": f"{OVER:g}s"}
    numbers = 0
    for kind, name in (*((kind, "c_total") for kind in windows.COUNTED), *((kind, "g") for kind in GAUGES)):
        for n in (None, "~1?[0-9]") if name == "c_total" else ("1", "2", "3", "4"):
            labels = {} if n is None else {"n": n}
            matcher = "" if n is None else f'{{n="{n}"}}' if n.isdigit() else f'{{n=~"{n[1:]}"}}'
            selected = {"as": kind, "reduce": "sum"}
            to: Any = {"to": {"name": "c_total", "reduce": "sum"}} if kind == "ratio" else {}
            of_store = asked_of(WindowProbe(), **kept, name=name, labels=labels, **selected, **to)
            to = {"to": {"query": "c_total", "reduce": "sum"}} if kind == "ratio" else {}
            of_server = asked_of(PromqlProbe(), **about, query=name + matcher, **selected, **to)
            names = ("samples", "coverage", "gaps", "age")
            assert said(of_server, *names) == pytest.approx(said(of_store, *names), rel=1e-9), (kind, n)
            assert {of_server.proof.get(word) for word in ("resets", "born")} == {of_store.proof.get(w) for w in ("resets", "born")}
            numbers += "value" in of_server.measures
    assert numbers > 8


class Steady:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


GAUGES = ("delta", "growth", "slope", "min", "max", "avg", "value")
LOOKS: list[dict[str, Optional[float]]] = [
    {"failed_total": None, "sent_total": 1000 + 40 * number, "memory": 500 + 3 * number**2} for number in range(11)
]
for _number in range(5, 11):
    LOOKS[_number]["failed_total"] = 2.0 * _number - (9 if _number >= 8 else 0)


@pytest.mark.parametrize("count", [2, 11])
def test_a_page_the_store_and_a_server(tmp_path: Path, prometheus: Callable[..., Prometheus], count: int) -> None:
    """The same looks, by each of the three probes: two of them, and eleven with a birth and a reset."""
    looks = LOOKS[-count:]
    rows = [{name: value for name, value in look.items() if value is not None} for look in looks]
    times = [END - EVERY * (count - 1 - number) for number in range(count)]
    address = f"sqlite://{tmp_path}/golive.db"
    with open_store(address, "spark") as store:
        kept = [Look(PAGE, at, {(name, ()): value for name, value in row.items()}) for at, row in zip(times, rows)]
        samples.write(store, kept)
    history = [
        f"{name}{{{TARGET}}} {value!r} {at:.3f}" for name in LOOKS[0] for at, row in zip(times, rows) if (value := row.get(name))
    ]
    server = prometheus(history="\n".join([*history, *(f"up{{{TARGET}}} 1 {at:.3f}" for at in times)]))
    sampled = EVERY * (count - 1)
    # A second more, so that the first look is within the window.
    past: dict[str, Any] = {"over": f"{sampled + 1:g}s", "every": "20s"}
    questions = [("failed_total", kind) for kind in windows.COUNTED] + [("memory", kind) for kind in GAUGES]
    for name, kind in questions:
        to: Any = {"to": {"name": "sent_total"}} if kind == "ratio" else {}
        clock = Steady()
        pages = ["".join(f"{series} {value!r}\n" for series, value in row.items()).encode() for row in rows]
        about: dict[str, Any] = {"name": name, "as": kind, **to}
        about.update({} if kind == "value" else {"over": f"{sampled:g}s", "every": f"{EVERY:g}s"})
        with serve(replies(*(answer(one) for one in (pages[-1:] if kind == "value" else pages)))) as page:
            clean = looking.read(MetricsProbe(), {"url": page.url("/metrics"), **about})
            live = MetricsProbe().look(clean, Context(deadline=1e6, clock=clock, sleep=clock.sleep))
        assert live.proof["samples"] == (1 if kind == "value" else count)
        stored = asked_of(WindowProbe(), store=address, environment="spark", name=name, **{"as": kind}, **past, **to)
        to = {"to": {"query": "sent_total"}} if kind == "ratio" else {}
        served = asked_of(PromqlProbe(), url=server.url, time=END, query=name, **{"as": kind}, **past, **to)
        extra = ("tau",) if kind == "slope" else ()
        assert said(live, *extra) == pytest.approx(said(stored, *extra), rel=1e-9), (name, kind)
        assert said(served, *extra) == pytest.approx(said(stored, *extra), rel=1e-9), (name, kind)
        if (kind, count) != ("slope", 2):
            assert "value" in served.measures, served.missing
    if count > 2:
        assert stored.measures["value"] == 800

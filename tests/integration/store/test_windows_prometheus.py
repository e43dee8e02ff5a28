# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same samples in the store and in a real Prometheus: the same words say the same numbers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import windows
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Point
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key, Look
from tests.conftest import Prometheus

SERIES = 1000
END = 1_700_000_000.0
OVER = 600.0
EVERY = 30.0
PAGE = "page"


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
                history.append(f'{name}{{n="{number}"}} {value!r} {at:.3f}')
    samples.write(store, [Look(PAGE, at, values) for at, values in kept.items()])
    return store, prometheus(history="\n".join(history))


def asked(server: Prometheus, query: str) -> dict[str, float]:
    return {one["metric"]["n"]: float(one["value"][1]) for one in server.ask(query, time=str(END))}


def ours(store: Store, name: str) -> dict[str, list[Point]]:
    found = samples.read(store, lambda key: key[0] == name, END - OVER, END)
    return {dict(key[1])["n"]: points for key, points in found.series.items()}


def there(points: list[Point]) -> list[Point]:
    """Prometheus knows no "absent": between two scrapes a series is taken to be as it was."""
    return [point for point in points if point.value is not None]


def zero_first(points: list[Point], start: float) -> bool:
    """Prometheus 2.42 first shortens the time to the start of the window to the time to zero, and then looks at the threshold;
    newer ones do it the other way round. Where the two differ, there is nothing to compare with."""
    seen = [point for point in there(points) if point.at > start]
    counted = windows.increase(seen)
    pause = counted.seconds / (len(seen) - 1)
    if counted.amount <= 0 or seen[0].at - start < pause * 1.1:
        return False
    return bool(pause / 2 < counted.seconds * ((seen[0].value or 0.0) / counted.amount) < pause * 1.1)


def test_counters(world: tuple[Store, Prometheus]) -> None:
    store, server = world
    theirs = asked(server, f"increase(c_total[{OVER:g}s])")
    resets = asked(server, f"resets(c_total[{OVER:g}s])")
    rates = asked(server, f"rate(c_total[{OVER:g}s])")
    compared = with_resets = 0
    for number, points in ours(store, "c_total").items():
        inside = windows.over("max", points, END - OVER)
        try:
            value = windows.extrapolated(inside, END - OVER, END)
        except CannotMeasure:
            assert number not in theirs
            continue
        if zero_first(inside, END - OVER):
            continue
        assert value == pytest.approx(theirs[number], rel=0.01, abs=1e-9)
        assert value / OVER == pytest.approx(rates[number], rel=0.01, abs=1e-12)
        counted = windows.increase(there(inside))
        assert counted.resets == resets[number]
        compared += 1
        with_resets += counted.resets > 0
    assert compared > 0.9 * SERIES
    assert with_resets > 0.3 * SERIES


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

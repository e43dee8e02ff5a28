# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What raw samples of a Prometheus server say about a window: the looks that `up` shows, births, gaps, and what says nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.options import read_options
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import Point
from ansible_collections.golive.cutover.plugins.module_utils.probes import _kept_by_prometheus as kept
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Key
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.promql import PromqlProbe

END = 1000.0
PROBE = PromqlProbe()


def key(name: str, instance: str = "a", **labels: str) -> Key:
    return name, tuple(sorted({"job": "web", "instance": instance, **labels}.items()))


def every_30(values: Iterable[Optional[float]], end: float = END) -> list[Point]:
    """A sample every 30 s up to the end; None is one that is not there."""
    row = list(values)
    placed = [(end - 30 * (len(row) - 1 - number), value) for number, value in enumerate(row)]
    return [Point(at, value) for at, value in placed if value is not None]


def up(instance: str = "a", values: Iterable[Optional[float]] = (1,) * 12) -> dict[Key, list[Point]]:
    return {key("up", instance): every_30(values)}


def judged(
    *sides: kept.Series, looks: Optional[kept.Series] = None, own: bool = False, kind: str = "increase", **options: Any
) -> Observation:
    raw = {"url": "http://a:9090", "query": "errors_total", "as": kind, "over": "5m", **options}
    problems: list[Any] = []
    clean = read_options(raw, PROBE.options, "promql", problems)
    assert not problems and not PROBE.problems(clean), problems
    seen = Observation()
    shown = None if own else up() if looks is None else looks
    kept.judge(seen, clean, kept.Kept(sides, shown, clean["age_of"] is not None and not own), END)
    assert not set(seen.measures) & set(seen.missing)
    return seen


def test_counting_begins_at_the_last_look_before_the_window() -> None:
    seen = judged({key("errors_total"): every_30([90, *range(11)])})
    assert seen.measures["value"] == 10
    found = {name: seen.measures[name] for name in ("series", "samples", "coverage", "gaps", "resets", "age")}
    assert found == {"series": 1, "samples": 10, "coverage": 1, "gaps": 0, "resets": 0, "age": 0}
    assert seen.proof["window"] == 300
    assert judged({key("errors_total"): every_30(range(12))}, kind="rate").measures["value"] == pytest.approx(10 / 300)


def test_a_series_that_was_not_there_at_a_look_is_born_or_was_reset() -> None:
    seen = judged({key("errors_total"): every_30([None] * 9 + [7, 7, 8])})
    assert (seen.measures["value"], seen.proof["born"]) == (8, 1)
    # As in the store: what is absent for a look counts from zero.
    seen = judged({key("errors_total"): every_30([5] * 6 + [None] + [5] * 5)})
    assert (seen.measures["value"], seen.measures["resets"]) == (5, 1)


def test_a_scrape_that_failed_is_no_look() -> None:
    looks = up(values=[1] * 6 + [0] + [1] * 5)
    seen = judged({key("errors_total"): every_30([5] * 6 + [None] + [5] * 5)}, looks=looks)
    assert (seen.measures["value"], seen.measures["resets"], seen.measures["gaps"]) == (0, 0, 0)
    looks = up(values=[1] * 4 + [0] * 4 + [1] * 4)
    seen = judged({key("errors_total"): every_30([5] * 4 + [None] * 4 + [5] * 4)}, looks=looks)
    assert seen.measures["gaps"] == 1
    assert "cover 50 % of the last 300 s, 90 % are needed: 1 gap of up to 150 s" in seen.missing["value"]


def test_a_target_that_does_not_answer_says_nothing_and_one_that_is_gone_is_left_out() -> None:
    sides = {key("errors_total"): every_30(range(12)), key("errors_total", "b"): every_30([3, 4] + [None] * 10)}
    dead = judged(sides, looks={**up(), **up("b", [1, 1] + [0] * 10)}, reduce="sum")
    assert "web/b: 0 samples in the window" in dead.missing["value"]
    gone = judged(sides, looks={**up(), **up("b", [1] + [None] * 11)}, reduce="sum")
    assert (gone.measures["value"], gone.measures["series"]) == (10, 1)
    just_gone = judged(sides, looks={**up(), **up("b", [1] * 7 + [None] * 5)}, reduce="sum")
    assert "samples of web/b cover" in just_gone.missing["value"]


def test_series_of_which_nothing_shows_the_looks() -> None:
    sides = {key("errors_total", "c"): every_30(range(12))}
    assert "the server has no up of web/c, which would show when it was looked at" in judged(sides).missing["value"]
    seen = judged(sides, age_of='up{job="web"}')
    assert "nothing shows when web/c was looked at" in seen.missing["value"]
    stamped = {key("errors_total"): [Point(at - 4, value) for at, value in every_30(range(12))]}
    assert "are from other times than the looks at web/a; say age_of: the query itself" in judged(stamped).missing["value"]
    seen = judged(stamped, own=True, age_of="errors_total")
    assert (seen.measures["value"], seen.measures["age"]) == (10, 4)


def test_each_series_shows_its_own_looks_where_that_is_said() -> None:
    sides = {
        key("errors_total"): every_30(range(12)),
        key("errors_total", "b"): [Point(at - 4, value) for at, value in every_30(range(0, 24, 2))],
    }
    assert judged(sides, own=True, age_of="errors_total", reduce="sum").measures["value"] == 30
    ended = {**sides, key("errors_total", "b"): every_30([3, 4] + [None] * 10)}
    assert (
        judged(ended, own=True, age_of="errors_total", reduce="sum")
        .missing["value"]
        .endswith("0 samples in the window; two are needed")
    )


def test_no_series_is_zero_only_where_looks_show_that_there_was_somebody_to_ask() -> None:
    assert judged({}, looks={}).missing["value"] == "no series matches errors_total"
    seen = judged({}, age_of='up{job="web"}', absent="zero")
    assert (seen.measures["value"], seen.measures["series"]) == (0, 0)
    seen = judged({}, looks={}, age_of='up{job="web"}', absent="zero")
    assert 'there is no sample of up{job="web"} in the window' in seen.missing["value"]
    seen = judged({}, looks=up(values=[0] * 12), age_of='up{job="web"}', absent="zero")
    assert "web/a: 0 samples in the window" in seen.missing["value"]


def test_a_ratio() -> None:
    failed, sent = {key("errors_total"): every_30(range(12))}, {key("sent_total"): every_30(range(0, 240, 20))}
    options: dict[str, Any] = {"kind": "ratio", "to": {"query": "sent_total", "reduce": "sum"}}
    seen = judged(failed, sent, **options)
    assert seen.measures["value"] == 0.05
    assert seen.proof["counted"] == {"value": {"of": 10, "to": 200}}
    assert "200 of sent_total are too few to say: 500 are needed" in judged(failed, sent, **options, least=500).missing["value"]
    still = {key("sent_total"): every_30([9] * 12)}
    assert "there was nothing to be a part of" in judged(failed, still, **options).missing["value"]


@pytest.mark.parametrize(
    ("kind", "value"), [("value", 22), ("delta", 20), ("growth", 10), ("slope", 2 / 30), ("min", 4), ("max", 22), ("avg", 13)]
)
def test_gauges(kind: str, value: float) -> None:
    seen = judged({key("queue"): every_30(range(0, 24, 2))}, kind=kind)
    assert seen.measures["value"] == pytest.approx(value)
    assert seen.measures.get("tau") == (1 if kind == "slope" else None)


def test_several_series_need_a_reduction() -> None:
    sides = {key("errors_total", code=code): every_30(range(12)) for code in ("500", "502")}
    assert "2 series match errors_total; say reduce" in judged(sides).missing["value"]
    assert judged(sides, reduce="sum").measures["value"] == 20


def test_how_often_it_is_looked_at() -> None:
    few = {key("errors_total"): every_30([1, 2, 3])}
    looks = up(values=[1, 1, 1])
    assert "3 samples in the window do not show how often it is looked at" in judged(few, looks=looks).missing["value"]
    seen = judged(few, looks=looks, over="65s", every="30s")
    assert seen.measures["value"] == 2


def test_the_selector_of_up() -> None:
    assert kept.up_of([key("a"), key("b", "c.d:1")]) == 'up{job=~"web",instance=~"a|c\\\\.d:1"}'

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thresholds against what was measured before the change."""

from __future__ import annotations

import math
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.baseline import (
    Baseline,
    asked_before,
    from_verdicts,
    read_baseline,
    worth_keeping,
)
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check, read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import parse_condition
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CannotCompare, InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import judge, verdict
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from tests.unit.module_utils.core.fakes import FakeClock, FakeProbe, seen


def check(**keys: Any) -> Check:
    return read_checks([{"id": "A", "fake": {}, **keys}], {"fake": FakeProbe()})[0]


# ---------------------------------------------------------------------------------------------------------------------
# Conditions


@pytest.mark.parametrize(
    ("source", "kind", "relative"),
    [
        ("<= +10%", "time", True),
        ("<= + 10 %", "time", False),
        ("> +10.5 %", "count", True),
        (">= -10%", "rate", True),
        (">= -10%", "size", True),
        (">= -10%", "any", True),
        ("<= +10%", "any", True),
        ("<= +10%", "ratio", True),
        (">= -10%", "ratio", False),
        ("<= 10%", "ratio", False),
        ("<= 10%", "any", False),
        ("== +10%", "ratio", False),
        ("<= +10", "count", False),
        ("<= +10ms", "time", False),
    ],
)
def test_a_percentage_with_a_sign_is_relative(source: str, kind: str, relative: bool) -> None:
    try:
        condition = parse_condition(source, kind)
    except ValueError:
        assert not relative
        return
    assert condition.relative is relative
    assert condition.source == source


def test_nothing_falls_by_more_than_all_of_it() -> None:
    with pytest.raises(ValueError, match="more than 100%"):
        parse_condition(">= -150%", "time")


@pytest.mark.parametrize(
    ("source", "before", "now", "holds"),
    [
        ("<= +10%", 0.4, 0.44, True),
        ("<= +10%", 0.4, 0.45, False),
        ("<= +10%", 0.4, 0.1, True),
        (">= -10%", 200.0, 180.0, True),
        (">= -10%", 200.0, 179.0, False),
        ("> +0%", 5, 5, False),
        ("> +0%", 5, 6, True),
        ("<= +10%", 0, 0, True),
        ("> +10%", 0, 0, False),
        (">= -100%", 5, 0, True),
    ],
)
def test_against_a_baseline(source: str, before: float, now: float, holds: bool) -> None:
    assert parse_condition(source, "any").holds(now, before) is holds


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        (None, 1.0, "there is no baseline"),
        (0.0, 1.0, "the baseline is 0, of which nothing is a part"),
        (-1.0, 1.0, "the baseline is -1"),
        (math.nan, 1.0, "the baseline is nan"),
        (1.0, math.nan, "the value is nan"),
        (1.0, math.inf, "the value is inf"),
        (True, 1.0, "not a number"),
        (1.0, "fast", "not a number"),
    ],
)
def test_what_cannot_be_held_against_a_baseline_is_no_answer(before: Optional[float], now: Any, why: str) -> None:
    with pytest.raises(CannotCompare, match=why):
        parse_condition("<= +10%", "any").holds(now, before)


@given(st.floats(0.001, 1e9), st.floats(0, 1e9), st.integers(-100, 500))
def test_relative_is_the_absolute_condition_at_the_limit(before: float, now: float, percent: int) -> None:
    condition = parse_condition(f"<= {percent:+d}%", "count")
    assert condition.holds(now, before) is (now <= before * (1 + percent / 100))


# ---------------------------------------------------------------------------------------------------------------------
# Verdicts


@pytest.mark.parametrize(
    ("column", "condition", "latency", "status", "reason"),
    [
        ("expect", "<= +10%", 0.43, "pass", "latency 430 ms"),
        ("expect", "<= +10%", 0.5, "fail", "latency is 500 ms, expected <= +10% of 400 ms before"),
        ("warn", "> +10%", 0.5, "warn", "latency is 500 ms, warning when > +10% of 400 ms before"),
        ("critical", "> +10%", 0.5, "fail", "latency is 500 ms, critical when > +10% of 400 ms before"),
    ],
)
def test_the_reason_names_what_it_was(column: str, condition: str, latency: float, status: str, reason: str) -> None:
    found = judge(check(**{column: {"latency": condition}}), seen(latency=latency), baseline={"latency": 0.4})
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize("baseline", [None, {}, {"share": 0.4}, {"latency": math.nan}])
def test_without_a_baseline_it_is_inconclusive(baseline: Optional[dict[str, float]]) -> None:
    found = judge(check(critical={"latency": "> +10%"}), seen(latency=0.5), baseline=baseline)
    assert found.status == "inconclusive"
    assert "latency cannot be judged by '> +10%'" in found.reason


def test_the_proof_names_the_baseline_that_was_used_and_no_other() -> None:
    one = check(expect={"latency": "<= +10%", "status": "== 200"})
    observation = seen(latency=0.4, status=200)
    before = {"latency": 0.4, "status": 200.0, "share": 0.1}
    record = verdict(
        one, judge(one, observation, baseline=before), observation, attempts=1, started="", duration=0, baseline=before
    )
    assert record["proof"] == {"samples": 1, "baseline": {"latency": 0.4}}
    plain = check(expect={"status": "== 200"})
    record = verdict(plain, judge(plain, observation), observation, attempts=1, started="", duration=0, baseline=before)
    assert record["proof"] == {"samples": 1}


def test_a_baseline_is_no_proof() -> None:
    one = check(expect={"latency": "<= +10%"})
    empty = Observation(measures={"latency": 0.1})
    found = judge(one, empty, baseline={"latency": 0.4})
    assert found.status == "inconclusive"
    assert verdict(one, found, empty, attempts=1, started="", duration=0, baseline={"latency": 0.4})["proof"] == {}


# ---------------------------------------------------------------------------------------------------------------------
# Samples


def times(middle: float, count: int = 60) -> list[float]:
    """So many latencies around one, all different."""
    return [middle + number * 1e-5 for number in range(-(count // 2), count - count // 2)]


def sampled(latencies: list[float]) -> Observation:
    found = seen(status=200)
    found.sampled("times", latencies)
    return found


@pytest.mark.parametrize(
    ("column", "condition", "middle", "status", "reason"),
    [
        ("expect", "<= +10%", 0.01, "pass", "times as before (98 %: "),
        ("expect", "<= +10%", 0.02, "fail", "times are 10 ms higher than before (98 %: 9.9"),
        ("expect", "<= +150%", 0.02, "pass", "times 10 ms higher than before"),
        ("expect", "<= +10%", 0.002, "pass", "times 8 ms lower than before"),
        ("expect", ">= -10%", 0.002, "fail", "expected >= -10% of 9.995 ms before"),
        ("critical", "> +10%", 0.02, "fail", "critical when > +10% of 9.995 ms before"),
        ("warn", "> +10%", 0.02, "warn", "warning when > +10% of 9.995 ms before"),
        ("warn", "> +10%", 0.01, "pass", "times as before"),
    ],
)
def test_samples_are_judged_by_mann_whitney(column: str, condition: str, middle: float, status: str, reason: str) -> None:
    found = judge(check(**{column: {"times": condition}}), sampled(times(middle)), baseline={"times": times(0.01)})
    assert (found.status, reason in found.reason) == (status, True), found.reason


@pytest.mark.parametrize(
    ("now", "before", "why"),
    [
        (60, None, "there is no baseline: no samples from before the change were kept"),
        (60, 0.01, "there is no baseline: no samples from before the change were kept"),
        (49, times(0.01), "49 samples are too few to say: a comparison needs 50"),
        (60, times(0.01, 20), "20 baseline samples are too few to say: a comparison needs 50"),
        (60, [math.nan] * 60, "not a finite number"),
    ],
)
@pytest.mark.parametrize(("column", "condition"), [("expect", "<= +10%"), ("warn", "> +10%"), ("critical", "> +10%")])
def test_samples_that_cannot_be_compared_are_inconclusive(now: int, before: Any, why: str, column: str, condition: str) -> None:
    found = judge(check(**{column: {"times": condition}}), sampled(times(0.01, now)), baseline={"times": before})
    assert found.status == "inconclusive"
    assert f"times cannot be judged by {condition!r}: " in found.reason and why in found.reason
    assert judge(check(**{column: {"times": condition}}), sampled(times(0.01))).status == "inconclusive"
    missing = Observation(proof={"samples": 60}, missing={"times": "1 of 60 requests had no answer"})
    assert "times could not be measured: 1 of 60" in judge(check(**{column: {"times": condition}}), missing).reason


def test_the_confidence_is_that_of_the_check() -> None:
    """Two sets that differ by so little that 80 % are sure of it and 99.9 % are not."""
    before, now = [float(number) for number in range(60)], [number + 8.0 for number in range(60)]
    for confidence, status in (("80%", "fail"), ("99.9%", "pass")):
        one = check(expect={"times": "<= +10%"}, confidence=confidence)
        found = judge(one, sampled(now), baseline={"times": before})
        assert (found.status, f"({confidence.replace('%', ' %')}: " in found.reason) == (status, True), found.reason


@pytest.mark.parametrize("confidence", ["100%", "40%", "sure", 0, 98])
def test_what_is_no_confidence_is_refused(confidence: Any) -> None:
    with pytest.raises(InputError, match=r"A\.confidence"):
        check(expect={"times": "<= +10%"}, confidence=confidence)


def test_a_confidence_without_samples_is_refused() -> None:
    with pytest.raises(InputError, match="has no meaning without a threshold on samples"):
        check(expect={"latency": "<= +10%"}, confidence="98%")


def test_samples_go_from_one_run_to_the_next_and_into_no_record() -> None:
    def ask_again(middle: float, baseline: Any = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        probes = {"fake": FakeProbe(sampled(times(middle)))}
        raw: list[dict[str, Any]] = [
            {"id": "A", "fake": {}, "expect": {"times": "<= +10%", "status": "== 200"}},
            {"id": "B", "fake": {}, "expect": {"status": "== 200"}},
        ]
        samples: dict[str, dict[str, list[float]]] = {}
        verdicts = run_checks(read_checks(raw, probes), probes, clock=FakeClock(), baseline=baseline, samples=samples)
        return verdicts, worth_keeping(verdicts, samples)[0]

    first, kept = ask_again(0.01)
    assert [one["status"] for one in first] == ["inconclusive", "pass"]
    assert first[0]["measures"]["times"] == {"value": "60 samples, median 9.995 ms", "unit": ""}
    assert kept == {"A": {"status": 200.0, "times": [round(one, 6) for one in times(0.01)]}, "B": {"status": 200.0}}
    assert read_baseline(kept) == kept
    (same, _plain), _kept = ask_again(0.01, kept)
    (slow, _plain), _kept = ask_again(0.02, kept)
    assert (same["status"], slow["status"]) == ("pass", "fail")
    assert slow["proof"]["comparison"]["times"]["median_before"] == 0.009995
    assert slow["measures"]["times"]["value"].startswith("10 ms higher than before")
    assert "baseline" not in slow["proof"]


def test_a_list_that_is_no_samples_is_refused() -> None:
    for wrong in ([], [1.0, "fast"], [math.inf], [True], [1.0] * 501):
        with pytest.raises(InputError, match=r"baseline\.A\.times: is no list of 1 to 500 numbers"):
            read_baseline({"A": {"times": wrong}})


# ---------------------------------------------------------------------------------------------------------------------
# From one run to the next


def ask(latency: float, baseline: Optional[Baseline] = None) -> list[dict[str, Any]]:
    probe = FakeProbe(seen(latency=latency, status=200, word="v1", open=True, value=math.nan))
    raw = [{"id": name, "fake": {}, "expect": {"latency": "<= +10%", "word": "== v1"}} for name in ("A", "B")]
    probes = {"fake": probe}
    return run_checks(read_checks(raw, probes), probes, clock=FakeClock(), baseline=baseline)


def test_what_was_measured_before_judges_what_comes_after() -> None:
    before = ask(0.4)
    assert {one["status"] for one in before} == {"inconclusive"}
    baseline = from_verdicts(before)
    assert baseline == {name: {"latency": 0.4, "status": 200.0} for name in ("A", "B")}
    assert {one["status"] for one in ask(0.43, baseline)} == {"pass"}
    assert {one["status"] for one in ask(0.45, baseline)} == {"fail"}
    assert [one["status"] for one in ask(0.43, {"A": baseline["A"]})] == ["pass", "inconclusive"]


def test_what_measured_nothing_makes_no_baseline() -> None:
    assert from_verdicts([{"id": "A", "proof": {}, "measures": {"latency": {"value": 1.0}}}]) == {}
    assert from_verdicts([{"id": "A", "proof": {"samples": 1}, "measures": {}}]) == {}
    assert from_verdicts([]) == {}


def test_what_is_asked_before_the_change() -> None:
    """Every check with a threshold on a baseline, once; the others not at all."""
    relative: list[dict[str, Any]] = [
        {"id": "A", "fake": {}, "expect": {"latency": "<= +10%"}, "retry": {"for": "30s"}, "tags": ["smoke"]},
        {"id": "B", "fake": {}, "expect": {"status": "== 200"}, "warn": {"p95": ["> 10ms", "> +10.5 %"]}},
        {"id": "C", "fake": {}, "critical": {"throughput": "< -10%"}},
    ]
    others: list[Any] = [
        {"id": "D", "fake": {}, "expect": {"share": "<= 10%", "word": "matches <= +10%"}, "warn": {"latency": "> 10ms"}},
        {"id": "E", "fake": {}, "expect": {"latency": "<= +10%"}, "required": False, "skip": "not here"},
        {"id": "F", "fake": {}, "expect": None, "warn": "> +10%"},
        "no check",
    ]
    found = asked_before([*relative, *others, {**relative[0], "title": "the same once more"}])
    assert found == relative
    assert asked_before([]) == []


@pytest.mark.parametrize("source", ["<= +10%", "< +0%", ">= -10%", "> +10.5 %", "<=+10%", "  >  -5 %"])
def test_whatever_is_relative_is_asked_before(source: str) -> None:
    assert parse_condition(source, "time").relative
    assert asked_before([{"id": "A", "fake": {}, "expect": {"latency": source}}])


def test_what_was_broken_makes_no_baseline() -> None:
    """An error page is quick."""
    probe = FakeProbe(seen(latency=0.001, status=502), seen(latency=0.2, status=200))
    raw = [{"id": name, "fake": {}, "expect": {"latency": "<= +10%", "status": "== 200"}} for name in ("A", "B")]
    probes = {"fake": probe}
    verdicts = run_checks(read_checks(raw, probes), probes, clock=FakeClock(), concurrency=1)
    kept, without = worth_keeping(verdicts)
    assert kept == {"B": {"latency": 0.2, "status": 200.0}}
    assert without == {"A": "status is 502, expected == 200"}


def test_a_baseline_that_is_none_is_refused_with_every_mistake() -> None:
    assert read_baseline({"A": {"latency": 1, "p95": 0.5}, "Z": {}}) == {"A": {"latency": 1.0, "p95": 0.5}}
    with pytest.raises(InputError) as caught:
        read_baseline({"A": {"latency": "fast", "open": True, "nan": math.nan}, "B": 3})
    assert [problem.where for problem in caught.value.problems] == [
        "baseline.A.latency",
        "baseline.A.open",
        "baseline.A.nan",
        "baseline.B",
    ]
    with pytest.raises(InputError, match="expected a mapping"):
        read_baseline([])

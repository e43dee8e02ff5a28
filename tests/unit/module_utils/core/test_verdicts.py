# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check, read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import evaluate_expressions, judge, verdict
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from tests.unit.module_utils.core.fakes import FakeProbe, seen


def check(**keys: Any) -> Check:
    return read_checks([{"id": "A", "fake": {}, **keys}], {"fake": FakeProbe()})[0]


THREE = {"expect": {"status": "== 200"}, "warn": {"latency": "> 1s"}, "critical": {"latency": "> 5s"}}


@pytest.mark.parametrize(
    ("observation", "status", "reason"),
    [
        (seen(status=200, latency=0.1), "pass", "latency 100 ms, status 200"),
        (seen(status=200, latency=2.0), "warn", "latency is 2 s, warning when > 1s"),
        (seen(status=200, latency=6.0), "fail", "latency is 6 s, critical when > 5s"),
        (seen(status=503, latency=0.1), "fail", "status is 503, expected == 200"),
        (seen(status=503), "fail", "status is 503, expected == 200"),
        (seen(status=200), "inconclusive", "latency could not be measured: the probe did not yield it"),
        (seen(status=200, latency=math.nan), "inconclusive", "latency cannot be judged"),
        (seen(latency=0.1), "inconclusive", "status could not be measured"),
        (Observation(), "inconclusive", "nothing proves"),
        (Observation(measures={"status": 200, "latency": 0.1}), "inconclusive", "nothing proves"),
        (Observation(missing={"status": "no answer"}, proof={"requests": 1}), "inconclusive", "no answer"),
    ],
)
def test_three_columns(observation: Observation, status: str, reason: str) -> None:
    judgement = judge(check(**THREE), observation)
    assert judgement.status == status
    assert reason in judgement.reason


def test_own_measures_look_into_the_document() -> None:
    one = check(measures={"levels": "length(levels)", "gone": "nothing.here", "odd": "levels"}, expect={"levels": "== 3"})
    observation = Observation(proof={"requests": 1}, document={"levels": [1, 2, 3]})
    evaluate_expressions(one, observation)
    assert observation.measures == {"levels": 3.0}
    assert "found nothing" in observation.missing["gone"]
    assert "list" in observation.missing["odd"]
    assert judge(one, observation).status == "pass"


def test_own_measures_without_a_document_are_inconclusive() -> None:
    one = check(measures={"levels": "length(levels)"}, expect={"levels": "== 3"})
    observation = Observation(proof={"requests": 1})
    evaluate_expressions(one, observation)
    assert judge(one, observation).status == "inconclusive"


def test_a_text_that_nobody_asked_about_is_not_in_the_record() -> None:
    one = check(expect={"word": "== ok"})
    observation = Observation(measures={"word": "ok", "header.cookie": "private", "status": 200}, proof={"requests": 1})
    record = verdict(one, judge(one, observation), observation, attempts=1, started="now", duration=0.1)
    assert record["measures"] == {"word": {"value": "ok", "unit": ""}, "status": {"value": 200, "unit": ""}}


values = st.one_of(st.none(), st.floats(), st.booleans(), st.text(max_size=3))


@given(status=values, latency=values)
def test_nothing_missing_and_nothing_odd_ever_passes(status: Any, latency: Any) -> None:
    measures = {name: value for name, value in (("status", status), ("latency", latency)) if value is not None}
    judgement = judge(check(**THREE), Observation(measures=measures, proof={"samples": 1}))
    sound = all(isinstance(one, float) and math.isfinite(one) for one in (status, latency))
    assert (judgement.status in ("pass", "warn")) is (sound and status == 200 and latency <= 5)
    assert judgement.reason


RANK = {"pass": 0, "warn": 1, "inconclusive": 2, "fail": 2}


@given(latency=st.floats(min_value=0, max_value=100), worse=st.floats(min_value=0, max_value=100))
def test_a_worse_measure_never_gets_a_better_verdict(latency: float, worse: float) -> None:
    one = check(**THREE)
    before = judge(one, seen(status=200, latency=latency)).status
    after = judge(one, seen(status=200, latency=latency + worse)).status
    assert RANK[after] >= RANK[before]

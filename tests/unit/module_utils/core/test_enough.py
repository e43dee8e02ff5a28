# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A good value of too few requests is no pass; a bad one of however few is a failure."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.enough import BOUND, ERRORS, PERCENTILE, Behind
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import Judgement, judge
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

LOAD = {"url": "http://127.0.0.1:1/", "requests": 1000}
CANARY = {"store": "sqlite:///a.db", "environment": "spark"}


def judged(of: dict[str, Behind], values: dict[str, float], baseline: Any = None, **thresholds: Any) -> Judgement:
    probe = {"canary": CANARY} if "lower_bound" in of else {"load": LOAD}
    (check,) = read_checks([{"id": "A", **probe, **thresholds}], PROBES)
    return judge(check, Observation(dict(values), {"requests": 1}, behind=of), baseline=baseline)


def errors(count: int, ratio: float = 0.0, least: Optional[int] = None, **thresholds: Any) -> Judgement:
    return judged({"error_ratio": Behind(count, "requests", ERRORS, least=least)}, {"error_ratio": ratio}, **thresholds)


@pytest.mark.parametrize(("limit", "need"), [("1%", 100), ("0.5%", 200), ("0.1%", 1000), ("2%", 50), ("7%", 15), ("50%", 2)])
def test_as_many_requests_as_make_one_failure_no_breach(limit: str, need: int) -> None:
    assert errors(need, expect={"error_ratio": f"<= {limit}"}).status == "pass"
    assert errors(need, critical={"error_ratio": f"> {limit}"}).status == "pass"
    few = errors(need - 1, expect={"error_ratio": f"<= {limit}"})
    assert few.status == "inconclusive"
    assert few.reason.endswith(f"too few to say: error_ratio <= {limit} needs {need}")
    assert errors(need - 1, critical={"error_ratio": f">= {limit}"}).status == "inconclusive"


def test_what_was_seen_to_be_bad_is_bad() -> None:
    assert errors(3, 1 / 3, expect={"error_ratio": "<= 0.5%"}).status == "fail"
    assert errors(3, 1 / 3, critical={"error_ratio": "> 0.5%"}).status == "fail"
    # A thing that fails, beside one that too few say, is a failure.
    assert errors(30, 0.1, expect={"error_ratio": ["<= 20%", "<= 5%"]}).status == "fail"


def test_the_load_of_the_runbook_passes() -> None:
    """``ab -n 1000 -c 10``, with less than 1 % errors."""
    assert errors(1000, 0.003, expect={"error_ratio": "< 1%"}).status == "pass"


def test_thresholds_for_which_no_number_would_do() -> None:
    for condition in ("== 0%", "<= 0%", "< 100%"):
        assert errors(3, expect={"error_ratio": condition}).status == "pass"
    # A warning says nothing of what is good; a limit from below, or on a baseline, is about something else.
    assert errors(3, warn={"error_ratio": "> 0.5%"}, expect={"error_ratio": ">= 0%"}).status == "pass"
    few = {"error_ratio": Behind(3, "requests", ERRORS)}
    held = judged(few, {"error_ratio": 0.0}, {"error_ratio": 0.01}, expect={"error_ratio": "<= +10%"})
    assert held.status == "pass"


def test_a_check_may_say_how_many_are_enough() -> None:
    assert errors(50, expect={"error_ratio": "<= 0.5%"}, least=50).status == "pass"
    few = errors(49, expect={"error_ratio": "<= 0.5%"}, least=50)
    assert few.reason == "error_ratio is 0 %, but 49 requests are too few to say: error_ratio <= 0.5% needs 50"
    assert errors(200, expect={"error_ratio": "<= 0.5%"}, least=5000).status == "pass"


@pytest.mark.parametrize(("percent", "need"), [(50, 5), (95, 59), (99, 299)])
def test_as_many_samples_as_bound_a_percentile(percent: int, need: int) -> None:
    name = f"p{percent}"

    def of(count: int, **thresholds: Any) -> Judgement:
        return judged({name: Behind(count, "requests", PERCENTILE, percent=percent)}, {name: 0.1}, **thresholds)

    assert of(need, expect={name: "<= 200ms"}).status == "pass"
    assert of(need - 1, expect={name: "<= 200ms"}).status == "inconclusive"
    assert of(need - 1, critical={name: "> 200ms"}).status == "inconclusive"
    assert of(need - 1, critical={name: "> 50ms"}).status == "fail"
    assert of(need - 1, warn={name: "> 50ms"}).status == "warn"


def test_a_lower_bound_that_so_few_runs_cannot_reach() -> None:
    def of(count: int, failed: int, bound: float) -> Judgement:
        few = {"lower_bound": Behind(count, "runs", BOUND, failed=failed)}
        return judged(few, {"lower_bound": bound}, expect={"lower_bound": ">= 95%"})

    clean = of(7, 0, 0.646)
    assert (clean.status, clean.reason) == (
        "inconclusive",
        "lower_bound is 64.6 %, but 7 runs are too few to say: lower_bound >= 95% needs 73",
    )
    assert of(7, 1, 0.49).status == "fail"
    assert of(73, 0, 0.9501).status == "pass"

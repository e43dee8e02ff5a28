# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks, select
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from tests.unit.module_utils.core.fakes import FakeProbe

PROBES = {"fake": FakeProbe()}


def refusal(*checks: Any, secrets: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_checks(checks, PROBES, secrets)
    return [str(problem) for problem in caught.value.problems]


def test_a_check_as_its_author_writes_it() -> None:
    (check,) = read_checks(
        [
            {
                "id": "S-003",
                "title": "Stream",
                "fake": {"target": "y", "hold": "10s"},
                "expect": {"status": "== 200", "value": [">= 1", "<= 2"]},
                "warn": {"latency": "> 1s"},
                "critical": {"levels": "!= 7"},
                "measures": {"levels": "length(levels)"},
                "retry": {"for": "30s", "every": "2s"},
                "tags": ["smoke"],
            }
        ],
        PROBES,
    )
    assert (check.id, check.probe, check.required, check.tags) == ("S-003", "fake", True, ("smoke",))
    assert check.timeout == 20.0
    assert check.retry is not None
    assert (check.retry.window, check.retry.every, check.retry.settle) == (30, 2, 2)
    assert check.expected()["expect"] == {"status": "== 200", "value": ">= 1 and <= 2"}


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        ({}, "A: expected exactly one probe"),
        ({"fake": None}, "has no threshold"),
        ({"fake": {}, "expect": {}}, "has no threshold"),
        ({"fake": {}, "expect": {"status": []}}, "A.expect.status: has no condition"),
        ({"fake": {}, "expect": "== 200"}, "expected a mapping of measure to condition"),
        ({"fake": {}, "expect": {"statsu": "== 200"}}, "unknown measure, did you mean 'status'"),
        ({"fake": {}, "expect": {"header.": "== x"}}, "unknown measure"),
        ({"fake": {}, "expct": {"status": "== 200"}}, "A.expct: unknown key, did you mean 'expect'"),
        ({"fake": {"traget": "x"}, "expect": {"status": "== 200"}}, "A.fake.traget: unknown key, did you mean 'target'"),
        ({"fake": {"number": 11}, "expect": {"status": "== 200"}}, "A.fake.number: expected at most 10"),
        ({"fake": {}, "expect": {"latency": "<= 5 parsec"}}, "A.expect.latency: 'parsec' is not a unit"),
        ({"fake": {}, "expect": {"status": "== 200"}, "timeout": 5}, "A.timeout: 5 has no unit"),
        ({"fake": {"hold": "10s"}, "expect": {"status": "== 200"}, "timeout": "5s"}, "not longer than the 10s"),
        ({"fake": {}, "expect": {"status": "== 200"}, "retry": {"every": "1s"}}, "A.retry.for: is missing"),
        ({"fake": {}, "expect": {"status": "== 200"}, "retry": "30s"}, "A.retry: expected a mapping"),
        ({"fake": {}, "expect": {"status": "== 200"}, "required": "perhaps"}, "A.required: expected true or false"),
        ({"fake": {}, "expect": {"status": "== 200"}, "skip": "not here"}, "a required check cannot be skipped"),
        ({"fake": {}, "expect": {"x": "== 1"}, "measures": {"x": "length("}}, "not a JMESPath expression"),
        ({"fake": {"password": "open"}, "expect": {"status": "== 200"}}, "expected {secret: NAME}"),
        ({"fake": {"password": {"secret": "nope"}}, "expect": {"status": "== 200"}}, "there is no secret named 'nope'"),
        ({"fake": {"target": {"secret": "known"}}, "expect": {"status": "== 200"}}, "a secret cannot be used here"),
    ],
)
def test_what_is_refused_names_check_and_key(check: dict[str, Any], complaint: str) -> None:
    problems = refusal({"id": "A", **check}, secrets={"known": "CANARY-1"})
    assert any(complaint in problem for problem in problems), problems
    assert "CANARY-1" not in repr(problems)


def test_every_mistake_is_in_one_message() -> None:
    problems = refusal(
        {"id": "A", "fake": {"number": 0, "traget": 1}, "expect": {"status": "== 200"}, "retry": {"for": 1}},
        {"id": "A", "fake": {}, "expect": {"latency": "> 5"}},
        {"fake": {}},
        "not a mapping",
        {"id": "B", "feke": {}, "warn": {"status": "> 1"}},
    )
    assert len(problems) == 10
    assert any(one.startswith("A: the id stands twice") for one in problems)
    assert any(one.startswith("checks[2]") for one in problems)
    assert any(one.startswith("checks[3]") for one in problems)


def test_a_secret_is_put_in_and_does_not_show_itself() -> None:
    check = {"id": "A", "fake": {"password": {"secret": "p"}}, "expect": {"status": "== 200"}}
    (one,) = read_checks([check], PROBES, {"p": "CANARY-2"})
    assert one.options["password"] == Secret("CANARY-2")
    assert "CANARY-2" not in repr(one)


def test_selection_by_tags() -> None:
    checks = read_checks(
        [{"id": str(n), "fake": {}, "expect": {"status": "== 1"}, "tags": tags} for n, tags in enumerate((["a"], ["a", "b"], []))],
        PROBES,
    )
    assert [one.id for one in select(checks, ["b", "c"])] == ["1"]
    assert [one.id for one in select(checks, [])] == ["0", "1", "2"]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.strategies import (
    AUTO,
    STRATEGIES,
    attempts,
    checks_of,
    gives_up,
    read_order,
)

ROLE = Path(__file__).parents[4] / "roles/rollback"
ORDER = [
    {"strategy": "stop_scheduler", "checks": ["SMOKE-5"], "tags": ["alerts"]},
    {"strategy": "reduce_load", "tags": ["streams"], "steps": ["load"]},
    {"strategy": "previous_release"},
]


def check(name: str, *tags: str) -> dict[str, Any]:
    return {"host": "h", "check": name, "tags": list(tags)}


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        ([check("SMOKE-5")], ["stop_scheduler", "previous_release"]),
        ([check("A-001", "alerts", "smoke")], ["stop_scheduler", "previous_release"]),
        ([check("S-003", "streams")], ["reduce_load", "previous_release"]),
        ([{"host": "h", "step": "load"}], ["reduce_load", "previous_release"]),
        # Half an answer is none.
        ([check("SMOKE-5"), check("S-003", "streams")], ["previous_release"]),
        ([check("X-1", "pages")], ["previous_release"]),
        ([{"host": "h", "step": "deploy"}], ["previous_release"]),
        # A check is not answered by a step of its name, nor the other way round.
        ([check("load")], ["previous_release"]),
        ([{"host": "h", "step": "SMOKE-5"}], ["previous_release"]),
        ([{"host": "h", "other": "the host was lost"}], ["previous_release"]),
        # Nobody knows why.
        ([], ["previous_release"]),
    ],
)
def test_the_least_that_answers_every_cause_and_then_the_next(causes: list[dict[str, Any]], expected: list[str]) -> None:
    assert attempts(AUTO, ORDER, causes) == expected


def test_a_strategy_that_is_named_is_the_only_one() -> None:
    assert attempts("reduce_load", None, [check("SMOKE-5")]) == ["reduce_load"]
    with pytest.raises(InputError, match=r"rollback_strategy: expected auto or one of .*reduce_load.*, got 'reduce'"):
        attempts("reduce", ORDER)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ([], "expected a list of strategies"),
        ("previous_release", "expected a list of strategies"),
        ([{"strategy": "previous_release", "tags": ["smoke"]}], "is the last one, so it has to answer everything"),
        ([{"strategy": "reduce_load"}, {"strategy": "reduce_load"}], "stands in the order already"),
        ([{"strategy": "reduce_load", "tags": []}, {"strategy": "previous_release"}], "answers nothing"),
        ([{"strategy": "undo"}], "rollback_order[0].strategy"),
        ([{"tags": ["smoke"]}, {"strategy": "previous_release"}], "rollback_order[0].strategy"),
        ([{"strategy": "previous_release", "tag": ["smoke"]}], "rollback_order[0].tag"),
    ],
)
def test_an_order_with_a_mistake_is_refused(order: Any, why: str) -> None:
    with pytest.raises(InputError) as refused:
        read_order(order)
    assert why in str(refused.value)


def test_every_mistake_is_named() -> None:
    with pytest.raises(InputError) as refused:
        read_order([{"strategy": "undo"}, {"strategy": "reduce_load", "steps": []}, {"strategy": "previous_release", "x": 1}])
    assert len(refused.value.problems) == 3


def test_what_gives_the_release_up() -> None:
    assert [name for name in STRATEGIES if gives_up(name)] == ["previous_release"]
    assert not gives_up("none")


def test_checks_of_causes() -> None:
    assert checks_of([check("A"), {"host": "h", "step": "deploy"}, check("B"), check("A")]) == ["A", "B"]


def test_each_strategy_is_known_to_the_role() -> None:
    assert {one.stem for one in (ROLE / "tasks/strategies").glob("*.yml")} == set(STRATEGIES)
    known = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__rollback_known"]
    assert set(known) == set(STRATEGIES)
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    assert set(options["rollback_strategy"]["choices"]) == {*STRATEGIES, AUTO}
    assert set(options["rollback_order"]["options"]["strategy"]["choices"]) == set(STRATEGIES)
    assert set(options["rollback_strategies"]["options"]) == set(STRATEGIES)

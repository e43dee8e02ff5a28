# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.comparison import compare
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import OPERATORS, parse_condition
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CannotCompare


@pytest.mark.parametrize(
    ("source", "kind", "good", "bad"),
    [
        ("== 200", "count", 200, 503),
        ("!= 200", "count", 503, 200),
        ("<= 500ms", "time", 0.5, 0.501),
        ("< 5 s", "time", 4.9, 5.0),
        ("> 1m", "time", 61, 60),
        (">= 99.5%", "ratio", 0.995, 0.994),
        (">= 0.95", "ratio", 0.95, 0.94),
        ("< 100MB", "size", 99e6, 1e8),
        ("<= 1MiB", "size", 1048576, 1048577),
        ("<= 10/min", "rate", 10 / 60, 0.2),
        ("== -1", "count", -1, 1),
        ("> -5%", "ratio", 0.0, -0.06),
        ("in 1, 2", "count", 2, 3),
        ("in 200, 204", "any", 204, 201),
        ("== true", "flag", True, False),
        ("!= true", "flag", False, True),
        ("== false", "any", False, True),
        (r"matches ^v1\.", "text", "v1.2", "v2.1"),
        ("not matches error", "text", "all good", "an error"),
        ("contains BTC", "text", "BTCUSDT", "ETHUSDT"),
        ("not contains BTC", "any", "ETHUSDT", "BTCUSDT"),
        ("== ok", "any", "ok", "starting"),
        ('== "7"', "any", "7", "8"),
        ("== 1.0", "text", "1.0", "1"),
        ("in a, b", "text", "b", "c"),
        ("> 2%", "any", 0.03, 0.02),
        ("== 1e3", "count", 1000, 999),
    ],
)
def test_what_holds_and_what_does_not(source: str, kind: str, good: units.Value, bad: units.Value) -> None:
    condition = parse_condition(source, kind)
    assert condition.holds(good)
    assert not condition.holds(bad)
    assert condition.source == source


@pytest.mark.parametrize(
    ("source", "kind", "complaint"),
    [
        ("200", "count", "does not start with an operator"),
        ("=", "count", "does not start with an operator"),
        ("==", "count", "no value"),
        ("<= 500", "time", "has no unit"),
        ("<= 500parsec", "time", "not a unit"),
        ("<= 500MB", "time", "unit of a size"),
        ("<= 5s", "count", "unit of a time"),
        ("> 5", "ratio", "not a ratio"),
        ("> ok", "text", "no order"),
        ("> true", "flag", "no order"),
        ("== maybe", "flag", "neither true nor false"),
        ('== "x"', "count", "is a text"),
        ("== x", "count", "not a number"),
        ("> x", "any", "not a number"),
        ("matches (", "text", "not a regular expression"),
        ("matches x", "count", "asked of texts"),
        ("contains x", "time", "asked of texts"),
        ("in 1, x", "any", "mixes"),
        ("in 1,", "count", "not a number"),
        ("== 1e999", "count", "finite"),
        ("== nan", "count", "not a number"),
        (200, "count", "not a condition"),
        (True, "flag", "not a condition"),
        (None, "count", "not a condition"),
        ([], "count", "not a condition"),
        ("== {{ x }}", "count", "not a number"),
        ("__import__('os')", "any", "does not start with an operator"),
    ],
)
def test_what_is_refused_and_with_which_words(source: object, kind: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_condition(source, kind)


@pytest.mark.parametrize("operator", [one for one in OPERATORS if one[0] in "=!<>"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "12", True, False])
def test_what_is_no_number_is_never_an_answer(operator: str, value: units.Value) -> None:
    with pytest.raises(CannotCompare):
        parse_condition(f"{operator} 5", "count").holds(value)


@pytest.mark.parametrize(("source", "value"), [("== ok", 1.0), ("contains ok", True), ("== true", "true"), ("== true", 1.0)])
def test_another_kind_of_value_is_never_an_answer(source: str, value: units.Value) -> None:
    with pytest.raises(CannotCompare):
        parse_condition(source, "any").holds(value)


numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@given(limit=numbers, value=numbers, worse=st.floats(min_value=0, max_value=1e12))
def test_a_value_that_gets_worse_never_comes_back_to_good(limit: float, value: float, worse: float) -> None:
    upper = parse_condition(f"<= {limit!r}", "count")
    lower = parse_condition(f">= {limit!r}", "count")
    if not upper.holds(value):
        assert not upper.holds(value + worse)
    if not lower.holds(value):
        assert not lower.holds(value - worse)


@given(limit=numbers, value=numbers)
def test_orderings_agree_with_each_other(limit: float, value: float) -> None:
    def holds(operator: str) -> bool:
        return parse_condition(f"{operator} {limit!r}", "count").holds(value)

    assert holds("<") is not holds(">=")
    assert holds(">") is not holds("<=")
    assert holds("==") is not holds("!=")
    assert holds("<=") is (holds("<") or holds("=="))


@given(number=st.floats(min_value=0.001, max_value=1e9), unit=st.sampled_from(sorted(units.UNITS)))
def test_a_unit_is_its_factor(number: float, unit: str) -> None:
    kind, factor = units.UNITS[unit]
    if kind == "ratio" and number * factor > 1:
        number = 1.0
    operand = parse_condition(f"<= {number!r}{unit}", kind).operand
    assert operand == pytest.approx(number * factor)


@given(source=st.text(max_size=30), kind=st.sampled_from(units.KINDS))
def test_any_text_is_read_or_refused_and_nothing_else(source: str, kind: str) -> None:
    try:
        condition = parse_condition(source, kind)
    except ValueError:
        return
    assert condition.kind in units.KINDS


@pytest.mark.parametrize("source", ["<= +10%", "> +50 %", ">= -10%", "< -5.5%", "<= +0%"])
def test_samples_are_only_held_against_those_before(source: str) -> None:
    condition = parse_condition(source, "samples")
    assert (condition.kind, condition.relative, condition.source) == ("samples", True, source)


@pytest.mark.parametrize(
    "source", ["<= 10ms", "<= 10%", ">= +10%", "< +10%", "<= -10%", "> -10%", "== +10%", "<= +10", "in 1, 2", "<= +10ms"]
)
def test_whatever_else_is_asked_of_samples_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=re.escape(source) + ".*many samples.*such as <= "):
        parse_condition(source, "samples")


def test_what_is_within_and_what_is_beyond() -> None:
    """The two of a pair are each other's opposite, and the sign chooses the direction that counts."""
    same, high, low = ([x / 1000] * 60 for x in (100, 150, 50))
    for now, holding in ((same, {"<= +10%", ">= -10%"}), (high, {"> +10%", ">= -10%"}), (low, {"<= +10%", "< -10%"})):
        found = compare(now, same)
        for source in ("<= +10%", "> +10%", ">= -10%", "< -10%"):
            assert parse_condition(source, "samples").holds_of(found) is (source in holding), (now[0], source)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How reports write durations, foreign texts and tables."""

from __future__ import annotations

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.report import text
from ansible_collections.golive.cutover.plugins.module_utils.report.table import table, width


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0, "0 s"),
        (0.43, "430 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (52.0, "52 s"),
        (59.96, "1 min"),
        (120, "2 min"),
        (72, "1 min 12 s"),
        (3599.7, "1 h"),
        (3900, "1 h 5 min"),
        (172800, "48 h"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float | None, said: str) -> None:
    assert text.duration(seconds) == said


def test_a_time_stands_against_its_budget() -> None:
    assert text.against_budget(12.34, 120) == "12.3 s of 2 min"
    assert text.against_budget(12.34, None) == "12.3 s"


def test_what_acts_on_a_terminal_is_shown_instead() -> None:
    assert text.visible("a\x1b[2Jb\x00\u202ec\ud800\u2028") == "a\\x1b[2Jb\\x00\\u202ec\\ud800\\u2028"
    assert text.visible("one\r\ntwo\tthree") == "one\ntwo\tthree"
    assert text.one_line(" a \n\n b\t") == "a b"


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0123, "s", "12.3 ms"),
        (0.944, "ratio", "94.4 %"),
        (1_500_000, "B", "1.5 MB"),
        (7, "", "7"),
        (7, "keys", "7 keys"),
        (True, "", "true"),
        (None, "s", "not measured"),
        ("v1\x07", "", "v1\\x07"),
        (["a"], "", "['a']"),
    ],
)
def test_a_measure_is_shown_with_its_unit(value: object, unit: str, said: str) -> None:
    assert text.measured(value, unit) == said


def test_a_table_is_aligned_and_on_one_line_each() -> None:
    rows = [
        {"host": "web-1", "alerts": 3, "leader": True, "keys": ["a", "b"]},
        {"host": "w2", "alerts": 12, "leader": None, "note": "two\nlines"},
    ]
    assert table(rows).splitlines() == [
        "host   alerts  leader  keys  note",
        "-----  ------  ------  ----  ---------",
        "web-1       3  yes     a, b  -",
        "w2         12  -       -     two lines",
    ]


def test_a_table_takes_columns_and_titles() -> None:
    assert table([{"a": 1.25, "b": ""}], ["b", "a"], {"a": "Alpha"}).splitlines() == [
        "b  Alpha",
        "-  -----",
        "-   1.25",
    ]
    assert table([], ["a"]) == "a\n-"
    assert table([]) == ""


def test_wide_characters_take_two_columns() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    lines = table([{"a": "日本", "b": "x"}, {"a": "ab", "b": "y"}]).splitlines()
    assert lines[2:] == ["日本  x", "ab    y"]

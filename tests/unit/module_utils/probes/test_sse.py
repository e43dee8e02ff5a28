# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe sse without a network: its options, its measures, and how it follows ids."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret, read_options
from ansible_collections.golive.cutover.plugins.module_utils.probes.sse import Ids, SseProbe

PROBE = SseProbe()


def refusals(**raw: Any) -> list[str]:
    found: list[Problem] = []
    options = read_options({"url": "http://h/s", **raw}, PROBE.options, "sse", found)
    return [str(one) for one in found or PROBE.problems(options)]


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ({"hold": 5}, "has no unit"),
        ({"hold": "0s"}, "more than 0s"),
        ({"url": "ftp://h/"}, "starts with http://"),
        ({"url": "http://u:p@h/"}, "credentials"),
        ({"connections": 0}, "at least 1"),
        ({"headers": {"A b": "x"}}, "not the name of a header"),
        ({"headers": {"Host": "x"}}, "set by the probe itself"),
        ({"headers": {"X": "a\r\nB: c"}}, "line break"),
        ({"headers": {"X": "日本"}}, "cannot carry"),
        ({"last_event_id": "a\nb"}, "line break"),
        ({"method": "HEAD", "resume": True}, "no meaning with method: HEAD"),
        ({"username": "u"}, "go together"),
        ({"conections": 2}, "did you mean 'connections'"),
    ],
)
def test_what_is_refused(raw: dict[str, Any], word: str) -> None:
    assert any(word in one for one in refusals(**raw)), refusals(**raw)


def test_a_secret_in_a_header_is_not_shown() -> None:
    (line,) = refusals(headers={"X-Key": Secret("CANARY-a\nb")})
    assert "CANARY" not in line


def test_measures_and_time_follow_the_options() -> None:
    options = {key: option.default for key, option in PROBE.options.items()}
    assert "resumed" not in PROBE.measures_for(options)
    assert PROBE.at_least(options) == 5
    assert "resumed" in PROBE.measures_for({**options, "resume": True})
    assert PROBE.at_least({**options, "resume": True}) == 11
    assert set(PROBE.measures_for({**options, "method": "HEAD"})) >= {"status", "header.*"}
    assert "events" not in PROBE.measures_for({**options, "method": "HEAD"})
    assert PROBE.at_least({**options, "method": "HEAD"}) == 0


def followed(*own: str | None, recent: int = 256) -> Ids:
    ids = Ids(recent)
    for one in own:
        ids.came(one)
    return ids


@pytest.mark.parametrize(
    ("own", "counting", "missed", "duplicated"),
    [
        (("1", "2", "3"), True, 0, 0),
        (("a-8", "a-9", "a-10"), True, 0, 0),
        (("1", "2", "3", "7", "8"), True, 3, 0),
        (("1", "2", "3", "2", "3", "4"), True, 0, 2),
        (("5", "5"), False, 0, 1),
        (("100", "200", "300"), False, 198, 0),
        (("x", "y", "x"), False, 0, 1),
        (("1700000000000-0", "1700000000100-0"), False, 0, 0),
        (("1",), False, 0, 0),
        (("1", None, "2"), False, 0, 0),
    ],
)
def test_ids(own: tuple[str | None, ...], counting: bool, missed: int, duplicated: int) -> None:
    ids = followed(*own)
    assert (ids.counting, ids.missed, ids.duplicated) == (counting, missed, duplicated)

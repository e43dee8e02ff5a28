# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ab` and `wrk` print is read right, and what they do not print is no figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import load_sides, load_tools
from tests.bench.figures import Figure, NotMeasured

AB = """\
Complete requests:      1000
Failed requests:        3
   (Connect: 0, Receive: 0, Length: 3, Exceptions: 0)
Requests per second:    5432.10 [#/sec] (mean)
"""


def _tool(path: Path, script: str) -> str:
    """A stand-in for a load generator."""
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_what_ab_says(tmp_path: Path) -> None:
    table = "Percentage served,Time in ms\\n0,0.1\\n50,1.5\\n95,12.25\\n"
    tool = _tool(tmp_path / "ab", f"printf '{table}' > {tmp_path}/ab.csv\ncat <<'END'\n{AB}END")
    seen = load_sides.ab(tool, "http://127.0.0.1/", 1000, 10, tmp_path)
    assert (seen.completed, seen.failed, seen.throughput) == (1000, 3, 5432.1)
    assert (seen.p50, seen.p95) == pytest.approx((0.0015, 0.01225))


def test_what_wrk_says(tmp_path: Path) -> None:
    tool = _tool(tmp_path / "wrk", "echo 'RESULT 3000 2 3000000 1500.000 12250.000'")
    seen = load_sides.wrk(tool, "http://127.0.0.1/", 3, 10, tmp_path)
    assert (seen.completed, seen.failed, seen.throughput) == (3000, 2, 1000)
    assert (seen.p50, seen.p95) == pytest.approx((0.0015, 0.01225))


@pytest.mark.parametrize("script", ["echo nothing", "echo 'connection refused' >&2; exit 1"])
def test_a_tool_that_does_not_say_it(tmp_path: Path, script: str) -> None:
    tool = _tool(tmp_path / "tool", script)
    with pytest.raises(NotMeasured):
        load_sides.ab(tool, "http://127.0.0.1/", 10, 1, tmp_path)
    with pytest.raises(NotMeasured):
        load_sides.wrk(tool, "http://127.0.0.1/", 1, 1, tmp_path)


def test_a_difference_has_no_sign() -> None:
    one, other = Figure("a", "s", (1.0, 1.1, 0.8)), Figure("b", "s", (1.0, 1.0, 1.0))
    result = load_tools.difference("differ", one, other)
    assert (result.value, result.met) == (0, True)
    assert (result.low, result.high) == pytest.approx((0, 20))
    assert load_tools.difference("differ", Figure("a", "s", (0.8,)), Figure("b", "s", (1.0,))).met is False
    with pytest.raises(NotMeasured):
        load_tools.difference("differ", one, Figure("b", "s", (0.0,)))

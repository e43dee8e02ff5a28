# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import units


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800), ("0s", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", [5, 5.0, True, None, "5", "5 parsec", "-1s", "5MB", "", "1e400s", ["5s"]])
def test_durations_without_a_unit_or_sense_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="such as 500ms, 30s, 5m, 1h"):
        units.parse_duration(wrong)


@pytest.mark.parametrize(("text", "size"), [("512B", 512), ("10kB", 10_000), ("1MiB", 1_048_576), ("1.5GB", 1_500_000_000)])
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("wrong", [5, None, "5", "5s", "-1MB"])
def test_sizes_without_a_unit_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="such as 512B"):
        units.parse_size(wrong)


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (0.0123, "time", "12.3 ms"),
        (1.5, "time", "1.5 s"),
        (0.0, "time", "0 s"),
        (10800.0, "time", "3 h"),
        (259200.0, "time", "3 d"),
        (0.05, "ratio", "5 %"),
        (1_234_567.0, "size", "1.235 MB"),
        (12.0, "size", "12 B"),
        (2.5, "rate", "2.5/s"),
        (200.0, "count", "200"),
        (True, "flag", "true"),
        ("word", "text", "word"),
        (float("nan"), "count", "nan"),
    ],
)
def test_values_as_a_person_reads_them(value: units.Value, kind: str, shown: str) -> None:
    assert units.show(value, kind) == shown


def test_a_long_text_is_cut_when_it_is_shown() -> None:
    assert len(units.show("x" * 5000)) == 200

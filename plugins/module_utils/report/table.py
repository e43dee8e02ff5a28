# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Records as a table of aligned plain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.report import text

MISSING = "-"


def width(shown: str) -> int:
    """How many columns of a terminal a text takes: wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in shown)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(one) for one in value) or MISSING
    if isinstance(value, Mapping):
        return ", ".join(f"{text.one_line(key)}={_cell(one)}" for key, one in value.items()) or MISSING
    return text.one_line(value) or MISSING


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _columns(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every key of the records, in the order in which they first appear."""
    return list(dict.fromkeys(key for record in records for key in record))


def table(
    records: Iterable[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    titles: Mapping[str, str] | None = None,
) -> str:
    """Render records as a table, one line each, without a newline at the end.

    ``columns`` are the keys to show, in their order (default: all); ``titles`` are their headings (default: the key).
    A missing value is shown as ``-``; columns of numbers are aligned to the right. No records: headings only.
    """
    rows = list(records)
    keys = list(columns) if columns is not None else _columns(rows)
    head = [text.one_line((titles or {}).get(key, key)) for key in keys]
    body = [[_cell(row.get(key)) for key in keys] for row in rows]
    sizes = [max([width(title), *(width(line[index]) for line in body)]) for index, title in enumerate(head)]
    right = []
    for key in keys:
        values = [row[key] for row in rows if row.get(key) is not None]
        right.append(bool(values) and all(_is_number(value) for value in values))

    def line(cells: Sequence[str]) -> str:
        padded = [
            " " * (size - width(cell)) + cell if to_right else cell + " " * (size - width(cell))
            for cell, size, to_right in zip(cells, sizes, right)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), line(["-" * size for size in sizes]), *(line(cells) for cells in body)]) if keys else ""

# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that shows records as a table."""

from __future__ import annotations

DOCUMENTATION = r"""
name: table
short_description: Show records as a table of aligned plain text
version_added: 0.1.0
description:
  - One line for each record, aligned by columns, for a terminal or a mail.
  - A value that is missing is shown as C(-). Columns of numbers are aligned to the right. A cell is always on one line.
positional: columns
options:
  _input:
    description: The records.
    type: list
    elements: dict
    required: true
  columns:
    description: The keys to show, in their order. The default is every key, in the order in which they first appear.
    type: list
    elements: str
  titles:
    description: Headings for the columns, by key. The default is the key.
    type: dict
author:
  - The golive.cutover contributors (@golive-cutover)
"""

EXAMPLES = r"""
- name: Show what runs where
  ansible.builtin.debug:
    msg: "{{ (rows | golive.cutover.table(['host', 'release', 'healthy'], titles={'host': 'Host'})).splitlines() }}"
  vars:
    rows:
      - {host: web-1, release: 1.0.0, healthy: true}
      - {host: web-2, release: 0.9.0, healthy: false}
"""

RETURN = r"""
_value:
  description: The table, without a newline at its end.
  type: str
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# Every task that uses any filter of the collection imports this file: what only this filter needs is imported by it.


def table(records: Any, columns: Sequence[str] | None = None, titles: Mapping[str, str] | None = None) -> str:
    from ansible_collections.golive.cutover.plugins.module_utils.report.table import table as render

    rows = list(records) if isinstance(records, (list, tuple)) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise AnsibleFilterError(f"table expects a list of mappings, got {type(records).__name__}")
    return render(rows, columns, titles)


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"table": table}

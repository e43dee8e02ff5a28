# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter for the figures of DORA: one call into the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# Every task that uses any filter of the collection imports this file: what only this filter needs is imported by it.


def dora(
    entries: Sequence[Mapping[str, Any]],
    until: str,
    over: str = "30d",
    commits: Mapping[str, Any] | None = None,
    least: int | None = None,
) -> dict[str, Any]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import dora as core
    from ansible_collections.golive.cutover.plugins.module_utils.core import units
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

    try:
        return core.figures(entries, until, units.parse_duration(over), commits, core.LEAST if least is None else least)
    except (CutoverError, ValueError) as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"dora": dora}

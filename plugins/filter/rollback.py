# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

# Every task that uses any filter of the collection imports this file: what only this filter needs is imported by it.


def plan(known: Mapping[str, Any], candidate: str = "", to: str = "", before: str = "") -> dict[str, Any]:
    """What is given up and where to go, from the result of the module release."""
    from ansible_collections.golive.cutover.plugins.module_utils.core import rollback_plan

    try:
        return rollback_plan.plan(known, candidate or None, to or None, before or None)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"rollback_plan: expected the result of golive.cutover.release ({error})") from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollback_plan": plan}

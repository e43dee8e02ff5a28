# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def attempts(strategy: str, order: Any = None, causes: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The strategies to try, one after the other."""
    from ansible_collections.golive.cutover.plugins.module_utils.core import strategies
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

    try:
        return strategies.attempts(strategy, order, causes)
    except CutoverError as error:
        raise AnsibleFilterError(f"rollback_attempts: {error}") from error


def order_problems(order: Any) -> list[str]:
    """The mistakes in the order of the strategies, a line each."""
    from ansible_collections.golive.cutover.plugins.module_utils.core import strategies
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError

    try:
        strategies.read_order(order)
    except InputError as error:
        return [str(one) for one in error.problems]
    return []


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollback_attempts": attempts, "rollback_order_problems": order_problems, "rollback_plan": plan}

# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the controller: puts the answer of a canary into a file, so that it is in no result, no fact and no log."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.golive.cutover.plugins.action.check import ActionModule as Check


class ActionModule(Check):
    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        result.update(self._execute_module(module_name="golive.cutover.canary", module_args=arguments, task_vars=variables))
        handed = result.pop("artefacts", None) or []
        verdict = result.get("verdict")
        if isinstance(verdict, dict):
            # What a verdict says of its files is said here: the host does not know them.
            verdict.pop("artefacts", None)
            if handed:
                host = str(variables.get("inventory_hostname") or "host")
                self._keep(handed, [verdict], host, arguments, result)
        return result

# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the controller: says which process takes the lock, and whether the one that holds it is certainly dead."""

from __future__ import annotations

import getpass
import multiprocessing
import os
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.golive.cutover.plugins.module_utils.core.units import parse_duration
from ansible_collections.golive.cutover.plugins.module_utils.store.controller import Here, identity, is_dead


def controller_pid() -> int:
    """The PID of ansible-playbook.

    The worker asks for the process that forked it, not for its parent now: one that outlives ansible-playbook gets
    another parent.
    """
    parent = multiprocessing.parent_process()
    return parent.pid if parent is not None and parent.pid is not None else os.getpid()


def operator(variables: Mapping[str, Any]) -> str:
    """Who runs Ansible: the user of AWX, else the user of this process."""
    for name in ("awx_user_name", "tower_user_name"):
        if variables.get(name):
            return str(variables[name])
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class ActionModule(ActionBase):  # type: ignore[misc]
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if arguments.get("state", "acquired") == "acquired":
            arguments["controller"] = identity(Here(), controller_pid())
            arguments["owner"] = arguments.get("owner") or operator(variables)
            result.update(self._acquire(arguments, variables))
        else:
            result.update(self._module(arguments, variables))
        return result

    def _acquire(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        # Nobody waits for the dead: first without waiting, so that a dead holder is recognised at once.
        answer = self._module({**arguments, "wait": "0s"} if _waits(arguments) else arguments, variables)
        answer = self._take_over(arguments, answer, variables)
        if answer.get("held") and _waits(arguments):
            answer = self._take_over(arguments, self._module(arguments, variables), variables)
        return answer

    def _take_over(self, arguments: dict[str, Any], answer: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        """Try again as the successor of a holder that is certainly dead; otherwise say why it is not taken over."""
        holder = answer.get("holder")
        if not answer.get("held") or not isinstance(holder, Mapping) or holder.get("manual"):
            return answer
        evidence = is_dead(holder.get("controller"), Here())
        if evidence.dead:
            successor = {"takeover": holder["token"], "takeover_reason": evidence.why, "wait": "0s"}
            return self._module({**arguments, **successor}, variables)
        return {
            **answer,
            "msg": f"{answer.get('msg', '')} It was not taken over before its lease ends: {evidence.why}.",
        }

    def _module(self, arguments: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(module_name="golive.cutover.lock", module_args=arguments, task_vars=variables)
        return answer


def _waits(arguments: Mapping[str, Any]) -> bool:
    """Whether the task waits. A wait that cannot be read is left to the module, which refuses it."""
    try:
        return parse_duration(arguments.get("wait", "0s")) > 0
    except ValueError:
        return False

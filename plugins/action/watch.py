# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the controller: shows each look of the live watch as one line while the watch goes on."""

from __future__ import annotations

import time
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.report import text

_LONGEST = 300.0
"""Seconds of the longest pause after a look that could not be made."""


class ActionModule(ActionBase):  # type: ignore[misc]
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            found = self._execute_module(module_name="golive.cutover.watch", module_args=arguments, task_vars=task_vars or {})
        except AnsibleConnectionFailure as error:
            # The watch goes on: a host that is back is seen again.
            found = {"failed": True, "msg": f"the host cannot be reached: {error}"}
        result.update(found)
        if isinstance(result.get("line"), str):
            loud = any(one.get("level") != "ok" for one in result.get("changes") or [])
            Display().display(text.visible(result["line"]), color=C.COLOR_WARN if loud else None)
        elif arguments.get("until"):
            Display().display(text.one_line(f"COULD NOT LOOK: {result.get('msg')}"), color=C.COLOR_ERROR)
            time.sleep(min(max(units.parse_duration(str(arguments.get("every") or "30s")), 0.0), _LONGEST))
        return result

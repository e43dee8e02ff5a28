# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the controller: puts what a host keeps as evidence into files, so that it is in no result, no fact and no log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.golive.cutover.plugins.module_utils.core import artefacts
from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import with_host
from ansible_collections.golive.cutover.plugins.module_utils.report import evidence
from ansible_collections.golive.cutover.plugins.module_utils.report.scrub import scrubber


class ActionModule(ActionBase):  # type: ignore[misc]
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        host = str(variables.get("inventory_hostname") or "")
        if isinstance(arguments.get("checks"), list):
            # Where hosts share a store, samples are those of the host that looks.
            arguments["checks"] = with_host(arguments["checks"], host)
        result.update(self._execute_module(module_name="golive.cutover.check", module_args=arguments, task_vars=variables))
        handed = result.pop("artefacts", None) or []
        verdicts = [one for one in result.get("verdicts") or [] if isinstance(one, dict)]
        # What a verdict says of its files is said here: the host does not know them.
        for verdict in verdicts:
            verdict.pop("artefacts", None)
        if handed:
            self._keep(handed, verdicts, host or "host", arguments, result)
        return result

    def _keep(
        self, handed: Any, verdicts: list[dict[str, Any]], host: str, arguments: dict[str, Any], result: dict[str, Any]
    ) -> None:
        secrets = arguments.get("secrets")
        clean = scrubber([str(one) for one in secrets.values()] if isinstance(secrets, dict) else [])
        home = arguments.get("artefacts_dir")
        by_id = {verdict.get("id"): verdict for verdict in verdicts}
        unpacked = [artefacts.unpack(one) for one in handed] if isinstance(handed, list) else []
        for raw in artefacts.bounded(one for one in unpacked if one is not None):
            verdict = by_id.get(raw.check)
            if verdict is None:
                continue
            content = artefacts.cleaned(raw.media_type, raw.content, clean)
            kept = artefacts.Kept(raw.check, clean(raw.name), raw.media_type, content)
            record = kept.record()
            if home and not self._task.check_mode:
                try:
                    record["file"] = evidence.write(Path(str(home)).expanduser(), host, kept)
                except OSError as error:
                    result.setdefault("warnings", []).append(f"the evidence {kept.name} of {kept.check} is not kept: {error}")
            verdict.setdefault("artefacts", []).append(record)

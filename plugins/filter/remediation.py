# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role remediate. Each is one call into the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Every task that uses any filter of the collection imports this file: what only this one needs is imported by its filters.


def problems(incidents: Any, incident: str, secrets: Sequence[str] = ()) -> list[str]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import remediation
    from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

    return remediation.problems_of(incidents, incident, PROBES, secrets)


def seen(look: Mapping[str, Any] | None, lock: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Whether the incident is there, from the results of the modules check and leader_lock."""
    from ansible_collections.golive.cutover.plugins.module_utils.core import remediation

    known = look or {}
    return remediation.seen(known.get("verdicts") or [], known.get("asked") or [], lock or None)


def settings(wanted: Mapping[str, Any], text: str) -> dict[str, Any]:
    """What of the settings is to be changed; ``text`` is the env file as it stands."""
    from ansible_collections.golive.cutover.plugins.module_utils import env_file
    from ansible_collections.golive.cutover.plugins.module_utils.core import remediation

    now, _problems = env_file.read_values(env_file.parse(text))
    return remediation.settings(now, wanted)


def record(run: Mapping[str, Any], outcomes: Mapping[str, Any], closed: Mapping[str, Any], ended: str) -> dict[str, Any]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import remediation

    return remediation.record(run, outcomes, closed, ended)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "remediation_problems": problems,
            "remediation_seen": seen,
            "remediation_settings": settings,
            "remediation_record": record,
        }

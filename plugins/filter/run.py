# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that the playbooks use to put a run together. Each is one call into the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.golive.cutover.plugins.module_utils.core import gate, runs, units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES


def plan_problems(plan: Mapping[str, Any]) -> list[str]:
    return runs.plan_problems(plan, PROBES)


def seconds(duration: Any) -> float | None:
    if duration is None or duration == "":
        return None
    try:
        return units.parse_duration(str(duration))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def blocking(verdicts: Sequence[Mapping[str, Any]], policy: Any = None) -> list[Mapping[str, Any]]:
    try:
        return list(gate.blocking(verdicts, gate.read_policy(policy)))
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error


def outcomes(hostvars: Mapping[str, Any], hosts: Sequence[str], fact: str = "cutover_outcome") -> dict[str, Any]:
    return {host: hostvars[host].get(fact) if host in hostvars else None for host in hosts}


def waves(hosts: Sequence[str], serial: Any) -> list[list[str]]:
    try:
        return runs.waves(hosts, serial)
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "plan_problems": plan_problems,
            "seconds": seconds,
            "blocking": blocking,
            "outcomes": outcomes,
            "evidence": runs.evidence,
            "verify_gate": runs.verify_gate,
            "waves": waves,
            "stopped": runs.stopped,
            "rollback_summary": runs.rollback_summary,
            "run_record": runs.run_record,
        }

# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that the playbooks use to put a run together. Each is one call into the core."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.golive.cutover.plugins.module_utils.core import gate, runs, units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem

_SECRET_KEY = re.compile(r"token|secret|pass|key|cred|auth|dsn|private|chat_id", re.IGNORECASE)
_SECRET_URL = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_SHORTEST_SECRET = 4
"""Shorter values would be found in every other word."""

# Every task that uses a filter is a process that imports this file: what only one filter needs is imported there.


def plan_problems(plan: Mapping[str, Any]) -> list[str]:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

    return runs.plan_problems(plan, PROBES)


def secrets_problems(
    values: Mapping[str, Any],
    required: Sequence[str] = (),
    formats: Mapping[str, Any] | None = None,
    placeholders: Sequence[str] | None = None,
    base: str = "",
) -> list[str]:
    """What is wrong with the values of an env file, as far as it is known before the host is asked. Keys are named, values never.

    With a base file on the host its keys count too, so a key that is missing here is no mistake yet.
    """
    from ansible_collections.golive.cutover.plugins.module_utils import env_file

    problems: list[Problem] = []
    rules, given = env_file.Rules(), {}
    try:
        rules = env_file.read_rules([] if base else required, formats, placeholders)
    except InputError as error:
        problems += error.problems
    try:
        given = env_file.read_given(values)
    except InputError as error:
        problems += error.problems
    seen = {one.where for one in problems}
    problems += [one for one in env_file.validate_values(given, rules) if one.where not in seen]
    return [f"secrets_values: {one}" for one in problems]


def seconds(duration: Any, lenient: bool = False) -> float | None:
    """Seconds of a duration; None for none. Lenient: None for what is no duration, where the plan has complained already."""
    if duration is None or duration == "":
        return None
    try:
        return units.parse_duration(str(duration))
    except ValueError as error:
        if lenient:
            return None
        raise AnsibleFilterError(str(error)) from error


def with_tags(checks: Sequence[Mapping[str, Any]], tags: Sequence[str], ids: Sequence[str] = ()) -> list[Mapping[str, Any]]:
    """The checks with any of the tags or one of the ids; all when there is no tag. Only a check that is chosen is templated."""
    wanted = set(tags)
    return [
        check
        for check in checks
        if not wanted or (isinstance(check, Mapping) and (wanted & set(runs.tags_of(check)) or check.get("id") in ids))
    ]


def asked_before(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import baseline

    return baseline.asked_before(checks)


def blocking(verdicts: Sequence[Mapping[str, Any]], policy: Any = None) -> list[Mapping[str, Any]]:
    try:
        return list(gate.blocking(verdicts, gate.read_policy(policy)))
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error


def outcomes(hostvars: Mapping[str, Any], hosts: Sequence[str], fact: str = "cutover_outcome") -> dict[str, Any]:
    return {host: hostvars[host].get(fact) if host in hostvars else None for host in hosts}


def secret_values(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """What must not be written anywhere, of all hosts: the secrets of the checks, of the env file, of store and Redis."""
    found: set[str] = set()
    for host in (one for one in hosts if one in hostvars):
        known = hostvars[host]
        found |= {str(one) for one in (known.get("cutover_secrets") or {}).values()}
        found |= {
            str(one)
            for key, one in (known.get("secrets_values") or {}).items()
            if _SECRET_KEY.search(str(key)) or _SECRET_URL.search(str(one))
        }
        found |= {str(known.get(name) or "") for name in ("cutover_store_password", "redis_aof_password")}
    return sorted(one for one in found if len(one) >= _SHORTEST_SECRET)


def hidden(text: Any, secrets: Sequence[str]) -> str:
    """A text without the secrets."""
    shown = str(text)
    for secret in sorted(secrets, key=len, reverse=True):
        shown = shown.replace(secret, "***")
    return shown


def waves(hosts: Sequence[str], serial: Any) -> list[list[str]]:
    try:
        return runs.waves(hosts, serial)
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error


def status_lines(verdicts: Any, host: str, lock: Any, releases: Any, ledger: Any) -> list[str]:
    from ansible_collections.golive.cutover.plugins.module_utils.report import status

    return status.lines(verdicts, host, lock, releases, ledger)


def closing_lines(record: Mapping[str, Any], secrets: Sequence[str] = ()) -> list[str]:
    from ansible_collections.golive.cutover.plugins.module_utils.report import ending, model

    try:
        return ending.closing_lines(model.read_run(record, secrets))
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "plan_problems": plan_problems,
            "secrets_problems": secrets_problems,
            "seconds": seconds,
            "blocking": blocking,
            "with_tags": with_tags,
            "asked_before": asked_before,
            "outcomes": outcomes,
            "evidence": runs.evidence,
            "verify_gate": runs.verify_gate,
            "secret_values": secret_values,
            "hidden": hidden,
            "waves": waves,
            "stopped": runs.stopped,
            "rollback_summary": runs.rollback_summary,
            "run_record": runs.run_record,
            "rehearsal": runs.rehearsal,
            "closing_lines": closing_lines,
            "status_lines": status_lines,
        }

# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for telling people. Each is one call into the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# Every task that uses any filter of the collection imports this file: what only this one needs is imported by its filters.


def notice(run: Mapping[str, Any], event: str, record: Mapping[str, Any] | None = None, topic: str = "") -> dict[str, Any]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import notices
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

    try:
        return notices.notice(run, event, record, topic)
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error


def notices(
    run: Mapping[str, Any], events: Sequence[Mapping[str, Any]], put_off: Sequence[Mapping[str, Any]] = (), records: int = 0
) -> list[dict[str, Any]]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import notices as core
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

    try:
        return core.notices(run, events, put_off, int(records))
    except CutoverError as error:
        raise AnsibleFilterError(str(error)) from error


def untold(
    messages: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]] | None, channels: Sequence[str]
) -> list[dict[str, Any]]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import notices as core

    return core.untold(messages, results, channels)


def told_since(results: Sequence[Mapping[str, Any]], fresh: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import notices as core

    return core.told_since(results, fresh)


def watch_news(hostvars: Mapping[str, Any], hosts: Sequence[str], round: int) -> list[dict[str, Any]]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import notices

    known = {host: hostvars.get(host, {}).get("hypercare_watched") for host in hosts}
    return notices.watch_news(known, int(round))


def watch_table(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from ansible_collections.golive.cutover.plugins.module_utils.core import escalation

    return escalation.one_table([one["gate"]["criteria"] for one in results])


def told_line(result: Mapping[str, Any]) -> str:
    from ansible_collections.golive.cutover.plugins.module_utils.core import notices

    return notices.told_line(result)


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "notice": notice,
            "notices": notices,
            "told_line": told_line,
            "told_since": told_since,
            "untold": untold,
            "watch_news": watch_news,
            "watch_table": watch_table,
        }

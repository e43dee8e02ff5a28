# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Which outputs monitoring has: each is one file and one function from a plan to its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks, select
from ansible_collections.golive.cutover.plugins.module_utils.monitoring import alertmanager, dashboard, rules
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.model import Plan, Settings
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.translate import translate
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

OUTPUTS: Mapping[str, Callable[[Plan], str]] = {
    "rules": rules.render,
    "alertmanager": alertmanager.render,
    "dashboard": dashboard.render,
}


class _AnySecret(Mapping[str, str]):
    """A secret for every name: none is needed to know what a check measures, and none is written."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> str:
        return "unknown"

    def __iter__(self) -> Iterator[str]:
        return iter(("any",))

    def __len__(self) -> int:
        return 1


def plan(checks: Iterable[Any], settings: Settings, tags: Iterable[str] = ()) -> Plan:
    """Read checks and translate those with any of the tags; all when there is none. Raises InputError."""
    return translate(select(read_checks(checks, PROBES, _AnySecret()), tags), settings)


def render(of: Plan, outputs: Iterable[str]) -> dict[str, str]:
    """The text of each output."""
    return {name: OUTPUTS[name](of) for name in outputs}

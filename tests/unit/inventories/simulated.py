# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sampler would have kept of a time, in a store of a test, and what the live watch of an inventory makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import escalation
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.escalation import Escalation
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Watch
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock, run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import watching
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key, Look
from tests.inventories import by_id, rendered

GO = 1_763_700_000.0
Pages = Callable[[float], Mapping[str, Mapping[Key, float]]]
"""Seconds after the GO to what the pages show then."""

LISTS = ("hypercare_watch_checks", "hypercare_objectives", "hypercare_sampler_checks", "hypercare_checklist")


class Simulated:
    """A store with what the pages of an environment showed, a look every so often from the GO until now."""

    def __init__(self, inventory: str, directory: Path, pages: Pages, lasts: float, every: float = 30.0) -> None:
        self.now = GO + lasts
        self.file = directory / "golive.db"
        found = rendered(inventory, "hypercare_escalations", *LISTS)
        text = json.dumps(found).replace("/@STORE@", str(self.file))
        self.found: dict[str, Any] = json.loads(text)
        self.checks = by_id(*(self.found[one] for one in LISTS))
        self.table: tuple[Escalation, ...] = escalation.read_escalations(self.found["hypercare_escalations"], self.checks)
        looks = []
        for number in range(int(lasts / every) + 1):
            shown = pages(number * every)
            looks += [Look(page, GO + number * every, values) for page, values in shown.items()]
        with open_store(f"sqlite://{self.file}", inventory) as store:
            store._clock = lambda: self.now  # type: ignore[attr-defined]
            samples.write(store, looks)

    def levels(self, *ids: str) -> dict[str, str]:
        """The levels of these conditions of the live watch, now; else ``not yet``, or ``unmeasured``."""
        table = sorted((one for one in self.table if one.check in ids), key=lambda one: ids.index(one.check))
        assert [one.check for one in table] == list(ids), "not in the table"
        checks = read_checks([self.checks[one] for one in ids], PROBES)
        found = watching.ask(table, checks, PROBES, Watch("run-1", "1.0.0", GO), self.now, 20)
        return {one.check: one.level or ("not yet" if one.waiting else "unmeasured") for one in found}

    def verdicts(self, *ids: str) -> dict[str, dict[str, Any]]:
        """What the checks say now, asked as a checkpoint asks them."""
        checks = read_checks([self.checks[one] for one in ids], PROBES)
        return {one["id"]: one for one in run_checks(checks, PROBES, clock=Clock(now=lambda: self.now))}

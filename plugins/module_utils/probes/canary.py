# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How the last runs of a canary went, by what is written down of them in the store. It runs none itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.enough import BOUND, Behind
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import pass_rate
from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import STORE_OPTIONS, name_of
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe
from ansible_collections.golive.cutover.plugins.module_utils.store import canaries
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store

LAST = 7
AHEAD = 5.0
"""Seconds that the newest run may be ahead of the store's clock before that is a clock that was put back."""


WITHIN = 7 * 86_400.0
"""Seconds for which a run says something about the system of today, unless the check says how long."""


class CanaryProbe(Probe):
    """Asks the store how the last runs of a canary went. Too few of them say nothing."""

    name = "canary"
    options: ClassVar[Mapping[str, Option]] = {
        **STORE_OPTIONS,
        "name": Option(name_of, "name of the canary", default="canary"),
        "last": Option(opt.integer(1, canaries.MOST), "how many of the newest runs are judged", default=LAST),
        "least": Option(opt.integer(1, canaries.MOST), "how many of them there must be; without it, all"),
        "within": Option(opt.duration, "only runs that are not older", default=WITHIN),
        "release": Option(opt.text, "only runs against this release"),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "pass_rate": "ratio",
        "lower_bound": "ratio",
        "runs": "count",
        "passed": "count",
        "failed": "count",
        "newest": "text",
        "age": "time",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        if options["least"] is not None and options["least"] > options["last"]:
            return [Problem("least", "is more than last, so there could never be enough")]
        return []

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        try:
            with open_store(options["store"], options["environment"], opt.reveal(options["store_password"])) as store:
                runs, now = canaries.read(store, options["name"])
        except StoreError as error:
            raise ProbeError(str(error)) from error
        if runs and runs[-1]["at"] > now + AHEAD:
            ahead = units.show(round(runs[-1]["at"] - now, 1), "time")
            raise ProbeError(f"the newest run of {options['name']} is {ahead} in the future: the clock was put back")
        if options["release"] is not None:
            runs = [one for one in runs if one["release"] == options["release"]]
        runs = [one for one in runs if one["at"] >= now - options["within"]]
        runs = runs[-options["last"] :]
        if not runs:
            raise ProbeError(f"no run of {options['name']}{_limits(options)} is written down in {options['store']}")
        passed = sum(one["passed"] is True for one in runs)
        age = max(now - runs[-1]["at"], 0.0)
        seen = Observation(
            measures={
                "runs": len(runs),
                "passed": passed,
                "failed": len(runs) - passed,
                "newest": runs[-1]["status"],
                "age": age,
            },
            proof={
                "runs": len(runs),
                "passed": passed,
                "age": round(age, 1),
                "window": round(runs[-1]["at"] - runs[0]["at"], 1),
                "newest": {key: runs[-1][key] for key in ("time", "run", "release", "status")},
            },
        )
        bad = [f"{one['time']}: {one['reason']}" for one in runs if one["passed"] is not True]
        if bad:
            seen.proof["not_passed"] = bad[-5:]
        need = options["least"] or options["last"]
        if len(runs) < need:
            why = f"{len(runs)} run{'' if len(runs) == 1 else 's'}{_limits(options)} are too few to say: {need} are needed"
            seen.missing.update(pass_rate=why, lower_bound=why)
            return seen
        rate = pass_rate(passed, len(runs))
        seen.measures.update(pass_rate=rate.ratio, lower_bound=rate.bounds.low)
        seen.behind["lower_bound"] = Behind(len(runs), "runs", BOUND, failed=len(runs) - passed)
        seen.proof["bounds"] = rate.within()
        return seen


def _limits(options: Mapping[str, Any]) -> str:
    found = f" against {options['release']}" if options["release"] is not None else ""
    return f"{found} within {units.show(options['within'], 'time')}"

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a watch may say of the time between its checkpoints, from the samples and the ledger of a store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare, windows
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Asked, Jump, State, Watch
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import Judgement, judge, verdict
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

SAMPLER_PAGE = "golive_sampler"
"""The page that the sampler writes about itself at each of its looks."""
SAMPLER_CLOCK = "golive_sampler_clock_seconds"
"""What its steady clock said: seconds since the machine was started."""
FIRST_LOOKS = 4
"""So many looks of the sampler must have been made before the first checkpoint says that it looks."""


def refuse_others(objectives: Sequence[Check]) -> None:
    """An objective is judged over the time that is past, so only the probe `window` can ask it. Raises InputError."""
    problems = [
        Problem(f"{one.id}.{one.probe}", "an objective is asked of samples, by the probe window; its over is one stretch of time")
        for one in objectives
        if one.probe != "window"
    ]
    problems += [Problem(f"{one.id}.retry", "what is past does not change") for one in objectives if one.retry is not None]
    if problems:
        raise InputError(problems)


def ask_past(check: Check, probe: Probe, start: float, end: float, timeout: float = 30.0) -> Asked:
    """What a check of the probe `window` says of the time from start to end, as if it were asked at the end."""
    clock = time.monotonic
    at_end = replace(check, options={**check.options, "over": end - start})
    try:
        seen = probe.look(at_end.options, Context(deadline=clock() + timeout, clock=clock, now=lambda: end))
        judgement = judge(at_end, seen)
    except ProbeError as error:
        seen = Observation()
        judgement = Judgement("inconclusive", f"could not be measured, because {error}")
    record = verdict(at_end, judgement, seen, attempts=1, started=hypercare.utc(end), duration=0.0)
    covered = float(seen.measures.get("coverage", 0.0)) >= check.options["coverage"]
    # Both sides of a ratio were counted, and were too few to say.
    few = covered and bool(seen.missing) and set(seen.missing) <= set(seen.proof.get("counted", {}))
    return Asked(record, covered, few)


def judge_objective(check: Check, probe: Probe, start: float, end: float) -> dict[str, Any]:
    """One objective over the whole time from start to end. See `hypercare.continuously`."""
    found = hypercare.continuously(
        check.id,
        check.title,
        lambda begin, until: ask_past(check, probe, begin, until),
        start,
        end,
        float(check.options["over"]),
        required=check.required,
    )
    return {**found, "probe": check.probe, "expected": check.expected(), "tags": list(check.tags) or ["hypercare"]}


def judge_sampler(
    store: Store, start: float, end: float, every: float, jumps: Sequence[Jump] = (), allowed: float = 0.0
) -> dict[str, Any]:
    """Whether the sampler looked all the time from start to end. Right after the GO: whether it looks."""
    start = min(start, end - FIRST_LOOKS * every)
    window = samples.read(store, lambda key: key[0] == SAMPLER_CLOCK, start, end, page=SAMPLER_PAGE)
    points = next(iter(window.series.values()), [])
    limit = windows.GAP * every
    # A look long before the start says nothing about it.
    points = [point for point in points if point.at > start - max(limit, allowed)]
    return hypercare.judge_looks(points, start, end, every, jumps, allowed)


def judge_time(
    store: Store,
    objectives: Sequence[Check],
    probes: Mapping[str, Probe],
    watch: Watch,
    known: Sequence[State],
    chosen: State,
    now: float,
    every: float,
    entries: Optional[Sequence[Mapping[str, Any]]] = None,
    allowed: float = 0.0,
) -> list[dict[str, Any]]:
    """The verdicts of a checkpoint on the time before it: the sampler, the checkpoints before, and every objective.

    ``entries``: the ledger. ``every``: the pause between two looks of the sampler. ``allowed``: a longest pause that is no gap.
    """
    refuse_others(objectives)
    start = hypercare.since(watch, known, chosen)
    of_watch = [entry for entry in entries or () if hypercare.seconds_of(entry["time"]) >= watch.start - 1]
    found = [judge_sampler(store, start, now, every, hypercare.ledger_jumps(of_watch), allowed)]
    last = chosen.name == known[-1].name
    if last:
        found.append(hypercare.judge_checkpoints(watch, known, chosen))
    # Right after the GO there is no time to judge yet.
    if now - start >= FIRST_LOOKS * every and chosen.due > watch.start:
        found += [judge_objective(one, probes[one.probe], start, now) for one in objectives]
    return found

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a watch may say of the time between its checkpoints, from the samples and the ledger of a store."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Optional, Union

from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare, windows
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Asked, Jump, State, Watch
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import Judgement, judge, verdict
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.window import STRETCH, judge_window, read_window
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

SAMPLER_PAGE = "golive_sampler"
"""The page that the sampler writes about itself at each of its looks."""
SAMPLER_READ = "golive_sampler_page_read"
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


class Past:
    """The samples that a check of the probe `window` is about, read once, to be asked of many stretches of time."""

    def __init__(self, check: Check, start: float, end: float) -> None:
        """Raises ProbeError."""
        self._check = check
        self._window, self._kept = read_window(check.options, start, end)

    def between(self, start: float, end: float) -> samples.Window:
        """A part of the time: the looks after its start, and of each page the last one before, as `samples.read` gives them."""
        part = samples.Window(left_out_of=dict(self._window.left_out_of))
        places = {}
        for page, looks in self._window.looks.items():
            first = bisect_right(looks, start)
            if first and looks[first - 1] >= start - samples.SLOT:
                first -= 1
            places[page] = slice(first, bisect_right(looks, end))
            part.looks[page] = looks[places[page]]
        for key, points in self._window.series.items():
            chosen = points[places[dict(key[1])["page"]]]
            if any(point.value is not None for point in chosen):
                part.series[key] = chosen
        return part

    def ask(self, start: float, end: float) -> Asked:
        """What the check says of the time from start to end, as if it were asked at the end."""
        options = self._check.options
        at_end = replace(self._check, options={**options, "over": end - start, STRETCH: options["over"]})
        try:
            return _asked(at_end, judge_window(at_end.options, self.between(start, end), self._kept, end), end)
        except ProbeError as error:
            return _asked(at_end, str(error), end)


def _asked(check: Check, seen: Union[Observation, str], end: float) -> Asked:
    """The verdict of a check at a time, from what was seen, or from why nothing was."""
    if isinstance(seen, Observation):
        judgement = judge(check, seen)
    else:
        judgement, seen = Judgement("inconclusive", f"could not be measured, because {seen}"), Observation()
    record = verdict(check, judgement, seen, attempts=1, started=hypercare.utc(end), duration=0.0)
    covered = float(seen.measures.get("coverage", 0.0)) >= check.options["coverage"]
    # Both sides of a ratio were counted, and were too few to say.
    without = set(seen.missing) - {"resets", "burning"}
    few = covered and judgement.status == "inconclusive" and bool(without) and without <= set(seen.proof.get("counted", {}))
    return Asked(record, covered, few)


def _unread(check: Check, why: str, _start: float, end: float) -> Asked:
    return _asked(check, why, end)


def judge_objective(check: Check, start: float, end: float) -> dict[str, Any]:
    """One objective over the whole time from start to end. See `hypercare.continuously`."""
    ask: hypercare.Ask
    try:
        ask = Past(check, start, end).ask
    except ProbeError as error:
        ask = partial(_unread, check, str(error))
    found = hypercare.continuously(
        check.id,
        check.title,
        ask,
        start,
        end,
        float(check.options["over"]),
        required=check.required,
    )
    return {**found, "probe": check.probe, "expected": check.expected(), "tags": [*check.tags, hypercare.OBJECTIVE]}


def judge_sampler(
    store: Store, start: float, end: float, every: float, jumps: Sequence[Jump] = (), allowed: float = 0.0, host: str = ""
) -> dict[str, Any]:
    """Whether the sampler looked all the time from start to end. Right after the GO: whether it looks."""
    start = min(start, end - FIRST_LOOKS * every)
    window = samples.read(store, lambda key: key[0] in (SAMPLER_CLOCK, SAMPLER_READ), start, end, page=SAMPLER_PAGE, host=host)
    points = next((points for key, points in window.series.items() if key[0] == SAMPLER_CLOCK), [])
    unread = sorted(
        dict(key[1])["of"]
        for key, looks in window.series.items()
        if key[0] == SAMPLER_READ and all(one.value in (0, None) for one in looks)
    )
    back = samples.jumped(samples.status(store, host), SAMPLER_PAGE, start, end)
    jumps = [*jumps, *(Jump(at, at - was) for was, at in back)]
    limit = windows.GAP * every
    # A look long before the start says nothing about it.
    points = [point for point in points if point.at > start - max(limit, allowed)]
    found = hypercare.judge_looks(points, start, end, every, jumps, allowed)
    if unread and found["status"] == "pass":
        # Of a page that never answered there are no samples that could be missed.
        why = f"could not be measured, because in all this time {' and '.join(unread)} could not be read once"
        return {**found, "status": "inconclusive", "reason": why}
    return found


def judge_time(
    store: Store,
    objectives: Sequence[Check],
    watch: Watch,
    known: Sequence[State],
    chosen: State,
    now: float,
    every: float,
    entries: Optional[Sequence[Mapping[str, Any]]] = None,
    allowed: float = 0.0,
    asked: bool = True,
    host: str = "",
) -> list[dict[str, Any]]:
    """The verdicts of a checkpoint on the time before it: the sampler, the checkpoints before, and every objective.

    ``entries``: the ledger. ``every``: the pause between two looks of the sampler. ``allowed``: a longest pause that is no gap.
    ``host``: whose samples are judged, in a store that hosts share.
    ``asked``: whether the checkpoint has a checklist; without one, and without an objective that is judged, nothing is known.

    Before the last checkpoint, an objective for which not even one stretch of time has passed is not judged yet, and one of which
    there was too little to say does not block. At the last one everything is judged, since the GO.
    """
    refuse_others(objectives)
    start = hypercare.since(watch, known, chosen)
    jumps = hypercare.ledger_jumps(hypercare.since_go(entries or (), watch))
    found = [judge_sampler(store, start, now, every, jumps, allowed, host)]
    late = hypercare.judge_in_time(chosen, now)
    found += [late] if late is not None else []
    last = chosen.name == known[-1].name
    if last:
        found.append(hypercare.judge_checkpoints(watch, known, chosen))
    for one in objectives:
        length = float(one.options["over"])
        # An objective needs one stretch of time to say anything, if need be one that reaches behind the checkpoint before.
        begin = start if last or now - start >= length else max(watch.start, now - length)
        if not last and now - begin < length:
            continue
        judged = judge_objective(one, begin, now)
        if not last and judged["proof"].get("few"):
            # There may be more until the end, where it has to be enough.
            judged = {**judged, "required": False}
        found.append(judged)
    if not asked and not any(hypercare.OBJECTIVE in one["tags"] and one["required"] for one in found):
        found.append(hypercare.judge_nothing(chosen, now))
    return found

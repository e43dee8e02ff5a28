# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The figures of DORA from the entries of a ledger: how often, how long, how many failed, how soon it was good again.

Source of the figures: N. Forsgren, J. Humble, G. Kim, "Accelerate" (2018), and the definitions on dora.dev ("DORA's software
delivery performance metrics"). What they are counted from here:

- *deployment*: a run of the kind ``cutover`` that changed something, by a ``step_begun`` of a step other than preflight, or
  that ended with GO. One that was refused before it changed anything is none.
- *failed*: it ended with NO-GO, it never ended although another run came after it, or it ended with GO and a run of the kind
  ``rollback`` came after it, before the next deployment.
- *detected*: the end of the first step that failed, else the beginning of the rollback, in a run that rolled itself back; the
  beginning of the run, for a rollback by hand; the entry ``incident_detected`` of an incident.
- *restored*: the end of a rollback that is verified on every host; the entry ``incident_restored``.

Entries of several hosts may be handed over together, or stand in one ledger that they share: what belongs to one run is one run. On
which host a run began and ended is the ``host`` of the entry; one that has none, of an earlier version, speaks for all hosts of its
ledger. Nothing is read from a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.percentiles import METHOD, percentile
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import pass_rate

DAY = 86400.0
LEAST = 5
"""How many of something there must be before a figure is made of them."""
LEAST_COVERED = 7 * DAY
"""Seconds that the ledger must reach back before a frequency is made of it."""
BEFORE_CHANGE = ("preflight",)
ROLLBACK = "rollback"
BY_HAND = (ROLLBACK, "watch")
"""Kinds of runs that undo a deployment that went live: a rollback by hand, and a watch that ended with an emergency stop."""


@dataclass
class _Run:
    """What the entries of one run say, over all hosts. Times are seconds since 1970."""

    id: str
    kind: str = ""
    release: str = ""
    begun: float | None = None
    ended: float | None = None
    decisions: list[str] = field(default_factory=list)
    changed: bool = False
    rollbacks: list[Mapping[str, Any]] = field(default_factory=list)
    failed_at: float | None = None
    rollback_at: float | None = None
    committed: float | None = None
    undone_by: str = ""
    open_on: set[str] = field(default_factory=set)
    """The hosts on which it began and did not end."""

    @property
    def went_live(self) -> bool:
        return bool(self.decisions) and all(one == "go" for one in self.decisions)

    @property
    def is_deployment(self) -> bool:
        return self.kind == "cutover" and (self.changed or self.went_live)

    @property
    def restored(self) -> bool:
        return bool(self.rollbacks) and not self.open_on and all(one.get("verified") is True for one in self.rollbacks)


def seconds(text: Any) -> float:
    """A UTC time as seconds since 1970. Raises ValueError."""
    try:
        # Python before 3.11 does not read the letter Z.
        moment = datetime.fromisoformat(str(text).strip().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is not a time; expected UTC as in 2025-11-21T03:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def figures(
    entries: Iterable[Mapping[str, Any]],
    until: str,
    over: float = 30 * DAY,
    commits: Mapping[str, Any] | None = None,
    least: int = LEAST,
) -> dict[str, Any]:
    """The five figures over a window that ends at ``until`` (UTC) and is ``over`` seconds long.

    ``commits``: release to the time of its newest commit, for the lead time; an entry ``run_begun`` may hold it as ``committed``.
    ``least``: how many there must be of what a figure is made of.

    Returns ``window``, ``deployments`` (a record each), and ``figures``: name to ``value`` (None when there are too few), ``unit``,
    ``count``, ``need``, ``reason`` and more. Raises InputError.
    """
    problems: list[Problem] = []
    end = _read(until, "until", problems)
    if over <= 0:
        problems.append(Problem("over", "expected a time that is longer than none"))
    if least < 2:
        problems.append(Problem("least", f"expected at least 2, got {least}"))
    known = {str(release): _read(at, f"commits.{release}", problems) for release, at in (commits or {}).items()}
    in_order = sorted(entries, key=lambda one: str(one.get("time")))
    if problems:
        raise InputError(problems)
    runs = _runs(in_order)
    for deployment in runs.values():
        if deployment.committed is None:
            deployment.committed = known.get(deployment.release)
    _assign(list(runs.values()))
    start = end - over
    oldest = seconds(in_order[0]["time"]) if in_order else end
    covered = max(min(end - oldest, over), 0.0)
    within = [one for one in runs.values() if one.is_deployment and _at(one) is not None and start <= (_at(one) or 0.0) <= end]
    running = [one for one in within if one.ended is None and not one.undone_by and one is _newest(runs)]
    judged = [one for one in within if one not in running]
    times = [one for one in _restorations(in_order, runs) if start <= one["detected"] <= end]
    return {
        "window": {"since": _utc(start), "until": _utc(end), "covered": covered, "entries": len(in_order)},
        "deployments": [_shown(one) for one in judged],
        "running": [one.id for one in running],
        "figures": {
            "deployment_frequency": _frequency(judged, covered, over),
            "lead_time": _lead_time(judged, least),
            "change_failure_rate": _failure_rate(judged, least),
            "time_to_restore": _restore_time(times, least),
            "deployment_duration": _duration(judged, least),
        },
    }


def _read(text: Any, where: str, problems: list[Problem]) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return 0.0


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _runs(entries: Sequence[Mapping[str, Any]]) -> dict[str, _Run]:
    """The runs, in the order in which they began."""
    found: dict[str, _Run] = {}
    for entry in entries:
        event, data, at = entry["event"], entry["data"], seconds(entry["time"])
        if event not in ("run_begun", "step_begun", "step_ended", "run_ended"):
            continue
        run = found.setdefault(str(entry["run"]), _Run(str(entry["run"])))
        if event in ("run_begun", "run_ended"):
            run.kind = str(data.get("kind") or run.kind)
            run.release = str(data.get("release") or run.release)
        if event == "run_begun":
            run.begun = at if run.begun is None else run.begun
            run.open_on |= {str(data["host"])} if data.get("host") else set()
            if data.get("committed"):
                run.committed = seconds(data["committed"])
        elif event == "step_begun":
            run.changed = run.changed or data.get("name") not in (*BEFORE_CHANGE, ROLLBACK)
            if data.get("name") == ROLLBACK and run.rollback_at is None:
                run.rollback_at = at
        elif event == "step_ended":
            if data.get("status") == "failed" and run.failed_at is None:
                run.failed_at = at
        else:
            run.ended = at
            run.open_on -= {str(data["host"])} if data.get("host") else set(run.open_on)
            # Of a rollback by hand no decision is written: there it is the rollback that counts.
            run.decisions.append(str(data.get("decision") or "none"))
            if isinstance(data.get("rollback"), Mapping):
                run.rollbacks.append(data["rollback"])
    return found


def _at(run: _Run) -> float | None:
    return run.ended if run.ended is not None else run.begun


def _newest(runs: Mapping[str, _Run]) -> _Run | None:
    return list(runs.values())[-1] if runs else None


def _assign(runs: Sequence[_Run]) -> None:
    """Say of each deployment that went live which rollback by hand undid it."""
    live: _Run | None = None
    for run in runs:
        if run.is_deployment:
            live = run
        elif run.kind in BY_HAND and live is not None and (run.changed or run.rollback_at is not None or run.rollbacks):
            live.undone_by, live = run.id, None


def _failed(run: _Run) -> bool:
    return not run.went_live or bool(run.undone_by)


def _why(run: _Run) -> str:
    if run.undone_by:
        return f"rolled back by {run.undone_by}"
    if run.ended is None:
        return "never ended"
    return "" if run.went_live else "NO-GO"


def _shown(run: _Run) -> dict[str, Any]:
    took = run.ended - run.begun if run.ended is not None and run.begun is not None else None
    at = _at(run)
    return {
        "run": run.id,
        "release": run.release,
        "time": None if at is None else _utc(at),
        "seconds": took,
        "failed": _failed(run),
        "why": _why(run),
    }


def _restorations(entries: Sequence[Mapping[str, Any]], runs: Mapping[str, _Run]) -> list[dict[str, Any]]:
    """Everything that went wrong: when it was detected, and when it was good again or None."""
    found: list[dict[str, Any]] = []
    for run in runs.values():
        if run.is_deployment and not run.went_live and (run.rollbacks or run.rollback_at is not None):
            detected = next((at for at in (run.failed_at, run.rollback_at, run.ended) if at is not None), None)
        elif run.kind in BY_HAND and (run.rollbacks or run.rollback_at is not None):
            detected = run.begun
        else:
            continue
        if detected is not None:
            found.append({"what": run.id, "detected": detected, "restored": run.ended if run.restored else None})
    incidents: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = str(entry["data"].get("incident") or entry["run"])
        if entry["event"] == "incident_detected" and name not in incidents:
            incidents[name] = {"what": name, "detected": seconds(entry["time"]), "restored": None}
            found.append(incidents[name])
        elif entry["event"] == "incident_restored" and name in incidents:
            # What happens again under the same name is another incident.
            incidents.pop(name)["restored"] = seconds(entry["time"])
    return found


def _figure(value: float | None, unit: str, count: int, need: int, reason: str, **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": unit, "count": count, "need": need, "reason": reason, **more}


def _few(have: int, need: int, what: str) -> str:
    counted = f"1 {what} is" if have == 1 else f"{have} {what}s are"
    return f"{counted} too few to say: {need} are needed"


def _middle(values: Sequence[float], least: int, what: str, **more: Any) -> dict[str, Any]:
    """The median of times, and the longest."""
    if len(values) < least:
        return _figure(None, "s", len(values), least, _few(len(values), least, what), **more)
    return _figure(percentile(values, 50), "s", len(values), least, "", longest=max(values), method=f"median, {METHOD}", **more)


def _frequency(deployments: Sequence[_Run], covered: float, over: float) -> dict[str, Any]:
    count = sum(one.went_live for one in deployments)
    need = min(over, LEAST_COVERED)
    days = covered / DAY
    if covered < need:
        reason = f"the ledger reaches back {days:.1f} days of the window, too few to say: {need / DAY:g} are needed"
        return _figure(None, "/d", count, 0, reason, days=round(days, 3))
    return _figure(count / days, "/d", count, 0, "", days=round(days, 3))


def _lead_time(deployments: Sequence[_Run], least: int) -> dict[str, Any]:
    live = [one for one in deployments if one.went_live and one.ended is not None]
    known = [one.ended - one.committed for one in live if one.ended is not None and one.committed is not None]
    usable = [one for one in known if one >= 0]
    more = {"of": len(live), "unknown": len(live) - len(known), "after_deployment": len(known) - len(usable)}
    return (
        _middle(usable, least, "deployment with a known commit", **more) if len(usable) >= least else _lead_few(usable, least, more)
    )


def _lead_few(usable: Sequence[float], least: int, more: Mapping[str, int]) -> dict[str, Any]:
    have = len(usable)
    counted = "1 deployment" if have == 1 else f"{have} deployments"
    reason = f"of {counted} out of {more['of']} the time of the commit is known, too few to say: {least} are needed"
    return _figure(None, "s", have, least, reason, **more)


def _failure_rate(deployments: Sequence[_Run], least: int) -> dict[str, Any]:
    total = len(deployments)
    failed = sum(_failed(one) for one in deployments)
    if total < least:
        return _figure(None, "ratio", total, least, _few(total, least, "deployment"), failed=failed)
    rate = pass_rate(failed, total)
    return _figure(rate.ratio, "ratio", total, least, "", failed=failed, low=rate.bounds.low, high=rate.bounds.high)


def _restore_time(times: Sequence[Mapping[str, Any]], least: int) -> dict[str, Any]:
    restored = [one["restored"] - one["detected"] for one in times if one["restored"] is not None]
    return _middle(restored, least, "restoration", open=[one["what"] for one in times if one["restored"] is None])


def _duration(deployments: Sequence[_Run], least: int) -> dict[str, Any]:
    took = [one.ended - one.begun for one in deployments if one.went_live and one.ended is not None and one.begun is not None]
    return _middle(took, least, "deployment")

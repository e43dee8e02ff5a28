# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Hypercare: the checkpoints of a watch over a release, and what may be said about the whole time between them.

A watch begins with the GO of a run, as the ledger has it, and has checkpoints at fixed times after it. A checkpoint is looked at
within its tolerance, or it was missed: a look that comes later is kept as late, and makes nothing good.

"Met continuously" is not what the last look says. The time is cut into stretches, each of which overlaps the next by half, so that
a burst cannot hide across a border, and every one of them is judged. A stretch that nobody looked at, a clock that jumped, a
checkpoint that was missed: inconclusive, and never a pass.

All of it is pure: entries of the ledger, points of samples and the time come in, records go out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units, windows
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.strategies import gives_up
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Point

EVENT = "hypercare_checkpoint"
"""The event of the ledger that says how a checkpoint was found."""
JUMP = 5.0
"""Seconds by which the clock may differ from the passing of time between two looks before it is taken to have jumped."""
COVERAGE = 0.9
"""The part of the time that must lie between looks."""
STATES = ("waiting", "due", "passed", "failed", "missed")


@dataclass(frozen=True)
class Checkpoint:
    """One look of the watch: due so many seconds after the GO, and not too late for so many seconds after that."""

    name: str
    after: float
    tolerance: float


CHECKPOINTS: tuple[Checkpoint, ...] = tuple(
    Checkpoint(name, after * 60.0, tolerance * 60.0)
    for name, after, tolerance in (
        ("T+0", 0, 10),
        ("T+15m", 15, 30),
        ("T+1h", 60, 60),
        ("T+4h", 240, 120),
        ("T+12h", 720, 240),
        ("T+24h", 1440, 360),
        ("T+48h", 2880, 720),
    )
)
"""The watch of 48 hours. The tolerance of T+12h reaches into the next business day."""

_NAME = re.compile(r"T\+(\d+(?:\.\d+)?(?:s|m|h|d)|0)\Z")


class NothingToWatch(CutoverError):
    """The ledger has no GO that a watch could begin with, or its release is not the current one any more."""


NOT_ENDED = "not ended"
"""The decision of a run that began and has not ended, or whose controller died."""


class Interruption(NamedTuple):
    """A run that changed the environment after the GO. ``host``: where, as far as the ledger says so."""

    at: float
    run: str
    kind: str
    decision: str
    host: str = ""

    def told(self) -> str:
        """The interruption in words."""
        whence = f"(run {self.run} on {self.host})" if self.host else f"(run {self.run})"
        if self.decision == NOT_ENDED:
            return f"a {self.kind} began at {utc(self.at)}, and the ledger does not know how it ended {whence}"
        return f"a {self.kind} ended in {self.decision.replace('_', '-').upper()} at {utc(self.at)} {whence}"


@dataclass(frozen=True)
class Watch:
    """What is watched: the run that ended in GO, its release, and when (seconds since 1970)."""

    run: str
    release: str
    start: float
    interruptions: tuple[Interruption, ...] = ()


@dataclass(frozen=True)
class Look:
    """A checkpoint that was looked at: when the look began, and what was decided."""

    checkpoint: str
    at: float
    decision: str
    run: str = ""


@dataclass(frozen=True)
class State:
    """Where a checkpoint stands. ``look``: the newest within its time. ``late``: the newest after it."""

    checkpoint: Checkpoint
    state: str
    due: float
    until: float
    look: Optional[Look] = None
    late: Optional[Look] = None

    @property
    def name(self) -> str:
        return self.checkpoint.name


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints


def _checkpoint_name(value: Any) -> str:
    text = opt.text(value)
    if not _NAME.match(text):
        raise ValueError(f"expected T+ and a time, such as T+0, T+15m, T+4h, got {value!r}")
    return text


CHECKPOINT_OPTIONS: Mapping[str, Option] = {
    "name": Option(_checkpoint_name, "T+ and the time after the GO, such as T+4h", required=True),
    "tolerance": Option(opt.duration, "how late it may be looked at", required=True),
}


def _after(name: str) -> float:
    written = name[2:]
    return 0.0 if written == "0" else units.parse_duration(written)


def read_checkpoints(raw: Any, where: str = "checkpoints") -> tuple[Checkpoint, ...]:
    """Checkpoints as a list of ``{name, tolerance}``, in the order of time. Raises InputError with every mistake."""
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise InputError([Problem(where, f"expected a list of {{name, tolerance}}, got {raw!r}")])
    if not raw:
        raise InputError([Problem(where, "names no checkpoint, so nothing would be watched")])
    problems: list[Problem] = []
    found = []
    for index, one in enumerate(raw):
        clean = opt.read_options(one, CHECKPOINT_OPTIONS, f"{where}[{index}]", problems)
        if clean["name"] is not None and clean["tolerance"] is not None:
            found.append(Checkpoint(clean["name"], _after(clean["name"]), float(clean["tolerance"])))
    for earlier, later in zip(found, found[1:]):
        if later.after <= earlier.after:
            problems.append(Problem(where, f"{later.name} does not come after {earlier.name}"))
        elif earlier.after + earlier.tolerance > later.after:
            problems.append(Problem(where, f"the tolerance of {earlier.name} reaches beyond {later.name}, so both would be due"))
    if problems:
        raise InputError(problems)
    return tuple(found)


def seconds_of(stamp: Any) -> float:
    """A time of the ledger as seconds since 1970. Raises ValueError."""
    when = datetime.fromisoformat(str(stamp).replace("Z", "+00:00"))
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def utc(seconds: float) -> str:
    """A time as people and reports read it."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def find_watch(entries: Iterable[Mapping[str, Any]], run: Optional[str] = None) -> Watch:
    """The newest GO of the ledger, or that of a run; with every run that changed something after it.

    Raises NothingToWatch when there is none, and when a rollback to another release came after it.

    In a ledger that hosts share, a run that ended on one of them has not ended on the others. An entry of an earlier version names
    no host: one that ends a run ends it everywhere.
    """
    found: Optional[Watch] = None
    begun: dict[tuple[str, str], Interruption] = {}
    for entry in entries:
        data = entry.get("data") or {}
        kind, decision, at = str(data.get("kind")), str(data.get("decision")), seconds_of(entry["time"])
        of, host = str(entry["run"]), str(data.get("host") or "")
        if entry.get("event") == "run_begun" and kind in ("cutover", "rollback"):
            begun[of, host] = Interruption(at, of, kind, NOT_ENDED, host)
        if entry.get("event") != "run_ended":
            continue
        begun = {key: one for key, one in begun.items() if key[0] != of or (host and key[1] not in ("", host))}
        if kind == "cutover" and decision == "go" and (run is None or entry["run"] == run):
            found = Watch(str(entry["run"]), str(data.get("release") or ""), at)
            begun = {key: one for key, one in begun.items() if key[0] == of}
        elif found is not None and (kind in ("cutover", "rollback") or data.get("rollback")):
            interruption = Interruption(at, of, kind, decision, host)
            found = Watch(found.run, found.release, found.start, (*found.interruptions, interruption))
            if run is None and kind in ("rollback", "watch") and gives_up(str((data.get("rollback") or {}).get("strategy"))):
                found = None
    if found is None:
        of = f"no GO of the run {run}" if run else "no GO of a cutover whose release has not been rolled back"
        raise NothingToWatch(f"the ledger holds {of}, so there is nothing to watch")
    # A run that began and did not end may have changed anything, and nobody has judged what it left.
    return replace(found, interruptions=(*found.interruptions, *begun.values()))


def since_go(entries: Iterable[Mapping[str, Any]], watch: Watch) -> list[Mapping[str, Any]]:
    """The entries of the ledger from the GO of a watch on, in the order written: times may go back, the order does not."""
    found: list[Mapping[str, Any]] = []
    for entry in entries:
        data = entry.get("data") or {}
        is_go = entry.get("event") == "run_ended" and data.get("kind") == "cutover" and data.get("decision") == "go"
        if is_go and entry.get("run") == watch.run:
            found = []
        found.append(entry)
    return found


def is_of(entry: Mapping[str, Any], event: str, watch: Watch, host: Optional[str] = None) -> bool:
    """Whether an entry of the ledger is an event of a watch; in a ledger that hosts share, of the watch over ``host``."""
    data = entry.get("data") or {}
    return entry.get("event") == event and data.get("watch") == watch.run and host in (None, data.get("host"))


def looks_of(entries: Iterable[Mapping[str, Any]], watch: Watch, host: Optional[str] = None) -> list[Look]:
    """Every checkpoint of a watch that was looked at, in the order written. ``host``: by a look at this one, where hosts share a
    ledger."""
    found = []
    for entry in entries:
        data = entry.get("data") or {}
        if is_of(entry, EVENT, watch, host):
            at = data.get("at")
            began = float(at) if isinstance(at, (int, float)) and math.isfinite(at) else seconds_of(entry["time"])
            found.append(Look(str(data.get("checkpoint")), began, str(data.get("decision")), str(entry.get("run"))))
    return found


def states(watch: Watch, checkpoints: Sequence[Checkpoint], looks: Sequence[Look], now: float) -> list[State]:
    """Where every checkpoint stands at a time. Of several looks in time the newest counts, so a look may be repeated."""
    found = []
    for one in checkpoints:
        due, until = watch.start + one.after, watch.start + one.after + one.tolerance
        of_it = [look for look in looks if look.checkpoint == one.name and due <= look.at <= now]
        in_time = [look for look in of_it if look.at <= until]
        late = [look for look in of_it if look.at > until]
        if in_time:
            state = "passed" if in_time[-1].decision == "go" else "failed"
        elif now < due:
            state = "waiting"
        else:
            state = "due" if now <= until else "missed"
        found.append(State(one, state, due, until, in_time[-1] if in_time else None, late[-1] if late else None))
    return found


def choose(known: Sequence[State], now: float, name: Optional[str] = None) -> Optional[State]:
    """The checkpoint to look at: the one named, or the one whose time it is and that has not passed; None when there is none.

    Raises InputError for a name that there is not, and for one that is not due yet: it would say nothing about the time to come.
    """
    if name:
        for one in known:
            if one.name == name:
                if now < one.due:
                    wait = units.show(round(one.due - now), "time")
                    raise InputError([Problem("checkpoint", f"{name} is due at {utc(one.due)}, in {wait}")])
                return one
        raise InputError([Problem("checkpoint", opt.unknown_key(name, [one.name for one in known], "checkpoint"))])
    return next((one for one in reversed(known) if one.due <= now <= one.until and one.state != "passed"), None)


def since(watch: Watch, known: Sequence[State], chosen: State) -> float:
    """From when on a checkpoint judges: from the one before; the last one judges the whole time."""
    before = [one.due for one in known if one.due < chosen.due]
    return before[-1] if before and chosen.name != known[-1].name else watch.start


def lines(watch: Watch, known: Sequence[State], now: float) -> list[str]:
    """The watch as a person reads it: what is watched, and a line for each checkpoint."""
    said = [f"release {watch.release or '(unnamed)'}, GO at {utc(watch.start)} by run {watch.run}"]
    for one in known:
        if one.state == "waiting":
            what = f"due at {utc(one.due)}, in {units.show(round(one.due - now), 'time')}"
        elif one.state == "due":
            what = f"is due now, until {utc(one.until)}"
        elif one.state == "missed":
            what = f"MISSED: nobody looked from {utc(one.due)} to {utc(one.until)}"
            what += f"; looked at late, at {utc(one.late.at)}" if one.late else ""
        else:
            what = f"{one.state} at {utc(one.look.at if one.look else one.due)}"
        said.append(f"{one.name:<6} {what}")
    return said


# ---------------------------------------------------------------------------------------------------------------------
# Was somebody looking all the time?


class Jump(NamedTuple):
    """The clock differed from the passing of time: at (the clock after it), by so many seconds, ahead when positive."""

    at: float
    by: float


def clock_jumps(passed: Sequence[Point], limit: float = JUMP) -> list[Jump]:
    """Where the clock jumped. ``passed``: at the time of the clock, the seconds that a steady clock had counted.

    A steady clock that starts anew (the machine was started) says nothing about the pause before it.
    """
    known = [point for point in passed if point.value is not None and math.isfinite(point.value)]
    found = []
    for earlier, later in zip(known, known[1:]):
        counted = (later.value or 0.0) - (earlier.value or 0.0)
        by = (later.at - earlier.at) - counted
        if counted >= 0 and abs(by) > limit:
            found.append(Jump(later.at, by))
    return found


def ledger_jumps(entries: Iterable[Mapping[str, Any]], limit: float = JUMP) -> list[Jump]:
    """Where the times of the ledger go back although its entries go on."""
    found = []
    newest: Optional[float] = None
    for entry in entries:
        at = seconds_of(entry["time"])
        if newest is not None and newest - at > limit:
            found.append(Jump(at, at - newest))
        newest = at
    return found


def record_of(id: str, title: str, status: str, reason: str, **more: Any) -> dict[str, Any]:
    """A verdict of the watch itself, as those of checks are."""
    return {
        "id": id,
        "title": title,
        "probe": "hypercare",
        "status": status,
        "required": True,
        "reason": reason,
        "measures": {},
        "expected": {},
        "proof": {},
        "attempts": 1,
        "started": utc(0),
        "duration": 0.0,
        "tags": ["hypercare"],
        **more,
    }


def judge_looks(
    passed: Sequence[Point],
    start: float,
    end: float,
    every: Optional[float] = None,
    other_jumps: Sequence[Jump] = (),
    allowed: float = 0.0,
) -> dict[str, Any]:
    """Whether the sampler looked all the time from start to end, by a clock that did not jump: ``pass`` or ``inconclusive``.

    ``passed``: the looks of the sampler, each with what its steady clock said; at most one is not after the start.
    ``allowed``: a pause of so many seconds is no gap yet; without it, one of 2.5 usual pauses.
    """
    title = "The sampler looked all the time, and the clock did not jump"
    proof: dict[str, Any] = {"window": round(end - start, 3)}
    measures: dict[str, Any] = {}
    jumps = [*clock_jumps(passed), *other_jumps]
    why = []
    try:
        covered = windows.coverage([point.at for point in passed], start, end, every)
        proof.update(samples=covered.samples, every=round(covered.every, 3), longest_gap=round(covered.longest, 1))
        measures = {
            "coverage": {"value": covered.share, "unit": "ratio"},
            "gaps": {"value": covered.gaps, "unit": ""},
            "longest": {"value": covered.longest, "unit": "s"},
            "age": {"value": covered.age, "unit": "s"},
        }
        limit = max(windows.GAP * covered.every, allowed)
        pauses = [later.at - earlier.at for earlier, later in zip(passed, passed[1:])]
        gaps = [pause for pause in pauses if pause > limit]
        if covered.age > limit:
            why.append(f"the sampler has stopped: its newest look is {units.show(round(covered.age, 1), 'time')} old")
        if passed[0].at - start > limit:
            why.append(f"the sampler began {units.show(round(passed[0].at - start), 'time')} late")
        if gaps:
            longest = units.show(round(max(gaps), 1), "time")
            why.append(f"{len(gaps)} gap{'' if len(gaps) == 1 else 's'} of up to {longest} between its looks")
        if covered.share < COVERAGE and not why:
            why.append(f"its looks cover {units.show(covered.share, 'ratio')} of the time")
    except CannotMeasure as error:
        why.append(f"the sampler did not look: {error}")
    for jump in jumps:
        ahead = "ahead" if jump.by > 0 else "back"
        why.append(f"the clock jumped {units.show(round(abs(jump.by), 1), 'time')} {ahead} at {utc(jump.at)}")
    measures["jumps"] = {"value": len(jumps), "unit": ""}
    if why:
        reason = "could not be measured, because " + "; ".join(why[:6]) + (f"; and {len(why) - 6} more" if len(why) > 6 else "")
        return record_of("HYPERCARE-LOOKS", title, "inconclusive", reason, measures=measures, proof=proof, started=utc(end))
    share = units.show(measures["coverage"]["value"], "ratio")
    said = f"{proof['samples']} looks cover {share} of {units.show(round(end - start), 'time')}"
    return record_of("HYPERCARE-LOOKS", title, "pass", said, measures=measures, proof=proof, started=utc(end))


# ---------------------------------------------------------------------------------------------------------------------
# Met continuously


class Asked(NamedTuple):
    """What was found about a stretch of time: the verdict; whether samples cover it; whether there was too little to say."""

    verdict: Mapping[str, Any]
    covered: bool
    few: bool = False


Ask = Callable[[float, float], Asked]
"""Judges the time from start to end."""


def stretches(start: float, end: float, length: float) -> list[tuple[float, float]]:
    """The stretches that a time is judged by: each overlaps the next by half, the last one ends with it. A time that is
    shorter than one stretch is one.

    >>> stretches(0, 10, 4)
    [(0, 4), (2.0, 6.0), (4.0, 8.0), (6, 10)]
    """
    if end - start <= length:
        return [(start, end)]
    step = length / 2
    count = math.floor((end - start - length) / step + 1e-9)
    found = [(start + number * step, start + number * step + length) for number in range(count + 1)]
    found[0] = (start, start + length)
    if end - found[-1][1] > 1e-6 * step:
        found.append((end - length, end))
    else:
        found[-1] = (end - length, end)
    return found


def _wider(start: float, end: float, length: float, stretch: tuple[float, float]) -> Iterable[tuple[float, float]]:
    """Ever longer stretches around one, up to the whole time. They are aligned, so that neighbours share them."""
    width = length * 2
    while width < end - start:
        begin = start + math.floor((stretch[0] - start) / width) * width
        until = begin + width
        if until < stretch[1]:
            until += width
        yield begin, min(until, end)
        width *= 2
    yield start, end


def continuously(id: str, title: str, ask: Ask, start: float, end: float, length: float, required: bool = True) -> dict[str, Any]:
    """Whether an objective was met all the time from start to end, as one verdict.

    Every stretch is judged. One in which there was too little to say is judged with as much around it as is enough, at the
    most with the whole time. ``fail`` when one failed; else ``inconclusive`` when one was not looked at or could not be judged;
    else ``warn``; else ``pass``. Where the whole time holds too little to say, the proof has ``few``.
    """
    known: dict[tuple[float, float], Asked] = {}

    def judged(stretch: tuple[float, float]) -> Asked:
        if stretch not in known:
            known[stretch] = ask(*stretch)
        return known[stretch]

    found: list[tuple[tuple[float, float], Asked]] = []
    cut = stretches(start, end, length)
    for stretch in cut:
        asked = judged(stretch)
        for wider in _wider(start, end, length, stretch):
            if not (asked.few and asked.covered):
                break
            stretch, asked = wider, judged(wider)
        found.append((stretch, asked))
    by_status: dict[str, list[tuple[tuple[float, float], Asked]]] = {}
    for stretch, asked in found:
        status = str(asked.verdict.get("status"))
        if status not in ("pass", "warn", "fail"):
            status = "inconclusive" if asked.covered else "uncovered"
        by_status.setdefault(status, []).append((stretch, asked))
    worst = next(status for status in ("fail", "uncovered", "inconclusive", "warn", "pass") if status in by_status)
    (first_start, first_end), asked = by_status[worst][0]
    total = len(found)
    when = f"from {utc(first_start)} to {utc(first_end)}"
    counted = f"{len(by_status[worst])} of {total} stretches of {units.show(length, 'time')}"
    if worst == "pass":
        reason = f"met in all {total} stretches of {units.show(length, 'time')}"
    elif worst == "warn":
        reason = f"warns in {counted}, first {when}: {asked.verdict.get('reason')}"
    elif worst == "fail":
        reason = f"not met in {counted}, first {when}: {asked.verdict.get('reason')}"
    else:
        text = str(asked.verdict.get("reason")).replace("could not be measured, because ", "", 1)
        reason = f"could not be measured, because of {counted}, first {when}: {text}"
    numbers = {
        "stretches": total,
        "failed": len(by_status.get("fail", [])),
        "uncovered": len(by_status.get("uncovered", [])),
    }
    few = worst == "inconclusive" and all(one.few for _stretch, one in by_status[worst])
    return record_of(
        id,
        title,
        "inconclusive" if worst == "uncovered" else worst,
        reason,
        required=required,
        measures={
            **dict(asked.verdict.get("measures") or {}),
            **{name: {"value": number, "unit": ""} for name, number in numbers.items()},
        },
        expected=dict(asked.verdict.get("expected") or {}),
        proof={
            "window": round(end - start, 3),
            **numbers,
            "shown": {"from": utc(first_start), "to": utc(first_end)},
            **({"few": True} if few else {}),
        },
        started=utc(end),
        tags=list(asked.verdict.get("tags") or ["hypercare"]),
    )


OBJECTIVE = "objective"
"""The tag that every verdict on an objective carries."""


def judge_in_time(chosen: State, now: float) -> Optional[dict[str, Any]]:
    """The verdict on a checkpoint that is looked at too late; None for one that is not."""
    if now <= chosen.until:
        return None
    late = units.show(round(now - chosen.until), "time")
    return record_of(
        "HYPERCARE-TIME",
        "The checkpoint is looked at in its time",
        "inconclusive",
        f"could not be measured, because it was missed: {chosen.name} was due from {utc(chosen.due)} "
        f"to {utc(chosen.until)}, {late} ago",
        measures={"late": {"value": now - chosen.until, "unit": "s"}},
        proof={"window": round(chosen.until - chosen.due, 3)},
        started=utc(now),
    )


def judge_nothing(chosen: State, now: float) -> dict[str, Any]:
    """The verdict on a checkpoint that asks nothing of the application: a sampler that looks says nothing about what it sees."""
    return record_of(
        "HYPERCARE-ASKED",
        "The checkpoint asks something of the application",
        "inconclusive",
        f"could not be measured, because nothing is asked at {chosen.name}: there is no checklist with this tag, "
        "and no objective that has enough to say yet",
        started=utc(now),
    )


def criteria(verdicts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the table of a checkpoint that verdicts on the time before it answer."""
    ids = {one["id"] for one in verdicts}
    rows: list[dict[str, Any]] = [
        {"name": name, "checks": [id]}
        for id, name in (
            ("HYPERCARE-ASKED", "Something is asked of the application"),
            ("HYPERCARE-TIME", "Looked at in its time"),
            ("HYPERCARE-LOOKS", "The sampler looked all the time"),
            ("HYPERCARE-CHECKPOINTS", "Every checkpoint before passed"),
        )
        if id in ids
    ]
    objectives = [one for one in verdicts if OBJECTIVE in one["tags"]]
    if objectives:
        needed = any(one["required"] for one in objectives)
        rows.append({"name": "All objectives met continuously", "tags": [OBJECTIVE], "required": needed})
    return rows


def judge_checkpoints(watch: Watch, known: Sequence[State], chosen: State) -> dict[str, Any]:
    """Whether every checkpoint before one was looked at in time and passed, and nothing else changed the environment since.

    ``fail`` when one did not pass or another run came in between; else ``inconclusive`` when one was missed; else ``pass``.
    """
    before = [one for one in known if one.due < chosen.due]
    failed = [f"{one.name} did not pass" for one in before if one.state == "failed"]
    failed += [one.told() for one in watch.interruptions]
    missed = [f"{one.name} was missed" for one in before if one.state not in ("passed", "failed")]
    passed = sum(one.state == "passed" for one in before)
    status = "fail" if failed else "inconclusive" if missed else "pass"
    reason = "; ".join([*failed, *missed]) if failed or missed else f"{passed} of {len(before)} passed, in their time"
    numbers = {"passed": passed, "missed": len(missed), "interruptions": len(watch.interruptions)}
    return record_of(
        "HYPERCARE-CHECKPOINTS",
        "Every checkpoint before was looked at in time and passed, and no other run came in between",
        status,
        reason,
        measures={name: {"value": number, "unit": ""} for name, number in numbers.items()},
        proof={"checkpoints": len(before), "window": round(chosen.due - watch.start, 3)},
        started=utc(chosen.due),
    )

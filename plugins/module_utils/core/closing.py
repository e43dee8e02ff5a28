# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The exit of hypercare: whether a watch may be closed, and what exactly is missing where it may not.

A watch is closed when every checkpoint was looked at in its time and passed, when every exit criterion of the inventory is met, and
when everybody who has to sign has signed. What nobody measured is not met. All of it is pure: entries of the ledger go in, records
come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import gate
from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import Condition, parse_condition
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CannotCompare, InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import (
    EVENT,
    State,
    Watch,
    is_of,
    record_of,
    seconds_of,
    since_go,
    utc,
)
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option

CLOSED = "hypercare_closed"
"""The event of the ledger that says that a watch was closed."""
ESCALATION = "hypercare_escalation"
"""The event of the ledger that says that a condition of the live watch has changed its level."""
INCIDENT = "incident_detected"
MINOR = ("minor", "warning", "low")
"""Severities of an incident that is not critical. One that does not say is."""
EXIT = "exit"
"""What stands where the name of a checkpoint would stand."""
INCIDENTS = "HYPERCARE-INCIDENTS"
PASSED = "HYPERCARE-PASSED"
SIGNED = "HYPERCARE-SIGNED"


@dataclass(frozen=True)
class Criterion:
    """One exit criterion: verdicts of the last checkpoint, by id or tag, or a number that a person gives."""

    name: str
    checks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    given: str = ""
    conditions: tuple[Condition, ...] = ()


def _conditions(value: Any) -> tuple[Condition, ...]:
    written = value if isinstance(value, list) else [value]
    if not written:
        raise ValueError("has no condition")
    return tuple(parse_condition(one, "count") for one in written)


CRITERION_OPTIONS: Mapping[str, Option] = {
    "name": Option(opt.text, "what must hold, in words", required=True),
    "checks": Option(opt.list_of(opt.text), "verdicts with these ids", default=[]),
    "tags": Option(opt.list_of(opt.text), "verdicts with any of these tags", default=[]),
    "given": Option(opt.text, "the name of a number that a person gives"),
    "expect": Option(_conditions, "the condition for that number, such as '< 2'"),
}


def read_criteria(raw: Any, where: str = "exit_criteria") -> tuple[Criterion, ...]:
    """The exit criteria as a list of mappings. Raises InputError with every mistake; there must be one."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        raise InputError([Problem(where, f"expected the criteria by which a watch is closed, at least one, got {raw!r}")])
    problems: list[Problem] = []
    found = []
    for index, one in enumerate(raw):
        place = f"{where}[{index}]"
        clean = opt.read_options(one, CRITERION_OPTIONS, place, problems)
        asked = bool(clean["checks"] or clean["tags"])
        if asked == bool(clean["given"]):
            problems.append(Problem(place, "expected either checks and tags, or the name of a number that is given"))
        if bool(clean["given"]) != bool(clean["expect"]):
            problems.append(Problem(place, "given and expect belong together"))
        if not problems:
            conditions = tuple(clean["expect"] or ())
            found.append(Criterion(clean["name"], tuple(clean["checks"]), tuple(clean["tags"]), clean["given"] or "", conditions))
    if problems:
        raise InputError(problems)
    return tuple(found)


def closed(entries: Iterable[Mapping[str, Any]], watch: Watch, host: Optional[str] = None) -> Optional[Mapping[str, Any]]:
    """The entry that closed a watch, over ``host`` where hosts share a ledger; None while it is open."""
    of_it = [one for one in since_go(entries, watch) if is_of(one, CLOSED, watch, host)]
    return of_it[-1] if of_it else None


def last_verdicts(
    entries: Iterable[Mapping[str, Any]], watch: Watch, last: State, host: Optional[str] = None
) -> list[Mapping[str, Any]]:
    """The verdicts of the last checkpoint, as its look that counts has recorded them: none when there is no such look."""
    found: list[Mapping[str, Any]] = []
    if last.look is None:
        return found
    for entry in entries:
        data = entry.get("data") or {}
        if not is_of(entry, EVENT, watch, host) or data.get("checkpoint") != last.name:
            continue
        if str(entry.get("run")) == last.look.run:
            found = [one for one in data.get("verdicts") or [] if isinstance(one, Mapping)]
    return found


def judge_passed(watch: Watch, known: Sequence[State], now: float) -> dict[str, Any]:
    """Whether every checkpoint, the last one included, was looked at in its time and passed, and no run came in between."""
    bad = [f"{one.name} did not pass" for one in known if one.state == "failed"]
    bad += [one.told() for one in watch.interruptions]
    words = {"missed": "was missed", "due": "is due and was not looked at", "waiting": "has not come yet"}
    open_ones = [f"{one.name} {words[one.state]}" for one in known if one.state in words]
    passed = sum(one.state == "passed" for one in known)
    status = "fail" if bad else "inconclusive" if open_ones else "pass"
    reason = "; ".join([*bad, *open_ones]) or f"{passed} of {len(known)} passed, in their time"
    return record_of(
        PASSED,
        "Every checkpoint was looked at in its time and passed, and no other run came in between",
        status,
        reason,
        measures={"passed": {"value": passed, "unit": ""}, "interruptions": {"value": len(watch.interruptions), "unit": ""}},
        proof={"checkpoints": len(known)},
        started=utc(now),
    )


def judge_incidents(entries: Iterable[Mapping[str, Any]], watch: Watch, now: float) -> dict[str, Any]:
    """Whether the ledger knows a critical incident since the GO: a condition of the live watch that became critical, or an entry
    ``incident_detected`` that does not say that it was minor. Blocks only where a criterion names it."""
    found = []
    for entry in since_go(entries, watch):
        data = entry.get("data") or {}
        if entry.get("event") == ESCALATION and data.get("watch") == watch.run and data.get("level") == "critical":
            found.append(f"{data.get('condition')} was critical at {utc(seconds_of(entry['time']))}")
        elif entry.get("event") == INCIDENT and str(data.get("severity") or "").lower() not in MINOR:
            found.append(f"incident {data.get('incident') or entry.get('run')} at {utc(seconds_of(entry['time']))}")
    return record_of(
        INCIDENTS,
        "No critical incident since the GO",
        "fail" if found else "pass",
        "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "") or "the ledger knows none",
        required=False,
        measures={"incidents": {"value": len(found), "unit": ""}},
        proof={"since": utc(watch.start)},
        started=utc(now),
    )


def judge_signatures(signed: Mapping[str, Any] | str, now: float) -> dict[str, Any]:
    """Whether everybody has signed: what `signoff.state` says, or why that is not known."""
    title = "Everybody who has to sign has signed"
    if isinstance(signed, str):
        return record_of(SIGNED, title, "inconclusive", f"could not be measured, because {signed}", started=utc(now))
    there = [f"{one['role']}: {one['by']}" for one in signed["signatures"]]
    missing = [f"{role} has not signed" for role in signed["missing"]]
    others = [f"{one['role']} by {one['by']} does not count: {one['why']}" for one in signed["not_counted"]]
    complete = signed["complete"] is True
    return record_of(
        SIGNED,
        title,
        "pass" if complete else "fail",
        "; ".join(there if complete else [*missing, *others]) or "nobody has to sign, which is no signature",
        measures={"signatures": {"value": len(there), "unit": ""}, "missing": {"value": len(signed["missing"]), "unit": ""}},
        proof={"entries": [one["seq"] for one in signed["signatures"]]} if there else {},
        started=utc(now),
    )


def _judge_given(one: Criterion, given: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    wanted = " and ".join(condition.source for condition in one.conditions)
    value = given.get(one.given)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return "inconclusive", f"{one.given} is {value!r}, which is not a number", {}
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return "inconclusive", f"nobody has said {one.given}, expected {wanted}: give it in hypercare_given", {}
    if value < 0:
        return "inconclusive", f"{one.given} is {value:g}, which is no count", {}
    try:
        good = all(condition.holds(float(value)) for condition in one.conditions)
    except CannotCompare as error:
        return "inconclusive", f"{one.given} cannot be judged: {error}", {}
    return ("pass" if good else "fail"), f"{one.given} is {value:g}, expected {wanted}", {"value": {"value": value, "unit": ""}}


def _judge_verdicts(one: Criterion, verdicts: Sequence[Mapping[str, Any]], last: str) -> tuple[str, str]:
    row = gate.Criterion(one.name, True, one.tags, one.checks, (), None)
    counted = [verdict for verdict in verdicts if row.counts(verdict)]
    absent = [id for id in one.checks if id not in [verdict.get("id") for verdict in counted]]
    failed = [f"{verdict.get('id')} failed" for verdict in counted if verdict.get("status") == "fail"]
    unknown = [
        f"{verdict.get('id')} could not be measured"
        for verdict in counted
        if verdict.get("status") != "fail" and not gate.is_good(verdict)
    ]
    unknown += [f"{id} has no verdict at {last}" for id in absent]
    if one.tags and not any(set(one.tags) & set(verdict.get("tags") or []) for verdict in counted):
        unknown.append(f"no verdict of {last} carries any of {', '.join(one.tags)}")
    status = "fail" if failed else "inconclusive" if unknown else "pass"
    return status, "; ".join([*failed, *unknown]) or f"{len(counted)} of {len(counted)} good at {last}"


def judge_criteria(
    wanted: Sequence[Criterion],
    verdicts: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
    last: str,
    now: float,
) -> list[dict[str, Any]]:
    """One verdict for each exit criterion, ``EXIT-1`` and so on. ``verdicts``: those of the last checkpoint, and of the exit."""
    found = []
    for number, one in enumerate(wanted, 1):
        measures: dict[str, Any] = {}
        if one.given:
            status, reason, measures = _judge_given(one, given)
            proof: dict[str, Any] = {"given": one.given} if measures else {}
        else:
            status, reason = _judge_verdicts(one, verdicts, last)
            proof = {"verdicts": len(verdicts)} if verdicts else {}
        found.append(
            record_of(f"EXIT-{number}", one.name, status, reason, measures=measures, proof=proof, started=utc(now), tags=[EXIT])
        )
    return found


def rows(verdicts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table of the exit."""
    named = {PASSED: "Every checkpoint passed", SIGNED: "Signed off"}
    found = [{"name": name, "checks": [id]} for id, name in named.items()]
    return found + [{"name": one["title"], "checks": [one["id"]]} for one in verdicts if EXIT in one["tags"]]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""An incident and what is done about it: its description held against a schema, what a look at it says, the record of the run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Probe

THERE, ABSENT, UNKNOWN = "there", "absent", "unknown"
"""What a look at an incident says."""

OUTCOMES = ("absent", "remediated", "rehearsed", "unknown", "refused", "unverified", "failed")
"""How a remediation ends on a host. The first three are good ends; in check mode one ends ``rehearsed``."""
_GOOD = OUTCOMES[:3]

_SECRET = re.compile(r"token|secret|pass|key|cred|auth|dsn|private|chat_id", re.IGNORECASE)


def _settings(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not (value.get("set") or value.get("lower")):
        raise ValueError("expected {set: {KEY: VALUE}} or {lower: {KEY: NUMBER}}, and perhaps services and apply")
    problems: list[Problem] = []
    clean = opt.read_options(value, _SETTINGS, "", problems)
    if problems:
        raise ValueError("; ".join(f"{one.where.lstrip('.')}: {one.message}" for one in problems))
    for key, number in clean["lower"].items():
        if _number(number) is None:
            raise ValueError(f"lower: {key}: expected a number, got {number!r}")
    return clean


def _streams(value: Any) -> int:
    if not isinstance(value, Mapping) or set(value) != {"max_connections"}:
        raise ValueError(f"expected {{max_connections: NUMBER}}, got {value!r}")
    number: int = opt.integer(1, 1_000_000)(value["max_connections"])
    return number


def _command(value: Any) -> list[str]:
    words: list[str] = opt.list_of(opt.text)(value)
    if not words:
        raise ValueError("names no program")
    return words


_SETTINGS: Mapping[str, Option] = {
    "set": Option(opt.map_of(opt.anything), "settings to change", default={}),
    "lower": Option(opt.map_of(opt.anything), "settings to change where they are higher, or not set", default={}),
    "services": Option(opt.list_of(opt.text), "the services that must see them", default=[]),
    "apply": Option(opt.choice("reload", "restart"), "how they get to see them", default="reload"),
}
KINDS: Mapping[str, Option] = {
    "release_lock": Option(opt.flag, "let the lock go when it is stuck"),
    "settings": Option(_settings, "change settings of the release that runs"),
    "streams": Option(_streams, "limit the streams of each client in nginx"),
    "restart": Option(_command, "restart services of the release"),
    "service": Option(opt.text, "restart a service of the host"),
    "command": Option(_command, "run a command"),
}
"""What a step can do. Each step does one thing."""

_STEP: Mapping[str, Option] = {
    "name": Option(opt.text, "the name of the step", required=True),
    "title": Option(opt.text, "what it does, in words", default=""),
    "way_back": Option(opt.text, "how it is undone", default=""),
    "only_when": Option(opt.list_of(opt.text), "ids of checks, one of which must not have passed for the step to be taken"),
    **KINDS,
}
_INCIDENT: Mapping[str, Option] = {
    "title": Option(opt.text, "what is wrong, in words", default=""),
    "lock": Option(opt.anything, "the lock of the leader election, as the options of the probe leader"),
    "look": Option(opt.anything, "checks; one that fails shows that the incident is there", default=[]),
    "require": Option(opt.anything, "checks that must hold before anything is done about it", default=[]),
    "steps": Option(opt.anything, "what is done, the smallest first", required=True),
    "verify": Option(opt.anything, "checks that show that it is over; without any, those of look", default=[]),
}


def problems_of(incidents: Any, name: str, probes: Mapping[str, Probe], secrets: Sequence[str] = ()) -> list[str]:
    """Every mistake in what an environment says of an incident."""
    if not isinstance(incidents, Mapping) or not incidents:
        return ["remediate_incidents: this environment describes no incidents"]
    if name not in incidents:
        known = ", ".join(sorted(incidents))
        what = f"{name!r} is none of them" if name else "is missing"
        return [f"remediate_incident: {what}; there are {known}, say -e incident=NAME"]
    where, problems = f"remediate_incidents.{name}", list[Problem]()
    clean = opt.read_options(incidents[name], _INCIDENT, where, problems)
    if not clean["look"] and clean["lock"] is None:
        problems.append(Problem(where, "has neither look nor lock, so nothing could show whether it is there"))
    for part in ("look", "require", "verify"):
        try:
            read_checks(clean[part] or [], probes, dict.fromkeys(secrets, "-"))
        except InputError as error:
            problems += [Problem(f"{where}.{part}: {one.where}", one.message) for one in error.problems]
    if clean["lock"] is not None:
        from ansible_collections.golive.cutover.plugins.module_utils import leader_lock

        try:
            leader_lock.read(clean["lock"], dict.fromkeys(secrets, "-"))
        except InputError as error:
            problems += [Problem(one.where.replace("leader", f"{where}.lock", 1), one.message) for one in error.problems]
    _read_steps(clean, where, problems)
    return [str(one) for one in problems]


def _read_steps(incident: Mapping[str, Any], where: str, problems: list[Problem]) -> None:
    steps = incident["steps"]
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        problems.append(Problem(f"{where}.steps", f"expected a list of steps, got {steps!r}"))
        return
    seen: set[str] = set()
    ids = {one.get("id") for one in [*_words(incident["look"]), *_words(incident["verify"])] if isinstance(one, Mapping)}
    for index, raw in enumerate(steps):
        label = raw.get("name", index) if isinstance(raw, Mapping) else index
        place = f"{where}.steps[{label}]"
        clean = opt.read_options(raw, _STEP, place, problems)
        does = [kind for kind in KINDS if clean[kind] is not None]
        if len(does) != 1:
            problems.append(Problem(place, f"expected one of {', '.join(KINDS)}, got {' and '.join(does) or 'none of them'}"))
        if clean["release_lock"] and incident["lock"] is None:
            problems.append(Problem(place, "there is no lock to let go: the incident does not describe one"))
        unknown = [one for one in clean["only_when"] or [] if one not in ids]
        problems += [Problem(f"{place}.only_when", f"there is no check {one!r} in look or verify") for one in unknown]
        if str(label) in seen:
            problems.append(Problem(place, "the name stands twice"))
        seen.add(str(label))


# -- what a look says --------------------------------------------------------------------------------------------------


def _named(verdict: Mapping[str, Any]) -> str:
    """The keys of an env file that a verdict is about: without them nobody knows what to put right."""
    proof = verdict.get("proof") or {}
    keys = [str(one) for part in ("missing_keys", "placeholders") for one in _words(proof.get(part))]
    return f" [{', '.join(keys)}]" if keys else ""


def _words(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else []


def line(verdict: Mapping[str, Any]) -> str:
    """One verdict in one line."""
    title = f" ({verdict['title']})" if verdict.get("title") else ""
    return f"{verdict.get('id')}{title} {verdict.get('status')}: {verdict.get('reason')}{_named(verdict)}"


def _judged(verdicts: Sequence[Mapping[str, Any]], asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """What failed, and what was not measured. A check that was asked and has no verdict was not measured."""
    failed = [line(one) for one in verdicts if one.get("status") == "fail" and one.get("required", True)]
    there = {str(one.get("id")) for one in verdicts}
    unknown = [line(one) for one in verdicts if one.get("status") in ("inconclusive", "skip") and one.get("required", True)]
    return failed, unknown + [f"{one}: was not asked" for one in asked if one not in there]


def _of_lock(lock: Mapping[str, Any]) -> str:
    """What was found of a lock, in one line; why nothing was, when the look itself failed."""
    said = str(lock.get("reason") or lock.get("msg") or "it is not known whose the lock is")
    return said + (f"; {lock['proof']}" if lock.get("proof") else "")


def seen(verdicts: Sequence[Mapping[str, Any]], asked: Sequence[str], lock: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Whether the incident is there, as ``{state, lines}``.

    Checks say what should be: one that fails shows that the incident is there. With a lock, whose it is decides before them: what
    is not certain of a lock is not made certain by something else that fails.
    """
    failed, unknown = _judged(verdicts, asked)
    about_lock = [_of_lock(lock)] if lock else []
    lines = about_lock + failed + unknown
    if lock and lock.get("finding") not in ("led", "free", "expiring", "stale"):
        state = UNKNOWN
    elif failed or (lock and lock["finding"] != "led"):
        state = THERE
    elif unknown or not (verdicts or lock):
        state = UNKNOWN
    else:
        state, lines = ABSENT, about_lock + [line(one) for one in verdicts]
    return {"state": state, "lines": lines or ["nothing was asked, so nothing is known"]}


# -- settings ----------------------------------------------------------------------------------------------------------


def _number(value: Any) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def settings(now: Mapping[str, str], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What of a step's settings is to be changed, as ``{change, way_back}``; ``now`` are those of the env file.

    What is to be lowered is never raised.
    """
    change: dict[str, str] = {key: _text(value) for key, value in (wanted.get("set") or {}).items() if now.get(key) != _text(value)}
    for key, value in (wanted.get("lower") or {}).items():
        current = _number(now[key]) if now.get(key) else None
        if current is None or current > float(str(value)):
            change[key] = _text(value)
    way_back = []
    for key in change:
        if not now.get(key):
            way_back.append(f"{key} was not set: take it out of the env file")
        elif _SECRET.search(key):
            way_back.append(f"{key} had another value: the next cutover writes it")
        else:
            way_back.append(f"{key} was {now[key]}: put that back")
    return {"change": change, "way_back": way_back}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# -- the run -----------------------------------------------------------------------------------------------------------


def reasons_of(outcome: Mapping[str, Any]) -> list[str]:
    """What was seen, done and verified on a host, in lines."""
    words = (("seen", "seen"), ("refused", "left alone"), ("done", "done"), ("verified", "then"), ("way_back", "way back"))
    return [f"{word}: {one}" for key, word in words for one in outcome.get(key) or []]


def record(
    run: Mapping[str, Any],
    outcomes: Mapping[str, Mapping[str, Any] | None],
    closed: Mapping[str, Mapping[str, Any] | None],
    ended: str,
) -> dict[str, Any]:
    """The run as the report takes it. ``outcomes``: what the role left on each host; ``closed``: the outcome of the run there."""
    hosts: Sequence[str] = run["hosts"]
    several = len(hosts) > 1
    good, reasons, of_hosts, lost, problems = True, list[str](), dict[str, Any](), list[str](), list[str]()
    for host in hosts:
        outcome = outcomes.get(host)
        if not outcome or outcome.get("state") not in OUTCOMES:
            good = False
            lost.append(host)
            reasons.append(f"{host}: the host was lost, so nobody knows how far it got")
            continue
        fine = outcome["state"] in _GOOD
        good = good and fine
        reasons += [f"{host}: {one}" if several else one for one in reasons_of(outcome)]
        reasons += [] if fine else [f"{host}: {_why(outcome)}"]
        why = (closed.get(host) or {}).get("close_error")
        problems += [f"{host}: {why}"] if why else []
        of_hosts[host] = {
            "state": "done" if fine else "failed",
            "changed": bool(outcome.get("changed")),
            "steps": list(outcome.get("steps") or []),
            "asked": list(outcome.get("asked") or []),
            "verdicts": list(outcome.get("verdicts") or []),
            "failed": None if fine else {"step": str(outcome.get("step") or "look"), "task": None, "message": _why(outcome)},
        }
    return {
        **{key: run.get(key) for key in ("id", "kind", "environment", "release", "reason", "started", "operator", "controller")},
        "reason": next((str(one["incident"]) for one in outcomes.values() if one and one.get("incident")), run.get("reason")),
        "ended": ended,
        "previous_release": None,
        "decision": "go" if good and not problems else "no_go",
        "reasons": reasons + problems,
        "criteria": [],
        "hosts": of_hosts,
        "lost_hosts": lost,
        "rollback": None,
        "problems": problems,
    }


def _why(outcome: Mapping[str, Any]) -> str:
    said = {
        "unknown": "whether the incident is there could not be measured, so nothing was done",
        "refused": "nothing may be done about it as things are",
        "unverified": "the incident is still there after all steps",
    }
    return str(outcome.get("error") or said.get(str(outcome.get("state")), "it failed"))

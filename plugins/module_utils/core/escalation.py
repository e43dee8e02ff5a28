# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The live watch: the level of each condition, when it has changed, and what is to be done about it.

A condition is a check with two levels, as runbooks have them: *warning* when it warns, *critical* when it fails. A level leads to
an action: ``inform`` (people are told), ``page`` (somebody is called), ``stop`` (a strategy of the rollback is carried out). What
changed is in the ledger, so that the same condition is told once, also by a watch that is started again, and again when its level
is another.

What could not be measured keeps the level that it had, and is a condition of its own, `UNMEASURED`: a watch that does not see must
say so. All of it is pure: verdicts and entries of the ledger go in, records come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.closing import ESCALATION
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import COVERAGE, Watch, record_of, utc
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.strategies import AUTO, STRATEGIES

STOPPED = "hypercare_stop"
"""The event of the ledger that says how an emergency stop ended."""
UNMEASURED = "UNMEASURED"
"""The condition that something could not be measured."""
LEVELS = ("ok", "warning", "critical")
ACTIONS = ("inform", "page", "stop")
WATCHED = "HYPERCARE-WATCH"

_LEVEL_OF = {"pass": "ok", "warn": "warning", "fail": "critical"}


@dataclass(frozen=True)
class Action:
    """What a level leads to; ``strategy`` of a stop."""

    action: str
    strategy: str = ""


@dataclass(frozen=True)
class Escalation:
    """One row of the table: a check, and what each of its levels leads to. ``advice`` is told with it."""

    check: str
    warning: Action = Action("inform")
    critical: Action = Action("page")
    advice: str = ""

    def action_at(self, level: str) -> Action:
        return self.critical if level == "critical" else self.warning


@dataclass(frozen=True)
class Seen:
    """What a look has found about one condition. ``level`` None: not measured; ``waiting``: nothing can be said yet, because the GO
    is more recent than the time that the check is about, or there was too little to count."""

    check: str
    title: str
    level: Optional[str]
    reason: str
    value: str = ""
    waiting: bool = False
    required: bool = True


@dataclass(frozen=True)
class Known:
    """What the ledger knows of a condition: its level, what it is about, how it is told, and the number of the entry."""

    level: str
    about: tuple[str, ...] = ()
    event: str = ""
    seq: int = 0
    reason: str = ""


# ---------------------------------------------------------------------------------------------------------------------
# The table


_ACTION_OPTIONS: Mapping[str, Option] = {
    "action": Option(opt.choice(*ACTIONS), "inform, page or stop", required=True),
    "strategy": Option(opt.choice(*STRATEGIES, AUTO), "the strategy of the rollback that a stop carries out"),
}
_OPTIONS: Mapping[str, Option] = {
    "check": Option(opt.text, "the id of a check", required=True),
    "warning": Option(opt.anything, "what a warning leads to: {action: inform}"),
    "critical": Option(opt.anything, "what a critical level leads to: {action: page}, or {action: stop, strategy: …}"),
    "advice": Option(opt.text, "what to look at first"),
}


def _read_action(raw: Any, default: Action, where: str, problems: list[Problem]) -> Action:
    if raw is None:
        return default
    clean = opt.read_options(raw, _ACTION_OPTIONS, where, problems)
    stops = clean["action"] == "stop"
    if stops != bool(clean["strategy"]) and clean["action"]:
        problems.append(Problem(f"{where}.strategy", "belongs to the action stop, which needs it"))
    if stops and not where.endswith(".critical"):
        problems.append(Problem(f"{where}.action", "only a critical level may stop something"))
    return Action(str(clean["action"] or default.action), str(clean["strategy"] or ""))


def read_escalations(raw: Any, known: Iterable[str], where: str = "escalations") -> tuple[Escalation, ...]:
    """The table, as a list of rows. ``known``: the ids of the checks that there are. Raises InputError with every mistake."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        raise InputError([Problem(where, f"expected conditions to watch, at least one, got {raw!r}")])
    problems: list[Problem] = []
    ids = list(known)
    found: list[Escalation] = []
    for index, one in enumerate(raw):
        place = f"{where}[{one.get('check', index) if isinstance(one, Mapping) else index}]"
        clean = opt.read_options(one, _OPTIONS, place, problems)
        check = clean["check"]
        if check is not None and check not in ids:
            problems.append(Problem(f"{place}.check", opt.unknown_key(str(check), ids, "check")))
        if check in [other.check for other in found]:
            problems.append(Problem(place, "stands twice"))
        warning = _read_action(clean["warning"], Action("inform"), f"{place}.warning", problems)
        critical = _read_action(clean["critical"], Action("page"), f"{place}.critical", problems)
        found.append(Escalation(str(check), warning, critical, clean["advice"] or ""))
    if problems:
        raise InputError(problems)
    return tuple(found)


def level_of(status: Any) -> Optional[str]:
    """The level that the status of a verdict is; None for what could not be measured."""
    return _LEVEL_OF.get(str(status))


# ---------------------------------------------------------------------------------------------------------------------
# What has changed


def known_levels(entries: Iterable[Mapping[str, Any]], watch: Watch, host: str) -> dict[str, Known]:
    """The conditions that the ledger knows of a watch on a host, each as its newest entry says it."""
    found: dict[str, Known] = {}
    for entry in entries:
        data = entry.get("data") or {}
        if entry.get("event") == ESCALATION and data.get("watch") == watch.run and data.get("host") == host:
            about = tuple(str(one) for one in data.get("about") or ())
            texts = [str(data.get(key) or "") for key in ("level", "event", "reason")]
            found[str(data.get("condition"))] = Known(texts[0], about, texts[1], int(entry.get("seq") or 0), texts[2])
    return found


def _told_as(*actions: Action) -> str:
    """The event by which people are told: whoever was called is called again when it is over."""
    return "escalation" if all(one.action == "inform" for one in actions) else "page"


def _of_condition(row: Escalation, seen: Seen, before: Known) -> Optional[dict[str, Any]]:
    if seen.level is None or seen.level == before.level:
        return None
    now, was = row.action_at(seen.level), row.action_at(before.level)
    counted = [action for level, action in ((seen.level, now), (before.level, was)) if level != "ok"]
    return {
        "condition": row.check,
        "title": seen.title,
        "level": seen.level,
        "was": before.level,
        "action": now.action if seen.level != "ok" else "inform",
        "strategy": now.strategy if seen.level != "ok" else "",
        "event": _told_as(*counted),
        "reason": seen.reason,
        "advice": row.advice if seen.level != "ok" else "",
        "about": [row.check],
    }


def _of_unmeasured(action: Action, looks: Sequence[Seen], before: Known) -> Optional[dict[str, Any]]:
    blind = [one for one in looks if one.level is None and not one.waiting]
    about = sorted(one.check for one in blind)
    level = "warning" if blind else "ok"
    if level == before.level and tuple(about) == before.about:
        return None
    return {
        "condition": UNMEASURED,
        "title": "The watch cannot measure everything",
        "level": level,
        "was": before.level,
        "action": action.action,
        "strategy": "",
        "event": _told_as(action),
        "reason": "; ".join(f"{one.check}: {one.reason}" for one in blind) or "everything is measured again",
        "advice": "",
        "about": about,
    }


def changes(
    table: Sequence[Escalation], looks: Sequence[Seen], known: Mapping[str, Known], unmeasured: Action = Action("inform")
) -> list[dict[str, Any]]:
    """What is to be told and done now: a record for each condition whose level is another than the ledger knows."""
    fresh = Known("ok")
    by_check = {one.check: one for one in looks}
    found = [_of_condition(row, by_check[row.check], known.get(row.check, fresh)) for row in table]
    found.append(_of_unmeasured(unmeasured, looks, known.get(UNMEASURED, fresh)))
    return [one for one in found if one is not None]


def still_there(known: Mapping[str, Known]) -> list[dict[str, Any]]:
    """The conditions that the ledger knows, also those that are over: to be told now, should a message not have got through.
    Telling itself knows what has arrived."""
    return [
        {
            "condition": name,
            "level": one.level,
            "event": one.event or "escalation",
            "reason": one.reason,
            "about": list(one.about),
            "advice": "",
        }
        for name, one in known.items()
    ]


def stop_due(
    table: Sequence[Escalation], looks: Sequence[Seen], known: Mapping[str, Known], stops: Mapping[str, int]
) -> Optional[dict[str, Any]]:
    """The emergency stop that is due: of the first row that is critical now and asks for one, unless that strategy was carried out
    and verified since the condition became critical. ``known``: with what has just changed; ``stops``: as `stops_of` says."""
    by_check = {one.check: one for one in looks}
    for row in table:
        seen, way = by_check[row.check], row.critical
        since = known.get(row.check, Known("ok")).seq
        if seen.level == "critical" and way.action == "stop" and stops.get(way.strategy, -1) < since:
            return {"condition": row.check, "strategy": way.strategy, "reason": seen.reason}
    return None


def stops_of(entries: Iterable[Mapping[str, Any]], watch: Watch, host: str) -> dict[str, int]:
    """The strategies that were carried out and verified in a watch on a host: each with the number of its newest entry."""
    found: dict[str, int] = {}
    for entry in entries:
        data = entry.get("data") or {}
        ours = data.get("watch") == watch.run and data.get("host") == host
        if entry.get("event") == STOPPED and ours and data.get("verified") is True:
            found[str(data.get("strategy"))] = int(entry.get("seq") or 0)
    return found


# ---------------------------------------------------------------------------------------------------------------------
# What is shown, and what the watch comes to


def line(watch: Watch, looks: Sequence[Seen], now: float, host: str = "") -> str:
    """One look in one line: the time, how long after the GO, and each condition with its value. Loud where it is not ok."""
    since = max(now - watch.start, 0.0)
    after = f"T+{int(since // 60)}m{int(since % 60):02d}s"
    parts = []
    for one in looks:
        if one.waiting:
            word = "not yet"
        elif one.level is None:
            word = "NOT MEASURED"
        else:
            word = " ".join(text for text in (one.value, "" if one.level == "ok" else one.level.upper()) if text) or "ok"
        parts.append(f"{one.check} {word}")
    where = f"{host}  " if host else ""
    return f"{utc(now)[11:]}  {after:<9} {where}{'  '.join(parts)}"


def add(tally: Mapping[str, Any], looks: Sequence[Seen], now: float) -> dict[str, Any]:
    """The tally of a watch after one more look: for each condition how often it was asked, and its worst."""
    fresh = {"looks": 0, "unmeasured": 0, "waiting": 0, "worst": "", "at": "", "reason": ""}
    conditions = {name: dict(one) for name, one in (tally.get("conditions") or {}).items()}
    for one in looks:
        known = conditions.setdefault(one.check, dict(fresh))
        known.update(title=one.title, required=one.required, last=one.level or ("waiting" if one.waiting else "unmeasured"))
        known["last_reason"] = one.reason
        known["looks"] += 1
        known["unmeasured"] += one.level is None and not one.waiting
        known["waiting"] += one.waiting
        if one.level is not None and (not known["worst"] or LEVELS.index(one.level) > LEVELS.index(known["worst"])):
            known.update(worst=one.level, at=utc(now), reason=one.reason)
    return {"looks": int(tally.get("looks") or 0) + 1, "conditions": conditions}


def _verdict(name: str, one: Mapping[str, Any], now: float) -> dict[str, Any]:
    asked = int(one["looks"]) - int(one["waiting"])
    blind = int(one["unmeasured"])
    required = one["required"] is not False
    if one["worst"] == "critical":
        status, reason = "fail", f"critical at {one['at']}: {one['reason']}"
    elif not asked:
        why = f"nothing could be said of it yet when the watch ended: {one['last_reason']}"
        status, reason, required = "skip", why, False
    elif one["last"] == "unmeasured" or blind > (1 - COVERAGE) * asked:
        status, reason = "inconclusive", f"could not be measured in {blind} of {asked} looks: {one['last_reason']}"
    elif one["worst"] == "warning":
        status, reason = "warn", f"warning at {one['at']}: {one['reason']}"
    else:
        status, reason = "pass", f"ok in {asked - blind} of {asked} looks; {one['reason']}"
    return record_of(
        name,
        str(one["title"]),
        status,
        reason,
        required=required,
        proof={"looks": one["looks"], "measured": asked - blind} if asked else {},
        started=utc(now),
        tags=["watch"],
    )


def verdicts(tally: Mapping[str, Any], now: float, lost: int = 0) -> list[dict[str, Any]]:
    """What a watch has come to: a verdict for each condition, by its worst level, and one on the watch itself. ``lost``: looks that
    could not be made at all."""
    found = [_verdict(name, one, now) for name, one in (tally.get("conditions") or {}).items()]
    looks = int(tally.get("looks") or 0)
    measured = sum(one["status"] in ("pass", "warn", "fail") for one in found)
    why = "" if measured else "nothing could be measured"
    if lost > (1 - COVERAGE) * (looks + lost):
        why = f"{lost} of {looks + lost} looks could not be made"
    made = f"{looks} looks" if looks != 1 else "1 look"
    found.append(
        record_of(
            WATCHED,
            "The watch looked all the time",
            "inconclusive" if why else "pass",
            f"could not be measured, because {why}" if why else f"{made}, {measured} of {len(found)} conditions were measured",
            proof={"looks": looks},
            started=utc(now),
            tags=["watch"],
        )
    )
    return found


def rows(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table of a watch."""
    asked = [one["id"] for one in found if one["id"] != WATCHED and one["status"] != "skip"]
    table: list[dict[str, Any]] = [{"name": "The watch looked all the time", "checks": [WATCHED]}]
    needed = [one["id"] for one in found if one["id"] in asked and one["required"]]
    return table + ([{"name": "No condition became critical", "checks": needed}] if needed else [])


def one_table(tables: Iterable[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The table of a watch over several hosts: each row names the checks of all of them. What one host has nothing to say of yet,
    another may."""
    found: dict[str, list[str]] = {}
    for row in (row for table in tables for row in table):
        known = found.setdefault(str(row["name"]), [])
        known.extend(str(one) for one in row["checks"] if str(one) not in known)
    return [{"name": name, "checks": checks} for name, checks in found.items()]


def shown(verdict: Mapping[str, Any]) -> str:
    """The first measure that a threshold is about, for the line."""
    for column in ("critical", "warn", "expect"):
        for name in (verdict.get("expected") or {}).get(column) or {}:
            measure = (verdict.get("measures") or {}).get(name)
            if measure is not None and measure.get("value") is not None:
                kind = next((kind for kind, unit in units.BASE_UNITS.items() if unit and unit == measure.get("unit")), "any")
                value = measure["value"]
                return units.show(round(value, 4) if isinstance(value, float) else value, kind)
    return ""

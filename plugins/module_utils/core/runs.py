# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A run: its plan, validated before anything is touched, and the record that decision and report are made from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check, read_checks, select
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.gate import Policy, read_policy
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Probe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
ENDED = ("done", "failed")
"""The states of a host that got to an end. In any other state it was lost on the way."""


def name(value: Any) -> str:
    """A name that can also be a directory: letters, digits, dot, dash and underscore."""
    if not isinstance(value, str) or not NAME.match(value):
        raise ValueError(f"expected letters, digits, dots, dashes and underscores (it names a directory too), got {value!r}")
    return value


def _checks_of_step(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != {"tags"}:
        raise ValueError(f"expected {{tags: [...]}}, got {value!r}")
    tags = opt.list_of(opt.text)(value["tags"])
    if not tags:
        raise ValueError("names no tag")
    return {"tags": tags}


STEP_OPTIONS: Mapping[str, Option] = {
    "name": Option(name, "the name of the step", required=True),
    "budget": Option(opt.duration, "the time that it may take"),
    "over_budget": Option(opt.choice("warn", "fail"), "what a step that took longer means", default="warn"),
    "role": Option(opt.text, "the role that does the step"),
    "checks": Option(_checks_of_step, "the checks that the step asks"),
}
PLAN_OPTIONS: Mapping[str, Option] = {
    "environment": Option(name, "what is cut over", required=True),
    "release": Option(name, "the release to deploy"),
    "steps": Option(opt.anything, "the steps, in order", default=[]),
    "checks": Option(opt.anything, "the checks", default=[]),
    "gate": Option(opt.anything, "the policy of the gate", default={}),
    "secrets": Option(opt.anything, "names of the secrets", default=[]),
    "store": Option(opt.text, "URL of the store"),
    "lock_lease": Option(opt.duration, "lease of the lock"),
    "preflight_budget": Option(opt.duration, "budget of the step preflight"),
    "elsewhere": Option(opt.anything, "tags of checks that something else than a step asks", default=[]),
    "serial": Option(opt.anything, "sizes of the waves"),
}


#: Names of steps that every run has by itself.
RESERVED = {"preflight": "it comes before all others", "rollback": "it follows a NO-GO"}


def _read_steps(raw: Any, checks: Sequence[Check] | None, problems: list[Problem]) -> None:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        problems.append(Problem("cutover_steps", f"expected a list, got {raw!r}"))
        return
    seen: set[str] = set()
    for index, one in enumerate(raw):
        label = one.get("name", index) if isinstance(one, Mapping) else index
        where = f"cutover_steps[{label}]"
        clean = opt.read_options(one, STEP_OPTIONS, where, problems)
        if (clean["role"] is None) == (clean["checks"] is None):
            problems.append(Problem(where, "expected either a role or checks"))
        if clean["name"] in seen:
            problems.append(Problem(where, "the name stands twice"))
        if clean["name"] in RESERVED:
            problems.append(Problem(where, f"the run itself has a step of that name ({RESERVED[clean['name']]}); take another one"))
        seen.add(clean["name"])
        if clean["checks"] and checks is not None and not select(checks, clean["checks"]["tags"]):
            tags = ", ".join(clean["checks"]["tags"])
            problems.append(Problem(where, f"no check carries the tag {tags}, so the step would pass on no evidence"))


def _read_unasked(checks: Sequence[Check], steps: Any, elsewhere: Sequence[str], problems: list[Problem]) -> None:
    """A required check that nothing asks could never block: most likely a tag is misspelt."""
    asked = set(elsewhere)
    for step in steps if isinstance(steps, Sequence) and not isinstance(steps, str) else []:
        of_step = step.get("checks") if isinstance(step, Mapping) else None
        tags = of_step.get("tags") if isinstance(of_step, Mapping) else None
        asked |= {tags} if isinstance(tags, str) else set(tags or [])
    problems.extend(
        Problem(check.id, f"is required, but no step asks it; its tags are {', '.join(check.tags) or 'none'}")
        for check in checks
        if check.required and not asked & set(check.tags)
    )


def _read_gate(raw: Any, checks: Sequence[Check] | None, steps: Sequence[str], problems: list[Problem]) -> Policy:
    try:
        policy = read_policy(raw, "cutover_gate")
    except InputError as error:
        problems.extend(error.problems)
        return Policy()
    for index, criterion in enumerate(policy.criteria):
        where = f"cutover_gate.criteria[{index}]"
        if checks is not None:
            ids = {check.id for check in checks}
            problems.extend(Problem(f"{where}.checks", f"there is no check {one!r}") for one in criterion.checks if one not in ids)
            if criterion.tags and not select(checks, criterion.tags):
                problems.append(Problem(f"{where}.tags", f"no check carries any of {', '.join(criterion.tags)}"))
        problems.extend(Problem(f"{where}.steps", f"there is no step {one!r}") for one in criterion.steps if one not in steps)
    return policy


def plan_problems(plan: Mapping[str, Any], probes: Mapping[str, Probe], always: Sequence[str] = ("preflight",)) -> list[str]:
    """Every mistake in a plan, as lines that name the variable and what was expected. ``always``: steps that need no entry."""
    problems: list[Problem] = []
    clean = opt.read_options(plan, PLAN_OPTIONS, "cutover", problems)
    checks: list[Check] | None = None
    try:
        checks = read_checks(clean["checks"] or [], probes, dict.fromkeys(clean["secrets"] or [], "-"))
    except InputError as error:
        problems.extend(error.problems)
    _read_steps(clean["steps"], checks, problems)
    if clean["serial"] is not None:
        try:
            waves(["one"], clean["serial"])
        except InputError as error:
            problems.extend(error.problems)
    steps = [str(one.get("name")) for one in clean["steps"] or [] if isinstance(one, Mapping)]
    if checks is not None and clean["steps"]:
        _read_unasked(checks, clean["steps"], clean["elsewhere"] or [], problems)
    _read_gate(clean["gate"], checks, [*always, *steps], problems)
    return [str(problem).replace("cutover.", "cutover_", 1) for problem in problems]


def tags_of(check: Mapping[str, Any]) -> list[str]:
    """The tags of a check as it is written: one word stands for a list of one."""
    carried = check.get("tags") or []
    return [carried] if isinstance(carried, str) else list(carried)


def verify_gate(gate: Mapping[str, Any], checks: Sequence[Mapping[str, Any]], tags: Sequence[str]) -> dict[str, Any]:
    """The gate for a system that is only looked at.

    Steps are not taken, so what only steps answer is left out. When the caller asks for some tags only, a criterion that none of
    the chosen checks can answer stays in the table but does not block: it was not asked, and the report says so.
    """

    chosen = [check for check in checks if not tags or set(tags) & set(tags_of(check))]
    criteria = []
    for row in gate.get("criteria") or []:
        one = {key: value for key, value in row.items() if key != "steps"}
        named = set(opt.list_of(str)(one.get("checks") or []))
        tagged = set(opt.list_of(str)(one.get("tags") or []))
        if not named and not tagged:
            continue
        if tags and not any(check.get("id") in named or tagged & set(tags_of(check)) for check in chosen):
            one["required"] = False
        criteria.append(one)
    return {**gate, "criteria": criteria}


def waves(hosts: Sequence[str], serial: Any) -> list[list[str]]:
    """Hosts in waves. ``serial``: a number, a percentage of all hosts, or a list of them; the last one repeats.

    >>> waves(["a", "b", "c"], [1, "100%"])
    [['a'], ['b', 'c']]
    """
    sizes = [_wave_size(one, len(hosts)) for one in (serial if isinstance(serial, list) else [serial])]
    if not sizes:
        raise InputError([Problem("cutover_serial", "expected a number, a percentage, or a list of them, got an empty list")])
    rest = list(hosts)
    found: list[list[str]] = []
    while rest:
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append(rest[:size])
        rest = rest[size:]
    return found


def _wave_size(value: Any, hosts: int) -> int:
    text = str(value).strip()
    number = text[:-1].strip() if text.endswith("%") else text
    if not number.isdigit() or int(number) < 1:
        message = f"expected a number of at least 1 or a percentage such as 25%, or a list of them, got {value!r}"
        raise InputError([Problem("cutover_serial", message)])
    return max(1, hosts * int(number) // 100) if text.endswith("%") else int(number)


def stopped(outcomes: Mapping[str, Mapping[str, Any] | None], hosts: Sequence[str], alive: Sequence[str]) -> list[str]:
    """The hosts that have failed or were lost so far; ``alive`` are the hosts that the play still has."""
    return [host for host in hosts if host not in alive or (outcomes.get(host) or {}).get("failed")]


def _outcome_failure(outcome: Mapping[str, Any]) -> Mapping[str, Any]:
    step = outcome.get("step")
    where = f"in or after the step {step}" if step else "before its first step"
    message = f"the host was lost {where} (unreachable, or a task outside of the steps failed)"
    return {"step": step or "-", "task": None, "message": message}


def evidence(outcomes: Mapping[str, Mapping[str, Any] | None], hosts: Sequence[str]) -> dict[str, Any]:
    """What the gate is given: for each host what became of it. A host that got to no end is failed here."""
    found: dict[str, Any] = {}
    for host in hosts:
        outcome = outcomes.get(host)
        if outcome is None:
            continue
        of_host = {key: outcome.get(key) for key in ("asked", "verdicts", "steps", "failed", "state", "changed")}
        if outcome.get("state") not in ENDED:
            of_host["failed"] = outcome.get("failed") or _outcome_failure(outcome)
            of_host["state"] = "lost"
        found[host] = of_host
    return found


def lost_hosts(outcomes: Mapping[str, Mapping[str, Any] | None], hosts: Sequence[str]) -> list[str]:
    """The hosts of which no end is known."""
    return [host for host in hosts if (outcomes.get(host) or {}).get("state") not in ENDED]


def rollback_summary(undone: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How a rollback ended on one host, without its verdicts; None when there was none."""
    if not undone:
        return None
    return {key: undone.get(key) for key in ("strategy", "to", "seconds", "budget", "verified", "error")}


def _rollback(
    outcomes: Mapping[str, Mapping[str, Any] | None], undone: Mapping[str, Mapping[str, Any] | None], hosts: Sequence[str]
) -> dict[str, Any] | None:
    """The rollback over all hosts: verified only when every host that was changed is rolled back and verified."""
    changed = [host for host in hosts if (outcomes.get(host) or {}).get("changed")]
    done = {host: dict(undone[host] or {}) for host in hosts if undone.get(host)}
    for host in changed:
        if host not in done:
            done[host] = {
                "verified": False,
                "error": "the host was changed and could not be reached for the rollback",
                "verdicts": [],
            }
    if not done:
        return None
    seconds = [float(one["seconds"]) for one in done.values() if one.get("seconds") is not None]
    first = next((one for one in done.values() if one.get("strategy")), {})
    return {
        "strategy": first.get("strategy") or "none",
        "to": first.get("to"),
        "seconds": max(seconds) if seconds else None,
        "budget": first.get("budget"),
        "verified": all(one.get("verified") is True for one in done.values()),
        "hosts": done,
    }


def run_record(
    run: Mapping[str, Any],
    decided: Mapping[str, Any],
    outcomes: Mapping[str, Mapping[str, Any] | None],
    undone: Mapping[str, Mapping[str, Any] | None],
    ended: str,
    notifications: Sequence[Mapping[str, Any]] = (),
    dora: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole record of a run, as the report takes it; ``problems`` are those of closing it.

    ``notifications``: who was told what, and who could not be. ``dora``: the figures of deliveries. Neither decides anything.
    """
    hosts: Sequence[str] = run["hosts"]
    decision = decided.get("decision", "no_go")
    reasons = list(decided.get("reasons", ["no decision was reached"]))
    seen = evidence(outcomes, hosts)
    problems = [f"{host}: {one['close_error']}" for host in hosts if (one := outcomes.get(host) or {}) and one.get("close_error")]
    rollback = _rollback(outcomes, undone, hosts) if run.get("kind") == "rollback" or decision != "go" else None
    if run.get("kind") == "rollback":
        # A rollback by hand is not judged by the gate of a cutover: it is good when it is verified on every host.
        reasons = [f"{host}: no evidence, the host was lost or never reached" for host in hosts if host not in seen]
        reasons += [f"{host}: {one['failed'].get('message')}" for host, one in seen.items() if one.get("failed")]
        decision = "go" if rollback is not None and rollback["verified"] and not reasons else "no_go"
    elif problems:
        # Accepted, ledger or lock could not be written: what stands on the hosts is not what the store says.
        decision = "no_go"
    previous = [one for one in ((outcomes.get(host) or {}).get("previous_release") for host in hosts) if one]
    return {
        **{key: run.get(key) for key in ("id", "kind", "environment", "release", "reason", "started", "operator", "controller")},
        "ended": ended,
        "previous_release": previous[0] if previous else None,
        "decision": decision,
        "reasons": reasons + problems,
        "criteria": list(decided.get("criteria", [])),
        "hosts": seen,
        "lost_hosts": lost_hosts(outcomes, hosts),
        "rollback": rollback,
        "problems": problems,
        "notifications": list(notifications),
        "dora": dict(dora) if dora else None,
    }


def rehearsal(run: Mapping[str, Any], outcomes: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """What a run in check mode has seen, as ``{ok, lines}``. It decides nothing, because what it would judge does not run."""
    hosts: Sequence[str] = run["hosts"]
    seen = evidence(outcomes, hosts)
    what = f"A cutover to {run.get('release')}" if run.get("kind") == "cutover" else "A rollback"
    lines = [f"Check mode: nothing was changed and nothing was decided. {what} as far as it can be known before:"]
    ok = True
    for host in hosts:
        of_host = seen.get(host) or {"failed": _outcome_failure({}), "verdicts": []}
        if of_host["failed"]:
            ok = False
            why = of_host["failed"]
            lines.append(f"{host}: would be refused in the step {why.get('step')}: {why.get('message')}")
            continue
        steps = ", ".join(step["name"] for step in of_host["steps"])
        lines.append(f"{host}: nothing stands in the way of {steps}")
        verdicts = of_host["verdicts"] or []
        bad = [f"{one['id']} ({one['reason']})" for one in verdicts if one["status"] in ("fail", "inconclusive")]
        left_out = [one["id"] for one in verdicts if one["status"] == "skip"]
        if verdicts:
            good = f"{len(verdicts) - len(bad) - len(left_out)} of {len(verdicts)} checks hold for what runs now"
            good += f"; these do not: {', '.join(bad)}" if bad else ""
            lines.append(f"{host}: {good}{'; not asked: ' + ', '.join(left_out) if left_out else ''}")
    return {"ok": ok, "lines": lines}

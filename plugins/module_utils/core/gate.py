# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The gate: a policy over the evidence of all hosts, and the decision that follows.

It fails closed. A host without verdicts, a check that was asked and has no verdict, a criterion that nothing answers, an unknown
status: each is a reason for NO-GO. Only these things count in favour: a verdict ``pass`` or ``warn``, a step that ended ``ok`` or
``over``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import pass_rate
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import GOOD, STATUSES

STEP_GOOD = ("ok", "over")
NO_STEP = "-"
"""In the failure of a host: it got to no step, as the cutover had stopped elsewhere."""


@dataclass(frozen=True)
class Criterion:
    """One row of a go/no-go table. ``pass_rate`` is a ratio; None means that every verdict must be good."""

    name: str
    required: bool
    tags: tuple[str, ...]
    checks: tuple[str, ...]
    steps: tuple[str, ...]
    pass_rate: float | None

    def covers(self, verdict: Mapping[str, Any]) -> bool:
        return verdict.get("id") in self.checks or bool(set(self.tags) & set(verdict.get("tags") or ()))

    def counts(self, verdict: Mapping[str, Any]) -> bool:
        """Whether a verdict has a say here.

        A nice-to-have check that a required row only covers by a tag has none: it can warn, but never block. Named by its id, or
        under a pass rate, it counts like the others. A skipped check was not asked.
        """
        if not self.covers(verdict) or verdict.get("status") == "skip":
            return False
        needed = verdict.get("required", True) is not False
        return needed or not self.required or self.pass_rate is not None or verdict.get("id") in self.checks


@dataclass(frozen=True)
class Policy:
    """The go/no-go table, and how many warnings are allowed (None: any number)."""

    criteria: tuple[Criterion, ...] = ()
    max_warnings: int | None = None


@dataclass
class Decision:
    """``go`` or ``no_go``, the reasons in words, every criterion with what became of it, and the verdicts counted by status.

    ``causes`` is what the reasons come down to, for what has to choose by them: records with ``host``, and with ``check`` and
    ``tags`` of a check that does not hold, or ``step`` of a step that failed by itself, or ``other`` in words.
    """

    decision: str
    reasons: list[str] = field(default_factory=list)
    criteria: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    blocking: list[dict[str, Any]] = field(default_factory=list)
    causes: list[dict[str, Any]] = field(default_factory=list)


def ratio(value: Any) -> float:
    """A share between 0 and 1, written as ``95%`` or ``0.95``; the runbook's ``>= 95%`` is understood too."""
    return opt.share(value.strip().removeprefix(">=") if isinstance(value, str) else value)


CRITERION_OPTIONS: Mapping[str, Option] = {
    "name": Option(opt.text, "what is decided, in words", required=True),
    "required": Option(opt.flag, "whether it can block", default=True),
    "tags": Option(opt.list_of(opt.text), "checks with any of these tags count", default=[]),
    "checks": Option(opt.list_of(opt.text), "checks with these ids count", default=[]),
    "steps": Option(opt.list_of(opt.text), "steps with these names count", default=[]),
    "pass_rate": Option(ratio, "share of the verdicts that must be good"),
}
POLICY_OPTIONS: Mapping[str, Option] = {
    "criteria": Option(opt.anything, "the rows of the go/no-go table", default=[]),
    "max_warnings": Option(opt.integer(0), "how many warnings are allowed"),
}


def read_policy(raw: Any, where: str = "policy") -> Policy:
    """Read a policy. Raises InputError with every mistake."""
    problems: list[Problem] = []
    clean = opt.read_options({} if raw is None else raw, POLICY_OPTIONS, where, problems)
    criteria: list[Criterion] = []
    rows = clean["criteria"]
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        problems.append(Problem(f"{where}.criteria", f"expected a list, got {rows!r}"))
        rows = []
    for index, row in enumerate(rows):
        place = f"{where}.criteria[{index}]"
        one = opt.read_options(row, CRITERION_OPTIONS, place, problems)
        if not (one["tags"] or one["checks"] or one["steps"]):
            problems.append(Problem(place, "names neither tags, checks nor steps, so nothing could answer it"))
        if one["pass_rate"] is not None and not (one["tags"] or one["checks"]):
            problems.append(Problem(f"{place}.pass_rate", "is a share of verdicts, so it needs tags or checks"))
        criteria.append(
            Criterion(
                name=str(one["name"] or ""),
                required=bool(one["required"]),
                tags=tuple(one["tags"]),
                checks=tuple(one["checks"]),
                steps=tuple(one["steps"]),
                pass_rate=one["pass_rate"],
            )
        )
    if problems:
        raise InputError(problems)
    return Policy(tuple(criteria), clean["max_warnings"])


def _by_rate(verdict: Mapping[str, Any], policy: Policy) -> bool:
    """Whether a pass rate speaks for this verdict, so that it does not block alone."""
    return any(c.required and c.pass_rate is not None and c.covers(verdict) for c in policy.criteria)


def is_good(verdict: Mapping[str, Any]) -> bool:
    return verdict.get("status") in GOOD


def blocking(verdicts: Iterable[Mapping[str, Any]], policy: Policy) -> list[Mapping[str, Any]]:
    """The verdicts that block each by itself: required, not good, and not left to a pass rate.

    A verdict that does not say whether it is required is.
    """
    return [v for v in verdicts if not is_good(v) and v.get("required", True) is not False and not _by_rate(v, policy)]


def _judge_criterion(criterion: Criterion, evidence: Mapping[str, Mapping[str, Any]]) -> tuple[bool | None, str]:
    """Whether a criterion is met (None: nothing answers it), and the detail in words."""
    several = len(evidence) > 1
    details: list[str] = []
    met = True
    answered = False
    verdicts: list[tuple[str, Mapping[str, Any]]] = []
    for host, of_host in evidence.items():
        verdicts += [(host, v) for v in of_host.get("verdicts") or () if criterion.counts(v)]
    if criterion.tags or criterion.checks:
        present = {v.get("id") for _host, v in verdicts}
        absent = [name for name in criterion.checks if name not in present]
        if absent:
            met = False
            details.append(f"no verdict of {', '.join(absent)}")
        good = sum(is_good(v) for _host, v in verdicts)
        if verdicts:
            answered = True
            # Each host by itself: nineteen good hosts must not outvote the one that is broken.
            rates = [
                pass_rate(sum(is_good(v) for h, v in verdicts if h == host), sum(h == host for h, _v in verdicts))
                for host in dict.fromkeys(host for host, _v in verdicts)
            ]
            worst = min(rates, key=lambda rate: (rate.ratio, rate.bounds.low))
            needed = 1.0 if criterion.pass_rate is None else criterion.pass_rate
            met = met and worst.ratio >= needed
            details.append(f"{good} of {len(verdicts)} good")
            if criterion.pass_rate is not None:
                where = "on the worst host " if several else ""
                ratios = f"{units.show(worst.ratio, 'ratio')}, {units.show(needed, 'ratio')} needed"
                details.append(f"{where}{ratios}, bounds {worst.within()}")
            details += [
                f"{v.get('id')}{f' on {host}' if several else ''} {v.get('status')}" for host, v in verdicts if not is_good(v)
            ]
        elif not criterion.steps:
            return (False if absent else None), "; ".join(details) or "no check answered it"
    for name in criterion.steps:
        for host, of_host in evidence.items():
            step = next((s for s in of_host.get("steps") or () if s.get("name") == name), None)
            if step is None:
                met = False
                details.append(f"step {name} was not reached{f' on {host}' if several else ''}")
                continue
            answered = True
            if step.get("status") not in STEP_GOOD:
                met = False
                details.append(f"step {name} {step.get('status')}{f' on {host}' if several else ''}")
            elif not several:
                details.append(f"step {name} {step.get('status')}")
    if not answered:
        return (False if details else None), "; ".join(details) or "nothing answered it"
    return met, "; ".join(details)


def _host_reasons(host: str, of_host: Mapping[str, Any] | None) -> list[str]:
    if of_host is None:
        return [f"{host}: no evidence, the host was lost or never reached"]
    verdicts = of_host.get("verdicts") or []
    reasons = []
    failed = of_host.get("failed")
    if failed:
        task = f" ({failed['task']})" if failed.get("task") else ""
        message = str(failed.get("message") or "").strip() or "without a message"
        reasons.append(f"{host}: step {failed.get('step', '?')} failed{task}: {message}")
    elif not verdicts:
        reasons.append(f"{host}: no check has a verdict")
    # Counted, because two steps may ask the same check: the verdict of one is none for the other.
    unanswered = [str(one) for one in (Counter(of_host.get("asked") or ()) - Counter(v.get("id") for v in verdicts)).elements()]
    if unanswered:
        reasons.append(f"{host}: asked but without a verdict: {', '.join(unanswered)}")
    return reasons


def _table_reasons(criteria: Sequence[Mapping[str, Any]], explained: bool) -> list[str]:
    """The required rows that are not met. Once other reasons explain the decision, one line names them; else each says why."""
    unmet = [one for one in criteria if one["required"] and one["met"] is not True]
    if explained and unmet:
        return [f"not met in the go/no-go table: {', '.join(one['name'] for one in unmet)}"]
    return [f"{one['name']}: {'not met' if one['met'] is False else 'not answered'}: {one['detail']}" for one in unmet]


def _cause_of(host: str, verdict: Mapping[str, Any]) -> dict[str, Any]:
    return {"host": host, "check": verdict.get("id"), "tags": list(verdict.get("tags") or ())}


def _causes(
    evidence: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], policy: Policy, reasons: Sequence[str]
) -> list[dict[str, Any]]:
    """What a NO-GO comes down to. What follows from a check or a step that failed, such as a step that was not reached, is none."""
    found: list[dict[str, Any]] = []
    for host in dict.fromkeys([*hosts, *evidence]):
        of_host = evidence.get(host)
        if of_host is None or of_host.get("state") == "lost":
            found.append({"host": host, "other": "the host was lost or never reached"})
            continue
        verdicts = of_host.get("verdicts") or []
        by_check = [_cause_of(host, one) for one in blocking(verdicts, policy)]
        for criterion in policy.criteria:
            if criterion.required and _judge_criterion(criterion, {host: of_host})[0] is False:
                by_check += [_cause_of(host, one) for one in verdicts if criterion.counts(one) and not is_good(one)]
        found += [one for index, one in enumerate(by_check) if one not in by_check[:index]]
        failed = of_host.get("failed")
        # A step of checks that blocked has no failed task; the checks are the cause. A host without a step was not begun.
        if failed and failed.get("step") != NO_STEP and (failed.get("task") or not by_check):
            found.append({"host": host, "step": failed.get("step")})
    return found or [{"host": None, "other": reason} for reason in reasons]


def decide(evidence: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], policy: Policy) -> Decision:
    """Decide over the evidence of all hosts.

    ``evidence``: host to ``asked`` (ids), ``verdicts`` (records), ``steps`` (``name``, ``status``), ``failed`` (None or a record
    with ``step``, ``task``, ``message``). ``hosts``: the hosts that must have answered.
    """
    reasons: list[str] = []
    if not hosts:
        reasons.append("no host was asked")
    several = len(set(hosts) | set(evidence)) > 1
    for host in dict.fromkeys([*hosts, *evidence]):
        reasons += _host_reasons(host, evidence.get(host))
    counts = dict.fromkeys(STATUSES, 0)
    blockers: list[dict[str, Any]] = []
    for host, of_host in evidence.items():
        verdicts = of_host.get("verdicts") or []
        for one in verdicts:
            status = str(one.get("status"))
            counts[status] = counts.get(status, 0) + 1
        for one in blocking(verdicts, policy):
            blockers.append({"host": host, "id": one.get("id"), "status": one.get("status"), "reason": one.get("reason")})
            at = f" on {host}" if several else ""
            reasons.append(f"{one.get('id')}{at} ({one.get('title')}) {one.get('status')}: {one.get('reason')}")
    criteria = []
    for criterion in policy.criteria:
        met, detail = _judge_criterion(criterion, evidence)
        criteria.append({"name": criterion.name, "required": criterion.required, "met": met, "detail": detail})
    reasons += _table_reasons(criteria, bool(reasons))
    if policy.max_warnings is not None and counts["warn"] > policy.max_warnings:
        reasons.append(f"{counts['warn']} warnings, {policy.max_warnings} allowed")
    if not reasons and not counts["pass"] and not counts["warn"]:
        reasons.append("not one check has passed")
    causes = _causes(evidence, hosts, policy, reasons) if reasons else []
    return Decision("no_go" if reasons else "go", reasons, criteria, counts, blockers, causes)

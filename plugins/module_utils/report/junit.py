# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""``junit.xml``: the run for the test view of a CI server.

One suite for the go/no-go criteria, and for each host one for its checks and one for its steps; one for the rollback.
A check that failed is a failure, one that could not be measured an error, a warning passes with its text as output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

from ansible_collections.golive.cutover.plugins.module_utils.report import ending, text
from ansible_collections.golive.cutover.plugins.module_utils.report.model import Run, Step, Verdict, parse_time


@dataclass(frozen=True)
class _Case:
    """``outcome`` is pass, failure, error or skipped; ``output`` goes to system-out."""

    name: str
    group: str
    outcome: str = "pass"
    message: str = ""
    detail: str = ""
    output: str = ""
    seconds: float | None = None


def _seconds(seconds: float | None) -> str:
    return f"{seconds or 0.0:.3f}"


def _evidence(verdict: Verdict) -> str:
    lines = [f"{verdict.id} on {verdict.host}, probe {verdict.probe}, {text.count(verdict.attempts, 'attempt')}"]
    for level, said in verdict.expected.items():
        lines += [f"{level}: {measure} {condition}" for measure, condition in said.items()]
    lines += [f"observed: {name} = {text.measured(one.value, one.unit)}" for name, one in verdict.measures.items()]
    lines += [f"proof: {name} = {value}" for name, value in verdict.proof.items()]
    return "\n".join(lines)


def _check(verdict: Verdict, environment: str) -> _Case:
    outcome = {"fail": "failure", "inconclusive": "error", "skip": "skipped"}.get(verdict.status, "pass")
    name = f"{verdict.id} {verdict.title}".strip()
    return _Case(
        name=name,
        group=f"{environment}.{verdict.host}.{verdict.probe or 'check'}",
        outcome=outcome,
        message=verdict.reason,
        detail=_evidence(verdict) if outcome in ("failure", "error") else "",
        output=f"warning: {verdict.reason}\n{_evidence(verdict)}" if verdict.status == "warn" else "",
        seconds=verdict.duration,
    )


def _step(step: Step, group: str) -> _Case:
    over = f"over its budget: {text.against_budget(step.seconds, step.budget)}"
    return _Case(
        name=step.name,
        group=group,
        outcome={"failed": "failure", "not_run": "skipped"}.get(step.status, "pass"),
        message=step.error or ("the step was not run" if step.status == "not_run" else ""),
        output=over if step.status == "over" else "",
        seconds=step.seconds,
    )


def _criteria(run: Run) -> list[_Case]:
    cases = []
    for one in run.criteria:
        bad = "error" if one.met is None else "failure"
        blocks = one.required and one.met is not True
        cases.append(
            _Case(
                name=one.name,
                group=f"{run.environment}.gate",
                outcome=bad if blocks else "pass",
                message=one.detail or "not met",
                output="" if blocks or one.met else f"nice to have, not met: {one.detail}",
            )
        )
    reasons = "\n".join(ending.plain_reasons(run))
    end = ending.ending(run)
    cases.append(
        _Case(
            name="decision",
            group=f"{run.environment}.gate",
            outcome="pass" if run.decision == "go" else "failure",
            message=f"{end.headline}: {end.sentence}",
            detail=reasons,
            output=reasons if run.decision == "go" else "",
        )
    )
    return cases


def _rollback(run: Run) -> list[_Case]:
    rollback = run.rollback
    if rollback is None:
        return []
    end = ending.ending(run)
    group = f"{run.environment}.rollback"
    cases = [
        _Case(
            name=(
                f"rollback to {rollback.to or 'the previous release'} is verified"
                if ending.release_went_back(run)
                else f"rollback by {rollback.strategy} is verified"
            ),
            group=group,
            outcome="failure" if end.loud else "pass",
            message=end.sentence,
            detail="\n".join(f"{host.name}: {host.error}" for host in rollback.complaints),
            seconds=rollback.seconds,
        )
    ]
    return cases + [_check(verdict, group) for verdict in rollback.verdicts]


def _suite(parent: ElementTree.Element, name: str, cases: Iterable[_Case], host: str, started: str) -> None:
    cases = list(cases)
    when = parse_time(started)
    suite = ElementTree.SubElement(
        parent,
        "testsuite",
        {
            "name": text.one_line(name),
            "tests": str(len(cases)),
            "failures": str(sum(case.outcome == "failure" for case in cases)),
            "errors": str(sum(case.outcome == "error" for case in cases)),
            "skipped": str(sum(case.outcome == "skipped" for case in cases)),
            "time": _seconds(sum(case.seconds or 0.0 for case in cases)),
            "hostname": text.one_line(host),
        },
    )
    if when is not None:
        # The schema knows no time zone: UTC, without its letter.
        suite.set("timestamp", when.strftime("%Y-%m-%dT%H:%M:%S"))
    for case in cases:
        element = ElementTree.SubElement(
            suite,
            "testcase",
            {"name": text.one_line(case.name), "classname": text.one_line(case.group), "time": _seconds(case.seconds)},
        )
        if case.outcome != "pass":
            child = ElementTree.SubElement(element, case.outcome, {"message": text.one_line(case.message)})
            child.text = text.visible(case.detail) or None
        if case.output:
            ElementTree.SubElement(element, "system-out").text = text.visible(case.output)


def render(run: Run) -> str:
    root = ElementTree.Element("testsuites", {"name": text.one_line(f"golive.cutover {run.environment} {run.id}")})
    _suite(root, "go/no-go", _criteria(run), run.controller, run.started)
    for host in run.hosts:
        if host.verdicts:
            _suite(
                root,
                f"checks on {host.name}",
                [_check(one, run.environment) for one in host.verdicts],
                host.name,
                run.started,
            )
        if host.steps:
            group = f"{run.environment}.{host.name}.steps"
            _suite(root, f"steps on {host.name}", [_step(one, group) for one in host.steps], host.name, run.started)
    if run.lost_hosts:
        lost = [
            _Case(f"{host} stays reachable", f"{run.environment}.{host}", "error", "the host was lost during the run")
            for host in run.lost_hosts
        ]
        _suite(root, "lost hosts", lost, run.controller, run.started)
    if run.rollback is not None:
        _suite(root, "rollback", _rollback(run), run.controller, run.started)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", _seconds(run.seconds))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"

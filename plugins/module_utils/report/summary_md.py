# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""``summary.md``: the run for a chat or a ticket."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ansible_collections.golive.cutover.plugins.module_utils.report import ending, figures, text
from ansible_collections.golive.cutover.plugins.module_utils.report.model import Run, Verdict, worst_first

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#&!])")
_MARKS = {"ok": "✅", "over": "⚠️", "failed": "❌", "not_run": "-"}
_STATUS = {
    "fail": "❌ failed",
    "inconclusive": "❔ not measured",
    "warn": "⚠️ warning",
    "skip": "skipped",
    "pass": "✅ passed",
}
_WORDS = {"ok": "ok", "over": "over budget", "failed": "failed", "not_run": "not run"}


def escaped(value: object) -> str:
    """A text on one line that Markdown shows as it is, also inside a table."""
    return _MARKUP.sub(r"\\\1", text.one_line(value))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _title in head)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _checks(verdicts: Iterable[Verdict]) -> list[str]:
    rows = [
        (_STATUS[one.status], escaped(one.id), escaped(one.title or "-"), escaped(one.host), escaped(one.reason or "-"))
        for one in worst_first(verdicts)
        if one.status in ("fail", "inconclusive", "warn")
    ]
    return _table(("Status", "Check", "What", "Host", "Why"), rows) if rows else []


def render(run: Run) -> str:
    end = ending.ending(run)
    mark = "🚨" if end.loud else "✅" if run.decision == "go" else "❌"
    lines = [
        f"## {mark} {end.headline}: {escaped(run.environment)} {escaped(run.release)}".rstrip(),
        "",
        f"**{escaped(end.sentence)}**",
        "",
    ]
    reasons = ending.plain_reasons(run)
    if reasons:
        lines += [*(f"- {escaped(reason)}" for reason in reasons), ""]
    if end.todo:
        lines += [
            "### What to do now",
            "",
            *(f"{number}. {escaped(one)}" for number, one in enumerate(end.todo, 1)),
            "",
        ]
    ended = [(host, host.failed) for host in run.hosts if host.failed]
    if ended:
        lines += ["### Where it ended", ""]
        for host, failed in ended:
            why = escaped(failed.message or failed.task)
            lines.append(f"- {escaped(host.name)}, step {escaped(failed.step or '?')}: {why}")
        lines += [""]
    if run.criteria:
        met = {True: "✅", False: "❌", None: "❔"}
        rows = [
            (met[one.met], escaped(one.name), "yes" if one.required else "nice to have", escaped(one.detail))
            for one in run.criteria
        ]
        lines += ["### Criteria", "", *_table(("Met", "Criterion", "Required", "Detail"), rows)]
    if run.steps:
        rows = [
            (
                f"{_MARKS[one.status]} {_WORDS[one.status]}",
                escaped(one.name),
                text.duration(one.seconds),
                text.duration(one.budget),
            )
            for one in run.steps
        ]
        lines += ["### Steps", "", *_table(("Status", "Step", "Took", "Budget"), rows)]
    lines += [f"### Checks: {ending.tally(run.verdicts)}", "", *_checks(run.verdicts)]
    if run.rollback is not None:
        rollback = run.rollback
        lines += [f"### Rollback by {escaped(rollback.strategy)}", ""]
        lines += [f"- Took {text.against_budget(rollback.seconds, rollback.budget)}; {ending.tally(rollback.verdicts)}."]
        lines += [
            f"- {escaped(one.strategy)} was tried before on {escaped(host)}: {escaped(one.error or 'verified there alone')}"
            for host, one in rollback.given_up
        ]
        lines += [f"- {escaped(host.name)}: {escaped(host.error)}" for host in rollback.complaints]
        lines += [f"- {escaped(host)}: the rollback did not reach it" for host in ending.uncovered(run)]
        lines += ["", *_checks(rollback.verdicts)]
    if run.notifications:
        marks = {"sent": "✅ told", "already": "✅ knew it", "failed": "❌ not told"}
        told = [
            (marks.get(one.status, escaped(one.status)), one.channel, one.event, one.reason or one.subject or "-")
            for one in run.notifications
        ]
        rows = [(status, escaped(channel), escaped(event), escaped(what)) for status, channel, event, what in told]
        lines += ["### Who was told", "", *_table(("Status", "Channel", "Event", "What, or why not"), rows)]
    if run.dora is not None:
        said = [[escaped(of(one)) for of in (figures.title, figures.value, figures.note)] for one in run.dora.figures]
        lines += [f"### Delivery ({escaped(figures.window(run.dora))})", ""]
        lines += _table(("Figure", "Value", "From"), said) if said else [escaped(run.dora.error or "nothing is known"), ""]
    facts = [run.id, f"previous release {run.previous_release or '-'}", f"operator {run.operator or '-'}"]
    facts += [f"started {run.started or '-'}", f"took {text.duration(run.seconds)}"]
    lines += [f"_Run {escaped(' · '.join(facts))}_"]
    return "\n".join(lines) + "\n"

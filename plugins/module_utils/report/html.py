# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""``report.html``: the run for people, in one file that needs nothing else.

Every text goes through `_e`, and the page forbids itself scripts and anything from elsewhere, so that what a check has
read from a broken system can do nothing but be seen.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import artefacts
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import parse_condition
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CannotCompare
from ansible_collections.golive.cutover.plugins.module_utils.report import ending, figures, text
from ansible_collections.golive.cutover.plugins.module_utils.report.model import (
    LOOKS,
    Artefact,
    Failure,
    Host,
    Measure,
    Run,
    StepOverHosts,
    Verdict,
    parse_time,
    worst_first,
)
from ansible_collections.golive.cutover.plugins.module_utils.report.style import CSS

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_BUDGET_AT = 72.0
"""Where a step's budget stands on its track, in percent: the same in every row, so that what is past it is seen."""
_NAMED = 0.14
"""A step that took this share of the whole has its name on the strip; in a narrower piece it would not be read."""
_STATUS = {"pass": "passed", "warn": "warning", "fail": "failed", "inconclusive": "not measured", "skip": "skipped"}
_STEP = {"ok": "in time", "over": "over budget", "failed": "failed", "not_run": "not run"}
_TEXT_SHOWN = 20_000
"""Characters of a kept text that the page shows."""
_LEVELS = {"expect": "", "warn": "warns if ", "critical": "fails if "}


def _e(value: object) -> str:
    """Any text, as HTML."""
    return html.escape(text.visible(value), quote=True)


def _pill(kind: str, word: str) -> str:
    return f'<span class="pill {_e(kind)}">{_e(word)}</span>'


def _section(title: str, *parts: str, lead: str = "") -> str:
    said = f'<p class="lead">{_e(lead)}</p>' if lead else ""
    return f"<section><h2>{_e(title)}</h2>{said}{''.join(parts)}</section>\n"


def _when(stamp: str) -> str:
    moment = parse_time(stamp)
    return moment.strftime("%-d %B %Y, %H:%M:%S UTC") if moment else stamp


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{_e(name)}</dt><dd>{said}</dd>" for name, said in pairs if said)
    return f'<dl class="facts">{rows}</dl>'


# --- the top -------------------------------------------------------------


def _header(run: Run, end: ending.Ending) -> str:
    look = "loud" if end.loud else "go" if run.decision == "go" else "no"
    chips = [_when(run.started), f"took {text.duration(run.seconds)}" if run.seconds is not None else ""]
    chips += [ending.tally(run.verdicts), text.count(len(run.hosts), "host")]
    if end.kind == ending.ROLLED_BACK:
        chips.append("rollback verified")
    listed = "".join(f"<li>{_e(chip)}</li>" for chip in chips if chip)
    release = f"release {run.release}" if run.release else ""
    what = " · ".join(one for one in (run.kind.capitalize(), run.environment, release) if one)
    return (
        f'<header class="{look}"><div class="in"><p class="what">{_e(what)}</p><h1>{_e(end.headline)}</h1>'
        f'<p class="said">{_e(end.sentence)}</p><ul class="chips">{listed}</ul></div></header>\n'
    )


def _todo(end: ending.Ending) -> str:
    if not end.todo:
        return ""
    items = "".join(f"<li>{_e(one)}</li>" for one in end.todo)
    return f'<section class="card todo"><h2>What to do now</h2><ol>{items}</ol></section>\n'


def _reasons(run: Run) -> str:
    reasons = ending.plain_reasons(run)
    ended = [host for host in run.hosts if host.failed]
    if not reasons and not ended:
        return ""
    items = "".join(f"<li>{_e(one)}</li>" for one in reasons)
    cards = [f'<div class="card reasons"><ul>{items}</ul></div>'] if reasons else []
    cards += [_ended(host, host.failed) for host in ended if host.failed]
    title = "Why it was let through" if run.decision == "go" else "Why it was not let through"
    return _section("What happened" if run.kind == "rollback" else title, *cards)


def _ended(host: Host, failed: Failure) -> str:
    return (
        f'<div class="card check fail"><div class="top">{_pill("fail", "ended")}'
        f'<span class="title">{_e(host.name)} ended'
        f" in step {_e(failed.step or '?')}</span></div>"
        f'<pre class="why">{_e(failed.message or "The task gave no message.")}</pre>'
        + (f'<p class="soft">Task: {_e(failed.task)}</p>' if failed.task else "")
        + "</div>"
    )


def _criteria(run: Run) -> str:
    if not run.criteria:
        return ""
    rows = []
    for one in run.criteria:
        if one.met:
            pill = _pill("pass", "met")
        elif one.met is None:
            pill = _pill("inconclusive", "not judged")
        else:
            pill = _pill("fail" if one.required else "warn", "not met")
        wanted = "required" if one.required else "nice to have"
        rows.append(
            f'<tr><td>{pill}</td><td>{_e(one.name)}</td><td class="soft">{wanted}</td><td class="soft">{_e(one.detail)}</td></tr>'
        )
    head = "<thead><tr><th>Result</th><th>Criterion</th><th>Needed</th><th>Detail</th></tr></thead>"
    return _section("Go / no-go", f'<div class="card"><table class="criteria">{head}<tbody>{"".join(rows)}</tbody></table></div>')


# --- the time line -------------------------------------------------------------


def _track(step: StepOverHosts, longest: float) -> str:
    """A step's time against its budget. Past the budget the bar is hatched; it ends at the edge of the track."""
    seconds, failed = step.seconds or 0.0, " failed" if step.status == "failed" else ""
    if step.status == "not_run" and not seconds:
        return '<span class="track"></span>'
    if not step.budget:
        share = 100.0 * seconds / longest if longest else 0.0
        width = f"width:{share * _BUDGET_AT / 100:.2f}%"
        return f'<span class="track"><span class="used free{failed}" style="{width}"></span></span>'
    share = min(seconds / step.budget * _BUDGET_AT, 100.0)
    used, past = min(share, _BUDGET_AT), max(share - _BUDGET_AT, 0.0)
    return (
        f'<span class="track"><span class="room" style="width:{_BUDGET_AT:.0f}%"></span>'
        f'<span class="used{failed}" style="width:{used:.2f}%"></span>'
        + (f'<span class="past" style="left:{_BUDGET_AT:.0f}%;width:{past:.2f}%"></span>' if past else "")
        + "</span>"
    )


def _step(step: StepOverHosts, longest: float, several: bool) -> str:
    took = "" if step.status == "not_run" and not step.seconds else text.against_budget(step.seconds, step.budget)
    where = f" on {', '.join(step.worst)}" if several and step.worst else ""
    error = f'<span class="error">{_e(step.error)}</span>' if step.error else ""
    return (
        f'<li><span class="name">{_e(step.name)}</span>{_track(step, longest)}<span class="took num">{_e(took)}</span>'
        f'<span class="pill {_e(step.status)}" title="{_e(_STEP[step.status] + where)}">'
        f"{_e(_STEP[step.status])}</span>{error}</li>"
    )


def _timeline(run: Run) -> str:
    steps = run.steps
    if not steps:
        return ""
    times = [step.seconds or 0.0 for step in steps]
    total, longest = sum(times), max(times)
    strip = "".join(
        f'<i class="{_e(step.status)}" style="flex:{step.seconds:.3f} 0 0" '
        f'title="{_e(step.name)} {text.duration(step.seconds)}">'
        f"{_e(step.name) if step.seconds >= _NAMED * total else ''}</i>"
        for step in steps
        if step.seconds
    )
    budgets = [step.budget for step in steps if step.budget is not None]
    over = sum(step.status == "over" for step in steps)
    lead = f"{text.count(len(steps), 'step')} in {text.duration(total)}"
    if budgets:
        lead += f"; the budgets allow {text.duration(sum(budgets))}"
        lead += f"; {over} over budget." if over else "; none over budget." if not any(s.status == "failed" for s in steps) else "."
    else:
        lead += "."
    if budgets:
        lead += " The mark is the budget."
    if len(run.hosts) > 1:
        lead += " Each step as it went on the slowest host."
    rows = "".join(_step(step, longest, len(run.hosts) > 1) for step in steps)
    return _section(
        "Steps against their budgets",
        f'<div class="card"><div class="strip">{strip}</div><ul class="steps">{rows}</ul></div>',
        lead=lead,
    )


# --- checks -------------------------------------------------------------


def _breaks(condition: str, level: str, measure: Measure | None, before: Any = None) -> bool:
    """Whether an observed value is what speaks against the check, so that the reader's eye is led to it. ``before``: what it
    was before the change, for a relative condition."""
    if measure is None or measure.value is None:
        return True
    try:
        holds = parse_condition(condition, text.kind_of_unit(measure.unit)).holds(measure.value, before)
    except (ValueError, TypeError, CannotCompare):
        return False
    return not holds if level == "expect" else holds


def _conditions(verdict: Verdict) -> dict[str, list[tuple[str, str]]]:
    """Measure to its conditions, each with its level, in the order of the levels."""
    found: dict[str, list[tuple[str, str]]] = {}
    for level in sorted(verdict.expected, key=lambda one: (list(_LEVELS).index(one) if one in _LEVELS else 9, one)):
        for measure, condition in verdict.expected[level].items():
            found.setdefault(measure, []).append((level, condition))
    return found


def _measured(verdict: Verdict, name: str) -> str:
    one = verdict.measures.get(name)
    return "not measured" if one is None else text.measured(one.value, one.unit)


def _measure_table(verdict: Verdict) -> str:
    conditions = _conditions(verdict)
    before = verdict.proof.get("baseline")
    before = before if isinstance(before, Mapping) else {}
    rows = []
    for name, asked in conditions.items():
        bad = any(_breaks(condition, level, verdict.measures.get(name), before.get(name)) for level, condition in asked)
        # How samples compare with those before is a text: what it says against the check is in the reason alone.
        bad = bad or f"{name} are " in verdict.reason
        wanted = "<br>".join(_e(f"{_LEVELS.get(level, level + ' ')}{condition}") for level, condition in asked)
        look = ' class="bad"' if bad else ""
        rows.append(
            f'<tr><td>{_e(name)}</td><td{look} data-of="observed">{_e(_measured(verdict, name))}</td>'
            f'<td data-of="expected">{wanted}</td></tr>'
        )
    if not rows:
        return ""
    head = "<thead><tr><th>Measure</th><th>Observed</th><th>Expected</th></tr></thead>"
    return f'<table class="measures">{head}<tbody>{"".join(rows)}</tbody></table>'


def _seen(verdict: Verdict) -> str:
    """Expected and observed of a check that passed, on one line."""
    parts = []
    for name, asked in _conditions(verdict).items():
        wanted = ", ".join(f"{_LEVELS.get(level, level + ' ')}{condition}" for level, condition in asked)
        parts.append(f"{_e(name)} <b>{_e(_measured(verdict, name))}</b> ({_e(wanted)})")
    return f'<span class="seen">{" · ".join(parts)}</span>' if parts else ""


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _evidence(verdict: Verdict) -> str:
    asked = set(_conditions(verdict))
    others = {name: one for name, one in verdict.measures.items() if name not in asked}
    pairs = [("reason", _e(verdict.reason))] if verdict.status == "pass" else []
    pairs += [
        ("probe", _e(verdict.probe)),
        ("attempts", _e(verdict.attempts)),
        ("duration", _e(text.duration(verdict.duration))),
    ]
    pairs += [("started", _e(_when(verdict.started))), ("tags", _e(", ".join(verdict.tags)))]
    pairs += [("needed", "required" if verdict.required else "nice to have")]
    pairs += [(f"proof: {name}", f"<pre>{_e(_show(value))}</pre>") for name, value in verdict.proof.items()]
    pairs += [(f"also measured: {name}", _e(text.measured(one.value, one.unit))) for name, one in others.items()]
    return _facts(pairs)


def _picture(artefact: Artefact, verdict: Verdict) -> str:
    packed = base64.b64encode(artefact.content or b"").decode("ascii")
    said = f"{artefact.name} of {verdict.id} on {verdict.host}"
    return (
        f'<figure class="shot"><img src="data:{_e(artefact.media_type)};base64,{packed}" alt="{_e(said)}">'
        f"<figcaption>{_e(artefact.file or artefact.name)}</figcaption></figure>"
    )


def _artefact(artefact: Artefact, verdict: Verdict) -> str:
    """What was kept: a picture is seen, a text can be unfolded, and of what is not in the page it says where it is."""
    content, size = artefact.content, text.measured(artefact.size, "B")
    if content is not None and artefacts.is_image(artefact.media_type, content):
        return _picture(artefact, verdict)
    if content is not None and artefacts.is_text(artefact.media_type):
        said = content.decode("utf-8", "replace")
        more = f"\n… cut here; the whole is in {artefact.file}" if len(said) > _TEXT_SHOWN else ""
        return (
            f"<details><summary>{_e(artefact.name)}, {_e(size)}</summary>"
            f'<pre class="kept">{_e(said[:_TEXT_SHOWN])}{_e(more)}</pre></details>'
        )
    where = f"is in {artefact.file}" if artefact.file else "was not kept"
    return f'<p class="soft">{_e(artefact.name)}, {_e(size)}, {_e(where)}</p>'


def _kept(verdict: Verdict) -> str:
    return "".join(_artefact(one, verdict) for one in verdict.artefacts)


def _check(verdict: Verdict, with_host: bool) -> str:
    where = [verdict.host] if with_host else []
    where += [text.duration(verdict.duration)] if verdict.duration is not None else []
    where += [text.count(verdict.attempts, "attempt")] if verdict.attempts != 1 else []
    top = (
        f'<span class="top">{_pill(verdict.status, _STATUS[verdict.status])}<span class="id">{_e(verdict.id)}</span>'
        f'<span class="title">{_e(verdict.title)}</span><span class="where num">{_e(" · ".join(where))}</span></span>'
    )
    if verdict.status == "pass":
        return f'<details class="check pass"><summary>{top}{_seen(verdict)}</summary>{_evidence(verdict)}{_kept(verdict)}</details>'
    if verdict.status == "skip":
        why = f'<span class="seen">{_e(verdict.reason)}</span>'
        return f'<details class="check skip"><summary>{top}{why}</summary>{_evidence(verdict)}</details>'
    return (
        f'<article class="card check {_e(verdict.status)}">{top}'
        + (f'<p class="why">{_e(verdict.reason)}</p>' if verdict.reason else "")
        + _measure_table(verdict)
        + _kept(verdict)
        + f"<details><summary>Evidence</summary>{_evidence(verdict)}</details></article>"
    )


def _good(verdicts: Sequence[Verdict]) -> str:
    """What needs no attention: one line each, which opens to the evidence. What was skipped comes last."""
    lines = [_check(one, False) for one in sorted(verdicts, key=lambda one: one.status == "skip")]
    return f'<div class="card passed">{"".join(lines)}</div>' if lines else ""


def _checks(verdicts: Sequence[Verdict], title: str) -> str:
    """All checks: what failed first, over all hosts; then what passed, host by host."""
    if not verdicts:
        return _section(title, '<div class="card soft">No checks were asked.</div>')
    hosts = list(dict.fromkeys(one.host for one in verdicts))
    bad = [one for one in worst_first(verdicts) if one.status not in ("pass", "skip")]
    good = [one for one in verdicts if one.status in ("pass", "skip")]
    parts = [_check(one, len(hosts) > 1) for one in bad]
    if bad and good and len(hosts) == 1:
        parts.append("<h3>The others</h3>")
    for host in hosts:
        of_host = [one for one in good if one.host == host]
        if len(hosts) > 1 and of_host:
            parts.append(f"<h3>{_e(host)}: {_e(ending.tally([one for one in verdicts if one.host == host]))}</h3>")
        parts.append(_good(of_host))
    said = ending.tally(list(verdicts))
    return _section(title, *parts, lead=f"{said}." if len(hosts) == 1 else f"{said}, on {len(hosts)} hosts.")


# --- rollback and facts -------------------------------------------------------------


def _rollback(run: Run, end: ending.Ending) -> str:
    rollback = run.rollback
    if rollback is None:
        return ""
    look, word = ("pass", "verified") if end.kind == ending.ROLLED_BACK else ("fail", "not verified")
    if end.kind == ending.ROLLBACK_FAILED:
        word = "failed"
    pairs = [
        ("result", _pill(look, word)),
        ("back to" if ending.release_went_back(run) else "release, which stays", _e(rollback.to or run.previous_release or "-")),
        ("by", _e(rollback.strategy.replace("_", " "))),
        ("took", _e(text.against_budget(rollback.seconds, rollback.budget))),
        ("because", _e(rollback.reason or (run.reason if run.kind == "rollback" else ""))),
        ("hosts", _e(", ".join(host.name for host in rollback.hosts))),
    ]
    pairs += [
        (
            f"before it, on {host}" if len(rollback.hosts) > 1 else "before it",
            _e(
                f"{one.strategy.replace('_', ' ')}, {text.duration(one.seconds)}: "
                + ("verified here, but not on every host" if one.verified else one.error or "not verified")
            ),
        )
        for host, one in rollback.given_up
    ]
    errors = [(host.name, host.error) for host in rollback.complaints]
    errors += [(host, "The rollback did not reach this host.") for host in ending.uncovered(run)]
    cards = [f'<div class="card">{_facts(pairs)}</div>']
    cards += [
        f'<div class="card check fail"><div class="top">{_pill("fail", "failed")}'
        f'<span class="title">{_e(host)}</span></div>'
        f'<pre class="why">{_e(error)}</pre></div>'
        for host, error in errors
    ]
    return _section("Rollback", *cards)


def _rollback_checks(run: Run) -> str:
    return _checks(run.rollback.verdicts, "Checks after the rollback") if run.rollback and run.rollback.verdicts else ""


def _notifications(run: Run) -> str:
    """Who was told what, and who could not be: telling people decides nothing, so it comes after what does."""
    if not run.notifications:
        return ""
    words = {"sent": ("pass", "told"), "already": ("skip", "knew it"), "failed": ("warn", "not told")}
    rows = []
    for one in run.notifications:
        look, word = words.get(one.status, ("skip", one.status.replace("_", " ")))
        who = one.channel if one.host in ("", "-") else f"{one.channel} ({one.host})"
        rows.append(
            f'<tr><td>{_pill(look, word)}</td><td>{_e(who)}</td><td class="soft">{_e(one.event.replace("_", " "))}</td>'
            f'<td class="soft">{_e(one.reason or one.subject)}</td></tr>'
        )
    head = "<thead><tr><th>Result</th><th>Channel</th><th>Event</th><th>What, or why not</th></tr></thead>"
    failed = sum(one.status == "failed" for one in run.notifications)
    lead = f"{text.count(failed, 'message')} did not get through. That changes no decision." if failed else ""
    table = f'<div class="card"><table class="criteria">{head}<tbody>{"".join(rows)}</tbody></table></div>'
    return _section("Who was told", table, lead=lead)


def _dora(run: Run) -> str:
    if run.dora is None:
        return ""
    if not run.dora.figures:
        return _section("Delivery", f'<div class="card soft">{_e(run.dora.error or "Nothing is known.")}</div>')
    rows = "".join(
        f'<tr><td>{_e(figures.title(one))}</td><td>{_e(figures.value(one))}</td><td class="soft">{_e(figures.note(one))}</td></tr>'
        for one in run.dora.figures
    )
    head = "<thead><tr><th>Figure</th><th>Value</th><th>From</th></tr></thead>"
    table = f'<div class="card"><table class="criteria">{head}<tbody>{rows}</tbody></table></div>'
    return _section("Delivery", table, lead=f"The figures of DORA from the ledger, {figures.window(run.dora)}.")


def _run_facts(run: Run) -> str:
    states: Mapping[str, str] = {
        "done": "done",
        "failed": "failed",
        "running": "not finished",
        "pending": "not started",
        "lost": "lost",
    }
    hosts = [f"{host.name} ({states[host.state]}{', changed' if host.changed else ''})" for host in run.hosts]
    pairs = [
        ("environment", _e(run.environment)),
        ("release", _e(run.release)),
        ("previous release", _e(run.previous_release)),
        ("reason", _e(run.reason)),
        ("operator", _e(run.operator)),
        ("controller", _e(run.controller)),
        ("started", _e(_when(run.started))),
        ("ended", _e(_when(run.ended))),
        ("hosts", _e(", ".join(hosts))),
        ("lost hosts", _e(", ".join(run.lost_hosts))),
        ("command", f"<code>{_e(run.command)}</code>" if run.command else ""),
        ("run", f"<code>{_e(run.id)}</code>"),
    ]
    return _section("The run", f'<div class="card">{_facts(pairs)}</div>')


def render(run: Run) -> str:
    end = ending.ending(run)
    # A rollback on its own asks no checks but those of the rollback.
    asked = bool(run.verdicts) or run.kind != "rollback"
    title = f"{end.headline}: {run.environment} {run.release}".strip()
    body = "".join(
        (
            _todo(end),
            _reasons(run),
            _criteria(run),
            # What is not settled comes before what is.
            _rollback(run, end) + _rollback_checks(run) if end.loud else "",
            _timeline(run),
            "" if end.loud else _rollback(run, end),
            _checks(run.verdicts, "Checks" if run.kind in LOOKS else "Checks of the release") if asked else "",
            "" if end.loud else _rollback_checks(run),
            _notifications(run),
            _dora(run),
            _run_facts(run),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_e(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_e(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{_header(run, end)}<main>\n{body}"
        "<footer>Written by golive.cutover. The same facts for programs: decision.json, junit.xml.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )

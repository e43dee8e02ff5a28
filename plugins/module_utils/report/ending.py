# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How a run ended, in words: the headline of the report, and the last lines on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.golive.cutover.plugins.module_utils.core.strategies import STRATEGIES, gives_up
from ansible_collections.golive.cutover.plugins.module_utils.report import text
from ansible_collections.golive.cutover.plugins.module_utils.report.model import LOOKS, Run, Verdict, worst_first

GO = "go"
UNTOUCHED = "no_go_untouched"
ROLLED_BACK = "no_go_rolled_back"
NOT_ROLLED_BACK = "no_go_not_rolled_back"
UNVERIFIED = "rollback_unverified"
ROLLBACK_FAILED = "rollback_failed"
KINDS = (GO, UNTOUCHED, ROLLED_BACK, NOT_ROLLED_BACK, UNVERIFIED, ROLLBACK_FAILED)

_RULE = "=" * 78
_MOST_CHECKS = 12
"""So many failed checks are named on the terminal; the report has them all."""


@dataclass(frozen=True)
class Ending:
    """``kind`` is one of KINDS; ``sentence`` says it in one line; ``todo`` is what a person has to do now, in order."""

    kind: str
    headline: str
    sentence: str
    todo: tuple[str, ...]

    @property
    def loud(self) -> bool:
        """Whether the environment may be left in a state that nobody has verified."""
        return self.kind in (NOT_ROLLED_BACK, UNVERIFIED, ROLLBACK_FAILED)


def uncovered(run: Run) -> list[str]:
    """Hosts that were changed and of which the rollback says nothing."""
    if run.rollback is None:
        return []
    covered = {host.name for host in run.rollback.hosts}
    return [host.name for host in run.hosts if host.changed and host.name not in covered]


def rollback_kind(run: Run) -> str:
    """What became of the rollback. It is done only when every changed host is in it and nothing speaks against it."""
    rollback = run.rollback
    if rollback is None:
        return NOT_ROLLED_BACK if any(host.changed for host in run.hosts) and run.kind not in LOOKS else UNTOUCHED
    if rollback.errors or uncovered(run):
        return ROLLBACK_FAILED
    verified = all(host.verified and not host.error for host in rollback.hosts)
    doubted = not verified or any(verdict.blocks for verdict in rollback.verdicts)
    return UNVERIFIED if doubted or not rollback.verified or not rollback.hosts else ROLLED_BACK


def _release(release: str) -> str:
    return text.one_line(f"release {release}" if release else "the release")


def _first_release(run: Run) -> bool:
    """Whether there was nothing to go back to: then everything that was started is stopped, and that is the state before."""
    return run.rollback is not None and not run.rollback.to and not run.previous_release


def _target(run: Run) -> str:
    """Where the rollback went, or should have gone."""
    to = run.rollback.to if run.rollback else ""
    return text.one_line(to or run.previous_release or "the previous release")


def release_went_back(run: Run) -> bool:
    """Whether the strategy of the rollback gives the release up; the others change something about it and let it stay."""
    return run.rollback is not None and (gives_up(run.rollback.strategy) or run.rollback.strategy == "none")


def _deed(run: Run) -> str:
    """What the rollback has done, as the beginning of a sentence."""
    environment, strategy = text.one_line(run.environment), run.rollback.strategy if run.rollback else ""
    if release_went_back(run):
        return f"{environment} was rolled back to {_target(run)}"
    known = STRATEGIES.get(strategy)
    return (known.deed if known else f"the strategy {text.one_line(strategy)} was carried out on {{}}").format(environment)


def _stays(run: Run) -> str:
    stays = run.rollback is not None and run.rollback.to and not release_went_back(run)
    return f"; {_release(run.rollback.to)} stays" if run.rollback is not None and stays else ""


def _names(hosts: list[str]) -> str:
    return text.one_line(", ".join(hosts))


def _command(playbook: str, hosts: Sequence[str] = ()) -> str:
    # The variable and not --limit: a limit would shut out the controller, which takes part in every run.
    limit = f" -e cutover_hosts={':'.join(hosts)}" if hosts else ""
    return text.one_line(f"ansible-playbook golive.cutover.{playbook}{limit}, with the same inventory and variables.")


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _without_rollback(run: Run, todo: tuple[str, ...]) -> Ending:
    """A run that neither rolled back nor had to."""
    environment, release = text.one_line(run.environment), _capital(_release(run.release))
    if run.kind == "verify":
        passes = "passes" if run.decision == "go" else "does not pass"
        kind, headline = (GO, "GO") if run.decision == "go" else (UNTOUCHED, "NO-GO")
        return Ending(kind, headline, f"{environment} {passes} its gate. Nothing was changed.", todo)
    if run.kind == "hypercare":
        passed, what = run.decision == "go", text.one_line(run.reason) or "the checkpoint"
        if what == "exit":
            closed = "is closed: every checkpoint passed, every criterion is met, and everybody has signed."
            word = closed if passed else "is NOT closed."
            sentence = f"The watch over {_release(run.release)} on {environment} {word}"
            return Ending(GO if passed else UNTOUCHED, "GO" if passed else "NO-GO", sentence, todo)
        sentence = f"{what} of the watch over {_release(run.release)} on {environment} {'passed' if passed else 'did not pass'}."
        kind, headline = (GO, "GO") if passed else (UNTOUCHED, "NO-GO")
        return Ending(kind, headline, f"{_capital(sentence)} Nothing was changed.", todo)
    if run.kind == "watch":
        found = "found nothing critical" if run.decision == "go" else "found what is critical, or could not measure it"
        kind, headline = (GO, "GO") if run.decision == "go" else (UNTOUCHED, "NO-GO")
        sentence = f"The watch over {_release(run.release)} on {environment} {found}. Nothing was changed."
        return Ending(kind, headline, sentence, todo)
    if run.kind == "rollback":
        headline = "NOTHING TO ROLL BACK" if run.decision == "go" else "NOT ROLLED BACK"
        return Ending(GO if run.decision == "go" else UNTOUCHED, headline, f"{environment} was not changed.", todo)
    if run.decision == "go":
        return Ending(GO, "GO", f"{release} is live on {environment}.", todo)
    return Ending(UNTOUCHED, "NO-GO", f"{release} was stopped before {environment} was changed.", todo)


def _remediation(run: Run, todo: tuple[str, ...]) -> Ending:
    """An incident that was looked at, and perhaps remedied. It is no rollback: the release stays."""
    environment = text.one_line(run.environment)
    incident = f"incident {text.one_line(run.reason)}" if run.reason else "incident"
    changed = bool(run.lost_hosts) or any(host.changed for host in run.hosts)
    if run.decision == "go":
        over = f"The {incident} on {environment} is over: something was done about it, and that was verified."
        return Ending(GO, "REMEDIATED" if changed else "NOTHING TO DO", over if changed else f"The {incident} is not there.", todo)
    if not changed:
        return Ending(UNTOUCHED, "NOTHING DONE", f"About the {incident} on {environment} nothing was done.", todo)
    first = f"Look at {environment} by hand: what was seen and what was done stands above."
    sentence = f"Something was done about the {incident} on {environment}, and it could NOT be verified that it is over."
    return Ending(UNVERIFIED, "NOT REMEDIATED", sentence, (first, *todo))


def ending(run: Run) -> Ending:
    """How the run ended. See `Ending`."""
    environment, target = text.one_line(run.environment), _target(run)
    after = tuple(
        f"Look at {text.one_line(host)} by hand: it was lost during the run and may be on either release."
        for host in run.lost_hosts
    ) + tuple(f"The run could not be closed: {text.one_line(problem)}" for problem in run.problems)
    if run.kind == "remediation":
        return _remediation(run, after)
    kind, rollback = rollback_kind(run), run.rollback
    if rollback is None and (run.decision == "go" or kind == UNTOUCHED):
        return _without_rollback(run, after)
    changed = [host.name for host in run.hosts if host.changed]
    again = f"Run the rollback: {_command('rollback', changed)}"
    verify = f"Then verify: {_command('verify')}"
    announce = f"Tell the team that {environment} is in an unverified state; admit no change to it until this is settled."
    if rollback is None:
        still = f"was refused, but it is still in place on {_names(changed)}: nothing was rolled back."
        sentence = f"{_capital(_release(run.release))} {still}"
        return Ending(kind, "NO-GO, NOT ROLLED BACK", sentence, (announce, again, verify, *after))
    allowed = "" if rollback.budget is None else f" ({text.duration(rollback.budget)} allowed)"
    took = f"in {text.duration(rollback.seconds)}{allowed}"
    if kind == ROLLED_BACK and _first_release(run):
        sentence = f"{environment} runs nothing, as before: it was the first release, and what it started was stopped {took}, "
        sentence += "verified."
        return Ending(kind, "NO-GO", sentence, after)
    if kind == ROLLED_BACK:
        checks = f" by {text.count(len(rollback.verdicts), 'check')}" if rollback.verdicts else ""
        headline = "ROLLED BACK" if release_went_back(run) else "DONE"
        headline = {"rollback": headline, "watch": "EMERGENCY STOP"}.get(run.kind, "NO-GO")
        return Ending(kind, headline, f"{_deed(run)} {took}, verified{checks}{_stays(run)}.", after)
    if kind == UNVERIFIED:
        sentence = f"{_deed(run)} {took}, but it could NOT be verified that it works{_stays(run)}."
        first = "Look at the failed checks of the rollback: they say what does not work now."
        return Ending(kind, "ROLLBACK NOT VERIFIED", sentence, (announce, first, verify, *after))
    failed = list(dict.fromkeys([host.name for host in rollback.errors] + uncovered(run)))
    where = f"failed on {_names(failed)} after {text.duration(rollback.seconds)}"
    state = f"is NOT back on {target}" if release_went_back(run) else "is NOT in the state that was asked for"
    sentence = f"{environment} {state}: the rollback {where}."
    again = f"Repair what the error says, then roll back again: {_command('rollback', failed)}"
    return Ending(kind, "ROLLBACK FAILED", sentence, (announce, again, verify, *after))


def tally(verdicts: list[Verdict]) -> str:
    """``43 checks: 41 passed, 1 warned, 1 failed``; says so when no check was asked."""
    if not verdicts:
        return "no checks were asked"
    counts = Counter(verdict.status for verdict in verdicts)
    words = {
        "pass": "passed",
        "warn": "warned",
        "fail": "failed",
        "inconclusive": "could not be measured",
        "skip": "skipped",
    }
    return f"{text.count(len(verdicts), 'check')}: " + ", ".join(f"{counts[one]} {words[one]}" for one in words if counts[one])


def plain_reasons(run: Run) -> list[str]:
    """The reasons of the decision, one line each; a NO-GO without any says so."""
    reasons = [text.one_line(reason) for reason in run.reasons if reason.strip()]
    return reasons or ([] if run.decision == "go" or run.kind == "rollback" else ["The gate gave no reason."])


def _reason_lines(run: Run) -> list[str]:
    """The reasons for the terminal: a message of several lines keeps them, as a list of mistakes has one for each."""
    lines: list[str] = []
    for reason in run.reasons or plain_reasons(run):
        first, *rest = [text.visible(line).rstrip() for line in reason.strip().splitlines()] or [""]
        lines += [f"  - {first}", *(f"    {line}" for line in rest)] if first else []
    return lines or [f"  - {reason}" for reason in plain_reasons(run)]


def check_line(verdict: Verdict, hosts: bool) -> str:
    """One check in one line: what became of it, which, where and why."""
    word = {"fail": "failed", "inconclusive": "not measured", "warn": "warning", "skip": "skipped", "pass": "passed"}
    if not verdict.required and verdict.status in ("fail", "inconclusive"):
        word = {"fail": "nice to have, failed", "inconclusive": "nice to have, not measured"}
    where = f" on {verdict.host}" if hosts else ""
    title = f" {verdict.title}" if verdict.title else ""
    reason = f": {verdict.reason}" if verdict.reason else ""
    return text.one_line(f"{word[verdict.status]}  {verdict.id}{title}{where}{reason}")


def _check_lines(verdicts: list[Verdict], hosts: bool) -> list[str]:
    bad = [verdict for verdict in worst_first(verdicts) if verdict.status in ("fail", "inconclusive")]
    lines = [f"  {check_line(verdict, hosts)}" for verdict in bad[:_MOST_CHECKS]]
    if len(bad) > _MOST_CHECKS:
        lines.append(f"  … and {len(bad) - _MOST_CHECKS} more, see the report")
    return lines


def closing_lines(run: Run, report: str = "") -> list[str]:
    """The last lines on the terminal. ``report`` is where the report lies, as the operator can open it."""
    end = ending(run)
    several = len(run.hosts) > 1
    lines: list[str] = []
    if run.decision == "go" and not end.loud:
        lines += [f"{end.headline}: {end.sentence}"]
        lines += [f"  {reason}" for reason in plain_reasons(run)]
        warned = [verdict for verdict in run.verdicts if verdict.status in ("warn", "fail", "inconclusive")]
        lines += [f"  {check_line(verdict, several)}" for verdict in worst_first(warned)[:_MOST_CHECKS]]
        seen = run.rollback.verdicts if run.rollback else run.verdicts
        lines += [f"{text.one_line(run.id)}: {tally(seen)}; {text.duration(run.seconds)}."]
    else:
        if run.kind == "cutover":
            lines += [f"NO-GO: {_release(run.release)} was refused."]
        lines += _reason_lines(run)
        # What the reasons have named already is not said twice.
        said = " ".join(plain_reasons(run))
        lines += [
            "  " + text.one_line(f"{host.name} ended in step {host.failed.step or '?'}: {host.failed.message or host.failed.task}")
            for host in run.hosts
            if host.failed and f"{host.name}: " not in said
        ]
        checks = _check_lines([verdict for verdict in run.verdicts if text.one_line(verdict.reason) not in said], several)
        if checks:
            lines += ["Also:", *checks]
        lines += [_RULE] if end.loud else []
        # The headline of a cutover that ended quietly is the first line already.
        lines += [end.sentence if run.kind == "cutover" and not end.loud else f"{end.headline}: {end.sentence}"]
        if run.rollback is not None:
            # What is back and blocked by checks is said by the checks.
            lines += [
                "  " + text.one_line(f"{host.name}: {host.error}")
                for host in run.rollback.complaints
                if not (host.back and any(verdict.blocks for verdict in host.verdicts))
            ]
            lines += ["  " + text.one_line(f"{host}: the rollback did not reach it") for host in uncovered(run)]
            lines += _check_lines(run.rollback.verdicts, several)
    if end.todo:
        lines += ["What to do now:"]
        lines += [f"  {number}. {one}" for number, one in enumerate(end.todo, 1)]
    if report:
        lines += [f"Report: {text.one_line(report)}"]
    return lines + ([_RULE] if end.loud else [])

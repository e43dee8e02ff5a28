# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: account
type: stdout
short_description: A quiet account of a cutover
version_added: 0.1.0
description:
  - Shows what an operator wants to know, and nothing else. One line for each step with its time against its budget,
    the checks that did not pass with their reasons, warnings, failures in full, and the decision.
  - Tasks that went well are not shown. With C(-v) they are, one line each; with C(-vv) with their results.
  - Values of tasks with C(no_log) are never shown, and the arguments of a task neither, however verbose.
  - Colours are used on a terminal only.
requirements:
  - Set as stdout callback, C(ANSIBLE_STDOUT_CALLBACK=golive.cutover.account) or C(stdout_callback) in C(ansible.cfg).
author:
  - The golive.cutover contributors (@golive-cutover)
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase, strip_internal_keys
from ansible.utils.color import stringc

from ansible_collections.golive.cutover.plugins.module_utils.report import text

_MARKS = {"ok": ("✓", "green"), "over": ("!", "yellow"), "failed": ("✗", "red"), "not_run": ("-", "dark gray")}
_CHECKS = {"fail": ("✗", "red"), "inconclusive": ("?", "red"), "warn": ("!", "yellow")}
_NICE_TO_HAVE = ("!", "yellow")
_BAD = ("NO-GO", "ROLLBACK FAILED", "ROLLBACK NOT VERIFIED", "NOT ROLLED BACK")
_GOOD = ("GO", "ROLLED BACK")
_NAME_WIDTH = 14
_HIDDEN = "the output is hidden, because the task has no_log"
_DEBUG = ("debug", "ansible.builtin.debug", "ansible.legacy.debug")
# What a failed module may say besides its message.
_OUTPUTS = ("module_stderr", "module_stdout", "stderr", "stdout")


def _records(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def _number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _visible_lines(value: Any) -> list[str]:
    """What a task says, as lines: a list is a line each."""
    if isinstance(value, (list, tuple)):
        return [line for one in value for line in _visible_lines(one)]
    if isinstance(value, Mapping):
        return json.dumps(value, indent=2, ensure_ascii=False, default=str).splitlines()
    return text.visible("" if value is None else value).splitlines() or [""]


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """The account. It keeps what it has already shown of each host, because facts hold the whole history."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "golive.cutover.account"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._steps: dict[str, int] = {}
        self._waiting: dict[str, list[Mapping[str, Any]]] = {}
        self._hosts: set[str] = set()
        self._said: list[str] = []
        self._banner: str | None = None
        self._begun = False

    # --- showing ----------------------------------------------------------------------------------------------------

    def _show(self, line: str = "", color: str | None = None) -> None:
        self._display.display(line, color=color)
        self._begun = True

    def _paint(self, word: str, color: str) -> str:
        painted: str = stringc(word, color)
        return painted

    def _where(self, host: str) -> str:
        """The host, when there is more than one: on a single host it would only be noise."""
        return f"  [{text.one_line(host)}]" if len(self._hosts - {"localhost"}) > 1 else ""

    def _flush(self, hosts: Iterable[str] | None = None) -> None:
        """Show the checks that no step has claimed."""
        for host in list(self._waiting) if hosts is None else hosts:
            self._show_checks(host, self._waiting.pop(host, []), indent="  ")

    def _show_checks(self, host: str, verdicts: Sequence[Mapping[str, Any]], indent: str) -> None:
        for verdict in verdicts:
            mark = _CHECKS.get(str(verdict.get("status")))
            if mark is None:
                continue
            if verdict.get("required") is False:
                mark = _NICE_TO_HAVE
            title = text.one_line(f"{verdict.get('id', '')}  {verdict.get('title') or ''}")
            self._show(f"{indent}{self._paint(mark[0], mark[1])} {title}{self._where(host)}")
            for line in _visible_lines(verdict.get("reason")):
                self._show(f"{indent}    {line}")

    def _show_step(self, host: str, step: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]]) -> None:
        mark, color = _MARKS.get(str(step.get("status")), ("?", "red"))
        name = text.one_line(step.get("name", ""))
        took = text.against_budget(_number(step.get("seconds")), _number(step.get("budget")))
        notes = ["over its budget"] if step.get("status") == "over" else []
        if verdicts:
            passed = sum(one.get("status") == "pass" for one in verdicts)
            notes.append(f"{passed} of {text.count(len(verdicts), 'check')} passed")
        note = f"   {', '.join(notes)}" if notes else ""
        self._show(f"  {self._paint(mark, color)} {name:<{_NAME_WIDTH}} {took:<18}{note}".rstrip() + self._where(host))
        if step.get("error"):
            for line in _visible_lines(step["error"]):
                self._show(f"      {line}", color=C.COLOR_ERROR)
        self._show_checks(host, verdicts, indent="      ")

    def _show_said(self, message: Any) -> None:
        """A message that a task wants to be read. The same lines twice in a row are shown once."""
        lines = _visible_lines(message)
        if lines == self._said:
            return
        self._said = lines
        self._show()
        for line in lines:
            head = line.split(":", 1)[0].strip()
            color = C.COLOR_ERROR if head.startswith(_BAD) else C.COLOR_OK if head in _GOOD else None
            self._show(f"  {line}", color=color)

    def _show_task(self, result: Any) -> None:
        """With -v: which task, once for all its hosts."""
        if self._display.verbosity and self._banner != result.task._uuid:
            self._banner = result.task._uuid
            self._show(f"  {text.one_line(result.task.get_name())}", color=C.COLOR_DEBUG)

    def _show_outcome(self, result: Any, word: str, color: str) -> None:
        if not self._display.verbosity:
            return
        self._show_task(result)
        self._show(f"    {word}: {text.one_line(self.host_label(result))}", color=color)
        if self._display.verbosity > 1:
            for line in self._details(result.result):
                self._show(f"      {line}", color=color)

    def _details(self, result: Mapping[str, Any]) -> list[str]:
        """A result without what Ansible keeps in it for itself, and without the arguments, which may hold anything."""
        if result.get("_ansible_no_log") or "censored" in result:
            return [_HIDDEN]
        shown = {key: value for key, value in strip_internal_keys(dict(result)).items() if key not in ("invocation", "diff")}
        return _visible_lines(json.dumps(shown, indent=2, ensure_ascii=False, sort_keys=True, default=str))

    # --- what results mean ------------------------------------------------------------------------------------------

    def _take_facts(self, host: str, facts: Any) -> None:
        """Show the steps that a task has added to the host's outcome."""
        outcome = facts.get("cutover_outcome") if isinstance(facts, Mapping) else None
        if not isinstance(outcome, Mapping):
            return
        steps = _records(outcome.get("steps"))
        shown = self._steps.get(host, 0)
        # A new run begins with an empty list.
        for step in steps[shown:] if len(steps) > shown else []:
            self._show_step(host, step, self._waiting.pop(host, []))
        self._steps[host] = len(steps)

    def _take(self, result: Any, payload: Mapping[str, Any]) -> None:
        host = result.host.get_name()
        if payload.get("_ansible_no_log") or "censored" in payload:
            return
        verdicts = _records(payload.get("verdicts"))
        if verdicts and all("id" in one and "status" in one for one in verdicts):
            self._waiting.setdefault(host, []).extend(verdicts)
        self._take_facts(host, payload.get("ansible_facts"))
        if result.task.action in _DEBUG:
            self._flush([host])
            if "msg" in payload:
                self._show_said(payload["msg"])
            else:
                shown = {key: one for key, one in payload.items() if key not in self._hide_in_debug and not key.startswith("_")}
                for name, value in shown.items():
                    self._show_said([f"{name}: {line}" for line in _visible_lines(value)])

    def _show_failure(self, result: Any, payload: Mapping[str, Any], what: str, item: str = "") -> None:
        hidden = bool(payload.get("_ansible_no_log")) or "censored" in payload
        message = _HIDDEN if hidden else payload.get("msg") or payload.get("reason") or "the task failed without a message"
        lines = _visible_lines(message)
        # The last word of a run may be the failure that sets its exit code: the same lines were just read.
        if [line.strip() for line in lines] == [line.strip() for line in self._said]:
            return
        host = result.host.get_name()
        self._flush([host])
        name = text.one_line(result.task.get_name())
        self._show(f"  {self._paint('✗', 'red')} {text.one_line(self.host_label(result))} {what}: {name}{item}")
        for line in lines:
            self._show(f"      {line}", color=C.COLOR_ERROR)
        if hidden:
            return
        for key in _OUTPUTS:
            output = payload.get(key)
            if isinstance(output, str) and output.strip() and output.strip() not in str(message):
                self._show(f"      {key}:")
                for line in _visible_lines(output.rstrip()):
                    self._show(f"        {line}")
        if self._display.verbosity > 1:
            for line in self._details(payload):
                self._show(f"      {line}", color=C.COLOR_ERROR)

    def _item(self, payload: Mapping[str, Any]) -> str:
        label = self._get_item_label(payload)
        return "" if label is None else f" (item {text.one_line(label)})"

    # --- events -----------------------------------------------------------------------------------------------------

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._flush()
        self._said = []
        name = text.one_line(play.get_name())
        if self._begun:
            self._show()
        self._show(f"{name}{'  (check mode)' if play.check_mode else ''}", color="bright blue")

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._show("  no hosts matched", color=C.COLOR_WARN)

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        self._flush()
        self._show("  no hosts are left", color=C.COLOR_ERROR)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._hosts.add(host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._handle_warnings(result.result)
        payload = result.result
        if not (result.task.loop and "results" in payload):
            self._take(result, payload)
        changed = bool(payload.get("changed"))
        self._show_outcome(result, "changed" if changed else "ok", C.COLOR_CHANGED if changed else C.COLOR_OK)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._handle_warnings(result.result)
        self._take(result, result.result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._handle_warnings(result.result)
        if self._display.verbosity > 1:
            self._show_outcome(result, "skipped", C.COLOR_SKIP)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._handle_warnings(result.result)
        payload = result.result
        # A failed check task may still have asked something.
        self._take(result, {key: one for key, one in payload.items() if key == "verdicts"})
        # The items of a loop have been shown one by one.
        if not (result.task.loop and "results" in payload):
            self._show_failure(result, payload, "failed, ignored" if ignore_errors else "failed")

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._handle_warnings(result.result)
        self._show_failure(result, result.result, "failed", self._item(result.result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._handle_warnings(result.result)
        host = result.host.get_name()
        self._flush([host])
        self._show(f"  {self._paint('✗', 'red')} {text.one_line(host)} is UNREACHABLE", color=C.COLOR_UNREACHABLE)
        for line in _visible_lines(result.result.get("msg")):
            self._show(f"      {line}", color=C.COLOR_UNREACHABLE)

    def v2_runner_retry(self, result: Any) -> None:
        left = result.result.get("retries", 0) - result.result.get("attempts", 0)
        self._show_outcome(result, f"not yet, {text.count(left, 'attempt')} left", C.COLOR_DEBUG)

    def v2_on_file_diff(self, result: Any) -> None:
        payload = result.result
        for one in payload["results"] if result.task.loop and "results" in payload else [payload]:
            if one.get("diff") and one.get("changed") and not one.get("_ansible_no_log"):
                diff = self._get_diff(one["diff"])
                if diff:
                    self._show_task(result)
                    self._show(diff.rstrip())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._flush()
        hosts = sorted(stats.processed)
        totals = {host: stats.summarize(host) for host in hosts}
        lost = [host for host in hosts if totals[host]["unreachable"]]
        failed = [host for host in hosts if totals[host]["failures"]]
        # The last lines belong to the decision: the recap is for who asks for it, or for a run that says nothing else.
        if self._display.verbosity or (not self._said and (lost or failed)):
            self._show()
            for host in hosts:
                shown = " ".join(f"{key}={totals[host][key]}" for key in ("ok", "changed", "unreachable", "failures", "rescued"))
                color = C.COLOR_ERROR if host in lost or host in failed else C.COLOR_OK
                self._show(f"  {text.one_line(host)}: {shown}", color=color)

#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: hypercare
short_description: Which checkpoint of a watch is due, and what may be said about the time before it
version_added: 0.1.0
description:
  - A watch begins with the GO of a cutover in the ledger. Its checkpoints are due at fixed times after that, each within a
    tolerance. One that nobody looked at in its time was missed, and a look that comes later does not change that.
  - The time between checkpoints is judged from the samples of a sampler. Every stretch of it must meet every objective. A stretch
    without samples, a sampler that stopped, a clock that jumped, is C(inconclusive), and never a pass.
extends_documentation_fragment:
  - golive.cutover.store
options:
  state:
    description:
      - V(read) says where every checkpoint stands, and which one is chosen.
      - V(judged) also judges the time before the chosen one.
      - V(recorded) writes to the ledger how the chosen one was found.
      - V(exit) judges whether the watch may be closed. Every checkpoint must have passed, each of O(exit_criteria) must be met, and
        everybody in O(signatures) must have signed.
      - V(closed) writes to the ledger that it is closed. It judges that anew, and fails when something is missing.
    type: str
    choices: [read, judged, recorded, exit, closed]
    default: read
  watch:
    description: The run whose GO begins the watch. By default the newest one.
    type: str
  checkpoint:
    description: The checkpoint, such as V(T+4h). By default the one whose time it is and that has not passed yet.
    type: str
  checkpoints:
    description:
      - The checkpoints of the watch in their order, each with C(name) and C(tolerance). By default T+0, T+15m, T+1h, T+4h,
        T+12h, T+24h and T+48h.
    type: list
    elements: dict
  objectives:
    description:
      - Checks of the probe C(window). C(over) is one stretch of time, such as 5m. Each one from the checkpoint before to now is
        judged, and at the last checkpoint each one since the GO.
    type: list
    elements: dict
    default: []
  secrets:
    description: "Values for C({secret: NAME}) in O(objectives)."
    type: dict
    default: {}
  every:
    description: Pause between two looks of the sampler.
    type: str
    default: 30s
  longest_gap:
    description: A longest pause between two looks of the sampler that is no gap yet. By default 2.5 pauses.
    type: str
    default: 0s
  host:
    description:
      - Whose samples are judged, and whose checkpoints are read and written, in a store that hosts share.
      - Needed there (C(redis:), C(rediss:)), because one host must not stand for another.
      - A store of one host (C(sqlite:)) needs none.
    type: str
    default: ""
  checklist:
    description:
      - With O(state=judged), whether the checkpoint has a checklist of its own.
      - Without one, and without an objective that has enough to say, nothing is known, which is C(inconclusive).
    type: bool
    default: true
  exit_criteria:
    description:
      - By what a watch is closed. Needed with O(state=exit) and O(state=closed).
      - Each has a C(name), and either C(checks) or C(tags), which are verdicts of the last checkpoint as it was recorded, or
        C(given), the name of a number in O(given), with C(expect), such as V(< 2).
      - C(HYPERCARE-INCIDENTS) among C(checks) is that the ledger knows no critical incident since the GO.
      - A criterion that nothing answers is not met.
    type: list
    elements: dict
    default: []
  given:
    description: Numbers that no machine measures, by name, such as how many issues users have reported.
    type: dict
    default: {}
  signatures:
    description:
      - Who has to sign, with C(required) and C(people) as in M(golive.cutover.signoff). Needed with O(state=exit) and
        O(state=closed).
      - Each role needs a person of its own, so C(distinct) can only be true.
    type: dict
    default: {}
  run:
    description: The run that looked. Needed with O(state=recorded) and O(state=closed).
    type: str
  at:
    description: When that run began to look, as RV(now) said. Needed with O(state=recorded).
    type: float
  decision:
    description: What was decided. Needed with O(state=recorded).
    type: str
    choices: [go, no_go]
  reasons:
    description: Why. Written to the ledger with O(state=recorded).
    type: list
    elements: str
    default: []
  verdicts:
    description: What the checkpoint has found. With O(state=recorded), id, status and tags of each are written to the ledger.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    support: full
    description: Says what would be written and writes nothing.
  diff_mode:
    support: none
    description: The result shows the entry.
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.ledger
  - module: golive.cutover.sampler
"""

EXAMPLES = r"""
- name: Which checkpoint is due?
  golive.cutover.hypercare:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
  register: watch

- name: Judge the time before it
  golive.cutover.hypercare:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: judged
    checkpoint: "{{ watch.chosen.name }}"
    objectives:
      - id: E-1
        title: At most 20 stream errors in five minutes
        window:
          store: sqlite:///var/lib/golive/golive.db
          environment: spark-ta
          name: streams_errors_total
          as: increase
          over: 5m
        expect:
          value: "<= 20"
  register: judged

- name: Record how it was found
  golive.cutover.hypercare:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: recorded
    checkpoint: "{{ watch.chosen.name }}"
    run: 20251121T040000Z-11bb
    at: "{{ watch.now }}"
    decision: go
    verdicts: "{{ judged.verdicts }}"

- name: May the watch be closed?
  golive.cutover.hypercare:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    state: exit
    exit_criteria:
      - name: All service level objectives are met continuously
        tags: [slo]
      - name: Users have reported less than two issues
        given: user_reported_issues
        expect: "< 2"
    given:
      user_reported_issues: 1
    signatures:
      required: [Operations Lead, Development Lead]
  register: may
"""

RETURN = r"""
now:
  description: The time by the clock of the store, in seconds since 1970.
  returned: success
  type: float
watch:
  description: C(run), C(release) and C(start) (UTC) of what is watched.
  returned: success
  type: dict
checkpoints:
  description:
    - Every checkpoint with C(name), C(state) (C(waiting), C(due), C(passed), C(failed), C(missed)), C(due) and C(until) (UTC),
      and C(looked) and C(late), when it was looked at in its time and after it, or null.
  returned: success
  type: list
  elements: dict
closed:
  description: When the watch was closed (UTC), or null while it is open.
  returned: success
  type: str
chosen:
  description:
    - The checkpoint that was asked for or is due, as in RV(checkpoints), with C(last), C(is_late) and C(since). Null when none is
      due.
  returned: success
  type: dict
lines:
  description: All of it for a person, in lines.
  returned: success
  type: list
  elements: str
verdicts:
  description: What is said about the time before the chosen checkpoint, as records of M(golive.cutover.check).
  returned: when O(state=judged), O(state=exit) or O(state=closed)
  type: list
  elements: dict
criteria:
  description: The rows of a go/no-go table that these verdicts answer, as O(golive.cutover.go_no_go#module:policy) takes them.
  returned: when O(state=judged), O(state=exit) or O(state=closed)
  type: list
  elements: dict
entry:
  description: The entry of the ledger.
  returned: when O(state=recorded) or O(state=closed)
  type: dict
"""

from typing import TYPE_CHECKING, Any, Optional

from ansible.module_utils.parsing.convert_bool import BOOLEANS_TRUE

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import closing, gate, signoff, units
from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare as core
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import judge
from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import whose, with_host
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, signatures
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LedgerBroken
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _shown(state: core.State) -> dict[str, Any]:
    return {
        "name": state.name,
        "state": state.state,
        "due": core.utc(state.due),
        "until": core.utc(state.until),
        "looked": core.utc(state.look.at) if state.look else None,
        "late": core.utc(state.late.at) if state.late else None,
    }


def _duration(params: dict[str, Any], key: str) -> float:
    try:
        return units.parse_duration(params[key])
    except ValueError as error:
        raise InputError([Problem(key, str(error))]) from error


def _host(params: dict[str, Any]) -> str:
    """The host that is watched where hosts share a store; none in a store of one host."""
    try:
        return whose(params["store"], params["host"])
    except ValueError as error:
        raise InputError([Problem("host", str(error))]) from error


class NotClosed(CutoverError):
    """A watch may not be closed. Carries what was found."""

    def __init__(self, reason: str, found: dict[str, Any]) -> None:
        self.result = found
        super().__init__(reason)


def _exit(
    params: dict[str, Any], store: Store, entries: list[dict[str, Any]], watch: core.Watch, known: list[core.State], now: float
) -> list[dict[str, Any]]:
    """The verdicts of the exit: the checkpoints, the signatures, the incidents, and a verdict for each criterion."""
    problems: list[Problem] = []
    rules = signoff.Rules([])
    wanted: tuple[closing.Criterion, ...] = ()
    given = params["signatures"]
    unknown = sorted(set(given) - {"required", "people", "distinct"})
    problems += [Problem(f"signatures.{one}", "is none of required, people, distinct") for one in unknown]
    try:
        rules = signoff.read_rules(given.get("required"), given.get("people"))
    except InputError as error:
        problems += [Problem(f"signatures.{one.where}", one.message) for one in error.problems]
    # As a text where it was given with -e.
    if str(given.get("distinct", True)).lower() not in BOOLEANS_TRUE:
        problems.append(Problem("signatures.distinct", signatures.ONE_EACH))
    try:
        wanted = closing.read_criteria(params["exit_criteria"])
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    signed: Any
    try:
        signed = signatures.read(store, params["environment"], "hypercare", rules, watch.run)
        complete = signatures.complete(store, params["environment"], "hypercare", rules, watch.run)
        signed = {**signed, "complete": complete}
    except LedgerBroken as error:
        signed = str(error)
    verdicts = [
        closing.judge_passed(watch, known, now),
        closing.judge_signatures(signed, now),
        closing.judge_incidents(entries, watch, now),
    ]
    last = closing.last_verdicts(entries, watch, known[-1], _host(params) or None)
    return verdicts + closing.judge_criteria(wanted, [*last, *verdicts], params["given"], known[-1].name, now)


def _short(verdict: dict[str, Any]) -> dict[str, Any]:
    """What the ledger keeps of a verdict."""
    return {"required": verdict.get("required") is not False, **{key: verdict.get(key) for key in ("id", "status", "tags")}}


def hypercare(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    every, allowed = _duration(params, "every"), _duration(params, "longest_gap")
    checkpoints = core.read_checkpoints(params["checkpoints"]) if params["checkpoints"] is not None else core.CHECKPOINTS
    host = _host(params)
    objectives = read_checks(with_host(params["objectives"], host), PROBES, params["secrets"])
    judge.refuse_others(objectives)
    with open_from(params, module.no_log_values.add) as store:
        entries = ledger.read(store)
        now = store.read([]).now
        watch = core.find_watch(entries, params["watch"])
        if watch.start > now + core.JUMP:
            raise core.NothingToWatch(f"the GO is at {core.utc(watch.start)}, which is in the future: the clock was put back")
        at = now if params["at"] is None else params["at"]
        known = core.states(watch, checkpoints, core.looks_of(entries, watch, host or None), now)
        shut = closing.closed(entries, watch, host or None)
        leaving = params["state"] in ("exit", "closed")
        chosen = None if leaving or (shut and not params["checkpoint"]) else core.choose(known, at, params["checkpoint"])
        result: dict[str, Any] = {
            "changed": False,
            "now": now,
            "watch": {"run": watch.run, "release": watch.release, "start": core.utc(watch.start)},
            "checkpoints": [_shown(one) for one in known],
            "chosen": _chosen(watch, known, chosen, at),
            "closed": core.utc(core.seconds_of(shut["time"])) if shut else None,
            "lines": core.lines(watch, known, now) + ([f"closed at {core.utc(core.seconds_of(shut['time']))}"] if shut else []),
        }
        if params["state"] == "read":
            return result
        if leaving:
            result["verdicts"] = _exit(params, store, entries, watch, known, now)
            result["criteria"] = closing.rows(result["verdicts"])
            return result if params["state"] == "exit" or shut else _close(module, store, watch, result)
        if chosen is None:
            raise InputError([Problem("checkpoint", "none is due now; name the one that is meant")])
        if params["state"] == "judged":
            result["verdicts"] = judge.judge_time(
                store, objectives, watch, known, chosen, now, every, entries, allowed, params["checklist"], host
            )
            result["criteria"] = core.criteria(result["verdicts"])
            return result
        data = {
            "watch": watch.run,
            "host": params["host"],
            "release": watch.release,
            "checkpoint": chosen.name,
            "at": at,
            "late": at > chosen.until,
            "decision": params["decision"],
            "reasons": params["reasons"],
            "verdicts": [_short(one) for one in params["verdicts"]],
        }
        entry = ledger.append(store, params["environment"], params["run"], core.EVENT, data, dry=module.check_mode)
        return {**result, "changed": True, "entry": entry}


def _close(module: AnsibleModule, store: Store, watch: core.Watch, result: dict[str, Any]) -> dict[str, Any]:
    params = module.params
    missing = [f"{one['id']}: {one['reason']}" for one in result["verdicts"] if one["required"] and not gate.is_good(one)]
    if missing:
        raise NotClosed(f"the watch over {watch.release or watch.run} is not closed: {'; '.join(missing)}", result)
    data = {
        "watch": watch.run,
        "host": params["host"],
        "release": watch.release,
        "given": params["given"],
        "reasons": [f"{one['title']}: {one['reason']}" for one in result["verdicts"]],
    }
    entry = ledger.append(store, params["environment"], params["run"], closing.CLOSED, data, dry=module.check_mode)
    return {**result, "changed": True, "entry": entry}


def _chosen(watch: core.Watch, known: list[core.State], chosen: Optional[core.State], at: float) -> Optional[dict[str, Any]]:
    if chosen is None:
        return None
    return {
        **_shown(chosen),
        "last": chosen.name == known[-1].name,
        "is_late": at > chosen.until,
        "since": core.utc(core.since(watch, known, chosen)),
    }


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "state": {"type": "str", "choices": ["read", "judged", "recorded", "exit", "closed"], "default": "read"},
            "watch": {"type": "str"},
            "checkpoint": {"type": "str"},
            "checkpoints": {"type": "list", "elements": "dict"},
            "objectives": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "every": {"type": "str", "default": "30s"},
            "longest_gap": {"type": "str", "default": "0s"},
            "host": {"type": "str", "default": ""},
            "checklist": {"type": "bool", "default": True},
            "run": {"type": "str"},
            "at": {"type": "float"},
            "decision": {"type": "str", "choices": ["go", "no_go"]},
            "reasons": {"type": "list", "elements": "str", "default": []},
            "verdicts": {"type": "list", "elements": "dict", "default": []},
            "exit_criteria": {"type": "list", "elements": "dict", "default": []},
            "given": {"type": "dict", "default": {}},
            "signatures": {"type": "dict", "default": {}},
        },
        hypercare,
        unshown=("secrets", "verdicts"),
        required_if=[("state", "recorded", ("run", "at", "decision")), ("state", "closed", ("run",))],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

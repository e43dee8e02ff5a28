# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts: an observation against the thresholds of a check, with the reason and the proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import Condition
from ansible_collections.golive.cutover.plugins.module_utils.core.enough import too_few
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CannotCompare
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation, kind_of_measure

STATUSES = ("pass", "warn", "fail", "inconclusive", "skip")
GOOD = ("pass", "warn")
"""The statuses that never block."""


@dataclass(frozen=True)
class Judgement:
    """A status and the one line that says why."""

    status: str
    reason: str


def evaluate_expressions(check: Check, observation: Observation) -> None:
    """Add the check's own measures to an observation, or say why they are missing."""
    if not check.expressions:
        return
    if observation.document is None:
        for name in check.expressions:
            observation.missing[name] = "there was no JSON document to look into"
        return
    try:
        import jmespath
    except ImportError:
        for name in check.expressions:
            observation.missing[name] = "the Python library jmespath is not installed for this interpreter"
        return
    for name, expression in check.expressions.items():
        try:
            value = jmespath.search(expression, observation.document)
        except jmespath.exceptions.JMESPathError as error:
            observation.missing[name] = f"{expression!r}: {str(error).splitlines()[0]}"
            continue
        if isinstance(value, (bool, str)):
            observation.measures[name] = value
        elif isinstance(value, (int, float)):
            observation.measures[name] = float(value)
        elif value is None:
            observation.missing[name] = f"{expression!r} found nothing in the JSON document"
        else:
            observation.missing[name] = f"{expression!r} gives a {type(value).__name__}, not a number, a text or a flag"


def _rows(check: Check, column: str) -> Iterator[tuple[str, Condition]]:
    for measure, conditions in check.thresholds.get(column, {}).items():
        for condition in conditions:
            yield measure, condition


Hide = Callable[[str], str]
"""Takes secrets out of a text. It is used before a text is shortened: of a secret that was cut in two, a part would stay."""


def _shown(check: Check, measure: str, condition: Condition, value: units.Value, hide: Hide) -> str:
    kind = kind_of_measure(measure, check.kinds) or "any"
    return units.show(hide(value) if isinstance(value, str) else value, condition.kind if kind == "any" else kind)


def judge(check: Check, observation: Observation, hide: Hide = str, baseline: Mapping[str, units.Value] | None = None) -> Judgement:
    """Hold an observation against the thresholds of a check. ``baseline``: what its measures were before the change.

    ``fail`` when a critical threshold holds or an expected one does not; else ``inconclusive`` when a threshold could not be
    judged, so few requests cannot show that it was met, or nothing proves that there was something to judge; else ``warn``; else
    ``pass``.
    """
    failed: list[str] = []
    unknown: list[str] = []
    warned: list[str] = []
    held: list[str] = []
    for column in ("critical", "expect", "warn"):
        for measure, condition in _rows(check, column):
            if measure not in observation.measures:
                unknown.append(f"{measure} could not be measured: {observation.missing.get(measure, 'the probe did not yield it')}")
                continue
            value = observation.measures[measure]
            shown = _shown(check, measure, condition, value, hide)
            before = (baseline or {}).get(measure)
            try:
                holds = condition.holds(value, before)
            except CannotCompare as error:
                unknown.append(f"{measure} cannot be judged by {condition.source!r}: {error}")
                continue
            limit = condition.source
            if condition.relative and before is not None:
                limit += f" of {_shown(check, measure, condition, before, hide)} before"
            few = too_few(column, measure, condition, holds, observation.behind.get(measure))
            if few is not None:
                unknown.append(f"{measure} is {shown}, but {few}")
            elif column == "critical" and holds:
                failed.append(f"{measure} is {shown}, critical when {limit}")
            elif column == "expect" and not holds:
                failed.append(f"{measure} is {shown}, expected {limit}")
            elif column == "warn" and holds:
                warned.append(f"{measure} is {shown}, warning when {limit}")
            else:
                held.append(f"{measure} {shown}")
    if failed:
        return Judgement("fail", "; ".join(dict.fromkeys(failed)))
    if not observation.proof:
        return Judgement("inconclusive", "nothing proves that there was something to judge")
    if unknown:
        return Judgement("inconclusive", "; ".join(dict.fromkeys(unknown)))
    if warned:
        return Judgement("warn", "; ".join(dict.fromkeys(warned)))
    if not held:
        return Judgement("inconclusive", "no threshold was judged")
    return Judgement("pass", ", ".join(dict.fromkeys(held)))


def verdict(
    check: Check,
    judgement: Judgement,
    observation: Observation,
    *,
    attempts: int,
    started: str,
    duration: float,
    hide: Hide = str,
    baseline: Mapping[str, units.Value] | None = None,
) -> dict[str, Any]:
    """The record of a verdict, as `design` describes it. Measures are in base units; duration in seconds.

    The proof of a verdict with relative conditions names the ``baseline`` that they were held against.
    """
    measures: dict[str, Mapping[str, Any]] = {}
    judged = {measure for rows in check.thresholds.values() for measure in rows}
    for name, value in observation.measures.items():
        if isinstance(value, str) and name not in judged:
            continue  # a whole page, or a header that nobody asked about, is no evidence and may hold what is private
        kind = kind_of_measure(name, check.kinds) or "any"
        short = hide(value)[:500] if isinstance(value, str) else value
        measures[name] = {"value": short, "unit": units.BASE_UNITS[kind]}
    proof = dict(observation.proof)
    relative = {measure for column in check.thresholds for measure, one in _rows(check, column) if one.relative}
    before = {measure: value for measure, value in (baseline or {}).items() if measure in relative}
    if before and proof:
        proof["baseline"] = before
    return {
        "id": check.id,
        "title": check.title,
        "probe": check.probe,
        "status": judgement.status,
        "required": check.required,
        "reason": judgement.reason,
        "measures": measures,
        "expected": check.expected(),
        "proof": proof,
        "attempts": attempts,
        "started": started,
        "duration": round(duration, 4),
        "tags": list(check.tags),
    }

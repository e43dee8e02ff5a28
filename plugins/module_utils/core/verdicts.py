# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Verdicts: an observation against the thresholds of a check, with the reason and the proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.baseline import Measured
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check
from ansible_collections.golive.cutover.plugins.module_utils.core.comparison import Comparison, compare
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
    compared: Mapping[str, Comparison] = field(default_factory=dict)
    """How samples lie against those before the change, by the measure."""


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


def _held_against(check: Check, samples: Sequence[float], before: Measured | None) -> Comparison:
    """Samples of a check against those before the change. Raises CannotCompare."""
    if not isinstance(before, Sequence):
        raise CannotCompare("there is no baseline: no samples from before the change were kept")
    try:
        return compare(samples, before, confidence=check.confidence)
    except ValueError as error:
        raise CannotCompare(str(error)) from error


def _alone(samples: Sequence[float]) -> str:
    """Samples without any from before."""
    shown = f", median {units.show(median(samples), 'time')}" if samples else ""
    return f"{len(samples)} sample{'' if len(samples) == 1 else 's'}{shown}"


def judge(check: Check, observation: Observation, hide: Hide = str, baseline: Mapping[str, Measured] | None = None) -> Judgement:
    """Hold an observation against the thresholds of a check. ``baseline``: what its measures were before the change.

    ``fail`` when a critical threshold holds or an expected one does not; else ``inconclusive`` when a threshold could not be
    judged, so few requests cannot show that it was met, or nothing proves that there was something to judge; else ``warn``; else
    ``pass``.
    """
    failed: list[str] = []
    unknown: list[str] = []
    warned: list[str] = []
    held: list[str] = []
    compared: dict[str, Comparison] = {}
    for column in ("critical", "expect", "warn"):
        for measure, condition in _rows(check, column):
            if measure not in observation.measures and measure not in observation.samples:
                unknown.append(f"{measure} could not be measured: {observation.missing.get(measure, 'the probe did not yield it')}")
                continue
            before = (baseline or {}).get(measure)
            be, few = "is", None
            limit = condition.source
            try:
                if measure in observation.samples:
                    found = compared.get(measure) or _held_against(check, observation.samples[measure], before)
                    compared[measure] = found
                    be, holds, shown = "are", condition.holds_of(found), found.words()
                    limit += f" of {units.show(found.before, 'time')} before"
                else:
                    value = observation.measures[measure]
                    was = None if isinstance(before, Sequence) else before
                    holds, shown = condition.holds(value, was), _shown(check, measure, condition, value, hide)
                    if condition.relative and was is not None:
                        limit += f" of {_shown(check, measure, condition, was, hide)} before"
                    few = too_few(column, measure, condition, holds, observation.behind.get(measure))
            except CannotCompare as error:
                unknown.append(f"{measure} cannot be judged by {condition.source!r}: {error}")
                continue
            if few is not None:
                unknown.append(f"{measure} {be} {shown}, but {few}")
            elif column == "critical" and holds:
                failed.append(f"{measure} {be} {shown}, critical when {limit}")
            elif column == "expect" and not holds:
                failed.append(f"{measure} {be} {shown}, expected {limit}")
            elif column == "warn" and holds:
                warned.append(f"{measure} {be} {shown}, warning when {limit}")
            else:
                held.append(f"{measure} {shown}")
    if failed:
        return Judgement("fail", "; ".join(dict.fromkeys(failed)), compared)
    if not observation.proof:
        return Judgement("inconclusive", "nothing proves that there was something to judge")
    if unknown:
        return Judgement("inconclusive", "; ".join(dict.fromkeys(unknown)), compared)
    if warned:
        return Judgement("warn", "; ".join(dict.fromkeys(warned)), compared)
    if not held:
        return Judgement("inconclusive", "no threshold was judged")
    return Judgement("pass", ", ".join(dict.fromkeys(held)), compared)


def verdict(
    check: Check,
    judgement: Judgement,
    observation: Observation,
    *,
    attempts: int,
    started: str,
    duration: float,
    hide: Hide = str,
    baseline: Mapping[str, Measured] | None = None,
) -> dict[str, Any]:
    """The record of a verdict, as `design` describes it. Measures are in base units; duration in seconds.

    The proof of a verdict with relative conditions names the ``baseline`` that they were held against, and for samples the
    ``comparison`` with those before. Samples stand there and in the measures by what they come to.
    """
    measures: dict[str, Mapping[str, Any]] = {}
    judged = check.judged()
    for name, value in observation.measures.items():
        if isinstance(value, str) and name not in judged:
            continue  # a whole page, or a header that nobody asked about, is no evidence and may hold what is private
        kind = kind_of_measure(name, check.kinds) or "any"
        short = hide(value)[:500] if isinstance(value, str) else value
        measures[name] = {"value": short, "unit": units.BASE_UNITS[kind]}
    proof = dict(observation.proof)
    for name in judged & set(observation.samples):
        found = judgement.compared.get(name)
        measures[name] = {"value": found.words() if found else _alone(observation.samples[name]), "unit": ""}
    relative = {measure for column in check.thresholds for measure, one in _rows(check, column) if one.relative}
    numbers = {measure: value for measure, value in (baseline or {}).items() if not isinstance(value, Sequence)}
    before = {measure: value for measure, value in numbers.items() if measure in relative}
    if before and proof:
        proof["baseline"] = before
    if judgement.compared and proof:
        proof["comparison"] = {name: one.record() for name, one in judgement.compared.items()}
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

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Baselines: what the measures of checks were before the change, for thresholds such as ``<= +10%``.

A baseline is ``{check id: {measure: number}}``, in the base units of the measures. Of a measure that is many samples, such as the
latencies of a load, it is a list of at most `sampling.MOST` of them. It is taken from verdicts that were
reached before anything was changed, and held against the verdicts of the same checks afterwards.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.sampling import MOST

Measured = Union[float, Sequence[float]]
Row = dict[str, Measured]
Baseline = Mapping[str, Mapping[str, Measured]]

_MAY_BE_RELATIVE = re.compile(r"\s*[<>]=?\s*[+-].*%")
_COLUMNS = ("expect", "warn", "critical")


def asked_before(checks: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Of checks as they are written, those with a threshold on a baseline, to be asked before the change.

    An id that stands in several lists counts once, as it stands first. A condition such as ``<= -5%``, which is a plain value for a
    ratio, counts too: whoever reads the check knows, and a number too many does no harm.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for check in checks:
        if not isinstance(check, Mapping) or check.get("skip") is not None or str(check.get("id")) in found:
            continue
        columns = [check.get(column) for column in _COLUMNS]
        conditions = [one for column in columns if isinstance(column, Mapping) for one in column.values()]
        if any(_may_be_relative(one) for one in conditions):
            found[str(check.get("id"))] = check
    return list(found.values())


def _may_be_relative(condition: Any) -> bool:
    if isinstance(condition, Sequence) and not isinstance(condition, str):
        return any(_may_be_relative(one) for one in condition)
    return isinstance(condition, str) and _MAY_BE_RELATIVE.match(condition) is not None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def from_verdicts(
    verdicts: Iterable[Mapping[str, Any]], samples: Mapping[str, Mapping[str, Sequence[float]]] | None = None
) -> dict[str, Row]:
    """The baseline that verdicts make: every number that was measured, and the ``samples`` that the checks are judged by.

    A verdict without proof measured nothing, and makes none. Texts and flags have no tenth more.
    """
    found: dict[str, Row] = {}
    for verdict in verdicts:
        if not verdict.get("proof"):
            continue
        numbers = {name: _number(one.get("value")) for name, one in (verdict.get("measures") or {}).items()}
        row: Row = {name: number for name, number in numbers.items() if number is not None}
        row.update({name: list(many) for name, many in ((samples or {}).get(str(verdict["id"])) or {}).items()})
        if row:
            found[str(verdict["id"])] = row
    return found


def worth_keeping(
    verdicts: Sequence[Mapping[str, Any]], samples: Mapping[str, Mapping[str, Sequence[float]]] | None = None
) -> tuple[dict[str, Row], dict[str, str]]:
    """The baseline that verdicts from before a change make, and why those checks that are not in it have none.

    A check that fails then measured something that was broken: an error page is quick, and what comes after is not worse than that.
    """
    sound = [one for one in verdicts if one.get("status") != "fail"]
    kept = from_verdicts(sound, samples)
    return kept, {str(one["id"]): str(one.get("reason") or "") for one in verdicts if str(one["id"]) not in kept}


def _samples(value: Any) -> list[float] | None:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MOST:
        return None
    numbers = [_number(one) for one in value]
    known = [one for one in numbers if one is not None]
    return known if len(known) == len(numbers) else None


def read_baseline(raw: Any, where: str = "baseline") -> dict[str, Row]:
    """A baseline as somebody handed it over. Raises InputError with every mistake. Checks that do not exist here may be in
    it: one baseline serves several lists of checks."""
    if not isinstance(raw, Mapping):
        raise InputError([Problem(where, f"expected a mapping of check id to {{measure: number}}, got {type(raw).__name__}")])
    problems: list[Problem] = []
    clean: dict[str, Row] = {}
    for id, measures in raw.items():
        if not isinstance(measures, Mapping):
            problems.append(Problem(f"{where}.{id}", f"expected a mapping of measure to number, got {measures!r}"))
            continue
        for name, value in measures.items():
            many = isinstance(value, (list, tuple))
            found = _samples(value) if many else _number(value)
            if found is None:
                wrong = f"is no list of 1 to {MOST} numbers" if many else f"{value!r} is not a number"
                problems.append(Problem(f"{where}.{id}.{name}", f"{wrong} in the base unit of the measure"))
            else:
                clean.setdefault(str(id), {})[str(name)] = found
    if problems:
        raise InputError(problems)
    return clean

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether there was enough of something to say what a threshold asks: a good value of too few requests is no pass.

What was seen to be bad is bad, however few there were. What was seen to be good is only known from so many on:

- a share of errors: as many as make one failure alone no breach of the limit (`requests_for`);
- a percentile: as many as bound that of the system, and not only of the sample (`samples_to_bound`);
- the lower bound of a pass rate: as many as reach it when all pass (`trials_to_show`). With fewer it is too low by itself, which
  is no failure where nothing failed.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import Condition
from ansible_collections.golive.cutover.plugins.module_utils.core.statistics import (
    TooFew,
    requests_for,
    samples_to_bound,
    trials_to_show,
)

ERRORS = "a share of errors"
PERCENTILE = "a percentile"
BOUND = "a lower bound"


class Behind(NamedTuple):
    """What is behind a value: how many of what, of which kind it is, and from how many on it is taken as it is."""

    total: int
    what: str
    kind: str
    percent: int = 0
    """Which percentile."""
    failed: int = 0
    """How many of them are known to have failed."""
    least: Optional[int] = None
    """So many are taken to be enough, where the threshold would need more."""


def too_few(column: str, measure: str, condition: Condition, holds: bool, behind: Optional[Behind]) -> Optional[TooFew]:
    """Why a threshold of a column, which holds or does not, cannot be judged by so few; None where it can."""
    if behind is None or column == "warn" or condition.relative or not isinstance(condition.operand, float):
        return None
    below, above = condition.operator in ("<", "<="), condition.operator in (">", ">=")
    good = holds if column == "expect" else not holds
    limit = condition.operand
    if behind.kind == BOUND:
        known = not (column == "expect" and above and not holds and behind.failed == 0 and 0 < limit < 1)
        need = 0 if known else trials_to_show(limit)
    elif not good or not (below if column == "expect" else above):
        return None
    elif behind.kind == ERRORS:
        need = requests_for(round(1 - limit, 12)) if 0 < limit < 1 else 0
    else:
        need = samples_to_bound(behind.percent)
    if behind.least is not None:
        need = min(need, behind.least)
    return TooFew(behind.total, need, behind.what, f"{measure} {condition.source}") if behind.total < need else None

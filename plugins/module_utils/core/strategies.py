# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The strategies of a rollback, and which of them to try for what went wrong.

`AUTO` tries the least that answers every cause of the NO-GO, and goes on to the next that does when it could not be verified.
What is less than what stands in an order that the user writes: a list of strategies, each with the causes that it answers. One
that names none answers everything. The last one has to, so that there always is a way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option

AUTO = "auto"
PREVIOUS_RELEASE = "previous_release"


@dataclass(frozen=True)
class Strategy:
    """``gives_up``: whether another release runs after it. ``deed``: what it has done to the environment ``{}``, in words."""

    gives_up: bool
    deed: str


STRATEGIES: Mapping[str, Strategy] = {
    PREVIOUS_RELEASE: Strategy(True, "{} was rolled back"),
    "stop_scheduler": Strategy(False, "the scheduler of {} was stopped"),
    "reduce_load": Strategy(False, "the load on {} was reduced"),
    "emergency_stop": Strategy(False, "the emergency stop of {} was carried out"),
}
"""Each is a file of the role ``rollback``, below ``tasks/strategies``."""


def gives_up(strategy: str) -> bool:
    """Whether another release runs after a strategy; False for one that is not known."""
    return strategy in STRATEGIES and STRATEGIES[strategy].gives_up


ORDER_OPTIONS: Mapping[str, Option] = {
    "strategy": Option(opt.choice(*STRATEGIES), "the strategy", required=True),
    "checks": Option(opt.list_of(opt.text), "answers a check with one of these ids that does not hold"),
    "tags": Option(opt.list_of(opt.text), "answers a check with one of these tags that does not hold"),
    "steps": Option(opt.list_of(opt.text), "answers the failure of one of these steps"),
}


@dataclass(frozen=True)
class Choice:
    """One row of the order. With all three None it answers everything."""

    strategy: str
    checks: frozenset[str] | None = None
    tags: frozenset[str] | None = None
    steps: frozenset[str] | None = None

    @property
    def everything(self) -> bool:
        return self.checks is None and self.tags is None and self.steps is None

    def answers(self, cause: Mapping[str, Any]) -> bool:
        if self.everything:
            return True
        if cause.get("check"):
            return cause["check"] in (self.checks or ()) or bool((self.tags or frozenset()) & set(cause.get("tags") or ()))
        return bool(cause.get("step")) and cause["step"] in (self.steps or ())


def read_order(raw: Any, where: str = "rollback_order") -> list[Choice]:
    """Read the order. Raises InputError with every mistake."""
    problems: list[Problem] = []
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        raise InputError([Problem(where, f"expected a list of strategies, the least first, got {raw!r}")])
    order: list[Choice] = []
    for index, row in enumerate(raw):
        one = opt.read_options(row, ORDER_OPTIONS, f"{where}[{index}]", problems)
        sets = {key: None if one[key] is None else frozenset(one[key]) for key in ("checks", "tags", "steps")}
        given = [found for found in sets.values() if found is not None]
        if given and not any(given):
            problems.append(Problem(f"{where}[{index}]", "answers nothing; leave checks, tags and steps out to answer everything"))
        order.append(Choice(str(one["strategy"]), **sets))
    named = [one.strategy for one in order]
    problems += [
        Problem(f"{where}[{index}].strategy", f"{name} stands in the order already")
        for index, name in enumerate(named)
        if name in named[:index]
    ]
    if not problems and not order[-1].everything:
        why = "is the last one, so it has to answer everything: leave checks, tags and steps out"
        problems.append(Problem(f"{where}[{len(order) - 1}]", why))
    if problems:
        raise InputError(problems)
    return order


def attempts(strategy: str, order: Any, causes: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """The strategies to try, one after the other, until one is verified.

    A strategy that is named is the only one. With `AUTO` it is those of the order that answer all of the causes; where no cause is
    known, those that answer everything. Raises InputError.
    """
    if strategy != AUTO:
        if strategy not in STRATEGIES:
            raise InputError([Problem("rollback_strategy", f"expected {AUTO} or one of {', '.join(STRATEGIES)}, got {strategy!r}")])
        return [strategy]
    known = list(causes)
    return [one.strategy for one in read_order(order) if one.everything or (known and all(one.answers(cause) for cause in known))]


def checks_of(causes: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids of the checks among the causes: a strategy that lets the release stay is only verified when they hold again."""
    return list(dict.fromkeys(str(cause["check"]) for cause in causes if cause.get("check")))

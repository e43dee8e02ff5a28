# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What the store and what is kept in it may refuse. ``result`` is what a failed task returns beside the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError


class StoreError(CutoverError):
    """The store could not be opened, read or written."""


class LockHeld(CutoverError):
    """Somebody else holds the lock. ``holder`` is who, in the shape that `lock.show` returns."""

    def __init__(self, message: str, holder: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.holder = holder
        self.result = {"held": True, "holder": dict(holder)}


class LockLost(CutoverError):
    """A token does not hold the lock any more: it was released, or taken over by another run."""


class LedgerBroken(CutoverError):
    """The ledger is not what was written. ``problems`` are the places, each ``{seq, problem}``."""

    def __init__(self, message: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
        self.result = {"problems": [dict(problem) for problem in problems]}


class IllegalTransition(CutoverError):
    """A release cannot go from the status that it has to the one that was asked for."""

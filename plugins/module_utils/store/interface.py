# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a store is: a few small records and logs per environment, changed by one atomic step at a time.

What the records mean is decided by pure functions (`lock`, `ledger`, `releases`): they are handed a `Snapshot` and
return a `Change`. A store only has to read a snapshot and to apply a change if, and only if, nothing that was read has
changed since. So each rule is written once, and a new store is one file with four methods.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import Problem
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError

T = TypeVar("T")

Record = Mapping[str, Any]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
"""Names of environments, runs, releases and events: they become part of keys and of directories."""


def check_names(**names: str) -> list[Problem]:
    """What is wrong with names; the keyword is where each stands in the input."""
    expected = "is not a name; expected letters, digits, '_', '.' and '-', at most 64"
    return [Problem(where, f"{name!r} {expected}") for where, name in names.items() if not NAME.match(name)]


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII. Raises ValueError for NaN and other non-JSON."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Snapshot:
    """What a store held at one moment."""

    now: float
    """The clock of the store, in seconds since 1970. A shared store has one clock for all controllers."""
    records: Mapping[str, Record]
    """The records that were asked for, and that exist."""
    sizes: Mapping[str, int]
    """How many lines each log that was asked for holds."""


@dataclass(frozen=True)
class Change(Generic[T]):
    """What is to be written, and what the caller gets once it is."""

    result: T
    put: Mapping[str, Record] = field(default_factory=dict)
    append: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Store(ABC):
    """One environment in one store.

    Every method raises StoreError when the store cannot be reached or is not what it should be. A process that is
    killed at any point leaves the store as it was before or after a change, never in between.
    """

    @abstractmethod
    def read(self, records: Sequence[str], logs: Sequence[str] = ()) -> Snapshot:
        """Read records and the sizes of logs, all at one moment. Creates nothing."""

    @abstractmethod
    def change(self, records: Sequence[str], decide: Callable[[Snapshot], Change[T]], logs: Sequence[str] = ()) -> T:
        """Read, decide and write as one atomic step; returns the result of the change that was written.

        ``decide`` may be called more than once and must not have effects. What it raises passes through, with nothing
        written.
        """

    @abstractmethod
    def lines(self, log: str, start: int, count: int) -> list[str]:
        """Up to ``count`` lines of a log in the order written, from the index ``start`` (0 is the oldest)."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections. The store is not used afterwards."""

    def predict(self, records: Sequence[str], decide: Callable[[Snapshot], Change[T]], logs: Sequence[str] = ()) -> T:
        """What `change` would return now, with nothing written: the check mode of everything that is kept here."""
        return decide(self.read(records, logs)).result

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def load_record(name: str, text: str) -> Record:
    """A record as it was stored. Raises StoreError when it is not one."""
    try:
        record = json.loads(text)
    except ValueError as error:
        raise StoreError(f"the record {name} in the store is not JSON ({error}); something else wrote it") from error
    if not isinstance(record, dict):
        raise StoreError(f"the record {name} in the store is not a mapping; something else wrote it")
    return record

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A store that is written only by whoever holds the lock.

A run that was stopped for longer than its lease may have lost the lock to another run and not know it. What it writes
then is refused: the token is looked at in the same atomic step as the change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.store import lock
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Snapshot, Store

T = TypeVar("T")


class FencedStore(Store):
    """A store whose changes prove the lock.

    ``token`` and ``run`` are those that took it. ``lease`` are the seconds that each change makes the lock last from
    now, never less than it would anyway; 0 leaves its end as it is. What is asked with the lock lost raises LockLost,
    with nothing written.
    """

    def __init__(self, store: Store, token: int, run: str, lease: float = 0.0) -> None:
        if lease < 0:
            raise InputError([Problem("lease", "cannot be negative")])
        self._store = store
        self._token = token
        self._run = run
        self._lease = lease

    def read(self, records: Sequence[str], logs: Sequence[str] = ()) -> Snapshot:
        return self._store.read(records, logs)

    def lines(self, log: str, start: int, count: int) -> list[str]:
        return self._store.lines(log, start, count)

    def close(self) -> None:
        self._store.close()

    def change(self, records: Sequence[str], decide: Callable[[Snapshot], Change[T]], logs: Sequence[str] = ()) -> T:
        return self._store.change([*records, lock.RECORD], lambda snapshot: self._under(snapshot, decide), logs)

    def predict(self, records: Sequence[str], decide: Callable[[Snapshot], Change[T]], logs: Sequence[str] = ()) -> T:
        return self._store.predict([*records, lock.RECORD], lambda snapshot: self._under(snapshot, decide, dry=True), logs)

    def _under(self, snapshot: Snapshot, decide: Callable[[Snapshot], Change[T]], dry: bool = False) -> Change[T]:
        held = lock.owned(snapshot, self._token, self._run, "write under", dry)
        change = decide(snapshot)
        if not self._lease or held["until"] is None:
            return change
        return replace(change, put={**change.put, lock.RECORD: lock.renewed(held, snapshot.now, self._lease)})

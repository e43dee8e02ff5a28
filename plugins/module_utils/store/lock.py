# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The lock of an environment: who holds it, since when, why, until when, and which token proves it.

The record ``lock`` stays in the store after a release, because it remembers the last token: tokens only ever grow, so
that whoever comes back late with an old one is recognised. A new token is also never below the store's clock in
seconds, so that it grows even over a store that was lost and started empty.

A lock is *leased* (it ends by itself unless renewed, and may be taken over when it has ended or when its controller is
proven dead) or *manual* (``lease`` 0: a person holds the environment, with a reason, until a person lets go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LockHeld, LockLost
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import (
    Change,
    Record,
    Snapshot,
    Store,
    check_names,
)

RECORD = "lock"
POLL = 2.0
"""Seconds between two attempts of somebody who waits."""


@dataclass(frozen=True)
class Claim:
    """What somebody who wants the lock says about themselves."""

    run: str
    owner: str = ""
    reason: str = ""
    lease: float = 900.0
    """Seconds; 0 is a manual lock, which needs a reason."""
    controller: Mapping[str, Any] | None = None
    takeover: int | None = None
    """The token of a holder that is known to be dead."""
    takeover_why: str = ""


def utc(seconds: float | None) -> str | None:
    """A time as text, in UTC to the second."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def show(record: Record | None, now: float) -> dict[str, Any]:
    """A lock as it is returned: ``held``, ``expired``, ``manual`` flags, times UTC texts, ``token`` the last given."""
    record = record or {}
    held = bool(record.get("run"))
    until = record.get("until")
    return {
        "held": held,
        "run": record.get("run"),
        "owner": record.get("owner"),
        "reason": record.get("reason"),
        "since": utc(record.get("since")),
        "until": utc(until),
        "manual": held and until is None,
        "expired": held and until is not None and now >= until,
        "token": record.get("token"),
        "controller": record.get("controller"),
    }


def describe(record: Record, now: float) -> str:
    """One line on who holds a lock, since when, why and until when."""
    until = record.get("until")
    ends = "held by hand until it is released" if until is None else f"lease until {utc(until)}"
    where = (record.get("controller") or {}).get("host")
    who = f"{record.get('owner') or 'unknown'}{f' on {where}' if where else ''}"
    why = f", because: {record['reason']}" if record.get("reason") else ", no reason given"
    return f"{who} holds the lock with run {record['run']} since {utc(record.get('since'))}{why} ({ends})"


def acquire(store: Store, claim: Claim, dry: bool = False) -> dict[str, Any]:
    """Take the lock, or renew it when this run holds it already.

    Returns ``{changed, lock, token, taken_over_from}``; a longer lease alone is no change. Raises LockHeld
    when somebody else holds it.
    """
    _check_claim(claim)
    return _step(store, dry)([RECORD], lambda snapshot: _acquire(snapshot, claim))


def acquire_waiting(
    store: Store, claim: Claim, wait: float, monotonic: Callable[[], float], sleep: Callable[[float], None]
) -> dict[str, Any]:
    """Like `acquire`, trying again for up to ``wait`` seconds. A manual lock is not waited for."""
    began = monotonic()
    while True:
        try:
            return acquire(store, claim)
        except LockHeld as held:
            left = began + wait - monotonic()
            if left <= 0:
                if wait > 0:
                    raise LockHeld(f"{held} Waited {wait:g} s for it.", held.holder) from held
                raise
            if held.holder["manual"]:
                raise LockHeld(f"{held} A lock that is held by hand is not waited for.", held.holder) from held
            sleep(min(POLL, left))


def renew(store: Store, token: int, run: str, lease: float, dry: bool = False) -> dict[str, Any]:
    """Move the end of the lease to ``lease`` seconds from now. Returns ``{changed, lock, token}``; raises LockLost."""
    if lease <= 0:
        raise InputError([Problem("lease", "a renewal needs a lease above 0; a manual lock needs no renewal")])

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        record = owned(snapshot, token, run, "renew", dry)
        if record["until"] is None:
            return Change(_result(record, snapshot.now, changed=False))
        longer = renewed(record, snapshot.now, lease)
        return Change(_result(longer, snapshot.now, changed=True), put={RECORD: longer})

    return _step(store, dry)([RECORD], decide)


def renewed(record: Record, now: float, lease: float) -> dict[str, Any]:
    """A leased lock with its end ``lease`` seconds from now, never earlier than it was."""
    return {**record, "until": max(record["until"], now + lease)}


def release(store: Store, token: int, run: str, dry: bool = False) -> dict[str, Any]:
    """Let go of the lock. Letting go again is no change; with a token that lost the lock it is refused (LockLost).

    Returns the same as `force_release`.
    """

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        record = snapshot.records.get(RECORD)
        if record is not None and not record.get("run") and record.get("token") == token:
            return Change({**_result(record, snapshot.now, changed=False), "released_from": None})
        return _free(owned(snapshot, token, run, "release", dry), snapshot)

    return _step(store, dry)([RECORD], decide)


def force_release(store: Store, run: str, dry: bool = False) -> dict[str, Any]:
    """Let go of somebody else's lock. ``run`` is the run that holds it, as proof that the caller has looked who that
    is.

    Returns ``{changed, lock, token, released_from}``; the last is None when nobody held it.
    """

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        record = snapshot.records.get(RECORD)
        if record is None or not record.get("run"):
            return Change({**_result(record or {}, snapshot.now, changed=False), "released_from": None})
        if record["run"] != run:
            raise LockHeld(
                f"Not released: it was to be taken from run {run}, but {describe(record, snapshot.now)}.",
                show(record, snapshot.now),
            )
        return _free(record, snapshot)

    return _step(store, dry)([RECORD], decide)


def read(store: Store) -> dict[str, Any]:
    """The lock as `show` gives it."""
    snapshot = store.read([RECORD])
    return show(snapshot.records.get(RECORD), snapshot.now)


def _step(store: Store, dry: bool) -> Callable[..., dict[str, Any]]:
    return store.predict if dry else store.change


def _check_claim(claim: Claim) -> None:
    problems = check_names(run=claim.run)
    if claim.lease < 0:
        problems.append(Problem("lease", "cannot be negative"))
    if claim.lease == 0 and not claim.reason.strip():
        problems.append(Problem("reason", "a lock that is held by hand (lease 0) needs a reason, for whoever finds it"))
    if problems:
        raise InputError(problems)


def _acquire(snapshot: Snapshot, claim: Claim) -> Change[dict[str, Any]]:
    now = snapshot.now
    record = snapshot.records.get(RECORD) or {}
    until = now + claim.lease if claim.lease else None
    held = bool(record.get("run"))
    if held and record["run"] == claim.run:
        # What a person holds stays manual, and a claim by hand turns a lease into a manual lock; a lease is never
        # shortened.
        by_hand = until is None or record["until"] is None
        kept = {
            **record,
            "until": None if by_hand else max(record["until"], until),
            "owner": claim.owner or record["owner"],
            "reason": claim.reason or record["reason"],
            "controller": dict(claim.controller) if claim.controller else record["controller"],
        }
        seen = [(one["owner"], one["reason"], one["until"] is None) for one in (record, kept)]
        changed = seen[0] != seen[1]
        return Change({**_result(kept, now, changed), "taken_over_from": None}, put={RECORD: kept})
    taken_over_from = None
    if held:
        why = _takeover(record, claim, now)
        taken_over_from = {**show(record, now), "why": why}
    token = max(int(record.get("token") or 0) + 1, int(now))
    taken = _taken(claim, now, token)
    return Change({**_result(taken, now, changed=True), "taken_over_from": taken_over_from}, put={RECORD: taken})


def _taken(claim: Claim, now: float, token: int) -> dict[str, Any]:
    return {
        "run": claim.run,
        "owner": claim.owner,
        "reason": claim.reason,
        "since": now,
        "until": now + claim.lease if claim.lease else None,
        "token": token,
        "controller": dict(claim.controller) if claim.controller else None,
    }


def _takeover(record: Record, claim: Claim, now: float) -> str:
    """Why the lock may be taken from its holder. Raises LockHeld when it may not."""
    if record["until"] is not None and now >= record["until"]:
        return f"its lease ended at {utc(record['until'])}"
    if record["until"] is not None and claim.takeover is not None and claim.takeover == record["token"]:
        return claim.takeover_why or "its token was named"
    if record["until"] is None:
        proceed = "It is held by hand: ask them, or release it with golive.cutover.unlock"
    else:
        proceed = "Wait until they are done, or, when that run is certainly dead, release it with golive.cutover.unlock"
    raise LockHeld(f"{describe(record, now)}. {proceed} (it asks for the run {record['run']}).", show(record, now))


def owned(snapshot: Snapshot, token: int, run: str, what: str, dry: bool) -> dict[str, Any]:
    """The record of the lock, when this run holds it with this token. Raises LockLost, which says what it was needed for."""
    record = snapshot.records.get(RECORD) or {}
    if record.get("run") == run and record.get("token") == token:
        return dict(record)
    if dry and token > int(record.get("token") or 0):
        # A token that was never given is what `acquire` predicted earlier in the same check mode.
        return _taken(Claim(run=run), snapshot.now, token)
    if not record.get("run"):
        raise LockLost(
            f"cannot {what} the lock with token {token} of run {run}: nobody holds it, and the last token was {record.get('token')}"
        )
    raise LockLost(
        f"cannot {what} the lock with token {token} of run {run}: it was lost, {describe(record, snapshot.now)}, "
        f"token {record['token']}"
    )


def _free(record: Record, snapshot: Snapshot) -> Change[dict[str, Any]]:
    free = {"token": record["token"]}
    result = {**_result(free, snapshot.now, changed=True), "released_from": show(record, snapshot.now)}
    return Change(result, put={RECORD: free})


def _result(record: Record, now: float, changed: bool) -> dict[str, Any]:
    return {"changed": changed, "lock": show(record, now), "token": record.get("token")}

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What was told to whom, so that a run that is started again does not tell it twice.

::

    nothing --> sending --> sent
                        --> failed --> sending (tried again)
    sent --> sending    when what is told has changed since

A message is known by run, event, topic and channel; whether it has changed, by the fingerprint of what it says. It is *claimed*
before it is sent: of two processes that tell the same, one does. A claim of a process that died is taken over after `CLAIM` seconds
beyond its budget, and then the message may arrive twice: that is better than not at all.

All of it is the record ``notifications``: the newest `MOST` messages, and when each channel was used lately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Snapshot, Store, check_names
from ansible_collections.golive.cutover.plugins.module_utils.store.lock import utc

RECORD = "notifications"
MOST = 500
CLAIM = 30.0
"""Seconds beyond its budget after which a message that was begun may be told by another."""


class Rate(NamedTuple):
    """At most so many messages of one channel within so many seconds."""

    most: int
    seconds: float


@dataclass(frozen=True)
class Told:
    """One message: what it is about, and the fingerprint of what it says."""

    run: str
    event: str
    topic: str
    fingerprint: str

    def key(self, channel: str) -> str:
        return "\n".join((self.run, self.event, self.topic, channel))


@dataclass(frozen=True)
class Claim:
    """What to do about one channel: ``send`` after ``wait`` seconds, or not, and why not."""

    channel: str
    send: bool
    wait: float = 0.0
    reason: str = ""
    at: str | None = None
    """When it was told, for what was told already."""


def claim(store: Store, told: Told, channels: Sequence[str], budget: float, rate: Rate, dry: bool = False) -> list[Claim]:
    """Say for each channel whether it is to be told now, and remember that it is being told. ``budget`` in seconds.

    A channel that is used up waits for its turn where that is within the budget, and is claimed for then.
    """
    problems = check_names(run=told.run, event=told.event)
    if problems:
        raise InputError(problems)

    def decide(snapshot: Snapshot) -> Change[list[Claim]]:
        known, used = _load(snapshot)
        found: list[Claim] = []
        for channel in channels:
            key = told.key(channel)
            old = known.get(key)
            refusal = _refusal(old, told, snapshot.now)
            if refusal is not None:
                found.append(Claim(channel, False, 0.0, *refusal))
                continue
            times = [at for at in used.get(channel, []) if at > snapshot.now - rate.seconds]
            turn = snapshot.now if len(times) < rate.most else times[-rate.most] + rate.seconds
            if turn - snapshot.now > budget:
                why = f"{len(times)} messages within {rate.seconds:g} s are the most for this channel"
                found.append(Claim(channel, False, 0.0, f"held back: {why}"))
                entry = _entry(told, channel, "failed", snapshot.now, old)
            else:
                found.append(Claim(channel, True, max(turn - snapshot.now, 0.0)))
                used[channel] = [*times, turn]
                entry = {**_entry(told, channel, "sending", snapshot.now, old), "until": snapshot.now + budget + CLAIM}
            known.pop(key, None)
            known[key] = entry
        return Change(found, {RECORD: _dump(known, used)})

    return (store.predict if dry else store.change)([RECORD], decide)


def close(store: Store, told: Told, results: Mapping[str, bool]) -> None:
    """Remember what became of messages that were claimed: channel to whether it was sent."""

    def decide(snapshot: Snapshot) -> Change[None]:
        known, used = _load(snapshot)
        for channel, sent in results.items():
            key = told.key(channel)
            old = known.pop(key, None)
            known[key] = _entry(told, channel, "sent" if sent else "failed", snapshot.now, old)
        return Change(None, {RECORD: _dump(known, used)})

    store.change([RECORD], decide)


def read(store: Store, run: str | None = None) -> list[dict[str, Any]]:
    """What was told, oldest first: ``run``, ``event``, ``topic``, ``channel``, ``state`` and ``at`` (UTC)."""
    known, _used = _load(store.read([RECORD]))
    return [
        {**{key: one[key] for key in ("run", "event", "topic", "channel", "state")}, "at": utc(one["at"])}
        for one in known.values()
        if run is None or one["run"] == run
    ]


def _refusal(old: Mapping[str, Any] | None, told: Told, now: float) -> tuple[str, str | None] | None:
    """Why a message is not told now, and when it was; None when it is to be told."""
    if old is None:
        return None
    if old["state"] == "sending" and now < old["until"]:
        return ("is being told by another process", utc(old["at"])) if old["fingerprint"] == told.fingerprint else None
    # After a change was tried and did not get through, what people know is still what was sent before it.
    known = old["sent"]
    if known is not None and known["fingerprint"] == told.fingerprint and old["state"] == "sent":
        return ("was told already", utc(known["at"]))
    return None


def _entry(told: Told, channel: str, state: str, now: float, old: Mapping[str, Any] | None) -> dict[str, Any]:
    sent = {"fingerprint": told.fingerprint, "at": now} if state == "sent" else (old or {}).get("sent")
    return {
        "run": told.run,
        "event": told.event,
        "topic": told.topic,
        "channel": channel,
        "fingerprint": told.fingerprint,
        "state": state,
        "at": now,
        "sent": sent,
        "until": None,
    }


def _load(snapshot: Snapshot) -> tuple[dict[str, dict[str, Any]], dict[str, list[float]]]:
    record = snapshot.records.get(RECORD) or {"told": [], "used": {}}
    known = {Told(one["run"], one["event"], one["topic"], "").key(one["channel"]): dict(one) for one in record["told"]}
    return known, {channel: list(times) for channel, times in record["used"].items()}


def _dump(known: Mapping[str, Mapping[str, Any]], used: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    newest = [dict(one) for one in list(known.values())[-MOST:]]
    return {"told": newest, "used": {channel: list(times)[-MOST:] for channel, times in used.items()}}

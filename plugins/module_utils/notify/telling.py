# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Tell all channels at once, all within one budget, with pauses that grow, and say what became of each.

Several messages go to one channel one after the other and share the budget: a channel that is dead costs it once, and holds up no
other channel. Nothing here raises because of a channel: who could not be told is a result.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.notify.channels import Channel
from ansible_collections.golive.cutover.plugins.module_utils.notify.senders import Left, Message, NotSent, send
from ansible_collections.golive.cutover.plugins.module_utils.store import notifications
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store, canonical

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
RATE = notifications.Rate(20, 60.0)
GRACE = 1.0
"""Seconds beyond the budget after which a channel that has not come back is left behind."""

Sender = Callable[[Channel, Message, Left], str]


@dataclass(frozen=True)
class Limits:
    """``budget``: seconds for all of it, waiting included; ``timeout``: of one attempt; ``rate``: see `notifications.Rate`."""

    budget: float = 30.0
    timeout: float = 10.0
    rate: notifications.Rate = RATE


@dataclass
class Clock:
    """Time, as it is used here; tests hand in their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def fingerprint(value: Any) -> str:
    """What tells one content from another."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def key_of(told: notifications.Told, channel: str) -> str:
    """The key of a message: the same for the same content of the same event of the same run, in any process."""
    return fingerprint([told.run, told.event, told.topic, told.fingerprint, channel])[:32]


@dataclass(frozen=True)
class Item:
    """One message of several. ``only``: the names of the channels that are to have it; None: all that want the event. ``id``: what
    its records are known by."""

    message: Message
    told: notifications.Told
    only: Optional[Sequence[str]] = None
    id: str = ""

    def wanted_by(self, channel: Channel) -> bool:
        return channel.wants(self.message.event) and (self.only is None or channel.name in self.only)


@dataclass
class _Job:
    """One message for one channel: not before ``turn``, a moment of the clock."""

    index: int
    item: Item
    turn: float


def persist(
    sender: Sender, channel: Channel, message: Message, limits: Limits, turn: float, ends: float, clock: Clock
) -> dict[str, Any]:
    """Send one message, again and again where that may help, from ``turn`` until ``ends``; returns ``status``, ``reason``,
    ``attempts`` and ``seconds``."""
    begun = clock.monotonic()
    attempts, pause = 0, FIRST_PAUSE

    def left() -> float:
        return max(min(limits.timeout, ends - clock.monotonic()), 0.01)

    def result(status: str, reason: str) -> dict[str, Any]:
        return {"status": status, "reason": reason, "attempts": attempts, "seconds": round(clock.monotonic() - begun, 3)}

    if begun >= ends:
        return result("failed", f"not tried: what came before took the budget of {limits.budget:g} s")
    if turn > begun:
        clock.sleep(turn - begun)
    while True:
        attempts += 1
        try:
            return result("sent", sender(channel, message, left))
        except NotSent as error:
            reason, again, after = str(error), error.again, error.after
        except CutoverError as error:
            reason, again, after = str(error), False, None
        except Exception as error:  # whatever a channel trips over, the others are told and the run goes on
            reason, again, after = f"it failed with {type(error).__name__}", False, None
        if not again:
            return result("failed", reason)
        pause_now = max(after or 0.0, pause)
        if clock.monotonic() + pause_now >= ends:
            tried = f"{attempts} attempt{'' if attempts == 1 else 's'}"
            return result("failed", f"{reason} ({tried}; the next would be beyond the budget of {limits.budget:g} s)")
        clock.sleep(pause_now)
        pause = min(pause * 2, LONGEST_PAUSE)


def tell(
    store: Optional[Store],
    channels: Sequence[Channel],
    items: Sequence[Item],
    limits: Limits,
    dry: bool = False,
    clock: Optional[Clock] = None,
    sender: Sender = send,
    store_problem: str = "",
) -> list[dict[str, Any]]:
    """Tell every channel that wants the event of a message; returns one record for each: ``id`` of the message, ``place`` of the
    channel among all, ``channel``, ``kind``, ``host``, ``run``, ``event``, ``topic``, ``status`` (``sent``, ``already``,
    ``failed``, or ``would_send`` when ``dry``), ``reason``, ``attempts``, ``seconds``.

    A store that does not work keeps nobody from being told, but what is not remembered may be told twice, and the reason says so.
    """
    clock = clock or Clock()
    problem = store_problem
    found: dict[tuple[int, str], dict[str, Any]] = {}
    jobs: dict[str, list[_Job]] = {}
    for index, item in enumerate(items):
        names = [one.name for one in channels if item.wanted_by(one)]
        claims = [notifications.Claim(name, True) for name in names]
        if store is not None and names:
            try:
                claims = notifications.claim(store, item.told, names, limits.budget, limits.rate, dry)
            except StoreError as error:
                store, problem = None, str(error)
        for one in claims:
            if not one.send:
                before = f"{one.reason} ({one.at})"
                why = {"status": "already", "reason": before} if one.at else {"status": "failed", "reason": one.reason}
                found[index, one.channel] = why
            elif dry:
                found[index, one.channel] = {"status": "would_send", "reason": ""}
            else:
                turn = clock.monotonic() + one.wait if one.wait > 0 else 0.0
                jobs.setdefault(one.channel, []).append(_Job(index, item, turn))
    by_name = {one.name: one for one in channels}
    # From here on: a store that took its time to answer, or to fail, takes nothing away from the channels.
    ends = time.monotonic() + limits.budget + GRACE
    until = clock.monotonic() + limits.budget
    threads = [_begin(sender, by_name[name], own, limits, until, clock, found) for name, own in jobs.items()]
    for thread in threads:
        thread.join(max(ends - time.monotonic(), 0.0))
    late = {"status": "failed", "reason": f"did not come back within the budget of {limits.budget:g} s"}
    for name, own in jobs.items():
        for job in own:
            found.setdefault((job.index, name), {**late, "attempts": 1, "seconds": limits.budget})
    if store is not None:
        problem = _remember(store, items, jobs, found) or problem
    return [
        {"id": item.id, "place": place, **_record(one, item, found[index, one.name], problem)}
        for index, item in enumerate(items)
        for place, one in enumerate(channels)
        if item.wanted_by(one)
    ]


def _remember(
    store: Store,
    items: Sequence[Item],
    jobs: Mapping[str, Sequence[_Job]],
    found: Mapping[tuple[int, str], Mapping[str, Any]],
) -> str:
    """Note in the store what became of each message; returns what is wrong with the store."""
    for index, item in enumerate(items):
        tried = [name for name, own in jobs.items() if any(job.index == index for job in own)]
        if not tried:
            continue
        try:
            notifications.close(store, item.told, {name: found[index, name]["status"] == "sent" for name in tried})
        except StoreError as error:
            return str(error)
    return ""


def _begin(
    sender: Sender,
    channel: Channel,
    jobs: Sequence[_Job],
    limits: Limits,
    ends: float,
    clock: Clock,
    found: dict[tuple[int, str], dict[str, Any]],
) -> threading.Thread:
    def work() -> None:
        for job in jobs:
            own = replace(job.item.message, key=key_of(job.item.told, channel.name))
            became = persist(sender, channel, own, limits, job.turn, ends, clock)
            found.setdefault((job.index, channel.name), became)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _record(channel: Channel, item: Item, became: Mapping[str, Any], store_problem: str) -> dict[str, Any]:
    reason = became["reason"]
    if store_problem and became["status"] in ("sent", "failed", "would_send"):
        note = f"it could not be remembered, so it may be told twice: {store_problem}"
        reason = f"{reason}; {note}" if reason else note
    return {
        "channel": channel.name,
        "kind": channel.kind,
        "host": channel.host,
        "run": item.told.run,
        "event": item.message.event,
        "topic": item.told.topic,
        "subject": item.message.subject,
        "status": became["status"],
        "reason": reason,
        "attempts": became.get("attempts", 0),
        "seconds": became.get("seconds", 0.0),
    }

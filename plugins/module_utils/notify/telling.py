# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Tell all channels at once, each within one budget, with pauses that grow, and say what became of each.

Nothing here raises because of a channel: who could not be told is a result.
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
    """``budget``: seconds for each channel, waiting included; ``timeout``: of one attempt; ``rate``: see `notifications.Rate`."""

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


def persist(sender: Sender, channel: Channel, message: Message, limits: Limits, wait: float, clock: Clock) -> dict[str, Any]:
    """Send one message, again and again where that may help; returns ``status``, ``reason``, ``attempts`` and ``seconds``."""
    begun = clock.monotonic()
    ends = begun + limits.budget
    attempts, pause = 0, FIRST_PAUSE

    def left() -> float:
        return max(min(limits.timeout, ends - clock.monotonic()), 0.01)

    def result(status: str, reason: str) -> dict[str, Any]:
        return {"status": status, "reason": reason, "attempts": attempts, "seconds": round(clock.monotonic() - begun, 3)}

    if wait > 0:
        clock.sleep(wait)
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
    message: Message,
    told: notifications.Told,
    limits: Limits,
    dry: bool = False,
    clock: Optional[Clock] = None,
    sender: Sender = send,
    store_problem: str = "",
) -> list[dict[str, Any]]:
    """Tell every channel that wants the event; returns one record for each: ``channel``, ``kind``, ``host``, ``event``, ``status``
    (``sent``, ``already``, ``failed``, or ``would_send`` when ``dry``), ``reason``, ``attempts``, ``seconds``.

    A store that does not work keeps nobody from being told, but what is not remembered may be told twice, and the reason says so.
    """
    clock = clock or Clock()
    wanted = {one.name: one for one in channels if one.wants(message.event)}
    names = list(wanted)
    problem = store_problem
    claims = [notifications.Claim(name, True) for name in names]
    if store is not None and names:
        try:
            claims = notifications.claim(store, told, names, limits.budget, limits.rate, dry)
        except StoreError as error:
            store, problem = None, str(error)
    found: dict[str, dict[str, Any]] = {}
    threads: list[threading.Thread] = []
    for one in claims:
        if not one.send:
            before = f"{one.reason} ({one.at})"
            found[one.channel] = {"status": "already", "reason": before} if one.at else {"status": "failed", "reason": one.reason}
        elif dry:
            found[one.channel] = {"status": "would_send", "reason": ""}
        else:
            threads.append(_begin(sender, wanted[one.channel], message, told, limits, one.wait, clock, found))
    ends = time.monotonic() + limits.budget + GRACE
    for thread in threads:
        thread.join(max(ends - time.monotonic(), 0.0))
    for name in names:
        late = {"status": "failed", "reason": f"did not come back within the budget of {limits.budget:g} s"}
        found.setdefault(name, {**late, "attempts": 1, "seconds": limits.budget})
    if store is not None and threads:
        results = {one.channel: found[one.channel]["status"] == "sent" for one in claims if one.send}
        try:
            notifications.close(store, told, results)
        except StoreError as error:
            problem = str(error)
    return [_record(wanted[name], message, found[name], problem) for name in names]


def _begin(
    sender: Sender,
    channel: Channel,
    message: Message,
    told: notifications.Told,
    limits: Limits,
    wait: float,
    clock: Clock,
    found: dict[str, dict[str, Any]],
) -> threading.Thread:
    own = replace(message, key=key_of(told, channel.name))

    def work() -> None:
        became = persist(sender, channel, own, limits, wait, clock)
        found.setdefault(channel.name, became)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _record(channel: Channel, message: Message, became: Mapping[str, Any], store_problem: str) -> dict[str, Any]:
    reason = became["reason"]
    if store_problem and became["status"] in ("sent", "failed", "would_send"):
        note = f"it could not be remembered, so it may be told twice: {store_problem}"
        reason = f"{reason}; {note}" if reason else note
    return {
        "channel": channel.name,
        "kind": channel.kind,
        "host": channel.host,
        "event": message.event,
        "subject": message.subject,
        "status": became["status"],
        "reason": reason,
        "attempts": became.get("attempts", 0),
        "seconds": became.get("seconds", 0.0),
    }

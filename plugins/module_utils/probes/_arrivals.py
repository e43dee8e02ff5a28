# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""When events came, and what that tells about a proxy that holds them back.

Bytes that pass through a buffer leave traces that an application does not leave:

- the stream stops **in the middle of a line** and goes on after a silence, because a buffer was full;
- **heartbeats**, which are sent by the clock, come several at once;
- events that **say when they were sent** come together although they were sent one after another, or with a delay that
  varies;
- the same events come **earlier on a direct connection** to the application;
- **all** events come at once after a silence.

That events come in groups, again and again, is no such trace: applications send in groups, too. Where the evidence does
not suffice the answer is None with the reason, never "not buffered". `Arrivals` keeps a fixed number of numbers for a
stream, however long it is and however fast.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

NOTICEABLE = 0.25
"""Seconds of silence after which the next delivery is looked at as what may have been held back."""

HELD = 0.5
"""Seconds between two delays of events, from which on the later one was held back."""

TOGETHER = 0.05
"""Seconds within which reads count as one delivery."""

PROMPT = 1.0
"""Seconds after the request in which the first delivery may hold whatever the application sends to newcomers."""

ENOUGH = 3
"""Events, or events and heartbeats, that are needed to say anything from when they came."""

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?\Z")


def moment(value: object) -> float | None:
    """A point in time as seconds since 1970.

    Read from a number of seconds, milli-, micro- or nanoseconds, or from ISO 8601, in UTC unless it says otherwise.
    """
    if isinstance(value, str):
        text = value.strip()
        match = _ISO.match(text)
        if match:
            day, clock, fraction, zone = match.groups()
            zone = "+00:00" if zone in (None, "Z") else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
            try:
                return datetime.datetime.fromisoformat(f"{day}T{clock}{zone}").timestamp() + float(f"0.{fraction or 0}")
            except ValueError:
                return None
        try:
            value = float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    for limit, factor in ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0)):
        if limit <= value < 1e19:
            return value * factor
    return None


class Arrivals:
    """The arrivals of one stream, whose request was begun at ``begun``. All times are of one clock, in seconds."""

    __slots__ = (
        "_delivery_begun",
        "_delivery_exempt",
        "_delivery_heartbeats",
        "_delivery_sent",
        "_delivery_signals",
        "_last_heartbeat",
        "_pending_cut",
        "begun",
        "bunched_heartbeats",
        "cut_silence",
        "delays",
        "deliveries",
        "events",
        "first_event",
        "first_signal",
        "groups",
        "heartbeat_gap",
        "heartbeats",
        "largest_gap",
        "largest_group",
        "last_event",
        "last_read",
        "longest_silence",
        "sent",
        "sent_together",
    )

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.events = 0
        self.heartbeats = 0
        self.first_event: float | None = None
        self.first_signal = begun
        self.last_event = begun
        self.last_read = begun
        self.largest_gap = 0.0
        self.heartbeat_gap = 0.0
        self.longest_silence = 0.0
        self.cut_silence = 0.0
        self.bunched_heartbeats = 0
        self.deliveries = 0
        self.groups = 0
        self.largest_group = 0
        self.sent = 0
        self.sent_together = 0.0
        self.delays: tuple[float, float] | None = None
        self._last_heartbeat = begun
        self._pending_cut = False
        self._delivery_begun = begun
        self._delivery_exempt = False
        self._delivery_signals = 0
        self._delivery_heartbeats = 0
        self._delivery_sent: tuple[float, float] | None = None

    def arrived(self, now: float, events: int, heartbeats: int, cut: bool) -> None:
        """Note one read: how many events and heartbeats it completed, and whether it ended in the middle of a line."""
        silence = now - self.last_read
        if silence >= NOTICEABLE and self._pending_cut:
            self.cut_silence = max(self.cut_silence, silence)
        self._pending_cut = cut
        self.last_read = now
        if events or heartbeats:
            self._signals(now, events, heartbeats, silence)
        if events:
            if self.first_event is None:
                self.first_event = now
            else:
                self.largest_gap = max(self.largest_gap, now - self.last_event)
            self.last_event = now
            self.events += events
        if heartbeats:
            self.heartbeat_gap = max(self.heartbeat_gap, now - self._last_heartbeat)
            self._last_heartbeat = now
            self.heartbeats += heartbeats

    def _signals(self, now: float, events: int, heartbeats: int, silence: float) -> None:
        if not self.deliveries or silence > TOGETHER or now - self._delivery_begun > TOGETHER:
            if self.deliveries:
                self.longest_silence = max(self.longest_silence, silence)
            else:
                self.first_signal = now
            self.deliveries += 1
            self._delivery_begun = now
            self._delivery_signals = self._delivery_heartbeats = 0
            self._delivery_sent = None
            # What comes right after the request may be a greeting, a snapshot or a replay; what comes after no silence
            # was not held back.
            first = self.deliveries == 1
            self._delivery_exempt = now - self.begun < PROMPT if first else silence < NOTICEABLE
        grown = self._delivery_signals + events + heartbeats
        if not self._delivery_exempt:
            if self._delivery_signals < ENOUGH <= grown:
                self.groups += 1
            self.largest_group = max(self.largest_group, grown)
            self._delivery_heartbeats += heartbeats
            if self._delivery_heartbeats > 1:
                self.bunched_heartbeats = max(self.bunched_heartbeats, self._delivery_heartbeats)
        self._delivery_signals = grown

    def was_sent(self, at: float, came: float) -> None:
        """Note when an event of the latest read says that it was sent, and when it came, by the clocks on the wall."""
        self.sent += 1
        if self.deliveries == 1 and self._delivery_exempt:
            return  # a replay says when it was sent long ago
        low, high = self._delivery_sent or (at, at)
        self._delivery_sent = (min(low, at), max(high, at))
        self.sent_together = max(self.sent_together, self._delivery_sent[1] - self._delivery_sent[0])
        delay = came - at
        least, most = self.delays or (delay, delay)
        self.delays = (min(least, delay), max(most, delay))

    def gap(self, end: float) -> float:
        """The longest time without an event after the first one, up to the end of the hold."""
        return max(self.largest_gap, end - self.last_event)

    def gap_of_heartbeats(self, end: float) -> float:
        """The longest time without a heartbeat, from the request to the end of the hold."""
        return max(self.heartbeat_gap, end - self._last_heartbeat)


def buffered(arrivals: Arrivals, end: float, stall: float = 0.0) -> tuple[bool | None, str]:
    """Whether something holds the stream back, and why it is known or not.

    ``stall`` is the longest time for which the prober itself did not look: what came together after it proves nothing.
    """
    verdict, why = _from_when(arrivals, end)
    if verdict is True and stall >= NOTICEABLE:
        return None, f"this machine was too busy to tell: it did not look for {stall:.1f} s ({why})"
    return verdict, why


def _from_when(arrivals: Arrivals, end: float) -> tuple[bool | None, str]:
    a = arrivals
    signals = a.events + a.heartbeats
    what = "events" if not a.heartbeats else "events and heartbeats"
    if a.cut_silence >= NOTICEABLE:
        return True, f"the stream stopped in the middle of a line for {a.cut_silence:.1f} s: a buffer was full"
    if a.bunched_heartbeats > 1:
        return True, f"{a.bunched_heartbeats} heartbeats came at once after a silence"
    if a.sent_together >= HELD:
        return True, f"events that were sent {a.sent_together:.1f} s apart came together"
    if a.delays is not None and a.delays[1] - a.delays[0] >= HELD:
        return True, f"the delay of events varies by {a.delays[1] - a.delays[0]:.1f} s"
    if signals < ENOUGH:
        return None, f"only {signals} {what} came in {end - a.begun:.1f} s, {ENOUGH} are needed; hold the stream longer"
    if a.last_read - a.first_signal < NOTICEABLE:
        waited = a.first_signal - a.begun
        if waited >= PROMPT:
            return True, f"all {signals} {what} came at once after {waited:.1f} s of silence"
        return None, f"all {signals} {what} came at once when the stream was opened, and none after"
    if a.delays is not None and a.deliveries >= ENOUGH:
        return False, f"{a.sent} events came with a delay that varies by {a.delays[1] - a.delays[0]:.2f} s only"
    if a.deliveries < 2:
        # Bytes that complete no event move the time of the last read, and show nothing about when events are let through.
        return None, f"all {signals} {what} came in one delivery; hold the stream longer"
    if a.longest_silence < NOTICEABLE:
        if end - a.last_read >= max(PROMPT, 0.5 * (end - a.begun)):
            return None, f"the stream fell silent {end - a.last_read:.1f} s before the end"
        return False, f"{signals} {what} came without a silence of more than {a.longest_silence:.2f} s"
    if a.deliveries < ENOUGH:
        return None, f"{signals} {what} came in only {a.deliveries} deliveries; hold the stream longer"
    if a.groups * 2 < a.deliveries:
        return False, f"{signals} {what} came in {a.deliveries} deliveries over {end - a.begun:.1f} s"
    return None, (
        f"{signals} {what} came in {a.deliveries} groups of up to {a.largest_group}, "
        f"which an application may send, too; sent_at or direct would tell"
    )


def compared(
    proxied: Mapping[object, float], direct: Mapping[object, float], since: float, end: float
) -> tuple[bool | None, str]:
    """Whether events came later than on a direct connection to the application, by when each event came on either one.

    ``since`` is when both connections had been asked.
    """
    both = [proxied[key] - direct[key] for key in proxied if key in direct]
    never = [end - came for key, came in direct.items() if key not in proxied and came > since]
    if both and max(both) >= HELD:
        return True, f"an event came {max(both):.1f} s later than on the direct connection"
    if never and max(never) >= PROMPT and (both or not proxied):
        longest = max(never)
        return True, f"{len(never)} events of the direct connection did not come in up to {longest:.1f} s"
    if len(both) >= ENOUGH and (not never or max(never) < HELD):
        return False, f"{len(both)} events came at most {max(0.0, *both):.2f} s later than on the direct connection"
    if direct and proxied and not both:
        return None, "the direct connection got other events, so the two cannot be compared"
    return None, f"only {len(direct)} events came on the direct connection"

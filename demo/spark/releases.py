# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The releases of Spark TA.

Every release is the same code; what a release does wrong is listed here, by its id. So a test that wants to meet a
buffered stream deploys ``1.1.0-buffered``, and nothing has to be broken by hand.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class Fault(enum.Flag):
    """What a release does wrong. ``Fault.NONE`` (false) is a good release."""

    NONE = 0
    ERRORS = enum.auto()
    SLOW = enum.auto()
    BUFFERED = enum.auto()
    STALLED = enum.auto()
    WS_DROPPED = enum.auto()
    TWO_LEADERS = enum.auto()
    NO_LEADER = enum.auto()
    BAD_CONFIG = enum.auto()
    CRASH = enum.auto()
    UNHEALTHY = enum.auto()
    LEAK = enum.auto()
    NOTIFY_FAILS = enum.auto()
    JS_ERROR = enum.auto()
    WS_SLOW = enum.auto()


@dataclass(frozen=True)
class Release:
    """One release: its id, what it is in a few words, and its fault."""

    id: str
    title: str
    fault: Fault = Fault.NONE

    @property
    def good(self) -> bool:
        return not self.fault


class UnknownRelease(LookupError):
    """The release id is not in the list, or none was given."""


RELEASES: tuple[Release, ...] = (
    Release("0.9.0", "The release before the cutover"),
    Release("1.0.0", "Technical analysis, live streams and alerts"),
    Release("1.0.1", "A maintenance release of 1.0.0"),
    Release("1.1.0", "The alert engine errors and the stream stalls", Fault.ERRORS | Fault.STALLED),
    Release("1.1.0-errors", "Every evaluation of the alerts raises", Fault.ERRORS),
    Release("1.1.0-slow", "The API answers after three seconds", Fault.SLOW),
    Release("1.1.0-buffered", "The stream is sent in blocks and asks the proxy to buffer it", Fault.BUFFERED),
    Release("1.1.0-stalled", "The stream says nothing after its first event", Fault.STALLED),
    Release("1.1.0-ws-dropped", "The WebSocket is closed as soon as it is open", Fault.WS_DROPPED),
    Release("1.1.0-two-leaders", "Every executor takes the lock, whoever holds it", Fault.TWO_LEADERS),
    Release("1.1.0-no-leader", "No executor ever asks for the lock", Fault.NO_LEADER),
    Release("1.1.0-bad-config", "Demands a variable that no environment sets", Fault.BAD_CONFIG),
    Release("1.1.0-crash", "Every process exits after 20 seconds", Fault.CRASH),
    Release("1.1.0-unhealthy", "The health endpoints never say ok", Fault.UNHEALTHY),
    Release("1.1.0-leak", "Memory grows by some megabytes every second", Fault.LEAK),
    Release("1.1.0-notify-fails", "No notification is ever delivered", Fault.NOTIFY_FAILS),
    Release("1.1.0-js-error", "The script of every page ends in an error, after it has done its work", Fault.JS_ERROR),
    Release("1.1.0-ws-slow", "The WebSocket is slow to answer pings; all else is as ever", Fault.WS_SLOW),
)

_BY_ID = {release.id: release for release in RELEASES}


def find(release_id: str) -> Release:
    """Return the release with this id; build metadata after ``+`` names another build of the same release."""
    known = _BY_ID.get(release_id.partition("+")[0])
    if known is None:
        raise UnknownRelease(f"unknown release {release_id!r}; known are {', '.join(_BY_ID)}")
    return Release(release_id, known.title, known.fault)


def current(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Release:
    """Return the release that this code is: the file ``RELEASE`` beside the package, else ``SPARK_RELEASE``."""
    environ = os.environ if environ is None else environ
    directory = Path(__file__).resolve().parent.parent if directory is None else directory
    try:
        release_id = (directory / "RELEASE").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        release_id = environ.get("SPARK_RELEASE", "").strip()
    if not release_id:
        raise UnknownRelease("no file RELEASE lies beside spark/ and SPARK_RELEASE is not set")
    return find(release_id)

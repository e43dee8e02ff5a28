# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Lines of log files from a time on, in bounded memory: through rotation and compression, and without reading what is older.

A log is its file and what was rotated away from it: ``app.log.1``, ``app.log.2.gz``, ``app.log-20260101.gz``, ``app-20260101.log``.
In a plain file the place of a time is found by bisection, so a large file costs little; a compressed one is read from its start.
"""

from __future__ import annotations

import bz2
import contextlib
import datetime
import gzip
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError

LONGEST_LINE = 65536
"""Bytes of a line that are looked at."""
_STEP = 65536
"""Bytes before the place that bisection finds, which are read too: neighbouring lines may be out of order."""
_LEAD = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:<\d{1,3}>(?:\d )?)?[\[(\"']{0,2}")
"""What may stand before the time of a line: the priority that syslog gives, a bracket, a quote. Nothing else: a time further on is
of what the line tells about."""
_ISO = re.compile(rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|UTC|[+-]\d\d:?\d\d)?")
_EPOCH = re.compile(rb"\d{10}(?:\d{3})?(?:\.\d+)?(?!\d)")

Clock = Callable[[bytes], Optional[float]]
"""Reads the time of a line in Unix seconds; None when it has none, as the lines of a stack trace."""


def clock(form: str, where: Optional[str], local: bool) -> Clock:
    """The reader of times in a format: ``iso``, ``epoch`` (seconds or milliseconds), or a format of strptime.

    ``where``: a regular expression whose one group begins with the time; without it the line does.
    """
    place = re.compile(where.encode()) if where is not None else None

    def read(line: bytes) -> Optional[float]:
        text = line[:300]
        if place is not None:
            found = place.search(line)
            if found is None or found.group(1) is None:
                return None
            text = found.group(1).lstrip()
        text = _LEAD.sub(b"", text)
        try:
            if form == "iso":
                return _iso(text, local)
            if form == "epoch":
                return _epoch(text)
            return _strptime(text.decode("utf-8", "replace"), form, local)
        except (ValueError, OverflowError, OSError):
            return None

    return read


def _iso(text: bytes, local: bool) -> Optional[float]:
    found = _ISO.match(text)
    if found is None:
        return None
    day, hour, fraction, zone = (None if part is None else part.decode() for part in found.groups())
    moment = datetime.datetime.fromisoformat(f"{day}T{hour}")
    seconds = float(f"0.{fraction}") if fraction else 0.0
    if zone in ("Z", "UTC") or (zone is None and not local):
        return moment.replace(tzinfo=datetime.timezone.utc).timestamp() + seconds
    if zone is None:
        return moment.timestamp() + seconds
    sign = -1 if zone[0] == "-" else 1
    shift = datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return moment.replace(tzinfo=datetime.timezone(sign * shift)).timestamp() + seconds


def _epoch(text: bytes) -> Optional[float]:
    found = _EPOCH.match(text)
    if found is None:
        return None
    value = float(found.group())
    return value / 1000 if value >= 1e11 else value


def _strptime(text: str, form: str, local: bool) -> Optional[float]:
    try:
        moment = datetime.datetime.strptime(text, form)
    except ValueError as error:
        rest = re.match(r"unconverted data remains: (.*)\Z", str(error), re.DOTALL)
        if rest is None:
            return None
        moment = datetime.datetime.strptime(text[: len(text) - len(rest.group(1))], form)
    if moment.tzinfo is None and not local:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp()


class Part(NamedTuple):
    """One file of a log, as it was when it was listed."""

    path: str
    size: int
    changed: float
    identity: tuple[int, int]

    @property
    def packed(self) -> bool:
        return self.path.endswith((".gz", ".bz2", ".xz"))


def _part(path: str) -> Part:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ProbeError(f"{path} is not a file")
    return Part(path, status.st_size, status.st_mtime, (status.st_dev, status.st_ino))


def parts(path: str) -> list[Part]:
    """The files of a log from the newest to the oldest. Raises ProbeError when there is none under its own name."""
    try:
        own = _part(path)
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror or error}") from error
    directory, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    counted = re.compile(rf"{re.escape(name)}[.-]\d[\dTZ_.:-]*(?:\.(?:gz|bz2|xz))?\Z")
    dated = re.compile(rf"{re.escape(stem)}[.-]\d[\dTZ_-]*{re.escape(suffix)}(?:\.(?:gz|bz2|xz))?\Z")
    older: dict[tuple[int, int], Part] = {}
    for one in os.listdir(directory or "."):
        if counted.match(one) or (suffix and dated.match(one)):
            with contextlib.suppress(OSError, ProbeError):
                part = _part(os.path.join(directory, one))
                if part.identity != own.identity:
                    older[part.identity] = part
    return [own, *sorted(older.values(), key=lambda part: part.changed, reverse=True)]


def _file(path: str) -> IO[bytes]:
    # A pipe that took the place of the file must not be waited for.
    return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


@contextlib.contextmanager
def _opened(part: Part) -> Iterator[IO[bytes]]:
    kinds: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with_it = contextlib.ExitStack()
    try:
        file = with_it.enter_context(_file(part.path))
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) != part.identity:
            raise ProbeError(f"{part.path} was rotated while it was read")
        if part.packed:
            file = with_it.enter_context(kinds[os.path.splitext(part.path)[1]](file, "rb"))
        yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ProbeError(f"{part.path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    finally:
        with_it.close()


class Limit:
    """How many bytes may still be read, and whether the time is over; shared by all files of a look."""

    def __init__(self, size: int, over: Callable[[], bool] = lambda: False) -> None:
        self.size = size
        self.read = 0
        self._over = over

    def take(self, count: int) -> None:
        """Note what was read. Raises TooMuch and OutOfTime."""
        self.read += count
        if self.read > self.size:
            raise TooMuch
        if self._over():
            raise OutOfTime


class TooMuch(Exception):
    """The lines of the window are more bytes than may be read."""


class OutOfTime(Exception):
    """The time was over before all lines of the window were read."""


def _lines(file: IO[bytes], limit: Limit) -> Iterator[bytes]:
    """Lines, each cut at the longest; what is behind the cut is read and dropped."""
    while True:
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        limit.take(len(line))
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
            limit.take(len(line))


def since(part: Part, begin: float, when: Clock, limit: Limit) -> Iterator[tuple[Optional[float], bytes]]:
    """Lines with their times, from a little before ``begin``; a line without a time has None."""
    with _opened(part) as file:
        if not part.packed:
            place = _place(file, part.size, begin, when, limit)
            file.seek(max(place - _STEP, 0))
            if file.tell():
                limit.take(len(file.readline(LONGEST_LINE * 16)))
        for line in _lines(file, limit):
            yield when(line), line


def _place(file: IO[bytes], size: int, begin: float, when: Clock, limit: Limit) -> int:
    """Where in a file lines from a time on begin, to within a step."""
    low, high = 0, size
    while high - low > _STEP:
        middle = (low + high) // 2
        at = _next_time(file, middle, high, when, limit)
        if at is None or at >= begin:
            high = middle
        else:
            low = middle
    return low


def _next_time(file: IO[bytes], place: int, end: int, when: Clock, limit: Limit) -> Optional[float]:
    """The time of the first line with one behind a place."""
    file.seek(place)
    limit.take(len(file.readline(LONGEST_LINE * 16)))
    while file.tell() < end:
        line = file.readline(LONGEST_LINE)
        limit.take(len(line))
        if not line:
            return None
        at = when(line)
        if at is not None:
            return at
    return None


def tail(part: Part, size: int) -> Iterator[bytes]:
    """Whole lines of the last bytes of a file."""
    with _opened(part) as file:
        if part.size > size:
            file.seek(part.size - size - 1)
            file.readline(LONGEST_LINE * 16)
        yield from _lines(file, Limit(2 * size + LONGEST_LINE))

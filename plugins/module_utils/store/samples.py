# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Samples of series, kept for the windows that are longer than anybody waits: what a sampler saw, page by page.

A *look* is one reading of one page at one time: the value of every series that was on it. A series that is not in a look was not
on the page then; a page that could not be read has no look at that time. So a counter that is gone and a sampler that stopped are
told apart.

Looks of a quarter of an hour lie together in one record, a *slot*: the names of its series once, then a row of numbers for each
look, all of it compressed. Slots are numbered round and round, so that an old one is written over by a new one: the store never
grows beyond the time that is kept, and nothing has to be cleared away. The record ``samples`` says which pages there
are, how long samples are kept, and when the newest look of each page was.

The same address is another page on each host. So where hosts share a store, each has samples of its own: ``host`` says whose, and
their record is ``samples@HOST``.

Time is the sampler's, in whole milliseconds. A look that is not newer than the newest one of its page is not written, and is
counted as ``refused``: a window over that time shows a gap instead of samples in a wrong order. Only when the newest one
lies in the future of the store's own clock was the sampler's clock wrong then, and has been put back: what was written
under it is given up as new looks take its place, and ``jumps`` counts it.

A clock that was wrong for a look or two leaves samples that look whole. So each time that it went back, by this or by a look that
is much older than the newest one, is kept as ``jumped``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import Point
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Record, Snapshot, Store

RECORD = "samples"
SLOT = 900
"""Seconds of looks that lie in one record."""
KEEP = 50 * 3600.0
"""Seconds that samples are kept unless told otherwise: the 48 hours of a watch, and what lies before them."""
MOST_KEPT = 31 * 86400.0
MOST_PAGES = 100
MOST_SERIES = 2000
"""Series of one page in one slot. More are left out, and counted."""
MOST_LOOKS = 900
"""Looks of one page in one slot: one a second. More are refused."""
FUTURE = 60.0
"""Seconds by which the newest look may be ahead of the clock of the store before that clock is taken to have been put back."""
MOST_JUMPS = 20
"""Times that the clock of a page went back which are remembered: the newest ones."""
_TRIES = 20

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name and its labels, sorted; the same as the key of a sample on a metrics page."""

# A quiet NaN that no calculation gives: "the series was not on the page". A NaN on the page stays a NaN.
_ABSENT_BITS = struct.pack("<Q", 0x7FF80000_601E601E)
_ABSENT: float = struct.unpack("<d", _ABSENT_BITS)[0]


@dataclass(frozen=True)
class Look:
    """One reading of a page: when (seconds since 1970), and the value of each series that was on it."""

    page: str
    at: float
    values: Mapping[Key, float]


class Written(NamedTuple):
    """What became of looks that were handed over."""

    looks: int
    refused: int
    """Looks that are not newer than what is there, or too many for their slot."""
    left_out: int
    """Series that were too many for their page, summed over the looks."""


class Series(NamedTuple):
    """One series that samples are there of, with the page it was on."""

    page: str
    name: str
    labels: Mapping[str, str]


@dataclass
class Window:
    """What was seen between two times, and at the last look before them."""

    looks: dict[str, list[float]] = field(default_factory=dict)
    """For each page, when it was read, in order. At most one of them is not after the start of the window."""
    series: dict[Key, list[Point]] = field(default_factory=dict)
    """For each series that was there at one of these looks, a point for each of them. The page is its label ``page``."""
    left_out_of: dict[str, int] = field(default_factory=dict)
    """For each page that had too many series, how many values were not written."""

    @property
    def left_out(self) -> int:
        """Values that were not written because their page had too many series."""
        return sum(self.left_out_of.values())


def write(store: Store, looks: Iterable[Look], keep: Optional[float] = None, host: str = "") -> Written:
    """Write looks, in the order of time for each page, each slot of time in one step.

    ``keep``: seconds that samples are kept, from now on; without it what was said before, at first `KEEP`. Raises
    InputError, StoreError.
    """
    groups: dict[int, dict[str, list[Look]]] = {}
    for look in looks:
        groups.setdefault(_milliseconds(look.at) // (SLOT * 1000), {}).setdefault(_page(look.page), []).append(look)
    if keep is not None:
        resize(store, keep, host)
    done = [_write(store, number, pages, host) for number, pages in sorted(groups.items())]
    return Written(sum(one.looks for one in done), sum(one.refused for one in done), sum(one.left_out for one in done))


def read(
    store: Store,
    selects: Callable[[Key], bool],
    start: float,
    end: float,
    page: Optional[str] = None,
    lead: float = SLOT,
    host: str = "",
) -> Window:
    """What was seen after ``start``, up to and including ``end``; and of each page the last look within ``lead`` seconds
    before that, so that changes can be counted from there. ``selects`` is asked once for each series of a slot; its key
    already has the label ``page``.
    """
    head = _stored(store, host)
    pages = [name for name in head["pages"] if page in (None, name)]
    names = {one: _slots_between(head, one, start - lead, end) for one in pages}
    wanted = sorted({name for of in names.values() for name in of.values()})
    found = store.read(wanted).records if wanted else {}
    window = Window()
    known: dict[str, list[Key]] = {}
    for one in pages:
        slots = [_load(found.get(name), number, known) for number, name in names[one].items()]
        until = min(_milliseconds(end), head["pages"][one]["newest"])
        _read_page(window, one, [slot for slot in slots if slot], selects, _milliseconds(start - lead), _milliseconds(start), until)
    return window


def _slots_between(head: Mapping[str, Any], page: str, start: float, end: float) -> dict[int, str]:
    """The slots of a page that are kept and touch a time: their numbers, in order, and names."""
    newest = head["pages"][page]["newest"] // (SLOT * 1000)
    first = max(int(start // SLOT), newest - head["slots"] + 1)
    return {number: _name(head, page, number) for number in range(first, min(int(end // SLOT), newest) + 1)}


def _read_page(
    window: Window,
    page: str,
    slots: Sequence[_Slot],
    selects: Callable[[Key], bool],
    lead: int,
    start: int,
    end: int,
) -> None:
    """Add the looks at one page from ``lead`` to ``end``, of those up to ``start`` only the last. In milliseconds."""
    times: list[int] = []
    columns: dict[Key, list[tuple[int, float]]] = {}
    asked: dict[Key, Optional[Key]] = {}
    for slot in slots:
        first, last = bisect_left(slot.times, lead), bisect_right(slot.times, end)
        if first >= last:
            continue
        if slot.left_out:
            window.left_out_of[page] = window.left_out_of.get(page, 0) + slot.left_out
        width = len(slot.series)
        for column, key in enumerate(slot.series):
            if key not in asked:
                with_page = on_page(key, page)
                asked[key] = with_page if selects(with_page) else None
            named = asked[key]
            if named is not None:
                values = slot.numbers[first * width + column : last * width : width]
                columns.setdefault(named, []).extend(enumerate(values, len(times)))
        times += slot.times[first:last]
    skip = max(bisect_right(times, start) - 1, 0)
    window.looks[page] = [at / 1000 for at in times[skip:]]
    for key, cells in columns.items():
        row: list[Optional[float]] = [None] * len(times)
        for index, value in cells:
            row[index] = None if _is_absent(value) else value
        if any(value is not None for value in row[skip:]):
            window.series[key] = [Point(at, value) for at, value in zip(window.looks[page], row[skip:])]


def on_page(key: Key, page: str) -> Key:
    """The series with the label of its page. One of that name of its own becomes ``exported_page``, as Prometheus does it."""
    own = [(f"exported_{name}" if name == "page" else name, value) for name, value in key[1]]
    return key[0], tuple(sorted((*own, ("page", page))))


def series(store: Store, start: float = -math.inf, end: float = math.inf, host: str = "") -> list[Series]:
    """Every series that samples are there of between two times, by page and name."""
    head = _stored(store, host)
    found: set[tuple[str, Key]] = set()
    names = [(page, _name(head, page, place)) for page in head["pages"] for place in range(head["slots"])]
    records = store.read([name for _page_name, name in names]).records if names else {}
    for page, name in names:
        slot = _load(records.get(name))
        if slot and slot.times and slot.times[0] <= end * 1000 and slot.times[-1] >= start * 1000 and _fresh(head, page, slot):
            found.update((page, key) for key in slot.series)
    return [Series(page, key[0], dict(key[1])) for page, key in sorted(found)]


def status(store: Store, host: str = "") -> dict[str, Any]:
    """``{keep, pages}``: how long samples are kept in seconds, and of each page ``newest`` (seconds since 1970), how many looks
    were ``refused`` so far, how often the clock went back and took the place of looks (``jumps``), and the last times that it went
    back (``jumped``), each as the time of the newest look and that of the one after it.
    """
    head = _stored(store, host)
    pages = {
        name: {
            **{"newest": one["newest"] / 1000, "refused": one["refused"], "jumps": one["jumps"]},
            "jumped": [[at / 1000 for at in jump] for jump in one.get("jumped", [])],
        }
        for name, one in sorted(head["pages"].items())
    }
    return {"keep": (head["slots"] - 1) * SLOT, "pages": pages}


def jumped(kept: Mapping[str, Any], page: str, start: float, end: float) -> list[tuple[float, float]]:
    """When the clock went back under the looks at a page, by what `status` says: from which time to which, where one of the two
    lies between start and end. Which of them was wrong is not known.

    >>> jumped({"pages": {"app": {"jumped": [[100.0, 20.0]]}}}, "app", 90.0, 120.0)
    [(100.0, 20.0)]
    """
    found = kept["pages"].get(page, {}).get("jumped", [])
    return [(was, at) for was, at in found if start <= was <= end or start <= at <= end]


def resize(store: Store, keep: float, host: str = "") -> bool:
    """Keep samples for another time from now on; what is there and still within it stays. Returns whether that is a change.
    Raises InputError."""
    if not SLOT <= keep <= MOST_KEPT:
        raise InputError([Problem("keep", f"samples are kept for {SLOT / 60:g} minutes to {MOST_KEPT / 86400:g} days")])
    slots = math.ceil(keep / SLOT) + 1
    for _try in range(_TRIES):
        head = _stored(store, host)
        if head["slots"] == slots and head["kept"]:
            return False
        after = {**head, "slots": slots}
        old = [_name(head, page, place) for page in head["pages"] for place in range(head["slots"])]
        new = [_name(after, page, place) for page in head["pages"] for place in range(slots)]
        if store.change([head["record"], *sorted({*old, *new})], _moving(head, after, old)):
            return True
    raise StoreError("cannot change how long samples are kept: others were writing all the time")


def _moving(head: Mapping[str, Any], after: Mapping[str, Any], old: Sequence[str]) -> Callable[[Snapshot], Change[bool]]:
    """The step that puts every slot where it belongs after the number of slots has changed."""

    def decide(snapshot: Snapshot) -> Change[bool]:
        if _head(snapshot, head["record"]) != head:
            return Change(False)
        put: dict[str, Record] = {head["record"]: {"slots": after["slots"], "pages": after["pages"]}}
        put.update({name: {} for name in old})
        ids = {one["id"]: name for name, one in head["pages"].items()}
        for name in old:
            record = snapshot.records.get(name)
            slot = _load(record)
            page = ids[int(name.rsplit(":", 2)[1])]
            if slot is not None and record is not None and _fresh(after, page, slot):
                put[_name(after, page, slot.number)] = record
        return Change(True, put)

    return decide


# ---------------------------------------------------------------------------------------------------------------------
# Records


@dataclass
class _Slot:
    """The looks of one page within one slot of time."""

    number: int
    """Seconds since 1970 / `SLOT`."""
    times: list[int] = field(default_factory=list)
    """Milliseconds since 1970."""
    series: list[Key] = field(default_factory=list)
    numbers: tuple[float, ...] = ()
    """A row for each look, as wide as there are series."""
    left_out: int = 0


def _page(name: str) -> str:
    if not isinstance(name, str) or not name or len(name) > 500:
        raise InputError([Problem("page", f"{name!r} does not name a page; expected a text of at most 500 characters")])
    return name


def _record(host: str) -> str:
    """The record of the samples of a host."""
    return f"{RECORD}@{host}" if host else RECORD


def _stored(store: Store, host: str) -> dict[str, Any]:
    name = _record(host)
    return _head(store.read([name]), name)


def _head(snapshot: Snapshot, name: str) -> dict[str, Any]:
    record = snapshot.records.get(name)
    if record is None:
        return {"record": name, "slots": math.ceil(KEEP / SLOT) + 1, "pages": {}, "kept": False}
    pages = {page: dict(one) for page, one in record["pages"].items()}
    return {"record": name, "slots": int(record["slots"]), "pages": pages, "kept": True}


def _name(head: Mapping[str, Any], page: str, number: int) -> str:
    return f"{head['record']}:{head['pages'][page]['id']}:{number % head['slots']}"


def _fresh(head: Mapping[str, Any], page: str, slot: _Slot) -> bool:
    """Whether a slot is still within the time that is kept."""
    newest = head["pages"][page]["newest"] // (SLOT * 1000)
    return bool(newest - head["slots"] < slot.number <= newest)


def _write(store: Store, number: int, pages: Mapping[str, Sequence[Look]], host: str) -> Written:
    """Write the looks of one slot of time, at every page, in one step."""
    for _try in range(_TRIES):
        head = _with_pages(_stored(store, host), pages)
        names = {page: _name(head, page, number) for page in pages}

        def decide(snapshot: Snapshot, names: Mapping[str, str] = names) -> Change[Optional[Written]]:
            now = _with_pages(_head(snapshot, _record(host)), pages)
            if names != {page: _name(now, page, number) for page in pages}:
                return Change(None)  # pages were added, or the time that is kept has changed, since the names were made up
            put: dict[str, Record] = {}
            done = []
            for page, looks in pages.items():
                slot = _load(snapshot.records.get(names[page]), number) or _Slot(number)
                written = _put(slot, now["pages"][page], looks, _milliseconds(snapshot.now + FUTURE))
                if written.looks:
                    put[names[page]] = _dump(slot)
                done.append(written)
            put[now["record"]] = {"slots": now["slots"], "pages": now["pages"]}
            return Change(
                Written(sum(one.looks for one in done), sum(one.refused for one in done), sum(one.left_out for one in done)), put
            )

        result = store.change([head["record"], *names.values()], decide)
        if result is not None:
            return result
    raise StoreError("cannot write samples: others were writing all the time")


def _with_pages(head: dict[str, Any], pages: Iterable[str]) -> dict[str, Any]:
    for page in pages:
        if page not in head["pages"]:
            if len(head["pages"]) >= MOST_PAGES:
                raise InputError(
                    [Problem("page", f"there are samples of {MOST_PAGES} pages already, and {page} would be one more")]
                )
            head["pages"][page] = {"id": len(head["pages"]), "newest": 0, "refused": 0, "jumps": 0, "jumped": []}
    return head


def _put(slot: _Slot, state: dict[str, Any], looks: Sequence[Look], future: int) -> Written:
    """Put the looks at one page into its slot, and what became of them into the state of the page."""
    if state["newest"] > future and _milliseconds(looks[0].at) <= state["newest"]:
        _went_back(state, state["newest"], _milliseconds(looks[0].at))
        state["newest"] = _milliseconds(looks[0].at) - 1
        state["jumps"] += 1
    # What lies behind the newest look was written before the clock was put back.
    good = bisect_right(slot.times, state["newest"])
    slot.times, slot.numbers = slot.times[:good], slot.numbers[: good * len(slot.series)]
    wanted: list[Look] = []
    newest = state["newest"]
    for look in looks:
        if _milliseconds(look.at) > newest and len(slot.times) + len(wanted) < MOST_LOOKS:
            wanted.append(look)
            newest = _milliseconds(look.at)
        elif newest - _milliseconds(look.at) > FUTURE * 1000:
            _went_back(state, newest, _milliseconds(look.at))
    left_out = _append(slot, wanted) if wanted else 0
    refused = len(looks) - len(wanted)
    state["newest"] = newest
    state["refused"] += refused
    return Written(len(wanted), refused, left_out)


def _went_back(state: dict[str, Any], newest: int, at: int) -> None:
    """Keep that a look came that is older than the newest one. Those that follow it are of the same jump."""
    known = state.setdefault("jumped", [])
    if not known or known[-1][0] != newest:
        known.append([newest, at])
        del known[:-MOST_JUMPS]


def _append(slot: _Slot, looks: Sequence[Look]) -> int:
    """Put looks at the end of a slot; returns how many values had no room."""
    old = len(slot.series)
    place = {key: column for column, key in enumerate(slot.series)}
    left_out = 0
    for look in looks:
        for key in look.values:
            if key in place:
                continue
            if len(place) < MOST_SERIES:
                place[key] = len(place)
            else:
                left_out += 1
    width = len(place)
    numbers: list[float] = []
    filler = [_ABSENT] * (width - old)
    for row in range(len(slot.times)):
        numbers += slot.numbers[row * old : (row + 1) * old]
        numbers += filler
    for look in looks:
        values = [_ABSENT] * width
        for key, value in look.values.items():
            if key in place:
                values[place[key]] = float(value)
        numbers += values
    slot.series = list(place)
    slot.numbers = tuple(numbers)
    slot.times += [_milliseconds(look.at) for look in looks]
    slot.left_out += left_out
    return left_out


def _milliseconds(at: float) -> int:
    if not math.isfinite(at):
        raise InputError([Problem("at", f"{at} is not a time")])
    return round(at * 1000)


def _is_absent(value: float) -> bool:
    return math.isnan(value) and struct.pack("<d", value) == _ABSENT_BITS


def _dump(slot: _Slot) -> Record:
    begin = slot.number * SLOT * 1000
    names = json.dumps([[name, dict(labels)] for name, labels in slot.series], separators=(",", ":"))
    return {
        "slot": slot.number,
        "at": [at - begin for at in slot.times],
        "series": _pack(names.encode()),
        "values": _pack(struct.pack(f"<{len(slot.numbers)}d", *slot.numbers)),
        "left_out": slot.left_out,
    }


def _load(record: Optional[Record], number: Optional[int] = None, known: Optional[dict[str, list[Key]]] = None) -> Optional[_Slot]:
    """A slot as it was written; None when there is none, or when it is of another time. ``known``: the series of the slots
    that were read before, which are mostly the same."""
    if not record or (number is not None and record.get("slot") != number):
        return None
    try:
        begin = int(record["slot"]) * SLOT * 1000
        names = str(record["series"])
        keys = (known or {}).get(names)
        if keys is None:
            keys = [(str(name), tuple(sorted(labels.items()))) for name, labels in json.loads(_unpack(names))]
            if known is not None:
                known[names] = keys
        packed = _unpack(record["values"])
        numbers = struct.unpack(f"<{len(packed) // 8}d", packed)
        times = [begin + int(at) for at in record["at"]]
        if len(numbers) != len(keys) * len(times):
            raise ValueError(f"{len(numbers)} values of {len(keys)} series in {len(times)} looks")
        return _Slot(int(record["slot"]), times, list(keys), numbers, int(record["left_out"]))
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, struct.error, zlib.error) as error:
        raise StoreError(f"a record of samples in the store cannot be read ({error}); something else wrote it") from error


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode("ascii")


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))

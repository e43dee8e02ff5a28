# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The ledger: what happened, in order, each entry chained to the one before it by its hash.

An entry is one line of canonical JSON: ``seq`` (from 1), ``time`` (UTC), ``environment``, ``run``, ``event``, ``data``,
``previous`` (hash of the entry before) and ``hash`` (SHA-256 of the canonical JSON of all the others). Number and hash
of the newest entry are also kept in the record ``ledger``, written in the same step, so that entries cut off at the end
are missed.

What this finds: entries that were edited, removed, inserted, reordered, or cut off. What it cannot find: somebody with
write access who rewrites all later entries *and* the head. For that, keep a head hash somewhere else (each report holds
one) and hand it to `verify` as ``anchor``.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LedgerBroken
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import (
    Change,
    Snapshot,
    Store,
    canonical,
    check_names,
)

RECORD = "ledger"
LOG = "ledger"
FIRST = "0" * 64
"""What stands in ``previous`` of the first entry."""
LARGEST = 64 * 1024
"""Bytes that the data of one entry may have as JSON."""
CHUNK = 500
HIDDEN = "********"
FIELDS = ("seq", "time", "environment", "run", "event", "data", "previous", "hash")


def digest(entry: Mapping[str, Any]) -> str:
    """The hash of an entry: SHA-256 over its canonical JSON without ``hash``, in hexadecimal."""
    return hashlib.sha256(canonical({key: value for key, value in entry.items() if key != "hash"}).encode("ascii")).hexdigest()


def stamp(seconds: float) -> str:
    """A time as entries hold it: UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def append(
    store: Store,
    environment: str,
    run: str,
    event: str,
    data: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
    dry: bool = False,
) -> dict[str, Any]:
    """Write one event. Returns the entry.

    Data hold what is safe to show. ``secrets`` are values that must not be in it: wherever one stands in a text, it is
    hidden. Raises InputError for names, data that JSON cannot hold, and data above 64 KiB; LedgerBroken when the head
    was tampered with.
    """
    clean = _clean(run, event, data or {}, [secret for secret in secrets if secret])

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        head = snapshot.records.get(RECORD) or {"count": 0, "hash": FIRST}
        if snapshot.sizes[LOG] > head["count"]:
            raise LedgerBroken(
                f"the ledger of {environment} holds {snapshot.sizes[LOG]} entries but its head says {head['count']}: "
                f"the head was put back or removed, and to append now would fork the chain; "
                f"keep this store as evidence and use a new one"
            )
        # Fewer entries than the head says are entries that were removed. The chain goes on from the head, so that a
        # cutover is not stopped by it, and `verify` reports the gap for ever.
        entry = {
            "seq": head["count"] + 1,
            "time": stamp(snapshot.now),
            "environment": environment,
            "run": run,
            "event": event,
            "data": clean,
            "previous": head["hash"],
        }
        entry["hash"] = digest(entry)
        return Change(entry, put={RECORD: {"count": entry["seq"], "hash": entry["hash"]}}, append={LOG: [canonical(entry)]})

    return (store.predict if dry else store.change)([RECORD], decide, [LOG])


def read(
    store: Store, run: str | None = None, event: str | None = None, last: int | None = None, since: str | None = None
) -> list[dict[str, Any]]:
    """Entries in the order written: of a run, of an event, not older than a time; the last N of them. Not verified."""
    if last is not None and last < 1:
        raise InputError([Problem("last", "expected at least 1")])
    earliest = _time(since) if since else None
    found: deque[dict[str, Any]] = deque(maxlen=last)
    for number, line in enumerate(_lines(store), start=1):
        entry = _parse(line)
        if entry is None:
            raise LedgerBroken(f"line {number} of the ledger is not an entry", [{"seq": number, "problem": "is not an entry"}])
        if run is not None and entry["run"] != run:
            continue
        if event is not None and entry["event"] != event:
            continue
        if earliest is not None and _time(entry["time"]) < earliest:
            continue
        found.append(entry)
    return list(found)


def verify(store: Store, environment: str, anchor: str | None = None) -> dict[str, Any]:
    """Check every link. Returns ``{count, head}``; raises LedgerBroken with every place that is wrong.

    ``anchor`` is the hash of an entry that was noted elsewhere, which must be among the entries.
    """
    before = store.read([RECORD], [LOG])
    head = before.records.get(RECORD) or {"count": 0, "hash": FIRST}
    count, newest = int(head.get("count", 0)), str(head.get("hash"))
    problems: list[dict[str, Any]] = []
    if before.sizes[LOG] != count:
        what = "removed" if before.sizes[LOG] < count else "added, or the head was put back"
        problems.append({"seq": None, "problem": f"{before.sizes[LOG]} entries, but the head says {count}: entries were {what}"})
    previous, expected, seen = FIRST, 1, 0
    anchored = anchor is None
    # Entries that others append meanwhile are behind the head that was read, so they are left out.
    for line in _lines(store, before.sizes[LOG]):
        seen += 1
        entry = _parse(line)
        if entry is None:
            problems.append({"seq": expected, "problem": f"line {seen} is not an entry"})
            expected += 1
            continue
        problems.extend({"seq": entry["seq"], "problem": text} for text in _faults(entry, line, environment, expected, previous))
        previous, expected = entry["hash"], entry["seq"] + 1
        anchored = anchored or entry["hash"] == anchor
    if previous != newest:
        problems.append(
            {
                "seq": None,
                "problem": "the last entry is not the one that the head names: the end was removed or changed",
            }
        )
    if not anchored:
        problems.append(
            {
                "seq": None,
                "problem": f"no entry has the hash {anchor} that was noted elsewhere: the ledger was rewritten",
            }
        )
    if problems:
        lines = "; ".join((f"entry {one['seq']} " if one["seq"] else "") + one["problem"] for one in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise LedgerBroken(f"the ledger of {environment} is not what was written: {lines}{more}", problems)
    return {"count": count, "head": newest if count else None}


def _faults(entry: Mapping[str, Any], line: str, environment: str, expected: int, previous: str) -> Iterator[str]:
    if digest(entry) != entry["hash"] or canonical(entry) != line:
        yield "was changed after it was written"
    if entry["seq"] != expected:
        yield f"stands where entry {expected} was expected: entries were removed or reordered"
    elif entry["previous"] != previous:
        yield "does not follow from the entry before it"
    if entry["environment"] != environment:
        yield f"belongs to the environment {entry['environment']}"


def _lines(store: Store, limit: int | None = None) -> Iterator[str]:
    start = 0
    while limit is None or start < limit:
        lines = store.lines(LOG, start, CHUNK if limit is None else min(CHUNK, limit - start))
        yield from lines
        if not lines:
            return
        start += len(lines)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or set(entry) != set(FIELDS):
        return None
    texts = all(isinstance(entry[key], str) for key in FIELDS if key not in ("seq", "data"))
    numbered = isinstance(entry["seq"], int) and not isinstance(entry["seq"], bool)
    return entry if texts and numbered and isinstance(entry["data"], dict) else None


def _time(text: str) -> datetime:
    """A UTC time such as 2025-11-21T03:00:00Z, with or without a fraction, or a date."""
    for shape in ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, shape)
        except (ValueError, TypeError):
            continue
    raise InputError([Problem("since", f"{text!r} is not a time; expected UTC as in 2025-11-21T03:00:00Z")])


def _clean(run: str, event: str, data: Mapping[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    problems = check_names(run=run, event=event)
    clean: dict[str, Any] = {}
    try:
        # Longest first: a secret that contains another is hidden whole.
        hidden = _hide(dict(data), sorted(secrets, key=len, reverse=True))
        text = canonical(hidden)
        if len(text) > LARGEST:
            problems.append(
                Problem("data", f"{len(text)} bytes as JSON; at most {LARGEST} fit into one entry, keep the rest in a file")
            )
        clean = json.loads(text)
    except ValueError as error:
        problems.append(Problem("data", f"cannot be written as JSON: {error}"))
    if problems:
        raise InputError(problems)
    return clean


def _hide(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {_hide(key, secrets): _hide(one, secrets) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hide(one, secrets) for one in value]
    return value

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The releases of an environment: which is there, which runs, which proved good, and how to get back to it.

::

    staged --> deployed --> accepted
    each of them --> rejected --> staged (tried again)

``current`` is the release that runs. ``previous`` is the rollback target: the release that was accepted last, other
than the candidate. One that was rejected, or deployed and never accepted, is no target. All of it is the record
``releases``; in its list the release that was accepted last stands last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import IllegalTransition
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import (
    Change,
    Record,
    Snapshot,
    Store,
    check_names,
)
from ansible_collections.golive.cutover.plugins.module_utils.store.lock import utc

RECORD = "releases"
STATUSES = ("staged", "deployed", "accepted", "rejected")
DETAILS = ("backend", "digest", "recipe")

Release = dict[str, Any]
Releases = dict[str, Release]


def stage(store: Store, id: str, run: str, details: Mapping[str, Any], dry: bool = False) -> dict[str, Any]:
    """Record a release before anything is changed: its backend, its digest, and the recipe that gets back to it.

    A release that was accepted keeps its digest: what was proven good must not become something else under the same id.
    """

    def step(current: str | None, releases: Releases, now: float) -> str | None:
        found = releases.get(id)
        if found is None:
            releases[id] = {
                "id": id,
                "status": "staged",
                **dict.fromkeys(DETAILS),
                **_given(details),
                "run": run,
                "at": now,
            }
            return current
        other = _merge(found, details)
        if found["status"] == "rejected" or (found["status"] == "deployed" and other):
            found["status"] = "staged"
        return current

    return _change(store, id, run, step, dry)


def deployed(store: Store, id: str, run: str, details: Mapping[str, Any], dry: bool = False) -> dict[str, Any]:
    """Record that a release runs now. One that was accepted before stays accepted: that is a rollback."""

    def step(current: str | None, releases: Releases, now: float) -> str | None:
        found = _known(releases, id, "be deployed")
        if found["status"] == "rejected":
            raise IllegalTransition(f"the release {id} was rejected, so it cannot be deployed; stage it again to try it again")
        _merge(found, details)
        if found["status"] == "staged":
            found["status"] = "deployed"
        return id

    return _change(store, id, run, step, dry)


def accept(store: Store, id: str, run: str, dry: bool = False) -> dict[str, Any]:
    """Record that the release that runs proved good; from now on it is what later ones go back to."""

    def step(current: str | None, releases: Releases, now: float) -> str | None:
        found = _known(releases, id, "be accepted")
        if found["status"] not in ("deployed", "accepted") or current != id:
            raise IllegalTransition(
                f"the release {id} is {found['status']} and the current one is {current or 'none'}: "
                f"only the release that runs can be accepted"
            )
        found["status"] = "accepted"
        releases[id] = releases.pop(id)
        return current

    return _change(store, id, run, step, dry)


def reject(store: Store, id: str, run: str, dry: bool = False) -> dict[str, Any]:
    """Record that a release is bad. It may still run until another is deployed, but nothing will go back to it."""

    def step(current: str | None, releases: Releases, now: float) -> str | None:
        _known(releases, id, "be rejected")["status"] = "rejected"
        return current

    return _change(store, id, run, step, dry)


def forget(store: Store, id: str, run: str, dry: bool = False) -> dict[str, Any]:
    """Remove a release from the record. The one that runs and the one to go back to are refused."""

    def step(current: str | None, releases: Releases, now: float) -> str | None:
        if id == current:
            raise IllegalTransition(f"the release {id} is the current one, so it is not forgotten")
        target = _target(releases, current)
        if target is not None and id == target["id"]:
            raise IllegalTransition(f"the release {id} is what a rollback goes back to, so it is not forgotten")
        releases.pop(id, None)
        return current

    return _change(store, id, run, step, dry)


def read(store: Store, candidate: str | None = None) -> dict[str, Any]:
    """``{current, previous, releases}``.

    ``current`` and ``previous`` are releases or None; ``releases`` is a list. Without a candidate, ``previous`` is what
    the current release goes back to; with one, what a rollback of that one would go back to.
    """
    current, releases = _load(store.read([RECORD]).records.get(RECORD))
    return _show(current, releases, candidate)


def previous(store: Store, candidate: str | None = None) -> Release | None:
    """The rollback target of `read`."""
    target: Release | None = read(store, candidate)["previous"]
    return target


Step = Callable[["str | None", Releases, float], "str | None"]
"""Changes the releases in place, which are its own copy, and returns the id of the current one."""


def _change(store: Store, id: str, run: str, step: Step, dry: bool) -> dict[str, Any]:
    """Apply a step; returns what `read` gives for this release as the candidate, with ``changed`` and ``before``."""
    problems = check_names(id=id, run=run)
    if problems:
        raise InputError(problems)

    def decide(snapshot: Snapshot) -> Change[dict[str, Any]]:
        record = snapshot.records.get(RECORD)
        before = _show(*_load(record), id)
        current, releases = _load(record)
        current = step(current, releases, snapshot.now)
        if (current, list(releases.values())) == _flat(record):
            return Change({"changed": False, **before, "before": before})
        if id in releases:
            releases[id].update(run=run, at=snapshot.now)
        put = {RECORD: {"current": current, "releases": list(releases.values())}}
        return Change({"changed": True, **_show(current, releases, id), "before": before}, put=put)

    return (store.predict if dry else store.change)([RECORD], decide)


def _load(record: Record | None) -> tuple[str | None, Releases]:
    current, releases = _flat(record)
    return current, {release["id"]: dict(release) for release in releases}


def _flat(record: Record | None) -> tuple[str | None, list[Release]]:
    return (record["current"], list(record["releases"])) if record else (None, [])


def _show(current: str | None, releases: Releases, candidate: str | None) -> dict[str, Any]:
    return {
        "current": _out(releases.get(current)) if current else None,
        "previous": _out(_target(releases, candidate or current)),
        "releases": [_out(release) for release in releases.values()],
    }


def _out(release: Release | None) -> Release | None:
    return None if release is None else {**release, "at": utc(release["at"])}


def _target(releases: Releases, candidate: str | None) -> Release | None:
    for release in reversed(list(releases.values())):
        if release["status"] == "accepted" and release["id"] != candidate:
            return release
    return None


def _known(releases: Releases, id: str, what: str) -> Release:
    if id not in releases:
        known = ", ".join(releases) or "none"
        raise IllegalTransition(f"the release {id} is not known, so it cannot {what}; stage it first (known: {known})")
    return releases[id]


def _given(details: Mapping[str, Any]) -> dict[str, Any]:
    return {key: details[key] for key in DETAILS if details.get(key) is not None}


def _merge(release: Release, details: Mapping[str, Any]) -> bool:
    """Take over what is given; returns whether that makes it another artefact than before."""
    given = _given(details)
    other = release["digest"] is not None and "digest" in given and given["digest"] != release["digest"]
    if other and release["status"] == "accepted":
        raise IllegalTransition(
            f"the release {release['id']} was accepted with the digest {release['digest']} and would now be "
            f"{given['digest']}: give what changed an id of its own, so that the accepted one can be gone back to"
        )
    release.update(given)
    return other

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Which release is given up, and which one to go back to. Asked again after a rollback that was killed, the answer is
the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Release = Mapping[str, Any]


def candidate_of(current: Release | None, releases: Sequence[Release], named: str | None = None) -> str | None:
    """The release that a rollback gives up.

    In a cutover it is known by name. By hand it is the one that is on trial, else the one that runs. When the one that
    runs was the end of an earlier rollback, it is again the one that was given up then: asking twice goes back once.
    """
    if named:
        return named
    on_trial = [
        one
        for one in releases
        if one["status"] in ("staged", "deployed")
        # What an earlier run left behind before the present release came is not on trial any more.
        and (current is None or one["id"] == current["id"] or str(one["at"]) >= str(current["at"]))
    ]
    if on_trial:
        return str(max(on_trial, key=lambda one: str(one["at"]))["id"])
    if current is None:
        return None
    given_up = [
        one for one in releases if one["status"] == "rejected" and one["id"] != current["id"] and one["at"] >= current["at"]
    ]
    if given_up:
        return str(max(given_up, key=lambda one: str(one["at"]))["id"])
    return str(current["id"])


def target_of(releases: Sequence[Release], candidate: str | None) -> str | None:
    """The release to go back to: the one that was accepted last, other than the candidate."""
    accepted = [str(one["id"]) for one in releases if one["status"] == "accepted" and one["id"] != candidate]
    return accepted[-1] if accepted else None


def plan(
    known: Mapping[str, Any], named: str | None = None, to: str | None = None, before: str | None = None
) -> dict[str, Any]:
    """``{candidate, to, problems}`` from what the store returns (``current`` and ``releases``).

    ``to`` may name an accepted release. One that was never accepted, or rejected, is a problem: nothing has shown that
    it works.

    ``before`` is the accepted release that ran when the run began. When it is the candidate itself, the state before is
    that release: it is not given up, and never stopped.
    """
    releases: Sequence[Release] = known["releases"]
    if before and before == named and not to:
        return {"candidate": None, "to": before, "problems": []}
    candidate = candidate_of(known["current"], releases, named)
    problems: list[str] = []
    if to:
        found = next((one for one in releases if one["id"] == to), None)
        if found is None:
            problems.append(f"the release {to} is not known; known are {', '.join(str(one['id']) for one in releases) or 'none'}")
        elif found["status"] != "accepted":
            problems.append(f"the release {to} is {found['status']} and was never accepted, so nothing goes back to it")
        elif to == candidate:
            problems.append(f"the release {to} is the one that is given up")
    if candidate is None and not problems:
        problems.append("no release is known, so there is nothing to roll back")
    target = to or target_of(releases, candidate)
    status = next((one["status"] for one in releases if one["id"] == candidate), None)
    if target is None and status == "accepted":
        problems.append(f"{candidate} is the only release that was ever accepted: there is none to go back to; it is left as it is")
    return {"candidate": candidate, "to": target, "problems": problems}

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Signatures in the ledger of a store: signing, withdrawing, and whether all that are needed are there."""

from __future__ import annotations

from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import signoff
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import EVENT
from ansible_collections.golive.cutover.plugins.module_utils.core.signoff import SIGNED, WITHDRAWN, Evidence, Rules
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

HYPERCARE = "hypercare"
"""What is signed at the end of a watch."""


ONE_EACH = "the exit of hypercare needs a person of its own for each role; where one person is both, let required name one role"


class NotSigned(CutoverError):
    """A signature was refused. Carries what is signed so far."""

    def __init__(self, reason: str, found: dict[str, Any]) -> None:
        self.result = {"signoff": found}
        super().__init__(reason)


def newest_go(store: Store) -> str:
    """The run that let the newest release through. Raises CutoverError when there is none."""
    for entry in reversed(ledger.read(store, event="run_ended")):
        if entry["data"].get("kind") == "cutover" and entry["data"].get("decision") == "go":
            return str(entry["run"])
    raise CutoverError("the ledger knows no cutover that ended with GO, so there is nothing to sign off")


def _since_go(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of a run from its newest GO on: nobody signs a watch before it has begun, or for an earlier run of this name."""
    for index in range(len(entries) - 1, -1, -1):
        data = entries[index]["data"]
        if entries[index]["event"] == "run_ended" and data.get("kind") == "cutover" and data.get("decision") == "go":
            return entries[index:]
    return entries


def _newest_look(entries: list[dict[str, Any]], run: str) -> Evidence | None:
    """The newest look at a checkpoint of a watch, at whichever host: what people sign for."""
    looks = [one for one in entries if one["event"] == EVENT and one["data"].get("watch") == run]
    if not looks:
        return None
    return Evidence(int(looks[-1]["seq"]), looks[-1]["time"], f"the look at {looks[-1]['data'].get('checkpoint')}")


def read(store: Store, environment: str, of: str, rules: Rules, run: str | None = None) -> dict[str, Any]:
    """What is signed, as `signoff.state` says it; of a watch only what was signed after its newest look.

    The ledger is verified first: LedgerBroken when it is not what was written.
    """
    if of == HYPERCARE and not rules.distinct:
        raise InputError([Problem("distinct", ONE_EACH)])
    ledger.verify(store, environment)
    run = run or newest_go(store)
    everything = ledger.read(store)
    entries = [one for one in everything if one["run"] == run]
    evidence = None
    if of == HYPERCARE:
        entries = _since_go(entries)
        evidence = _newest_look(everything, run)
    if not entries:
        raise CutoverError(f"the ledger knows no run {run}, so there is nothing to sign off")
    return signoff.state(entries, run, of, rules, evidence)


def complete(store: Store, environment: str, of: str, rules: Rules, run: str | None = None) -> bool:
    """Whether every required signature is there, in a ledger that is what was written."""
    return bool(read(store, environment, of, rules, run)["complete"])


def sign(
    store: Store,
    environment: str,
    of: str,
    rules: Rules,
    role: str,
    by: str,
    details: dict[str, str],
    run: str | None = None,
    withdraw: bool = False,
    dry: bool = False,
) -> tuple[bool, dict[str, Any]]:
    """Sign, or withdraw a signature; returns whether that changed anything, and what is signed then. Raises NotSigned."""
    found = read(store, environment, of, rules, run)
    mine = signoff.signed_by(found, role, by)
    if mine is None and withdraw:
        # One that does not count now would count as soon as the one does not that stands before it.
        mine = signoff.signed_by({"signatures": found["not_counted"]}, role, by)
    why = None if withdraw else signoff.refusal(found, role, by, rules)
    if why is not None:
        raise NotSigned(why, found)
    if (mine is None) == withdraw:
        return False, found
    event = WITHDRAWN if withdraw else SIGNED
    data = {"of": of, "role": role, "by": by if mine is None else mine["by"], **details}
    ledger.append(store, environment, found["run"], event, data, dry=dry)
    if dry:
        return True, found
    after = read(store, environment, of, rules, found["run"])
    if not withdraw and signoff.signed_by(after, role, by) is None:
        # Somebody else signed in the same moment, and was first.
        raise NotSigned(f"the signature of {by} as {role} does not count; see not_counted", after)
    return True, after

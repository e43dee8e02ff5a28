# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Signatures: who signed what, by the entries of the ledger, and whether all that are needed are there.

A signature is an entry ``signed`` of the run that it is about, with ``of`` (what is signed off, such as ``hypercare``),
``role`` (as what somebody signs), ``by`` (who), ``operator`` (whose account wrote it) and ``statement``. An entry
``signature_withdrawn`` takes it back. Nothing is ever taken out of the ledger.

What counts is decided when it is read: a signature by somebody who may not sign for that role does not count, whoever let it be
written. Nor does one that is older than the newest evidence: whoever signed has not seen it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import unknown_key

SIGNED = "signed"
WITHDRAWN = "signature_withdrawn"


def person(name: Any) -> str:
    """Whom a name means: the same for all ways of writing it, whatever its letters, spaces and case are made of, and whatever
    stands between them that nobody sees. Letters of different alphabets that look alike are different.

    >>> person(" Ann  LEE ") == person("ann lee")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", str(name)).casefold())
    return " ".join("".join(one for one in folded if unicodedata.category(one) != "Cf").split())


@dataclass(frozen=True)
class Rules:
    """Which roles have to sign; who may for each, anybody where none is named; whether one person may sign for several."""

    required: Sequence[str]
    people: Mapping[str, Sequence[str]] = field(default_factory=dict)
    distinct: bool = True

    def may(self, role: str, by: str) -> bool:
        named = self.people.get(role) or []
        return not named or person(by) in [person(one) for one in named]


def read_rules(required: Any, people: Any = None, distinct: bool = True) -> Rules:
    """Read the rules. Raises InputError: without a signature that is required, nothing could ever be missing."""
    problems: list[Problem] = []
    names = [str(one).strip() for one in required] if isinstance(required, Sequence) and not isinstance(required, str) else []
    if not names or not all(names):
        problems.append(Problem("required", f"expected the roles that have to sign, at least one, got {required!r}"))
    problems.extend(Problem("required", f"{one!r} stands twice") for one in sorted({one for one in names if names.count(one) > 1}))
    allowed: dict[str, list[str]] = {}
    if people is not None and not isinstance(people, Mapping):
        problems.append(Problem("people", f"expected a mapping of roles to who may sign for them, got {people!r}"))
    elif people:
        for role, who in people.items():
            if role not in names:
                problems.append(Problem(f"people.{role}", unknown_key(str(role), names, "role")))
            listed = [who] if isinstance(who, str) else who
            if not isinstance(listed, Sequence) or not listed or not all(isinstance(one, str) and one for one in listed):
                problems.append(Problem(f"people.{role}", f"expected names, at least one, got {who!r}"))
            else:
                allowed[str(role)] = list(listed)
    if problems:
        raise InputError(problems)
    return Rules(names, allowed, distinct)


@dataclass(frozen=True)
class Evidence:
    """The newest of what is signed for: its entry in the ledger by number, when that was written, and what it is, in words."""

    seq: int
    time: str
    what: str


def state(
    entries: Iterable[Mapping[str, Any]], run: str, of: str, rules: Rules, evidence: Evidence | None = None
) -> dict[str, Any]:
    """What is signed of a run, by its entries in the order written. With ``evidence``, what was signed before it does not count.

    ``signatures``: those that count, each with ``role``, ``by``, ``operator``, ``time``, ``statement``, ``seq`` and ``hash`` of its
    entry. ``missing``: the required roles without one. ``not_counted``: other signatures, with ``why``. ``complete``: whether none
    is missing.
    """
    standing: dict[tuple[str, str], Mapping[str, Any]] = {}
    too_early: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in entries:
        data = entry["data"]
        if entry["run"] != run or data.get("of") != of or entry["event"] not in (SIGNED, WITHDRAWN):
            continue
        key = (str(data.get("role")), person(data.get("by")))
        if entry["event"] == WITHDRAWN:
            standing.pop(key, None)
            too_early.pop(key, None)
        elif evidence is not None and int(entry["seq"]) < evidence.seq:
            too_early.setdefault(key, entry)
        else:
            standing.setdefault(key, entry)
    signatures: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for entry in sorted(standing.values(), key=lambda one: int(one["seq"])):
        data = entry["data"]
        one = _shown(entry)
        why = _why_not(signatures, str(data.get("role")), str(data.get("by")), rules)
        if why:
            others.append({**one, "why": why})
        else:
            signatures.append(one)
    missing = [role for role in rules.required if role not in [one["role"] for one in signatures]]
    for key, entry in too_early.items():
        if evidence is not None and key not in standing:
            one = _shown(entry)
            why = f"signed at {one['time']}, before {evidence.what} at {evidence.time}"
            others.append({**one, "why": f"{why}: {one['by']} must sign again" if one["role"] in missing else why})
    return {
        "run": run,
        "of": of,
        "signatures": signatures,
        "missing": missing,
        "not_counted": others,
        "complete": bool(rules.required) and not missing,
    }


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    one = {name: entry["data"].get(name) for name in ("role", "by", "operator", "statement")}
    return {**one, **{name: entry[name] for name in ("time", "seq", "hash")}}


def refusal(found: Mapping[str, Any], role: str, by: str, rules: Rules) -> str | None:
    """Why somebody cannot sign for a role now; None when he can, or has already."""
    if signed_by(found, role, by) is not None:
        return None
    return _why_not(found["signatures"], role, by, rules)


def signed_by(found: Mapping[str, Any], role: str, by: str) -> Mapping[str, Any] | None:
    """The signature of somebody for a role that counts."""
    for one in found["signatures"]:
        if one["role"] == role and person(one["by"]) == person(by):
            signature: Mapping[str, Any] = one
            return signature
    return None


def _why_not(signatures: Sequence[Mapping[str, Any]], role: str, by: str, rules: Rules) -> str | None:
    if role not in rules.required:
        return f"{role!r} is no role that signs: {unknown_key(role, rules.required, 'role')}"
    if not by.strip():
        return "nobody is named"
    if not rules.may(role, by):
        return f"{by} may not sign as {role}; that may {', '.join(rules.people[role])}"
    for one in signatures:
        if one["role"] == role:
            return f"{one['by']} has signed as {role} already, at {one['time']}"
        if rules.distinct and person(one["by"]) == person(by):
            return f"{by} has signed as {one['role']}; one person does not sign twice"
    return None


def lines(found: Mapping[str, Any]) -> list[str]:
    """The signatures as a person reads them."""
    shown = [
        f"{one['role']}: {one['by']} at {one['time']} (entry {one['seq']})" + (f": {one['statement']}" if one["statement"] else "")
        for one in found["signatures"]
    ]
    shown += [f"{role}: not signed" for role in found["missing"]]
    shown += [f"does not count: {one['role']} by {one['by']}: {one['why']}" for one in found["not_counted"]]
    head = f"{found['of']} of run {found['run']} is {'signed off' if found['complete'] else 'NOT signed off'}"
    return [head, *shown]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures in the ledger of each store: which count, which are missing, and the playbook."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import closing, hypercare, signoff
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, signatures
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import LedgerBroken
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.modules import hypercare as module

OPS, DEV = "Operations Lead", "Development Lead"
RULES = signoff.read_rules([OPS, DEV], {OPS: ["ann", "bob"]})


def go(store: Store, environment: str, run: str = "run-1", decision: str = "go") -> None:
    ledger.append(store, environment, run, "run_ended", {"kind": "cutover", "decision": decision})


def sign(store: Store, place: Any, role: str, by: str, rules: Any = RULES, **more: Any) -> tuple[bool, dict[str, Any]]:
    details = {"operator": "root@controller", "statement": "fine"}
    return signatures.sign(store, place.environment, "hypercare", rules, role, by, details, **more)


def complete(store: Store, place: Any, rules: Any = RULES, **more: Any) -> bool:
    return signatures.complete(store, place.environment, "hypercare", rules, **more)


def refused(store: Store, place: Any, role: str, by: str) -> str:
    with pytest.raises(signatures.NotSigned) as caught:
        sign(store, place, role, by)
    return str(caught.value)


def test_both_have_to_sign(store: Store, place: Any) -> None:
    with pytest.raises(CutoverError, match="nothing to sign off"):
        complete(store, place)
    go(store, place.environment)
    assert not complete(store, place)
    assert sign(store, place, OPS, "ann", dry=True)[0] and not complete(store, place)
    changed, found = sign(store, place, OPS, "ann")
    assert changed and found["missing"] == [DEV] and not found["complete"]
    assert not sign(store, place, OPS, "Ann")[0]
    changed, found = sign(store, place, DEV, "dora")
    assert changed and found["complete"] and complete(store, place)
    first = found["signatures"][0]
    assert (first["role"], first["by"], first["operator"], first["seq"]) == (OPS, "ann", "root@controller", 2)
    assert first["hash"] == ledger.read(store)[1]["hash"]
    assert signoff.lines(found)[0] == "hypercare of run run-1 is signed off"


def test_a_signature_is_for_one_run_and_one_thing(store: Store, place: Any) -> None:
    go(store, place.environment)
    sign(store, place, OPS, "ann")
    sign(store, place, DEV, "dora")
    details: dict[str, str] = {}
    assert not signatures.sign(store, place.environment, "launch", RULES, OPS, "ann", details)[1]["complete"]
    go(store, place.environment, "run-2", "no_go")
    assert complete(store, place)
    go(store, place.environment, "run-3")
    assert not complete(store, place) and complete(store, place, run="run-1")
    with pytest.raises(CutoverError, match="knows no run run-9"):
        complete(store, place, run="run-9")


def test_who_may_not_sign(store: Store, place: Any) -> None:
    go(store, place.environment)
    assert "is no role that signs" in refused(store, place, "Operation Lead", "ann")
    assert refused(store, place, OPS, "carl") == "carl may not sign as Operations Lead; that may ann, bob"
    assert refused(store, place, DEV, " ") == "nobody is named"
    sign(store, place, OPS, "ann")
    assert "one person does not sign twice" in refused(store, place, DEV, "ANN")
    assert "ann has signed as Operations Lead already" in refused(store, place, OPS, "bob")
    # Whoever let it be written: it does not count.
    twice = {"of": "hypercare", "role": DEV, "by": "\u00a0ANN "}
    ledger.append(store, place.environment, "run-1", signoff.SIGNED, twice)
    found = signatures.read(store, place.environment, "hypercare", RULES)
    assert not found["complete"] and "one person" in found["not_counted"][0]["why"]
    assert any("one person does not sign twice" in line for line in signoff.lines(found))


def test_the_exit_of_hypercare_needs_two_people_whatever_the_rules_say(store: Store, place: Any) -> None:
    go(store, place.environment)
    same = signoff.read_rules([OPS, DEV], {}, distinct=False)
    for attempt in (lambda: sign(store, place, OPS, "ann", same), lambda: complete(store, place, same)):
        with pytest.raises(InputError, match="distinct: the exit of hypercare needs a person of its own for each role"):
            attempt()
    sign(store, place, OPS, "ann")
    assert "one person does not sign twice" in refused(store, place, DEV, " Ann\t")
    assert "one person does not sign twice" in refused(store, place, DEV, "\uff21nn"), "a letter of another width"
    asked = {"exit_criteria": [{"name": "No incident", "checks": ["HYPERCARE-INCIDENTS"]}]}
    watch = hypercare.find_watch(ledger.read(store))
    for distinct, fine in ((True, True), ("true", True), (False, False), ("false", False), (None, False)):
        params = {"signatures": {"required": [OPS, DEV], "distinct": distinct}, "environment": place.environment, **asked}
        params.update(store=place.address, host="web-1", given={})
        known = hypercare.states(watch, hypercare.CHECKPOINTS, [], watch.start)
        if fine:
            assert module._exit(params, store, ledger.read(store), watch, known, watch.start)[1]["status"] == "fail"
        else:
            with pytest.raises(InputError, match=r"signatures\.distinct: the exit of hypercare needs a person of its own"):
                module._exit(params, store, ledger.read(store), watch, known, watch.start)
    # Something else may be signed by one person for two roles.
    for role in (OPS, DEV):
        found = signatures.sign(store, place.environment, "launch", same, role, "ann", {})[1]
    assert found["complete"]


def test_withdrawn_and_signed_again(store: Store, place: Any) -> None:
    go(store, place.environment)
    sign(store, place, OPS, "ann")
    assert not sign(store, place, DEV, "dora", withdraw=True)[0]
    changed, found = sign(store, place, OPS, "ANN", withdraw=True)
    assert changed and found["missing"] == [OPS, DEV]
    assert sign(store, place, OPS, "bob")[0]
    assert [one["event"] for one in ledger.read(store)][1:] == ["signed", "signature_withdrawn", "signed"]


def test_a_signature_that_does_not_count_can_be_withdrawn_too(store: Store, place: Any) -> None:
    """Otherwise it would count as soon as the one is withdrawn that stands before it."""
    anybody = signoff.read_rules([OPS])
    go(store, place.environment)
    sign(store, place, OPS, "ann", anybody)
    # Both signed in the same moment.
    ledger.append(store, place.environment, "run-1", signoff.SIGNED, {"of": "hypercare", "role": OPS, "by": "bob"})
    assert sign(store, place, OPS, "Bob", anybody, withdraw=True)[0]
    assert not sign(store, place, OPS, "bob", anybody, withdraw=True)[0]
    assert complete(store, place, anybody)
    assert sign(store, place, OPS, "ann", anybody, withdraw=True)[0]
    assert not complete(store, place, anybody)


def test_nobody_signs_a_watch_before_it_has_begun(store: Store, place: Any) -> None:
    """Nor for an earlier run that had the same id."""
    anybody = signoff.read_rules([OPS])
    ledger.append(store, place.environment, "run-1", "run_begun", {"kind": "cutover"})
    ledger.append(store, place.environment, "run-1", signoff.SIGNED, {"of": "hypercare", "role": OPS, "by": "ann"})
    go(store, place.environment)
    assert not complete(store, place, anybody)
    sign(store, place, OPS, "ann", anybody)
    assert complete(store, place, anybody)
    go(store, place.environment)
    assert not complete(store, place, anybody)


def test_who_signed_before_the_last_look_must_sign_again(store: Store, place: Any) -> None:
    """He has not seen what it found."""

    def look(checkpoint: str, watch: str = "run-1") -> None:
        data = {"watch": watch, "checkpoint": checkpoint, "decision": "go"}
        ledger.append(store, place.environment, "look-1", hypercare.EVENT, data)

    go(store, place.environment)
    look("T+24h")
    sign(store, place, OPS, "ann")
    sign(store, place, DEV, "dora")
    look("T+48h", "run-0")
    assert complete(store, place), "a look at another watch"
    look("T+48h")
    found = signatures.read(store, place.environment, "hypercare", RULES)
    assert not found["complete"] and found["missing"] == [OPS, DEV] and found["signatures"] == []
    refusal = closing.judge_signatures(found, 0.0)
    assert refusal["status"] == "fail"
    assert "Operations Lead by ann does not count: signed at " in refusal["reason"]
    assert ", before the look at T+48h at " in refusal["reason"] and "dora must sign again" in refusal["reason"]
    changed, found = sign(store, place, OPS, "Ann")
    assert changed and found["missing"] == [DEV], "the one before does not stand in the way"
    assert [one["by"] for one in found["not_counted"]] == ["dora"]
    assert sign(store, place, DEV, "carl")[1]["complete"] and complete(store, place)
    assert "sign again" not in str(signatures.read(store, place.environment, "hypercare", RULES))
    assert sign(store, place, OPS, "ann", withdraw=True)[0]
    assert not sign(store, place, OPS, "ann", withdraw=True)[0], "neither of the two is left"
    assert not complete(store, place)
    # What is signed of something else is not about the watch.
    details: dict[str, str] = {}
    signatures.sign(store, place.environment, "launch", signoff.read_rules([OPS]), OPS, "ann", details)
    look("T+48h")
    assert signatures.complete(store, place.environment, "launch", signoff.read_rules([OPS]))


def test_in_a_ledger_that_was_changed_nothing_counts(store: Store, place: Any) -> None:
    go(store, place.environment)
    sign(store, place, OPS, "ann")
    sign(store, place, DEV, "dora")
    place.set_lines([line.replace('"by":"dora"', '"by":"emil"') for line in place.lines()])
    with pytest.raises(LedgerBroken):
        complete(store, place)


@pytest.mark.parametrize("required", [[], None, "Operations Lead", [OPS, OPS], [""]])
def test_rules_that_could_never_miss_anything_are_refused(required: Any) -> None:
    with pytest.raises(InputError):
        signoff.read_rules(required)


def test_rules_about_roles_that_do_not_sign_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'Operations Lead'"):
        signoff.read_rules([OPS], {"Operation Lead": ["ann"]})
    with pytest.raises(InputError, match="expected names"):
        signoff.read_rules([OPS], {OPS: []})
    assert signoff.read_rules([OPS], {OPS: "ann"}).may(OPS, "Ann")


def test_the_playbook(ansible_playbook: Callable[..., Any], run_module: Callable[..., Any], tmp_path: Path) -> None:
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    variables = {
        "cutover_environment": "spark",
        "cutover_store": f"sqlite://{tmp_path}/{{{{ inventory_hostname }}}}.db",
        "cutover_operator": "awx-user",
        "cutover_controller": "awx",
        "signoff_required": [OPS, DEV],
    }
    for host in ("web-1", "web-2"):
        ended = {"run": "run-1", "event": "run_ended", "data": {"kind": "cutover", "decision": "go"}}
        run_module("ledger", {"store": f"sqlite://{tmp_path}/{host}.db", "environment": "spark", **ended})

    def play(*arguments: str, **more: Any) -> Any:
        inventory = {"all": {"hosts": {"web-1": {**here}, "web-2": {**here}}, "vars": {**variables}}}
        return ansible_playbook("golive.cutover.signoff", *arguments, inventory=inventory, extra_vars=more)

    shown = play(signoff_needed=True)
    assert shown.rc != 0 and "Operations Lead: not signed" in shown.output
    first = play(signoff_as=OPS, signoff_by="ann", signoff_statement="No incident.")
    assert first.rc == 0 and first.changed() == 2, first.output
    assert play(signoff_as=OPS, signoff_by="ann").changed() == 0
    assert "one person does not sign twice" in play(signoff_as=DEV, signoff_by="ann").output
    second = play(signoff_as=DEV, signoff_needed=True)
    assert second.rc == 0 and "hypercare of run run-1 is signed off" in second.output, second.output
    assert "Development Lead: awx-user" in second.output and "Operations Lead: ann" in second.output

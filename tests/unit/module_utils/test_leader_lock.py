# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of a lock and of what the instances said: only a proof lets it go."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils import leader_lock as locks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.leader_lock import Instance, Look, Sight

RAW: dict[str, Any] = {
    "instances": {"e-1": {"health": "http://h:1/health"}, "e-2": {"health": "http://h:2/health"}},
    "lock": {"url": "redis://h", "key": "lock"},
    "hold": "2s",
}
OPTIONS = locks.read(RAW, {})
OF_1 = b"e-1:7:aa"
SAYS_NO = {"refused": False}
GONE = {"answers": False, "why": "connection refused"}
SILENT = {"answers": False, "refused": False, "why": "no complete answer"}
LEADS = {"refused": False, "leads": True}


def seen(sights: list[Sight], one: dict[str, Any], two: dict[str, Any], leaders: Any = None, whole: bool = True) -> Look:
    instances = {"e-1": Instance(**one), "e-2": Instance(**two)}
    named = {name for name, each in instances.items() if each.leads}
    return Look(sights, instances, leaders if leaders is not None else [named] * 3, window=2.0, whole=whole)


def found(*arguments: Any, **more: Any) -> locks.Finding:
    return locks.judge(OPTIONS, seen(*arguments, **more), 60.0)


STUCK = [Sight(OF_1)] * 3


@pytest.mark.parametrize(
    ("holder", "proof"), [(SAYS_NO, "says in each of 3 rounds"), (GONE, "nobody listens at the addresses of e-1")]
)
@pytest.mark.parametrize("other", [SAYS_NO, GONE])
def test_a_lock_without_an_end_whose_holder_is_proven_not_to_lead(holder: Any, proof: str, other: Any) -> None:
    finding = found(STUCK, holder, other)
    assert (finding.state, finding.holder) == ("stale", "e-1")
    assert proof in finding.proof
    assert "never expires" in finding.reason


@pytest.mark.parametrize(("one", "two", "who"), [(SILENT, SAYS_NO, "e-1"), (GONE, SILENT, "e-2")])
def test_silence_is_no_proof(one: Any, two: Any, who: str) -> None:
    finding = found(STUCK, one, two)
    assert finding.state == "uncertain"
    assert f"{who} may lead" in finding.reason and "no complete answer" in finding.reason


def test_a_living_leader_keeps_its_lock_even_when_it_never_expires() -> None:
    assert found(STUCK, LEADS, GONE).state == "led"


def test_a_leader_that_does_not_hold_the_lock_makes_it_uncertain() -> None:
    assert "e-2 says that it leads, but e-1 holds lock" in found(STUCK, SAYS_NO, LEADS).reason
    assert found([Sight()] * 3, SAYS_NO, LEADS).state == "uncertain"


def test_two_leaders_are_not_a_matter_of_the_lock() -> None:
    finding = found(STUCK, LEADS, LEADS)
    assert finding.state == "uncertain" and "e-1 and e-2 lead at the same time" in finding.reason


def test_one_that_led_at_the_beginning_may_lead_again() -> None:
    finding = found(STUCK, LEADS, SAYS_NO, leaders=[{"e-1"}, set(), set()])
    assert finding.state == "uncertain" and "look again" in finding.reason


@pytest.mark.parametrize(
    ("sights", "sign"),
    [
        ([Sight(OF_1, 900), Sight(OF_1, 1000)], "renewed"),
        ([Sight(OF_1), Sight(OF_1, 1000)], "renewed"),
        ([Sight(OF_1, 900), Sight(OF_1)], "last for ever"),
        ([Sight(OF_1), Sight(b"e-2:1:bb")], "changed hands"),
        ([Sight(), Sight(OF_1)], "changed hands"),
    ],
)
def test_who_touches_the_lock_is_alive(sights: list[Sight], sign: str) -> None:
    finding = found(sights, SAYS_NO, SAYS_NO)
    assert finding.state == "uncertain" and sign in finding.reason


def test_a_lock_that_ends_by_itself_is_left_to_end() -> None:
    assert found([Sight(OF_1, 5000), Sight(OF_1, 3000)], GONE, SAYS_NO).state == "expiring"
    long = found([Sight(OF_1, 4_000_000), Sight(OF_1, 3_998_000)], GONE, SAYS_NO)
    assert long.state == "stale" and "is not renewed" in long.reason


def test_a_free_lock() -> None:
    assert found([Sight()] * 3, SAYS_NO, GONE).state == "free"
    assert found([Sight(OF_1, 100), Sight()], SAYS_NO, SAYS_NO).state == "free"


def test_a_holder_that_nobody_knows_may_be_alive() -> None:
    finding = found([Sight(b"e-9:1:x")] * 3, SAYS_NO, SAYS_NO)
    assert finding.state == "uncertain" and "e-9, which is none of those" in finding.reason
    assert found([Sight(b"\xff\xfe")] * 3, SAYS_NO, SAYS_NO).state == "uncertain"


def test_a_look_that_was_cut_off_proves_nothing() -> None:
    assert "cut off" in found(STUCK, SAYS_NO, SAYS_NO, whole=False).reason


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hold": "0s"}, "leader.hold: is required"),
        ({"lock": None}, "leader.lock: is required"),
        ({"instances": {}}, "leader.instances"),
        ({"lock": {"key": "k", "url": "redis://h", "password": {"secret": "none"}}}, "there is no secret named 'none'"),
    ],
)
def test_options_that_are_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        locks.read({**RAW, **change}, {})

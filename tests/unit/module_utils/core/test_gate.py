# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.gate import blocking, decide, read_policy
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import STATUSES


def one(id: str, status: str = "pass", required: bool = True, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"id": id, "title": id.lower(), "status": status, "required": required, "reason": "because", "tags": list(tags)}


def host(*verdicts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"asked": [v["id"] for v in verdicts], "verdicts": list(verdicts), "steps": [], "failed": None, **more}


def test_all_good_is_go() -> None:
    decision = decide({"h": host(one("A"), one("B", "warn"))}, ["h"], read_policy({}))
    assert (decision.decision, decision.reasons) == ("go", [])
    assert decision.counts == {"pass": 1, "warn": 1, "fail": 0, "inconclusive": 0, "skip": 0}


@pytest.mark.parametrize(
    ("evidence", "hosts", "reason"),
    [
        ({}, [], "no host was asked"),
        ({}, ["h"], "h: no evidence"),
        ({"h": host()}, ["h"], "no check has a verdict"),
        ({"h": host(one("A"))}, ["h", "i"], "i: no evidence"),
        ({"h": host(one("A")), "i": host()}, ["h"], "i: no check has a verdict"),
        ({"h": host(one("A"), asked=["A", "B"])}, ["h"], "asked but without a verdict: B"),
        ({"h": host(one("A"), one("B", "fail"))}, ["h"], "B (b) fail: because"),
        ({"h": host(one("A"), one("B", "inconclusive"))}, ["h"], "B (b) inconclusive: because"),
        ({"h": host(one("A"), one("B", "skip"))}, ["h"], "B (b) skip"),
        ({"h": host(one("A"), one("B", "odd"))}, ["h"], "B (b) odd"),
        ({"h": host(one("B", "skip", required=False))}, ["h"], "not one check has passed"),
        ({"h": host(one("A"), failed={"step": "deploy", "task": "t", "message": "no\nmore"})}, ["h"], "step deploy failed (t): no"),
        ({"h": {"verdicts": [{"id": "A", "status": "fail"}], "asked": ["A"]}}, ["h"], "A (None) fail"),
    ],
)
def test_what_is_missing_or_bad_is_no_go(evidence: dict[str, Any], hosts: list[str], reason: str) -> None:
    decision = decide(evidence, hosts, read_policy({}))
    assert decision.decision == "no_go"
    assert any(reason in line for line in decision.reasons), decision.reasons


def test_nice_to_have_warns_and_never_blocks() -> None:
    assert decide({"h": host(one("A"), one("N", "fail", required=False))}, ["h"], read_policy({})).decision == "go"


RATE = {"criteria": [{"name": "Regression", "tags": ["regression"], "pass_rate": "95%"}]}


@pytest.mark.parametrize(("bad", "decision"), [(0, "go"), (1, "go"), (2, "no_go")])
def test_a_pass_rate_speaks_for_its_checks(bad: int, decision: str) -> None:
    verdicts = [one(str(n), "fail" if n < bad else "pass", tags=("regression",)) for n in range(20)]
    assert decide({"h": host(*verdicts)}, ["h"], read_policy(RATE)).decision == decision


def test_the_bounds_stand_beside_the_ratio() -> None:
    """Of the worst host; where two are as bad, of the one that was asked less. All passed: the lower bound is n/(n + 1.96²)."""
    of = [one(str(number), tags=("regression",)) for number in range(20)]
    policy = read_policy(RATE)
    assert decide({"h": host(*of)}, ["h"], policy).criteria[0]["detail"] == (
        "20 of 20 good; 100 %, 95 % needed, bounds 83.89 % to 100 % (95 %, Wilson)"
    )
    both = decide({"h": host(*of), "i": host(*of[:2])}, ["h", "i"], policy).criteria[0]["detail"]
    assert both == "22 of 22 good; on the worst host 100 %, 95 % needed, bounds 34.24 % to 100 % (95 %, Wilson)"


def test_a_pass_rate_that_only_matters_a_little_does_not_excuse_a_required_check() -> None:
    policy = {"criteria": [{**RATE["criteria"][0], "required": False}]}
    verdicts = [one(str(n), "fail" if n < 1 else "pass", tags=("regression",)) for n in range(20)]
    assert decide({"h": host(*verdicts)}, ["h"], read_policy(policy)).decision == "no_go"


@pytest.mark.parametrize(
    ("criterion", "evidence", "met"),
    [
        ({"tags": ["smoke"]}, host(one("A", tags=("smoke",))), True),
        ({"tags": ["smoke"]}, host(one("A")), None),
        ({"tags": ["smoke"]}, host(one("A"), one("S", "skip", required=False, tags=("smoke",))), None),
        ({"checks": ["A", "B"]}, host(one("A")), False),
        ({"tags": ["t"]}, host(one("A", tags=("t",)), one("N", "fail", required=False, tags=("t",))), True),
        ({"tags": ["t"]}, host(one("A"), one("N", "pass", required=False, tags=("t",))), None),
        ({"checks": ["N"]}, host(one("A"), one("N", "fail", required=False)), False),
        ({"tags": ["t"], "pass_rate": "60%"}, host(one("A", tags=("t",)), one("N", "fail", required=False, tags=("t",))), False),
        ({"steps": ["deploy"]}, host(one("A"), steps=[{"name": "deploy", "status": "ok"}]), True),
        ({"steps": ["deploy"]}, host(one("A"), steps=[{"name": "deploy", "status": "over"}]), True),
        ({"steps": ["deploy"]}, host(one("A"), steps=[{"name": "deploy", "status": "failed"}]), False),
        ({"steps": ["deploy"]}, host(one("A")), False),
    ],
)
def test_a_criterion_needs_an_answer(criterion: dict[str, Any], evidence: dict[str, Any], met: bool | None) -> None:
    decision = decide({"h": evidence}, ["h"], read_policy({"criteria": [{"name": "C", **criterion}]}))
    assert decision.criteria[0]["met"] is met
    assert (decision.decision == "go") is (met is True)
    wish = decide({"h": evidence}, ["h"], read_policy({"criteria": [{"name": "C", "required": False, **criterion}]}))
    assert wish.decision == "go"


def test_warnings_may_be_limited() -> None:
    evidence = {"h": host(one("A", "warn"), one("B", "warn"))}
    assert decide(evidence, ["h"], read_policy({"max_warnings": 2})).decision == "go"
    assert decide(evidence, ["h"], read_policy({"max_warnings": 1})).decision == "no_go"


def test_a_check_that_two_steps_asked_needs_two_verdicts() -> None:
    evidence = {"h": {"asked": ["A", "A"], "verdicts": [one("A")], "steps": [], "failed": None}}
    decision = decide(evidence, ["h"], read_policy({}))
    assert (decision.decision, decision.reasons) == ("no_go", ["h: asked but without a verdict: A"])


@pytest.mark.parametrize(
    "policy",
    [
        {"criterion": []},
        {"criteria": "x"},
        {"criteria": [{"name": "C"}]},
        {"criteria": [{"tags": ["x"]}]},
        {"criteria": [{"name": "C", "steps": ["x"], "pass_rate": "95%"}]},
        {"criteria": [{"name": "C", "tags": ["x"], "pass_rate": 95}]},
        {"criteria": [{"name": "C", "tags": ["x"], "pass_rate": "0%"}]},
        {"max_warnings": -1},
        {"max_warnings": "few"},
    ],
)
def test_a_policy_with_mistakes_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_policy(policy)


verdicts = st.lists(
    st.builds(
        one,
        id=st.sampled_from("ABCDEF"),
        status=st.sampled_from(STATUSES),
        required=st.booleans(),
        tags=st.sampled_from([(), ("t",), ("t", "u")]),
    ),
    max_size=8,
)
policies = st.sampled_from(
    [
        {},
        {"max_warnings": 1},
        {"criteria": [{"name": "T", "tags": ["t"], "pass_rate": "50%"}]},
        {"criteria": [{"name": "T", "tags": ["t"]}, {"name": "U", "tags": ["u"], "required": False}]},
        {"criteria": [{"name": "A", "checks": ["A"]}, {"name": "S", "steps": ["deploy"]}]},
    ]
)
WORSE = {"pass": ("warn", "fail", "inconclusive", "skip"), "warn": ("fail", "inconclusive")}
WORSE.update(dict.fromkeys(("skip", "fail", "inconclusive"), ()))


@given(verdicts=verdicts, policy=policies, deployed=st.booleans(), data=st.data())
def test_nothing_that_gets_worse_turns_no_go_into_go(
    verdicts: list[dict[str, Any]], policy: Any, deployed: bool, data: Any
) -> None:
    read = read_policy(policy)
    steps = [{"name": "deploy", "status": "ok"}] if deployed else []
    before = {"h": host(*verdicts, steps=steps)}
    assume(decide(before, ["h"], read).decision == "no_go")
    worse = copy.deepcopy(before)
    kind = data.draw(st.sampled_from(["status", "lose verdict", "lose host", "lose step", "fail host"]))
    if kind == "status":
        candidates = [v for v in worse["h"]["verdicts"] if WORSE[v["status"]]]
        assume(candidates)
        chosen = data.draw(st.sampled_from(candidates))
        chosen["status"] = data.draw(st.sampled_from(WORSE[chosen["status"]]))
    elif kind == "lose verdict":
        assume(worse["h"]["verdicts"])
        worse["h"]["verdicts"].pop(data.draw(st.integers(0, len(verdicts) - 1)))
    elif kind == "lose host":
        worse = {}
    elif kind == "lose step":
        worse["h"]["steps"] = []
    else:
        worse["h"]["failed"] = {"step": "x", "message": "y"}
    assert decide(worse, ["h"], read).decision == "no_go"


@given(verdicts=verdicts, policy=policies)
def test_what_is_missing_never_passes(verdicts: list[dict[str, Any]], policy: Any) -> None:
    """Whatever is asked: a verdict that is not there, or not good, of a required check without a pass rate, is NO-GO."""
    read = read_policy(policy)
    lost = host(*verdicts, asked=[v["id"] for v in verdicts] + ["Z"])
    assert decide({"h": lost}, ["h"], read).decision == "no_go"
    if blocking(verdicts, read):
        assert decide({"h": host(*verdicts)}, ["h"], read).decision == "no_go"


def test_good_hosts_do_not_outvote_a_broken_one() -> None:
    good = [host(*[one(str(n), tags=("regression",)) for n in range(18)]) for _ in range(19)]
    broken = host(*[one(str(n), "fail", tags=("regression",)) for n in range(18)])
    evidence = {f"h{n}": of_host for n, of_host in enumerate([*good, broken])}
    decision = decide(evidence, list(evidence), read_policy(RATE))
    assert decision.decision == "no_go"
    assert "on the worst host 0 %" in decision.criteria[0]["detail"]


def test_causes_are_the_checks_that_do_not_hold_and_the_steps_that_failed_by_themselves() -> None:
    policy = read_policy({"criteria": [{"name": "Steps", "steps": ["deploy", "smoke", "load"]}, *RATE["criteria"]]})
    reached = [{"name": "deploy", "status": "ok"}, {"name": "smoke", "status": "failed"}]
    blocked = {"step": "smoke", "task": None, "message": "blocked by B"}
    seen = {
        "a": host(one("A"), one("B", "fail", tags=("smoke",)), steps=reached, failed=blocked),
        "b": host(one("R", "fail", tags=("regression",)), one("N", "fail", required=False), steps=reached),
        "c": host(one("A"), steps=[], failed={"step": "deploy", "task": "Run", "message": "no"}),
        "d": None,
        "e": host(one("A"), state="lost", failed={"step": "deploy", "task": None, "message": "the host was lost"}),
        "f": host(failed={"step": "-", "task": None, "message": "not begun, because the cutover had stopped at b"}),
    }
    decision = decide({name: it for name, it in seen.items() if it}, list(seen), policy)
    assert decision.causes == [
        {"host": "a", "check": "B", "tags": ["smoke"]},
        {"host": "b", "check": "R", "tags": ["regression"]},
        {"host": "c", "step": "deploy"},
        {"host": "d", "other": "the host was lost or never reached"},
        {"host": "e", "other": "the host was lost or never reached"},
    ]


def test_a_no_go_always_has_a_cause() -> None:
    warned = decide({"h": host(one("A", "warn"))}, ["h"], read_policy({"max_warnings": 0}))
    assert warned.causes == [{"host": None, "other": "1 warnings, 0 allowed"}]
    assert decide({"h": host(one("A"))}, ["h"], read_policy({})).causes == []

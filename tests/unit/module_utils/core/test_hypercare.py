# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Checkpoints of a watch, and what may be said about the whole time: never more than was looked at."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import (
    CHECKPOINTS,
    Asked,
    Look,
    NothingToWatch,
    Watch,
    choose,
    clock_jumps,
    continuously,
    find_watch,
    judge_checkpoints,
    judge_looks,
    ledger_jumps,
    looks_of,
    read_checkpoints,
    since,
    since_go,
    states,
    stretches,
    utc,
)
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import Point

GO = 1_763_700_000.0
HOUR = 3600.0
WATCH = Watch("run-1", "1.0.0", GO)


def ended(run: str = "run-1", kind: str = "cutover", decision: str = "go", at: float = GO, **data: Any) -> dict[str, Any]:
    return {
        "time": utc(at),
        "run": run,
        "event": "run_ended",
        "data": {"kind": kind, "decision": decision, "release": "1.0.0", **data},
    }


def looked(name: str, decision: str = "go", late: float = 60.0) -> Look:
    after = next(one.after for one in CHECKPOINTS if one.name == name)
    return Look(name, GO + after + late, decision)


def at(hours: float, looks: Optional[list[Look]] = None) -> dict[str, str]:
    return {one.name: one.state for one in states(WATCH, CHECKPOINTS, looks or [], GO + hours * HOUR)}


# ---------------------------------------------------------------------------------------------------------------------
# The watch


def test_a_watch_begins_with_the_newest_go_of_the_ledger() -> None:
    entries = [
        ended("old", at=GO - 9 * HOUR),
        ended("refused", decision="no_go", at=GO - HOUR),
        ended(),
        {"time": utc(GO + 5), "run": "x", "event": "step_ended", "data": {}},
    ]
    assert find_watch(entries) == Watch("run-1", "1.0.0", GO)
    old = find_watch(entries, "old")
    assert old.start == GO - 9 * HOUR
    assert [one.run for one in old.interruptions] == ["refused", "run-1"]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [ended(decision="no_go")],
        [ended(kind="verify")],
        [ended(), ended("back", "rollback", at=GO + HOUR, rollback={"strategy": "previous_release"})],
    ],
)
def test_without_a_go_whose_release_stayed_there_is_nothing_to_watch(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(NothingToWatch):
        find_watch(entries)


def test_a_run_that_changed_something_after_the_go_is_seen() -> None:
    entries = [ended(), ended("stop", "rollback", at=GO + HOUR, rollback={"strategy": "stop_scheduler"})]
    watch = find_watch(entries)
    assert watch.run == "run-1"
    known = states(watch, CHECKPOINTS, [looked(one.name) for one in CHECKPOINTS[:-1]], GO + 48 * HOUR)
    verdict = judge_checkpoints(watch, known, known[-1])
    assert verdict["status"] == "fail"
    assert "a rollback ended in GO at" in verdict["reason"]


def test_a_cutover_that_died_may_have_changed_anything() -> None:
    begun = {"time": utc(GO + HOUR), "run": "died", "event": "run_begun", "data": {"kind": "cutover", "release": "2.0.0"}}
    watch = find_watch([ended(), begun])
    assert (watch.run, [one.run for one in watch.interruptions]) == ("run-1", ["died"])
    known = states(watch, CHECKPOINTS, [looked(one.name) for one in CHECKPOINTS[:-1]], GO + 48 * HOUR)
    verdict = judge_checkpoints(watch, known, known[-1])
    assert verdict["status"] == "fail" and "the ledger does not know how it ended" in verdict["reason"]
    looking = {**begun, "data": {"kind": "hypercare"}}
    assert find_watch([ended(), looking]).interruptions == ()
    assert len(find_watch([ended(), begun, ended("died", decision="no_go", at=GO + 2 * HOUR)]).interruptions) == 1


def test_what_came_after_the_go_is_known_by_the_order_of_the_ledger() -> None:
    before = {"time": utc(GO - 5), "run": "x", "event": "a", "data": {}}
    after = {**before, "event": "b"}  # the clock was put back
    assert [one["event"] for one in since_go([before, ended(), after], WATCH)] == ["run_ended", "b"]


def test_the_emergency_stop_of_a_live_watch_came_in_between_and_a_watch_without_one_did_not() -> None:
    stopped = ended("live", "watch", "no_go", at=GO + HOUR, rollback={"strategy": "stop_scheduler"})
    assert [one.run for one in find_watch([ended(), stopped]).interruptions] == ["live"]
    assert find_watch([ended(), ended("live", "watch", at=GO + HOUR, rollback=None)]).interruptions == ()
    gone = ended("live", "watch", "no_go", at=GO + HOUR, rollback={"strategy": "previous_release"})
    with pytest.raises(NothingToWatch):
        find_watch([ended(), gone])


def began(run: str, kind: str = "cutover", after: float = HOUR, **data: Any) -> dict[str, Any]:
    return {"time": utc(GO + after), "run": run, "event": "run_begun", "data": {"kind": kind, **data}}


def test_in_a_ledger_that_hosts_share_a_run_ends_on_each_of_them() -> None:
    both = [began("later", host="web-1"), began("later", host="web-2")]
    one = find_watch([ended(), *both, ended("later", decision="no_go", at=GO + 2 * HOUR, host="web-1")])
    assert [(of.run, of.host, of.decision) for of in one.interruptions] == [
        ("later", "web-1", "no_go"),
        ("later", "web-2", hypercare.NOT_ENDED),
    ]
    assert one.interruptions[1].told().endswith("how it ended (run later on web-2)")
    # One of the hosts has not heard of the GO.
    begun = [began("run-1", after=-HOUR, host=host) for host in ("web-1", "web-2")]
    assert [of.host for of in find_watch([*begun, ended(host="web-1")]).interruptions] == ["web-2"]
    assert find_watch([*begun, ended(host="web-1"), ended(host="web-2")]).interruptions == ()


def test_entries_of_an_earlier_version_name_no_host() -> None:
    for begun in ([began("later")], [began("later", host="web-1"), began("later", host="web-2")], [began("later"), began("later")]):
        for host in ({}, {"host": "web-1"}) if "host" not in begun[0]["data"] else ({},):
            entries = [ended(), *begun, ended("later", decision="no_go", at=GO + 2 * HOUR, **host)]
            assert [of.decision for of in find_watch(entries).interruptions] == ["no_go"]


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints


def test_the_checkpoints_are_those_of_the_runbook() -> None:
    assert [(one.name, one.after) for one in CHECKPOINTS] == [
        ("T+0", 0),
        ("T+15m", 900),
        ("T+1h", HOUR),
        ("T+4h", 4 * HOUR),
        ("T+12h", 12 * HOUR),
        ("T+24h", 24 * HOUR),
        ("T+48h", 48 * HOUR),
    ]
    written = [{"name": one.name, "tolerance": f"{one.tolerance:g}s"} for one in CHECKPOINTS]
    assert read_checkpoints(written) == CHECKPOINTS


def test_a_checkpoint_waits_is_due_and_is_missed() -> None:
    assert at(3.9)["T+4h"] == "waiting"
    assert at(4.0)["T+4h"] == "due"
    assert at(6.0)["T+4h"] == "due"
    assert at(6.01)["T+4h"] == "missed"
    assert at(6.01, [looked("T+4h")])["T+4h"] == "passed"
    assert at(6.01, [looked("T+4h", "no_go")])["T+4h"] == "failed"


def test_a_late_look_is_kept_and_makes_nothing_good() -> None:
    late = looked("T+4h", "go", late=2 * HOUR + 1)
    state = states(WATCH, CHECKPOINTS, [late], GO + 7 * HOUR)[3]
    assert (state.state, state.look, state.late) == ("missed", None, late)
    assert "MISSED" in hypercare.lines(WATCH, [state], GO + 7 * HOUR)[1]


def test_a_look_may_be_repeated_while_its_time_lasts() -> None:
    assert at(5, [looked("T+4h", "no_go"), looked("T+4h", "go", late=1200)])["T+4h"] == "passed"
    assert at(5, [looked("T+4h", "go"), looked("T+4h", "no_go", late=1200)])["T+4h"] == "failed"


def test_the_one_that_is_due_is_chosen() -> None:
    def chosen(hours: float, looks: Optional[list[Look]] = None) -> Optional[str]:
        now = GO + hours * HOUR
        found = choose(states(WATCH, CHECKPOINTS, looks or [], now), now)
        return found.name if found else None

    assert chosen(0) == "T+0"
    assert chosen(0.3) == "T+15m"
    assert chosen(4.5) == "T+4h"
    assert chosen(4.5, [looked("T+4h")]) is None
    assert chosen(4.5, [looked("T+4h", "no_go")]) == "T+4h"
    assert chosen(7) is None


def test_a_checkpoint_that_is_not_due_or_not_there_is_refused() -> None:
    known = states(WATCH, CHECKPOINTS, [], GO + HOUR)
    with pytest.raises(InputError, match=r"T\+4h is due at .*, in 3 h"):
        choose(known, GO + HOUR, "T+4h")
    with pytest.raises(InputError, match="unknown checkpoint"):
        choose(known, GO + HOUR, "T+5h")
    missed = choose(known, GO + HOUR, "T+15m")
    assert missed is not None and missed.state == "missed"


def test_a_checkpoint_judges_from_the_one_before_and_the_last_one_everything() -> None:
    known = states(WATCH, CHECKPOINTS, [], GO + 48 * HOUR)
    assert since(WATCH, known, known[0]) == GO
    assert since(WATCH, known, known[3]) == GO + HOUR
    assert since(WATCH, known, known[-1]) == GO


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "no checkpoint"),
        ("T+0", "list"),
        ([{"name": "4h", "tolerance": "1m"}], r"T\+ and a time"),
        ([{"name": "T+4h"}], "tolerance"),
        ([{"name": "T+4h", "tolerance": "1m"}, {"name": "T+1h", "tolerance": "1m"}], "does not come after"),
        ([{"name": "T+1h", "tolerance": "4h"}, {"name": "T+4h", "tolerance": "1m"}], "reaches beyond"),
    ],
)
def test_checkpoints_that_make_no_watch_are_refused(raw: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_checkpoints(raw)


def test_looks_of_another_watch_do_not_count() -> None:
    data = {"checkpoint": "T+0", "at": GO + 5, "decision": "go"}
    entries = [
        {"time": utc(GO + 9), "run": "h1", "event": hypercare.EVENT, "data": {**data, "watch": "other"}},
        {"time": utc(GO + 9), "run": "h2", "event": hypercare.EVENT, "data": {**data, "watch": "run-1"}},
    ]
    assert looks_of(entries, WATCH) == [Look("T+0", GO + 5, "go", "h2")]


@given(
    st.lists(
        st.tuples(st.sampled_from([one.name for one in CHECKPOINTS]), st.floats(0, 60), st.sampled_from(["go", "no_go", "odd"])),
        max_size=12,
    ),
    st.floats(-1, 70),
)
def test_nothing_passes_that_was_not_looked_at_in_its_time(raw: list[tuple[str, float, str]], hours: float) -> None:
    now = GO + hours * HOUR
    looks = [Look(name, GO + when * HOUR, decision) for name, when, decision in raw]
    known = states(WATCH, CHECKPOINTS, looks, now)
    for one in known:
        assert one.state in hypercare.STATES
        good = [look for look in looks if look.checkpoint == one.name and one.due <= look.at <= min(one.until, now)]
        assert (one.state == "passed") == bool(good and good[-1].decision == "go")
        if not good and now > one.until:
            assert one.state == "missed"
    verdict = judge_checkpoints(WATCH, known, known[-1])
    assert (verdict["status"] == "pass") == all(one.state == "passed" for one in known[:-1])


# ---------------------------------------------------------------------------------------------------------------------
# The sampler


def steady(hours: float = 4.0, every: float = 30.0, begin: float = -60.0) -> list[Point]:
    count = int((hours * HOUR - begin) / every)
    found = [Point(GO + begin + number * every, 500.0 + number * every) for number in range(count + 1)]
    return [point for index, point in enumerate(found) if point.at > GO or found[index + 1].at > GO]


def test_a_sampler_that_looked_all_the_time() -> None:
    verdict = judge_looks(steady(), GO, GO + 4 * HOUR)
    assert verdict["status"] == "pass"
    assert verdict["proof"]["samples"] == 480


def test_a_sampler_that_stopped_began_late_or_paused_is_inconclusive() -> None:
    stopped = judge_looks(steady(3), GO, GO + 4 * HOUR)
    assert stopped["status"] == "inconclusive"
    assert "the sampler has stopped: its newest look is 3600 s old" in stopped["reason"]
    late = judge_looks(steady(begin=600), GO, GO + 4 * HOUR)
    assert "began 600 s late" in late["reason"]
    paused = judge_looks([one for one in steady() if not GO + 1000 < one.at < GO + 1200], GO, GO + 4 * HOUR)
    assert paused["status"] == "inconclusive"
    assert "1 gap of up to 210 s" in paused["reason"]
    assert (
        judge_looks([one for one in steady() if not GO + 1000 < one.at < GO + 1200], GO, GO + 4 * HOUR, allowed=300)["status"]
        == "pass"
    )
    assert judge_looks([], GO, GO + 4 * HOUR)["status"] == "inconclusive"


@pytest.mark.parametrize("by", [600.0, -600.0, 20.0, -20.0])
def test_a_clock_that_jumped_is_found(by: float) -> None:
    jumped = [Point(one.at + (by if one.at > GO + 2 * HOUR else 0), one.value) for one in steady()]
    jumped = sorted(jumped)
    found = clock_jumps([Point(one.at, one.value) for one in steady() if one.at <= GO + HOUR])
    assert found == []
    # As the store keeps it: what is not newer than the newest is not there.
    kept: list[Point] = []
    for one in [Point(one.at + (by if one.at > GO + 2 * HOUR else 0), one.value) for one in steady()]:
        if not kept or one.at > kept[-1].at:
            kept.append(one)
    verdict = judge_looks(kept, GO, GO + 4 * HOUR + max(by, 0))
    assert verdict["status"] == "inconclusive"
    assert "the clock jumped" in verdict["reason"]


def test_a_machine_that_was_started_again_is_no_jump() -> None:
    points = [Point(GO, 900.0), Point(GO + 30, 930.0), Point(GO + 60, 5.0), Point(GO + 90, 35.0)]
    assert clock_jumps(points) == []
    assert clock_jumps([Point(GO, 900.0), Point(GO + 100, 930.0)])[0].by == pytest.approx(70)


def test_a_ledger_whose_times_go_back_shows_a_jump() -> None:
    entries = [{"time": utc(GO + one)} for one in (0, 10, 8, 20, -100)]
    assert [jump.by for jump in ledger_jumps(entries)] == [-120]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 479), max_size=40, unique=True))
def test_a_sampler_passes_only_without_a_gap(lost: list[int]) -> None:
    points = [one for number, one in enumerate(steady()) if number not in lost]
    verdict = judge_looks(points, GO, GO + 4 * HOUR, every=30.0)
    ends = [GO, *(one.at for one in points if one.at > GO), GO + 4 * HOUR]
    longest = max(later - earlier for earlier, later in zip(ends, ends[1:]))
    if longest > 75 + 30:
        assert verdict["status"] == "inconclusive"
    if verdict["status"] == "pass":
        assert longest <= 75 + 30
        assert verdict["measures"]["coverage"]["value"] >= 0.9


# ---------------------------------------------------------------------------------------------------------------------
# Continuously


def asked(status: str, reason: str = "because", covered: bool = True, few: bool = False) -> Asked:
    return Asked({"status": status, "reason": reason, "measures": {"value": {"value": 1.0, "unit": ""}}}, covered, few)


@given(st.floats(1, 1e6), st.floats(1, 1e4))
@settings(max_examples=200)
def test_stretches_cover_all_of_the_time(total: float, length: float) -> None:
    if total / length > 2000:
        return
    found = stretches(GO, GO + total, length)
    assert found[0][0] == GO
    assert found[-1][1] == pytest.approx(GO + total)
    for (_start, end), (start, _end) in zip(found, found[1:]):
        assert start <= end - length * 0.49  # a burst of half a stretch lies in one of them as a whole
    assert all(end - start == pytest.approx(min(length, total)) for start, end in found)


def test_an_objective_that_is_met_in_every_stretch() -> None:
    verdict = continuously("SLO-1", "t", lambda _start, _end: asked("pass"), GO, GO + 48 * HOUR, HOUR)
    assert verdict["status"] == "pass"
    assert verdict["measures"]["stretches"]["value"] == 95
    assert "all 95 stretches of 3600 s" in verdict["reason"]


def test_one_bad_stretch_fails_the_whole_time() -> None:
    def ask(start: float, end: float) -> Asked:
        return asked("fail", "value is 25, critical when > 20") if start <= GO + 6.2 * HOUR < end else asked("pass")

    verdict = continuously("E-1", "t", ask, GO, GO + 48 * HOUR, 300)
    assert verdict["status"] == "fail"
    assert "2 of 1151 stretches" in verdict["reason"]
    assert "value is 25" in verdict["reason"]


def test_a_stretch_that_nobody_looked_at_is_inconclusive_and_a_failed_one_still_fails() -> None:
    def blind(start: float, end: float) -> Asked:
        return asked("inconclusive", "not covered", covered=False) if start <= GO + HOUR < end else asked("pass")

    verdict = continuously("E-1", "t", blind, GO, GO + 4 * HOUR, 300)
    assert verdict["status"] == "inconclusive"
    assert verdict["measures"]["uncovered"]["value"] == 2

    def worse(start: float, end: float) -> Asked:
        return asked("fail") if start <= GO + 2 * HOUR < end else blind(start, end)

    assert continuously("E-1", "t", worse, GO, GO + 4 * HOUR, 300)["status"] == "fail"


def test_a_stretch_with_too_little_to_say_is_judged_with_what_is_around_it() -> None:
    looked_at: list[tuple[float, float]] = []

    def ask(start: float, end: float) -> Asked:
        looked_at.append((start, end))
        few = end - start < 4 * HOUR
        return asked("inconclusive", "3 are too few", few=True) if few else asked("pass")

    assert continuously("N-1", "t", ask, GO, GO + 24 * HOUR, HOUR)["status"] == "pass"
    assert len(looked_at) == len(set(looked_at)), "no stretch is asked twice"
    assert max(end - start for start, end in looked_at) <= 8 * HOUR
    never = continuously("N-1", "t", lambda _a, _b: asked("inconclusive", "none", few=True), GO, GO + 24 * HOUR, HOUR)
    assert never["status"] == "inconclusive"


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["pass", "warn", "fail", "inconclusive", "uncovered", "odd"]), min_size=1, max_size=30),
)
def test_the_whole_time_passes_only_when_every_stretch_does(kinds: list[str]) -> None:
    length = 100.0
    end = GO + length * (len(kinds) + 1) / 2
    starts = {start: kind for (start, _end), kind in zip(stretches(GO, end, length), kinds)}
    verdict = continuously(
        "X", "t", lambda start, _end: asked(starts[start], covered=starts[start] != "uncovered"), GO, end, length
    )
    expected = "pass"
    if "warn" in kinds:
        expected = "warn"
    if {"inconclusive", "uncovered", "odd"} & set(kinds):
        expected = "inconclusive"
    if "fail" in kinds:
        expected = "fail"
    assert verdict["status"] == expected

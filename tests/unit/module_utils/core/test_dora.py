# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of DORA from entries of a ledger, and when there is too little to say."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.dora import DAY, figures, seconds
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError

START = datetime(2025, 11, 1, tzinfo=timezone.utc)
UNTIL = "2025-12-01T00:00:00Z"


class Ledger:
    """Entries as runs write them. Times are days and seconds after the beginning of November."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, day: float, second: float, run: str, event: str, **data: Any) -> None:
        at = START + timedelta(days=day, seconds=second)
        self.entries.append({"time": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "run": run, "event": event, "data": data})

    def go(self, day: float, run: str, took: float = 300.0, hosts: int = 1, release: str = "") -> None:
        for _host in range(hosts):
            self.add(day, 0, run, "run_begun", kind="cutover", release=release or run)
            self.add(day, 5, run, "step_begun", name="preflight")
            self.add(day, 10, run, "step_begun", name="deploy")
            self.add(day, took, run, "run_ended", kind="cutover", release=release or run, decision="go", rollback=None)

    def no_go(self, day: float, run: str, failed: float = 60.0, ended: float = 100.0, verified: bool = True) -> None:
        self.add(day, 0, run, "run_begun", kind="cutover", release=run)
        self.add(day, 10, run, "step_begun", name="deploy")
        self.add(day, failed, run, "step_ended", name="smoke", status="failed")
        self.add(day, failed + 5, run, "step_begun", name="rollback")
        back = {"verified": verified, "to": "0.9"}
        self.add(day, ended, run, "run_ended", kind="cutover", release=run, decision="no_go", rollback=back)

    def rollback(self, day: float, run: str, took: float = 90.0, verified: bool = True) -> None:
        self.add(day, 0, run, "run_begun", kind="rollback", release="")
        self.add(day, 5, run, "step_begun", name="rollback")
        self.add(day, took, run, "run_ended", kind="rollback", decision=None, rollback={"verified": verified})

    def ask(self, **more: Any) -> dict[str, Any]:
        return figures(self.entries, UNTIL, **more)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_a_month(ledger: Ledger) -> None:
    for number, took in enumerate([100.0, 200.0, 300.0, 400.0, 500.0, 600.0]):
        ledger.go(number * 4, f"r{number}", took)
    ledger.no_go(2, "bad-1", failed=60, ended=100)
    ledger.rollback(21, "by-hand", took=90)
    committed = {f"r{number}": (START + timedelta(days=number * 4 - 2)).isoformat() for number in range(6)}
    found = ledger.ask(commits=committed, least=2)
    one = found["figures"]
    assert one["deployment_frequency"]["value"] == pytest.approx(6 / 30)
    assert (one["deployment_duration"]["value"], one["deployment_duration"]["longest"]) == (300, 600)
    assert one["lead_time"]["value"] == pytest.approx(2 * DAY + 300)
    assert (one["change_failure_rate"]["failed"], one["change_failure_rate"]["count"]) == (2, 7)
    assert one["change_failure_rate"]["low"] < 2 / 7 < one["change_failure_rate"]["high"]
    assert (one["time_to_restore"]["value"], one["time_to_restore"]["longest"], one["time_to_restore"]["open"]) == (40, 90, [])
    why = {row["run"]: row["why"] for row in found["deployments"] if row["failed"]}
    assert why == {"bad-1": "NO-GO", "r5": "rolled back by by-hand"}


def test_too_few_to_say(ledger: Ledger) -> None:
    assert all(one["value"] is None and one["reason"] for one in ledger.ask()["figures"].values())
    ledger.go(28, "r1")
    ledger.no_go(29, "r2")
    found = ledger.ask()["figures"]
    assert all(one["value"] is None for one in found.values())
    assert found["change_failure_rate"]["reason"] == "2 deployments are too few to say: 5 are needed"
    assert found["time_to_restore"]["reason"] == "1 restoration is too few to say: 5 are needed"
    assert found["lead_time"]["reason"].startswith("of 0 deployments out of 1 the time of the commit is known")
    assert "reaches back 2.0 days" in found["deployment_frequency"]["reason"]


def test_hosts_that_write_into_one_ledger_or_several_are_one_run(ledger: Ledger) -> None:
    ledger.go(1, "r1", hosts=3)
    ledger.go(2, "r2", hosts=3)
    found = ledger.ask(least=2)
    assert found["figures"]["deployment_duration"]["count"] == 2
    assert len(found["deployments"]) == 2


def test_a_run_that_is_not_go_on_every_host_did_not_go_live(ledger: Ledger) -> None:
    ledger.go(1, "r1")
    ledger.add(1, 301, "r1", "run_ended", kind="cutover", release="r1", decision="no_go", rollback=None)
    (one,) = ledger.ask()["deployments"]
    assert one["failed"] and one["why"] == "NO-GO"


def test_what_was_refused_before_it_changed_anything_is_no_deployment(ledger: Ledger) -> None:
    ledger.add(1, 0, "r1", "run_begun", kind="cutover", release="r1")
    ledger.add(1, 5, "r1", "step_begun", name="preflight")
    ledger.add(1, 9, "r1", "run_ended", kind="cutover", release="r1", decision="no_go", rollback=None)
    ledger.add(2, 0, "v1", "run_begun", kind="verify")
    ledger.add(2, 9, "v1", "run_ended", kind="verify", decision="no_go")
    found = ledger.ask()
    assert found["deployments"] == [] and found["figures"]["change_failure_rate"]["count"] == 0


def test_a_run_that_died_failed_and_one_that_goes_on_does_not_count(ledger: Ledger) -> None:
    ledger.add(1, 0, "r1", "run_begun", kind="cutover", release="r1")
    ledger.add(1, 5, "r1", "step_begun", name="deploy")
    assert ledger.ask()["running"] == ["r1"] and ledger.ask()["deployments"] == []
    ledger.go(2, "r2")
    found = ledger.ask()
    assert found["running"] == [] and [one["why"] for one in found["deployments"]] == ["never ended", ""]


def test_what_was_not_restored_stays_open(ledger: Ledger) -> None:
    ledger.no_go(1, "r1", verified=False)
    ledger.go(2, "r2")
    ledger.rollback(3, "hand", verified=False)
    for day in (4, 5):
        ledger.add(day, 0, "r2", "incident_detected", incident="redis lost")
        ledger.add(day, 50, "r2", "incident_restored", incident="redis lost")
    ledger.add(6, 0, "r2", "incident_detected", incident="no leader")
    found = ledger.ask(least=2)["figures"]["time_to_restore"]
    assert (found["value"], found["count"], found["open"]) == (50, 2, ["r1", "hand", "no leader"])


def test_what_is_outside_of_the_window_does_not_count(ledger: Ledger) -> None:
    ledger.go(-40, "old")
    ledger.go(-1, "before")
    ledger.go(1, "r1")
    ledger.go(31, "later")
    found = ledger.ask()
    assert [one["run"] for one in found["deployments"]] == ["r1"]
    assert found["window"]["covered"] == 30 * DAY
    assert found["figures"]["deployment_frequency"]["value"] == pytest.approx(1 / 30)
    week = ledger.ask(over=7 * DAY)
    assert week["window"]["since"] == "2025-11-24T00:00:00Z" and week["figures"]["deployment_frequency"]["value"] == 0


def test_a_commit_after_its_deployment_is_not_believed(ledger: Ledger) -> None:
    for number in range(3):
        ledger.go(number + 1, f"r{number}")
    found = ledger.ask(commits={"r0": "2025-11-30T00:00:00Z", "r1": "2025-11-01T00:00:00Z"}, least=2)["figures"]["lead_time"]
    assert (found["value"], found["unknown"], found["after_deployment"]) == (None, 1, 1)


def test_an_input_that_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError) as caught:
        figures([], "yesterday", over=0, commits={"r1": "?"}, least=1)
    assert [one.where for one in caught.value.problems] == ["until", "over", "least", "commits.r1"]
    assert seconds("2025-11-01") == START.timestamp()


def test_the_emergency_stop_of_a_live_watch_is_a_failed_deployment_that_was_restored(ledger: Ledger) -> None:
    ledger.go(1, "r1")
    ledger.add(1, 900, "live", "run_begun", kind="watch", release="r1")
    ledger.add(1, 905, "live", "step_begun", name="rollback")
    ledger.add(1, 930, "live", "run_ended", kind="watch", decision="no_go", rollback={"verified": True})
    found = ledger.ask()
    assert [(one["failed"], one["why"]) for one in found["deployments"]] == [(True, "rolled back by live")]
    assert found["figures"]["time_to_restore"]["count"] == 1


def test_a_rollback_that_did_not_end_on_every_host_has_restored_nothing(ledger: Ledger) -> None:
    """Hosts may share a ledger. An entry of an earlier version names no host, and speaks for all of them."""
    back = {"verified": True}
    both = ["a", "b"]
    for day, begun, over in ((1, both, ["a"]), (2, both, both), (3, both, [""]), (4, [""], ["a"]), (5, [""], [""])):
        ledger.go(day, f"r{day}")
        for host in begun:
            ledger.add(day, 1000, f"b{day}", "run_begun", kind="rollback", **({"host": host} if host else {}))
        for host in over:
            of = {"host": host} if host else {}
            ledger.add(day, 1090, f"b{day}", "run_ended", kind="rollback", decision=None, rollback=back, **of)
    found = ledger.ask(least=2)["figures"]["time_to_restore"]
    assert (found["count"], found["open"], found["value"]) == (4, ["b1"], 90.0)

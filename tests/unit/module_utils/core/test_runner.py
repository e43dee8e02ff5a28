# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation
from tests.unit.module_utils.core.fakes import FakeClock, FakeProbe, seen


def run(probe: FakeProbe, *checks: dict[str, Any], real_time: bool = False, **options: Any) -> list[dict[str, Any]]:
    written = [{"id": str(n), "fake": {}, "expect": {"status": "== 200"}, **one} for n, one in enumerate(checks)]
    read = read_checks(written, {"fake": probe}, {"p": "CANARY-3"})
    return run_checks(read, {"fake": probe}, clock=None if real_time else FakeClock(), **options)


def test_verdicts_come_in_the_order_asked() -> None:
    verdicts = run(FakeProbe(seen(status=200)), {"id": "B"}, {"id": "A"}, {"id": "C"})
    assert [v["id"] for v in verdicts] == ["B", "A", "C"]
    assert {v["status"] for v in verdicts} == {"pass"}
    assert verdicts[0]["attempts"] == 1
    assert verdicts[0]["started"].endswith("Z")


def test_a_retry_needs_a_pass_twice() -> None:
    probe = FakeProbe(seen(status=503), seen(status=200), seen(status=503), seen(status=200), seen(status=200))
    (verdict,) = run(probe, {"retry": {"for": "30s", "every": "1s"}})
    assert (verdict["status"], verdict["attempts"], verdict["duration"]) == ("pass", 5, 4.0)


def test_a_retry_settles_between_the_two_passes() -> None:
    (verdict,) = run(FakeProbe(seen(status=200)), {"retry": {"for": "30s", "every": "1s", "settle": "5s"}})
    assert (verdict["status"], verdict["attempts"], verdict["duration"]) == ("pass", 2, 5.0)


def test_a_pass_at_the_end_of_the_window_is_still_confirmed() -> None:
    probe = FakeProbe(*[seen(status=503)] * 3, seen(status=200))
    (verdict,) = run(probe, {"retry": {"for": "3s", "every": "1s", "settle": "2s"}})
    assert (verdict["status"], verdict["attempts"]) == ("pass", 5)


def test_what_never_passes_is_told_with_its_attempts() -> None:
    (verdict,) = run(FakeProbe(seen(status=503)), {"retry": {"for": "3s", "every": "1s"}})
    assert (verdict["status"], verdict["attempts"]) == ("fail", 4)
    assert verdict["reason"] == "status is 503, expected == 200 (after 4 attempts in 3.0 s)"


def test_a_pass_that_the_deadline_keeps_from_being_confirmed_is_no_pass() -> None:
    (verdict,) = run(FakeProbe(seen(status=200)), {"retry": {"for": "30s", "every": "1s", "settle": "20s"}}, deadline=10)
    assert verdict["status"] == "inconclusive"
    assert "could not be confirmed" in verdict["reason"]


def test_what_a_probe_raises_is_inconclusive_and_said() -> None:
    for error, words in (
        (ProbeError("refused"), "because refused"),
        (LibraryMissing("redis"), "library redis is not installed"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
    ):
        (verdict,) = run(FakeProbe(error), {})
        assert verdict["status"] == "inconclusive"
        assert words in verdict["reason"]


def test_a_probe_that_hangs_ends_at_its_timeout() -> None:
    def hang(context: Context) -> Observation:
        threading.Event().wait(20)
        return seen(status=200)

    begun = time.monotonic()
    quick, slow = run(FakeProbe(hang), {"timeout": "100ms"}, {"timeout": "300ms"}, real_time=True)
    assert time.monotonic() - begun < 2
    assert quick["status"] == slow["status"] == "inconclusive"
    assert "cut off at its timeout after 0." in quick["reason"]


def test_the_deadline_ends_everything_and_what_was_not_begun_is_said() -> None:
    def wait(context: Context) -> Observation:
        context.stop.wait(5)
        return seen(status=200)

    begun = time.monotonic()
    verdicts = run(FakeProbe(wait), {}, {}, {}, real_time=True, deadline=0.3, concurrency=1)
    assert time.monotonic() - begun < 3
    assert {v["status"] for v in verdicts} == {"inconclusive"}
    assert "it was not begun" in verdicts[2]["reason"]


def test_checks_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(20, timeout=5)

    def meet(context: Context) -> Observation:
        together.wait()
        return seen(status=200)

    verdicts = run(FakeProbe(meet), *[{}] * 20, real_time=True)
    assert {v["status"] for v in verdicts} == {"pass"}


def test_checks_of_one_lane_take_turns_and_hold_up_no_other() -> None:
    busy, other, broken = threading.Lock(), threading.Event(), []

    def alone(context: Context) -> Observation:
        if not busy.acquire(blocking=False):
            broken.append("two at once")
        other.wait(5)
        busy.release()
        return seen(status=200)

    def free(context: Context) -> Observation:
        other.set()
        return seen(status=200)

    class Free(FakeProbe):
        name = "free"

    probes = {"fake": FakeProbe(alone), "free": Free(free)}
    raw = [{"id": f"L{n}", "fake": {}, "lane": "streams", "expect": {"status": "== 200"}} for n in range(3)]
    raw.append({"id": "F", "free": {}, "expect": {"status": "== 200"}})
    verdicts = run_checks(read_checks(raw, probes), probes)
    assert [(v["id"], v["status"]) for v in verdicts] == [("L0", "pass"), ("L1", "pass"), ("L2", "pass"), ("F", "pass")]
    assert broken == []


def test_what_waits_for_its_turn_when_the_deadline_is_over_was_not_begun() -> None:
    def wait(context: Context) -> Observation:
        context.stop.wait(5)
        return seen(status=200)

    verdicts = run(FakeProbe(wait), {"lane": "a"}, {"lane": "a"}, real_time=True, deadline=0.3)
    assert [v["status"] for v in verdicts] == ["inconclusive", "inconclusive"]
    assert "it was not begun" in verdicts[1]["reason"]


def test_a_skipped_check_is_not_asked() -> None:
    probe = FakeProbe(seen(status=200))
    (verdict,) = run(probe, {"required": False, "skip": "not configured"})
    assert (verdict["status"], verdict["reason"], probe.looks) == ("skip", "not configured", 0)


def test_no_part_of_a_secret_is_left_where_a_text_is_cut() -> None:
    for before in range(190, 205):
        probe = FakeProbe(seen(status=200, word="x" * before + "CANARY-3" + "y" * 600))
        (verdict,) = run(probe, {"fake": {"password": {"secret": "p"}}, "expect": {"status": "== 200", "word": "== fine"}})
        assert verdict["status"] == "fail"
        assert "CAN" not in str(verdict), before
    (verdict,) = run(
        FakeProbe(seen(status=200, word="x" * 496 + "CANARY-3")),
        {"fake": {"password": {"secret": "p"}}, "expect": {"word": "== fine"}},
    )
    assert "CAN" not in str(verdict)


def test_a_secret_that_a_probe_lets_slip_is_hidden() -> None:
    def leak(context: Context) -> Observation:
        return Observation(measures={"word": "got CANARY-3"}, proof={"url": "http://u:CANARY-3@h"})

    expect = {"expect": {"word": "== x"}, "fake": {"password": {"secret": "p"}}}
    (leaked,) = run(FakeProbe(leak), expect)
    (raised,) = run(FakeProbe(ProbeError("login with CANARY-3 failed")), expect)
    assert "CANARY" not in repr([leaked, raised])
    assert "***" in leaked["reason"]


def test_numbers_that_json_has_no_word_for_become_words() -> None:
    (verdict,) = run(FakeProbe(seen(status=float("nan"))), {})
    assert verdict["measures"]["status"]["value"] == "nan"
    assert verdict["status"] == "inconclusive"

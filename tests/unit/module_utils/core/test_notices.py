# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events in words, and what makes two of them the same."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.notices import (
    notice,
    notices,
    told_line,
    told_since,
    untold,
    watch_news,
)

RUN = {"id": "r1", "environment": "spark", "kind": "cutover", "release": "1.0.0", "operator": "ann", "reason": "v1"}


@pytest.mark.parametrize(
    ("event", "more", "record", "subject"),
    [
        ("start", {}, {}, "START: spark is being cut over to 1.0.0"),
        ("start", {"kind": "rollback"}, {}, "START: spark is being rolled back"),
        ("go", {}, {"reasons": ["all met"]}, "GO: spark runs 1.0.0"),
        ("no_go", {"kind": "verify"}, {}, "NO-GO: spark is not as it should be"),
        ("rollback_begun", {}, {}, "ROLLBACK begun: spark"),
        ("rollback_ended", {}, {"rollback": {"to": "0.9.0", "verified": True}}, "ROLLBACK ended: spark runs 0.9.0, verified"),
        ("rollback_ended", {}, {"rollback": None}, "ROLLBACK FAILED: spark needs somebody now"),
        ("rollback_ended", {}, {"rollback": {"to": "0.9.0", "verified": "yes"}}, "ROLLBACK FAILED: spark needs somebody now"),
    ],
)
def test_subjects(event: str, more: dict[str, Any], record: dict[str, Any], subject: str) -> None:
    assert notice({**RUN, **more}, event, record)["subject"] == subject


def test_the_text_is_bounded_and_says_whence() -> None:
    told = notice(RUN, "no_go", {"reasons": [f"reason {number}" for number in range(14)]})
    lines = told["text"].splitlines()
    assert lines[0] == "- reason 0" and lines[-2:] == ["- and 4 more", "Run r1 by ann"]
    failed = notice(RUN, "rollback_ended", {"rollback": {"hosts": {"web-1": {"error": "gone"}, "web-2": {"error": ""}}}})
    assert failed["text"].splitlines()[0] == "- web-1: gone"


def test_the_same_message_has_the_same_identity() -> None:
    status = {"status": "fail", "about": ["M-2", "M-1"], "reasons": ["512 MB"]}
    first = notice(RUN, "escalation", status, "memory")["identity"]
    assert first == notice(RUN, "escalation", {**status, "about": ["M-1", "M-2"], "reasons": ["513 MB"]}, "memory")["identity"]
    assert first != notice(RUN, "escalation", {**status, "status": "warn"}, "memory")["identity"]
    slow = {"rollback": {"to": "0.9.0", "verified": True, "seconds": 3}}
    fast = {"rollback": {"to": "0.9.0", "verified": True, "seconds": 2}}
    assert notice(RUN, "rollback_ended", slow)["identity"] == notice(RUN, "rollback_ended", fast)["identity"]


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="is not an event"):
        notice(RUN, "party")
    with pytest.raises(InputError, match="a checkpoint has a name"):
        notice(RUN, "checkpoint")


def test_what_became_of_a_message() -> None:
    result = {"channel": "team", "host": "hooks.slack.com", "event": "go", "status": "sent", "reason": ""}
    assert told_line(result) == "team (hooks.slack.com) was told of go"
    failed = {**result, "status": "failed", "reason": "it answered 503"}
    assert told_line(failed) == "team (hooks.slack.com) was not told of go: it answered 503"
    assert told_line({**failed, "channel": "-", "host": "-"}) == "nobody was told of go: it answered 503"


def test_conditions_of_the_live_watch() -> None:
    run = {"id": "run-1", "kind": "watch", "environment": "shop", "release": "1.0.0", "operator": "ada"}
    record = {"status": "critical", "reasons": ["value is 25", "Look there."], "about": ["ESC-1"]}
    told = notice(run, "page", record, "ESC-1")
    assert told["subject"] == "PAGE ESC-1 of shop: CRITICAL" and "- Look there." in told["text"]
    other = notice(run, "page", {**record, "reasons": ["value is 26"]}, "ESC-1")
    assert other["identity"] == told["identity"], "another value is no news"
    assert notice(run, "escalation", {**record, "status": "ok"}, "ESC-1")["subject"] == "ESCALATION ESC-1 of shop: over"
    assert notice(run, "start")["subject"] == "START: shop is being watched"


def test_the_news_of_a_round_over_all_hosts() -> None:
    news = [{"condition": "ESC-1", "level": "warning", "reason": "7", "advice": "Look.", "about": ["ESC-1"], "event": "escalation"}]
    web = {"round": 2, "look": {"watch": {"run": "run-1"}}, "news": news}
    one = watch_news({"web-1": web}, 2)
    record = {"status": "warning", "about": ["ESC-1"], "reasons": ["7", "Look."]}
    assert one == [{"event": "escalation", "topic": "ESC-1", "run": "run-1", "record": record}]
    fleet = {"web-1": web, "web-2": None, "web-3": {**web, "round": 1}}
    assert [one["topic"] for one in watch_news(fleet, 2)] == ["ESC-1@web-1"]


CHANNELS = ("team", "pager")


def result(message: dict[str, Any], channel: str, status: str, /, **more: Any) -> dict[str, Any]:
    about = {key: message[key] for key in ("id", "run", "event", "topic", "subject")} | {"place": CHANNELS.index(channel)}
    return {**about, "channel": channel, "status": status, "reason": "", "attempts": 1, "seconds": 1.0} | more


def test_what_was_put_off_is_told_before_what_is_new_to_those_who_do_not_know() -> None:
    told = notices(RUN, [{"event": "no_go", "record": {"reasons": ["S-003 failed"]}}, {"event": "rollback_begun"}])
    assert [one["subject"].split(":")[0] for one in told] == ["NO-GO", "ROLLBACK begun"]
    results = [result(one, "team", "sent") for one in told] + [result(told[1], "pager", "failed")]
    later = untold(told, results, CHANNELS)
    assert [(one["event"], one["only"]) for one in later] == [("rollback_begun", ["pager"])]
    more = notices(RUN, [{"event": "rollback_ended", "record": {"rollback": None}}], later)
    assert [(one["event"], one.get("only")) for one in more] == [("rollback_begun", ["pager"]), ("rollback_ended", None)]
    assert not untold(told, [result(one, "team", "already") for one in told], CHANNELS)


def test_what_was_put_off_is_found_whatever_its_record_shows() -> None:
    """A record is without secrets. A topic or a channel that has the name of one looks like any other there."""

    def at(topic: str) -> dict[str, Any]:
        return {"event": "escalation", "topic": topic, "record": {"status": "critical", "about": ["ESC-1"]}}

    told = notices(RUN, [at("ESC-1@web-1"), at("ESC-1@web-2")], records=3)
    assert [one["id"] for one in told] == ["m3n0", "m3n1"]
    masked = {"topic": "ESC-1@***", "subject": "ESCALATION ESC-1@*** of spark: CRITICAL", "channel": "***"}
    results = [result(told[0], "team", "failed", **masked), result(told[0], "pager", "sent", **masked)]
    results += [result(told[1], "team", "sent", **masked), result(told[1], "pager", "failed", **masked)]
    later = untold(told, results, CHANNELS)
    assert [(one["topic"], one["only"]) for one in later] == [("ESC-1@web-1", ["team"]), ("ESC-1@web-2", ["pager"])]
    again = notices(RUN, [], later, records=7)
    assert [one["id"] for one in again] == ["m3n0", "m3n1"]
    at_last = [result(again[0], "team", "sent", **masked), result(again[1], "pager", "sent", **masked)]
    records = told_since(results, at_last)
    assert [one["status"] for one in records] == ["sent"] * 4 and [one["attempts"] for one in records] == [2, 1, 1, 2]


def test_records_that_belong_to_nothing_say_nothing() -> None:
    told = notices(RUN, [{"event": "no_go"}])
    for strange in ({"id": "m9n9"}, {"id": "***"}, {"place": 2}, {"place": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"}):
        assert untold(told, [result(told[0], "team", "sent", **strange)], CHANNELS) == told


def test_a_message_in_the_place_of_another_is_the_same_one_when_it_says_the_same() -> None:
    put_off = [{**one, "only": ["pager"]} for one in notices(RUN, [{"event": "no_go", "record": {"reasons": ["a"]}}])]
    (same,) = notices(RUN, [{"event": "no_go", "record": {"reasons": ["a", "b"]}}], put_off, records=2)
    assert same["id"] == put_off[0]["id"] and "- b" in same["text"]
    critical = {"event": "escalation", "topic": "ESC-1", "record": {"status": "critical"}}
    put_off = [{**one, "only": ["pager"]} for one in notices(RUN, [critical])]
    (over,) = notices(RUN, [{**critical, "record": {"status": "ok"}}], put_off, records=2)
    assert over["id"] == "m2n0" != put_off[0]["id"]


def test_a_level_takes_the_place_of_one_that_is_over() -> None:
    def at(level: str, event: str, topic: str = "ESC-1") -> dict[str, Any]:
        return {"event": event, "topic": topic, "run": "run-0", "record": {"status": level, "about": [topic]}}

    first = notices(RUN, [at("warning", "escalation"), at("critical", "page", "ESC-2")])
    assert {one["run"] for one in first} == {"run-0"}
    later = [{**one, "only": ["pager"]} for one in first]
    now = notices(RUN, [at("critical", "page")], later)
    assert [(one["subject"], one.get("only")) for one in now] == [
        ("PAGE ESC-1 of spark: CRITICAL", None),
        ("PAGE ESC-2 of spark: CRITICAL", ["pager"]),
    ]


def test_whoever_was_not_called_hears_that_it_is_over() -> None:
    critical = {"event": "page", "topic": "ESC-1", "record": {"status": "critical"}}
    over = {"event": "escalation", "topic": "ESC-1", "record": {"status": "ok"}}
    put_off = [{**one, "only": ["pager"]} for one in notices(RUN, [critical])]
    assert [(one["event"], one["subject"]) for one in notices(RUN, [over], put_off)] == [("page", "PAGE ESC-1 of spark: over")]
    other = [{**one, "topic": "ESC-2"} for one in put_off]
    assert [one["event"] for one in notices(RUN, [over], other)] == ["page", "escalation"]


def test_what_nobody_knows_the_end_of_is_told_again_to_all() -> None:
    told = notices(RUN, [{"event": "no_go"}])
    assert untold(told, None, CHANNELS) == told


def test_a_message_that_is_told_again_has_one_record() -> None:
    first, other = notices(RUN, [{"event": "no_go"}, {"event": "rollback_begun"}])
    before = [result(first, "pager", "failed", reason="no answer"), result(first, "team", "sent")]
    after = told_since(before, [result(first, "pager", "sent", attempts=2), result(other, "team", "sent")])
    assert [(one["event"], one["channel"], one["status"]) for one in after] == [
        ("no_go", "pager", "sent"),
        ("no_go", "team", "sent"),
        ("rollback_begun", "team", "sent"),
    ]
    assert (after[0]["attempts"], after[0]["seconds"], after[0]["reason"]) == (3, 2.0, "not at first: no answer")
    nobody = {**result(first, "team", "failed"), "id": "", "place": -1, "channel": "-"}
    assert len(told_since([nobody], [nobody])) == 2, "a telling that did not come to anything is no message"
    still = told_since(before, [result(first, "pager", "failed", reason="refused")])
    assert [one["reason"] for one in still] == ["refused", ""] and before[0]["reason"] == "no answer"

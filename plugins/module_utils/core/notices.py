# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What people are told about an event of a run: one line, a few more, the same for programs, and what makes it the same message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem

EVENTS = ("start", "go", "no_go", "rollback_begun", "rollback_ended", "checkpoint", "escalation", "page")
TOPICAL = ("checkpoint", "escalation", "page")
"""Events that a run has several of, each with a name."""
MOST_REASONS = 10
_SAME = ("id", "place")
"""What a record of a telling is known by. Its texts are without secrets, so they may be those of another message."""


def notice(run: Mapping[str, Any], event: str, record: Mapping[str, Any] | None = None, topic: str = "") -> dict[str, Any]:
    """``{subject, text, data, identity}`` of an event.

    ``run``: the run, as `runs.run_record` has it. ``record``: what is known about the event: ``decision``, ``reasons`` and
    ``rollback`` of a run; ``status``, ``reasons`` and more of a checkpoint or an escalation, whose name is ``topic``.

    ``identity`` holds no times, so that the same event of a run that is started again is the same message. Raises InputError.
    """
    if event not in EVENTS:
        raise InputError([Problem("event", f"{event!r} is not an event; expected one of {', '.join(EVENTS)}")])
    known = record or {}
    if event in TOPICAL:
        if not topic:
            raise InputError([Problem("topic", f"is missing: a {event} has a name")])
        subject, lines, same = _of_topic(run, event, known, topic)
    else:
        subject, lines, same = _of_run(run, event, known)
    lines.append(_whence(run))
    shown = {key: run.get(key) for key in ("id", "kind", "environment", "release", "operator", "started")}
    return {"subject": subject, "text": "\n".join(line for line in lines if line), "data": {**shown, **same}, "identity": same}


def notices(
    run: Mapping[str, Any], events: Sequence[Mapping[str, Any]], put_off: Sequence[Mapping[str, Any]] = (), records: int = 0
) -> list[dict[str, Any]]:
    """Messages for the module ``notify``: of the events, and before them what was put off.

    ``events``: each with ``event``, and ``record``, ``topic`` and ``run`` (the id of another run that it belongs to) where it has
    them. ``put_off``: what `untold` has returned. An event takes the place of what was put off about the same, which is not so any
    more. ``records``: how many records of earlier tellings there are.

    Each message has an ``id`` of its own. It keeps it when it is put off, and one that says the same in its place takes it over.
    Raises InputError.
    """
    # Whoever was to be called and was not told yet is told how it is now, also when nobody would be called for that alone.
    called = {_about(one) for one in put_off if one["event"] == "page"}
    fresh: list[dict[str, Any]] = []
    for one in events:
        of_run = {**run, "id": one.get("run") or run.get("id")}
        about = {"run": str(of_run["id"]), "event": str(one.get("event")), "topic": str(one.get("topic") or "")}
        if about["event"] == "escalation" and _about(about) in called:
            about["event"] = "page"
        about["id"] = f"m{records}n{len(fresh)}"
        fresh.append({**notice(of_run, about["event"], one.get("record"), about["topic"]), **about})
    instead = {_about(one): one for one in fresh}
    for one in put_off:
        now = instead.get(_about(one))
        if now and (now["event"], now["subject"]) == (one["event"], one["subject"]) and one.get("id"):
            now["id"] = one["id"]
    found = [instead.get(_about(one)) or dict(one) for one in put_off]
    return found + [one for one in fresh if not any(one is other for other in found)]


def untold(
    messages: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]] | None, channels: Sequence[str]
) -> list[dict[str, Any]]:
    """The messages that did not get to every channel that wants them: each with ``only``, the channels that are still to be told,
    so that telling it again tells nobody twice, whatever the store remembers. ``channels``: the names of all, in their order.

    Without results nobody knows who was told, nor with one that belongs to no message or no channel: all of them, as they are.
    """
    ids = {one.get("id") for one in messages}
    places = range(len(channels))
    if results is None or any(one.get("id") not in ids or one.get("place") not in places for one in results):
        return [dict(one) for one in messages]
    found = []
    for one in messages:
        failed = [result for result in results if result["id"] == one["id"] and result.get("status") == "failed"]
        if failed:
            found.append({**one, "only": [channels[result["place"]] for result in failed]})
    return found


def told_since(results: Sequence[Mapping[str, Any]], fresh: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records of messages with those of a later telling. A message that failed and was tried again has one record: what became
    of it at last, with all attempts."""
    found = [dict(one) for one in results]
    for one in fresh:
        for index, old in enumerate(found):
            if old.get("status") == "failed" and one.get("id") and all(old.get(key) == one.get(key) for key in _SAME):
                found[index] = _one_record(old, one)
                break
        else:
            found.append(dict(one))
    return found


def watch_news(watched: Mapping[str, Mapping[str, Any] | None], round: int) -> list[dict[str, Any]]:
    """What the looks of one round of the live watch have to tell, over all hosts. ``watched``: host to what it knows of its watch.

    With several hosts, the topic names the host. Each has what `notices` asks for: ``event``, ``topic``, ``run`` and ``record``.
    """
    found = []
    for host, one in watched.items():
        if not one or int(one.get("round", -1)) != round:
            continue
        run = ((one.get("look") or {}).get("watch") or {}).get("run") or ""
        for news in one.get("news") or []:
            topic = str(news["condition"]) if len(watched) == 1 else f"{news['condition']}@{host}"
            reasons = [str(news[key]) for key in ("reason", "advice") if news.get(key)]
            record = {"status": news.get("level"), "about": list(news.get("about") or ()), "reasons": reasons}
            found.append({"event": news.get("event") or "escalation", "topic": topic, "run": run, "record": record})
    return found


def told_line(result: Mapping[str, Any]) -> str:
    """What became of one message, in one line."""
    who = f"{result.get('channel')} ({result.get('host')})" if result.get("host") not in (None, "", "-") else "nobody"
    if result.get("status") == "failed":
        verb = "was told" if who == "nobody" else "was not told"
        return f"{who} {verb} of {result.get('event')}: {result.get('reason')}"
    done = {"sent": "was told of", "already": "knew of", "would_send": "would be told of"}.get(str(result.get("status")), "?")
    return f"{who} {done} {result.get('event')}"


def _about(message: Mapping[str, Any]) -> tuple[str, ...]:
    """What a message is about. A condition has one level, by whichever event people are told of it."""
    kind = "level" if message["event"] in ("escalation", "page") else str(message["event"])
    return (str(message["run"]), kind, str(message.get("topic") or ""))


def _one_record(old: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    reason = now.get("reason") or f"not at first: {old.get('reason')}"
    seconds = round(float(old.get("seconds") or 0) + float(now.get("seconds") or 0), 3)
    return {**now, "reason": reason, "attempts": int(old.get("attempts") or 0) + int(now.get("attempts") or 0), "seconds": seconds}


def _of_run(run: Mapping[str, Any], event: str, record: Mapping[str, Any]) -> tuple[str, list[str], dict[str, Any]]:
    environment = str(run.get("environment"))
    release = str(run.get("release") or "")
    reasons = _texts(record.get("reasons"))
    if event == "start":
        what = {"rollback": "is being rolled back", "verify": "is being looked at", "watch": "is being watched"}.get(
            str(run.get("kind")), f"is being cut over to {release}"
        )
        hosts = _texts(run.get("hosts"))
        return f"START: {environment} {what}", [f"Hosts: {', '.join(hosts)}" if hosts else "", _why(run)], {"release": release}
    if event == "go" and run.get("kind") == "watch":
        return f"GO: the watch over {environment} found nothing critical", _shown(reasons), {"decision": "go", "release": release}
    if event == "go":
        return f"GO: {environment} runs {release}", _shown(reasons), {"decision": "go", "release": release, "reasons": reasons}
    if event == "no_go":
        known = {"rollback": "was not rolled back well", "verify": "is not as it should be", "watch": "needs somebody"}
        what = known.get(str(run.get("kind")), f"does not get {release}")
        return f"NO-GO: {environment} {what}", _shown(reasons), {"decision": "no_go", "release": release, "reasons": reasons}
    if event == "rollback_begun":
        return f"ROLLBACK begun: {environment}", _shown(reasons) or [_why(run)], {"release": release}
    return _of_rollback(environment, release, record.get("rollback") or record)


def _of_rollback(environment: str, release: str, rollback: Mapping[str, Any]) -> tuple[str, list[str], dict[str, Any]]:
    to, verified = rollback.get("to"), rollback.get("verified") is True
    of_hosts = rollback.get("hosts")
    errors = (
        [f"{host}: {one['error']}" for host, one in of_hosts.items() if one.get("error")] if isinstance(of_hosts, Mapping) else []
    )
    same = {"release": release, "to": to, "verified": verified, "errors": errors}
    if verified:
        seconds = rollback.get("seconds")
        took = f" in {seconds:.0f} s" if isinstance(seconds, (int, float)) else ""
        return f"ROLLBACK ended: {environment} runs {to}, verified", [f"Rolled back{took}"], same
    return f"ROLLBACK FAILED: {environment} needs somebody now", _shown(errors) or ["It was not verified"], same


def _of_topic(run: Mapping[str, Any], event: str, record: Mapping[str, Any], topic: str) -> tuple[str, list[str], dict[str, Any]]:
    status = str(record.get("status") or record.get("decision") or "unknown")
    reasons = _texts(record.get("reasons"))
    word = {"checkpoint": "CHECKPOINT", "page": "PAGE"}.get(event, "ESCALATION")
    words = {"go": "met", "no_go": "NOT met", "pass": "met", "ok": "over", "critical": "CRITICAL", "missed": "MISSED"}
    shown = words.get(status, status)
    # Values change with every look. What is told again is another status, or other checks that speak against it.
    same = {"topic": topic, "status": status, "about": sorted(set(_texts(record.get("about")))) or reasons}
    return f"{word} {topic} of {run.get('environment')}: {shown}", _shown(reasons), same


def _texts(raw: Any) -> list[str]:
    if isinstance(raw, str):
        return [raw]
    return [str(one) for one in raw] if isinstance(raw, Sequence) else []


def _shown(reasons: Sequence[str]) -> list[str]:
    more = [f"- and {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return [f"- {one}" for one in reasons[:MOST_REASONS]] + more


def _why(run: Mapping[str, Any]) -> str:
    return f"Reason: {run['reason']}" if run.get("reason") else ""


def _whence(run: Mapping[str, Any]) -> str:
    return f"Run {run.get('id')} by {run.get('operator') or 'unknown'}"

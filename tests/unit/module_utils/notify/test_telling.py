# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One budget for everything that is told at one moment, whatever a channel does."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.notify.channels import Channel, read_channels
from ansible_collections.golive.cutover.plugins.module_utils.notify.senders import Left, Message, NotSent
from ansible_collections.golive.cutover.plugins.module_utils.notify.telling import GRACE, Item, Limits, tell
from ansible_collections.golive.cutover.plugins.module_utils.store.notifications import Rate, Told
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store

HOOKS = [{"name": name, "kind": "webhook", "url": f"http://localhost/{name}"} for name in ("dead", "hangs", "team")]
CHANNELS = read_channels(HOOKS, {}, ["localhost"])
LIMITS = Limits(budget=0.4, timeout=10.0, rate=Rate(20, 60.0))


def item(event: str, only: list[str] | None = None) -> Item:
    return Item(Message(event, "shop", "run-1", event.upper(), "", ""), Told("run-1", event, "", event), only)


class Outside:
    """What is outside: one channel whose connections time out, one that never comes back, one that works."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.released = threading.Event()

    def send(self, channel: Channel, message: Message, left: Left) -> str:
        if channel.name == "dead":
            time.sleep(left())
            raise NotSent("no answer in time", again=True)
        if channel.name == "hangs":
            self.released.wait(60)
            return ""
        return self.works(channel, message, left)

    def works(self, channel: Channel, message: Message, _left: Left) -> str:
        self.got.append((channel.name, message.event))
        return ""


def told(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["event"], one["channel"], one["status"]) for one in records]


def test_several_messages_share_one_budget_and_a_dead_channel_holds_up_no_other() -> None:
    outside = Outside()
    items = [item("no_go"), item("rollback_begun"), item("page")]
    begun = time.monotonic()
    found = tell(None, CHANNELS, items, LIMITS, sender=outside.send)
    took = time.monotonic() - begun
    outside.released.set()
    # Three messages to two channels that do not work: one budget, not six. A slow machine gets some more to start threads.
    assert took < LIMITS.budget + GRACE + 2
    assert outside.got == [("team", "no_go"), ("team", "rollback_begun"), ("team", "page")]
    for event in ("no_go", "rollback_begun", "page"):
        states = [one for one in told(found) if one[0] == event]
        assert states == [(event, "dead", "failed"), (event, "hangs", "failed"), (event, "team", "sent")]
    by = {(one["event"], one["channel"]): one for one in found}
    assert by["rollback_begun", "dead"]["reason"].startswith("not tried: what came before took the budget")
    assert by["rollback_begun", "dead"]["attempts"] == 0


def test_what_was_not_told_is_told_later_and_nobody_twice(tmp_path: Path) -> None:
    outside = Outside()
    two = [one for one in CHANNELS if one.name != "hangs"]
    with open_store(f"sqlite://{tmp_path}/told.db", "shop") as store:
        tell(store, two, [item("page")], LIMITS, sender=outside.send)
        later = tell(store, two, [item("page"), item("go")], LIMITS, sender=outside.works)
    assert told(later) == [("page", "dead", "sent"), ("page", "team", "already"), ("go", "dead", "sent"), ("go", "team", "sent")]
    assert outside.got.count(("team", "page")) == 1


def test_a_message_for_some_channels_goes_to_no_other_also_without_a_store() -> None:
    outside = Outside()
    found = tell(None, CHANNELS, [item("page", ["team"])], LIMITS, sender=outside.send)
    assert told(found) == [("page", "team", "sent")] and found[0]["topic"] == "" and found[0]["run"] == "run-1"

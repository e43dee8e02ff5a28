# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of channel against a server: what arrives, what is tried again, what is never said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.notify.channels import read_channels
from ansible_collections.golive.cutover.plugins.module_utils.notify.senders import Message, NotSent, send
from ansible_collections.golive.cutover.plugins.module_utils.notify.telling import Clock, Item, Limits, tell
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.notifications import Rate, Told
from tests.integration.notify.conftest import HttpReceiver, MailStandIn, SlackStandIn, TelegramStandIn
from tests.integration.probes.servers import Issued, issue

HERE = ["localhost", "127.0.0.1"]
SECRETS = {
    "telegram": TelegramStandIn.token,
    "slack": SlackStandIn.token,
    "mail": MailStandIn.password,
    "bearer": "Bearer canary-bearer",
    "wrong": "canary-wrong-password",
}
MESSAGE = Message("no_go", "spark", "run-1", "NO-GO: spark <1.0.0>", "S-003 failed & more", "k1", {"release": "1.0.0"})


def one(channel: dict[str, Any], allowed: Any = HERE, **secrets: str) -> Any:
    return read_channels([{"name": "c", **channel}], {**SECRETS, **secrets}, allowed)[0]


def mistakes(channel: dict[str, Any], allowed: Any = HERE, **secrets: str) -> str:
    with pytest.raises(InputError) as caught:
        one(channel, allowed, **secrets)
    return str(caught.value)


def told(channel: Any, budget: float = 5, timeout: float = 2) -> dict[str, Any]:
    found = tell(None, [channel], [Item(MESSAGE, Told("run-1", "no_go", "", "f"))], Limits(budget, timeout, Rate(20, 60)))
    return found[0]


def test_a_webhook(started: Callable[[Any], Any], issued: Issued) -> None:
    server: HttpReceiver = started(HttpReceiver(issued))
    channel = one(
        {
            "kind": "webhook",
            "url": f"{server.url}/hook",
            "headers": {"Authorization": {"secret": "bearer"}},
            "ca": str(issued.ca),
        }
    )
    became = told(channel)
    assert became["status"] == "sent", became
    (request,) = server.requests
    assert request["path"] == "/hook"
    assert request["headers"]["authorization"] == SECRETS["bearer"]
    assert request["headers"]["idempotency-key"] == request["json"]["key"]
    assert request["json"]["event"] == "no_go" and request["json"]["data"] == {"release": "1.0.0"}
    assert "canary" not in str(became) + repr(channel)


def test_telegram(started: Callable[[Any], Any], issued: Issued) -> None:
    server: TelegramStandIn = started(TelegramStandIn(issued))
    config = {"kind": "telegram", "token": {"secret": "telegram"}, "chat_id": -100123, "api": server.url, "ca": str(issued.ca)}
    assert told(one(config))["status"] == "sent"
    assert server.requests[0]["json"] == {"chat_id": "-100123", "text": "NO-GO: spark <1.0.0>\nS-003 failed & more"}
    server.replies = [(429, {}, {"ok": False, "error_code": 429, "parameters": {"retry_after": 1}})]
    again = told(one(config))
    assert (again["status"], again["attempts"]) == ("sent", 2)
    assert server.requests[2]["at"] - server.requests[1]["at"] >= 1
    bad = told(one({**config, "token": {"secret": "other"}}, other="999:AAAcanary"))
    assert bad["reason"] == "localhost answered 404: Not Found" and bad["attempts"] == 1
    assert "canary" not in str(bad)
    long = Message("go", "spark", "run-1", "GO", "x" * 9000, "k")
    assert send(one(config), long, lambda: 2.0) == ""


def test_slack(started: Callable[[Any], Any], issued: Issued) -> None:
    server: SlackStandIn = started(SlackStandIn(issued))
    hook = {"kind": "slack", "url": {"secret": "hook"}, "ca": str(issued.ca)}
    assert told(one(hook, hook=server.url + server.webhook))["status"] == "sent"
    assert server.requests[0]["json"]["text"] == "NO-GO: spark &lt;1.0.0&gt;\nS-003 failed &amp; more"
    api = {"kind": "slack", "token": {"secret": "slack"}, "channel": "#ops", "api": f"{server.url}/api/chat.postMessage"}
    assert told(one({**api, "ca": str(issued.ca)}))["status"] == "sent"
    assert server.requests[1]["json"]["channel"] == "#ops"
    # Slack answers 200 also when it did not take the message.
    refused = told(one({**api, "token": {"secret": "wrong"}, "ca": str(issued.ca)}))
    assert (refused["status"], refused["attempts"]) == ("failed", 1)
    assert refused["reason"] == "localhost answered 200 but did not take the message: invalid_auth"
    gone = told(one(hook, hook=f"{server.url}/services/canary-gone"))
    assert gone["status"] == "failed" and "canary" not in str(gone)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail(started: Callable[[Any], Any], issued: Issued, security: str) -> None:
    server: MailStandIn = started(MailStandIn(issued, at_once=security == "tls"))
    config = {"kind": "email", "host": "localhost", "port": server.port, "security": security, "ca": str(issued.ca)}
    config |= {
        "username": "ops",
        "password": {"secret": "mail"},
        "from": "golive@example.org",
        "to": ["a@example.org", "b@example.org"],
    }
    server.busy = 1
    server.refuse = {"b@example.org": 550}
    became = told(one(config))
    assert (became["status"], became["attempts"], became["reason"]) == ("sent", 2, "1 of 2 recipients were refused")
    (mail,) = server.mails
    assert (mail["Subject"], mail["To"]) == ("NO-GO: spark <1.0.0>", "a@example.org, b@example.org")
    assert mail["Message-ID"].endswith("@example.org>") and mail.get_content().strip() == "S-003 failed & more"
    wrong = told(one({**config, "password": {"secret": "wrong"}}))
    assert (wrong["attempts"], wrong["reason"]) == (1, "localhost did not accept the password of ops")
    server.refuse = {"@example.org": 450}
    assert "refused all recipients (450)" in told(one(config), budget=1)["reason"]


def test_mail_is_not_sent_in_the_clear(started: Callable[[Any], Any]) -> None:
    server: MailStandIn = started(MailStandIn(None))
    config = {"kind": "email", "host": "localhost", "port": server.port, "from": "a@example.org", "to": "b@example.org"}
    became = told(one(config))
    assert became["status"] == "failed" and "does not offer what is needed" in became["reason"]
    assert not server.mails
    assert told(one({**config, "security": "none"}))["status"] == "sent"


def test_a_certificate_that_is_not_good_is_refused(started: Callable[[Any], Any], issued: Issued, tmp_path: Path) -> None:
    server: HttpReceiver = started(HttpReceiver(issued))
    became = told(one({"kind": "webhook", "url": server.url}))
    assert (became["status"], became["attempts"]) == ("failed", 1) and "certificate of localhost was refused" in became["reason"]
    old: HttpReceiver = started(HttpReceiver(expired := issue(tmp_path / "old", days=-1)))
    assert "certificate has expired" in told(one({"kind": "webhook", "url": old.url, "ca": str(expired.ca)}))["reason"]
    mail: MailStandIn = started(MailStandIn(issued))
    config = {"kind": "email", "host": "localhost", "port": mail.port, "from": "a@example.org", "to": "b@example.org"}
    assert "certificate of localhost was refused" in told(one(config))["reason"]
    assert not server.requests + old.requests + mail.mails


def test_it_is_tried_again_with_pauses_that_grow_within_the_budget(started: Callable[[Any], Any]) -> None:
    server: HttpReceiver = started(HttpReceiver())
    server.replies = [(503, {}, "no"), (502, {}, "no")]
    channel = one({"kind": "webhook", "url": server.url})
    became = told(channel)
    assert (became["status"], became["attempts"]) == ("sent", 3)
    pauses = [b["at"] - a["at"] for a, b in zip(server.requests, server.requests[1:], strict=False)]
    assert 0.4 < pauses[0] < pauses[1]
    server.replies = [(503, {"Retry-After": "3600"}, "no")]
    late = told(channel, budget=3)
    assert (late["status"], late["attempts"]) == ("failed", 1) and "beyond the budget of 3 s" in late["reason"]
    server.replies = [3.0, 3.0, 3.0]
    hangs = told(channel, budget=1, timeout=0.3)
    assert hangs["status"] == "failed" and "did not answer in time" in hangs["reason"] and hangs["seconds"] < 2


def test_what_cannot_help_is_not_tried_again(started: Callable[[Any], Any], free_port: Callable[[], int]) -> None:
    server: HttpReceiver = started(HttpReceiver())
    server.replies = [(302, {"Location": "http://localhost:1/"}, ""), (400, {}, "no")]
    channel = one({"kind": "webhook", "url": server.url})
    assert "redirects are not followed" in told(channel)["reason"]
    assert told(channel)["reason"] == "localhost answered 400"
    assert len(server.requests) == 2
    nobody = told(one({"kind": "webhook", "url": f"http://localhost:{free_port()}/canary"}), budget=1)
    assert "cannot be reached: Connection refused" in nobody["reason"] and nobody["attempts"] == 2


def test_only_allowed_hosts() -> None:
    hook = {"kind": "webhook", "url": "https://hooks.example.org/x"}
    assert "hooks.example.org is not among the allowed hosts, which are none" in mistakes(hook, [])
    assert "is not among" in mistakes(hook, ["example.org", "*.hooks.example.org"])
    assert one(hook, "hooks.slack.com,HOOKS.example.org").host == "hooks.example.org"
    assert one(hook, ["*.example.org"]).name == "c"
    assert "is not among" in mistakes({**hook, "url": "https://example.org.evil.example/"}, ["example.org", "*.example.org"])
    mail = {"kind": "email", "host": "mail.example.org", "from": "a@example.org", "to": "b@example.org"}
    assert "mail.example.org is not among" in mistakes(mail, ["hooks.slack.com"])
    telegram = {"kind": "telegram", "token": {"secret": "telegram"}, "chat_id": "1"}
    assert "api.telegram.org is not among" in mistakes(telegram)
    assert "is not a host" in mistakes(hook, ["https://hooks.example.org/"])


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ({"kind": "pigeon"}, "expected one of webhook, slack, telegram, email"),
        ({"kind": "webhook"}, "url: is missing"),
        ({"kind": "webhook", "url": "http://hooks.example.org/"}, "expected https://"),
        ({"kind": "webhook", "url": "https://u:canary@hooks.example.org/"}, "holds a user or a password"),
        ({"kind": "webhook", "url": "https://@hooks.example.org/"}, "holds a user or a password"),
        ({"kind": "webhook", "url": "https://evil.example\\.example.org/x"}, "names a host with other signs"),
        ({"kind": "webhook", "url": "https://evil.example%2f.example.org/x"}, "names a host with other signs"),
        ({"kind": "webhook", "url": "ftp://hooks.example.org/"}, "begins with https://"),
        ({"kind": "slack"}, "give either url or token"),
        ({"kind": "slack", "url": "https://hooks.example.org/"}, "expected {secret: NAME}"),
        ({"kind": "slack", "token": {"secret": "slack"}}, "the channel has to be named"),
        ({"kind": "telegram", "token": {"secret": "bearer"}, "chat_id": "1"}, "is not a token of Telegram"),
        ({"kind": "telegram", "token": "123:canary", "chat_id": "1"}, "expected {secret: NAME}"),
        ({"kind": "email", "host": "hooks.example.org", "from": "me", "to": "b@example.org"}, "is not the address of a mailbox"),
        (
            {"kind": "email", "host": "hooks.example.org", "from": "a@b", "to": "b@c", "security": "none"},
            "only to a server on this machine itself",
        ),
        (
            {"kind": "email", "host": "hooks.example.org", "from": "a@b", "to": "b@c", "username": "x"},
            "goes together with password",
        ),
        ({"kind": "webhook", "url": "https://hooks.example.org/", "verify": False}, "unknown key"),
        ({"kind": "webhook", "url": {"secret": "nobody"}}, "there is no secret named 'nobody'"),
    ],
)
def test_a_channel_that_is_refused(channel: dict[str, Any], said: str) -> None:
    text = mistakes(channel, ["hooks.example.org", "api.telegram.org", "slack.com"])
    assert said in text
    assert SECRETS["bearer"] not in text and "canary@" not in text


def test_an_error_of_a_library_shows_no_address(free_port: Callable[[], int]) -> None:
    port = free_port()
    channel = one({"kind": "telegram", "token": {"secret": "telegram"}, "chat_id": "1", "api": f"http://127.0.0.1:{port}"})
    with pytest.raises(NotSent) as caught:
        send(channel, MESSAGE, lambda: 1.0)
    assert "canary" not in str(caught.value) and caught.value.__cause__ is None


def test_a_store_that_takes_its_time_to_fail_takes_none_from_the_channels(started: Callable[[Any], Any]) -> None:
    server: HttpReceiver = started(HttpReceiver())
    channel = one({"kind": "webhook", "url": server.url})
    clock = Clock()

    class SlowStore:
        """A stand-in for a store that is gone: it says so only after the whole budget."""

        def change(self, *_what: Any) -> Any:
            now = clock.monotonic()
            clock.monotonic = lambda: now + 5.0
            raise StoreError("redis did not answer")

    store: Any = SlowStore()
    found = tell(store, [channel], [Item(MESSAGE, Told("run-1", "no_go", "", "f"))], Limits(5, 2, Rate(20, 60)), clock=clock)
    assert (found[0]["status"], len(server.requests)) == ("sent", 1), found
    assert "redis did not answer" in found[0]["reason"]

#!/usr/bin/python
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: notify
short_description: Tell people what became of a run, once
version_added: 0.1.0
description:
  - Tells webhooks, Slack, Telegram and mailboxes about an event of a run, all of them at once.
  - The same event of the same run is told once, and again when what is told has changed. What was told is kept in the store.
  - Only hosts in O(allowed_hosts) are told, over TLS that is verified. Redirects are not followed. Without TLS nothing leaves this
    machine.
  - What does not get through is tried again, with pauses that grow, within O(budget), or O(prompt_budget) where something waits.
  - A channel that could not be told is a result and no failure. The task fails only when its input is refused.
extends_documentation_fragment:
  - golive.cutover.store
options:
  state:
    description:
      - V(told) tells.
      - V(validated) only reads and validates O(channels), and tells nobody.
    type: str
    choices: [told, validated]
    default: told
  channels:
    description:
      - "Who is told. Each has a C(name) and a C(kind): C(webhook), C(slack), C(telegram) or C(email). With C(events) it is told
        only these, with C(ca) it trusts the authorities in a file in place of those of the system."
      - "C(webhook): C(url) and C(headers)."
      - "C(slack): C(url) of an incoming webhook, or C(token) of a bot and C(channel)."
      - "C(telegram): C(token) of the bot and C(chat_id)."
      - "C(email): C(host), C(port), C(security) (C(starttls), C(tls), or C(none) for a server on this machine), C(username),
        C(password), C(from) and C(to)."
      - "Tokens, passwords and the address of a Slack webhook are given as C({secret: NAME}); so may be the C(url) of a webhook and
        the values of its headers. C(api) is the address of a Slack or Telegram API of one's own."
    type: list
    elements: dict
    required: true
  allowed_hosts:
    description:
      - The hosts that may be told, as names. V(*.example.org) stands for all below it. An entry may hold several with commas
        between them, as the variable C(NOTIFY_ALLOWED_HOSTS) of a runbook has them.
      - A channel that goes to another host is refused. With none, every channel is.
    type: list
    elements: str
    required: true
  secrets:
    description: "Secret values by name. A channel refers to one as C({secret: NAME})."
    type: dict
    default: {}
  hide:
    description: Further values that must not be told to anybody. Wherever one stands in what is told, it is replaced by C(***).
    type: list
    elements: str
    default: []
  run:
    description: The run that the event belongs to. Needed with O(event).
    type: str
  event:
    description: What happened, as a name such as V(no_go). This or O(messages) is needed with O(state=told).
    type: str
  topic:
    description: What the event is about when a run has several of that name, such as a checkpoint.
    type: str
    default: ''
  subject:
    description: What happened, in one line. Needed with O(event).
    type: str
  text:
    description: What else is to be known.
    type: str
    default: ''
  data:
    description: The same for programs. Webhooks get it.
    type: dict
    default: {}
  identity:
    description:
      - What makes this the same message as before. When it is another than that of the message told last, people are told again.
      - Without it, O(subject) and O(text) are. Give it when they hold what is different in every run, such as times.
    type: dict
    default: {}
  messages:
    description:
      - Several messages in place of one. A channel is told one after the other, all channels at once, and all of it shares one
        budget. So a channel that is dead costs it once, and holds up no other.
    type: list
    elements: dict
    suboptions:
      id:
        description: What the records of the message are known by. It is returned as it is, and must hold nothing secret.
        type: str
        default: ''
      run:
        description: As O(run), which is the default.
        type: str
      event:
        description: As O(event).
        type: str
        required: true
      topic:
        description: As O(topic).
        type: str
        default: ''
      subject:
        description: As O(subject).
        type: str
        required: true
      text:
        description: As O(text).
        type: str
        default: ''
      data:
        description: As O(data).
        type: dict
        default: {}
      identity:
        description: As O(identity).
        type: dict
        default: {}
      only:
        description: The names of the channels that are to have it, such as those that could not be told before. By default all that
          want the event.
        type: list
        elements: str
  budget:
    description: The time for telling, all channels, messages, attempts and pauses together, as a duration with its unit.
    type: str
    default: 30s
  prompt:
    description: Whether something waits until people are told, such as a rollback. Then O(prompt_budget) counts in place of
      O(budget) where it is shorter.
    type: bool
    default: false
  prompt_budget:
    description: The time for telling while something waits for it.
    type: str
    default: 5s
  timeout:
    description: The time of one attempt.
    type: str
    default: 10s
  rate:
    description: How many messages a channel is sent at most, as C(NUMBER/DURATION). One more waits where O(budget) allows it.
    type: str
    default: 20/1m
attributes:
  check_mode:
    support: full
    description: Says who would be told and tells nobody.
  diff_mode:
    support: none
    description: The result says what was told.
requirements:
  - requests (Python library), for all but e-mail
author:
  - The golive.cutover contributors (@golive-cutover)
seealso:
  - module: golive.cutover.ledger
"""

EXAMPLES = r"""
- name: Tell the team that the release was let through
  golive.cutover.notify:
    store: sqlite:///var/lib/golive/golive.db
    environment: spark-ta
    run: 20251121T030000Z-7f3a
    event: go
    subject: "GO: spark-ta runs 1.0.0"
    text: All required criteria are met.
    identity:
      release: 1.0.0
    allowed_hosts: "{{ notify_allowed_hosts }}"
    secrets: "{{ notify_secrets }}"
    channels:
      - name: team
        kind: slack
        url:
          secret: slack_webhook
      - name: on-call
        kind: telegram
        token:
          secret: telegram_bot_token
        chat_id: "-100123"
        events: [no_go, rollback_ended]
      - name: mail
        kind: email
        host: mail.example.org
        from: golive@example.org
        to: [ops@example.org]
  register: told

- name: Say who could not be told
  ansible.builtin.debug:
    msg: "{{ told.results | selectattr('status', 'equalto', 'failed') }}"
"""

RETURN = r"""
results:
  description: One record for each channel that wants the event.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The O(messages[].id) of the message.
      type: str
    place:
      description: The place of the channel in O(channels), from 0.
      type: int
    channel:
      description: The name of the channel.
      type: str
    kind:
      description: Its kind.
      type: str
    host:
      description: The host that was told.
      type: str
    run:
      description: The run that it is about.
      type: str
    event:
      description: What it was told of.
      type: str
    topic:
      description: What the event is about.
      type: str
    subject:
      description: What it was told, in one line.
      type: str
    status:
      description: One of C(sent), C(already), C(failed), and in check mode C(would_send).
      type: str
    reason:
      description: Why it is not C(sent), or what is to be noted about it.
      type: str
    attempts:
      description: How many times it was tried.
      type: int
    seconds:
      description: How long it took.
      type: float
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.notify import telling
from ansible_collections.golive.cutover.plugins.module_utils.notify.channels import read_channels
from ansible_collections.golive.cutover.plugins.module_utils.notify.senders import Message
from ansible_collections.golive.cutover.plugins.module_utils.report.scrub import scrubber
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import STORE_ARGUMENTS, open_from
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store, check_names
from ansible_collections.golive.cutover.plugins.module_utils.store.notifications import Rate, Told

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def _limits(params: dict[str, Any]) -> telling.Limits:
    problems: list[Problem] = []
    seconds = {"budget": 30.0, "prompt_budget": 5.0, "timeout": 10.0}
    for name in seconds:
        try:
            seconds[name] = units.parse_duration(params[name])
            if not 0 < seconds[name] <= 3600:
                raise ValueError("expected more than no time and at most 1h")
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    rate = Rate(20, 60.0)
    number, _slash, over = params["rate"].partition("/")
    try:
        rate = Rate(int(number), units.parse_duration(over))
        if not 1 <= rate.most <= 200 or rate.seconds <= 0:
            raise ValueError
    except ValueError:
        problems.append(Problem("rate", f"expected NUMBER/DURATION such as 20/1m, at most 200, got {params['rate']!r}"))
    if problems:
        raise InputError(problems)
    budget = min(seconds["budget"], seconds["prompt_budget"]) if params["prompt"] else seconds["budget"]
    return telling.Limits(budget, seconds["timeout"], rate)


def _items(params: dict[str, Any], clean: Callable[[Any], Any]) -> list[telling.Item]:
    """The messages of the task, without secrets. Raises InputError."""
    given = params["messages"] if params["messages"] is not None else [params]
    problems: list[Problem] = []
    found = []
    for one in given:
        run = one["run"] or params["run"] or ""
        problems += check_names(run=run, event=one["event"])
        content = {name: clean(one[name]) for name in ("subject", "text", "data")}
        same = clean(one["identity"]) or {name: content[name] for name in ("subject", "text")}
        told = Told(run, one["event"], one["topic"], telling.fingerprint(same))
        message = Message(one["event"], params["environment"], run, key="", **content)
        found.append(telling.Item(message, told, one.get("only"), one.get("id") or ""))
    if problems:
        raise InputError(problems)
    return found


def notify(module: AnsibleModule) -> dict[str, Any]:
    params = module.params
    secrets = {str(name): str(value) for name, value in params["secrets"].items() if value is not None}
    clean = scrubber([*secrets.values(), *params["hide"]])
    try:
        channels = read_channels(params["channels"], secrets, params["allowed_hosts"])
    except InputError as error:
        # A mistake may be a secret in the wrong place.
        raise InputError([Problem(clean(one.where), clean(one.message)) for one in error.problems]) from None
    limits = _limits(params)
    if params["state"] == "validated":
        return {"changed": False, "results": []}
    items = _items(params, clean)
    with ExitStack() as opened:
        store: Optional[Store] = None
        problem = ""
        try:
            store = opened.enter_context(open_from(params, module.no_log_values.add))
        except InputError:
            raise
        except CutoverError as error:
            problem = str(error)
        results = telling.tell(store, channels, items, limits, module.check_mode, store_problem=problem)
    told = any(one["status"] in ("sent", "would_send") for one in results)
    return {"changed": told, "results": [{**clean(one), "id": one["id"]} for one in results]}


def main() -> None:
    run_module(
        {
            **STORE_ARGUMENTS,
            "state": {"type": "str", "choices": ["told", "validated"], "default": "told"},
            "channels": {"type": "list", "elements": "dict", "required": True},
            "allowed_hosts": {"type": "list", "elements": "str", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "hide": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "run": {"type": "str"},
            "event": {"type": "str"},
            "topic": {"type": "str", "default": ""},
            "subject": {"type": "str"},
            "text": {"type": "str", "default": ""},
            "data": {"type": "dict", "default": {}},
            "identity": {"type": "dict", "default": {}},
            "messages": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "id": {"type": "str", "default": ""},
                    "run": {"type": "str"},
                    "event": {"type": "str", "required": True},
                    "topic": {"type": "str", "default": ""},
                    "subject": {"type": "str", "required": True},
                    "text": {"type": "str", "default": ""},
                    "data": {"type": "dict", "default": {}},
                    "identity": {"type": "dict", "default": {}},
                    "only": {"type": "list", "elements": "str"},
                },
            },
            "budget": {"type": "str", "default": "30s"},
            "prompt": {"type": "bool", "default": False},
            "prompt_budget": {"type": "str", "default": "5s"},
            "timeout": {"type": "str", "default": "10s"},
            "rate": {"type": "str", "default": "20/1m"},
        },
        notify,
        unshown=("channels", "secrets", "hide", "text", "subject", "data", "identity", "messages"),
        mutually_exclusive=[("event", "messages")],
        required_by={"event": ("run", "subject")},
        required_if=[("state", "told", ("event", "messages"), True)],
        supports_check_mode=True,
    )


if __name__ == "__main__":
    main()

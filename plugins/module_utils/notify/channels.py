# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Channels: where people are told, as they are written by a person, read and refused.

A channel goes to one host, which must be among the allowed ones. What is sent goes over TLS that is verified; without TLS only to
this machine itself. A token, a password and an address that holds one must be given as ``{secret: NAME}``, because everything
else that is written here is shown.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import resolve_secrets
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, Secret, reveal
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import check_names

KINDS = ("webhook", "slack", "telegram", "email")
SLACK_API = "https://slack.com/api/chat.postMessage"
TELEGRAM_API = "https://api.telegram.org"
PORTS = {"starttls": 587, "tls": 465, "none": 25}

_TELEGRAM_TOKEN = re.compile(r"[A-Za-z0-9_:-]+\Z")
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?\Z")
_HOSTNAME = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)\Z")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\Z")


def _address(value: Any) -> str:
    text = opt.text(value)
    if not _ADDRESS.match(text):
        raise ValueError(f"{text!r} is not the address of a mailbox, such as ops@example.org")
    return text


def _chat(value: Any) -> str | Secret:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return opt.secret_text(value)


_COMMON: Mapping[str, Option] = {
    "name": Option(opt.text, "the name of the channel, by which it is known in the report", required=True),
    "kind": Option(opt.choice(*KINDS), f"one of {', '.join(KINDS)}", required=True),
    "events": Option(opt.list_of(opt.text), "only these events"),
    "ca": Option(opt.text, "file with the authorities that are trusted, in place of those of the system"),
}
SCHEMAS: Mapping[str, Mapping[str, Option]] = {
    "webhook": {
        **_COMMON,
        "url": Option(opt.secret_text, "the address, or {secret: NAME} when it holds a token", required=True),
        "headers": Option(opt.map_of(opt.secret_text), "headers to add; a value may be {secret: NAME}"),
    },
    "slack": {
        **_COMMON,
        "url": Option(opt.secret_only, "the address of an incoming webhook, as {secret: NAME}"),
        "token": Option(opt.secret_only, "a token of a bot, as {secret: NAME}, in place of url"),
        "channel": Option(opt.text, "the channel to write to, needed with a token"),
        "api": Option(opt.url("http", "https"), "address of the API, used with a token", default=SLACK_API),
    },
    "telegram": {
        **_COMMON,
        "token": Option(opt.secret_only, "the token of the bot, as {secret: NAME}", required=True),
        "chat_id": Option(_chat, "the chat to write to; may be {secret: NAME}", required=True),
        "api": Option(opt.url("http", "https"), "address of the API", default=TELEGRAM_API),
    },
    "email": {
        **_COMMON,
        "host": Option(opt.text, "the mail server", required=True),
        "port": Option(opt.integer(1, 65535), "its port"),
        "security": Option(opt.choice(*PORTS), "starttls, tls, or none for a mail server on this machine", default="starttls"),
        "username": Option(opt.text, "who logs in"),
        "password": Option(opt.secret_only, "the password, as {secret: NAME}"),
        "from": Option(_address, "the sender", required=True),
        "to": Option(opt.list_of(_address), "the recipients", required=True),
    },
}


@dataclass(frozen=True)
class Channel:
    """One way to tell people. ``options`` are clean; secrets in them show themselves as ``***``."""

    name: str
    kind: str
    host: str
    options: Mapping[str, Any]

    def wants(self, event: str) -> bool:
        return not self.options["events"] or event in self.options["events"]


def read_hosts(raw: Any) -> list[str]:
    """The allowed hosts: a list, or one text with commas between them, as the variable NOTIFY_ALLOWED_HOSTS has them."""
    found: list[str] = []
    problems: list[Problem] = []
    entries = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(entries, Sequence):
        raise InputError([Problem("allowed_hosts", f"expected a list of host names, got {raw!r}")])
    parts = [part for one in entries for part in (one.split(",") if isinstance(one, str) else [one])]
    for one in parts:
        if isinstance(one, str) and not one.strip():
            continue
        if not isinstance(one, str) or not _HOST.match(one.strip()):
            message = f"{one!r} is not a host; expected a name such as hooks.slack.com, or *.example.org for all below it"
            problems.append(Problem("allowed_hosts", message))
        else:
            found.append(one.strip().lower())
    if problems:
        raise InputError(problems)
    return found


def is_allowed(host: str, allowed: Iterable[str]) -> bool:
    """Whether a host is one of the allowed ones, or below one that begins with ``*.``."""
    name = host.lower().rstrip(".")
    return any(name.endswith(one[1:]) and name != one[2:] if one.startswith("*.") else name == one for one in allowed)


def is_here(host: str) -> bool:
    """Whether a host is this machine itself, by its name or number, without asking anybody."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_channels(raw: Any, secrets: Mapping[str, str], allowed: Any) -> list[Channel]:
    """Read the channels. Raises InputError with every mistake; no message shows a secret."""
    problems: list[Problem] = []
    hosts: list[str] = []
    try:
        hosts = read_hosts(allowed)
    except InputError as error:
        problems.extend(error.problems)
    found: list[Channel] = []
    for index, one in enumerate(raw if isinstance(raw, Sequence) and not isinstance(raw, str) else [raw]):
        name = one.get("name") if isinstance(one, Mapping) else None
        where = f"channels[{name if isinstance(name, str) else index}]"
        kind = one.get("kind") if isinstance(one, Mapping) else None
        if kind not in KINDS:
            problems.append(Problem(f"{where}.kind", f"expected one of {', '.join(KINDS)}, got {kind!r}"))
            continue
        before = len(problems)
        clean = opt.read_options(resolve_secrets(one, secrets, where, problems), SCHEMAS[str(kind)], where, problems)
        if len(problems) > before:
            continue
        problems.extend(check_names(**{f"{where}.name": clean["name"]}))
        problems.extend(Problem(f"{where}.{key}", message) for key, message in _faults(str(kind), clean))
        host = _host_of(str(kind), clean)
        if host is not None and not is_allowed(host, hosts):
            message = f"{host} is not among the allowed hosts, which are {', '.join(hosts) or 'none'}; nothing is sent there"
            problems.append(Problem(where, message))
        if any(clean["name"] == other.name for other in found):
            problems.append(Problem(f"{where}.name", "stands twice"))
        found.append(Channel(clean["name"], str(kind), host or "", clean))
    if problems:
        raise InputError(problems)
    return found


def url_of(kind: str, options: Mapping[str, Any]) -> str:
    """The address that a channel of HTTP is sent to. It may hold a secret, so it is never shown."""
    if kind == "telegram":
        return f"{options['api'].rstrip('/')}/bot{reveal(options['token'])}/sendMessage"
    return str(reveal(options["url"]) if options["url"] is not None else options["api"])


def _host_of(kind: str, options: Mapping[str, Any]) -> str | None:
    if kind == "email":
        return str(options["host"])
    try:
        return urlsplit(url_of(kind, options)).hostname
    except ValueError:
        return None


def _faults(kind: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What only shows when several options are seen together, as key and message."""
    found: list[tuple[str, str]] = []
    if kind == "slack" and (options["url"] is None) == (options["token"] is None):
        return [("url", "give either url or token")]
    if kind == "slack" and options["token"] is not None and not options["channel"]:
        found.append(("channel", "is missing: with a token the channel has to be named"))
    if kind == "telegram" and not _TELEGRAM_TOKEN.match(str(reveal(options["token"]))):
        found.append(("token", "is not a token of Telegram: letters, digits, ':', '_' and '-'"))
    if kind == "email":
        if options["security"] == "none" and not is_here(options["host"]):
            found.append(("security", "without TLS mail goes only to a server on this machine itself"))
        if (options["username"] is None) != (options["password"] is None):
            found.append(("username", "goes together with password"))
        return found
    where = "url" if options.get("url") is not None else "api"
    return found + [(where, one) for one in _url_faults(kind, options)]


def _url_faults(kind: str, options: Mapping[str, Any]) -> list[str]:
    # The address itself is not shown: it may hold a secret.
    try:
        parts = urlsplit(url_of(kind, options))
        _port = parts.port
    except ValueError:
        return ["is not an address"]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ["expected an address that begins with https:// and has a host"]
    if "@" in parts.netloc:
        return ["holds a user or a password; give a header {secret: NAME} for it"]
    if not _HOSTNAME.match(parts.hostname):
        # Another library could read another host in it than the one that was allowed.
        return ["names a host with other signs than letters, digits, '.' and '-'"]
    if parts.scheme == "http" and not is_here(parts.hostname):
        return ["expected https://; without TLS only this machine itself is told"]
    return []

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The address of a store, as it is written in ``cutover_store``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem

ADVICE = (
    "a password in the address of the store would be shown in output and process lists: take it out (and change it), "
    "then give it as the parameter store_password, or name a file that holds it with ?password_file=/absolute/path"
)


@dataclass(frozen=True)
class Address:
    """A store address in parts. ``text`` is safe to show: it holds no password."""

    text: str
    scheme: str
    host: str
    port: int | None
    username: str
    path: str
    options: Mapping[str, str]


def refuse(message: str) -> InputError:
    return InputError([Problem("store", message)])


def password_in(text: object) -> str | None:
    """The password that somebody has put into an address, as written, so that it can be kept out of the output."""
    try:
        return urlsplit(text).password if isinstance(text, str) else None
    except ValueError:
        return None


def parse_address(text: str) -> Address:
    """Read an address. Raises InputError; a message never repeats a password."""
    if password_in(text) is not None:
        raise refuse(ADVICE)
    try:
        parts = urlsplit(text)
        port = parts.port
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    except ValueError as error:
        raise refuse(f"is not an address ({error})") from error
    options = dict(pairs)
    if any(name in ("password", "pass", "auth") for name in options):
        raise refuse(ADVICE)
    if len(options) != len(pairs):
        raise refuse("an option after ? is given twice")
    if parts.fragment:
        raise refuse("has a part after #, which means nothing here; write %23 for a # in a path")
    return Address(
        text=text,
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=port,
        username=unquote(parts.username or ""),
        path=unquote(parts.path),
        options=options,
    )


def is_shared(text: str) -> bool:
    """Whether the store at an address is one for many hosts. Raises InputError."""
    return parse_address(text).scheme != "sqlite"

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of stores: what is refused, and that no refusal repeats a password."""

from __future__ import annotations

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store.address import parse_address, password_in
from ansible_collections.golive.cutover.plugins.module_utils.store.arguments import open_from
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store


def test_parts() -> None:
    address = parse_address("rediss://us%40er@[::1]:7000/3?ca_file=/a%20b")
    assert (address.scheme, address.host, address.port, address.username) == ("rediss", "::1", 7000, "us@er")
    assert (address.path, dict(address.options)) == ("/3", {"ca_file": "/a b"})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not a kind of store"),
        ("/var/lib/golive.db", "not a kind of store"),
        ("mysql://host/db", "'mysql' is not a kind of store"),
        ("sqlite://golive.db", "three slashes"),
        ("sqlite://host/golive.db", "three slashes"),
        ("sqlite:golive.db", "three slashes"),
        ("sqlite:///", "three slashes"),
        ("sqlite:///directory/", "three slashes"),
        ("sqlite:///a.db?mode=ro", "no option mode"),
        ("sqlite:///a.db?password_file=/x", "no password"),
        ("sqlite:///a#b.db", "%23"),
        ("redis:///0", "needs a host"),
        ("redis://host/zero", "'zero' is not the number"),
        ("redis://host:port/0", "not an address"),
        ("redis://host:99999/0", "not an address"),
        ("redis://[::1/0", "not an address"),
        ("redis://host/0?ca_file=/x", "unknown option ca_file"),
        ("rediss://host/0?verify=no", "unknown option verify"),
        ("redis://host/0?password_file=/x&password_file=/y", "twice"),
        ("redis://host/0?x", "not an address"),
    ],
)
def test_refused(text: str, part: str) -> None:
    with pytest.raises(InputError) as refused:
        open_store(text, "spark")
    assert part in str(refused.value)
    assert refused.value.problems[0].where == "store"


@pytest.mark.parametrize(
    "text",
    [
        "redis://:CANARY-1@host/0",
        "redis://user:CANARY-1@host/0",
        "redis://user:CANARY-1@host:port/0",
        "redis://host/0?password=CANARY-1",
        "sqlite://user:CANARY-1@/a.db",
        "mysql://user:CANARY-1@host/a",
    ],
)
def test_a_password_is_refused_with_advice_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError) as refused:
        open_store(text, "spark")
    assert "store_password" in str(refused.value) and "?password_file=" in str(refused.value)
    assert "CANARY" not in str(refused.value)


def test_a_password_in_an_address_is_handed_to_whoever_hides_it() -> None:
    hidden: list[str] = []
    with pytest.raises(InputError):
        open_from({"store": "redis://:CANARY-1@host/0", "environment": "spark", "store_password": None}, hidden.append)
    assert hidden == ["CANARY-1"]
    assert password_in(None) is None and password_in("redis://[::1") is None


@pytest.mark.parametrize("name", ["", "a:b", "a b", "../a", ".a", "a" * 65, "ä"])
def test_names_of_environments(name: str) -> None:
    with pytest.raises(InputError, match="environment"):
        open_store("sqlite:///nowhere/golive.db", name)

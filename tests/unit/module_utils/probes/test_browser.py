# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the process that drives a browser tells of addresses."""

from __future__ import annotations

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes import _browser


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("wss://h/stream?access_token=eyJ0", "wss://h/stream"),
        ("GET https://ada:pw@h:8443/a/b?c=d#e: 404", "GET https://h:8443/a/b: 404"),
        ("refused to connect to 'http://h?a=b', see http://h/#c.", "refused to connect to 'http://h', see http://h/."),
        ("blob:https://h/1-2?x", "blob:https://h/1-2"),
        ("https://h/a@b/c", "https://h/a@b/c"),
        ("no address here? none # at all", "no address here? none # at all"),
    ],
)
def test_addresses_lose_what_may_be_secret(said: str, told: str) -> None:
    assert _browser.without_queries(said) == told


def test_a_known_secret_goes_before_an_address_is_cut() -> None:
    clean = _browser.cleaner(["se?cret"])
    assert clean("http://h/se?cret/x", addresses=True) == "http://h/***/x"
    assert clean("a http://h/?q=1") == "a http://h/?q=1"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://H.example:80/x?y", "http://h.example"),
        ("https://h:443/", "https://h"),
        ("https://h:80/", "https://h:80"),
        ("http://[::1]:3000/x", "http://[::1]:3000"),
        ("http://own.example@evil.example/x", "http://evil.example"),
    ],
)
def test_an_origin_is_written_as_a_browser_writes_it(url: str, origin: str) -> None:
    assert _browser.origin_of(url) == origin

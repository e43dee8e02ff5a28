# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Which names a certificate covers."""

from __future__ import annotations

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes.tls import covers


@pytest.mark.parametrize(
    ("names", "server_name", "expected"),
    [
        (["example.com"], "example.com", True),
        (["Example.COM"], "example.com.", True),
        (["example.com"], "www.example.com", False),
        (["*.example.com"], "www.example.com", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "a.www.example.com", False),
        (["*.com"], "example.com", False),
        (["w*.example.com"], "www.example.com", False),
        (["*"], "localhost", False),
        (["xn--bcher-kva.example"], "bücher.example", True),
        (["127.0.0.1"], "127.0.0.1", True),
        (["*.0.0.1"], "127.0.0.1", False),
        (["::1"], "0:0:0:0:0:0:0:1", True),
        ([], "example.com", False),
    ],
)
def test_covers(names: list[str], server_name: str, expected: bool) -> None:
    assert covers(names, server_name) is expected

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Redis configuration file says, and edits of it."""

from __future__ import annotations

import pytest

from ansible_collections.golive.cutover.plugins.module_utils import _redis_config as config

WANTED = {"appendonly": "yes", "appendfsync": "everysec"}


def test_the_last_directive_counts_and_includes_are_read_where_they_stand() -> None:
    files = {"a.conf": ["appendonly yes\n"], "b.conf": ["appendfsync no\n"]}
    text = "APPENDONLY no\n# appendonly yes\ninclude a.conf\nappendfsync always\ninclude b.conf\n"
    assert config.effective(text, WANTED, lambda name: files[name]) == {"appendonly": "yes", "appendfsync": "no"}
    assert config.effective('appendonly "yes"\n', WANTED) == {"appendonly": "yes"}
    assert config.effective("", WANTED) == {}


def test_includes_that_include_each_other_end() -> None:
    assert config.effective("include a\n", WANTED, lambda _name: ["include a\nappendonly yes\n"]) == {"appendonly": "yes"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "appendonly yes\nappendfsync everysec\n"),
        ("port 1", "port 1\nappendonly yes\nappendfsync everysec\n"),
        ("appendonly no\nport 1\nappendfsync no\n", "appendonly yes\nport 1\nappendfsync everysec\n"),
        ("appendonly no\nappendonly no\nappendfsync no\n", "appendonly yes\nappendonly yes\nappendfsync everysec\n"),
        (
            "appendonly no\ninclude x\nappendfsync no\n",
            "appendonly yes\ninclude x\nappendfsync everysec\nappendonly yes\n",
        ),
        ("# appendonly no\n", "# appendonly no\nappendonly yes\nappendfsync everysec\n"),
    ],
)
def test_an_edit_changes_what_it_must_and_nothing_else(before: str, after: str) -> None:
    assert config.edited(before, WANTED) == after
    assert config.edited(after, WANTED).startswith(after)
    assert config.effective(after, WANTED) == WANTED

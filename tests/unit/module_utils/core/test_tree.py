# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One digest for one content, however it is packed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.golive.cutover.plugins.module_utils.core.tree import (
    Entry,
    check_link,
    check_path,
    check_release_id,
    differences,
    excluded,
    file_entry,
    tree_digest,
)

entries = st.lists(
    st.builds(
        file_entry,
        st.text("abc/", min_size=1),
        st.binary(max_size=4),
        st.booleans(),
    ),
    unique_by=lambda one: one.path,
)


@given(entries, st.randoms())
def test_order_does_not_count(found: list[Entry], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tree_digest(found) == tree_digest(shuffled)


@given(entries, st.integers(min_value=0))
def test_every_change_counts(found: list[Entry], which: int) -> None:
    if not found:
        return
    one = found[which % len(found)]
    rest = [other for other in found if other is not one]
    assert tree_digest(found) != tree_digest(rest)
    assert tree_digest(found) != tree_digest([*rest, file_entry(one.path, b"other content", one.executable)])
    assert tree_digest(found) != tree_digest([*rest, Entry(one.path, one.kind, not one.executable, one.digest)])


def test_differences_overlook_what_came_later() -> None:
    was = [file_entry("a", b"1"), file_entry("b", b"2")]
    assert differences(was, [*was, file_entry("cache.pyc", b"")]) == []
    assert differences(was, [file_entry("a", b"x")]) == ["a was altered", "b is gone"]
    assert differences([file_entry(str(n), b"") for n in range(9)], [])[-1] == "and 4 more"


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", "a\nb"])
def test_paths_stay_inside(path: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        check_path(path)


def test_links_stay_inside() -> None:
    assert check_link("bin/run", "../lib/run") == "../lib/run"
    for target in ("/etc/passwd", "../../x"):
        with pytest.raises(ValueError, match="points out"):
            check_link("bin/run", target)


@pytest.mark.parametrize("release", ["", ".", "..", "a/b", "-x", "1.0.0.partial", "1.0.0.replaced", "x" * 65, "a b"])
def test_ids_are_names_of_directories(release: str) -> None:
    with pytest.raises(ValueError, match="cannot be the id"):
        check_release_id(release)
    assert check_release_id("ta-module-v1.0.0") == "ta-module-v1.0.0"


def test_what_is_left_out() -> None:
    patterns = [".git", "*.pyc", "docs/*"]
    assert [excluded(path, patterns) for path in (".env", ".golive/x", "a/.git/b", "a/b.pyc", "docs/a", "src/.env", "a")] == [
        True, True, True, True, True, False, False,
    ]  # fmt: skip

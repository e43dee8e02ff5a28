# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files are put in place whole, with the link last."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.report import files


def test_files_modes_and_link(tmp_path: Path) -> None:
    reports = tmp_path / "reports" / "demo"
    assert files.write(reports, "run-1", {"a.txt": "one"})
    assert (reports / "run-1" / "a.txt").read_text() == "one"
    assert stat.S_IMODE((reports / "run-1" / "a.txt").stat().st_mode) == 0o640
    assert os.readlink(reports / "latest") == "run-1"
    assert not files.write(reports, "run-1", {"a.txt": "one"})
    assert files.write(reports, "run-2", {"a.txt": "two"})
    assert (reports / "latest" / "a.txt").read_text() == "two"
    assert sorted(one.name for one in reports.iterdir()) == ["latest", "run-1", "run-2"]
    assert [one.name for one in (reports / "run-2").iterdir()] == ["a.txt"]


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert files.write(tmp_path / "reports", "run-1", {"a.txt": "one"}, check_mode=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_and_never_written_through_a_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "a.txt").symlink_to(other)
    assert files.write(tmp_path, "run-1", {"a.txt": "one"})
    assert other.read_text() == "mine"
    assert not (tmp_path / "run-1" / "a.txt").is_symlink()


def test_a_directory_in_the_place_of_the_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(CutoverError, match="not a symbolic link"):
        files.write(tmp_path, "run-1", {"a.txt": "one"})


def test_a_link_to_nowhere_is_moved(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("gone")
    files.write(tmp_path, "run-1", {"a.txt": "lone \ud800"})
    assert (tmp_path / "latest" / "a.txt").read_text() == "lone \\ud800"


def test_a_file_that_cannot_be_written_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(tmp_path, "run-1", {"a.txt": "one"})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CutoverError, match="No space left"):
        files.write(tmp_path, "run-1", {"a.txt": "two"})
    assert (tmp_path / "run-1" / "a.txt").read_text() == "one"
    assert [one.name for one in (tmp_path / "run-1").iterdir()] == ["a.txt"]

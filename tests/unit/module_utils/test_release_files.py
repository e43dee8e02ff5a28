# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release directories: one digest for a directory and its archive, half copies, and what a killed run leaves."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from ansible_collections.golive.cutover.plugins.module_utils import release_files
from ansible_collections.golive.cutover.plugins.module_utils.core.tree import tree_digest
from ansible_collections.golive.cutover.plugins.module_utils.release_files import ReleaseError, Releases, pack, scan, with_files


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "lib").mkdir(parents=True)
    (root / "lib" / "a.py").write_text("a\n", encoding="utf-8")
    (root / "run").write_text("#!/bin/sh\n", encoding="utf-8")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("lib/a.py")
    (root / ".env").write_text("TOKEN=CANARY-x\n", encoding="utf-8")
    (root / "lib" / "a.pyc").write_text("cache", encoding="utf-8")
    return root


EXCLUDE = ["*.pyc"]


def test_directory_and_archive_have_one_digest(source: Path, tmp_path: Path) -> None:
    entries = scan(source, EXCLUDE)
    assert sorted(one.path for one in entries) == ["lib/a.py", "link", "run"]
    pack(source, entries, tmp_path / "a.tar.gz")
    assert tree_digest(scan(tmp_path / "a.tar.gz", [])) == tree_digest(entries)


@pytest.mark.parametrize("kind", ["directory", "archive"])
def test_stage_keeps_the_settings_and_copies_none(source: Path, tmp_path: Path, kind: str) -> None:
    releases = Releases(tmp_path / "releases")
    target = releases.path("1.0.0")
    target.mkdir(parents=True)
    (target / ".env").write_text("TOKEN=own\n", encoding="utf-8")
    (target / ".env").chmod(0o600)
    entries = with_files(scan(source, EXCLUDE), {"RELEASE": "1.0.0\n"})
    origin = source
    if kind == "archive":
        origin = tmp_path / "a.tar.gz"
        pack(source, scan(source, EXCLUDE), origin)
    releases.stage("1.0.0", origin, entries, {"RELEASE": "1.0.0\n"}, EXCLUDE)
    assert (target / ".env").read_text(encoding="utf-8") == "TOKEN=own\n"
    assert (target / ".env").stat().st_mode & 0o777 == 0o600
    assert os.access(target / "run", os.X_OK)
    assert os.readlink(target / "link") == "lib/a.py"
    assert releases.look("1.0.0") == {"complete": True, "digest": tree_digest(entries), "altered": []}
    assert sorted(one.name for one in releases.root.iterdir()) == ["1.0.0"]
    (target / "run").unlink()
    (target / "later.txt").write_text("x", encoding="utf-8")
    assert releases.look("1.0.0")["altered"] == ["run is gone"]


@pytest.mark.parametrize("stop_at", ["pack", "first rename", "second rename"])
def test_killed_anywhere_the_same_call_ends_in_the_same_place(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: str
) -> None:
    releases = Releases(tmp_path / "releases")
    target = releases.path("1.0.0")
    target.mkdir(parents=True)
    (target / ".env").write_text("TOKEN=own\n", encoding="utf-8")
    entries = scan(source, EXCLUDE)
    renames = {"pack": 0, "first rename": 0, "second rename": 1}[stop_at]
    real_rename = os.rename
    calls: list[Path] = []

    def rename(old: Path, new: Path) -> None:
        if len(calls) >= renames:
            raise KeyboardInterrupt
        calls.append(old)
        real_rename(old, new)

    with monkeypatch.context() as patched:
        if stop_at == "pack":
            patched.setattr(release_files, "write_atomically", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        else:
            patched.setattr(os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            releases.stage("1.0.0", source, entries, {}, EXCLUDE)
    assert not releases.look("1.0.0")["complete"]
    releases.stage("1.0.0", source, entries, {}, EXCLUDE)
    assert releases.look("1.0.0")["complete"]
    assert (target / ".env").read_text(encoding="utf-8") == "TOKEN=own\n"
    assert sorted(one.name for one in releases.root.iterdir()) == ["1.0.0"]


def test_an_archive_that_leads_out_is_refused(tmp_path: Path) -> None:
    for name, link in (("../evil", None), ("a", "/etc/passwd"), ("b", "../../x")):
        path = tmp_path / "evil.tar"
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo(name)
            if link:
                member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
        with pytest.raises(ReleaseError, match="out of the release"):
            scan(path, [])


def test_what_cannot_be_part_of_a_release(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReleaseError, match="neither a file"):
        scan(tmp_path, [])
    with pytest.raises(ReleaseError, match="does not exist"):
        scan(tmp_path / "nothing", [])
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8bnot")
    with pytest.raises(ReleaseError, match="cannot be read"):
        scan(tmp_path / "broken.tar.gz", [])
    for path in (".env", ".golive/x", "../x"):
        with pytest.raises(ReleaseError):
            with_files([], {path: ""})


def test_remove(source: Path, tmp_path: Path) -> None:
    releases = Releases(tmp_path / "releases")
    releases.stage("1.0.0", source, scan(source, EXCLUDE), {}, EXCLUDE)
    assert releases.remove("1.0.0")
    assert not releases.remove("1.0.0")
    assert list(releases.root.iterdir()) == []

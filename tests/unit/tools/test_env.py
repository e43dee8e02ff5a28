# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python is chosen, and when an environment counts as up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import env
import pytest


def _python(minor: int) -> env.Python:
    return env.Python((3, minor), Path(f"/python3.{minor}"))


def test_the_newest_core_gets_the_best_supported_python() -> None:
    found = {p.version: p for p in map(_python, (11, 12, 14))}
    assert env.choose(found, env.NEWEST_PYTHONS) == _python(12)
    assert env.choose(found, env.OLDEST_PYTHONS) == _python(11)
    assert env.choose({}, env.NEWEST_PYTHONS) is None


def test_this_python_is_usable_and_a_missing_one_is_not() -> None:
    python = env.probe(sys.executable)
    assert python is not None
    assert python.version == sys.version_info[:2]
    assert env.probe("/no/such/python3") is None
    assert env.probe("/bin/true") is None


def test_requirement_files_are_followed_through_their_includes() -> None:
    names = [path.name for path in env.requirement_files(["lint"])]
    assert set(names) >= {"lint.txt", "test.txt", "libraries.txt", "demo.txt"}
    assert len(names) == len(set(names))


def test_an_environment_is_outdated_when_an_included_file_changes(tmp_path: Path) -> None:
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("-r b.txt\n", encoding="utf-8")
    other.write_text("x==1.*\n", encoding="utf-8")
    before = env.digest(_python(13), [one, other])
    other.write_text("x==2.*\n", encoding="utf-8")
    assert env.digest(_python(13), [one, other]) != before
    assert env.digest(_python(12), [one, other]) != env.digest(_python(13), [one, other])


def test_the_collection_is_reached_by_a_relative_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "ROOT", tmp_path)
    monkeypatch.setattr(env, "CACHE", tmp_path / ".cache")
    env.link_collection()
    env.link_collection()
    link = tmp_path / ".cache/collections/ansible_collections/golive/cutover"
    assert not link.readlink().is_absolute()
    assert link.resolve() == tmp_path.resolve()


def test_an_environment_that_works_is_kept_whatever_python_is_best_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "CACHE", tmp_path)
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    version = env.Python((sys.version_info[0], sys.version_info[1]), Path(sys.executable))
    stamp = {"libraries": env.digest(version, env.requirement_files(["libraries"]))}
    (venv / ".golive-stamp.json").write_text(json.dumps(stamp), encoding="utf-8")
    assert env.make(venv, _python(14), ["libraries"]) == venv
    assert (venv / "bin/python").readlink() == Path(sys.executable)


def test_what_is_broken_does_not_count_as_an_environment(tmp_path: Path) -> None:
    assert env.existing(tmp_path) is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to("/no/such/python")
    assert env.existing(tmp_path) is None

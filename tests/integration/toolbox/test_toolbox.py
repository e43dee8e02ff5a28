# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role toolbox: what is there is used, what is missing is installed without a package index, check mode installs nothing."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODULE = "golive_tests_library"


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """A directory with one wheel of a library that no interpreter has."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    info = f"{MODULE}-1.0.dist-info"
    with zipfile.ZipFile(directory / f"{MODULE}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{MODULE}.py", "VALUE = 1\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {MODULE}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{MODULE}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return directory


@pytest.fixture
def toolbox(tmp_path: Path, ansible_playbook: Callable[..., Any]) -> Callable[..., tuple[Any, str | None]]:
    """Run the role; returns the run and the interpreter that it found."""
    found = tmp_path / "found.json"

    def run(*arguments: str, **variables: Any) -> tuple[Any, str | None]:
        found.unlink(missing_ok=True)
        tasks = [
            {"name": "toolbox", "ansible.builtin.include_role": {"name": "golive.cutover.toolbox"}},
            {
                "name": "found",
                "ansible.builtin.copy": {"content": "{{ toolbox_python | to_json }}", "dest": str(found), "mode": "0600"},
                "check_mode": False,
                "changed_when": False,
            },
        ]
        given = {"cutover_environment": "test", "cutover_home": str(tmp_path / "home"), **variables}
        result = ansible_playbook([{"hosts": "all", "gather_facts": False, "tasks": tasks}], *arguments, extra_vars=given)
        return result, json.loads(found.read_text(encoding="utf-8")) if found.exists() else None

    return run


def test_interpreter_that_has_everything_is_used(toolbox: Callable[..., tuple[Any, str | None]], tmp_path: Path) -> None:
    result, python = toolbox()
    assert result.rc == 0, result.why
    assert result.changed() == 0
    assert python == sys.executable
    assert not (tmp_path / "home").exists()


def test_what_is_missing_is_installed_once(
    toolbox: Callable[..., tuple[Any, str | None]], wheelhouse: Path, tmp_path: Path
) -> None:
    wanted = {
        "toolbox_libraries": [{"module": MODULE, "requirement": f"{MODULE}==1.0"}],
        "toolbox_wheelhouse": str(wheelhouse),
    }
    checked, python = toolbox("--check", **wanted)
    assert checked.rc == 0, checked.why
    assert f"lacks {MODULE}" in checked.output
    assert python == sys.executable
    assert not (tmp_path / "home").exists()

    first, python = toolbox(**wanted)
    assert first.rc == 0, first.why
    assert python == str(tmp_path / "home" / "toolbox" / "bin" / "python")
    again, same = toolbox(**wanted)
    assert again.rc == 0, again.why
    assert (again.changed(), same) == (0, python)

    # Cut off in the middle: the library is gone, the environment is there.
    for path in (tmp_path / "home" / "toolbox").rglob(f"{MODULE}*"):
        if path.is_file():
            path.unlink()
    for path in (tmp_path / "home" / "toolbox").rglob(f"{MODULE}*.dist-info"):
        for child in path.iterdir():
            child.unlink()
        path.rmdir()
    mended, same = toolbox(**wanted)
    assert mended.rc == 0, mended.why
    assert same == python


def test_library_that_cannot_be_had_fails(toolbox: Callable[..., tuple[Any, str | None]], wheelhouse: Path) -> None:
    result, python = toolbox(
        toolbox_libraries=[{"module": "nowhere", "requirement": "golive-tests-nowhere==1.0"}],
        toolbox_wheelhouse=str(wheelhouse),
    )
    assert result.rc != 0
    assert python is None
    assert "golive-tests-nowhere" in result.output

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module env_file and the role secrets as real tasks."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_check_real_check_again_real_again(run_module: Callable[..., dict[str, Any]], tmp_path: Path, canary: str) -> None:
    path = tmp_path / ".env"
    args = {"path": str(path), "values": {"TOKEN": canary, "PORT": 1, "ON": True}, "required": ["TOKEN"]}
    planned = run_module("env_file", args, check=True, diff=True)
    assert planned["changed"] and not path.exists()
    assert planned["changed_keys"] == {"added": ["ON", "PORT", "TOKEN"], "changed": [], "removed": []}
    done = run_module("env_file", args, diff=True)
    assert done["changed"] and done["diff"] == planned["diff"]
    assert path.read_text() == f"TOKEN={canary}\nPORT=1\nON=true\n"
    assert mode(path) == 0o600
    assert not run_module("env_file", args, check=True)["changed"]
    assert not run_module("env_file", args)["changed"]
    assert os.listdir(tmp_path).count(".env") == 1


def test_values_are_in_nothing_that_is_printed(run_module: Callable[..., dict[str, Any]], tmp_path: Path, canary: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"OLD={canary}old\nTOKEN={canary}before\n")
    args = {"path": str(path), "values": {"TOKEN": f"{canary} 'x'", "B": {"x": canary}}, "base": str(path)}
    env = {"ANSIBLE_VERBOSITY": "4"}
    refused = run_module("env_file", args, diff=True, env=env)
    assert refused["failed"] and "B: is a dict" in refused["msg"]
    args["values"] = {"TOKEN": f"{canary} 'x'"}
    done = run_module("env_file", args, diff=True, env=env)
    assert done["changed_keys"]["changed"] == ["TOKEN"]
    assert "~ TOKEN" in done["_output"]
    for result in (refused, done):
        assert canary not in str(result)


def test_every_mistake_is_in_one_message_and_nothing_is_touched(
    run_module: Callable[..., dict[str, Any]], tmp_path: Path, canary: str
) -> None:
    path = tmp_path / ".env"
    path.write_text("KEEP=1\n")
    refused = run_module(
        "env_file",
        {
            "path": str(path),
            "values": {"A": "your_token_here", "B": f"{canary}", "C": "a\rb"},
            "required": ["D"],
            "formats": {"B": "integer"},
        },
    )
    assert refused["failed"]
    assert {problem["where"] for problem in refused["problems"]} == {"A", "B", "C", "D"}
    assert refused["msg"].startswith("4 mistakes in the input, nothing was done:")
    assert path.read_text() == "KEEP=1\n"


def test_validated_reads_and_changes_nothing(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert "does not exist" in run_module("env_file", {"path": str(path), "state": "validated"})["msg"]
    path.write_text("A=1\nA=2\nURL=http://example.com\n")
    path.chmod(0o644)
    refused = run_module("env_file", {"path": str(path), "state": "validated", "required": ["B"]})
    assert {problem["where"] for problem in refused["problems"]} == {"A", "B", "URL", str(path)}
    path.write_text("A=1\r\n")
    path.chmod(0o600)
    fine = run_module("env_file", {"path": str(path), "state": "validated", "required": ["A"]})
    assert not fine["failed"] and not fine["changed"]
    assert any("CRLF" in warning for warning in fine["warnings"])


def test_mode_owner_and_backup(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o644)
    done = run_module("env_file", {"path": str(path), "values": {"A": "1"}, "mode": "0640"})
    assert done["changed"] and mode(path) == 0o640
    done = run_module("env_file", {"path": str(path), "values": {"A": "2"}, "backup": True, "owner": str(os.getuid())})
    assert Path(done["backup_file"]).read_text() == "A=1\n" and mode(Path(done["backup_file"])) == 0o600
    assert mode(path) == 0o600
    refused = run_module("env_file", {"path": str(path), "values": {}, "mode": "0644", "owner": "no-such-user-here"})
    assert {problem["where"] for problem in refused["problems"]} == {"mode", "owner"}

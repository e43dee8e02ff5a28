# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The env file probe with real files, and no value of them anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes.env_file import EnvFileProbe
from tests.integration.probes.looking import look, mistakes, refused

PROBE = EnvFileProbe()
CANARY = "CANARY-41c2"


def _look(directory: Path, text: str, mode: int = 0o600, **options: Any) -> Any:
    path = directory / ".env"
    path.write_bytes(text.encode())
    path.chmod(mode)
    seen = look(PROBE, path=str(path), **options)
    assert CANARY not in str(seen)
    return seen


def test_a_file_in_order(tmp_path: Path) -> None:
    seen = _look(tmp_path, f"# secrets\nTOKEN={CANARY}\nURL=redis://redis:6379\n", required=["TOKEN", "URL"])
    assert seen.measures == {
        "keys": 2,
        "missing_keys": 0,
        "duplicates": 0,
        "placeholders": 0,
        "empty": 0,
        "problems": 0,
        "mode": "0600",
    }
    assert seen.proof["keys"] == ["TOKEN", "URL"]


def test_what_is_wrong_is_counted_and_named(tmp_path: Path) -> None:
    text = f"A={CANARY}\nA={CANARY}2\nB=your_token_here\nC=https://example.com/x\nD=\n{CANARY}\n"
    seen = _look(tmp_path, text, 0o644, required=["A", "D", "E"])
    assert (seen.measures["duplicates"], seen.proof["duplicates"]) == (1, ["A"])
    assert (seen.measures["placeholders"], seen.proof["placeholders"]) == (2, ["B", "C"])
    assert (seen.measures["missing_keys"], seen.proof["missing_keys"]) == (2, ["D", "E"])
    assert (seen.measures["empty"], seen.measures["mode"]) == (1, "0644")
    assert seen.measures["problems"] == 1
    assert "line 6" in seen.proof["problems"][0]


def test_own_placeholders(tmp_path: Path) -> None:
    seen = _look(tmp_path, "A=SET_ME\nB=your_token_here\n", placeholders=["^SET_ME$"])
    assert seen.proof["placeholders"] == ["A"]


def test_crlf_and_quotes(tmp_path: Path) -> None:
    seen = _look(tmp_path, f"A='{CANARY}\r\nsecond line'\r\nB=\"x\"\r\n")
    assert (seen.measures["keys"], seen.measures["problems"]) == (2, 0)
    assert "CRLF" in seen.proof["warnings"][0]


def test_an_empty_file_has_no_keys(tmp_path: Path) -> None:
    seen = _look(tmp_path, "", required=["A"])
    assert (seen.measures["keys"], seen.measures["missing_keys"]) == (0, 1)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refused(PROBE, path=str(tmp_path / "none"))
    assert "is not a file" in refused(PROBE, path=str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refused(PROBE, timeout=0.5, path=str(tmp_path / "pipe"))
    assert "is not a file" in refused(PROBE, path="/dev/zero")
    (tmp_path / "large").write_bytes(b"A=1\n" * 300_000)
    assert "larger than 1 MB" in refused(PROBE, path=str(tmp_path / "large"))
    (tmp_path / "binary").write_bytes(b"A=\xff\n")
    assert "line 1: is not UTF-8" in refused(PROBE, path=str(tmp_path / "binary"))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "env_file.path: is missing"),
        ({"path": ".env"}, "absolute path"),
        ({"path": "/x", "placeholders": ["("]}, "not a regular expression"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw))

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe file with real files."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.file import FileProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.integration.probes.looking import look, mistakes, refused

PROBE = FileProbe()


def ask(path: Path, **raw: Any) -> Observation:
    return look(PROBE, path=str(path), **raw)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "canary_resp.json"


def test_a_file(path: Path) -> None:
    path.write_text("x" * 1000)
    path.chmod(0o640)
    os.utime(path, (time.time() - 300, time.time() - 300))
    seen = ask(path)
    m = seen.measures
    assert (m["exists"], m["type"], m["size"], m["mode"], m["target"]) == (True, "file", 1000, "0640", str(path.resolve()))
    assert m["owner"] == getpass.getuser()
    assert m["age"] == pytest.approx(300, abs=5)
    assert "sha256" not in m and not seen.missing


def test_what_is_not_there(path: Path) -> None:
    seen = ask(path, sha256=True, patterns={"a": "x"}, json=True)
    assert seen.measures == {"exists": False}
    assert set(seen.missing.values()) == {"it is not there"} and "count.a" in seen.missing
    path.symlink_to("nowhere")
    assert ask(path).missing["age"] == "it is a link to something that is not there"
    assert ask(path / "below").measures == {"exists": False}


def test_what_cannot_be_seen_is_not_called_absent(path: Path) -> None:
    path.symlink_to(path.name)
    assert "cannot be seen" in refused(PROBE, path=str(path))


def test_a_link_to_a_release(tmp_path: Path) -> None:
    (tmp_path / "1.0.1").mkdir()
    current = tmp_path / "current"
    current.symlink_to("1.0.1")
    seen = ask(current)
    assert (seen.measures["type"], seen.measures["target"]) == ("directory", str((tmp_path / "1.0.1").resolve()))


def test_content(path: Path) -> None:
    path.write_text("a=1\nb=2\na=3\n")
    seen = ask(path, sha256=True, patterns={"a": "^a=", "none": "zzz"})
    assert seen.measures["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (seen.measures["count.a"], seen.measures["count.none"]) == (2, 0)
    assert seen.proof["bytes"] == 12


def test_own_measures_look_into_json(path: Path) -> None:
    path.write_text(json.dumps({"status": "PASS", "latency": 120, "token": "CANARY-1"}))
    check = {
        "id": "F",
        "file": {"path": str(path), "json": True},
        "measures": {"status": "status", "latency": "latency"},
        "expect": {"status": "== PASS", "latency": "< 300", "json": "== true"},
    }
    record = run_checks(read_checks([check], PROBES, {}), PROBES)[0]
    assert record["status"] == "pass", record
    assert "CANARY" not in str(record)
    path.write_text('{"status": "PASS"')
    record = run_checks(read_checks([check], PROBES, {}), PROBES)[0]
    assert record["status"] == "fail" and "json is false" in record["reason"]


def test_content_that_is_too_large(path: Path) -> None:
    path.write_bytes(b"x" * 3_000_000)
    seen = ask(path, sha256=True, patterns={"a": "x"}, max_size="1MB")
    assert seen.measures["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "larger than 1 MB" in seen.missing["count.a"]


def test_what_is_no_file(path: Path) -> None:
    os.mkfifo(path)
    seen = ask(path, sha256=True)
    assert (seen.measures["type"], seen.missing["sha256"]) == ("pipe", "it is a pipe, whose content is not read")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        assert ask(path).measures["type"] == "socket"
    assert look(PROBE, path="/dev/zero", patterns={"a": "x"}).missing["count.a"].startswith("it is a device")


def test_a_file_from_the_future(path: Path) -> None:
    path.touch()
    os.utime(path, (time.time() + 3600, time.time() + 3600))
    assert "in the future" in ask(path).missing["age"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "file.path: is missing"),
        ({"path": "x"}, "absolute path"),
        ({"path": "/x", "patterns": {"a": "("}}, "not a regular expression"),
        ({"path": "/x", "patterns": {"A": "x"}}, "a name of a-z"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)

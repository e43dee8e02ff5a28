# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What supervisord is told, and what its answers mean."""

from __future__ import annotations

import json

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import supervisord
from ansible_collections.golive.cutover.plugins.module_utils.core.services import Program, programs, read_services


def program(ready: object = None) -> Program:
    raw = [{"name": "web", "command": ["x", "a b;c%d"], "environment": {"K": "%(v)s"}, "ready": ready}]
    return programs(read_services(raw), release="1", release_dir="/r/1", home="/h")[0]


def test_configuration_holds_paths_alone() -> None:
    text = supervisord.program_config(program(), python="/usr/bin/py 3%", launcher="/l.py", spec="/s.json", log="/log")
    assert "command='/usr/bin/py 3%%' /l.py /s.json" in text.splitlines()
    assert "a b;c" not in text
    assert "K" not in text
    assert "autorestart=true" in text.splitlines()


def test_one_shot_is_never_started_by_supervisord() -> None:
    lines = supervisord.program_config(program("completed"), python="p", launcher="l", spec="s", log="g").splitlines()
    assert {"autostart=false", "autorestart=false", "startsecs=0"} <= set(lines)


def test_name_of_a_spec_tells_its_content() -> None:
    first = supervisord.program_spec(program(), release_dir="/r/1", env_file="/e", record="/c")
    other = {**first, "environment": {"K": "2"}}
    names = [supervisord.spec_name(program(), supervisord.spec_text(spec)) for spec in (first, first, other)]
    assert names[0] == names[1] != names[2]
    assert json.loads(supervisord.spec_text(first))["environment"]["APP_ENV_FILE"] == "/e"


@pytest.mark.parametrize(
    ("ready", "state", "starts", "exit_status", "expected"),
    [
        (None, "RUNNING", 1, 0, None),
        (None, "STARTING", 1, 0, None),
        (None, "RUNNING", 2, 0, "started again"),
        (None, "BACKOFF", 1, 0, "as soon as it is started"),
        (None, "FATAL", 1, 0, "as soon as it is started"),
        (None, "EXITED", 1, 3, "exit code 3"),
        (None, "EXITED", 1, 0, "exit code 0"),
        (None, "gone", 0, 0, "gone"),
        ("completed", "EXITED", 1, 0, None),
        ("completed", "EXITED", 1, 1, "exit code 1"),
    ],
)
def test_crash(ready: object, state: str, starts: int, exit_status: int, expected: str | None) -> None:
    found = supervisord.crash(program(ready), state, starts=starts, expected_starts=1, exit_status=exit_status, detail="")
    assert (found is None) if expected is None else expected in str(found)


def test_redact_takes_long_values_first_and_leaves_short_words() -> None:
    text = supervisord.redact("token=abcdef-ghij true abcdef 443", ["abcdef", "abcdef-ghij", "443", "two\nlines-x"])
    assert text == "token=*** true *** 443"
    assert supervisord.redact("x lines-x", ["two\nlines-x"]) == "x ***"

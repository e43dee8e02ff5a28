# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The command probe with real processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.command import CommandProbe
from tests.integration.probes.looking import look, mistakes, read, refused

PROBE = CommandProbe()


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and was not asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _gone(pid: int) -> bool:
    for _wait in range(100):
        if not _alive(pid):
            return True
        time.sleep(0.01)
    return False


def test_a_program_that_ends_well() -> None:
    seen = look(PROBE, argv=["printf", "one\\ntwo\\n"])
    assert (seen.measures["exit_code"], seen.measures["stdout"], seen.measures["lines"]) == (0, "one\ntwo\n", 2)
    assert (seen.measures["json"], seen.measures["stderr"]) == (False, "")
    assert seen.proof == {"runs": 1, "bytes": 8}


def test_a_text_is_split_and_no_shell_is_there() -> None:
    assert look(PROBE, argv="echo 'a b' $HOME | cat ; false").measures["stdout"] == "a b $HOME | cat ; false\n"


def test_exit_codes_and_signals() -> None:
    assert look(PROBE, argv=["sh", "-c", "echo bad >&2; exit 3"]).measures["exit_code"] == 3
    seen = look(PROBE, argv=["sh", "-c", "kill -9 $$"])
    assert (seen.measures["exit_code"], seen.proof["signal"]) == (137, "SIGKILL")


def test_json_is_the_document() -> None:
    seen = look(PROBE, argv=["echo", '{"leader": "executor-1"}'])
    assert (seen.document, seen.measures["json"]) == ({"leader": "executor-1"}, True)


def test_stdin_env_and_directory(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.stdin.read(), os.environ['KEY'], os.environ['HOME'], os.getcwd())"
    seen = look(PROBE, argv=_python(code), stdin=Secret("in"), env={"KEY": Secret("CANARY-env")}, chdir=str(tmp_path))
    assert seen.measures["stdout"] == f"in CANARY-env {os.environ['HOME']} {tmp_path}\n"
    assert "CANARY" not in str(seen.proof)


def test_more_on_stdin_than_a_pipe_holds() -> None:
    text = "x" * 300_000
    assert look(PROBE, argv=["cat"], stdin=text).measures["stdout"] == text
    assert look(PROBE, argv=["true"], stdin=text).measures["exit_code"] == 0


def test_bytes_that_are_no_text() -> None:
    assert look(PROBE, argv=["printf", "\\377\\n"]).measures["lines"] == 1


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", "while True: pass"])
def test_a_program_that_does_not_end(code: str) -> None:
    reason = refused(PROBE, timeout=0.5, argv=_python(code))
    assert "ended at its own timeout" in reason


def test_all_that_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! >{tmp_path}/pid; trap '' TERM; wait; sleep 60"
    refused(PROBE, timeout=0.5, argv=["sh", "-c", script])
    assert _gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_closes_its_output_and_stays() -> None:
    assert "own timeout" in refused(PROBE, timeout=0.5, argv=["sh", "-c", "exec >&- 2>&-; sleep 60"])


def test_a_program_that_leaves_another_behind(tmp_path: Path) -> None:
    """A script that starts a service ends; the service holds the output open and must not be ended with it."""
    begun = time.monotonic()
    seen = look(PROBE, argv=["sh", "-c", f"echo started; sleep 30 & echo $! >{tmp_path}/pid"])
    assert seen.measures["stdout"] == "started\n"
    assert time.monotonic() - begun < 2
    pid = int((tmp_path / "pid").read_text())
    assert _alive(pid)
    os.kill(pid, 9)


def test_output_without_end() -> None:
    assert "more than 1 MB" in refused(PROBE, argv=["yes"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"argv": ["/nowhere/program"]}, "/nowhere/program cannot be run: No such file or directory"),
        ({"argv": ["/etc/passwd"]}, "Permission denied"),
        ({"argv": ["true"], "chdir": "/nowhere"}, "the directory /nowhere does not exist"),
        ({"argv": ["true"], "env": {"A=B": "c"}}, "= in its name"),
    ],
)
def test_a_program_that_cannot_be_run(options: dict[str, Any], why: str) -> None:
    assert why in refused(PROBE, **options)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "command.argv: is missing"),
        ({"argv": []}, "expected a program"),
        ({"argv": ""}, "expected a program"),
        ({"argv": "echo 'a"}, "cannot be split"),
        ({"argv": ["echo", Secret("x")]}, "a secret cannot be used here"),
        ({"argv": "true", "shell": True}, "unknown key"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw))


def test_numbers_are_arguments_too() -> None:
    assert read(PROBE, {"argv": ["sleep", 1, ""]})["argv"] == ["sleep", "1", ""]

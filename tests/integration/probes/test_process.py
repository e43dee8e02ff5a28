# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe process with real processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes import process
from ansible_collections.golive.cutover.plugins.module_utils.probes.process import ProcessProbe
from tests.conftest import stop_process, wait_until
from tests.integration.probes.looking import look, mistakes, refused

PROBE = ProcessProbe()
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def mark() -> str:
    """A word that stands on the command lines of this test alone."""
    return f"mark-{secrets.token_hex(6)}"


@pytest.fixture
def start(mark: str) -> Iterator[Start]:
    made = []

    def run(program: str = "import time; time.sleep(600)", *more: str) -> subprocess.Popen[bytes]:
        one = subprocess.Popen([sys.executable, "-c", f"print('up', flush=True); {program}", mark, *more], stdout=subprocess.PIPE)
        made.append(one)
        assert one.stdout is not None
        one.stdout.readline()
        return one

    yield run
    for one in made:
        with contextlib.suppress(ProcessLookupError):
            one.send_signal(signal.SIGCONT)
        stop_process(one)
        if one.stdout is not None:
            one.stdout.close()


def test_one_process(start: Start, mark: str) -> None:
    one = start("import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); time.sleep(600)")
    settled = {"threads": 2, "state": "sleeping"}
    wait_until(lambda: settled.items() <= look(PROBE, pattern=mark).measures.items(), what="the thread, and both asleep")
    seen = look(PROBE, pattern=mark, over="200ms")
    m = seen.measures
    assert (m["count"], m["state"], m["threads"]) == (1, "sleeping", 2)
    assert m.get("zombies", 0) == 0
    assert m["fds"] == len(os.listdir(f"/proc/{one.pid}/fd"))
    assert 1_000_000 < float(m["rss"]) < 100_000_000
    assert 0 <= float(m["uptime"]) < 60
    assert 0 <= float(m["cpu"]) < 0.2
    assert seen.proof["pids"] == [one.pid]
    assert mark not in str(seen)


def test_cpu_is_a_share_of_one_core(start: Start, mark: str) -> None:
    start("\nwhile True: pass")
    assert float(look(PROBE, pattern=mark, over="1s").measures["cpu"]) > 0.1


def test_several_processes_need_a_reduction(start: Start, mark: str) -> None:
    ones = [start() for _number in range(3)]
    os.kill(ones[0].pid, signal.SIGSTOP)
    wait_until(lambda: look(PROBE, pattern=mark, reduce="worst").measures["state"] == "stopped", what="the stop")
    plain = look(PROBE, pattern=mark)
    assert plain.measures["count"] == 3
    assert plain.missing["rss"] == "3 processes are meant; say reduce: worst or sum"
    worst = look(PROBE, pattern=mark, reduce="worst").measures
    total = look(PROBE, pattern=mark, reduce="sum").measures
    assert float(total["rss"]) > 2 * float(worst["rss"])
    assert "state" not in total


def test_no_process(mark: str) -> None:
    seen = look(PROBE, pattern=mark, user=os.getuid() + 12345)
    assert (seen.measures["count"], seen.measures["zombies"]) == (0, 0)
    seen = look(PROBE, pattern=mark)
    assert seen.measures["count"] == 0
    assert seen.missing["rss"] == "there is no such process"
    assert seen.proof["processes"] > 1


def test_the_look_itself_does_not_count() -> None:
    """The command line of pytest names this file."""
    assert look(PROBE, pattern="pytest.*test_process|test_process.*pytest").measures["count"] == 0


def test_one_that_has_ended_and_was_not_waited_for(start: Start) -> None:
    one = start("pass")
    wait_until(lambda: Path(f"/proc/{one.pid}/stat").read_text().split()[2] == "Z", what="the end")
    pidfile = Path(f"/proc/{one.pid}")
    assert pidfile.exists()
    name = Path(f"/proc/{one.pid}/comm").read_text().strip()
    seen = look(PROBE, name=name, reduce="worst")
    assert float(seen.measures["zombies"]) >= 1
    assert seen.measures["state"] == "zombie"


def named(name: str, *more: str) -> str:
    """A program that goes by another name."""
    return "; ".join(["import ctypes", f"ctypes.CDLL(None).prctl(15, b{name!r}, 0, 0, 0)", *more])


def ended(one: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", what="the end")


def test_a_pattern_does_not_find_those_that_have_ended(start: Start, mark: str) -> None:
    """The kernel drops the command line of a process when it ends."""
    ended(start("pass"))
    seen = look(PROBE, pattern=mark, user=os.getuid())
    assert seen.measures["count"] == 0
    assert "not waited for, without a command line that could be searched" in seen.missing["zombies"]
    name = f"z{mark[5:13]}"
    ended(start(named(name)))
    assert look(PROBE, pattern=mark, name=name).missing["zombies"].startswith("1 process ended and was not waited for")
    assert look(PROBE, name=name).measures["zombies"] == 1
    assert look(PROBE, pattern=mark, name="other").measures["zombies"] == 0


def test_one_that_has_ended_has_no_values(start: Start, mark: str) -> None:
    name = f"z{mark[5:13]}"
    ended(start(named(name)))
    for reduce in (None, "worst"):
        seen = look(PROBE, name=name, reduce=reduce, over="100ms")
        assert seen.measures == {"count": 0, "zombies": 1, "state": "zombie"}
        assert set(seen.missing) == {"uptime", "rss", "cpu", "fds", "threads"}
        assert seen.missing["rss"] == "none is alive: 1 process ended and was not waited for"
    living = start(named(name, "print('named', flush=True)", "import time", "time.sleep(600)"))
    assert living.stdout is not None
    living.stdout.readline()
    seen = look(PROBE, name=name, over="100ms")
    assert (seen.measures["count"], seen.measures["zombies"]) == (1, 1)
    assert float(seen.measures["rss"]) > 1_000_000
    assert seen.measures["fds"] == len(os.listdir(f"/proc/{living.pid}/fd"))
    assert seen.missing == {"state": "2 processes are meant; say reduce: worst or sum"}
    assert look(PROBE, name=name, reduce="worst").measures["state"] == "zombie"


def test_one_that_ends_during_the_look(start: Start, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = start()
    describe = process._describe

    def ends_first(found: process.One) -> None:
        one.kill()
        ended(one)
        describe(found)

    monkeypatch.setattr(process, "_describe", ends_first)
    seen = look(PROBE, pattern=mark, over="100ms")
    for name in ("uptime", "rss", "fds", "threads", "cpu"):
        assert "ended" in seen.missing[name]


def test_by_name_and_user(start: Start, mark: str) -> None:
    one = start()
    name = Path(f"/proc/{one.pid}/comm").read_text().strip()
    assert look(PROBE, pattern=mark, name=name, user=os.getuid()).measures["count"] == 1
    assert look(PROBE, pattern=mark, name="other").measures["count"] == 0
    assert look(PROBE, pattern=mark, user=os.getuid() + 12345).measures["count"] == 0
    assert "no user nobody-like-it" in refused(PROBE, user="nobody-like-it")


def test_a_pidfile(start: Start, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "app.pid"
    seen = look(PROBE, pidfile=str(path))
    assert (seen.measures["count"], seen.proof["pidfile"]) == (0, "is not there")
    one = start()
    path.write_text(f"{one.pid}\n")
    assert look(PROBE, pidfile=str(path)).measures["count"] == 1
    assert look(PROBE, pidfile=str(path), pattern="something else").measures["count"] == 0
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    seen = look(PROBE, pidfile=str(path))
    assert seen.measures["count"] == 0 and "by chance" in seen.proof["pidfile"]
    path.write_text("none")
    assert "does not begin with the number" in refused(PROBE, pidfile=str(path))
    path.write_text("4194399")
    assert look(PROBE, pidfile=str(path)).measures["count"] == 0


def test_processes_that_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PROC", str(tmp_path))
    assert "hidden" in refused(PROBE, name="x")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "say which processes"),
        ({"pattern": "("}, "not a regular expression"),
        ({"pidfile": "x.pid"}, "absolute path"),
        ({"name": "x", "over": "1ms"}, "at least 100ms"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe log: real files through rotation, a real journal, the real log of the reference application and of containers."""

from __future__ import annotations

import bz2
import contextlib
import datetime
import gzip
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes import _docker, _log_files
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.log import LogProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import CACHE, _tool, wait_until
from tests.integration.demo.conftest import Spark
from tests.integration.probes.looking import look, mistakes, refused

PROBE = LogProbe()


def stamp(ago: float, form: str = "%Y-%m-%dT%H:%M:%S.%fZ") -> str:
    return datetime.datetime.fromtimestamp(time.time() - ago, tz=datetime.timezone.utc).strftime(form)


def lines(*entries: tuple[float, str]) -> str:
    """Lines of a log: seconds ago, and text."""
    return "".join(f"{stamp(ago)} {text}\n" for ago, text in entries)


def ask(path: Path, timeout: float = 5.0, **raw: Any) -> Observation:
    raw.setdefault("since", "10m")
    if "tail" in raw:
        del raw["since"]
    raw.setdefault("patterns", {"beat": "heartbeat"})
    return look(PROBE, timeout, file=str(path), **raw)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_matches_since_a_time(log: Path) -> None:
    log.write_text(
        lines(
            (900, "became leader"),
            (700, "heartbeat"),
            (590, "heartbeat"),
            (400, "became leader owner=executor-1"),
            (300, "heartbeat"),
            (20, "heartbeat"),
        )
    )
    seen = ask(log, patterns={"beat": "heartbeat", "elected": "became leader", "error": r"\bERROR\b"})
    m = seen.measures
    assert (m["count.beat"], m["count.elected"], m["count.error"], m["lines"]) == (3, 1, 0, 4)
    assert m["gap.beat"] == pytest.approx(290, abs=2)
    assert m["age.beat"] == pytest.approx(20, abs=2)
    assert m["gap.elected"] == pytest.approx(400, abs=2)  # nothing since
    assert (m["sources.elected"], m["sources.error"]) == (1, 0)
    assert seen.missing == {"gap.error": "no line matches", "age.error": "no line matches"}
    assert seen.proof["lines"] == 4 and seen.proof["window"] == 600
    later = ask(log, since=stamp(350, "%Y-%m-%dT%H:%M:%SZ"))
    assert later.measures["count.beat"] == 2


def test_the_most_matches_within_a_stretch(log: Path) -> None:
    """Twenty errors in four minutes are a spike, and thirty over an hour are none."""
    steady = [(3600 - 120 * n, "ERROR") for n in range(1, 30)]
    log.write_text(lines((3700, "start"), *steady))
    asked: dict[str, Any] = {"since": "1h", "over": "5m", "patterns": {"error": "ERROR", "fatal": "FATAL"}}
    assert ask(log, **asked).measures["peak.error"] == 3  # at 0, 2 and 4 minutes
    log.write_text(lines((3700, "start"), *sorted([*steady, *((1800 - 12 * n, "ERROR") for n in range(20))], reverse=True)))
    seen = ask(log, **asked)
    assert seen.measures["count.error"] == 49 and seen.measures["peak.error"] in (22, 23)
    assert seen.measures["peak.fatal"] == 0
    log.write_text(lines((60, "ERROR")))
    assert "nothing older is left" in ask(log, **asked).missing["peak.error"]


def test_a_heartbeat_that_stopped_has_a_gap_until_now(log: Path) -> None:
    log.write_text(lines((700, "start"), *((600 - 30 * n + 10, "heartbeat") for n in range(1, 10)), (1, "still alive")))
    seen = ask(log)
    assert seen.measures["gap.beat"] == pytest.approx(340, abs=2)


def test_a_heartbeat_that_began_late_has_a_gap_before(log: Path) -> None:
    log.write_text(lines((700, "start"), *((200 - 20 * n, "heartbeat") for n in range(10))))
    assert ask(log).measures["gap.beat"] == pytest.approx(400, abs=2)


def test_lines_without_a_time_belong_to_the_line_before(log: Path) -> None:
    log.write_text(lines((700, "old")) + "Traceback old\n" + lines((60, "failed")) + "Traceback (most recent call last):\n  x\n")
    seen = ask(log, patterns={"trace": "^Traceback"})
    assert seen.measures["count.trace"] == 1
    assert seen.measures["age.trace"] == pytest.approx(60, abs=2)


# -- what is no evidence -----------------------------------------------------------------------------------------------


def test_no_log(log: Path) -> None:
    assert "No such file" in refused(PROBE, file=str(log), since="1m", patterns={"a": "x"})
    log.mkdir()
    assert "is not a file" in refused(PROBE, file=str(log), since="1m", patterns={"a": "x"})


def test_a_pipe_is_not_waited_for(log: Path) -> None:
    os.mkfifo(log)
    assert "is not a file" in refused(PROBE, timeout=1.0, file=str(log), since="1m", patterns={"a": "x"})


def test_no_line_in_the_window(log: Path) -> None:
    log.write_text(lines((5000, "heartbeat"), (4000, "heartbeat")))
    seen = ask(log)
    assert "has no line in the last 600 s" in seen.missing["count.beat"]
    record = run_checks(
        read_checks(
            [
                {
                    "id": "L",
                    "log": {"file": str(log), "since": "10m", "patterns": {"error": "ERROR"}},
                    "critical": {"count.error": "> 0"},
                }
            ],
            PROBES,
            {},
        ),
        PROBES,
    )[0]
    assert record["status"] == "inconclusive"
    quiet = ask(log, quiet=True)
    assert quiet.measures["count.beat"] == 0


def test_an_empty_log(log: Path) -> None:
    """Nothing was written to it since before the window, or it was made or cut in the window, which is no evidence."""
    log.touch()
    assert "has no line" in ask(log).missing["count.beat"]
    fresh = ask(log, quiet=True)
    assert "nothing older is left" in fresh.missing["count.beat"] and fresh.proof["window"] == 0
    os.utime(log, (time.time() - 700, time.time() - 700))
    assert ask(log, quiet=True).measures["count.beat"] == 0


def test_a_log_that_begins_in_the_window_may_have_been_longer(log: Path) -> None:
    """What was before may have been moved to another directory, or cut off."""
    log.write_text(lines((60, "start"), (30, "heartbeat")))
    seen = ask(log, patterns={"beat": "heartbeat", "error": "ERROR"})
    assert "does not reach back 600 s: nothing older is left" in seen.missing["count.error"]
    assert seen.proof["window"] == pytest.approx(60, abs=2)
    assert ask(log, since="50s").measures["count.beat"] == 1


@pytest.mark.parametrize("name", ["app.log.1", "app.log.1.zst", "app.log.old", "app-20200101.log"])
def test_a_file_left_from_long_ago_does_not_prove_what_came_after_it(log: Path, name: str) -> None:
    log.write_text(lines((60, "start")))
    old = log.with_name(name)
    old.write_text(lines((90_000, "x")))
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    assert "does not reach back" in ask(log).missing["count.beat"]


def test_rotated_files_that_do_not_reach_back(log: Path) -> None:
    """The oldest that is left begins in the window: what was before it may have been deleted."""
    (log.parent / "app.log.1").write_text(lines((200, "heartbeat"), (100, "heartbeat")))
    log.write_text(lines((60, "heartbeat"), (30, "heartbeat")))
    seen = ask(log)
    assert "does not reach back 600 s" in seen.missing["count.beat"]
    assert seen.proof["matches_so_far"] == {"beat": 4}
    assert ask(log, since="150s").measures["count.beat"] == 3


def test_lines_that_do_not_tell_the_time(log: Path) -> None:
    log.write_text("heartbeat\n" * 10)
    assert "tells the time as iso" in refused(PROBE, file=str(log), since="1m", patterns={"a": "x"})


def test_a_time_within_a_line_is_not_its_time(log: Path) -> None:
    """An error log of nginx, read with the default: its lines tell the time in another way, and a request tells of one."""
    error = "2026/01/31 22:00:00 [error] 1#1: upstream timed out\n"
    asked = f'2026/01/31 22:00:00 [info] 1#1: "GET /x?from={stamp(60)} HTTP/1.1"\n'
    log.write_text(error * 50 + asked)
    assert "tells the time as iso" in refused(PROBE, file=str(log), since="1h", patterns={"error": r"\[error\]"}, quiet=True)


def test_a_line_that_goes_on_belongs_to_the_line_before(log: Path) -> None:
    log.write_text(
        lines((700, "x"), (60, "failed"))
        + "  ERROR: order of 2020-01-01T00:00:00Z is gone\n  ERROR again\nERROR 2020-01-01 00:00:00\n"
        + lines((30, "x"))
    )
    assert ask(log, patterns={"error": "ERROR"}).measures["count.error"] == 3


def test_lines_before_the_first_time(log: Path) -> None:
    """They are of no known time; when the first that tells one is older than the window, so are they."""
    log.write_text("ERROR\n" * 50 + lines((60, "x")))
    seen = ask(log, patterns={"error": "ERROR"})
    assert "50 lines before its first line with a time" in seen.missing["count.error"]
    log.write_text("ERROR\n" * 50 + lines((700, "x"), (60, "x")))
    assert ask(log, patterns={"error": "ERROR"}).measures["count.error"] == 0


def test_last_lines_without_a_time(log: Path) -> None:
    """A trace of long ago is old when nobody wrote since; else what was written since may be just these lines."""
    log.write_text(lines((5000, "x")) + "ERROR\n" * 50)
    seen = ask(log, patterns={"error": "ERROR"}, quiet=True)
    assert "its last 50 lines tell no time" in seen.missing["count.error"]
    os.utime(log, (time.time() - 4990, time.time() - 4990))
    assert ask(log, patterns={"error": "ERROR"}, quiet=True).measures["count.error"] == 0


def test_lines_of_another_time_in_between(log: Path) -> None:
    log.write_text(lines((700, "x"), (60, "rows:")) + "2020-01-01 00:00:00 | ERROR\n  ERROR\n")
    assert "its times go back" in ask(log, patterns={"error": "ERROR"}).missing["count.error"]


def test_a_match_from_the_future(log: Path) -> None:
    log.write_text(lines((700, "x"), (-3600, "heartbeat")))
    seen = ask(log)
    assert "in the future" in seen.missing["gap.beat"] and "in the future" in seen.missing["age.beat"]


def test_more_than_may_be_read(log: Path) -> None:
    log.write_text(lines((700, "x"), *((300, "heartbeat " + "x" * 1000) for _n in range(300))))
    seen = ask(log, max_bytes="100kB")
    assert "more than 100 kB" in seen.missing["count.beat"]
    assert ask(log).measures["count.beat"] == 300


def test_the_time_that_runs_out(log: Path) -> None:
    log.write_text(lines((700, "x"), *((300, "a" * 40) for _n in range(100_000))))
    options = {"patterns": {"slow": "(a+b|a+c|a+d|a+e|a+f)"}}
    seen = ask(log, timeout=0.3, **options)
    assert "the time ran out" in seen.missing["count.slow"]


# -- rotation ----------------------------------------------------------------------------------------------------------


def test_the_search_of_the_begin_is_bounded_too(log: Path) -> None:
    """A large log of which no line tells the time: neither more than may be read is read, nor longer than may be."""
    log.write_bytes(b"no time here\n" * 6_000_000)
    part = _log_files.parts(str(log))[0]
    read = 0

    def when(line: bytes) -> None:
        nonlocal read
        read += len(line)

    with pytest.raises(_log_files.TooMuch):
        list(_log_files.since(part, 0.0, when, _log_files.Limit(100_000)))
    assert read <= 100_000
    with pytest.raises(_log_files.OutOfTime):
        list(_log_files.since(part, 0.0, when, _log_files.Limit(10**9, lambda: read > 150_000)))
    assert read <= 151_000
    seen = ask(log, timeout=0.2)
    assert "the time ran out" in seen.missing["count.beat"] and seen.proof["window"] == 0


@pytest.mark.parametrize(
    "names",
    [("app.log.1", "app.log.2.gz"), ("app.log-20260101", "app.log-20251231.gz"), ("app-2026-01-02.log", "app-2026-01-01.log.gz")],
)
def test_through_rotation(log: Path, names: tuple[str, str]) -> None:
    log.write_text(lines((50, "heartbeat")))
    (log.parent / names[0]).write_text(lines((200, "heartbeat"), (100, "heartbeat")))
    packed = log.parent / names[1]
    packed.write_bytes(gzip.compress(lines((900, "heartbeat"), (400, "heartbeat")).encode()))
    (log.parent / "app.log.old").write_text(lines((10, "heartbeat")))
    (log.parent / "other.log.1").write_text(lines((10, "heartbeat")))
    os.utime(log.parent / names[0], (time.time() - 100, time.time() - 100))
    os.utime(packed, (time.time() - 400, time.time() - 400))
    seen = ask(log)
    assert seen.measures["count.beat"] == 4
    assert seen.measures["gap.beat"] == pytest.approx(200, abs=2)
    assert "3 files" in seen.proof["notes"][0]


def test_files_that_are_older_are_not_opened(log: Path) -> None:
    log.write_text(lines((900, "x"), (50, "heartbeat")))
    old = log.parent / "app.log.1.gz"
    old.write_bytes(b"not gzip at all")
    os.utime(old, (time.time() - 5000, time.time() - 5000))
    assert ask(log).measures["count.beat"] == 1
    os.utime(old, (time.time() - 500, time.time() - 500))
    assert "cannot be read" in refused(PROBE, file=str(log), since="10m", patterns={"a": "x"})


def test_a_packed_file_that_broke_off(log: Path) -> None:
    log.write_text(lines((50, "heartbeat")))
    whole = bz2.compress((lines((900, "x")) + lines(*((400, secrets.token_hex(30)) for _n in range(3000)))).encode())
    (log.parent / "app.log.1.bz2").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refused(PROBE, file=str(log), since="10m", patterns={"a": "x"})


def test_a_large_file_costs_little(log: Path) -> None:
    """100 MB, of which the last minutes are asked for."""
    with log.open("w") as file:
        for block in range(100):
            file.write(
                lines(*((20_000 - block * 190 - n / 60, "x" * 80 + (" heartbeat" if not n % 1000 else "")) for n in range(10_000)))
            )
    assert log.stat().st_size > 100_000_000
    begun = time.monotonic()
    seen = ask(log, since="25m")
    assert time.monotonic() - begun < 2.0
    assert 0 < seen.proof["bytes"] < 10_000_000
    assert seen.measures["count.beat"] == 25


def test_a_line_without_an_end(log: Path) -> None:
    log.write_bytes(
        lines((700, "x")).encode()
        + lines((60, "heartbeat ")).encode()[:-1]
        + b"\0" * 5_000_000
        + b"\n"
        + lines((5, "heartbeat")).encode()
    )
    assert ask(log).measures["count.beat"] == 2


def test_a_file_that_takes_the_place_of_another_is_not_mixed_up(log: Path) -> None:
    log.write_text(lines((50, "heartbeat")))
    part = _log_files.parts(str(log))[0]
    log.rename(log.with_name("app.log.1"))
    log.write_text(lines((5, "other")))
    with pytest.raises(ProbeError, match="was rotated while it was read"):
        list(_log_files.tail(part, 100))


# -- forms of time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (lambda ago: stamp(ago, "%Y-%m-%d %H:%M:%S,%f"), {}),
        (lambda ago: stamp(ago - 7200, "%Y-%m-%dT%H:%M:%S+0200"), {}),
        (lambda ago: f'{{"level": "info", "ts": "{stamp(ago)}"', {"where": '"ts": "([^"]+)"'}),
        (lambda ago: f"<34>1 {stamp(ago)} host app", {}),
        (lambda ago: stamp(ago, "[%Y-%m-%d %H:%M:%S +0000]"), {}),
        (lambda ago: f"{time.time() - ago:.3f}", {"timestamp": "epoch"}),
        (lambda ago: f'{{"time": {int((time.time() - ago) * 1000)}, "pid": 1', {"timestamp": "epoch", "where": '"time": ([0-9]+)'}),
        (lambda ago: stamp(ago, "[%d/%b/%Y:%H:%M:%S +0000]"), {"timestamp": "%d/%b/%Y:%H:%M:%S %z"}),
        (
            lambda ago: stamp(ago, "10.0.0.1 - - [%d/%b/%Y:%H:%M:%S +0000]"),
            {"timestamp": "%d/%b/%Y:%H:%M:%S %z", "where": r"\[([^]]+)\]"},
        ),
        (
            lambda ago: time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(time.time() - ago)),
            {"timestamp": "%Y/%m/%d %H:%M:%S", "zone": "local"},
        ),
    ],
)
def test_forms_of_time(log: Path, write: Callable[[float], str], options: dict[str, Any]) -> None:
    log.write_text("".join(f"{write(ago)} {text}\n" for ago, text in ((5000, "heartbeat"), (100, "heartbeat"), (40, "x"))))
    seen = ask(log, **options)
    assert seen.measures["count.beat"] == 1
    assert seen.measures["age.beat"] == pytest.approx(100, abs=2)


def test_the_tail_of_a_log_without_times(log: Path) -> None:
    log.write_text("heartbeat\n" * 100)
    seen = ask(log, tail="105B")
    assert (seen.measures["count.beat"], seen.proof["bytes"]) == (10, 105)
    assert "gap.beat" not in PROBE.measures_for({"patterns": {"beat": 1}, "tail": 5})
    log.write_text("")
    assert "has no line" in ask(log, tail="1kB").missing["count.beat"]


def test_a_large_tail_is_not_read_past_its_size(log: Path) -> None:
    log.write_bytes(b"\n".join(b"x" * 99 for _n in range(200_000)))
    seen = ask(log, tail="1MB", patterns={"x": "x"})
    assert seen.measures["count.x"] in (10_000, 9_999)


# -- several logs ------------------------------------------------------------------------------------------------------


def test_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "executor-1.log", tmp_path / "executor-2.log"
    one.write_text(lines((700, "x"), (100, "became leader"), (90, "heartbeat")))
    two.write_text(lines((700, "x"), (95, "follows")))
    options: dict[str, Any] = {"file": [str(one), str(two)], "since": "10m", "patterns": {"elected": "became leader"}}
    seen = look(PROBE, **options)
    assert (seen.measures["count.elected"], seen.measures["sources.elected"]) == (1, 1)
    assert seen.proof["lines_of"] == {str(one): 2, str(two): 1}
    two.write_text(lines((700, "x")))
    assert str(two) in look(PROBE, **options).missing["count.elected"]


def test_the_log_of_the_reference_application(spark: Spark) -> None:
    started = stamp(0)
    app = spark.start("executor")
    wait_until(lambda: app.output().count("heartbeat") >= 4, what="heartbeats")
    app.log.with_name(f"{app.log.name}.1").write_text(lines((90, "the run before")))
    seen = ask(app.log, since=started, zone="local", patterns={"elected": "became leader", "beat": "heartbeat", "poll": "pollOnce"})
    m = seen.measures
    assert (m["count.elected"], seen.missing) == (1, {})
    assert 0.1 < float(m["gap.beat"]) < 30.0 and float(m["age.beat"]) < 2.0
    assert float(m["count.poll"]) > 5


# -- journal -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[tuple[float, str, str]]], str]:
    """Write a journal of (seconds ago, unit, text); the directory of its file. What is of no unit is of process 1."""
    _tool("debs.py", "journal")
    monkeypatch.setenv("PATH", f"{CACHE / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def write(entries: Sequence[tuple[float, str, str]]) -> str:
        directory = tmp_path / "journal"
        directory.mkdir()
        export = "".join(
            f"__REALTIME_TIMESTAMP={int((time.time() - ago) * 1e6)}\n__MONOTONIC_TIMESTAMP={number + 1}\n"
            f"_BOOT_ID={'1' * 32}\n_MACHINE_ID={'2' * 32}\nMESSAGE={text}\n"
            + (f"_SYSTEMD_UNIT={unit}\nSYSLOG_IDENTIFIER=python\n\n" if unit else "_PID=1\nSYSLOG_IDENTIFIER=systemd\n\n")
            for number, (ago, unit, text) in enumerate(entries)
        )
        subprocess.run(
            ["systemd-journal-remote", f"--output={directory}/system.journal", "-"],
            input=export.encode(),
            check=True,
            capture_output=True,
        )
        return str(directory)

    return write


def test_the_journal(journal: Callable[..., str]) -> None:
    directory = journal(
        [
            (900, "", "Started spark.service"),
            (900, "spark.service", "became leader"),
            (500, "spark.service", "became leader"),
            (400, "other.service", "became leader"),
            *((300 - 30 * n, "spark.service", "heartbeat") for n in range(10)),
        ]
    )
    where = {"unit": "spark.service", "directory": directory}
    seen = look(PROBE, journal=where, since="10m", patterns={"elected": "became leader", "beat": "heartbeat", "none": "x{9}"})
    m = seen.measures
    assert (m.get("count.elected"), m.get("count.beat"), m.get("count.none"), m["lines"]) == (1, 10, 0, 11), seen
    assert m["gap.beat"] == pytest.approx(300, abs=3)
    assert m["age.beat"] == pytest.approx(30, abs=3)
    everybody = look(PROBE, journal={"identifier": "python", "directory": directory}, since="10m", patterns={"e": "became"})
    assert everybody.measures["count.e"] == 2
    silent = look(PROBE, journal={**where, "unit": "nobody.service"}, since="10m", patterns={"e": "became"})
    assert "nobody.service has no line" in silent.missing["count.e"]
    longer = look(PROBE, journal=where, since="1h", patterns={"e": "became"})
    assert "does not reach back" in longer.missing["count.e"]


def test_long_messages_of_the_journal(journal: Callable[..., str]) -> None:
    """journalctl leaves out what is longer than 4096 bytes unless it is asked for all, and tells byte by byte what is not text."""
    long = "x" * 5000 + " ERROR"
    directory = journal(
        [(900, "", "boot"), (60, "a.service", long), (50, "a.service", "\x01\x02 ERROR"), (40, "a.service", "fine")]
    )
    seen = look(PROBE, journal={"unit": "a.service", "directory": directory}, since="10m", patterns={"err": "ERROR"})
    assert (seen.measures["count.err"], seen.measures["lines"]) == (2, 3)


@pytest.mark.parametrize("message", ["null", "[300]", '["a", "b"]', "7"])
def test_a_message_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    stand_in = tmp_path / "journalctl"
    stand_in.write_text(f"""#!/bin/sh\necho '{{"__REALTIME_TIMESTAMP": "{int(time.time() * 1e6)}", "MESSAGE": {message}}}'\n""")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    seen = look(PROBE, journal={"unit": "a.service"}, since="10m", patterns={"err": "ERROR"})
    assert "the message of an entry cannot be read" in seen.missing["count.err"]


def test_who_sees_but_their_own_messages(journal: Callable[..., str]) -> None:
    """Without the right to read the journal of the system, journalctl shows what is one's own, and says nothing."""
    directory = journal([(900, "user@1000.service", "x"), (60, "user@1000.service", "x")])
    for unit in ("a.service", "user@1000.service"):
        where = {"unit": unit, "directory": directory}
        seen = look(PROBE, journal=where, since="10m", patterns={"err": "ERROR"}, quiet=True)
        assert "systemd-journal" in seen.missing["count.err"]
        assert seen.proof["window"] == 0


def test_a_silent_unit_of_a_journal_that_can_be_read(journal: Callable[..., str]) -> None:
    directory = journal([(900, "", "boot"), (60, "b.service", "x")])
    where = {"unit": "a.service", "directory": directory}
    assert look(PROBE, journal=where, since="10m", patterns={"err": "ERROR"}, quiet=True).measures["count.err"] == 0


def test_a_journal_that_cannot_be_read(journal: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"since": "10m", "patterns": {"e": "x"}}
    assert "journalctl" in refused(PROBE, journal={"unit": "a", "directory": str(tmp_path / "none")}, **options)
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    assert "cannot be run" in refused(PROBE, journal={"unit": "a"}, **options)
    stand_in = empty / "journalctl"
    stand_in.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    stand_in.chmod(0o755)
    assert "did not end" in refused(PROBE, timeout=0.5, journal={"unit": "a"}, **options)
    stand_in.write_text("#!/bin/sh\necho nonsense\n")
    assert "no entry" in refused(PROBE, journal={"unit": "a"}, **options)


# -- containers --------------------------------------------------------------------------------------------------------

PROGRAM = """
import time
print("became leader", flush=True)
for n in range(6):
    print("heartbeat", n, flush=True)
    time.sleep(0.2)
time.sleep(600)
"""


@pytest.fixture
def written(docker_engine: dict[str, str], docker_image: Callable[[str], str]) -> Iterator[Any]:
    """Start containers that write; all of them end with the test."""
    project = f"log{secrets.token_hex(3)}"
    docker = str(CACHE / "bin" / "docker")

    def start(name: str, program: str = PROGRAM, *arguments: str) -> str:
        full = f"{project}-{name}"
        labels = ["--label", f"com.docker.compose.project={project}", "--label", "com.docker.compose.service=executor"]
        command = [docker, "run", "-d", "--init", "--network", "none", "--name", full, *labels, *arguments]
        subprocess.run(
            [*command, docker_image("python"), "python3", "-uc", program], env=docker_engine, check=True, capture_output=True
        )
        return full

    start.project = project  # type: ignore[attr-defined]
    start.host = docker_engine["DOCKER_HOST"]  # type: ignore[attr-defined]
    yield start
    found = subprocess.run([docker, "ps", "-aqf", f"name={project}"], env=docker_engine, check=True, capture_output=True, text=True)
    subprocess.run([docker, "rm", "-f", *found.stdout.split()], env=docker_engine, check=True, capture_output=True)


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_logs_of_containers(written: Any) -> None:
    one = written("1")
    two = written("2", "import time; print('follows', flush=True); time.sleep(600)")
    time.sleep(2.5)
    patterns = {"elected": "became leader", "beat": "heartbeat", "error": "ERROR"}
    new: dict[str, Any] = {"since": "10m", "since_created": True, "patterns": patterns}
    single = look(PROBE, container={"name": one, "docker_host": written.host}, **new)
    m = single.measures
    assert (m["count.elected"], m["count.beat"], m["count.error"], m["lines"]) == (1, 6, 0, 7)
    assert float(m["gap.beat"]) >= 0.2 and float(m["age.beat"]) < 30
    both = look(PROBE, container={"project": written.project, "docker_host": written.host}, **new)
    assert (both.measures["count.elected"], both.measures["sources.elected"]) == (1, 1)
    assert both.proof["lines_of"] == {one: 7, two: 1}
    late = look(PROBE, container={"name": two, "docker_host": written.host}, since="500ms", patterns=patterns)
    assert "has no line" in late.missing["count.elected"]
    quiet = look(PROBE, container={"name": two, "docker_host": written.host}, since="500ms", patterns=patterns, quiet=True)
    assert quiet.measures["count.error"] == 0
    gone = {"name": [one, "nobody"], "docker_host": written.host}
    assert "no container nobody" in refused(PROBE, container=gone, since="1m", patterns=patterns)


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_what_the_log_of_a_container_proves(written: Any) -> None:
    """The driver json-file keeps all since the container was created; the driver local drops what is old without being told to."""
    program = "import time; print('x', flush=True); time.sleep(600)"
    kept, dropped = written("kept", program), written("dropped", program, "--log-driver", "local")
    time.sleep(1.5)
    patterns = {"error": "ERROR"}
    whole: dict[str, Any] = {"since": "1h", "since_created": True, "patterns": patterns}
    seen = look(PROBE, container={"name": kept, "docker_host": written.host}, **whole)
    assert seen.measures["count.error"] == 0
    assert 0 < seen.proof["window"] < 60
    seen = look(PROBE, container={"name": dropped, "docker_host": written.host}, **whole)
    assert "the driver local may drop" in seen.missing["count.error"]
    assert seen.proof["window"] == 0
    seen = look(PROBE, container={"name": dropped, "docker_host": written.host}, since="1s", patterns=patterns, quiet=True)
    assert (seen.measures["count.error"], seen.proof["window"]) == (0, 1)


@pytest.mark.parametrize("since_created", [False, True])
def test_a_container_that_was_created_in_that_time(since_created: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the one before it wrote went with it. A stand-in for an engine, whose container is made anew without waiting."""
    anew = {"Id": "1", "Name": "/executor-1", "Created": stamp(30), "HostConfig": {"LogConfig": {"Type": "json-file"}}}

    class EngineStandIn:
        def logs(self, _id: str, stream: bool = False, **_asked: Any) -> Any:
            return iter([lines((20, "heartbeat"), (5, "heartbeat")).encode()]) if stream else b""

    monkeypatch.setattr(_docker, "engine", lambda *_given: contextlib.nullcontext(EngineStandIn()))
    monkeypatch.setattr(_docker, "containers", lambda *_given: ([anew], []))
    asked: dict[str, Any] = {"since": "10m", "patterns": {"beat": "heartbeat"}, "over": "1m"}
    seen = look(PROBE, container={"name": "executor-1"}, since_created=since_created, **asked)
    if since_created:
        assert (seen.measures["count.beat"], seen.measures["peak.beat"]) == (2, 2)
        assert float(seen.measures["gap.beat"]) < 20 and 25 < seen.proof["window"] < 35
        assert seen.proof["notes"] == ["executor-1: was created within that time, and is judged from then on"]
    else:
        why = "executor-1 does not reach back 600 s: was created within that time, and has no older line"
        assert {*seen.missing.values()} == {why} and seen.proof["matches_so_far"] == {"beat": 2}
        assert set(seen.measures) == {"lines"}


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_the_log_of_a_container_that_is_cut(written: Any) -> None:
    """The engine keeps two files of 10 kB: what was before is gone, and the zero of a pattern proves nothing."""
    name = written("cut", "for n in range(2000): print('x' * 60, n)", "--log-opt", "max-size=10k", "--log-opt", "max-file=2")
    time.sleep(1.5)
    seen = look(PROBE, container={"name": name, "docker_host": written.host}, since="10m", patterns={"error": "ERROR"})
    assert "its log is cut at a size" in seen.missing["count.error"]


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"since": "1m", "patterns": {"a": "x"}}, "give one of file, journal and container"),
        ({"file": "/x", "journal": {"unit": "u"}, "since": "1m", "patterns": {"a": "x"}}, "not file and journal"),
        ({"file": "x", "since": "1m", "patterns": {"a": "x"}}, "absolute path"),
        ({"file": "/x", "patterns": {"a": "x"}}, "give either since, or tail"),
        ({"file": "/x", "since": "1m", "tail": "1MB", "patterns": {"a": "x"}}, "give either since, or tail"),
        ({"file": "/x", "since": "0s", "patterns": {"a": "x"}}, "more than nothing"),
        ({"file": "/x", "since": "2026-01-01T10:00:00", "patterns": {"a": "x"}}, "has no zone"),
        ({"file": "/x", "since": "1m", "patterns": {}}, "own names"),
        ({"file": "/x", "since": "1m", "patterns": {"A b": "x"}}, "a name of a-z"),
        ({"file": "/x", "since": "1m", "patterns": {"a": "("}}, "not a regular expression"),
        ({"file": "/x", "since": "1m", "patterns": {"a": "x"}, "where": "x"}, "one group"),
        ({"file": "/x", "since": "1m", "patterns": {"a": "x"}, "timestamp": "yyyy"}, "expected iso, epoch"),
        ({"file": "/x", "since": "1m", "patterns": {"a": "x"}, "timestamp": "%b %d %H:%M:%S"}, "has no year"),
        ({"journal": {}, "since": "1m", "patterns": {"a": "x"}}, "expected unit or identifier"),
        ({"journal": {"unit": "--rotate"}, "since": "1m", "patterns": {"a": "x"}}, "is not a name"),
        ({"journal": {"unit": "u"}, "tail": "1MB", "patterns": {"a": "x"}}, "goes with file"),
        ({"file": "/x", "since": "1m", "patterns": {"a": "x"}, "since_created": True}, "goes with container"),
        ({"file": "/x", "since": "1m", "patterns": {"a": "x"}, "over": "0s"}, "more than nothing"),
        ({"file": "/x", "tail": "1MB", "patterns": {"a": "x"}, "over": "5m"}, "goes with since"),
        ({"container": {"project": "p", "name": "n"}, "since": "1m", "patterns": {"a": "x"}}, "goes without name"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)

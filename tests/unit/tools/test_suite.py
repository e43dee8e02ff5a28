# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How results are counted: what CI believes depends on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import debs
import pytest
import suite

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_good"/>
<testcase classname="tests.unit.test_a" name="test_bad"><failure/></testcase>
<testcase classname="tests.unit.test_a" name="test_broken"><error/></testcase>
<testcase classname="tests.unit.test_a" name="test_left_out"><skipped/></testcase>
</testsuite></testsuites>"""

SANITY = """\
Running sanity test "compile" on Python 3.13
Running sanity test "pylint"
Running sanity test "validate-modules"
ERROR: Found 1 pylint issue(s) which need to be resolved:
FATAL: The 2 sanity test(s) listed below (out of 3) failed. See error output above for details.
compile --python 3.13
pylint
"""


def test_a_skipped_test_counts_as_failed(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT, encoding="utf-8")
    tally = suite.read_junit(path, "newest")
    assert (tally.passed, tally.failed) == (1, 3)
    assert "newest: tests/unit/test_a::test_left_out (skipped)" in tally.notes


def test_failed_sanity_tests_are_named() -> None:
    assert suite.read_sanity(SANITY) == (3, ["compile", "pylint"])
    assert suite.read_sanity('Running sanity test "compile"\n') == (1, [])
    assert suite.read_sanity("") == (0, [])


def _close(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **stages: object) -> tuple[int, str]:
    monkeypatch.setattr(suite, "STAGES", stages)
    code = suite.main([])
    return code, capsys.readouterr().out.strip().splitlines()[-1]


def test_the_last_line_is_what_ci_reads(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = _close(monkeypatch, capsys, one=lambda: suite.Tally(2, 0), two=lambda: suite.Tally(3, 0))
    assert (code, line) == (0, "5 passed, 0 failed")


def test_a_stage_that_cannot_run_is_a_failure_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> suite.Tally:
        raise suite.SuiteError("no engine")

    code, line = _close(monkeypatch, capsys, one=broken, two=lambda: suite.Tally(3, 0))
    assert (code, line) == (1, "3 passed, 1 failed")


def test_lanes_run_side_by_side_and_the_rest_after_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = threading.Barrier(2, timeout=20)
    order: list[str] = []

    def stage(name: str, meet: bool = False) -> Callable[[], suite.Tally]:
        def run() -> suite.Tally:
            if meet:
                meeting.wait()
            order.append(name)
            return suite.Tally(1, 0)

        return run

    monkeypatch.setattr(suite, "virtual_environment", lambda *_names: None)
    monkeypatch.setattr(suite, "SIDE_BY_SIDE", (("lint", "sanity"), ("molecule",)))
    stages = {
        "lint": stage("lint", meet=True),
        "newest": stage("newest"),
        "molecule": stage("molecule", meet=True),
        "sanity": stage("sanity"),
    }
    code, line = _close(monkeypatch, capsys, **stages)
    assert (code, line) == (0, "4 passed, 0 failed")
    assert order[-1] == "newest" and order.index("lint") < order.index("sanity")


def test_running_nothing_is_not_a_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = _close(monkeypatch, capsys, one=lambda: suite.Tally())
    assert (code, line) == (1, "0 passed, 0 failed")


def test_the_python_of_hosts_is_found_on_path_and_in_pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(place: str) -> Path:
        path = tmp_path / place / f"python{suite.HOST_PYTHON}"
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
        return path

    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("shims", "bin")))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(debs, "search_path", lambda: os.environ["PATH"])
    put("shims")
    assert suite.host_python() is None
    own = put(f"pyenv/versions/{suite.HOST_PYTHON}.18/bin")
    assert suite.host_python() == own
    on_path = put("bin")
    assert suite.host_python() == on_path

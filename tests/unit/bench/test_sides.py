# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sides of each comparison do the same work, and the runner says when one does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import cutover_runs, http_checks, metrics_page, run
from tests.bench.figures import Figure, Measured, NotMeasured, WrongValues, single


def test_the_page_has_the_samples_that_its_title_promises() -> None:
    page = metrics_page.make_page(5000)
    assert page == metrics_page.make_page(5000)
    samples = [line for line in page.splitlines() if not line.startswith(b"#")]
    assert len(samples) == 5000
    names = [line.partition(b"{")[0].partition(b" ")[0].decode() for line in samples]
    assert {name: names.count(name) for name in metrics_page.NAMES} == dict(metrics_page.NAMES)
    assert any(name.startswith("alerts") and name not in metrics_page.NAMES for name in names)


def test_both_readers_find_the_same_on_the_page() -> None:
    page = metrics_page.make_page(5000)
    found = metrics_page.ours(page)
    assert found == metrics_page.theirs(page)
    assert {name: len(series) for name, series in found.items()} == dict(metrics_page.NAMES)
    assert len(metrics_page.NAMES) == 10


def test_values_that_differ_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    page = metrics_page.make_page(1000)
    right = metrics_page.theirs(page)
    wrong = {**right, "alerts_active": {(): -1.0}}
    monkeypatch.setattr(metrics_page, "make_page", lambda: page)
    monkeypatch.setattr(metrics_page, "ours", lambda _page: wrong)
    with pytest.raises(WrongValues, match="differ"):
        metrics_page.measure(1)


def test_what_passed_is_read_from_the_output_of_ansible() -> None:
    check = {"hosts": {"localhost": {"verdicts": [{"status": "pass"}, {"status": "fail"}, {"status": "pass"}]}}}
    uri = {"hosts": {"localhost": {"status": 200}}}
    assert http_checks.passed(json.dumps({"plays": [{"tasks": [check]}, {"tasks": [uri, uri]}]})) == {"check": 2, "uri": 2}


def test_the_recap_is_summed_over_the_hosts() -> None:
    output = (
        "ok: changed=7\nPLAY RECAP ****\n"
        "demo      : ok=161  changed=10   unreachable=0    failed=0    skipped=61   rescued=0    ignored=0\n"
        "localhost : ok=10   changed=1    unreachable=0    failed=0    skipped=10   rescued=0    ignored=0\n"
    )
    assert cutover_runs.recap(output)["ok"] == 171
    assert cutover_runs.recap(output)["changed"] == 11
    assert cutover_runs.recap("no recap") == {}


def test_a_run_that_ended_otherwise_is_an_error_with_its_reasons() -> None:
    decision = {"release": "1.1.0", "decision": "no_go", "rolled_back": False, "reasons": ["NO-GO: the rollback failed"]}
    cutover_runs.must_be(decision, {"decision": "no_go"})
    with pytest.raises(WrongValues, match=r"rolled_back is False instead of True.*the rollback failed"):
        cutover_runs.must_be(decision, {"decision": "no_go", "rolled_back": True})


def _main(monkeypatch: pytest.MonkeyPatch, output: Path, outcomes: dict[str, Measured | str]) -> tuple[int, dict[str, Any]]:
    def make(outcome: Measured | str) -> run.Measurement:
        def measure(rounds: int) -> Measured:
            if isinstance(outcome, str):
                raise NotMeasured(outcome)
            return outcome

        return run.Measurement("title", measure, 1)

    monkeypatch.setattr(run, "MEASUREMENTS", {name: make(outcome) for name, outcome in outcomes.items()})
    monkeypatch.setattr("sys.argv", ["run.py", "--output", str(output)])
    return run.main(), json.loads(output.read_text())


def test_a_missed_target_is_said_and_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = Figure("rollback", "s", (20.0,))
    code, record = _main(monkeypatch, tmp_path / "reports" / "bench.json", {"one": Measured([slow], [single(slow, at_most=15)])})
    assert code == 0
    assert record["complete"] is True
    assert record["missed"] == ["rollback: 20 s, target <= 15 s"]
    assert record["measurements"]["one"]["results"][0]["met"] is False
    assert "TARGET MISSED: rollback: 20 s" in capsys.readouterr().out


def test_what_could_not_be_measured_is_an_error_and_does_not_stop_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = Figure("rollback", "s", (9.0,))
    both: dict[str, Measured | str] = {"bad": "nginx is not there", "good": Measured([quick], [single(quick)])}
    code, record = _main(monkeypatch, tmp_path / "bench.json", both)
    assert code == 1
    assert record["complete"] is False
    assert record["measurements"]["bad"]["error"] == "nginx is not there"
    assert record["measurements"]["good"]["figures"][0]["median"] == 9.0
    out = capsys.readouterr().out
    assert "NOT MEASURED: nginx is not there" in out
    assert "every target is met" not in out


def test_the_facts_of_the_machine_do_not_name_it() -> None:
    import platform

    facts = run.machine_facts()
    assert {"cores", "memory_bytes", "python", "ansible_core", "load"} <= set(facts)
    assert platform.node() not in facts.values()

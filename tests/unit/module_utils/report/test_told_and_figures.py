# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was told, and the figures of deliveries, are in every report, and decide nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import dora, runs
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.report import ending
from ansible_collections.golive.cutover.plugins.module_utils.report.model import read_run
from ansible_collections.golive.cutover.plugins.module_utils.report.registry import render

RunOf = Callable[[str], dict[str, Any]]

TOLD = [
    {"channel": "team", "kind": "slack", "host": "hooks.slack.com", "event": "go", "subject": "GO: shop runs 1.1.0",
     "status": "sent", "reason": "", "attempts": 1, "seconds": 0.2},
    {"channel": "mail", "kind": "email", "host": "mail", "event": "go", "subject": "GO", "status": "failed",
     "reason": "no answer within 10 s, token CANARY-77 <b>", "attempts": 3, "seconds": 12.5},
]  # fmt: skip


def figures(count: int) -> dict[str, Any]:
    """What the ledger says after so many deployments, every third of which failed."""
    entries: list[dict[str, Any]] = []
    for number in range(count):
        day = f"2026-02-{number * 2 + 1:02d}T03:0"
        run = {"run": f"r{number}", "environment": "shop"}
        data = {"kind": "cutover", "release": f"1.{number}"}
        decision = "no_go" if number % 3 == 2 else "go"
        entries.append({**run, "time": f"{day}0:00Z", "event": "run_begun", "data": data})
        entries.append({**run, "time": f"{day}1:00Z", "event": "step_begun", "data": {"name": "deploy"}})
        entries.append({**run, "time": f"{day}5:00Z", "event": "run_ended", "data": {**data, "decision": decision}})
    return dora.figures(entries, "2026-03-01T00:00:00Z")


def rendered(run: dict[str, Any]) -> dict[str, str]:
    formats = render(read_run(run, ["CANARY-77"]), ["decision_json", "html", "summary_md", "junit"])
    return {name.rsplit("/", 1)[-1]: content for name, content in formats.items()}


def test_who_was_told_is_in_every_report_without_secrets(run_of: RunOf) -> None:
    run = run_of("go")
    before = ending.ending(read_run(run))
    run["notifications"] = TOLD
    assert ending.ending(read_run(run)) == before
    files = rendered(run)
    found = json.loads(files["decision.json"])
    assert [(one["channel"], one["status"]) for one in found["notifications"]] == [("team", "sent"), ("mail", "failed")]
    page, summary = files["report.html"], files["summary.md"]
    assert "1 message did not get through. That changes no decision." in page
    assert "no answer within 10 s, token *** &lt;b&gt;" in page
    assert "| ❌ not told | mail | go | no answer within 10 s" in summary
    assert not any("CANARY-77" in content for content in files.values())


def test_a_run_that_told_nobody_says_nothing_of_it(run_of: RunOf) -> None:
    files = rendered(run_of("go"))
    assert "Who was told" not in files["report.html"] + files["summary.md"]
    assert json.loads(files["decision.json"])["notifications"] == []
    assert json.loads(files["decision.json"])["dora"] is None


def test_too_little_to_say_is_what_the_figures_say(run_of: RunOf) -> None:
    files = rendered({**run_of("go"), "dora": figures(2)})
    assert json.loads(files["decision.json"])["dora"]["figures"]["lead_time"]["value"] is None
    assert files["report.html"].count("too few to say") >= 4
    assert "| Duration of a deployment | too few to say | 2 deployments are too few to say: 5 are needed |" in files["summary.md"]


def test_figures_with_what_they_are_counted_from(run_of: RunOf) -> None:
    files = rendered({**run_of("go"), "dora": figures(9)})
    summary = files["summary.md"]
    assert "| Duration of a deployment | 5 min | 6 counted; median" in summary
    assert "| Change failure rate | 33.33 % | 9 counted; between" in summary
    assert "a day | 6 counted" in summary
    assert "2026-01-30 to 2026-03-01" in files["report.html"]


def test_figures_that_could_not_be_counted_say_why(run_of: RunOf) -> None:
    files = rendered({**run_of("go"), "dora": {"error": "the ledger could not be read on web-1"}})
    assert all("the ledger could not be read on web-1" in files[name] for name in ("report.html", "summary.md", "decision.json"))


def test_mistakes_in_what_was_told_are_named(run_of: RunOf) -> None:
    with pytest.raises(InputError, match=r"run\.notifications\[0\]\.event"):
        read_run({**run_of("go"), "notifications": [{"channel": "team", "status": "sent"}]})


def test_the_record_of_a_run_carries_both(run_of: RunOf) -> None:
    run = {"id": "r", "kind": "verify", "environment": "shop", "hosts": []}
    record = runs.run_record(run, {"decision": "go", "reasons": []}, {}, {}, "", TOLD, {"error": "x"})
    assert (record["decision"], len(record["notifications"]), record["dora"]) == ("go", 2, {"error": "x"})

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a report, read back by other programs: JSON, XML and HTML parsers."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.report import decision_json, html, junit, summary_md
from ansible_collections.golive.cutover.plugins.module_utils.report.ending import KINDS
from ansible_collections.golive.cutover.plugins.module_utils.report.model import read_run
from ansible_collections.golive.cutover.plugins.module_utils.report.registry import FORMATS, render

RunOf = Callable[[str], dict[str, Any]]
HOSTILE = (
    "</style></title><script>alert(1)</script><img src=http://evil.example/x onerror='x'>\"'`|[a](javascript:1)\x1b\x00\ud800]]>"
)
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page strictly: every tag is closed in order; remembers the tags, the attributes and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def poisoned(value: Any) -> Any:
    """A run in which every free text ends in something hostile."""
    ours = {"status", "state", "decision", "id", "kind", "started", "ended"}
    if isinstance(value, dict):
        return {key: one if key in ours and isinstance(one, str) else poisoned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    return value + HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_of_every_ending(run_of: RunOf, kind: str) -> None:
    files = render(read_run(run_of(kind)), FORMATS)
    assert set(files) == {"decision.json", "junit.xml", "summary.md", "report.html"}
    assert json.loads(files["decision.json"])["ending"] == kind
    ElementTree.fromstring(files["junit.xml"])
    page = Page(files["report.html"])
    assert not page.tags & {"script", "link", "img", "iframe", "object"}


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_texts_do_nothing(run_of: RunOf, kind: str) -> None:
    files = render(read_run(poisoned(run_of(kind))), FORMATS)
    page = Page(files["report.html"])
    assert not page.tags & {"script", "img", "a"}
    assert not page.attributes & {"src", "href", "onerror", "onclick"}
    assert "<script>alert(1)</script>" in page.text
    assert files["report.html"].count("</style>") == 1
    ElementTree.fromstring(files["junit.xml"].encode())
    json.loads(files["decision.json"])
    for line in files["summary.md"].splitlines():
        assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(", line)
    assert not any("\x1b" in text or "\x00" in text for name, text in files.items() if name != "decision.json")


def test_the_page_asks_nothing_of_anybody(run_of: RunOf) -> None:
    page = html.render(read_run(run_of("go")))
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert not re.search(r"url\(|@import|<(script|link)\b|\bsrc=", page)


def test_the_page_shows_what_a_reader_needs(run_of: RunOf) -> None:
    page = Page(html.render(read_run(run_of("no_go_rolled_back"))))
    for said in (
        "NO-GO",
        "spark_ta was rolled back to 1.0.0",
        "Regression at least 95 %",
        "19.5 s of 15 s",
        "over budget",
        "S-003",
        "connection refused by 127.0.0.1:6379",
        "ada",
        "4 attempts",
        "x-streams-connected",
        "1 March 2026",
    ):
        assert said in page.text, said


def test_what_failed_stands_before_what_passed(run_of: RunOf) -> None:
    page = html.render(read_run(run_of("no_go_rolled_back")))
    checks = page[page.index("Checks of the release") : page.index("Checks after the rollback")]
    assert checks.index(">S-003<") < checks.index(">L-001<") < checks.index(">A-001<") < checks.index(">SMOKE-1<")


def test_a_failed_rollback_stands_before_everything_that_is_settled(run_of: RunOf) -> None:
    page = html.render(read_run(run_of("rollback_failed")))
    assert 'class="loud"' in page
    assert page.index("What to do now") < page.index("<h2>Rollback</h2>") < page.index("Steps against their budgets")


def test_the_observed_value_that_breaks_a_condition_is_marked(run_of: RunOf) -> None:
    page = html.render(read_run(run_of("no_go_rolled_back")))
    assert '<td class="bad" data-of="observed">37</td>' in page
    assert '<td class="bad" data-of="observed">0</td>' in page
    assert '<td class="bad" data-of="observed">200</td>' not in page


@pytest.mark.parametrize(("before", "marked"), [({"p95": 0.4}, True), ({"p95": 0.6}, False), ({}, False)])
def test_an_observed_value_is_marked_by_what_it_was_before(run_of: RunOf, before: dict[str, float], marked: bool) -> None:
    run = run_of("no_go_rolled_back")
    verdict = next(one for host in run["hosts"].values() for one in host["verdicts"] if one["status"] == "fail")
    verdict["measures"] = {"p95": {"value": 0.5, "unit": "s"}}
    verdict["expected"] = {"expect": {"p95": "<= +10%"}}
    verdict["proof"] = {"samples": 50, "baseline": before}
    assert ('<td class="bad" data-of="observed">500 ms</td>' in html.render(read_run(run))) is marked


@pytest.mark.parametrize(
    ("kind", "rolled_back", "verified", "seconds"),
    [
        ("go", False, False, None),
        ("no_go_untouched", False, False, None),
        ("no_go_rolled_back", True, True, 6.21),
        ("no_go_not_rolled_back", False, False, None),
        ("rollback_unverified", True, False, 6.21),
        ("rollback_failed", False, False, 6.21),
    ],
)
def test_decision_json_says_what_was_rolled_back(
    run_of: RunOf, kind: str, rolled_back: bool, verified: bool, seconds: float | None
) -> None:
    said = decision_json.as_mapping(read_run(run_of(kind)))
    assert (said["rolled_back"], said["rollback_verified"], said["rollback_seconds"]) == (
        rolled_back,
        verified,
        seconds,
    )


def test_decision_json_holds_the_run_in_a_fixed_order(run_of: RunOf) -> None:
    run = run_of("no_go_rolled_back")
    text = decision_json.render(read_run(run))
    run["hosts"]["web-1"]["verdicts"][0]["proof"] = dict(reversed(run["hosts"]["web-1"]["verdicts"][0]["proof"].items()))
    assert decision_json.render(read_run(run)) == text
    said = json.loads(text)
    assert list(said)[:3] == ["schema_version", "decision", "ending"]
    assert (said["release"], said["previous_release"], said["schema_version"]) == ("1.1.0", "1.0.0", 1)
    assert said["steps"][4] == {
        "name": "smoke",
        "seconds": 19.5,
        "budget": 15.0,
        "status": "over",
        "started": "2026-03-01T03:00:20Z",
        "error": None,
        "host": "web-2",
    }
    assert {one["host"] for one in said["verdicts"]} == {"web-1", "web-2"}
    assert said["hosts"]["web-1"]["steps"][0]["name"] == "preflight"
    assert said["counts"] == {"pass": 8, "skip": 2, "warn": 1, "inconclusive": 1, "fail": 2}


def test_values_that_json_does_not_know_become_texts(run_of: RunOf) -> None:
    run = run_of("go")
    run["hosts"]["web-1"]["verdicts"][0]["measures"]["x"] = {"value": float("nan"), "unit": "s"}
    for text in render(read_run(run), FORMATS).values():
        assert text
    assert '"value": "nan"' in decision_json.render(read_run(run))


def test_junit_counts_what_it_holds(run_of: RunOf) -> None:
    root = ElementTree.fromstring(junit.render(read_run(run_of("no_go_rolled_back"))))
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == [
        "go/no-go",
        "checks on web-1",
        "steps on web-1",
        "checks on web-2",
        "steps on web-2",
        "rollback",
    ]
    checks = suites["checks on web-1"]
    assert {key: checks.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "2",
        "errors": "1",
        "skipped": "1",
    }
    warned = next(case for case in checks if (case.get("name") or "").startswith("A-001"))
    assert [child.tag for child in warned] == ["system-out"]
    assert checks.get("timestamp") == "2026-03-01T03:00:00"
    for key in ("tests", "failures", "errors", "skipped"):
        assert root.get(key) == str(sum(int(suite.get(key) or 0) for suite in root))
    assert suites["go/no-go"].get("failures") == "3"
    assert suites["rollback"].get("failures") == "0"


def test_junit_of_a_lost_host_is_an_error(run_of: RunOf) -> None:
    root = ElementTree.fromstring(junit.render(read_run(run_of("rollback_failed"))))
    lost = next(suite for suite in root if suite.get("name") == "lost hosts")
    assert lost.get("errors") == "1"


def test_the_summary_fits_into_a_ticket(run_of: RunOf) -> None:
    text = summary_md.render(read_run(run_of("no_go_rolled_back")))
    assert text.startswith("## ❌ NO-GO: spark\\_ta 1.1.0\n")
    assert "| ⚠️ over budget | smoke | 19.5 s | 15 s |" in text
    assert "| ❌ failed | S-003 | Candle stream reaches the browser unbuffered | web-1 |" in text
    assert "SMOKE-1" not in text


def test_a_run_without_anything_can_be_shown() -> None:
    run = read_run({"id": "1", "environment": "e", "decision": "no_go"})
    for text in render(run, FORMATS).values():
        assert "no checks were asked" in text or "No checks" in text or "schema_version" in text or "testsuites" in text


def test_what_was_tried_before_the_rollback_that_helped(run_of: RunOf) -> None:
    """Also on a host where it was enough: the hosts go on together."""
    raw = run_of("no_go_rolled_back")
    for host, error in (("web-1", "Refuse what blocks: blocked by S-003"), ("web-2", None)):
        raw["rollback"]["hosts"][host]["attempts"] = [
            {"strategy": "reduce_load", "verified": error is None, "seconds": 3.0, "error": error},
            {"strategy": "previous_release", "verified": True, "seconds": 6.0, "error": None},
        ]
    run = read_run(raw)
    page, summary = Page(html.render(run)).text, summary_md.render(run)
    for said in ("before it, on web-1", "reduce load, 3 s: Refuse what blocks: blocked by S-003"):
        assert said in page
    assert "reduce load, 3 s: verified here, but not on every host" in page
    assert "was tried before on web-1: Refuse what blocks: blocked by S-003" in summary
    kept = decision_json.as_mapping(run)["rollback"]["hosts"]
    assert [one["strategy"] for one in kept["web-1"]["attempts"]] == ["reduce_load", "previous_release"]
    assert kept["web-1"]["attempts"][0]["error"] == "Refuse what blocks: blocked by S-003"

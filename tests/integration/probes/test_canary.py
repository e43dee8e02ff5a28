# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The canary: its runs in a store, the probe that judges the last of them, the module that runs one, and the role."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes._answers import Answering
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import LARGEST_ARTEFACT, Context, Observation, Probe
from ansible_collections.golive.cutover.plugins.module_utils.probes.canary import CanaryProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import canaries
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from tests.integration.probes.looking import look, mistakes, refused

PROBE = CanaryProbe()


class Kept:
    """Runs of a canary in a store, by how they went."""

    def __init__(self, address: str) -> None:
        self.common: dict[str, Any] = {"store": address, "environment": "spark"}

    def runs(self, *statuses: str, release: str = "1.0.0", ago: float = 0.0, name: str = "canary") -> None:
        with open_store(self.common["store"], "spark") as store:
            store._clock = lambda: time.time() - ago  # type: ignore[attr-defined]
            for status in statuses:
                canaries.add(store, name, "run-1", release, {"status": status, "reason": f"it was {status}", "duration": 0.1})

    def look(self, **options: Any) -> Observation:
        return look(PROBE, **self.common, **options)


@pytest.fixture(params=["sqlite", "redis"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "sqlite":
        return Kept(f"sqlite://{tmp_path}/golive.db")
    return Kept(request.getfixturevalue("redis_server")().url)


def test_the_last_seven(kept: Kept) -> None:
    kept.runs("fail", "fail", *["pass"] * 6, "warn")
    seen = kept.look()
    assert (seen.measures["pass_rate"], seen.measures["runs"], seen.measures["failed"]) == (1.0, 7, 0)
    assert seen.measures["lower_bound"] == pytest.approx(0.646, abs=0.001)
    assert (seen.measures["newest"], seen.proof["bounds"]) == ("warn", "64.57 % to 100 % (95 %, Wilson)")
    kept.runs("inconclusive")
    after = kept.look()
    assert after.measures["pass_rate"] == pytest.approx(6 / 7) and after.measures["newest"] == "inconclusive"
    assert after.proof["not_passed"][0].endswith("it was inconclusive")


def test_too_few_say_nothing(kept: Kept) -> None:
    assert "no run of canary within 7 d is written down" in refused(PROBE, **kept.common)
    kept.runs(*["pass"] * 6)
    seen = kept.look()
    assert seen.missing["pass_rate"] == "6 runs within 7 d are too few to say: 7 are needed" and seen.measures["newest"] == "pass"
    check = {"id": "C", "canary": kept.common, "expect": {"pass_rate": ">= 95%"}}
    verdict = run_checks(read_checks([check], PROBES), PROBES)[0]
    assert verdict["status"] == "inconclusive" and "too few to say" in verdict["reason"]
    kept.runs("pass")
    verdict = run_checks(read_checks([check], PROBES), PROBES)[0]
    assert verdict["status"] == "pass" and verdict["proof"]["bounds"].startswith("64.57 %")
    assert kept.look(last=20, least=5).measures["runs"] == 7


def test_only_those_that_are_meant(kept: Kept) -> None:
    kept.runs("fail", "fail", release="0.9.0", ago=7200)
    kept.runs("pass", "pass", ago=60)
    kept.runs("fail", name="other")
    assert kept.look(last=4).measures["pass_rate"] == 0.5
    assert kept.look(last=4, least=2, release="1.0.0").measures["pass_rate"] == 1.0
    recent = kept.look(last=4, least=2, within="1h")
    assert recent.measures["pass_rate"] == 1.0 and float(recent.measures["age"]) == pytest.approx(60, abs=10)
    assert "against 2.0.0" in refused(PROBE, **kept.common, release="2.0.0")


def test_runs_of_long_ago_say_nothing_of_today(kept: Kept) -> None:
    kept.runs(*["pass"] * 7, ago=8 * 86_400)
    assert "within 7 d" in refused(PROBE, **kept.common)
    assert kept.look(within="30d").measures["pass_rate"] == 1.0


def test_a_clock_that_was_put_back(kept: Kept) -> None:
    kept.runs(*["pass"] * 7, ago=-3600)
    assert "the clock was put back" in refused(PROBE, **kept.common)


def test_what_is_refused(tmp_path: Path) -> None:
    good = {"store": f"sqlite://{tmp_path}/x.db", "environment": "spark"}
    assert mistakes(PROBE, {**good, "last": 3, "least": 5}) == ["least: is more than last, so there could never be enough"]
    assert mistakes(PROBE, {**good, "store": "mysql://x", "name": "a b", "last": 0}) != []


def test_the_newest_runs_are_kept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canaries, "MOST", 3)
    kept.runs("fail", "pass", "pass", "pass")
    with open_store(kept.common["store"], "spark") as store:
        assert [one["status"] for one in canaries.read(store, "canary")[0]] == ["pass"] * 3


class FakeProbe(Probe):
    """Sees what it is told."""

    name = "fake"
    options: ClassVar[dict[str, Any]] = {}
    measures: ClassVar[dict[str, str]] = {"body": "text"}

    def __init__(self, document: Any, body: str = "") -> None:
        self.seen = Observation({"body": body}, {"requests": 1}, document=document)

    def look(self, options: Any, context: Context) -> Observation:
        return self.seen


def answer(document: Any, body: str = "") -> Any:
    seen = Answering(FakeProbe(document, body), "canary_resp.json").look({}, Context(0.0))
    (artefact,) = seen.artefacts
    assert artefact.name == "canary_resp.json" and len(artefact.content) <= LARGEST_ARTEFACT
    return json.loads(artefact.content)


def test_the_answer_is_kept_and_bounded() -> None:
    assert answer({"status": "PASS", "n": "ü"}) == {"status": "PASS", "n": "ü"}
    assert answer(None, "plain") == {"text": "plain"}
    assert answer(None, "\x00" * 3_000_000)["cut_off_after"] == 125_000
    assert answer({"many": "x" * 2_000_000}, "y" * 2_000_000)["cut_off_after"] == 125_000


def test_the_module(run_module: Callable[..., Any], nginx: Callable[..., Any], tmp_path: Path, canary: str) -> None:
    body = 'location / { default_type application/json; return 200 \'{"status": "PASS", "echo": "$http_x_token"}\'; }'
    server = nginx(f"server {{ listen 127.0.0.1:@PORT@; {body} }}")
    check = {
        "id": "CN-001",
        "http": {"url": server.url, "headers": {"X-Token": {"secret": "token"}}},
        "measures": {"result": "status"},
        "expect": {"result": "== PASS"},
    }
    given: dict[str, Any] = {"store": f"sqlite://{tmp_path}/golive.db", "environment": "spark", "run": "run-1", "release": "1.0.0"}
    given |= {"check": check, "secrets": {"token": canary}, "artefacts_dir": str(tmp_path / "report")}
    rehearsed = run_module("canary", given, check=True)
    assert rehearsed["verdict"] is None and rehearsed["runs"] == [] and rehearsed["rate"] is None
    done = run_module("canary", given)
    assert done["verdict"]["status"] == "pass" and len(done["runs"]) == 1 and done["rate"]["ratio"] == 1.0
    (artefact,) = done["verdict"]["artefacts"]
    assert artefact["name"] == "canary_resp.json" and "artefacts" not in done
    text = (tmp_path / "report" / artefact["file"]).read_text(encoding="utf-8")
    assert json.loads(text) == {"status": "PASS", "echo": "***"}
    server.stop()
    gone = run_module("canary", given)
    assert not gone["failed"] and gone["verdict"]["status"] == "inconclusive"
    assert (gone["rate"]["passed"], gone["rate"]["total"]) == (1, 2) and gone["runs"][1]["passed"] is False
    command = {"id": "CN-002", "command": {"argv": [sys.executable, "-c", "print('Canary PASS')"]}, "expect": {"exit_code": "== 0"}}
    by_command = run_module("canary", {**given, "name": "cli", "check": command})
    file = tmp_path / "report" / by_command["verdict"]["artefacts"][0]["file"]
    assert json.loads(file.read_text(encoding="utf-8")) == {"text": "Canary PASS\n"}
    assert canary not in str([rehearsed, done, gone, by_command])


def test_the_module_refuses_what_is_no_canary(run_module: Callable[..., Any], tmp_path: Path) -> None:
    given = {"store": f"sqlite://{tmp_path}/golive.db", "environment": "spark", "run": "run-1"}
    tcp = run_module("canary", {**given, "check": {"id": "C", "tcp": {"port": 1}, "expect": {"open": "== true"}}})
    assert tcp["failed"] and "tcp" in tcp["msg"]
    skipped = {"id": "C", "command": {"argv": "true"}, "expect": {"exit_code": "== 0"}, "skip": "not today", "required": False}
    assert "says nothing" in run_module("canary", {**given, "check": skipped})["msg"]


def test_the_role_and_the_gate_after_it(ansible_playbook: Callable[..., Any], tmp_path: Path) -> None:
    store = f"sqlite://{tmp_path}/golive.db"
    gate = {"id": "G", "canary": {"store": store, "environment": "spark", "last": 3}, "expect": {"pass_rate": ">= 95%"}}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            *[{"ansible.builtin.include_role": {"name": "golive.cutover.canary"}} for _number in range(3)],
            {"golive.cutover.check": {"checks": [gate]}, "register": "look"},
            {"ansible.builtin.assert": {"that": ["look.verdicts[0].status == wanted", "canary_result.rate.total == 3"]}},
        ],
    }
    check = {"id": "CN-001", "command": {"argv": ["test", "-f", str(tmp_path / "good")]}, "expect": {"exit_code": "== 0"}}
    variables = {"cutover_environment": "spark", "cutover_store": store, "canary_check": check, "canary_last": 3}
    (tmp_path / "good").touch()
    done = ansible_playbook([play], extra_vars={**variables, "wanted": "pass"})
    assert done.rc == 0 and "Canary PASS" in done.output, done.output
    (tmp_path / "good").unlink()
    done = ansible_playbook([play], extra_vars={**variables, "wanted": "fail"})
    assert done.rc == 0 and "Canary FAIL" in done.output, done.output

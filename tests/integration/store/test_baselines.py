# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Baselines of runs in each store, and the module on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import baselines, releases
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from tests.conftest import Nginx, wait_until

BEFORE = {"L-1": {"p95": 0.4, "latency": 0.1}, "M-1": {"value": 7.0}}


def test_a_run_keeps_what_it_measured_first(store: Store, clock: Any) -> None:
    nothing: dict[str, Any] = {"run": "run-1", "release": None, "baseline": {}, "taken": None, "newest": False}
    assert baselines.read(store, "run-1") == nothing
    first = baselines.keep(store, "run-1", {"L-1": {"p95": 0.4}})
    assert (first["changed"], first["taken"]) == (True, "2025-11-21T03:00:00Z")
    clock.sleep(600)
    again = baselines.keep(store, "run-1", {"L-1": {"p95": 9.9, "latency": 0.1}, "M-1": {"value": 7}})
    of_run = {"run": "run-1", "release": None, "baseline": BEFORE, "taken": "2025-11-21T03:00:00Z", "newest": True}
    assert again == {"changed": True, **of_run}
    assert not baselines.keep(store, "run-1", {"L-1": {"p95": 9.9}})["changed"]
    assert baselines.read(store, "run-1")["baseline"] == BEFORE
    assert baselines.read(store, "run-2")["baseline"] == {}


def test_a_prediction_writes_nothing(store: Store) -> None:
    assert baselines.keep(store, "run-1", BEFORE, dry=True)["changed"]
    assert baselines.read(store, "run-1")["baseline"] == {}


def test_the_newest_runs_are_kept(store: Store) -> None:
    for number in range(baselines.MOST + 5):
        baselines.keep(store, f"run-{number}", BEFORE)
    assert baselines.read(store, "run-4")["baseline"] == {}
    assert baselines.read(store, "run-5")["baseline"] == BEFORE
    baselines.keep(store, "run-5", {"new": {"a": 1.0}})
    baselines.keep(store, "another", BEFORE)
    assert baselines.read(store, "run-5")["baseline"] == {**BEFORE, "new": {"a": 1.0}}
    assert baselines.read(store, "run-6")["baseline"] == {}


def test_whoever_goes_to_a_release_again_finds_what_was_measured_before(store: Store, clock: Any) -> None:
    """Of the newest run to it that has kept something; also when that was nothing."""
    baselines.keep(store, "run-1", BEFORE, release="1.1.0")
    clock.sleep(60)
    assert (baselines.read(store, release="1.1.0")["run"], baselines.read(store, release="1.1.0")["newest"]) == ("run-1", True)
    baselines.keep(store, "run-2", {}, release="1.2.0")
    assert baselines.read(store, release="1.2.0") == {
        **{"run": "run-2", "release": "1.2.0", "baseline": {}, "taken": "2025-11-21T03:01:00Z", "newest": True}
    }
    assert (baselines.read(store, release="1.1.0")["baseline"], baselines.read(store, release="1.1.0")["newest"]) == (BEFORE, False)
    assert baselines.read(store, release="1.3.0")["taken"] is None


def test_the_release_that_runs_is_meant_where_none_is_named(store: Store) -> None:
    assert baselines.read(store)["taken"] is None
    baselines.keep(store, "run-1", {"without": {"release": 1.0}})
    assert baselines.read(store)["taken"] is None
    baselines.keep(store, "run-2", BEFORE, release="1.1.0")
    releases.stage(store, "1.1.0", "run-2", {})
    assert baselines.read(store)["taken"] is None
    releases.deployed(store, "1.1.0", "run-2", {})
    assert (baselines.read(store)["run"], baselines.read(store)["baseline"]) == ("run-2", BEFORE)


def test_hosts_that_share_a_store_have_baselines_of_their_own(store: Store) -> None:
    baselines.keep(store, "run-1", BEFORE, release="1.1.0", host="web1")
    baselines.keep(store, "run-1", {"M-1": {"value": 8.0}}, release="1.1.0", host="web2")
    for number in range(baselines.MOST):
        baselines.keep(store, f"later-{number}", BEFORE, release="1.2.0", host="web2")
    first = baselines.read(store, release="1.1.0", host="web1")
    assert (first["baseline"], first["newest"]) == (BEFORE, True)
    assert baselines.read(store, "run-1", host="web2")["taken"] is None
    assert baselines.read(store, release="1.1.0")["taken"] is None


def test_samples_are_kept_like_numbers(store: Store) -> None:
    first: dict[str, dict[str, Any]] = {"L-1": {"latencies": [0.1, 0.2], "p95": 0.2}}
    assert baselines.keep(store, "run-1", first)["baseline"] == first
    again = baselines.keep(store, "run-1", {"L-1": {"latencies": [0.9], "max": 0.2}})
    assert again["baseline"] == {"L-1": {"latencies": [0.1, 0.2], "p95": 0.2, "max": 0.2}}
    assert baselines.read(store, "run-1")["baseline"] == again["baseline"]


def test_a_run_has_a_name(store: Store) -> None:
    with pytest.raises(InputError, match="is not a name"):
        baselines.keep(store, "run 1", BEFORE)
    with pytest.raises(InputError, match="release"):
        baselines.keep(store, "run-1", BEFORE, release="1 0")


def test_the_module(place: Any, run_module: Callable[..., Any]) -> None:
    common = {"store": place.address, "environment": place.environment, "run": "run-1"}
    assert run_module("baseline", {**common, "state": "kept", "measures": BEFORE}, check=True)["changed"]
    assert run_module("baseline", common)["baseline"] == {}
    kept = run_module("baseline", {**common, "state": "kept", "measures": BEFORE})
    assert kept["changed"] and kept["baseline"] == BEFORE
    assert not run_module("baseline", {**common, "state": "kept", "measures": {"L-1": {"p95": 1.0}}})["changed"]
    read = run_module("baseline", common)
    assert (read["changed"], read["baseline"]) == (False, BEFORE)
    wrong = run_module("baseline", {**common, "state": "kept", "measures": {"L-1": {"p95": "fast"}, "M-1": 3}})
    assert wrong["failed"] and "measures.L-1.p95" in wrong["msg"] and "measures.M-1" in wrong["msg"]
    assert run_module("baseline", {**common, "measures": BEFORE})["failed"]
    anonymous = {key: value for key, value in common.items() if key != "run"}
    assert run_module("baseline", {**anonymous, "state": "kept", "measures": BEFORE})["failed"]
    later = run_module("baseline", {**common, "run": "run-2", "release": "1.1.0", "host": "web1", "state": "kept", "measures": {}})
    assert (later["changed"], later["release"], later["taken"] is not None) == (True, "1.1.0", True)
    assert run_module("baseline", {**anonymous, "release": "1.1.0", "host": "web1"})["run"] == "run-2"


PACED = """
limit_req_zone $server_addr zone=pace:1m rate=@RATE@r/s;
server {
  listen 127.0.0.1:@PORT@;
  location = /at-once { return 200 "hello"; }
  location / { limit_req zone=pace burst=1000; add_header X-Rate @RATE@; proxy_pass http://127.0.0.1:@PORT@/at-once; }
}
"""


def test_a_server_that_was_slowed_is_found_by_its_latencies(
    nginx: Callable[..., Nginx], tmp_path: Path, run_module: Callable[..., Any]
) -> None:
    """From look to look by the modules: before the change, kept, and after it, with a server as quick as before and a slow one."""
    server = nginx(PACED.replace("@RATE@", "100"))
    common = {"store": f"sqlite://{tmp_path}/golive.db", "environment": "spark", "release": "1.1.0"}
    load = {"url": f"{server.url}/", "concurrency": 1}
    checks: list[dict[str, Any]] = [
        {"id": "LOAD", "load": {**load, "requests": 80}, "expect": {"error_ratio": "== 0%", "latencies": "<= +100%"}},
        {"id": "FEW", "load": {**load, "requests": 20}, "expect": {"latencies": "<= +100%"}},
        {"id": "HTTP", "http": {"url": load["url"], "requests": 50}, "warn": {"latencies": "> +100%"}, "confidence": "99.9%"},
    ]
    for one in checks:
        one["lane"] = "one after the other"

    def judged(measures: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in run_module("check", {"checks": checks, "baseline": measures})["verdicts"]}

    before = run_module("check", {"checks": checks, "before": True})
    assert before["without_baseline"] == {}
    assert {name: len(one["latencies"]) for name, one in before["baseline"].items()} == {"LOAD": 80, "FEW": 20, "HTTP": 50}
    assert run_module("baseline", {**common, "state": "kept", "run": "run-1", "measures": before["baseline"]})["changed"]
    kept = run_module("baseline", common)["baseline"]
    assert kept == before["baseline"]

    equal = judged(kept)
    assert (equal["LOAD"]["status"], equal["HTTP"]["status"]) == ("pass", "pass"), equal
    assert equal["FEW"]["status"] == "inconclusive"
    assert "20 samples are too few to say: a comparison needs 50" in equal["FEW"]["reason"]

    server.config.write_text(server.config.read_text().replace("rate=100r/s", "rate=25r/s").replace("X-Rate 100", "X-Rate 25"))
    server.reload()
    wait_until(lambda: requests.get(server.url, timeout=5).headers["X-Rate"] == "25", 30, "the slow configuration")
    slow = judged(kept)
    assert (slow["LOAD"]["status"], slow["HTTP"]["status"]) == ("fail", "warn"), [one["reason"] for one in slow.values()]
    assert "latencies are" in slow["LOAD"]["reason"] and "higher than before (98 %: " in slow["LOAD"]["reason"]
    assert "higher than before (99.9 %: " in slow["HTTP"]["reason"]
    found = slow["LOAD"]["proof"]["comparison"]["latencies"]
    assert (found["kind"], found["samples"], found["before"]) == ("high", 80, 80)
    # A request each 10 ms before and each 40 ms now, one after the other.
    assert found["median_before"] < 0.02 < found["low"] <= found["shift"] <= found["high"]

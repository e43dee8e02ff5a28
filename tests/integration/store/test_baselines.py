# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Baselines of runs in each store, and the module on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import baselines, releases
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

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

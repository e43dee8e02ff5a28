# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Baselines of runs in each store, and the module on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import baselines
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store

BEFORE = {"L-1": {"p95": 0.4, "latency": 0.1}, "M-1": {"value": 7.0}}


def test_a_run_keeps_what_it_measured_first(store: Store, clock: Any) -> None:
    assert baselines.read(store, "run-1") == {"run": "run-1", "baseline": {}, "taken": None}
    first = baselines.keep(store, "run-1", {"L-1": {"p95": 0.4}})
    assert (first["changed"], first["taken"]) == (True, "2025-11-21T03:00:00Z")
    clock.sleep(600)
    again = baselines.keep(store, "run-1", {"L-1": {"p95": 9.9, "latency": 0.1}, "M-1": {"value": 7}})
    assert again == {"changed": True, "run": "run-1", "baseline": BEFORE, "taken": "2025-11-21T03:00:00Z"}
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


def test_a_run_has_a_name(store: Store) -> None:
    with pytest.raises(InputError, match="is not a name"):
        baselines.keep(store, "run 1", BEFORE)


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

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every filter is described, with the arguments that it has, and its examples hold."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PLACE = Path(__file__).resolve().parents[3] / "plugins/filter"


def _filters() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for path in PLACE.glob("*.py"):
        found.update(importlib.import_module(f"ansible_collections.golive.cutover.plugins.filter.{path.stem}").FilterModule().filters())
    return found


def _described(name: str) -> dict[str, Any]:
    beside = PLACE / f"{name}.yml"
    if beside.exists():
        read: dict[str, Any] = yaml.safe_load(beside.read_text(encoding="utf-8"))
        return {**read, "EXAMPLES": yaml.safe_load(read["EXAMPLES"])}
    module = importlib.import_module(f"ansible_collections.golive.cutover.plugins.filter.{name}")
    return {key: yaml.safe_load(getattr(module, key)) for key in ("DOCUMENTATION", "EXAMPLES", "RETURN")}


FILTERS = _filters()


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_a_filter_is_described_as_it_is(name: str) -> None:
    described = _described(name)["DOCUMENTATION"]
    assert described["name"] == name
    first, *others = inspect.signature(FILTERS[name]).parameters.values()
    options = described["options"]
    assert list(options) == ["_input", *(one.name for one in others)], first.name
    for one in others:
        assert options[one.name].get("required", False) is (one.default is inspect.Parameter.empty), one.name


def test_nothing_is_described_that_is_not_there() -> None:
    assert {path.stem for path in PLACE.glob("*.yml")} <= set(FILTERS)


def test_the_examples_hold(ansible_playbook: Callable[..., Any]) -> None:
    tasks = [task for name in sorted(FILTERS) for task in _described(name)["EXAMPLES"]]
    assert len(tasks) >= len(FILTERS)
    done = ansible_playbook([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    assert done.rc == 0, done.why

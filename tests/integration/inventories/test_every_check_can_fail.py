# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A check that was never seen failing may be one that cannot: each check of an inventory is made to fail by a test.

Tests say so by ``MADE_TO_FAIL``, inventory to ids, which they make of the very tables that they are run from.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

INVENTORIES = ("spark_ta", "websocket_migration")


def checks(value: Any) -> Iterator[str]:
    """The ids of all checks, wherever in the variables of an inventory they stand."""
    if isinstance(value, dict):
        if {"id", "title"} <= value.keys():
            yield value["id"]
        for one in value.values():
            yield from checks(one)
    elif isinstance(value, list):
        for one in value:
            yield from checks(one)


def asked(inventory: str) -> set[str]:
    files = (ROOT / "inventories" / inventory / "group_vars/all").glob("*.yml")
    return {id for file in files for id in checks(yaml.safe_load(file.read_text(encoding="utf-8")))}


@pytest.fixture(scope="module")
def made_to_fail() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        if "\nMADE_TO_FAIL" in file.read_text(encoding="utf-8"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            for inventory, ids in importlib.import_module(name).MADE_TO_FAIL.items():
                found.setdefault(inventory, set()).update(ids)
    return found


def test_these_are_the_inventories_with_checks_of_their_own() -> None:
    """The inventory of the demo asks those of spark_ta: its files are links to them."""
    assert {file.parent.name for file in (ROOT / "inventories").glob("*/hosts.yml") if asked(file.parent.name)} == {
        *INVENTORIES,
        "demo",
    }
    assert asked("demo") <= asked("spark_ta")


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_every_check_was_made_to_fail(inventory: str, made_to_fail: dict[str, set[str]]) -> None:
    assert len(asked(inventory)) > 40
    assert asked(inventory) - made_to_fail[inventory] == set(), "no test makes these fail: can they?"
    assert made_to_fail[inventory] - asked(inventory) == set(), "these are no checks of the inventory"

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that lead from a runbook to the checks of an inventory are true: they name checks that exist, and all of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

INVENTORIES = Path(__file__).resolve().parents[3] / "inventories"
NAMES = sorted(one.parent.name for one in INVENTORIES.glob("*/README.md") if (one.parent / "group_vars/all").is_dir())

#: An id in a table: capitals, figures and hyphens, between backticks.
ID = r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)+"
#: Verdicts of the watch itself, which are no checks of an inventory.
OF_THE_WATCH = {"HYPERCARE-LOOKS", "HYPERCARE-TIME", "HYPERCARE-CHECKPOINTS", "HYPERCARE-INCIDENTS"}


def checks(inventory: Path) -> list[str]:
    """The ids of all lists of checks in the variables of an inventory, at any depth."""
    found: list[str] = []
    for file in sorted((inventory / "group_vars/all").glob("*.yml")):
        found += _within(yaml.safe_load(file.read_text(encoding="utf-8")))
    return found


def _within(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [id for one in value.values() for id in _within(one)]
    if not isinstance(value, list):
        return []
    known = [one for one in value if isinstance(one, dict) and "id" in one and PROBES.keys() & one.keys()]
    return [str(one["id"]) for one in known] + [id for one in value if one not in known for id in _within(one)]


def named(page: str) -> set[str]:
    """The ids that stand in the tables of a page; ``A-1`` to ``A-3`` is three of them."""
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    found = set(re.findall(f"`({ID})`", table))
    for first, last in re.findall(f"`({ID})` to `({ID})`", table):
        (start, begin), (other, end) = (one.rsplit("-", 1) for one in (first, last))
        assert start == other, f"{first} to {last}"
        found |= {f"{start}-{number:0{len(begin)}}" for number in range(int(begin), int(end) + 1)}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_name_all_checks_and_no_others(name: str) -> None:
    inventory = INVENTORIES / name
    ids = checks(inventory)
    assert ids
    assert len(ids) == len(set(ids)), "an id stands twice"
    said = named((inventory / "README.md").read_text(encoding="utf-8")) - OF_THE_WATCH
    assert (sorted(said - set(ids)), sorted(set(ids) - said)) == ([], []), "named and not there, there and not named"


def test_a_range_names_what_lies_between() -> None:
    assert named("| x | `C-001` to `C-003`, and `HC-09` to `HC-11` |\n`X-1` in the text") == {
        *("C-001", "C-002", "C-003"),
        *("HC-09", "HC-10", "HC-11"),
    }

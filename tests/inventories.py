# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of an inventory as a task sees them, templated in this process: a playbook takes seconds to say the same."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: What a run, or the machine of the demo, says of itself.
GIVEN = {
    "cutover_store": "sqlite:///@STORE@",
    "cutover_expected_release": "",
    "cutover_release": "1.0.0",
    "cutover_home": "/srv/golive",
    "ansible_playbook_python": "/usr/bin/python3",
    "demo_ports": {"front": 8080, "redis": 6379, "executor": 4001, "web": 3000},
}

#: Defaults of the roles that the lists of an inventory go to.
DEFAULTS: dict[str, Any] = {"hypercare_watch_checks": []}


@functools.cache
def _variables(inventory: str) -> tuple[Any, dict[str, Any]]:
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    hosts = InventoryManager(loader=loader, sources=[str(ROOT / "inventories" / inventory)])
    return loader, VariableManager(loader=loader, inventory=hosts).get_vars(host=hosts.get_hosts()[0])


@functools.cache
def _rendered(inventory: str, names: tuple[str, ...], given: str) -> str:
    from ansible.template import Templar, trust_as_template

    loader, variables = _variables(inventory)
    extra = _trusted(json.loads(given), trust_as_template)
    wanted = ", ".join(f"'{name}': {name}" for name in names)
    templar = Templar(loader=loader, variables={**DEFAULTS, **variables, **extra})
    return str(templar.template(trust_as_template(f"{{{{ {{{wanted}}} | to_json }}}}")))


def _trusted(value: Any, trust: Any) -> Any:
    """Extra variables may be templates, as on the command line."""
    if isinstance(value, dict):
        return {name: _trusted(one, trust) for name, one in value.items()}
    if isinstance(value, list):
        return [_trusted(one, trust) for one in value]
    return trust(value) if isinstance(value, str) else value


def rendered(inventory: str, *names: str, **given: Any) -> dict[str, Any]:
    """These variables of the first host of ``inventories/<inventory>``; ``given`` as with ``-e``."""
    found: dict[str, Any] = json.loads(_rendered(inventory, names, json.dumps({**GIVEN, **given})))
    return found


def by_id(*lists: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Checks by their ids."""
    return {one["id"]: one for checks in lists for one in checks}

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of the modules on the store says what their argument specs say."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.doc_fragments import fenced, store

FRAGMENTS = {"store": store, "fenced": fenced}


@pytest.mark.parametrize("name", ["lock", "ledger", "release"])
def test_documentation_mirrors_the_argument_spec(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"ansible_collections.golive.cutover.plugins.modules.{name}")
    spec: dict[str, Any] = {}
    monkeypatch.setattr(module, "run_module", lambda given, *_rest, **_options: spec.update(given))
    module.main()
    described = yaml.safe_load(module.DOCUMENTATION)
    documented: dict[str, Any] = {}
    for fragment in described["extends_documentation_fragment"]:
        text = FRAGMENTS[fragment.rpartition(".")[2]].ModuleDocFragment.DOCUMENTATION
        documented.update(yaml.safe_load(text)["options"])
    documented.update(described["options"])
    keys = ("type", "required", "default", "choices", "elements")
    assert {option: {key: value[key] for key in keys if key in value} for option, value in documented.items()} == {
        option: {key: value[key] for key in keys if key in value} for option, value in spec.items()
    }

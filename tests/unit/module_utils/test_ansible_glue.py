# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says of its parameters: in its result, and in the log of the host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.golive.cutover.plugins.module_utils.ansible_glue import run_module


def test_what_is_not_shown_is_in_neither(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], canary: str) -> None:
    logged: list[tuple[Any, ...]] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, *arguments, **more: logged.append((arguments, more)))
    spec = {"content": {"type": "str"}, "path": {"type": "str"}}
    with patch_module_args({"content": f"password: {canary}", "path": "/etc/x"}), pytest.raises(SystemExit):
        run_module(spec, lambda module: {"changed": False, "size": len(module.params["content"])}, unshown=("content",))
    result = json.loads(capsys.readouterr().out)
    assert result["size"] == len(f"password: {canary}")
    assert "password" not in str(result)
    assert canary not in str(logged)


def test_other_modules_say_in_the_log_what_they_were_called_with(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[Any, ...]] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, *arguments, **more: logged.append((arguments, more)))
    with patch_module_args({"path": "/etc/x"}), pytest.raises(SystemExit):
        run_module({"path": {"type": "str"}}, lambda _module: {"changed": False})
    assert "/etc/x" in str(logged)

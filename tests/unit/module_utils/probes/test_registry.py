# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The registry: every probe under its own name, every file of a probe in it, and none imported before it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

ROOT = Path(__file__).resolve().parents[4]
PLACE = ROOT / "plugins" / "module_utils" / "probes"


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_is_registered_under_its_own_name(name: str) -> None:
    assert PROBES[name].name == name
    assert PROBES[name] is PROBES[name]


def test_every_file_of_a_probe_is_in_the_registry() -> None:
    files = {file.stem for file in PLACE.glob("*.py") if not file.stem.startswith("_")}
    assert {type(PROBES[name]).__module__.rpartition(".")[2] for name in PROBES} == files - {"base", "registry"}
    assert len(PROBES) == len(set(PROBES))


def test_an_unknown_name_is_not_there() -> None:
    assert "nothing" not in PROBES
    with pytest.raises(KeyError):
        PROBES["nothing"]


def test_only_the_probe_that_is_asked_for_is_imported() -> None:
    script = (
        "import sys\n"
        f"from {PROBES.__module__} import PROBES\n"
        "assert 'tcp' in PROBES and len(PROBES) > 5\n"
        "PROBES['tcp']\n"
        "print(*sorted(name.rpartition('.')[2] for name in sys.modules if '.probes.' in name))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".cache" / "collections")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["_net", "base", "registry", "tcp"]

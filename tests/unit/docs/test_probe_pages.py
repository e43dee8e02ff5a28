# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Every probe has a page, and the page is true: its examples are accepted, and all options and measures stand on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

PAGES = Path(__file__).resolve().parents[3] / "docs" / "probes"


class AnySecret(dict[str, str]):
    """Knows a secret by any name, as the pages do."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return "CANARY-page"


@pytest.mark.parametrize("name", sorted(PROBES))
def test_the_examples_are_accepted(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert examples
    probes = set()
    for example in examples:
        text = example.replace("{{ cutover_base_url }}", "http://127.0.0.1:8080")
        probes |= {check.probe for check in read_checks(yaml.safe_load(text), PROBES, AnySecret(any="CANARY-page"))}
    assert probes == {name}


@pytest.mark.parametrize("name", sorted(PROBES))
def test_options_and_measures_stand_on_the_page(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    probe = PROBES[name]
    named = set(re.findall(r"`([a-z0-9_.]+?)(?:\.?[A-Z*]+)?`", page))
    wanted = set(probe.options) | {measure.replace(".*", "") for measure in probe.measures}
    assert not wanted - named

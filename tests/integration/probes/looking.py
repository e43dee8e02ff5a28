# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How the tests of probes look: read the options as a check does, look with a real clock, and hold the time limit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import read_options
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import (
    Context,
    Observation,
    Probe,
    kind_of_measure,
)

GRACE = 0.5
"""Seconds that a look may take beyond its timeout."""


def read(probe: Probe, raw: dict[str, Any]) -> dict[str, Any]:
    """The clean options; fails on the first mistake."""
    found: list[Problem] = []
    options = read_options(raw, probe.options, probe.name, found)
    found += probe.problems(options) if not found else []
    assert not found, [str(one) for one in found]
    return options


def mistakes(probe: Probe, raw: dict[str, Any]) -> list[str]:
    """What is wrong with these options, a line each."""
    found: list[Problem] = []
    options = read_options(raw, probe.options, probe.name, found)
    return [str(one) for one in (found or probe.problems(options))]


def look(probe: Probe, timeout: float = 5.0, **raw: Any) -> Observation:
    """Look once. Whatever is seen: it is known to the probe, it has proof, and it came in time."""
    options = read(probe, raw)
    begun = time.monotonic()
    try:
        seen = probe.look(options, Context(deadline=begun + timeout))
    finally:
        taken = time.monotonic() - begun
        assert taken <= timeout + GRACE, f"took {taken:.2f} s, was given {timeout} s"
    assert seen.proof, "an observation without proof"
    declared = probe.measures_for(options)
    for name in [*seen.measures, *seen.missing, *seen.samples]:
        assert kind_of_measure(name, declared) is not None, f"{name} is not declared"
    assert not {*seen.measures, *seen.samples} & set(seen.missing)
    return seen


def refused(probe: Probe, timeout: float = 5.0, **raw: Any) -> str:
    """Look where nothing can be measured; the reason."""
    with pytest.raises(ProbeError) as caught:
        look(probe, timeout, **raw)
    return str(caught.value)

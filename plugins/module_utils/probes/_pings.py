# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What the times of a number of short questions say, asked one after the other over one connection."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ansible_collections.golive.cutover.plugins.module_utils.core import percentiles
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation

MEASURES: Mapping[str, str] = {"latency": "time", "p95": "time", "latencies": "samples"}


def observe(seen: Observation, times: Sequence[float]) -> None:
    """Their median, their 95th percentile, and all of them; at least one, all answered."""
    seen.measures["latency"] = statistics.median(times)
    seen.sampled("latencies", times)
    known, unknown = percentiles.percentiles(times, (95,), "")
    seen.measures.update(known)
    seen.missing.update(unknown)

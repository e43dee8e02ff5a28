# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand event streams held through nginx by one check, as a measurement of the benchmark."""

from __future__ import annotations

import subprocess

from tests.bench import sse_streams
from tests.bench.figures import Figure, Measured, NotMeasured, WrongValues, single

TITLE = "1,000 event streams held through nginx for 10 s by one check"
STREAMS = 1000
HOLD = 10.0


def measure(rounds: int = 3) -> Measured:
    """Hold them, several times. A stream that did not open or ended early makes the memory meaningless."""
    seen = []
    for _number in range(rounds):
        try:
            one = sse_streams.measure(STREAMS, HOLD)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise NotMeasured(str(error)) from error
        if one["opened"] != STREAMS or one["failed"] or one["ended_early"]:
            raise WrongValues(f"{one['opened']} of {STREAMS} streams were opened, {one['ended_early']} ended early")
        if one["missed"] is None:
            raise WrongValues(f"missed events were not counted: {one['missing']}")
        seen.append(one)

    def figure(name: str, key: str, unit: str) -> Figure:
        return Figure(name, unit, tuple(float(one[key]) for one in seen))

    missed = figure("missed events", "missed", "events")
    duplicated = figure("events received twice", "duplicated", "events")
    memory = figure("memory of the prober at its peak", "rss_peak_bytes", "B")
    growth = figure("memory that the streams added", "rss_growth_bytes", "B")
    cpu = figure("processor time of the prober", "cpu_seconds", "s")
    events = figure("events received", "events_total", "events")
    slowest = figure("first event on the slowest stream", "first_event", "s")
    results = [single(missed, at_most=0, worst=True), single(memory), single(growth), single(cpu), single(events)]
    return Measured([missed, duplicated, memory, growth, cpu, events, slowest], results, {"streams": STREAMS, "hold_seconds": HOLD})

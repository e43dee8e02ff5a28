# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe `load` beside `ab` and `wrk`, on the same nginx: throughput on a page that costs nothing, and percentiles of a service
that takes its time.

Where the service costs nothing every generator measures itself, so the percentiles are compared where a tenth of the answers takes
100 ms.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import load_sides
from tests.bench.figures import Figure, Measured, NotMeasured, Result, WrongValues, alternate, ratio, single
from tests.bench.load_sides import Outcome

ROOT = Path(__file__).resolve().parents[2]
TITLE = "load from 10 connections: the probe, ab and wrk on the same nginx"
CONCURRENCY = 10
QUICK = 10_000
"""Requests of a round on the page that costs nothing."""
SLOW = 1000
"""Requests of a round on the service that takes its time."""
SECONDS = 3
"""Seconds of a round of wrk, which knows no number of requests."""

CONFIGURATION = """
map $connection $drop {{ ~00$ 1; default 0; }}
server {{
  listen 127.0.0.1:{port};
  keepalive_requests 1000000;
  location / {{ return 200 'hello world\\n'; }}
  location = /slow {{ proxy_pass http://127.0.0.1:{upstream}; }}
  location = /drop {{ if ($drop) {{ return 444; }} return 200 'hello world\\n'; }}
}}
"""


def probe(url: str, requests: int, keep_alive: bool = False) -> tuple[Outcome, dict[str, Any]]:
    """One look of the probe, in this process, and its proof."""
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
    from ansible_collections.golive.cutover.plugins.module_utils.core.options import read_options
    from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context
    from ansible_collections.golive.cutover.plugins.module_utils.probes.load import LoadProbe

    load = LoadProbe()
    raw = {"url": url, "requests": requests, "concurrency": CONCURRENCY, "keep_alive": keep_alive}
    try:
        seen = load.look(read_options(raw, load.options, load.name, []), Context(time.monotonic() + 120))
    except CutoverError as error:
        raise NotMeasured(str(error)) from error
    if "p95" not in seen.measures:
        raise WrongValues(f"the probe has no p95: {seen.missing['p95']}")
    completed, failed, throughput, p50, p95 = (
        float(seen.measures[name]) for name in ("completed", "errors", "throughput", "p50", "p95")
    )
    return Outcome(int(completed), int(failed), throughput, p50, p95), seen.proof


def measure(rounds: int = 5) -> Measured:
    """All sides in turn, several rounds."""
    tools = {name: str(ROOT / ".cache" / "bin" / name) for name in ("nginx", "ab", "wrk")}
    outcomes: dict[str, list[Outcome]] = {}
    proofs: dict[str, list[dict[str, Any]]] = {}

    def side(name: str, once: Callable[[], Outcome], errors: int = 0) -> Callable[[], float]:
        def action() -> float:
            seen = once()
            if seen.failed != errors:
                raise WrongValues(f"{name}: {seen.failed} errors, {errors} were made")
            outcomes.setdefault(name, []).append(seen)
            return seen.throughput

        return action

    def ours(name: str, url: str, requests: int, keep_alive: bool = False) -> Callable[[], Outcome]:
        def once() -> Outcome:
            seen, proof = probe(url, requests, keep_alive)
            proofs.setdefault(name, []).append(proof)
            return seen

        return once

    with tempfile.TemporaryDirectory(prefix="golive-bench-") as directory, load_sides.slow_tenth() as upstream:
        home = Path(directory)
        with load_sides.nginx(tools["nginx"], home, CONFIGURATION, upstream=upstream) as url:

            def ab(path: str, requests: int, keep_alive: bool = False) -> Callable[[], Outcome]:
                return lambda: load_sides.ab(tools["ab"], url + path, requests, CONCURRENCY, home, keep_alive)

            def wrk(path: str) -> Callable[[], Outcome]:
                return lambda: load_sides.wrk(tools["wrk"], url + path, SECONDS, CONCURRENCY, home)

            sides = {
                "ab, quick": ab("/", QUICK),
                "probe, quick": ours("probe, quick", f"{url}/", QUICK),
                "ab, quick, kept": ab("/", QUICK, True),
                "probe, quick, kept": ours("probe, quick, kept", f"{url}/", QUICK, True),
                "ab, slow": ab("/slow", SLOW),
                "probe, slow": ours("probe, slow", f"{url}/slow", SLOW),
                "wrk, slow": wrk("/slow"),
            }
            actions = {name: side(name, once) for name, once in sides.items()}
            actions["probe, drop"] = side("probe, drop", ours("probe, drop", f"{url}/drop", SLOW), SLOW // 100)
            alternate(rounds, actions)

    def figure(name: str, field: str, unit: str) -> Figure:
        return Figure(f"{field} of {name}", unit, tuple(float(getattr(one, field)) for one in outcomes[name]))

    rates = {name: figure(name, "throughput", "/s") for name in sides}
    p95 = {name: figure(name, "p95", "s") for name in sides}
    dropped = Figure(
        f"errors found in {SLOW} requests of which nginx drops every hundredth",
        "errors",
        tuple(float(one.failed) for one in outcomes["probe, drop"]),
    )
    results = [
        ratio("throughput: probe / ab, a connection for each request", rates["probe, quick"], rates["ab, quick"], at_least=0.5),
        ratio("throughput: probe / ab, connections kept", rates["probe, quick, kept"], rates["ab, quick, kept"], at_least=0.5),
        difference("p95: probe and ab differ by", p95["probe, slow"], p95["ab, slow"]),
        difference("p95: probe and wrk differ by", p95["probe, slow"], p95["wrk, slow"]),
        single(dropped),
        single(rates["probe, quick"]),
        single(rates["ab, quick"]),
        single(p95["probe, slow"]),
        single(p95["ab, slow"]),
        single(p95["wrk, slow"]),
    ]
    busy = {name: max(float(proof["busy"]) for proof in seen) for name, seen in proofs.items()}
    return Measured([*rates.values(), *p95.values(), dropped], results, {"concurrency": CONCURRENCY, "busy": busy})


def difference(name: str, one: Figure, other: Figure, at_most: float = 10.0) -> Result:
    """By how many per cent the medians differ, with the extremes over the rounds."""
    if min(*other.rounds, other.median) <= 0:
        raise NotMeasured(f"{other.name} is nothing")
    rounds = [100 * abs(a / b - 1) for a, b in zip(one.rounds, other.rounds)]
    return Result(name, 100 * abs(one.median / other.median - 1), "%", min(rounds), max(rounds), at_most=at_most)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten names out of a metrics page of 200,000 samples: our reader against a full parse by ``prometheus_client``.

Twice: on a page that is in memory, and as the probe ``metrics`` does it over HTTP. The values of both sides are compared.
"""

from __future__ import annotations

import http.server
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.bench.figures import Figure, Measured, WrongValues, alternate, ratio

TITLE = "10 names out of a metrics page of 200,000 samples"
SAMPLES = 200_000
TARGET = 20.0

#: The selected names, with how many series each has on the page.
NAMES: Mapping[str, int] = {
    "alerts_active": 1,
    "alerts_triggered_total": 8,
    "alerts_suppressed_total": 24,
    "alerts_errors_total": 1,
    "leader_elected_total": 2,
    "notifications_sent_total": 6,
    "notifications_failed_total": 6,
    "streams_connected": 4,
    "streams_errors_total": 4,
    "http_requests_total": 144,
}
_OTHERS = 250
"""Series in each of the families that nobody asked for."""

Values = dict[str, dict[tuple[tuple[str, str], ...], float]]
"""Name of a sample to its series, by their sorted labels, to the value."""


def make_page(samples: int = SAMPLES, seed: int = 2) -> bytes:
    """A page with this many samples, always the same for the same seed; the selected families are spread over it."""
    chance = random.Random(seed)
    selected = [(name, count) for name, count in NAMES.items()]
    families = [*selected]
    left = samples - sum(count for _name, count in selected)
    number = 0
    while left > 0:
        count = min(_OTHERS, left)
        # Some start like a selected name, as families on real pages do.
        start = chance.choice(["platform_work", "http_requests", "alerts", "streams_window"])
        families.append((f"{start}_part{number:04}_total", count))
        left -= count
        number += 1
    chance.shuffle(families)
    lines = []
    for name, count in families:
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} What {name.replace('_', ' ')} counts.", f"# TYPE {name} {kind}"]
        for series in range(count):
            labels = f'{{handler="/api/part/{series // 12}",instance="10.0.{series % 12}.7:4001",code="{200 + series % 3}"}}'
            value = round(chance.uniform(0, 1e6), 3) if series % 2 else chance.randrange(10**9)
            lines.append(f"{name}{labels if count > 1 else ''} {value}")
    return ("\n".join(lines) + "\n").encode()


def ours(page: bytes) -> Values:
    """The selected samples, by our reader."""
    from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector, read_page

    found = read_page(page, [Selector(name) for name in NAMES], openmetrics=False)
    return {name: {one.key[1]: one.value for one in samples} for name, samples in zip(NAMES, found.samples)}


def theirs(page: bytes) -> Values:
    """The selected samples, by a full parse."""
    from prometheus_client.parser import text_string_to_metric_families

    found: Values = {name: {} for name in NAMES}
    for family in text_string_to_metric_families(page.decode()):
        for one in family.samples:
            if one.name in found:
                found[one.name][tuple(sorted(one.labels.items()))] = one.value
    return found


def sums(values: Values) -> dict[str, float]:
    """One value for each name, as a check that says ``reduce: sum`` gets it."""
    return {name: math.fsum(series.values()) for name, series in values.items()}


def by_probe(url: str) -> dict[str, float]:
    """The sums, by the probe."""
    from ansible_collections.golive.cutover.plugins.module_utils.core.options import read_options
    from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context
    from ansible_collections.golive.cutover.plugins.module_utils.probes.metrics import MetricsProbe

    probe = MetricsProbe()
    raw = {"url": url, "select": {name: {"name": name, "reduce": "sum"} for name in NAMES}}
    problems: list[Any] = []
    options = read_options(raw, probe.options, probe.name, problems)
    if problems:
        raise WrongValues(f"the probe refuses its options: {problems}")
    seen = probe.look(options, Context(time.monotonic() + 60))
    if seen.missing:
        raise WrongValues(f"the probe did not find everything: {seen.missing}")
    return {name: float(seen.measures[name]) for name in NAMES}


def by_full_parse(url: str) -> dict[str, float]:
    """The sums, by getting the page and parsing all of it."""
    import requests

    with requests.Session() as session:
        session.trust_env = False
        return sums(theirs(session.get(url, timeout=60).content))


def _serve(page: bytes) -> http.server.ThreadingHTTPServer:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)


def _timed(found: list[Any], action: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        begun = time.perf_counter()
        value = action()
        seconds = time.perf_counter() - begun
        found.append(value)
        return seconds

    return once


def measure(rounds: int = 5) -> Measured:
    """Both sides in turn, on bytes and over HTTP, after one round that does not count."""
    page = make_page()
    in_memory: list[Values] = []
    over_http: list[dict[str, float]] = []
    with _serve(page) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        sides = {
            "ours": _timed(in_memory, lambda: ours(page)),
            "theirs": _timed(in_memory, lambda: theirs(page)),
            "probe": _timed(over_http, lambda: by_probe(url)),
            "parse": _timed(over_http, lambda: by_full_parse(url)),
        }
        try:
            alternate(1, sides)
            seen = alternate(rounds, sides)
        finally:
            server.shutdown()
            serving.join()
    if any(one != in_memory[0] for one in in_memory) or any(one != sums(in_memory[0]) for one in over_http):
        raise WrongValues("the values of the two sides differ")
    counted = {name: len(series) for name, series in in_memory[0].items()}
    if counted != dict(NAMES):
        raise WrongValues(f"not every selected series was found: {counted}")
    titles = {
        "ours": "our reader, page in memory",
        "theirs": "full parse, page in memory",
        "probe": "probe metrics, over HTTP",
        "parse": "full parse, over HTTP",
    }
    time_of = {name: Figure(title, "s", tuple(seen[name])) for name, title in titles.items()}
    results = [
        ratio("full parse / our reader, page in memory", time_of["theirs"], time_of["ours"], at_least=TARGET),
        ratio("full parse / probe metrics, over HTTP", time_of["parse"], time_of["probe"], at_least=TARGET),
    ]
    facts = {"samples": SAMPLES, "names": len(NAMES), "series": sum(NAMES.values()), "page_bytes": len(page)}
    return Measured(list(time_of.values()), results, facts)

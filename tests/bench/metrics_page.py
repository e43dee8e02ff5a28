# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten names out of a metrics page of 200,000 samples: our reader against a full parse by prometheus_client, same values.

    python -m tests.bench.metrics_page [--samples 200000] [--per-name 200] [--rounds 3]

Both read the same bytes in the same process, in turns; the fastest round of each counts. Each
sample has three labels. `--per-name` sets how many series a name has, and so how many of the page are selected.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

SELECTED = 10
AT_LEAST = 20.0

Values = dict[Any, float]


def page(samples: int, per_name: int) -> tuple[bytes, list[str]]:
    """A page, and the names that are asked for, spread over it."""
    lines = []
    names = [f"app_family_{number:05d}_requests_total" for number in range(samples // per_name)]
    for name in names:
        lines += [f"# HELP {name} Requests of one family", f"# TYPE {name} counter"]
        lines += [
            f'{name}{{method="GET",path="/api/v1/thing/{number}",instance="10.0.0.{number % 256}:9100"}} {number * 3.5}'
            for number in range(per_name)
        ]
    return ("\n".join(lines) + "\n").encode(), names[:: len(names) // SELECTED][:SELECTED]


def full(raw: bytes, names: list[str]) -> Values:
    from prometheus_client.parser import text_string_to_metric_families

    wanted = set(names)
    return {
        (one.name, tuple(sorted(one.labels.items()))): float(one.value)
        for family in text_string_to_metric_families(raw.decode())
        for one in family.samples
        if one.name in wanted
    }


def ours(raw: bytes, names: list[str]) -> Values:
    from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector, read_page

    return {one.key: one.value for chosen in read_page(raw, [Selector(name) for name in names]).samples for one in chosen}


def measure(samples: int = 200_000, per_name: int = 200, rounds: int = 3) -> dict[str, Any]:
    """Seconds of each, their ratio, and whether both found the same."""
    raw, names = page(samples, per_name)
    taken: dict[str, float] = {}
    found: dict[str, Values] = {}
    for _round in range(rounds):
        for way in (full, ours):
            begun = time.perf_counter()
            found[way.__name__] = way(raw, names)
            seconds = time.perf_counter() - begun
            taken[way.__name__] = min(seconds, taken.get(way.__name__, seconds))
    ratio = taken["full"] / taken["ours"]
    same = found["full"] == found["ours"] and len(found["ours"]) == SELECTED * per_name
    return {
        "samples": samples,
        "bytes": len(raw),
        "selected": len(found["ours"]),
        "full_parse_seconds": round(taken["full"], 4),
        "seconds": round(taken["ours"], 4),
        "ratio": round(ratio, 1),
        "at_least": AT_LEAST,
        "same_values": same,
        "ok": same and ratio >= AT_LEAST,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--per-name", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result = measure(options.samples, options.per_name, options.rounds)
    print(json.dumps(result, indent=2))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".cache" / "collections"))
    sys.exit(main())

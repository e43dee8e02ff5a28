# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks, all in one run; the results are printed and written to ``reports/bench.json``. See docs/benchmarks.md.

The exit code says whether everything could be measured and whether both sides of each comparison found the same. A target that
is missed is said, and does not change it: times depend on the machine.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    # Started as a file: the repository and the collection are not on the path yet, and this directory should not be.
    sys.path[0] = str(ROOT)
    sys.path.insert(1, str(ROOT / ".cache" / "collections"))

from tests.bench import cutover_runs, figures, held_streams, http_checks, load_tools, metrics_page, mixed_checks
from tests.bench.figures import Measured, NotMeasured


@dataclass(frozen=True)
class Measurement:
    """One measurement: its title, how it is made in so many rounds, and how many there are by default."""

    title: str
    measure: Callable[[int], Measured]
    rounds: int


MEASUREMENTS: Mapping[str, Measurement] = {
    "http_checks": Measurement(http_checks.TITLE, http_checks.measure, 5),
    "mixed_checks": Measurement(mixed_checks.TITLE, mixed_checks.measure, 3),
    "metrics_page": Measurement(metrics_page.TITLE, metrics_page.measure, 3),
    "cutover": Measurement(cutover_runs.TITLE, cutover_runs.measure, 3),
    "sse_streams": Measurement(held_streams.TITLE, held_streams.measure, 3),
    "load": Measurement(load_tools.TITLE, load_tools.measure, 5),
}


def machine_facts() -> dict[str, Any]:
    """What the figures depend on, without anything that names the machine."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        **{name.replace("-", "_"): importlib.metadata.version(name) for name in ("ansible-core", "prometheus_client", "requests")},
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def _field(file: Path, name: str) -> str | None:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


def _commit() -> str | None:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


Outcomes = list[tuple[str, "Measured | str"]]


def measure(names: Sequence[str], rounds: int | None, keep: Callable[[Mapping[str, Any]], None]) -> tuple[dict[str, Any], Outcomes]:
    """Make the measurements one after the other; returns the record, and what to show.

    The record so far goes to ``keep`` after each of them, so that an end on the way loses only one.
    """
    before = machine_facts()
    begun = datetime.datetime.now(datetime.timezone.utc)
    record: dict[str, Any] = {
        "begun": begun.isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": before,
        "load_after": None,
        "quiet": figures.is_quiet(before["load"][0], before["cores"]),
        "complete": False,
        "missed": [],
        "measurements": {},
    }
    outcomes: Outcomes = []
    for name in names:
        one = MEASUREMENTS[name]
        print(f"{name}: {one.title} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            outcome: Measured | str = one.measure(rounds or one.rounds)
        except NotMeasured as error:
            outcome = str(error)
        entry: dict[str, Any] = {"title": one.title, "seconds": round(time.monotonic() - started, 1)}
        if isinstance(outcome, Measured):
            entry["figures"] = [figure.as_record() for figure in outcome.figures]
            entry["results"] = [result.as_record() for result in outcome.results]
            entry["facts"] = dict(outcome.facts)
        else:
            entry["error"] = outcome
        record["measurements"][name] = entry
        outcomes.append((one.title, outcome))
        record["load_after"] = [round(load, 2) for load in os.getloadavg()]
        record["missed"] = figures.missed(outcomes)
        record["complete"] = len(outcomes) == len(names) and all(isinstance(made, Measured) for _title, made in outcomes)
        keep(record)
    return record, outcomes


def show(record: Mapping[str, Any], outcomes: Outcomes) -> None:
    """Print the table, and what must not be overlooked."""
    machine = record["machine"]
    print(
        f"\n{machine['processor'] or machine['architecture']}, {machine['cores']} cores, Python {machine['python']}, "
        f"ansible-core {machine['ansible_core']}; medians, and the extremes over all rounds"
    )
    print("\n".join(figures.table(outcomes)))
    print()
    if not record["quiet"]:
        print(
            f"NOISY: the load was {machine['load'][0]} on {machine['cores']} cores before it began; on a quiet machine "
            "times and ratios are others"
        )
    for one in record["missed"]:
        print(f"TARGET MISSED: {one}")
    if not record["missed"] and record["complete"]:
        print("every target is met")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to make: {', '.join(MEASUREMENTS)}; all by default")
    parser.add_argument("--rounds", type=int, help="rounds of each, in place of its own number")
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "bench.json", help="where the record is written")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"no such measurement: {', '.join(unknown)}")
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds must be at least 1")
    given.output.parent.mkdir(parents=True, exist_ok=True)

    def keep(record: Mapping[str, Any]) -> None:
        given.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    record, outcomes = measure(given.names or list(MEASUREMENTS), given.rounds, keep)
    show(record, outcomes)
    shown = given.output.resolve()
    print(f"written to {shown.relative_to(ROOT) if shown.is_relative_to(ROOT) else shown}")
    return 0 if record["complete"] else 1


def _end(number: int, _frame: Any) -> None:
    """Ended from outside: as an exception, so that what was started is stopped and what was made is removed."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The sampler as a program, which needs no Ansible: it looks every so many seconds until it is told to end.

One runs for each file of settings: a second one finds the lock taken and ends well, so that cron may start it every minute.
When its settings or its program change, it begins anew by itself. What it cannot read or write it says once, and again when that
changes.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from ansible_collections.golive.cutover.plugins.module_utils.hypercare.sampler import Asked, Seen

SETTINGS = ("store", "environment", "host", "every", "keep", "pages", "checks", "secrets")


@dataclass
class Settings:
    """What a file of settings says. Times in seconds."""

    store: str
    environment: str
    every: float
    keep: float
    asked: Asked
    host: str = ""
    """Whose samples they are, in a store that hosts share."""


def read_settings(raw: Any) -> Settings:
    """The settings of a sampler, as the mapping of their file. Raises InputError with every mistake."""
    from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem
    from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
    from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler
    from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import whose
    from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
    from ansible_collections.golive.cutover.plugins.module_utils.store import samples
    from ansible_collections.golive.cutover.plugins.module_utils.store.address import parse_address
    from ansible_collections.golive.cutover.plugins.module_utils.store.interface import check_names
    from ansible_collections.golive.cutover.plugins.module_utils.store.registry import STORES

    problems: list[Problem] = []
    schema: Mapping[str, Option] = {
        "store": Option(opt.text, "address of the store", required=True),
        "environment": Option(opt.text, "environment whose samples they are", required=True),
        "host": Option(opt.anything, "whose samples they are, in a store that hosts share", default=""),
        "every": Option(opt.duration, "pause between two looks", default=sampler.EVERY),
        "keep": Option(opt.duration, "how long samples are kept", default=samples.KEEP),
        "pages": Option(opt.anything, "metrics pages", default=[]),
        "checks": Option(opt.anything, "checks whose measures are kept", default=[]),
        "secrets": Option(opt.anything, "secrets of pages and checks", default={}),
    }
    clean = opt.read_options(raw, schema, "sampler", problems)
    if clean["every"] < 1:
        problems.append(Problem("sampler.every", "is less than a second"))
    if not samples.SLOT <= clean["keep"] <= samples.MOST_KEPT:
        problems.append(Problem("sampler.keep", "samples are kept for 15 minutes to 31 days"))
    host = ""
    if clean["store"]:
        try:
            scheme = parse_address(clean["store"]).scheme
            if scheme not in STORES:
                problems.append(Problem("sampler.store", f"{scheme!r} is none of {', '.join(STORES)}"))
            host = whose(clean["store"], str(clean["host"] or ""))
        except CutoverError as error:
            problems.append(Problem("sampler.store", str(error)))
        except ValueError as error:
            problems.append(Problem("sampler.host", str(error)))
    if clean["environment"]:
        problems += check_names(**{"sampler.environment": clean["environment"]})
    asked = None
    try:
        asked = sampler.read_asked(clean["pages"], clean["checks"], PROBES, clean["secrets"])
    except InputError as error:
        problems += [Problem(f"sampler.{one.where}", one.message) for one in error.problems]
    if problems or asked is None:
        raise InputError(problems)
    return Settings(clean["store"], clean["environment"], float(clean["every"]), float(clean["keep"]), asked, host)


def look_and_write(settings: Settings) -> Seen:
    """One look into the store. Raises StoreError."""
    from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler
    from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
    from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store

    own = {"golive_sampler_cpu_seconds_total": time.process_time(), "golive_sampler_memory_bytes": sampler.memory()}
    seen = sampler.look(settings.asked, PROBES, own=own)
    with open_store(settings.store, settings.environment) as store:
        sampler.write(store, seen, settings.keep, settings.host)
    return seen


class Teller:
    """Says what is wrong once, and again when it has changed."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._known: dict[str, str] = {}

    def tell(self, failed: Mapping[str, str]) -> None:
        for name, reason in failed.items():
            if self._known.get(name) != reason:
                self._write(f"{name}: {reason}\n")
        for name in self._known:
            if name not in failed:
                self._write(f"{name}: can be read again\n")
        self._known = dict(failed)


def _stamp(paths: Sequence[str]) -> tuple[Any, ...]:
    """What changes when one of the files does."""
    found: list[Any] = []
    for path in paths:
        try:
            state = os.stat(path)
            found.append((state.st_mtime_ns, state.st_size, state.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def run(
    settings: Settings,
    stop: threading.Event,
    changed: Callable[[], bool],
    write: Callable[[str], object],
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Look until ``stop`` is set (``stopped``) or the files of the program have changed (``changed``). A look that took longer than
    the pause is followed by the next one at its time; those in between are left out, and the gap is seen."""
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

    teller = Teller(write)
    due = clock()
    while not stop.is_set():
        try:
            seen = look_and_write(settings)
            failed = dict(seen.failed)
        except CutoverError as error:
            failed = {"store": str(error)}
        except Exception as error:  # whatever it is, the next look may succeed; a sampler that ends sees nothing more
            failed = {"sampler": f"{type(error).__name__}: {error}"}
        teller.tell(failed)
        gc.collect()
        due += settings.every
        while due <= clock():
            due += settings.every
        stop.wait(due - clock())
        if not stop.is_set() and changed():
            return "changed"
    return "stopped"


def lock(path: str) -> Optional[int]:
    """Take the lock of a file of settings; None when another process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The program: ``sampler SETTINGS [--once]``. Ends with 0, with 1 when one look failed, with 2 for bad settings."""
    parser = argparse.ArgumentParser(prog="golive-sampler", description="Keep samples of metrics pages and checks in the store.")
    parser.add_argument("settings", help="file of settings, as JSON")
    parser.add_argument("--once", action="store_true", help="look once and end")
    known = parser.parse_args(arguments)
    # Before anything is imported that takes time: cron asks every minute.
    held = None if known.once else lock(f"{known.settings}.lock")
    if held is None and not known.once:
        return 0
    from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

    try:
        with open(known.settings, encoding="utf-8") as file:
            settings = read_settings(json.load(file))
        if known.once:
            seen = look_and_write(settings)
            for name, reason in seen.failed.items():
                sys.stderr.write(f"{name}: {reason}\n")
            return 1 if seen.failed else 0
    except (CutoverError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    files = (known.settings, os.path.abspath(sys.argv[0]))
    begun = _stamp(files)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())

    def write(line: str) -> None:
        sys.stderr.write(line)
        sys.stderr.flush()

    if run(settings, stop, lambda: _stamp(files) != begun, write) == "changed":
        os.execv(sys.executable, [sys.executable, *sys.argv])
    return 0

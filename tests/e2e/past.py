# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch after a GO, for tests that cannot wait: a store as if it had happened earlier, and the sampler that was put there."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import seconds_of
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import SAMPLER_CLOCK, SAMPLER_PAGE
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, samples
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import canonical
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Look
from tests.conftest import wait_until

EVERY = 30.0
"""Seconds between two looks of the sampler, as the inventories have it."""
PAGE = "page"


def newest_looks(store: Path, environment: str) -> dict[str, Look]:
    """Of each page, what the sampler saw last."""
    with contextlib.closing(open_store(f"sqlite://{store}", environment)) as opened:
        now = time.time()
        window = samples.read(opened, lambda _key: True, now - samples.SLOT, now)
    found = {page: Look(page, at[-1], {}) for page, at in window.looks.items() if at}
    for (name, labels), points in window.series.items():
        look = found[dict(labels)[PAGE]]
        if points[-1].value is not None:
            key = name, tuple(label for label in labels if label[0] != PAGE)
            found[look.page] = Look(look.page, look.at, {**look.values, key: points[-1].value})
    return found


def set_back(store: Path, environment: str, seconds: float) -> None:
    """Let all that stands in the ledger of a sqlite store have happened so many seconds earlier, and let the sampler, which does
    not run now, have looked ever since: at what it really saw last, so nothing has happened meanwhile."""
    seen = newest_looks(store, environment)
    with contextlib.closing(sqlite3.connect(store)) as link, link:
        (rule,) = link.execute("SELECT sql FROM sqlite_master WHERE name = 'line_unchanged'").fetchone()
        link.execute("DROP TRIGGER line_unchanged")
        which, head = (environment, ledger.LOG), {"count": 0, "hash": ledger.FIRST}
        lines = link.execute(
            "SELECT position, text FROM line WHERE environment = ? AND log = ? ORDER BY position", which
        ).fetchall()
        for position, text in lines:
            entry = json.loads(text)
            entry |= {"time": ledger.stamp(seconds_of(entry["time"]) - seconds), "previous": head["hash"]}
            entry["hash"] = ledger.digest(entry)
            head = {"count": entry["seq"], "hash": entry["hash"]}
            link.execute("UPDATE line SET text = ? WHERE position = ?", (canonical(entry), position))
        link.execute(rule)
        link.execute(
            "UPDATE record SET value = ? WHERE environment = ? AND name = ?", (canonical(head), environment, ledger.RECORD)
        )
        link.execute("DELETE FROM record WHERE environment = ? AND name LIKE 'samples%'", (environment,))
    now = max(look.at for look in seen.values())
    looks = []
    for number in range(int((seconds + 300) / EVERY), -1, -1):
        ago = number * EVERY
        for look in seen.values():
            values = dict(look.values)
            if look.page == SAMPLER_PAGE:
                values[SAMPLER_CLOCK, ()] -= ago
            looks.append(Look(look.page, now - ago, values))
    with contextlib.closing(open_store(f"sqlite://{store}", environment)) as opened:
        assert samples.write(opened, looks).refused == 0
        assert ledger.verify(opened, environment)["count"] == len(lines)


@contextlib.contextmanager
def sampling(home: Path, environment: str, store: Path, log: Path) -> Iterator[None]:
    """Keep the sampler running that the playbook ``sampler`` has put below a home, and wait until it has looked.

    The process is what somebody else's supervisor would start: ``hypercare_scheduler`` is ``none`` in these tests.
    """
    directory = home / "sampler"
    begun = time.time()
    with log.open("ab") as errors:
        command = [sys.executable, str(directory / "sampler.pyz"), str(directory / f"{environment}.json")]
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors)
    try:
        wait_until(
            lambda: any(look.at >= begun for look in newest_looks(store, environment).values()) if store.exists() else False,
            60,
            "a look of the sampler",
        )
        assert running.poll() is None, log.read_text(encoding="utf-8")
        yield
    finally:
        running.terminate()
        running.wait(30)

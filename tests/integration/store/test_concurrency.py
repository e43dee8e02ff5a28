# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes on one store at once, and processes that are killed in the middle."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, lock
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store

ROOT = Path(__file__).parents[3]
Worker = subprocess.Popen[str]


@contextlib.contextmanager
def workers(action: str, place: Any, names: list[str]) -> Iterator[list[Worker]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".cache" / "collections")}
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), action, place.address, place.environment]
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [*command, name],
                    text=True,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            for name in names
        ]


def tell(worker: Worker, line: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(f"{line}\n")
    worker.stdin.flush()


def answer(worker: Worker) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def test_of_two_at_once_exactly_one_gets_the_lock(place: Any) -> None:
    with workers("acquire", place, ["a", "b"]) as both:
        assert [answer(worker) for worker in both] == ["ready", "ready"]
        store = place.open()
        tokens = []
        for number in range(50):
            begin = time.time() + 0.005
            for worker in both:
                tell(worker, str(begin))
            answers = [answer(worker) for worker in both]
            assert sorted(answers) == ["held", "won"], (number, [worker.poll() for worker in both])
            held = lock.read(store)
            assert held["run"] == f"{'ab'[answers.index('won')]}-{number}"
            tokens.append(held["token"])
            lock.release(store, held["token"], held["run"])
        assert tokens == sorted(set(tokens))
        for worker in both:
            _out, err = worker.communicate()
            assert (worker.returncode, err) == (0, "")


def test_eight_processes_append_to_one_chain(place: Any) -> None:
    with workers("append", place, [f"p{number}" for number in range(8)]) as eight:
        for worker in eight:
            tell(worker, "25")
        written = []
        for worker in eight:
            out, err = worker.communicate()
            assert (worker.returncode, err) == (0, "")
            written += [int(line) for line in out.split()]
    assert sorted(written) == list(range(1, 201))
    store = place.open()
    assert ledger.verify(store, place.environment)["count"] == 200
    assert {entry["run"] for entry in ledger.read(store)} == {f"p{number}" for number in range(8)}


def test_a_process_killed_while_it_appends_leaves_whole_entries(place: Any) -> None:
    chance = random.Random(7)
    last = 0
    for number in range(12):
        with workers("append", place, [f"k{number}"]) as (worker,):
            tell(worker, "1000000")
            assert int(answer(worker)) == last + 1
            time.sleep(chance.uniform(0, 0.05))
            worker.kill()
            out, _err = worker.communicate()
            printed = [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
        store = open_store(place.address, place.environment)
        with store:
            count = ledger.verify(store, place.environment)["count"]
            # What was reported is there; what was being written when it was killed is there whole, or not at all.
            assert count >= max([last, *printed])
            assert ledger.append(store, place.environment, "after", "check")["seq"] == count + 1
            last = count + 1


def test_redis_itself_killed_keeps_what_it_confirmed(redis_server: Callable[..., Any]) -> None:
    server = redis_server({"appendonly": "yes", "appendfsync": "always"})
    with open_store(server.url, "spark") as store:
        token = lock.acquire(store, lock.Claim(run="run-1"))["token"]
        for _number in range(20):
            ledger.append(store, "spark", "run-1", "tick")
    server.kill()
    server.start()
    with open_store(server.url, "spark") as store:
        assert ledger.verify(store, "spark")["count"] == 20
        assert lock.read(store)["token"] == token


@pytest.mark.parametrize("leftover", ["journal", "empty"])
def test_sqlite_recovers_from_what_a_killed_process_leaves(tmp_path: Path, leftover: str) -> None:
    path = tmp_path / "golive.db"
    if leftover == "empty":
        path.touch(0o600)
    else:
        # A writer that is killed inside its transaction, with pages in the file already, leaves a hot journal behind.
        with open_store(f"sqlite://{path}", "spark") as store:
            ledger.append(store, "spark", "run-1", "tick")
        code = (
            "import sqlite3,os,signal,sys\n"
            "c=sqlite3.connect(sys.argv[1],isolation_level=None);c.execute('PRAGMA cache_size=1')\n"
            "c.execute('BEGIN IMMEDIATE')\n"
            "insert=\"INSERT INTO line (environment,log,text) VALUES ('spark','ledger',?)\"\n"
            "for i in range(50): c.execute(insert,('x'*5000,))\n"
            "os.kill(os.getpid(),signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", code, str(path)], check=False)
        assert path.with_name("golive.db-journal").stat().st_size > 0
    with open_store(f"sqlite://{path}", "spark") as store:
        expected = 0 if leftover == "empty" else 1
        assert len(ledger.read(store)) == expected
        assert ledger.verify(store, "spark")["count"] == expected
        assert lock.acquire(store, lock.Claim(run="run-2"))["changed"]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test that asks for ``place`` runs against each store: SQLite on disk, and a real Redis."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1763694000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Place:
    """Where a store is, and how to get at what is in it behind its back."""

    kind: str
    address: str
    environment = "spark"

    def __init__(self) -> None:
        self._open: list[Store] = []

    def open(self, clock: Callable[[], float] | None = None, environment: str | None = None) -> Store:
        store = open_store(self.address, environment or self.environment)
        if clock is not None:
            store._clock = clock  # type: ignore[attr-defined]
        self._open.append(store)
        return store

    def close(self) -> None:
        for store in self._open:
            store.close()

    def lines(self) -> list[str]:
        raise NotImplementedError

    def set_lines(self, lines: list[str]) -> None:
        raise NotImplementedError

    def set_record(self, name: str, text: str | None) -> None:
        raise NotImplementedError


class SqlitePlace(Place):
    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.address = f"sqlite://{path}"

    @contextlib.contextmanager
    def _sql(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.path)) as connection, connection:
            yield connection

    def lines(self) -> list[str]:
        with self._sql() as sql:
            return [row[0] for row in sql.execute("SELECT text FROM line WHERE log = 'ledger' ORDER BY position")]

    def set_lines(self, lines: list[str]) -> None:
        with self._sql() as sql:
            sql.execute("DROP TRIGGER IF EXISTS line_kept")
            sql.execute("DELETE FROM line WHERE log = 'ledger'")
            sql.executemany(
                "INSERT INTO line (environment, log, text) VALUES (?, 'ledger', ?)",
                [(self.environment, line) for line in lines],
            )

    def set_record(self, name: str, text: str | None) -> None:
        with self._sql() as sql:
            sql.execute("DELETE FROM record WHERE name = ?", (name,))
            if text is not None:
                sql.execute("INSERT INTO record VALUES (?, ?, ?)", (self.environment, name, text))


class RedisPlace(Place):
    kind = "redis"

    def __init__(self, port: int, environment: str) -> None:
        import redis

        super().__init__()
        self.environment = environment
        self.address = f"redis://127.0.0.1:{port}/0"
        self.client = redis.Redis(port=port, decode_responses=True)
        self._prefix = f"golive:{environment}:"

    def close(self) -> None:
        super().close()
        self.client.close()

    def lines(self) -> list[str]:
        lines: Any = self.client.lrange(f"{self._prefix}ledger:lines", 0, -1)
        return list(lines)

    def set_lines(self, lines: list[str]) -> None:
        self.client.delete(f"{self._prefix}ledger:lines")
        if lines:
            self.client.rpush(f"{self._prefix}ledger:lines", *lines)

    def set_record(self, name: str, text: str | None) -> None:
        if text is None:
            self.client.delete(self._prefix + name)
        else:
            self.client.set(self._prefix + name, text)


@pytest.fixture(scope="session")
def shared_redis(redis_server_bin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Redis for all tests of one process; each test uses an environment of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [redis_server_bin, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(tmp_path_factory.mktemp("redis"))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
                break
            if time.monotonic() > deadline or server.poll() is not None:
                pytest.fail("redis-server did not start", pytrace=False)
            time.sleep(0.02)
        yield port
        server.terminate()


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made: Place
    if request.param == "sqlite":
        made = SqlitePlace(tmp_path / "state" / "golive.db")
    else:
        made = RedisPlace(request.getfixturevalue("shared_redis"), f"spark-{secrets.token_hex(6)}")
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(place: Place, clock: Clock) -> Store:
    return place.open(clock)


def dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

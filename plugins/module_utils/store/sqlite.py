# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The embedded store: one SQLite file on the host, by the standard library.

The file uses a rollback journal, not a write-ahead log: it is written a few dozen times per cutover, so nothing is
gained by readers that do not wait, while a rollback journal leaves one file that can be copied, works without shared
memory, and is recovered by whoever opens it next. ``synchronous=EXTRA`` also syncs the directory after a commit, so
that a commit survives a power loss.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote

from ansible_collections.golive.cutover.plugins.module_utils.store.address import Address, refuse
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import (
    Change,
    Snapshot,
    Store,
    canonical,
    load_record,
)

T = TypeVar("T")

APPLICATION_ID = 0x676F6C76
"""Marks the file as ours ("golv"), so that another program's database is refused and not written into."""

VERSION = 1
BUSY = 30.0
"""Seconds to wait for another process that is writing."""

SCHEMA = (
    "CREATE TABLE record (environment TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (environment, name)) WITHOUT ROWID",
    "CREATE TABLE line (position INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, log TEXT NOT NULL,"
    " text TEXT NOT NULL)",
    "CREATE INDEX line_log ON line (environment, log, position)",
    # Against accidents with the sqlite3 command; against intent there is the hash chain.
    "CREATE TRIGGER line_kept BEFORE DELETE ON line BEGIN SELECT RAISE(ABORT, 'a log is append-only'); END",
    "CREATE TRIGGER line_unchanged BEFORE UPDATE ON line BEGIN SELECT RAISE(ABORT, 'a log is append-only'); END",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


def open_sqlite(address: Address, environment: str, password: str | None) -> Store:
    """Open ``sqlite:///absolute/path.db``. Nothing is created before the first write."""
    if address.host or address.username or address.port or not address.path.startswith("/") or address.path.endswith("/"):
        raise refuse("a SQLite store is the absolute path of a file: sqlite:///absolute/path.db, with three slashes")
    if "password_file" in address.options:
        raise refuse("a SQLite store has no password; its file is readable by its owner alone")
    if address.options:
        raise refuse(f"a SQLite store has no option {', '.join(sorted(address.options))}")
    return SqliteStore(os.path.normpath("/" + address.path.lstrip("/")), environment)


class SqliteStore(Store):
    def __init__(self, path: str, environment: str, clock: Callable[[], float] = time.time, busy: float = BUSY) -> None:
        self._path = path
        self._environment = environment
        self._clock = clock
        self._busy = busy
        self._connection: sqlite3.Connection | None = None

    def read(self, records: Sequence[str], logs: Sequence[str] = ()) -> Snapshot:
        with self._errors("read"):
            connection = self._connect() if os.path.exists(self._path) else None
            if connection is None:
                return Snapshot(self._clock(), {}, dict.fromkeys(logs, 0))
            with self._transaction(connection, "DEFERRED"):
                if not self._recognise(connection):
                    return Snapshot(self._clock(), {}, dict.fromkeys(logs, 0))
                return self._snapshot(connection, records, logs)

    def change(self, records: Sequence[str], decide: Callable[[Snapshot], Change[T]], logs: Sequence[str] = ()) -> T:
        with self._errors("write"):
            self._create()
            connection = self._connect()
            # IMMEDIATE takes the write lock before reading, so that what was decided upon cannot change meanwhile.
            with self._transaction(connection, "IMMEDIATE"):
                if not self._recognise(connection):
                    for statement in SCHEMA:
                        connection.execute(statement)
                change = decide(self._snapshot(connection, records, logs))
                for name, record in change.put.items():
                    connection.execute(
                        "INSERT INTO record VALUES (?, ?, ?) ON CONFLICT (environment, name) DO UPDATE SET value = excluded.value",
                        (self._environment, name, canonical(record)),
                    )
                for log, lines in change.append.items():
                    connection.executemany(
                        "INSERT INTO line (environment, log, text) VALUES (?, ?, ?)",
                        [(self._environment, log, line) for line in lines],
                    )
            return change.result

    def lines(self, log: str, start: int, count: int) -> list[str]:
        with self._errors("read"):
            connection = self._connect() if os.path.exists(self._path) else None
            if connection is None:
                return []
            with self._transaction(connection, "DEFERRED"):
                if not self._recognise(connection):
                    return []
                rows = connection.execute(
                    "SELECT text FROM line WHERE environment = ? AND log = ? ORDER BY position LIMIT ? OFFSET ?",
                    (self._environment, log, count, start),
                )
                return [str(row[0]) for row in rows]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _snapshot(self, connection: sqlite3.Connection, records: Sequence[str], logs: Sequence[str]) -> Snapshot:
        found = {}
        for name in records:
            row = connection.execute(
                "SELECT value FROM record WHERE environment = ? AND name = ?", (self._environment, name)
            ).fetchone()
            if row is not None:
                found[name] = load_record(name, row[0])
        sizes = {
            log: int(
                connection.execute(
                    "SELECT count(*) FROM line WHERE environment = ? AND log = ?", (self._environment, log)
                ).fetchone()[0]
            )
            for log in logs
        }
        return Snapshot(self._clock(), found, sizes)

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        connection = sqlite3.connect(f"file://{quote(self._path)}?mode=rw", uri=True, timeout=self._busy, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _create(self) -> None:
        """Make the directory and an empty file, both closed to others before anything is in them."""
        directory = os.path.dirname(self._path)
        if not os.path.isdir(directory):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        found = os.stat(self._path)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{self._path} is not a file, so it cannot be the store")
        if stat.S_IMODE(found.st_mode) & 0o077 and found.st_uid == os.geteuid():
            os.chmod(self._path, 0o600)

    def _recognise(self, connection: sqlite3.Connection) -> bool:
        """Whether the file holds our tables; False for an empty one. Raises StoreError when it is somebody else's."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION_ID:
            if version != VERSION:
                raise StoreError(f"the store {self._path} has format {version}, this golive.cutover knows format {VERSION}")
            return True
        if application or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(f"{self._path} is the database of another program, so it is not used as the store")
        return False

    @contextlib.contextmanager
    def _transaction(self, connection: sqlite3.Connection, kind: str) -> Iterator[None]:
        connection.execute(f"BEGIN {kind}")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                text = f"another process has been writing to it for {self._busy:g} s"
            elif "unable to open" in text or "readonly" in text:
                text += "; it must be readable and writable, with its directory, by the user that runs this"
            raise StoreError(f"cannot {what} the store {self._path}: {text}") from error
        except OSError as error:
            raise StoreError(f"cannot {what} the store {self._path}: {error.strerror or error}") from error

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A database: whether it can be connected to and how quickly it answers, and what one query says. PostgreSQL and SQLite.

Everything happens in one transaction that may only read and is rolled back. A query is ended by the server at the end of the look.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional
from urllib.parse import quote

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, reveal
from ansible_collections.golive.cutover.plugins.module_utils.core.units import Value
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net, _pings
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

_ALWAYS: Mapping[str, str] = {"connect": "time", **_pings.MEASURES, "version": "text"}
_QUERY: Mapping[str, str] = {"value": "any", "rows": "count", "query_time": "time"}
_SERVER = ("host", "port", "database", "username", "password", "tls", "ca")


def _absolute(value: Any) -> str:
    path = opt.text(value)
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, got {path!r}")
    return path


class DatabaseProbe(Probe):
    """Connects, times a query that asks for nothing, and puts the query of the check.

    ``value`` is the one column of the one row. The JSON document is the list of the rows, each a mapping of column to value.
    """

    name = "database"
    yields_document = True
    options: ClassVar[Mapping[str, Option]] = {
        "sqlite": Option(_absolute, "path of an SQLite database, instead of host"),
        "host": Option(opt.text, "PostgreSQL: name, address, or the directory of its Unix socket"),
        "port": Option(opt.integer(1, 65535), "port; 5432 when it is left out"),
        "database": Option(opt.text, "name of the database; that of the user when it is left out"),
        "username": Option(opt.text, "user to connect as"),
        "password": Option(opt.secret_only, "password, as {secret: NAME}"),
        "tls": Option(opt.choice("disable", "prefer", "require", "verify-ca", "verify-full"), "sslmode of PostgreSQL; prefer"),
        "ca": Option(_absolute, "file with the certificates that verify-ca and verify-full accept"),
        "query": Option(opt.text, "one query that reads"),
        "max_rows": Option(opt.integer(1, 10_000), "rows beyond which the answer is given up", default=1000),
        "pings": Option(opt.integer(1, 1000), "how many queries are timed, one after the other", default=20),
    }
    measures: ClassVar[Mapping[str, str]] = {**_ALWAYS, "replica": "flag", **_QUERY}

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = []
        if (options["sqlite"] is None) == (options["host"] is None):
            found.append(Problem("host", "give either host, for PostgreSQL, or sqlite"))
        if options["sqlite"] is not None:
            found += [Problem(key, "goes with host") for key in _SERVER[1:] if options[key] is not None]
        elif options["username"] is None:
            found.append(Problem("username", "is missing: the user to connect as"))
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return {
            **_ALWAYS,
            **({"replica": "flag"} if options["sqlite"] is None else {}),
            **(_QUERY if options["query"] is not None else {}),
        }

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        begun = context.clock()
        opened = _sqlite(options, context) if options["sqlite"] is not None else _postgresql(options, context)
        with opened as server:
            seen = Observation(measures={"connect": context.clock() - begun}, proof={"connections": 1})
            _times(seen, server, options["pings"], context)
            seen.measures["version"] = server.version()
            if options["sqlite"] is None:
                seen.measures["replica"] = bool(next(server.rows("SELECT pg_is_in_recovery()", 1))[0])
            if options["query"] is not None:
                _query(seen, server, options, context)
        return seen


class Refused(Exception):
    """The database answered a query with an error; the text is its own."""


class Server:
    """A connection in a transaction that may only read."""

    def __init__(self, connection: Any, errors: tuple[type[Exception], ...]) -> None:
        self._connection = connection
        self._errors = errors
        self.columns: list[str] = []

    def version(self) -> str:
        raise NotImplementedError

    def rows(self, query: str, most: int) -> Iterator[Sequence[Any]]:
        """The rows of the answer, one more than ``most`` at the most. Raises Refused with what the database said."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(query)
            self.columns = [str(one[0]) for one in cursor.description or []]
            for _number in range(most + 1 if cursor.description else 0):
                row = cursor.fetchone()
                if row is None:
                    return
                yield row
        except self._errors as error:
            raise Refused(" ".join(str(error).split())[:300]) from None
        finally:
            cursor.close()


def _times(seen: Observation, server: Server, wanted: int, context: Context) -> None:
    times: list[float] = []
    for _number in range(wanted):
        begun = context.clock()
        try:
            list(server.rows("SELECT 1", 1))
        except Refused as error:
            raise ProbeError(f"the database refused the simplest query: {error}") from None
        times.append(context.clock() - begun)
        if context.remaining() < 0.5 and len(times) >= 3:
            break
    seen.proof["queries"] = len(times)
    _pings.observe(seen, times)


def _query(seen: Observation, server: Server, options: Mapping[str, Any], context: Context) -> None:
    begun = context.clock()
    most = options["max_rows"]
    rows: list[Sequence[Any]] = []
    try:
        for row in server.rows(options["query"], most):
            if context.over():
                raise Refused("the time ran out")
            rows.append(row)
    except Refused as error:
        seen.missing.update(dict.fromkeys(_QUERY, f"the query failed: {error}"))
        return
    seen.measures["query_time"] = context.clock() - begun
    seen.proof["rows"] = len(rows)
    if len(rows) > most:
        seen.missing["rows"] = seen.missing["value"] = f"the answer has more than {most} rows"
        return
    seen.measures["rows"] = len(rows)
    seen.document = [dict(zip(server.columns, map(_plain, row))) for row in rows]
    if len(rows) != 1:
        seen.missing["value"] = f"the answer has {len(rows) or 'no'} rows, expected one"
    elif len(server.columns) != 1:
        seen.missing["value"] = f"the answer has {len(server.columns)} columns, expected one"
    else:
        value = _plain(rows[0][0])
        if value is None:
            seen.missing["value"] = "the answer is NULL"
        elif isinstance(value, (bool, str, int, float)):
            _take(seen, value)
        else:
            seen.missing["value"] = "the answer is neither a number, a text nor a flag"


def _take(seen: Observation, value: Value) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        seen.missing["value"] = f"the answer is {value}"
    else:
        seen.measures["value"] = value


def _plain(value: Any) -> Any:
    """A value of the database as JSON knows it. An interval is its seconds."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if value is None or isinstance(value, (bool, int, float, str, list, dict)):
        return value
    return str(value)


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


class _Postgresql(Server):
    def version(self) -> str:
        number = int(self._connection.info.server_version)
        return f"{number // 10000}.{number % 10000}"

    def rows(self, query: str, most: int) -> Iterator[Sequence[Any]]:
        """The same, row by row from the server, so that a large answer is not held in memory."""
        cursor = self._connection.cursor()
        try:
            for number, row in enumerate(cursor.stream(query)):
                if number > most:
                    return
                self.columns = [one.name for one in cursor.description or []]
                yield row
        except self._errors as error:
            raise Refused(" ".join(str(error).split())[:300]) from None
        finally:
            with contextlib.suppress(*self._errors):
                cursor.close()


@contextlib.contextmanager
def _postgresql(options: Mapping[str, Any], context: Context) -> Iterator[Server]:
    try:
        import psycopg
    except ImportError as error:
        raise LibraryMissing("psycopg") from error
    where = f"PostgreSQL at {options['host']}:{options['port'] or 5432}"
    if not options["host"].startswith("/"):
        _net.resolve(options["host"], options["port"] or 5432, context)
    left = context.remaining()
    try:
        connection = psycopg.connect(
            host=options["host"],
            port=options["port"] or 5432,
            user=options["username"],
            password=reveal(options["password"]),
            dbname=options["database"] or options["username"],
            sslmode=options["tls"] or "prefer",
            sslrootcert=options["ca"],
            connect_timeout=max(int(left), 2),  # the library knows no shorter one
            application_name="golive.cutover",
            options=f"-c statement_timeout={max(int(left * 1000), 1)} -c default_transaction_read_only=on",
        )
    except psycopg.Error as error:
        raise ProbeError(f"{where}: {_said(error)}") from None
    except UnicodeError:
        raise ProbeError(f"{where}: a name or the password has characters that cannot be sent") from None
    try:
        connection.read_only = True
        yield _Postgresql(connection, (psycopg.Error,))
    except psycopg.Error as error:
        raise ProbeError(f"{where}: {_said(error)}") from None
    finally:
        connection.close()


def _said(error: Exception) -> str:
    """What libpq said, without what it repeats of the address."""
    text = " ".join(str(error).split())
    return text.rpartition("FATAL: ")[2].strip()[:300] or type(error).__name__


# -- SQLite ------------------------------------------------------------------------------------------------------------


class _Sqlite(Server):
    def version(self) -> str:
        return sqlite3.sqlite_version


@contextlib.contextmanager
def _sqlite(options: Mapping[str, Any], context: Context) -> Iterator[Server]:
    """Opened for reading alone, so that a database that is not there is not made."""
    path = options["sqlite"]
    if not os.path.isfile(path):
        raise ProbeError(f"{path} is not a file" if os.path.exists(path) else f"there is no file {path}")
    connection: Optional[sqlite3.Connection] = None
    try:
        connection = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, timeout=context.remaining(), check_same_thread=False, isolation_level=None
        )
        connection.set_progress_handler(lambda: 1 if context.over() else 0, 10_000)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # an empty transaction has not read anything yet
        yield _Sqlite(connection, (sqlite3.Error, sqlite3.Warning))
    except sqlite3.Error as error:
        raise ProbeError(f"{path}: {error}") from None
    finally:
        if connection is not None:
            connection.close()

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe database against a real PostgreSQL and real SQLite files."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.database import DatabaseProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import CACHE, _tool, answers, stop_process, wait_until
from tests.integration.probes.looking import look, mistakes, refused

PROBE = DatabaseProbe()
PASSWORD = "CANARY-database"


@dataclasses.dataclass
class Postgresql:
    """A private PostgreSQL; the user ``spark`` and the database of the same name are there."""

    port: int
    process: subprocess.Popen[bytes]

    def options(self, **more: Any) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "username": "spark", "password": Secret(PASSWORD), **more}

    def ask(self, timeout: float = 10.0, **more: Any) -> Observation:
        seen = look(PROBE, timeout, **self.options(**more))
        assert PASSWORD not in str(seen)
        return seen

    @contextlib.contextmanager
    def owner(self) -> Iterator[Any]:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="spark", password=PASSWORD, dbname="spark", autocommit=True
        ) as link:
            yield link


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgresql]:
    """Start a PostgreSQL; it does not run as root, so neither does it here."""
    _tool("debs.py", "postgresql")
    home = Path(tempfile.mkdtemp(prefix="golive-pg-"))
    other: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        other = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
    words = home / "words"
    words.write_text(PASSWORD)
    words.chmod(0o644)
    made = subprocess.run(
        [
            str(CACHE / "bin/initdb"),
            "-D",
            str(home / "data"),
            "-U",
            "spark",
            "-A",
            "scram-sha-256",
            "--no-sync",
            f"--pwfile={words}",
        ],
        capture_output=True,
        text=True,
        cwd=home,
        **other,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={home}",
        "-c",
        "fsync=off",
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(CACHE / "bin/postgres"), "-D", str(home / "data"), *settings], stdout=log, stderr=log, cwd=home, **other
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(port), what="PostgreSQL")
        assert process.poll() is None, (home / "log").read_text()
        server = Postgresql(port, process)

        def ready() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(host="127.0.0.1", port=port, user="spark", password=PASSWORD, dbname="postgres").close()
                return True
            return False

        wait_until(ready, what="PostgreSQL")
        with psycopg.connect(
            host="127.0.0.1", port=port, user="spark", password=PASSWORD, dbname="postgres", autocommit=True
        ) as link:
            link.execute("CREATE DATABASE spark")
        with server.owner() as link:
            link.execute("CREATE TABLE orders (id int, price numeric, at timestamptz)")
            link.execute("INSERT INTO orders SELECT n, n * 1.5, now() FROM generate_series(1, 5000) n")
        yield server
    finally:
        process.send_signal(2)  # the fast shutdown: connections are not waited for
        stop_process(process)
        shutil.rmtree(home)


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


def test_a_server_that_is_well(postgresql: Postgresql) -> None:
    seen = postgresql.ask(query="SELECT count(*) FROM orders")
    m = seen.measures
    assert 0 < float(m["latency"]) <= float(m["p95"]) < 0.5
    assert len(seen.samples["latencies"]) == 20
    assert 0 < float(m["connect"]) < 2
    assert (m["value"], m["rows"], m["replica"]) == (5000, 1, False)
    assert float(m["query_time"]) > 0
    assert int(str(m["version"]).split(".")[0]) >= 13
    assert not seen.missing
    assert (seen.proof["queries"], seen.proof["rows"]) == (20, 1)


def test_without_a_query(postgresql: Postgresql) -> None:
    seen = postgresql.ask(pings=5)
    assert set(seen.measures) == {"connect", "latency", "version", "replica"}
    assert "too few" in seen.missing["p95"]


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT 1.5::numeric", 1.5),
        ("SELECT interval '90 seconds'", 90.0),
        ("SELECT true", True),
        ("SHOW max_connections", "100"),
        ("SELECT 'x' AS name", "x"),
        ("SELECT date '2026-01-31'", "2026-01-31"),
    ],
)
def test_values(postgresql: Postgresql, query: str, value: Any) -> None:
    assert postgresql.ask(query=query).measures["value"] == value


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT id FROM orders WHERE false", "has no rows"),
        ("SELECT id FROM orders LIMIT 2", "has 2 rows"),
        ("SELECT 1, 2", "has 2 columns"),
        ("SELECT NULL", "is NULL"),
        ("SELECT 'NaN'::float8", "is nan"),
        ("SELECT id FROM orders", "more than 1000 rows"),
        ("SELECT nothing", "does not exist"),
        ("SELEC 1", "syntax error"),
    ],
)
def test_answers_that_are_no_value(postgresql: Postgresql, query: str, why: str) -> None:
    seen = postgresql.ask(query=query)
    assert why in seen.missing["value"], seen
    assert "latency" in seen.measures


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders",
        "CREATE TABLE mine (id int)",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM gone",
        "COMMIT; DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
    ],
)
def test_nothing_is_changed(postgresql: Postgresql, query: str) -> None:
    seen = postgresql.ask(query=query)
    assert "the query failed" in seen.missing["value"]
    with postgresql.owner() as link:
        assert link.execute("SELECT count(*) FROM orders").fetchone() == (5000,)
        assert link.execute("SELECT to_regclass('mine')").fetchone() == (None,)


def test_a_query_that_takes_too_long_is_ended_by_the_server(postgresql: Postgresql) -> None:
    seen = postgresql.ask(timeout=2.0, query="SELECT pg_sleep(60)")
    assert "statement timeout" in seen.missing["value"]
    with postgresql.owner() as link:
        running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'golive.cutover' AND state = 'active'"
        assert link.execute(running).fetchone() == (0,)


def test_own_measures_look_into_the_rows(postgresql: Postgresql) -> None:
    check = {
        "id": "D",
        "database": {
            **postgresql.options(),
            "password": {"secret": "pw"},
            "query": "SELECT id, price FROM orders ORDER BY id LIMIT 3",
        },
        "measures": {"last": "[-1].price", "ids": "length([*].id)"},
        "expect": {"last": "== 4.5", "ids": "== 3"},
    }
    record = run_checks(read_checks([check], PROBES, {"pw": PASSWORD}), PROBES)[0]
    assert record["status"] == "pass", record
    assert PASSWORD not in str(record)


def test_who_may_not_connect(postgresql: Postgresql, free_port: Callable[[], int]) -> None:
    def why(**more: Any) -> str:
        return refused(PROBE, **{**postgresql.options(), **more})

    text = why(password=Secret("wrong-CANARY"))
    assert "password authentication failed" in text and "CANARY" not in text
    assert "does not exist" in why(database="nothing")
    assert "refused" in why(port=free_port())
    assert "SSL" in why(tls="require")


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert "timeout" in refused(PROBE, timeout=2.2, host="127.0.0.1", port=port, username="spark")


# -- SQLite ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(path)) as link, link:
        link.execute("CREATE TABLE orders (id int)")
        link.executemany("INSERT INTO orders VALUES (?)", [(n,) for n in range(100)])
    return path


def test_sqlite(path: Path) -> None:
    seen = look(PROBE, sqlite=str(path), query="SELECT count(*) FROM orders")
    assert (seen.measures["value"], seen.measures["rows"], seen.measures["version"]) == (100, 1, sqlite3.sqlite_version)
    assert "replica" not in seen.measures and not seen.missing


def test_sqlite_is_not_changed(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    for query in ("DELETE FROM orders", "CREATE TABLE x (id int)", "COMMIT", "SELECT 1; DELETE FROM orders"):
        seen = look(PROBE, sqlite=str(path), query=query)
        assert "value" in seen.missing, query
    assert path.read_bytes() == before
    none = tmp_path / "none.db"
    assert "there is no file" in refused(PROBE, sqlite=str(none))
    assert not none.exists()


def test_sqlite_that_is_busy_broken_or_endless(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as link:
        link.execute("BEGIN EXCLUSIVE")
        assert "locked" in refused(PROBE, timeout=0.5, sqlite=str(path))
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"not a database, but long enough to look like one " * 100)
    assert "not a database" in refused(PROBE, sqlite=str(broken))
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert "interrupted" in look(PROBE, timeout=0.7, sqlite=str(path), query=endless).missing["value"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "give either host"),
        ({"sqlite": "/x", "host": "h"}, "give either host"),
        ({"sqlite": "x"}, "absolute path"),
        ({"sqlite": "/x", "password": Secret("x")}, "goes with host"),
        ({"host": "h"}, "the user to connect as"),
        ({"host": "h", "username": "u", "password": "plain"}, "expected {secret: NAME}"),
        ({"host": "h", "username": "u", "tls": "yes"}, "expected one of"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)

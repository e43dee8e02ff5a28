# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is particular to each store: addresses, permissions, passwords, and stores that are not what they should be."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, LibraryMissing
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, lock
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import StoreError
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Change, Store
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.sqlite import SqliteStore

CLAIM = lock.Claim(run="run-1", owner="alice", reason="go-live")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------------------------------------------------------------
# Both


def test_reading_creates_nothing(place: Any) -> None:
    store: Store = place.open()
    assert store.read(["lock"], ["ledger"]).sizes == {"ledger": 0}
    assert store.lines("ledger", 0, 10) == []
    if place.kind == "sqlite":
        assert not place.path.parent.exists()
    else:
        assert place.client.keys(f"golive:{place.environment}:*") == []


def test_a_decision_that_is_refused_writes_nothing(place: Any) -> None:
    store: Store = place.open()

    def decide(_snapshot: Any) -> Change[None]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.change(["lock"], decide)
    assert store.read(["lock"]).records == {}
    # And the store still works.
    assert lock.acquire(store, CLAIM)["changed"]


@pytest.mark.parametrize("text", ["not json", "[1]"])
def test_a_record_that_something_else_wrote_is_refused(place: Any, text: str) -> None:
    store: Store = place.open()
    lock.acquire(store, CLAIM)
    place.set_record("lock", text)
    with pytest.raises(StoreError, match="something else wrote it"):
        lock.read(store)


# ---------------------------------------------------------------------------------------------------------------------
# SQLite


def test_the_file_is_closed_to_others(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = tmp_path / "deep" / "state dir?#%" / "golive.db"
        quoted = str(path).replace("%", "%25").replace("?", "%3F").replace("#", "%23")
        with open_store(f"sqlite://{quoted}", "spark") as store:
            lock.acquire(store, CLAIM)
        assert mode(path) == 0o600
        assert mode(path.parent) == 0o700
    finally:
        os.umask(old)


def test_a_file_that_was_open_to_others_is_closed_and_a_directory_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "golive.db"
    path.touch()
    path.chmod(0o644)
    with open_store(f"sqlite://{path}", "spark") as store:
        lock.acquire(store, CLAIM)
    assert (mode(path), mode(tmp_path)) == (0o600, 0o755)


def test_another_program_s_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE precious (x)")
    before = path.read_bytes()
    with open_store(f"sqlite://{path}", "spark") as store, pytest.raises(StoreError, match="another program"):
        lock.acquire(store, CLAIM)
    assert path.read_bytes() == before
    path.write_bytes(b"this is no database" * 100)
    with open_store(f"sqlite://{path}", "spark") as store, pytest.raises(StoreError, match="not a database"):
        lock.read(store)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golive.db"
    with open_store(f"sqlite://{path}", "spark") as store:
        lock.acquire(store, CLAIM)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 9")
    with open_store(f"sqlite://{path}", "spark") as store, pytest.raises(StoreError, match="format 9"):
        lock.read(store)


def test_a_busy_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "golive.db"
    with open_store(f"sqlite://{path}", "spark") as store:
        lock.acquire(store, CLAIM)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with SqliteStore(str(path), "spark", busy=0.1) as store:
            with pytest.raises(StoreError, match=r"another process has been writing to it for 0\.1 s"):
                lock.release(store, 1, "run-1")
            assert lock.read(store)["held"]


def test_a_path_that_cannot_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "golive.db", tmp_path):
        with (
            open_store(f"sqlite://{path}", "spark") as store,
            pytest.raises(StoreError, match=r"cannot write|not a file"),
        ):
            lock.acquire(store, CLAIM)


def test_a_log_is_append_only_for_the_sqlite3_command(tmp_path: Path) -> None:
    path = tmp_path / "golive.db"
    with open_store(f"sqlite://{path}", "spark") as store:
        store.change([], lambda _snapshot: Change(None, append={"ledger": ["one"]}), ["ledger"])
    with closing(sqlite3.connect(path)) as other:
        for statement in ("DELETE FROM line", "UPDATE line SET text = 'two'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)


# ---------------------------------------------------------------------------------------------------------------------
# Redis


def test_passwords_by_parameter_and_by_file(
    redis_server: Callable[..., Any], tmp_path: Path, canary: str, free_port: Callable[[], int]
) -> None:
    commands = "+evalsha +script|load +time +get +set +llen +lrange +rpush +info"
    server = redis_server({"requirepass": canary, "user": f"golive on >{canary}u ~golive:* {commands}"})
    file = tmp_path / "password"
    file.write_text(canary + "\n")
    with open_store(server.url, "spark", canary) as store:
        lock.acquire(store, CLAIM)
    with open_store(f"{server.url}?password_file={file}", "spark") as store:
        assert lock.read(store)["owner"] == "alice"
    with open_store(server.url.replace("//", "//golive@"), "spark", canary + "u") as store:
        assert lock.read(store)["owner"] == "alice"
        ledger.append(store, "spark", "run-1", "event")
        assert ledger.verify(store, "spark")["count"] == 1
    for password in (None, canary + "wrong"):
        with open_store(server.url, "spark", password) as store, pytest.raises(StoreError) as refused:
            lock.read(store)
        assert canary not in str(refused.value)
    with pytest.raises(StoreError, match="No such file"):
        open_store(f"{server.url}?password_file={tmp_path}/none", "spark")
    file.write_text("\n")
    with pytest.raises(StoreError, match="empty"):
        open_store(f"{server.url}?password_file={file}", "spark")
    with pytest.raises(InputError, match="give one"):
        open_store(f"{server.url}?password_file={file}", "spark", canary)


def test_a_cache_is_no_store(redis_server: Callable[..., Any]) -> None:
    server = redis_server({"maxmemory": "50mb", "maxmemory-policy": "allkeys-lru"})
    with open_store(server.url, "spark") as store:
        with pytest.raises(StoreError, match="allkeys-lru"):
            lock.acquire(store, CLAIM)
        assert lock.read(store)["held"] is False


def test_a_full_redis_refuses_whole_changes(redis_server: Callable[..., Any]) -> None:
    import redis

    server = redis_server({"maxmemory": "1", "maxmemory-policy": "noeviction"})
    with open_store(server.url, "spark") as store, pytest.raises(StoreError, match="memory"):
        assert lock.read(store)["held"] is False
        store.change(["x"], lambda _snapshot: Change(None, {"x": {"a": 1}}, {"ledger": ["line"]}), ["ledger"])
    with redis.Redis(port=server.port) as client:
        assert client.keys("*") == []


def test_a_redis_that_is_not_there(free_port: Callable[[], int]) -> None:
    with open_store(f"redis://127.0.0.1:{free_port()}/0", "spark") as store:
        with pytest.raises(StoreError, match="cannot reach the store redis://127"):
            lock.read(store)
        with pytest.raises(StoreError, match="cannot reach"):
            lock.acquire(store, CLAIM)


def test_a_replica_is_refused_by_redis_own_message(redis_server: Callable[..., Any]) -> None:
    primary = redis_server()
    replica = redis_server({"replicaof": f"127.0.0.1 {primary.port}"})
    with open_store(replica.url, "spark") as store, pytest.raises(StoreError, match=r"(?i)read.?only"):
        lock.acquire(store, CLAIM)


def test_tls_is_verified(redis_server_bin: str, redis_server: Callable[..., Any], tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    plain = redis_server()
    plain.stop()
    tls = {"port": "0", "tls-port": str(plain.port), "tls-auth-clients": "no"}
    files = {"tls-cert-file": str(certificate), "tls-key-file": str(key), "tls-ca-cert-file": str(certificate)}
    config = tmp_path / "tls.conf"
    config.write_text("".join(f"{name} {value}\n" for name, value in {**tls, **files, "save": '""'}.items()))
    with subprocess.Popen([redis_server_bin, str(config)], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ready to accept" in line:
                break
        try:
            address = f"rediss://localhost:{plain.port}/0"
            with open_store(f"{address}?ca_file={certificate}", "spark") as store:
                assert lock.acquire(store, CLAIM)["changed"]
            with open_store(address, "spark") as store, pytest.raises(StoreError, match=r"(?i)certificate"):
                lock.read(store)
        finally:
            server.terminate()


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(LibraryMissing, match="redis"):
        open_store("redis://127.0.0.1/0", "spark")

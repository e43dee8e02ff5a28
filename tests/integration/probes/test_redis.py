# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe redis against a real Redis, and against what only looks like one."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.redis import RedisProbe
from tests.conftest import answers, wait_until
from tests.integration.probes.looking import look, mistakes, refused
from tests.integration.probes.stream_servers import certificate

PROBE = RedisProbe()


@contextmanager
def client(server: Any, **options: Any) -> Iterator[Any]:
    one = redis.Redis(port=server.port, **options)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def pretending(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A server that answers what a function makes of each read; None says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    links: list[socket.socket] = []

    def serve(link: socket.socket) -> None:
        try:
            while data := link.recv(65536):
                reply = answer(data)
                if reply is not None:
                    link.sendall(reply)
        except OSError:
            pass

    def accept() -> None:
        try:
            while True:
                link, _ = listener.accept()
                links.append(link)
                threading.Thread(target=serve, args=(link,), daemon=True).start()
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for link in links:
            link.close()


# -- what a server says ------------------------------------------------------------------------------------------------


def test_a_server_that_is_well(redis_server: Callable[..., Any]) -> None:
    server = redis_server()
    seen = look(PROBE, url=f"redis://127.0.0.1:{server.port}/0")
    m = seen.measures
    assert m["ping"] is True
    assert 0 < float(m["latency"]) <= float(m["p95"]) < 0.5
    assert len(seen.samples["latencies"]) == 20
    assert (m["role"], m["connected_replicas"], m["loading"]) == ("master", 0, False)
    assert float(m["memory"]) > 100_000
    assert (m["aof_enabled"], m["aof_last_write_ok"], m["aof_last_rewrite_ok"]) == (False, True, True)
    assert m["aof_rewrite_in_progress"] is False
    assert not seen.missing
    assert seen.proof["pings"] == 20


def test_aof_and_settings(redis_server: Callable[..., Any]) -> None:
    server = redis_server({"appendonly": "yes", "appendfsync": "everysec", "maxmemory": "100mb"})
    with client(server) as one:
        one.set("a", 1)
    seen = look(
        PROBE,
        host="127.0.0.1",
        port=server.port,
        config=["appendfsync", "maxmemory", "no-such-setting"],
        info=["connected_clients", "aof_base_size", "db0", "db0.keys", "nonsense"],
    )
    m = seen.measures
    assert m["aof_enabled"] is True
    assert m["config.appendfsync"] == "everysec"
    assert m["config.maxmemory"] == 100 * 1024**2
    assert seen.missing["config.no-such-setting"] == "Redis has no setting no-such-setting"
    assert float(m["info.connected_clients"]) >= 1
    assert m["info.db0.keys"] == 1
    assert "keys=1" in str(m["info.db0"])
    assert seen.missing["info.nonsense"] == "INFO has no field nonsense"


def test_keys_by_pattern(redis_server: Callable[..., Any]) -> None:
    server = redis_server()
    with client(server, db=3) as one:
        one.mset({f"spark:alerts:{number}": "x" for number in range(2500)})
        one.mset({f"other:{number}": "x" for number in range(3000)})
    seen = look(PROBE, host="127.0.0.1", port=server.port, db=3, keys="spark:alerts:*")
    assert seen.measures["keys"] == 2500
    assert look(PROBE, url=f"redis://127.0.0.1:{server.port}/3", keys="none:*").measures["keys"] == 0
    assert look(PROBE, port=server.port, keys="spark:*").measures["keys"] == 0
    many = look(PROBE, host="127.0.0.1", port=server.port, db=3, keys="*", max_keys=100)
    assert "more than 100 keys match" in many.missing["keys"]


def test_a_lock(redis_server: Callable[..., Any]) -> None:
    server = redis_server()
    key = "spark:alerts:scheduler:lock"
    free = look(PROBE, port=server.port, lock=key)
    assert free.measures["lock_held"] is False
    assert free.missing["lock_holder"] == free.missing["lock_ttl"] == f"nobody holds {key}"
    with client(server) as one:
        one.set(key, "executor-1", px=30_000)
        held = look(PROBE, port=server.port, lock=key)
        one.persist(key)
        forever = look(PROBE, port=server.port, lock=key)
        one.delete(key)
        one.hset(key, "a", "b")
        strange = look(PROBE, port=server.port, lock=key)
    assert held.measures["lock_held"] is True
    assert held.measures["lock_holder"] == "executor-1"
    assert 20 < float(held.measures["lock_ttl"]) <= 30
    assert forever.measures["lock_holder"] == "executor-1"
    assert forever.missing["lock_ttl"] == f"{key} never expires"
    assert strange.measures["lock_held"] is True
    assert "WRONGTYPE" in strange.missing["lock_holder"] or "wrong kind" in strange.missing["lock_holder"]


def test_values_and_lengths(redis_server: Callable[..., Any]) -> None:
    server = redis_server()
    with client(server) as one:
        one.set("number", "4.5")
        one.set("word", "on")
        one.rpush("queue", *range(7))
        one.sadd("set", 1, 2)
    assert look(PROBE, port=server.port, get="number", length="queue").measures["value"] == 4.5
    seen = look(PROBE, port=server.port, get="word", length="set")
    assert (seen.measures["value"], seen.measures["length"]) == ("on", 2)
    none = look(PROBE, port=server.port, get="gone", length="gone")
    assert none.missing["value"] == "there is no key gone"
    assert none.measures["length"] == 0


def test_a_replica(redis_server: Callable[..., Any]) -> None:
    first = redis_server()
    second = redis_server({"replicaof": f"127.0.0.1 {first.port}"})
    deadline = time.monotonic() + 10
    while look(PROBE, port=first.port).measures["connected_replicas"] != 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert look(PROBE, port=second.port).measures["role"] == "slave"


def test_a_unix_socket(redis_server: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    redis_server({"unixsocket": str(path)})
    assert look(PROBE, socket=str(path)).measures["ping"] is True
    assert "No such file" in refused(PROBE, socket=str(tmp_path / "gone.sock"))


def test_tls(redis_server: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path) -> None:
    certificate(tmp_path)
    port = free_port()
    tls = {"tls-port": str(port), "tls-cert-file": f"{tmp_path}/cert.pem", "tls-key-file": f"{tmp_path}/key.pem"}
    redis_server({**tls, "tls-auth-clients": "no", "tls-ca-cert-file": f"{tmp_path}/cert.pem"})
    assert look(PROBE, url=f"rediss://127.0.0.1:{port}", verify=f"{tmp_path}/cert.pem").measures["ping"] is True
    assert look(PROBE, host="127.0.0.1", port=port, tls=True, verify=False).measures["ping"] is True
    assert "certificate" in refused(PROBE, host="127.0.0.1", port=port, tls=True)


# -- what it may not show, and what it refuses -------------------------------------------------------------------------


def test_passwords(redis_server: Callable[..., Any], canary: str) -> None:
    server = redis_server({"requirepass": canary})
    seen = look(PROBE, port=server.port, password=Secret(canary))
    assert seen.measures["ping"] is True
    wrong = refused(PROBE, port=server.port, password=Secret(canary + "x"))
    assert wrong == f"Redis at 127.0.0.1:{server.port}: refused the user name and password"
    none = refused(PROBE, port=server.port)
    assert none == "Redis wants a password, and none was given"
    named = refused(PROBE, port=server.port, username="nobody", password=Secret(canary))
    for text in (wrong, none, named, repr(seen)):
        assert canary not in text


def test_a_user_with_few_rights(redis_server: Callable[..., Any], canary: str) -> None:
    server = redis_server()
    with client(server) as one:
        one.execute_command("ACL", "SETUSER", "probe", "on", f">{canary}", "~*", "+ping")
    seen = look(PROBE, port=server.port, username="probe", password=Secret(canary), config=["save"], keys="*", lock="l")
    assert seen.measures["ping"] is True
    for name in ("role", "aof_enabled", "config.save", "keys", "lock_held"):
        assert "permission" in seen.missing[name].lower(), seen.missing


def test_a_database_that_does_not_exist(redis_server: Callable[..., Any]) -> None:
    server = redis_server()
    assert "out of range" in refused(PROBE, port=server.port, db=99)


def test_loading(redis_server: Callable[..., Any]) -> None:
    """A real Redis that takes 20 ms to load a key, a debugging aid of its own."""
    filled = redis_server()
    with client(filled) as one:
        one.mset({f"key{number}": "x" * 2000 for number in range(200)})
        one.save()
    filled.stop()
    filled.config.write_text(
        filled.config.read_text() + "key-load-delay 20000\nloading-process-events-interval-bytes 1024\n"
    )
    with filled.log.open("ab") as log:
        filled.process = subprocess.Popen(filled.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_until(lambda: answers(filled.port))
    seen = look(PROBE, port=filled.port, keys="*")
    filled.kill()
    assert seen.measures["loading"] is True
    assert seen.measures["ping"] is False
    assert seen.missing["latency"] == "Redis is loading its data set"
    assert "loading" in seen.missing["keys"]


# -- what is no Redis --------------------------------------------------------------------------------------------------


def test_a_refused_connection(free_port: Callable[[], int]) -> None:
    port = free_port()
    assert refused(PROBE, port=port) == f"Redis at 127.0.0.1:{port}: connection refused"


def test_a_server_that_says_nothing() -> None:
    with pretending(lambda data: None) as port:
        assert refused(PROBE, timeout=0.6, port=port) == f"Redis at 127.0.0.1:{port} did not answer in time"


def test_a_server_that_drips() -> None:
    """Every byte is in time, the whole is not."""

    def drip() -> None:
        link, _ = listener.accept()
        with link:
            try:
                while True:
                    link.sendall(b"+" if not sent else b"x")
                    sent.append(1)
                    time.sleep(0.1)
            except OSError:
                pass

    sent: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, daemon=True).start()
        assert "did not answer in time" in refused(PROBE, timeout=0.8, port=listener.getsockname()[1])


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 10, b"\0\0\0\0\r\n", b"*1\r\n$-5\r\n"])
def test_something_else_that_answers(answer: bytes) -> None:
    with pretending(lambda data: answer) as port:
        reason = refused(PROBE, timeout=1, port=port)
    assert "not" in reason


def test_a_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            link, _ = listener.accept()
            link.recv(10)
            link.close()

        threading.Thread(target=hang_up, daemon=True).start()
        reason = refused(PROBE, port=listener.getsockname()[1])
    assert "closed" in reason or "reset" in reason


# -- options -----------------------------------------------------------------------------------------------------------


def test_options_that_exclude_each_other() -> None:
    for raw, word in (
        ({"url": "redis://h/0", "host": "h"}, "exclude"),
        ({"url": "redis://h/zero"}, "not the number"),
        ({"url": "redis://h/0", "db": 1}, "goes with host"),
        ({"url": "redis://:pw@h/0"}, "credentials"),
        ({"socket": "/s", "port": 1}, "goes with host"),
        ({"username": "u"}, "password"),
        ({"password": "plain"}, "secret"),
        ({"config": ["requirepass"]}, "secret"),
        ({"config": ["*"]}, "not the name"),
        ({"info": ["a b"]}, "not a field"),
    ):
        assert any(word in one for one in mistakes(PROBE, raw)), (raw, mistakes(PROBE, raw))


def test_measures_follow_the_options() -> None:
    bare = {key: option.default for key, option in PROBE.options.items()}
    assert "keys" not in PROBE.measures_for(bare)
    assert "lock_held" not in PROBE.measures_for(bare)
    assert PROBE.measures_for({**bare, "keys": "a*", "info": ["x"]})["info.x"] == "any"

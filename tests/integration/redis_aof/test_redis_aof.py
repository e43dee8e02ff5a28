# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The AOF of a real Redis, switched on under load, refused, failed half way, and killed."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ansible_collections.golive.cutover.plugins.module_utils._redis_link import Files, Link
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.redis_aof import AofFailed, Switch, Wish
from tests.conftest import RedisServer

MIB = 1024 * 1024


def client(server: RedisServer) -> redis.Redis:
    return redis.Redis(port=server.port, decode_responses=True, socket_timeout=10)


def fill(server: RedisServer, keys: int, size: int = 16) -> None:
    with client(server) as link:
        for start in range(0, keys, 10000):
            with link.pipeline(transaction=False) as pipe:
                for number in range(start, min(start + 10000, keys)):
                    pipe.set(f"old:{number}", f"{number:0{size}d}")
                pipe.execute()


def switch(
    server: RedisServer, wish: Wish | None = None, sleep: Callable[[float], None] = time.sleep, check: bool = False, **more: Any
) -> dict[str, Any]:
    link = Link(port=server.port)
    try:
        wish = wish or Wish(min_free=0, timeout=60)
        return Switch(link, wish, clock=time.monotonic, sleep=sleep, **more).run(check=check)
    finally:
        link.close()


def settings(server: RedisServer) -> tuple[str, str]:
    with client(server) as link:
        return link.config_get("appendonly")["appendonly"], link.config_get("appendfsync")["appendfsync"]


def names(result: dict[str, Any]) -> list[str]:
    return [step["name"] for step in result["steps"]]


class Writers:
    """Clients that write, and remember what Redis acknowledged."""

    def __init__(self, server: RedisServer, count: int = 2) -> None:
        self.acknowledged: list[list[str]] = [[] for _ in range(count)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(server, number)) for number in range(count)]

    def _write(self, server: RedisServer, number: int) -> None:
        with client(server) as link:
            at = 0
            while not self._stop.is_set():
                key = f"new:{number}:{at}"
                link.set(key, at)
                link.set(f"short:{number}:{at}", at, px=20)
                self.acknowledged[number].append(key)
                at += 1

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def keys(self) -> list[str]:
        return [key for keys in self.acknowledged for key in keys]


def test_under_load_then_killed_every_key_is_there(redis_server: Callable[..., RedisServer]) -> None:
    server = redis_server({"save": "3600 1"})
    fill(server, 120_000)
    with client(server) as link:
        run_id = link.info("server")["run_id"]
    with Writers(server) as writers:
        time.sleep(0.3)
        result = switch(server)
        during = len(writers.keys)
        time.sleep(0.5)
    assert result["changed"] and result["persisted"] == "yes"
    assert names(result) == [
        "look", "precondition", "backup", "set appendfsync", "set appendonly", "rewrite", "compare", "prove", "persist",
        "verify",
    ]  # fmt: skip
    assert all(step["seconds"] >= 0 and step["detail"] for step in result["steps"])
    assert during > 100
    with client(server) as link:
        assert link.info("server")["run_id"] == run_id, "Redis was restarted"
        # everysec promises at most about a second: wait until what was acknowledged is on the disk.
        deadline = time.monotonic() + 5
        time.sleep(1.1)
        while link.info("persistence")["aof_pending_bio_fsync"] and time.monotonic() < deadline:
            time.sleep(0.05)
    server.kill()
    server.start()
    assert settings(server) == ("yes", "everysec")
    with client(server) as link:
        expected = [f"old:{number}" for number in range(120_000)] + writers.keys
        there = 0
        for start in range(0, len(expected), 10000):
            there += link.exists(*expected[start : start + 10000])
        assert there == len(expected)
        assert link.get("old:119999") == f"{119999:016d}"


def test_the_naive_path_loses_the_data_set_and_is_not_ours(redis_server: Callable[..., RedisServer]) -> None:
    """What the file and a restart do to real data: the reason for everything else here."""
    naive, ours = redis_server({"save": "3600 1"}), redis_server({"save": "3600 1"})
    for server in (naive, ours):
        fill(server, 1000)
    with client(naive) as link:
        link.save()
    naive.config.write_text(naive.config.read_text() + "appendonly yes\n")
    naive.stop()
    naive.start()
    with client(naive) as link:
        assert link.dbsize() == 0
    switch(ours)
    ours.stop()
    ours.start()
    with client(ours) as link:
        assert link.dbsize() == 1000


def test_twice_changes_nothing_and_check_mode_only_says(redis_server: Callable[..., RedisServer]) -> None:
    server = redis_server()
    fill(server, 10)
    before = server.config.read_text()
    planned = switch(server, check=True)
    assert planned["changed"] and "CONFIG SET appendonly yes" in planned["planned"]
    assert settings(server) == ("no", "everysec") and server.config.read_text() == before
    first = switch(server)
    assert first["changed"]
    backup = Path(first["backup_file"])
    assert backup.stat().st_size > 0 and backup.parent == server.directory
    written = server.config.read_text()
    assert "appendonly yes" in written
    for check in (False, True):
        again = switch(server, check=check)
        assert not again["changed"] and again["persisted"] == "yes" and "planned" not in again
    assert server.config.read_text() == written
    changed = switch(server, Wish(appendfsync="always", min_free=0))
    assert changed["changed"] and settings(server) == ("yes", "always")


def test_live_only_is_made_to_last_by_the_next_run(redis_server: Callable[..., RedisServer]) -> None:
    """A run that was killed after CONFIG SET is finished."""
    server = redis_server()
    fill(server, 100)
    with client(server) as link:
        link.config_set("appendonly", "yes")
    assert "appendonly yes" not in server.config.read_text()
    result = switch(server)
    assert result["changed"] and "backup" not in names(result) and "persist" in names(result)
    server.stop()
    server.start()
    assert settings(server)[0] == "yes"
    with client(server) as link:
        assert link.dbsize() == 100


OTHER_USER = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"] if os.getuid() == 0 else []


@contextlib.contextmanager
def no_new_processes(pid: int) -> Iterator[None]:
    """Take from a process the right to fork, as a host that is out of memory or processes does."""
    before = resource.prlimit(os.getpid(), resource.RLIMIT_NPROC)[0]

    def limit(value: int) -> None:
        # By its own user: that needs no capability, which root in a container may lack.
        words = "unlimited" if value == resource.RLIM_INFINITY else str(value)
        subprocess.run([*OTHER_USER, "prlimit", "--pid", str(pid), f"--nproc={words}:"], check=True)

    limit(1)
    try:
        yield
    finally:
        limit(before)


@pytest.fixture
def unprivileged_redis(redis_server: Callable[..., RedisServer], redis_server_bin: str, tmp_path: Path) -> tuple[RedisServer, int]:
    """A Redis that is not root: root may always fork. Returns the server and the process id of Redis."""
    server = redis_server({"save": "3600 1", "logfile": "redis-own.log"})
    if os.getuid() == 0:
        server.stop()
        for path in [server.directory, *server.directory.iterdir()]:
            os.chown(path, 54321, 54321)
        for path in (tmp_path, *tmp_path.parents):
            with contextlib.suppress(OSError):
                path.chmod(path.stat().st_mode | stat.S_IXOTH)
        server.command = [*OTHER_USER, *server.command]
        server.start()
    with client(server) as link:
        return server, link.info("server")["process_id"]


@pytest.mark.parametrize("backup", [True, False])
def test_redis_that_cannot_fork_is_left_as_it_was(unprivileged_redis: tuple[RedisServer, int], backup: bool) -> None:
    server, pid = unprivileged_redis
    fill(server, 1000)
    before = server.config.read_text()
    wish = Wish(min_free=0, timeout=20, backup=backup)
    with no_new_processes(pid), pytest.raises(AofFailed) as caught:
        switch(server, wish)
    message = str(caught.value)
    assert "fork: Resource temporarily unavailable" in message, "not Redis' own message"
    assert "appendonly is no, as it was before, and the data set is intact (1000 keys)" in message
    assert settings(server) == ("no", "everysec")
    assert server.config.read_text() == before
    with client(server) as link:
        assert link.dbsize() == 1000 and link.set("still", "writable")
        assert link.config_get("stop-writes-on-bgsave-error").popitem()[1] == ("no" if backup else "yes")
    assert ("stop-writes-on-bgsave-error is live set to no" in message) is backup
    assert switch(server, wish)["changed"], "the same again, once Redis can fork"
    with client(server) as link:
        assert link.config_get("stop-writes-on-bgsave-error").popitem()[1] == "yes"
    assert "stop-writes" not in server.config.read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB where we may mount one; else a directory with a limit on file sizes does the same."""
    place = tmp_path / "small"
    place.mkdir()
    if os.getuid() != 0:
        pytest.fail("needs root to mount a small file system", pytrace=False)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "golive-test", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_without_room_is_refused_before_anything_is_done(redis_server: Callable[..., RedisServer], small_disk: Path) -> None:
    server = redis_server(directory=small_disk)
    fill(server, 2000, size=4000)
    with client(server) as link:
        link.config_set("rdbcompression", "no")
        link.save()
        (small_disk / "ballast").write_bytes(b"x" * 10 * MIB)
        saves = link.info("persistence")["rdb_saves"]
        with pytest.raises(AofFailed, match=r"has .* MB free; about .* are needed for the backup and the first AOF"):
            switch(server)
        assert link.info("persistence")["rdb_saves"] == saves, "a snapshot was taken"
    with pytest.raises(CutoverError, match="are needed"):
        switch(server, check=True)
    assert settings(server) == ("no", "everysec")


def test_a_disk_that_fills_while_the_aof_is_written(redis_server: Callable[..., RedisServer], small_disk: Path) -> None:
    server = redis_server({"rdbcompression": "no", "logfile": "redis-own.log"}, directory=small_disk)
    fill(server, 2000, size=4000)
    before = server.config.read_text()

    class Filling(Files):
        def free(self, directory: str) -> int:
            found = super().free(directory)
            # Somebody else fills the disk between our look at it and the rewrite.
            with contextlib.suppress(OSError):
                (small_disk / "ballast").write_bytes(b"x" * (found - 4 * MIB))
            return found

    with pytest.raises(AofFailed) as caught:
        switch(server, Wish(min_free=0, timeout=20, backup=False), files=Filling())
    message = str(caught.value)
    assert "aof_last_bgrewrite_status is err" in message
    assert "No space left on device" in message, "not Redis' own message"
    assert "appendonly is no, as it was before, and the data set is intact (2000 keys)" in message
    assert settings(server) == ("no", "everysec")
    assert server.config.read_text() == before
    (small_disk / "ballast").unlink()
    assert switch(server, Wish(min_free=0, timeout=20, backup=False))["changed"]
    server.kill()
    server.start()
    with client(server) as link:
        assert link.dbsize() == 2000


def test_without_a_configuration_file_it_would_not_last_and_is_undone(
    redis_server: Callable[..., RedisServer], redis_server_bin: str, tmp_path: Path
) -> None:
    server = redis_server()
    server.stop()
    server.command = [redis_server_bin, "--port", str(server.port), "--dir", str(server.directory), "--save", ""]
    server.start()
    fill(server, 100)
    with pytest.raises(AofFailed, match=r"CONFIG REWRITE failed .*running without a config file.*Name the file") as caught:
        switch(server)
    assert settings(server) == ("no", "everysec")
    assert "(100 keys)" in caught.value.result["state"]
    given = tmp_path / "given.conf"
    given.write_text("# ours\nport 1\nappendonly no # not yet\n#appendonly no\n")
    inode = given.stat().st_ino
    result = switch(server, Wish(min_free=0, config_file=str(given)))
    assert result["changed"] and result["persisted"] == "yes"
    assert given.read_text() == "# ours\nport 1\nappendonly yes\n#appendonly no\nappendfsync everysec\n"
    assert given.stat().st_ino == inode, "a bind mount would have lost the file"
    assert not switch(server, Wish(min_free=0, config_file=str(given)))["changed"]
    elsewhere = switch(server, Wish(min_free=0, persisted_elsewhere=True))
    assert not elsewhere["changed"] and elsewhere["persisted"] == "elsewhere"


def test_a_bind_mounted_configuration_is_edited_in_place(redis_server: Callable[..., RedisServer]) -> None:
    server = redis_server()
    server.stop()
    if os.getuid() != 0:
        pytest.fail("needs root to bind-mount a file", pytrace=False)
    host = server.directory / "host.conf"
    shutil.copy(server.config, host)
    subprocess.run(["mount", "--bind", str(host), str(server.config)], check=True)
    try:
        server.start()
        fill(server, 100)
        result = switch(server)
        assert result["changed"] and result["persisted"] == "yes"
        assert "CONFIG REWRITE failed" in result["steps"][-2]["detail"]
        assert "appendonly yes" in host.read_text()
        server.kill()
        server.start()
        with client(server) as link:
            assert link.dbsize() == 100
    finally:
        server.stop()
        subprocess.run(["umount", "-l", str(server.config)], check=True)


def test_a_configuration_that_cannot_be_written_is_undone(
    redis_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = redis_server()
    fill(server, 100)
    before = server.config.read_text()

    class ReadOnly(Files):
        def overwrite(self, path: str, text: str) -> None:
            raise CutoverError(f"{path} cannot be written: Read-only file system")

    with client(server) as link:
        link.execute_command("ACL SETUSER", "default", "-config|rewrite")
    with pytest.raises(AofFailed, match=r"Read-only file system.*appendonly is no, as it was"):
        switch(server, files=ReadOnly())
    assert settings(server)[0] == "no"
    assert server.config.read_text() == before


def test_redis_that_does_not_let_us(redis_server: Callable[..., RedisServer]) -> None:
    server = redis_server()
    with client(server) as link:
        link.execute_command("ACL SETUSER", "default", "-config")
    with pytest.raises(CutoverError, match=r"does not let us read its configuration: .*no permissions"):
        switch(server)


def test_a_replica_is_switched_without_writing_to_it(redis_server: Callable[..., RedisServer]) -> None:
    master = redis_server()
    fill(master, 50)
    replica = redis_server({"replicaof": f"127.0.0.1 {master.port}"})
    with client(replica) as link:
        deadline = time.monotonic() + 10
        while link.dbsize() != 50 and time.monotonic() < deadline:
            time.sleep(0.05)
    result = switch(replica)
    assert result["changed"] and any("replica" in note for note in result["notes"])


def test_the_module_in_a_real_task(
    redis_server: Callable[..., RedisServer], run_module: Callable[..., dict[str, Any]], canary: str, tmp_path: Path
) -> None:
    server = redis_server({"requirepass": canary})
    password = {"port": server.port, "password": canary, "min_free": "0B"}
    env = {"ANSIBLE_VERBOSITY": "4"}
    planned = run_module("redis_aof", password, check=True, env=env)
    done = run_module("redis_aof", password, env=env)
    again = run_module("redis_aof", password, env=env)
    assert [result["changed"] for result in (planned, done, again)] == [True, True, False]
    gone = run_module("redis_aof", {"port": server.port, "password": f"{canary}wrong"}, env=env)
    assert gone["failed"] and "refused the login: invalid username-password pair" in gone["msg"]
    server.stop()
    gone = run_module("redis_aof", password, env=env)
    assert gone["failed"] and "cannot be reached" in gone["msg"]
    for result in (planned, done, again, gone):
        assert canary not in str(result)

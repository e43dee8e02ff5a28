# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction against a scripted server: what real servers cannot be made to do at will."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils._redis_link import Files, RedisGone, RedisRefused
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.redis_aof import AofFailed, Switch, Wish


class FakeRedis:
    """Answers from dictionaries; ``on`` maps a command to what it does."""

    def __init__(self, **info: Any) -> None:
        self.facts: dict[str, Any] = {
            "redis_version": "7.0.15", "run_id": "a", "process_id": 1, "role": "master", "config_file": "/etc/redis.conf",
            "aof_last_bgrewrite_status": "ok", "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok",
            "rdb_last_save_time": 1, "aof_current_size": 0, "db0": {"keys": 10}, **info,
        }  # fmt: skip
        self.config = {
            "appendonly": "no", "appendfsync": "everysec", "dir": "/data", "dbfilename": "dump.rdb", "logfile": "",
            "save": "", "stop-writes-on-bgsave-error": "yes",
        }  # fmt: skip
        self.asked: list[str] = []
        self.on: dict[str, Any] = {}

    def info(self) -> dict[str, Any]:
        return dict(self.facts)

    def config_get(self, name: str) -> str | None:
        return self.config.get(name)

    def command(self, *words: str | int) -> Any:
        text = " ".join(map(str, words))
        self.asked.append(text)
        for start, action in self.on.items():
            if text.startswith(start):
                return action()
        if words[0] == "CONFIG SET":
            self.config[str(words[1])] = str(words[2])
            if words[1] == "appendonly":
                self.facts["aof_enabled"] = int(words[2] == "yes")
        elif words[0] == "TIME":
            return ["100", "0"]
        elif words[0] == "BGSAVE":
            self.facts["rdb_last_save_time"] = 100
        elif words[0] == "SET":
            self.facts["aof_current_size"] += 50
        elif words[0] == "WAITAOF":
            return [1, 0]
        return True


class NoFiles(Files):
    def belongs(self, pid: int, directory: str) -> bool:
        return False


def attempt(server: FakeRedis, **wish: Any) -> Switch:
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds

    return Switch(server, Wish(timeout=5, **wish), clock=lambda: time[0], sleep=sleep, files=NoFiles())


def test_what_is_out_of_sight_is_said(canary: str) -> None:
    server = FakeRedis()
    result = attempt(server).run()
    assert result["changed"] and result["persisted"] == "unseen" and result["backup_file"] is None
    assert len(result["notes"]) == 2
    order = [word for word in server.asked if word.startswith(("BGSAVE", "CONFIG", "DEL"))]
    assert order == [
        "BGSAVE", "CONFIG SET appendfsync everysec", "CONFIG SET appendonly yes", "DEL golive:redis_aof:marker",
        "CONFIG REWRITE",
    ]  # fmt: skip


def test_newer_servers_prove_it_by_waitaof() -> None:
    server = FakeRedis(redis_version="7.2.0")
    attempt(server).run()
    assert any(word.startswith("WAITAOF 1 0") for word in server.asked)
    server = FakeRedis(redis_version="8.0.1")
    server.on["WAITAOF"] = lambda: [0, 0]
    with pytest.raises(AofFailed, match="did not reach the disk"):
        attempt(server).run()
    assert server.config["appendonly"] == "no"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"aof_last_write_status": "err"}, "aof_last_write_status is err"),
        ({"aof_last_bgrewrite_status": "err"}, "aof_last_bgrewrite_status is err"),
        ({"aof_rewrite_in_progress": 1}, "the first AOF is being written"),
        ({"aof_rewrite_scheduled": 1}, "waiting for another child process"),
        ({"db0": {"keys": 3}}, "7 of 10 keys are gone"),
        ({"run_id": "b"}, "restarted by somebody else"),
    ],
)
def test_each_fault_after_the_switch_is_undone(fault: dict[str, Any], words: str) -> None:
    server = FakeRedis()

    def switch() -> bool:
        server.config["appendonly"] = "yes"
        server.facts.update(fault, aof_enabled=1)
        return True

    server.on["CONFIG SET appendonly yes"] = switch
    with pytest.raises(AofFailed, match=words) as caught:
        attempt(server).run()
    assert server.config["appendonly"] == "no"
    assert "appendonly is no, as it was before" in caught.value.result["state"]


def test_fewer_keys_are_fine_when_somebody_removed_them() -> None:
    server = FakeRedis()

    def switch() -> bool:
        server.config["appendonly"] = "yes"
        server.facts.update({"aof_enabled": 1, "db0": {"keys": 3}, "expired_keys": 2, "cmdstat_del": {"calls": 1}})
        return True

    server.on["CONFIG SET appendonly yes"] = switch
    result = attempt(server).run()
    assert "others removed some meanwhile (del)" in str(result["steps"])


def test_a_server_that_vanishes_is_not_called_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeRedis()

    def gone() -> None:
        monkeypatch.setattr(server, "config_get", vanish)
        raise RedisGone("Connection reset")

    def vanish(_name: str) -> str | None:
        raise RedisGone("Connection refused")

    server.on["CONFIG SET appendonly yes"] = gone
    with pytest.raises(AofFailed, match=r"NOT everything could be put back .Connection refused.: appendonly was no and is unknown"):
        attempt(server).run()


def test_persisting_that_fails_undoes_the_live_setting() -> None:
    server = FakeRedis()

    def busy() -> None:
        raise RedisRefused("Rewriting config file: Resource busy")

    server.on["CONFIG REWRITE"] = busy
    with pytest.raises(AofFailed, match=r"Resource busy.*lost at the next restart"):
        attempt(server).run()
    assert server.config["appendonly"] == "no"


def test_an_aof_that_is_on_since_the_start_is_left_alone_but_one_of_ours_is_made_to_last() -> None:
    server = FakeRedis(aof_enabled=1, aof_rewrites=0)
    server.config["appendonly"] = "yes"
    assert not attempt(server).run()["changed"]
    server.facts["aof_rewrites"] = 1
    assert not attempt(server).run()["changed"], "nothing that can be seen has changed"
    assert "CONFIG REWRITE" in server.asked


def test_a_busy_server_is_waited_for_and_not_for_ever() -> None:
    server = FakeRedis(loading=1)
    with pytest.raises(AofFailed, match=r"does not come to rest after 5.* s: it is loading its data set"):
        attempt(server).run()
    assert not any(word.startswith("CONFIG SET") for word in server.asked)


def test_a_sentinel_is_refused() -> None:
    with pytest.raises(CutoverError, match="Sentinel"):
        attempt(FakeRedis(redis_mode="sentinel")).run()

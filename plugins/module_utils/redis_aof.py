# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Switching on the append-only file (AOF) of a running Redis, as a transaction.

``appendonly yes`` in the file and a restart loses the data set: Redis starts from an empty AOF. So the live server is
asked instead, its first AOF is awaited and proven, and only then the setting is made to last. When a step fails, the
server is put back to what it was, and the error says in which state things are.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils import _redis_config as config_file
from ansible_collections.golive.cutover.plugins.module_utils._redis_link import Files, Info, RedisRefused, Server
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

APPENDFSYNC = ("always", "everysec", "no")

_POLL = 0.1
_STOP_WRITES = "stop-writes-on-bgsave-error"
_RDB_GROWTH = 1.2
"""What a snapshot may have grown since the last one, as an estimate before there is a new one."""

_REMOVER_NAMES = (
    "del unlink getdel getex flushdb flushall swapdb move rename restore migrate expire pexpire expireat pexpireat "
    "lpop rpop lmpop blpop brpop blmpop lrem ltrim lmove blmove rpoplpush brpoplpush spop srem smove sinterstore "
    "sdiffstore sunionstore zpopmin zpopmax zmpop bzpopmin bzpopmax bzmpop zrem zremrangebyscore zremrangebyrank "
    "zremrangebylex zinterstore zdiffstore zunionstore zrangestore hdel hgetdel xtrim sort eval evalsha fcall"
)
_REMOVERS = frozenset(_REMOVER_NAMES.split())
"""Commands after which a key may be gone. Not complete for modules; what is not explained is reported as such."""


class AofFailed(CutoverError):
    """The AOF was not switched on. ``result`` holds the steps that were done and what was put back."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True)
class Wish:
    """What is wanted. Sizes in bytes, durations in seconds; paths are those of this host."""

    appendfsync: str = "everysec"
    timeout: float = 300.0
    backup: bool = True
    min_free: int = 64 * 1024 * 1024
    config_file: str | None = None
    data_dir: str | None = None
    persisted_elsewhere: bool = False
    marker: str = "golive:redis_aof:marker"


@dataclass
class Step:
    name: str
    seconds: float
    detail: str


@dataclass
class _Seen:
    """What was found before anything was done."""

    info: Info
    appendonly: str
    appendfsync: str
    here: bool
    directory: str
    data_dir: str | None
    rdb: str | None
    config: str | None
    config_text: str | None
    log: str | None
    log_size: int
    stop_writes: str


@dataclass
class Switch:
    """One attempt. ``clock`` and ``sleep`` are in seconds, ``now`` gives the wall clock for the name of the backup."""

    server: Server
    wish: Wish
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    now: Callable[[], float] = time.time
    files: Files = field(default_factory=Files)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backup_file: str | None = None
    _began: float = 0.0
    _rewrote: bool = False
    _edited: bool = False

    # --- the course ---------------------------------------------------------------------------------------------------

    def run(self, check: bool = False) -> dict[str, Any]:
        """Do it, or say what would be done. Returns the result; raises AofFailed, RedisRefused, RedisGone, CutoverError."""
        self._began = self.clock()
        with self._step("look") as say:
            seen = self._look()
            lasting = self._lasting(seen)
            say(f"appendonly is {seen.appendonly}, appendfsync is {seen.appendfsync}; {_lasting_words(lasting)}")
        on = seen.appendonly == "yes"
        if on and seen.appendfsync == self.wish.appendfsync and (lasting or self.wish.persisted_elsewhere):
            with self._step("verify") as say:
                say(self._await_rewrite(seen.info))
            return self._result(False, seen, lasting)
        if on and lasting is None and not _switched_on_live(seen.info) and seen.appendfsync == self.wish.appendfsync:
            self.notes.append("Redis was started with the AOF on; where that is configured cannot be seen from here")
            return self._result(False, seen, None)
        # Live as wanted, file unseen: it may be the rest of a run that was killed, so it is written once more.
        unseen = on and lasting is None and seen.appendfsync == self.wish.appendfsync
        if check:
            return {**self._plan(seen, on), "changed": not unseen}
        try:
            if not on:
                self._prepare(seen)
                before = self.server.info()
                self._switch_on()
                with self._step("rewrite") as say:
                    say(self._await_rewrite(seen.info))
                with self._step("compare") as say:
                    say(self._compare(before, self.server.info()))
            elif seen.appendfsync != self.wish.appendfsync:
                self._set("appendfsync", self.wish.appendfsync)
            if on:
                with self._step("rewrite") as say:
                    say(self._await_rewrite(seen.info))
            with self._step("prove") as say:
                say(self._prove())
            with self._step("persist") as say:
                say(self._persist(seen))
            with self._step("verify") as say:
                say(self._verify(seen))
        except BaseException as error:
            state = self._undo(seen)
            if not isinstance(error, CutoverError):
                raise
            log = self._log(seen)
            message = f"the AOF was not switched on: {error}{f'. Redis logged: {log}' if log else ''}. {state}"
            raise AofFailed(message, {"steps": self._steps(), "state": state}) from error
        return self._result(not unseen, seen, True)

    def _plan(self, seen: _Seen, on: bool) -> dict[str, Any]:
        self._space(seen)
        todo = []
        if not on:
            todo += ["take a snapshot (BGSAVE)"] if self.wish.backup else []
            todo += ["CONFIG SET appendonly yes", "wait for the first AOF", "compare the number of keys"]
        if seen.appendfsync != self.wish.appendfsync:
            todo.insert(0, f"CONFIG SET appendfsync {self.wish.appendfsync}")
        todo.append("prove that a write reaches the AOF")
        if not self.wish.persisted_elsewhere:
            todo.append("CONFIG REWRITE" + (f", or edit {self.wish.config_file}" if self.wish.config_file else ""))
        return {**self._result(True, seen, None), "planned": todo}

    # --- looking ------------------------------------------------------------------------------------------------------

    def _look(self) -> _Seen:
        info = self.server.info()
        if info.get("redis_mode") == "sentinel":
            raise CutoverError("this is a Sentinel: it has no data set, so ask the Redis servers that it watches")
        try:
            appendonly, fsync = (self.server.config_get(name) for name in ("appendonly", "appendfsync"))
            directory = self.server.config_get("dir") or ""
            rdb_name = self.server.config_get("dbfilename") or ""
            log = self.server.config_get("logfile") or ""
            stop_writes = self.server.config_get(_STOP_WRITES) or "yes"
        except RedisRefused as error:
            raise CutoverError(
                f"Redis does not let us read its configuration: {error}. Where CONFIG is renamed or denied, "
                "the AOF can only be switched on by whoever runs this server"
            ) from error
        if appendonly is None or fsync is None:
            raise CutoverError("Redis does not show appendonly and appendfsync; a managed service switches AOF on itself")
        here = self.files.belongs(int(info.get("process_id", 0)), directory)
        data_dir = self.wish.data_dir or (directory if here else None)
        config = self.wish.config_file or (str(info.get("config_file") or "") or None if here else None)
        text = self.files.read(config) if config else None
        if self.wish.config_file and text is None:
            raise CutoverError(f"config_file: {self.wish.config_file} cannot be read on this host")
        # A live "no" that the file does not know is ours, from a run in which the snapshot failed.
        if text is not None and config_file.effective(text, [_STOP_WRITES]).get(_STOP_WRITES, "yes") == "yes":
            stop_writes = "yes"
        log_path = f"{directory}/{log}" if log and not log.startswith("/") else log
        log_seen = log_path if here and log else None
        return _Seen(
            info=info,
            appendonly=appendonly,
            appendfsync=fsync,
            here=here,
            directory=directory,
            data_dir=data_dir,
            rdb=f"{data_dir}/{rdb_name}" if data_dir and rdb_name else None,
            config=config if text is not None else None,
            config_text=text,
            log=log_seen,
            log_size=(self.files.size(log_seen) or 0) if log_seen else 0,
            stop_writes=stop_writes,
        )

    def _lasting(self, seen: _Seen) -> bool | None:
        """Whether the configuration file asks for what is wanted; None when no file can be seen."""
        if seen.config is None:
            return None
        text = self.files.read(seen.config) or ""
        found = config_file.effective(
            text, ("appendonly", "appendfsync"), lambda pattern: self.files.included(pattern, seen.directory)
        )
        return found.get("appendonly") == "yes" and found.get("appendfsync", "everysec") == self.wish.appendfsync

    # --- doing --------------------------------------------------------------------------------------------------------

    def _prepare(self, seen: _Seen) -> None:
        with self._step("precondition") as say:
            self._await_idle()
            say("; ".join(["no save and no rewrite is running", *self._space(seen)]))
        if self.wish.backup:
            with self._step("backup") as say:
                say(self._save(seen))

    def _await_idle(self) -> None:
        def idle() -> str | None:
            info = self.server.info()
            busy = {
                "loading": "it is loading its data set",
                "rdb_bgsave_in_progress": "a save is running",
                "aof_rewrite_in_progress": "an AOF rewrite is running",
            }
            found = [words for name, words in busy.items() if int(info.get(name, 0))]
            return ", ".join(found) or None

        self._await(idle, "Redis does not come to rest")

    def _space(self, seen: _Seen) -> list[str]:
        """Refuse when there is no room for the copy and the AOF. Returns what was found, as words."""
        if seen.data_dir is None:
            self.notes.append("the data directory of Redis cannot be seen from here, so its free space was not looked at")
            return []
        saved = self.files.size(seen.rdb) if seen.rdb else None
        one = int(saved * _RDB_GROWTH) if saved else int(seen.info.get("used_memory_dataset", seen.info.get("used_memory", 0)))
        copies = 1 + int(self.wish.backup) + int(not saved)
        needed = one * copies + self.wish.min_free
        free = self.files.free(seen.data_dir)
        if free < needed:
            raise CutoverError(
                f"{seen.data_dir} has {units.show(free, 'size')} free; about {units.show(needed, 'size')} are needed for the "
                f"{'backup and the ' if self.wish.backup else ''}first AOF"
            )
        return [f"{units.show(free, 'size')} free, about {units.show(needed, 'size')} needed"]

    def _save(self, seen: _Seen) -> str:
        before = int(self.server.info().get("rdb_last_save_time", 0))
        # LASTSAVE counts in whole seconds: a save in the same second could not be told from the one before.
        while int(self.server.command("TIME")[0]) <= before:
            self.sleep(_POLL)
        # When a snapshot fails, Redis refuses all writes. Ours must not be what stops a system that is running.
        guarded = self.server.config_get(_STOP_WRITES) == "yes" and bool(self.server.config_get("save"))
        if guarded:
            self.server.command("CONFIG SET", _STOP_WRITES, "no")
        try:
            self._snapshot(before)
        finally:
            self._stop_writes(seen)
        size = self.files.size(seen.rdb) if seen.rdb else None
        if seen.rdb is None or size is None:
            self.notes.append("the snapshot cannot be seen from here: Redis has just written it, but there is no copy of it")
            return "Redis wrote a new snapshot"
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now()))
        target = f"{seen.rdb}.before-aof-{stamp}"
        size = self.files.copy(seen.rdb, target)
        self.backup_file = target
        return f"{target}, {units.show(size, 'size')}"

    def _stop_writes(self, seen: _Seen) -> None:
        """Let failing snapshots stop writes again, as it was, unless that would stop them now."""
        with contextlib.suppress(CutoverError):
            info = self.server.info()
            if info.get("rdb_last_bgsave_status") != "ok" or int(info.get("rdb_bgsave_in_progress", 0)):
                return
            if self.server.config_get(_STOP_WRITES) != seen.stop_writes:
                self.server.command("CONFIG SET", _STOP_WRITES, seen.stop_writes)

    def _snapshot(self, before: int) -> None:
        self.server.command("BGSAVE")

        def saved() -> str | None:
            info = self.server.info()
            if int(info.get("rdb_bgsave_in_progress", 0)):
                return "the snapshot is being written"
            if info.get("rdb_last_bgsave_status") != "ok":
                raise CutoverError("the snapshot before the change failed (rdb_last_bgsave_status is err)")
            return None if int(info.get("rdb_last_save_time", 0)) > before else "LASTSAVE has not moved"

        self._await(saved, "there is no snapshot")

    def _switch_on(self) -> None:
        self._set("appendfsync", self.wish.appendfsync)
        self._set("appendonly", "yes")

    def _set(self, name: str, value: str) -> None:
        with self._step(f"set {name}") as say:
            self.server.command("CONFIG SET", name, value)
            say(f"CONFIG SET {name} {value}")

    def _await_rewrite(self, first: Info) -> str:
        """Wait until an AOF is there and complete."""
        stale = first.get("aof_last_bgrewrite_status") == "err"

        def rewritten() -> str | None:
            info = self.server.info()
            running, scheduled = (int(info.get(f"aof_rewrite_{name}", 0)) for name in ("in_progress", "scheduled"))
            if info.get("aof_last_write_status", "ok") != "ok":
                raise CutoverError("writing to the AOF fails (aof_last_write_status is err)")
            if running:
                return "the first AOF is being written"
            if info.get("aof_last_bgrewrite_status") != "ok" and not (stale and scheduled):
                raise CutoverError("the first AOF could not be written (aof_last_bgrewrite_status is err)")
            if scheduled:
                return "the first AOF is waiting for another child process to end"
            return None if int(info.get("aof_enabled", 0)) else "the AOF is not on yet"

        self._await(rewritten, "the first AOF is not complete")
        size = int(self.server.info().get("aof_current_size", 0))
        return f"the AOF is complete, {units.show(size, 'size')}"

    def _compare(self, before: Info, after: Info) -> str:
        """Hold the number of keys against what it was; others write meanwhile, so what is less must be explained."""
        had, has = _keys(before), _keys(after)
        gone = sum(int(after.get(name, 0)) - int(before.get(name, 0)) for name in ("expired_keys", "evicted_keys"))
        lost = had - has - gone
        if lost <= 0:
            return f"{has} keys, {had} before"
        removers = sorted(name for name in _REMOVERS if _calls(after, name) > _calls(before, name))
        if not removers:
            raise CutoverError(f"{lost} of {had} keys are gone, and nothing that was asked of Redis removes keys")
        return f"{has} keys, {had} before; others removed some meanwhile ({', '.join(removers)})"

    def _prove(self) -> str:
        """Write a key and see that it reaches the AOF."""
        info = self.server.info()
        if info.get("role") == "slave":
            self.notes.append("this is a replica, which takes no writes of ours: that writes reach the AOF was not tried")
            return "not tried on a replica"
        if int(info.get("cluster_enabled", 0)):
            self.notes.append("this is a node of a cluster: that writes reach the AOF was not tried")
            return "not tried on a node of a cluster"
        size = int(info.get("aof_current_size", 0))
        left = max(1.0, min(10.0, self._left()))
        try:
            self.server.command("SET", self.wish.marker, "1", "PX", 60000)
            if _version(info) >= (7, 2) and self.wish.appendfsync != "no":
                local = int(self.server.command("WAITAOF", 1, 0, int(left * 1000))[0])
                if local < 1:
                    raise CutoverError(f"a write did not reach the disk within {left:g} s (WAITAOF)")
                return "a write is on disk (WAITAOF)"

            def arrived() -> str | None:
                now = self.server.info()
                if now.get("aof_last_write_status", "ok") != "ok":
                    raise CutoverError("writing to the AOF fails (aof_last_write_status is err)")
                if int(now.get("aof_current_size", 0)) <= size:
                    return "the AOF does not grow"
                unsynced = self.wish.appendfsync != "no" and int(now.get("aof_pending_bio_fsync", 0))
                return "a sync is pending" if unsynced or int(now.get("aof_buffer_length", 0)) else None

            self._await(arrived, "a write does not reach the AOF", limit=left)
            return "a write made the AOF grow"
        finally:
            with contextlib.suppress(CutoverError):
                self.server.command("DEL", self.wish.marker)

    def _persist(self, seen: _Seen) -> str:
        if self.wish.persisted_elsewhere:
            self.notes.append("the setting is live; that it lasts is the business of what starts Redis (persisted_elsewhere)")
            return "left to what starts Redis"
        self._stop_writes(seen)
        refusal = ""
        try:
            self.server.command("CONFIG REWRITE")
            self._rewrote = True
        except RedisRefused as error:
            refusal = str(error)
        if not refusal and seen.config is None:
            return "CONFIG REWRITE; the file cannot be seen from here"
        if not refusal and self._lasting(seen):
            return f"CONFIG REWRITE; {seen.config} says so"
        if seen.config is None or seen.config_text is None:
            raise CutoverError(
                f"CONFIG REWRITE failed ({refusal}), so the setting would be lost at the next restart. Name the file that "
                "Redis is started with as config_file, or say persisted_elsewhere when its command line holds the setting"
            )
        text = self.files.read(seen.config) or ""
        self._edited = True
        self.files.overwrite(seen.config, config_file.edited(text, {"appendonly": "yes", "appendfsync": self.wish.appendfsync}))
        if not self._lasting(seen):
            raise CutoverError(f"{seen.config} does not say appendonly yes even after it was edited")
        return f"{seen.config} edited in place" + (f" (CONFIG REWRITE failed: {refusal})" if refusal else "")

    def _verify(self, seen: _Seen) -> str:
        info = self.server.info()
        live = self.server.config_get("appendonly"), self.server.config_get("appendfsync")
        if live != ("yes", self.wish.appendfsync):
            raise CutoverError(f"appendonly and appendfsync are {live[0]} and {live[1]} again: somebody else changes them")
        if info.get("run_id") != seen.info.get("run_id"):
            raise CutoverError("Redis was restarted by somebody else meanwhile")
        wrong = [name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if info.get(name, "ok") != "ok"]
        if wrong:
            raise CutoverError(f"{' and '.join(wrong)} is err")
        return f"live and lasting; {_keys(info)} keys; aof_delayed_fsync is {info.get('aof_delayed_fsync', 0)}"

    # --- undoing ------------------------------------------------------------------------------------------------------

    def _undo(self, seen: _Seen) -> str:
        """Put back what was changed. Returns the state that things are in, as a sentence; never raises.

        The live server comes first and on its own: that a file cannot be put back must not leave the AOF on.
        """
        wrong: list[str] = []
        live, keys, open_end = "unknown", "unknown", ""
        try:
            found = {name: self.server.config_get(name) for name in ("appendonly", "appendfsync")}
            for name, before in (("appendonly", seen.appendonly), ("appendfsync", seen.appendfsync)):
                if found[name] != before:
                    self.server.command("CONFIG SET", name, before)
            live = str(self.server.config_get("appendonly"))
            info = self.server.info()
            keys = str(_keys(info))
            if info.get("rdb_last_bgsave_status") != "ok" and self.server.config_get(_STOP_WRITES) != seen.stop_writes:
                open_end = (
                    f"; as the last snapshot failed, Redis would refuse writes, so {_STOP_WRITES} is live set to no: "
                    f"set it to {seen.stop_writes} again after a BGSAVE that succeeds (the next run does)"
                )
        except CutoverError as error:
            wrong.append(str(error))
        try:
            if seen.config is not None and seen.config_text is not None:
                if (self._rewrote or self._edited) and self.files.read(seen.config) != seen.config_text:
                    self.files.overwrite(seen.config, seen.config_text)
            elif self._rewrote:
                self.server.command("CONFIG REWRITE")
        except CutoverError as error:
            wrong.append(str(error))
        copy = f"; {self.backup_file} is a copy of the data set" if self.backup_file else ""
        if wrong:
            return (
                f"NOT everything could be put back ({'; '.join(wrong)}): appendonly was {seen.appendonly} and is {live}, "
                f"{keys} keys{copy}{open_end}"
            )
        return f"appendonly is {live}, as it was before, and the data set is intact ({keys} keys){copy}{open_end}"

    def _log(self, seen: _Seen) -> str:
        """The warnings that Redis wrote since the beginning, where its log can be seen."""
        if seen.log is None:
            return ""
        lines = self.files.tail(seen.log, seen.log_size).splitlines()
        warnings = [line.split(" # ", 1)[1].strip() for line in lines if " # " in line]
        return "; ".join(list(dict.fromkeys(warnings))[:4])

    # --- small things -------------------------------------------------------------------------------------------------

    def _left(self) -> float:
        return self.wish.timeout - (self.clock() - self._began)

    def _await(self, missing: Callable[[], str | None], failure: str, limit: float | None = None) -> None:
        """Wait until ``missing`` returns None; what it returned last is in the error."""
        end = self.clock() + (self._left() if limit is None else limit)
        while True:
            what = missing()
            if what is None:
                return
            if self.clock() >= end:
                raise CutoverError(f"{failure} after {units.show(self.clock() - self._began, 'time')}: {what}")
            self.sleep(_POLL)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Callable[[str], None]]:
        began = self.clock()
        step = Step(name, 0.0, "")
        self.steps.append(step)

        def say(detail: str) -> None:
            step.detail = detail

        try:
            yield say
        except CutoverError as error:
            step.detail = str(error)
            raise
        finally:
            step.seconds = round(self.clock() - began, 3)

    def _steps(self) -> list[dict[str, Any]]:
        return [{"name": step.name, "seconds": step.seconds, "detail": step.detail} for step in self.steps]

    def _result(self, changed: bool, seen: _Seen, lasting: bool | None) -> dict[str, Any]:
        if lasting and seen.config is None:
            lasting = None
        return {
            "changed": changed,
            "steps": self._steps(),
            "notes": self.notes,
            "backup_file": self.backup_file,
            "persisted": "elsewhere" if self.wish.persisted_elsewhere else {True: "yes", False: "no", None: "unseen"}[lasting],
            "config_file": seen.config,
            "before": {"appendonly": seen.appendonly, "appendfsync": seen.appendfsync, "keys": _keys(seen.info)},
        }


def _lasting_words(lasting: bool | None) -> str:
    return {
        True: "the configuration file says what is wanted",
        False: "the configuration file does not say what is wanted",
        None: "the configuration file cannot be seen from here",
    }[lasting]


def _switched_on_live(info: Info) -> bool:
    """Whether the AOF may have been switched on since the start: then at least one rewrite was made. Unknown counts as yes."""
    return int(info.get("aof_rewrites", 1)) > 0


def _keys(info: Info) -> int:
    """Number of keys in all databases."""
    spaces = (value for name, value in info.items() if re.fullmatch(r"db\d+", name) and isinstance(value, Mapping))
    return sum(int(space.get("keys", 0)) for space in spaces)


def _calls(info: Info, command: str) -> int:
    stats = [value for name, value in info.items() if name == f"cmdstat_{command}" or name.startswith(f"cmdstat_{command}|")]
    return sum(int(stat.get("calls", 0)) for stat in stats if isinstance(stat, Mapping))


def _version(info: Info) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(info.get("redis_version", "0")))[:3])

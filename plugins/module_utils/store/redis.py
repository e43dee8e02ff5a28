# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The shared store: a Redis server, by the library ``redis``.

A change is optimistic: read, decide here, then one Lua script compares everything that was read with what is there now,
and writes only when all of it is the same. If not, somebody else was faster, and it is tried again with what they
wrote.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing
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

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 10.0
CONTENTION = 30.0
"""Seconds after which a change gives up that others were always faster."""

READ = """
-- KEYS: records, then logs.  ARGV: number of records.  Returns seconds, microseconds, texts ('' for none), sizes.
local found = redis.call('TIME')
for i = 1, #KEYS do
  if i <= tonumber(ARGV[1]) then
    found[#found + 1] = redis.call('GET', KEYS[i]) or ''
  else
    found[#found + 1] = redis.call('LLEN', KEYS[i])
  end
end
return found
"""

COMPARE_AND_WRITE = """
-- KEYS: records, then logs.  ARGV: number of records; their texts as read ('' for none); their new texts ('' to keep);
-- then for each log its size as read, the number of new lines, and the lines.
local records = tonumber(ARGV[1])
for i = 1, records do
  local found = redis.call('GET', KEYS[i]) or ''
  if found ~= ARGV[1 + i] then return 0 end
end
local at = 2 + 2 * records
for i = records + 1, #KEYS do
  if redis.call('LLEN', KEYS[i]) ~= tonumber(ARGV[at]) then return 0 end
  at = at + 2 + tonumber(ARGV[at + 1])
end
for i = 1, records do
  local text = ARGV[1 + records + i]
  if text ~= '' then redis.call('SET', KEYS[i], text) end
end
at = 2 + 2 * records
for i = records + 1, #KEYS do
  local lines = tonumber(ARGV[at + 1])
  for j = 1, lines do redis.call('RPUSH', KEYS[i], ARGV[at + 1 + j]) end
  at = at + 2 + lines
end
return 1
"""


def open_redis(address: Address, environment: str, password: str | None) -> Store:
    """Open ``redis://[user@]host[:port][/db]``, ``rediss://`` is TLS. Raises InputError, StoreError, LibraryMissing."""
    tls = address.scheme == "rediss"
    known = {"password_file", "ca_file"} if tls else {"password_file"}
    if not address.host:
        raise refuse("a Redis store needs a host: redis://host:port/db")
    if set(address.options) - known:
        raise refuse(
            f"unknown option {', '.join(sorted(set(address.options) - known))}; "
            f"{address.scheme}:// knows {', '.join(sorted(known))}"
        )
    database = address.path.strip("/") or "0"
    if not database.isdigit():
        raise refuse(f"{database!r} is not the number of a Redis database; expected redis://host:port/0")
    if "password_file" in address.options:
        if password is not None:
            raise refuse("store_password and ?password_file= are both given; give one")
        password = read_password(address.options["password_file"])
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise LibraryMissing("redis") from error
    options: dict[str, Any] = {}
    if tls:
        options = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        options["ssl_ca_certs"] = address.options.get("ca_file")
    client = redis.Redis(
        host=address.host,
        port=address.port or 6379,
        db=int(database),
        username=address.username or None,
        password=password,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=ANSWER_TIMEOUT,
        # The library would send a command again after a lost answer, and a line would be in the ledger twice.
        retry=Retry(NoBackoff(), 0),  # type: ignore[no-untyped-call,unused-ignore]
        **options,
    )
    return RedisStore(client, environment, address.text)


def read_password(path: str) -> str:
    """The password in a file, without the newline at its end. Raises StoreError; the password is never repeated."""
    try:
        with open(path, encoding="utf-8") as file:
            password = file.read().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StoreError(f"cannot read the password file {path}: {reason}") from None
    if not password:
        raise StoreError(f"the password file {path} is empty")
    return password


class RedisStore(Store):
    """One environment in a Redis database. ``client`` is a ``redis.Redis`` that decodes its answers."""

    def __init__(
        self,
        client: Any,
        environment: str,
        where: str,
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._prefix = f"golive:{environment}:"
        self._where = where
        self._clock = clock
        self._monotonic = monotonic
        self._safe = False

    def read(self, records: Sequence[str], logs: Sequence[str] = ()) -> Snapshot:
        with self._errors("read"):
            return self._read(records, logs)[0]

    def change(self, records: Sequence[str], decide: Callable[[Snapshot], Change[T]], logs: Sequence[str] = ()) -> T:
        with self._errors("write"):
            self._refuse_eviction()
            script = self._client.register_script(COMPARE_AND_WRITE)
            keys = [self._record(name) for name in records] + [self._log(name) for name in logs]
            end = self._monotonic() + CONTENTION
            while self._monotonic() < end:
                snapshot, texts = self._read(records, logs)
                change = decide(snapshot)
                arguments: list[Any] = [len(records), *texts]
                arguments += [canonical(change.put[name]) if name in change.put else "" for name in records]
                for log in logs:
                    lines = change.append.get(log, ())
                    arguments += [snapshot.sizes[log], len(lines), *lines]
                if not change.put and not any(change.append.values()):
                    return change.result
                if script(keys=keys, args=arguments) == 1:
                    return change.result
        raise StoreError(f"cannot write the store {self._where}: others were faster for {CONTENTION:g} s")

    def lines(self, log: str, start: int, count: int) -> list[str]:
        if count <= 0:
            return []
        with self._errors("read"):
            return [str(line) for line in self._client.lrange(self._log(log), start, start + count - 1)]

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()

    def _record(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _log(self, name: str) -> str:
        return f"{self._prefix}{name}:lines"

    def _read(self, records: Sequence[str], logs: Sequence[str]) -> tuple[Snapshot, list[str]]:
        """A snapshot, and the texts of the records as they were read, '' for one that does not exist."""
        # A script, and not a transaction, because a Redis whose memory is full still runs one that only reads.
        keys = [self._record(name) for name in records] + [self._log(name) for name in logs]
        seconds, microseconds, *answers = self._client.register_script(READ)(keys=keys, args=[len(records)])
        texts = [str(text) for text in answers[: len(records)]]
        now = self._clock() if self._clock else float(seconds) + float(microseconds) / 1e6
        found = {name: load_record(name, text) for name, text in zip(records, texts) if text}
        sizes = {log: int(size) for log, size in zip(logs, answers[len(records) :])}
        return Snapshot(now, found, sizes), texts

    def _refuse_eviction(self) -> None:
        """Refuse a Redis that may throw the lock away. Our keys never expire, so only the policies allkeys-* would."""
        if self._safe:
            return
        memory = self._client.info("memory")
        policy = str(memory.get("maxmemory_policy", ""))
        if policy.startswith("allkeys-") and int(memory.get("maxmemory", 0)) > 0:
            raise StoreError(
                f"the store {self._where} is a cache: its maxmemory-policy is {policy}, so Redis may throw away the "
                f"lock and the ledger to make room; use a Redis with noeviction or volatile-*, or sqlite:"
            )
        self._safe = True

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        from redis.exceptions import ConnectionError as Unreachable
        from redis.exceptions import RedisError, TimeoutError

        try:
            yield
        except (Unreachable, TimeoutError) as error:
            unknown = "; whether the last change was written is not known" if what == "write" else ""
            raise StoreError(f"cannot reach the store {self._where}: {error}{unknown}") from error
        except RedisError as error:
            raise StoreError(f"cannot {what} the store {self._where}: {error}") from error
        except OSError as error:
            raise StoreError(f"cannot reach the store {self._where}: {error}") from error

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Redis: whether it answers and how quickly, what it says of itself, its keys, and who holds a lock."""

from __future__ import annotations

import contextlib
import functools
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Optional
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.units import Value
from ansible_collections.golive.cutover.plugins.module_utils.probes import _connections as net
from ansible_collections.golive.cutover.plugins.module_utils.probes import _pings
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

PAGE = 1000
"""Keys that Redis looks at in one step of a scan; it serves others between two steps."""

MARGIN = 0.25
"""Seconds before the end of the look at which a scan stops, so that the rest can still be reported."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?\Z")
_NAME = re.compile(r"[a-zA-Z0-9_.:-]+\Z")
_SECRET_CONFIG = re.compile(r"pass|auth|user|key-file-pass", re.IGNORECASE)
_LENGTHS = {"list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN", "string": "STRLEN"}

_ALWAYS: Mapping[str, str] = {
    "ping": "flag",
    **_pings.MEASURES,
    "role": "text",
    "version": "text",
    "connected_replicas": "count",
    "memory": "size",
    "loading": "flag",
    "aof_enabled": "flag",
    "aof_last_write_ok": "flag",
    "aof_last_rewrite_ok": "flag",
    "aof_rewrite_in_progress": "flag",
}
_OF_LOCK: Mapping[str, str] = {"lock_held": "flag", "lock_holder": "text", "lock_ttl": "time"}


class RedisProbe(Probe):
    """Asks one Redis server, over one connection. It only reads."""

    name = "redis"
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(opt.url("redis", "rediss"), "address as redis://HOST:PORT/DB, rediss:// with TLS"),
        "host": Option(opt.text, "name or address, instead of url; 127.0.0.1 when neither is given"),
        "port": Option(opt.integer(1, 65535), "port; 6379 when it is left out"),
        "socket": Option(opt.text, "path of a Unix socket, instead of url and host"),
        "db": Option(opt.integer(0, 100_000), "number of the database; 0 when it is left out"),
        "username": Option(opt.text, "user of the access control list"),
        "password": Option(opt.secret_only, "password, as {secret: NAME}"),
        "tls": Option(opt.flag, "use TLS; rediss:// does, too", default=False),
        "verify": Option(
            net.OPTIONS["verify"].read, "verify the TLS certificate: true, false or the path of a CA file", default=True
        ),
        "pings": Option(opt.integer(1, 10_000), "how many PINGs are timed, one after the other", default=20),
        "info": Option(opt.list_of(opt.text), "fields of INFO to report as info.NAME", default=[]),
        "config": Option(opt.list_of(opt.text), "settings to report as config.NAME", default=[]),
        "keys": Option(opt.text, "pattern of the keys to count, by SCAN"),
        "max_keys": Option(opt.integer(1, 10_000_000), "matching keys beyond which the count is given up", default=100_000),
        "lock": Option(opt.text, "key of a lock: who holds it, and for how long"),
        "get": Option(opt.text, "key of a text to report as value"),
        "length": Option(opt.text, "key of a list, set, hash, stream or text whose length to report"),
    }
    measures: ClassVar[Mapping[str, str]] = {
        **_ALWAYS,
        "info.*": "any",
        "config.*": "any",
        "keys": "count",
        **_OF_LOCK,
        "value": "any",
        "length": "count",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        problems = []
        places = [key for key in ("url", "host", "socket") if options[key] is not None]
        if len(places) > 1:
            problems.append(Problem(places[1], f"{' and '.join(places)} exclude each other"))
        elif places and places[0] != "host":
            problems.extend(
                Problem(key, f"goes with host, not with {places[0]}")
                for key in ("port", *(("db",) if places[0] == "url" else ()))
                if options[key] is not None
            )
        if options["url"] is not None:
            path = urlsplit(options["url"]).path.strip("/")
            if path and not path.isdigit():
                problems.append(Problem("url", f"{path!r} is not the number of a database"))
        if options["username"] is not None and options["password"] is None:
            problems.append(Problem("username", "needs a password"))
        problems.extend(Problem("info", f"{one!r} is not a field of INFO") for one in options["info"] if not _NAME.match(one))
        for one in options["config"]:
            if not _NAME.match(one):
                problems.append(Problem("config", f"{one!r} is not the name of one setting"))
            elif _SECRET_CONFIG.search(one):
                problems.append(Problem("config", f"{one} may hold a secret, which would be shown in reports"))
        return problems

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return {
            **_ALWAYS,
            **{f"info.{name}": "any" for name in options["info"]},
            **{f"config.{name}": "any" for name in options["config"]},
            **({"keys": "count"} if options["keys"] is not None else {}),
            **(_OF_LOCK if options["lock"] is not None else {}),
            **({"value": "any"} if options["get"] is not None else {}),
            **({"length": "count"} if options["length"] is not None else {}),
        }

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        with opened(options, context) as server:
            return _Look(options, context, server).run()


class Refused(Exception):
    """Redis answered a command with an error; the text is Redis' own."""

    @property
    def loading(self) -> bool:
        return str(self).startswith(("LOADING", "Redis is loading"))


class Server:
    """One connection, asked one command at a time."""

    def __init__(self, connection: Any, refusals: tuple[type[Exception], ...]) -> None:
        self._connection = connection
        self._refusals = refusals

    def ask(self, *command: Any) -> Any:
        """The answer to a command: bytes, a number, a list, or None. Raises Refused with what Redis said."""
        try:
            self._connection.send_command(*command)
            return self._connection.read_response()
        except self._refusals as error:
            raise Refused(_plain(str(error))) from None


def _plain(text: str) -> str:
    return " ".join(text.split())[:300]


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _value(text: str) -> Value:
    return float(text) if _NUMBER.match(text) else text


def _place(options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Where Redis is, in words and as the library takes it."""
    if options["socket"] is not None:
        return options["socket"], {"path": options["socket"], "db": options["db"] or 0}
    if options["url"] is not None:
        parts = urlsplit(options["url"])
        host, port, db = str(parts.hostname), parts.port or 6379, int(parts.path.strip("/") or 0)
    else:
        host, port, db = options["host"] or "127.0.0.1", options["port"] or 6379, options["db"] or 0
    return f"{host}:{port}", {"host": host, "port": port, "db": db}


def _tls(options: Mapping[str, Any]) -> dict[str, Any]:
    verify = options["verify"]
    if verify is False:
        return {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return {"ssl_cert_reqs": "required", "ssl_ca_certs": verify if isinstance(verify, str) else None}


@contextlib.contextmanager
def opened(options: Mapping[str, Any], context: Context) -> Iterator[Server]:
    """A connection that ends with the look at the latest, even when the other side drips. Raises ProbeError."""
    try:
        import redis
        from redis import exceptions
    except ImportError as error:
        raise LibraryMissing("redis") from error
    where, place = _place(options)
    kind: Callable[..., Any] = redis.UnixDomainSocketConnection if "path" in place else redis.Connection
    if "host" in place:
        net.resolve(place["host"], place["port"], context)
        if options["tls"] or (options["url"] or "").startswith("rediss:"):
            kind, place = redis.SSLConnection, {**place, **_tls(options)}
    password = options["password"].reveal() if options["password"] is not None else None
    left = context.remaining()
    connection = kind(
        **place,
        username=options["username"],
        password=password,
        socket_timeout=left,
        socket_connect_timeout=left,
        protocol=2,
    )
    ended = threading.Event()
    cut = threading.Event()

    def watch() -> None:
        while not ended.wait(min(context.remaining(), 0.1)):
            if context.over():
                cut.set()
                connection.disconnect()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        connection.connect()
        refusals = (exceptions.ResponseError, exceptions.BusyLoadingError, exceptions.AuthorizationError)
        yield Server(connection, (*refusals, exceptions.AuthenticationError))
    except (ProbeError, LibraryMissing):
        raise
    except Exception as error:  # the library lets whatever its parser trips over through
        if cut.is_set() or context.over() or isinstance(error, exceptions.TimeoutError):
            raise ProbeError(f"Redis at {where} did not answer in time") from None
        raise ProbeError(f"Redis at {where}: {_reason(error, exceptions)}") from None
    finally:
        ended.set()
        watcher.join(0.2)
        connection.disconnect()


def _reason(error: Exception, exceptions: Any) -> str:
    """Why Redis could not be asked, in the words of a person."""
    text = _plain(str(error))
    cause: Optional[BaseException] = error.__context__
    if isinstance(error, Refused):
        return text
    if isinstance(error, exceptions.BusyLoadingError):
        return "is loading its data set"
    if isinstance(error, exceptions.AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        if "NOAUTH" in text or "required" in text.lower():
            return "wants a password, and none was given"
        return "refused the user name and password"
    if isinstance(cause, (ssl.SSLError, ConnectionError, FileNotFoundError, PermissionError)):
        return net.explain(cause)
    if isinstance(error, exceptions.InvalidResponse) or "Protocol Error" in text:
        return "the answer is not that of Redis"
    if isinstance(error, exceptions.ConnectionError) and "closed by server" in text.lower():
        return "closed the connection"
    return text or type(error).__name__


class _Look:
    """What is asked of one server, and what is made of it."""

    def __init__(self, options: Mapping[str, Any], context: Context, server: Server) -> None:
        self.options = options
        self.context = context
        self.ask = server.ask
        self.seen = Observation()

    def run(self) -> Observation:
        self._pings()
        self._info()
        for name in self.options["config"]:
            self._try((f"config.{name}",), functools.partial(self._config, name))
        if self.options["lock"] is not None:
            self._try(tuple(_OF_LOCK), self._lock)
        if self.options["get"] is not None:
            self._try(("value",), self._get)
        if self.options["length"] is not None:
            self._try(("length",), self._length)
        if self.options["keys"] is not None:
            self._try(("keys",), self._keys)
        return self.seen

    def _try(self, names: tuple[str, ...], work: Callable[[], None]) -> None:
        """Do a part of the look; what Redis refuses is missing with Redis' own words."""
        try:
            work()
        except Refused as error:
            for name in names:
                if name not in self.seen.measures:
                    self.seen.missing.setdefault(name, f"Redis said: {error}")

    def _pings(self) -> None:
        seen = self.seen
        times: list[float] = []
        for _number in range(self.options["pings"]):
            before = self.context.clock()
            try:
                answer = self.ask("PING")
            except Refused as error:
                if str(error).startswith("NOAUTH") or "uthentication required" in str(error):
                    raise ProbeError("Redis wants a password, and none was given") from None
                if not error.loading:
                    raise ProbeError(f"Redis answered PING with: {error}") from None
                seen.measures["ping"] = False
                seen.proof["error"] = "Redis is loading its data set"
                for name in _pings.MEASURES:
                    seen.missing[name] = "Redis is loading its data set"
                return
            if answer != b"PONG":
                raise ProbeError(f"what answers PING with {_text(answer)[:40]!r} is not Redis")
            times.append(self.context.clock() - before)
            if self.context.remaining() < 2 * MARGIN and len(times) >= 3:
                break
        seen.proof["pings"] = len(times)
        seen.measures["ping"] = True
        _pings.observe(seen, times)

    def _info(self) -> None:
        measures, missing = self.seen.measures, self.seen.missing
        wanted = [f"info.{name}" for name in self.options["info"]]
        names = [name for name in _ALWAYS if name not in ("ping", *_pings.MEASURES)]
        try:
            raw = self.ask("INFO", "all" if wanted else "default")
        except Refused as error:
            missing.update(dict.fromkeys([*names, *wanted], f"Redis said: {error}"))
            return
        if not isinstance(raw, bytes):
            raise ProbeError("what answers INFO is not Redis")
        fields = _fields(_text(raw))
        self.seen.proof["fields"] = len(fields)
        for name in wanted:
            field = name[len("info.") :]
            if field in fields:
                measures[name] = _value(fields[field])
            else:
                missing[name] = f"INFO has no field {field}"
        for name, field, read in _FROM_INFO:
            value = read(fields[field]) if field in fields else None
            if value is not None:
                measures[name] = value
            else:
                missing[name] = f"INFO has no field {field}"

    def _config(self, name: str) -> None:
        answer = self.ask("CONFIG", "GET", name)
        if isinstance(answer, list) and len(answer) == 2:
            self.seen.measures[f"config.{name}"] = _value(_text(answer[1]))
        else:
            self.seen.missing[f"config.{name}"] = f"Redis has no setting {name}"

    def _lock(self) -> None:
        key: str = self.options["lock"]
        measures, missing = self.seen.measures, self.seen.missing
        left = self.ask("PTTL", key)
        measures["lock_held"] = left != -2
        if left == -2:
            missing["lock_holder"] = missing["lock_ttl"] = f"nobody holds {key}"
            return
        if left == -1:
            missing["lock_ttl"] = f"{key} never expires"
        else:
            measures["lock_ttl"] = left / 1000
        holder = self.ask("GET", key)
        if holder is None:
            missing["lock_holder"] = f"{key} expired meanwhile"
        else:
            measures["lock_holder"] = _text(holder)

    def _get(self) -> None:
        value = self.ask("GET", self.options["get"])
        if value is None:
            self.seen.missing["value"] = f"there is no key {self.options['get']}"
        else:
            self.seen.measures["value"] = _value(_text(value))

    def _length(self) -> None:
        key: str = self.options["length"]
        kind = _text(self.ask("TYPE", key))
        if kind in _LENGTHS:
            self.seen.measures["length"] = int(self.ask(_LENGTHS[kind], key))
        elif kind == "none":
            self.seen.measures["length"] = 0  # Redis has no empty lists: a key that is not there is an empty one
        else:
            self.seen.missing["length"] = f"{key} is of the type {kind}, which has no length"

    def _keys(self) -> None:
        pattern, limit = self.options["keys"], self.options["max_keys"]
        found: set[bytes] = set()  # a scan may give a key twice
        cursor: Any = b"0"
        steps = 0
        while True:
            cursor, page = self.ask("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
            steps += 1
            found.update(page)
            self.seen.proof["keys"] = len(found)
            if len(found) > limit:
                self.seen.missing["keys"] = f"more than {limit} keys match; raise max_keys to count them"
                return
            if int(cursor) == 0:
                break
            if self.context.stop.is_set() or self.context.remaining() < MARGIN:
                self.seen.missing["keys"] = f"the scan did not end in time; {len(found)} keys were found in {steps} steps"
                return
        self.seen.measures["keys"] = len(found)


def _fields(info: str) -> dict[str, str]:
    """The fields of INFO; ``db0:keys=1,expires=0`` is also there as ``db0.keys`` and ``db0.expires``."""
    fields: dict[str, str] = {}
    for line in info.splitlines():
        name, colon, value = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        fields[name] = value
        if "=" in value:
            for part in value.split(","):
                key, equals, one = part.partition("=")
                if equals:
                    fields[f"{name}.{key}"] = one
    return fields


def _yes(text: str) -> Optional[Value]:
    return {"1": True, "0": False}.get(text)


def _ok(text: str) -> Optional[Value]:
    return text == "ok" if text in ("ok", "err") else None


def _count(text: str) -> Optional[Value]:
    return int(text) if text.isdigit() else None


_FROM_INFO: tuple[tuple[str, str, Callable[[str], Optional[Value]]], ...] = (
    ("role", "role", str),
    ("version", "redis_version", str),
    ("connected_replicas", "connected_slaves", _count),
    ("memory", "used_memory", _count),
    ("loading", "loading", _yes),
    ("aof_enabled", "aof_enabled", _yes),
    ("aof_last_write_ok", "aof_last_write_status", _ok),
    ("aof_last_rewrite_ok", "aof_last_bgrewrite_status", _ok),
    ("aof_rewrite_in_progress", "aof_rewrite_in_progress", _yes),
)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Settings from the process environment and from the file that APP_ENV_FILE names, which has the last word.

All mistakes are reported in one message. Values of secrets never appear in it.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values

from spark.releases import Fault, Release

EXIT_CONFIG = 78
"""Exit code of a process that refuses its configuration (EX_CONFIG of sysexits.h)."""

# What people forget to replace. The same shapes as in demo/.env.example.
PLACEHOLDER = re.compile(r"your[_-].*[_-]here|change[_-]?me|example\.com", re.IGNORECASE)

T = TypeVar("T")


class ConfigError(ValueError):
    """The configuration is refused; ``problems`` has one line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Those of ``RELOADABLE`` follow a SIGHUP, the others need a restart."""

    service: str
    instance: str
    host: str
    port: int
    redis_url: str = field(repr=False)
    trusted_proxies: str
    log_level: str
    # executor
    scheduler_enabled: bool
    evaluation_interval: float
    cooldown: float
    lock_ttl: float
    lock_heartbeat: float
    lock_retry: float
    # notifications
    webhook_url: str = field(repr=False)
    allowed_hosts: frozenset[str]
    notify_timeout: float
    notify_rate: float
    telegram_api_url: str
    telegram_token: str = field(repr=False)
    telegram_chat: str = field(repr=False)
    # web-next
    max_streams_per_client: int
    stream_interval: float
    stream_heartbeat: float
    stream_ring: int
    websocket_enabled: bool
    websocket_ping: float
    websocket_built: bool
    api_token: str = field(repr=False)
    # how the faulty releases go about it; of no meaning to the good ones
    fault_crash_after: float
    fault_slow: float
    fault_ws_slow: float
    fault_leak_rate: float
    fault_leak_limit: float


RELOADABLE = frozenset(
    {
        "log_level",
        "scheduler_enabled",
        "evaluation_interval",
        "cooldown",
        "webhook_url",
        "allowed_hosts",
        "notify_timeout",
        "notify_rate",
        "telegram_api_url",
        "telegram_token",
        "telegram_chat",
        "max_streams_per_client",
        "stream_heartbeat",
        "websocket_enabled",
        "api_token",
    }
)

_PORTS = {"executor": ("EXECUTOR_PORT", 4001), "web-next": ("WEB_PORT", 3000)}
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class _Reader:
    """Reads typed values and gathers what is wrong instead of stopping at the first mistake."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.problems: list[str] = []

    def text(self, name: str, default: str = "", required: bool = False) -> str:
        value = self.values.get(name, "").strip()
        if not value:
            if required:
                self.problems.append(f"{name} is required and not set")
            return default
        if PLACEHOLDER.search(value):
            self.problems.append(f"{name} still holds a placeholder")
            return default
        return value

    def _parsed(self, name: str, default: T, what: str, parse: Callable[[str], T]) -> T:
        value = self.text(name)
        if not value:
            return default
        try:
            return parse(value)
        except ValueError:
            self.problems.append(f"{name} must be {what}")
            return default

    def number(self, name: str, default: float, low: float, high: float) -> float:
        def parse(value: str) -> float:
            number = float(value)
            if not low <= number <= high:
                raise ValueError(name)
            return number

        return self._parsed(name, default, f"a number from {low:g} to {high:g}", parse)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        def parse(value: str) -> int:
            number = int(value)
            if not low <= number <= high:
                raise ValueError(name)
            return number

        return self._parsed(name, default, f"a whole number from {low} to {high}", parse)

    def flag(self, name: str, default: bool) -> bool:
        def parse(value: str) -> bool:
            if value.lower() in _TRUE:
                return True
            if value.lower() in _FALSE:
                return False
            raise ValueError(name)

        return self._parsed(name, default, "true or false", parse)

    def url(self, name: str, schemes: tuple[str, ...], required: bool = False) -> str:
        value = self.text(name, required=required)
        if value:
            try:
                parts = urlsplit(value)
                known = parts.scheme in schemes and (bool(parts.hostname) or parts.scheme == "unix")
            except ValueError:
                known = False
            if not known:
                self.problems.append(f"{name} must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value


def merged(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the process environment with the values of the file APP_ENV_FILE laid over it."""
    values = dict(environ)
    path = environ.get("APP_ENV_FILE", "").strip()
    if path:
        if not Path(path).is_file():
            raise ConfigError([f"APP_ENV_FILE names {path}, which is not a file"])
        try:
            # No interpolation: a password that holds a $ is a password, not a reference.
            found = dotenv_values(path, interpolate=False, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError([f"APP_ENV_FILE {path} cannot be read: {type(exc).__name__}"]) from None
        values.update({key: value or "" for key, value in found.items()})
    return values


def load(service: str, release: Release, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings for ``service`` (``executor`` or ``web-next``), or raise ConfigError with every mistake."""
    read = _Reader(merged(os.environ if environ is None else environ))
    port_name, port = _PORTS[service]
    if Fault.BAD_CONFIG in release.fault:
        read.text("ALERT_RULES_SCHEMA", required=True)
    settings = Settings(
        service=service,
        port=read.integer(port_name, port, 1, 65535),
        instance=read.text("INSTANCE") or f"{service}@{socket.gethostname()}",
        host=read.text("BIND_HOST", "127.0.0.1"),
        redis_url=read.url("REDIS_URL", ("redis", "rediss", "unix"), required=True),
        trusted_proxies=read.text("TRUSTED_PROXIES", "127.0.0.1"),
        log_level=read.text("LOG_LEVEL", "INFO").upper(),
        scheduler_enabled=read.flag("SCHEDULER_ENABLED", True),
        evaluation_interval=read.number("ALERT_INTERVAL_MS", 500, 20, 600_000) / 1000,
        cooldown=read.number("ALERT_COOLDOWN_SEC", 300, 0, 86_400 * 7),
        lock_ttl=read.number("LEADER_LOCK_TTL_MS", 6000, 100, 600_000) / 1000,
        lock_heartbeat=read.number("LEADER_HEARTBEAT_MS", 2000, 20, 300_000) / 1000,
        lock_retry=read.number("LEADER_RETRY_MS", 500, 20, 300_000) / 1000,
        webhook_url=read.url("NOTIFY_WEBHOOK_URL", ("http", "https")),
        allowed_hosts=frozenset(h.strip().lower() for h in read.text("NOTIFY_ALLOWED_HOSTS").split(",") if h.strip()),
        notify_timeout=read.number("NOTIFY_TIMEOUT_SEC", 3, 0.1, 60),
        notify_rate=read.number("NOTIFY_RATE_LIMIT", 0, 0, 100_000),
        telegram_api_url=read.url("TELEGRAM_API_URL", ("http", "https")),
        telegram_token=read.text("TELEGRAM_BOT_TOKEN"),
        telegram_chat=read.text("TELEGRAM_CHAT_ID"),
        max_streams_per_client=read.integer("MAX_SSE_CONNECTIONS", 3, 0, 100_000),
        stream_interval=read.number("STREAM_INTERVAL_MS", 500, 20, 60_000) / 1000,
        stream_heartbeat=read.number("STREAM_HEARTBEAT_SEC", 5, 0.1, 300),
        stream_ring=read.integer("STREAM_RING_EVENTS", 1200, 1, 100_000),
        websocket_enabled=read.flag("WS_ENABLED", True),
        websocket_ping=read.number("WS_PING_SEC", 10, 0.1, 300),
        websocket_built=read.flag("NEXT_PUBLIC_WS_ENABLED", True),
        api_token=read.text("SPARK_API_TOKEN"),
        fault_crash_after=read.number("SPARK_FAULT_CRASH_AFTER_SEC", 20, 0.1, 3600),
        fault_slow=read.number("SPARK_FAULT_SLOW_SEC", 3, 0, 60),
        fault_ws_slow=read.number("SPARK_FAULT_WS_SLOW_SEC", 0.85, 0, 60),
        fault_leak_rate=read.number("SPARK_FAULT_LEAK_MB_PER_SEC", 4, 0.1, 100),
        fault_leak_limit=read.number("SPARK_FAULT_LEAK_LIMIT_MB", 512, 1, 4096),
    )
    if settings.log_level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        read.problems.append("LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR")
    if settings.lock_heartbeat >= settings.lock_ttl:
        read.problems.append("LEADER_HEARTBEAT_MS must be less than LEADER_LOCK_TTL_MS")
    for name, url in (("NOTIFY_WEBHOOK_URL", settings.webhook_url), ("TELEGRAM_API_URL", settings.telegram_api_url)):
        # A URL of a wrong shape was already reported above.
        if url and not any(name in p for p in read.problems) and not host_allowed(url, settings.allowed_hosts):
            read.problems.append(f"the host of {name} is not in NOTIFY_ALLOWED_HOSTS")
    if read.problems:
        raise ConfigError(read.problems)
    return settings


def host_allowed(url: str, allowed: frozenset[str]) -> bool:
    """Whether a notification may be sent to ``url``: plain http(s), no credentials in it, host on the list.

    An entry is a host (``hooks.slack.com``), or a host and port (``127.0.0.1:9000``) which allows that port alone.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.password is not None:
        return False
    return host in allowed or f"{host}:{port or (443 if parts.scheme == 'https' else 80)}" in allowed


def need_restart(old: Settings, new: Settings) -> list[str]:
    """Return the names of settings that differ but take effect only after a restart."""
    names = (f.name for f in fields(Settings) if f.name not in RELOADABLE)
    return [name for name in names if getattr(old, name) != getattr(new, name)]


def reloaded(old: Settings, new: Settings) -> Settings:
    """Return ``new`` with what cannot change while running kept as it was in ``old``."""
    kept = {f.name: getattr(old, f.name) for f in fields(Settings) if f.name not in RELOADABLE}
    changed = {name: getattr(new, name) for name in RELOADABLE}
    return Settings(**{**kept, **changed})

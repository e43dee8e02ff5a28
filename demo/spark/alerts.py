# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Alerts: what one is, and where they live in Redis.

Keys: ``spark:alerts:ids`` (set), ``spark:alerts:alert:<id>`` (hash), ``spark:alerts:history:<id>`` (list, newest first)
and ``spark:alerts:cooldown:<id>`` (expires when the alert may trigger again).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from redis.asyncio import Redis

from spark.config import host_allowed
from spark.market import SYMBOLS, TIMEFRAMES

MAX_ALERTS = 1000
HISTORY_LENGTH = 100
CONDITIONS = ("price_above", "price_below")

IDS = "spark:alerts:ids"


def alert_key(alert_id: str) -> str:
    return f"spark:alerts:alert:{alert_id}"


def history_key(alert_id: str) -> str:
    return f"spark:alerts:history:{alert_id}"


def cooldown_key(alert_id: str) -> str:
    return f"spark:alerts:cooldown:{alert_id}"


class Invalid(ValueError):
    """What a client sent is refused; ``field`` says where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Alert:
    """A condition on the price of a symbol. ``created_at`` is epoch seconds, ``cooldown_sec`` overrides the default."""

    id: str
    symbol: str
    timeframe: str
    condition: str
    threshold: float
    enabled: bool
    note: str
    webhook_url: str
    cooldown_sec: float | None
    created_at: float

    def met(self, price: float) -> bool:
        return price > self.threshold if self.condition == "price_above" else price < self.threshold


def symbol_of(value: object) -> str:
    """Return ``value`` if it is a symbol that we trade. Anything else is refused, not repaired."""
    if not isinstance(value, str) or value not in SYMBOLS:
        raise Invalid("symbol", f"symbol must be one of {', '.join(SYMBOLS)}")
    return value


def timeframe_of(value: object) -> str:
    if not isinstance(value, str) or value not in TIMEFRAMES:
        raise Invalid("timeframe", f"timeframe must be one of {', '.join(TIMEFRAMES)}")
    return value


def _number(field: str, value: object, low: float, high: float) -> float:
    # NaN fails the comparison too, and a bool is an int only to Python.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise Invalid(field, f"{field} must be a number from {low:g} to {high:g}")
    return float(value)


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Invalid(field, f"{field} must be true or false")
    return value


def _text(field: str, value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or any(ord(c) < 32 for c in value):
        raise Invalid(field, f"{field} must be one line of at most {longest} characters")
    return value


def webhook_of(value: object, allowed: frozenset[str]) -> str:
    """Return a webhook URL whose host is on the list: a webhook must not become a way into the inner network."""
    url = _text("webhook_url", value, 500)
    if url and not host_allowed(url, allowed):
        raise Invalid("webhook_url", "webhook_url must be http(s) to a host that NOTIFY_ALLOWED_HOSTS names")
    return url


_EDITABLE = frozenset({"symbol", "timeframe", "condition", "threshold", "enabled", "note", "webhook_url", "cooldown_sec"})


def changed(alert: Alert, data: Mapping[str, Any], allowed: frozenset[str]) -> Alert:
    """Return ``alert`` with the fields of ``data``, all of them validated."""
    unknown = sorted(set(data) - _EDITABLE)
    if unknown:
        raise Invalid(unknown[0], f"unknown field {unknown[0]!r}; known are {', '.join(sorted(_EDITABLE))}")
    values: dict[str, Any] = {}
    if "symbol" in data:
        values["symbol"] = symbol_of(data["symbol"])
    if "timeframe" in data:
        values["timeframe"] = timeframe_of(data["timeframe"])
    if "condition" in data:
        if data["condition"] not in CONDITIONS:
            raise Invalid("condition", f"condition must be one of {', '.join(CONDITIONS)}")
        values["condition"] = data["condition"]
    if "threshold" in data:
        values["threshold"] = _number("threshold", data["threshold"], 0, 1e12)
    if "enabled" in data:
        values["enabled"] = _flag("enabled", data["enabled"])
    if "note" in data:
        values["note"] = _text("note", data["note"], 200)
    if "webhook_url" in data:
        values["webhook_url"] = webhook_of(data["webhook_url"], allowed)
    if data.get("cooldown_sec") is not None:
        values["cooldown_sec"] = _number("cooldown_sec", data["cooldown_sec"], 0, 604_800)
    return replace(alert, **values)


def created(data: Mapping[str, Any], allowed: frozenset[str], now: float | None = None) -> Alert:
    """Return a new alert from what a client sent: ``symbol``, ``condition`` and ``threshold`` are required."""
    for field in ("symbol", "condition", "threshold"):
        if field not in data:
            raise Invalid(field, f"{field} is required")
    blank = Alert(
        id=uuid.uuid4().hex[:12],
        symbol="",
        timeframe="1h",
        condition="",
        threshold=0.0,
        enabled=True,
        note="",
        webhook_url="",
        cooldown_sec=None,
        created_at=round(time.time() if now is None else now, 3),
    )
    return changed(blank, data, allowed)


class AlertStore:
    """The alerts in Redis."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def save(self, alert: Alert) -> None:
        """Write the alert and list its id, both or neither."""
        values = {name: json.dumps(value) for name, value in asdict(alert).items()}
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(alert_key(alert.id), items=[part for pair in values.items() for part in pair])
            pipe.sadd(IDS, alert.id)
            await pipe.execute()

    async def ids(self) -> list[str]:
        return sorted(await cast("Awaitable[set[str]]", self.redis.smembers(IDS)))

    async def count(self) -> int:
        return await self.redis.scard(IDS)

    async def get(self, alert_id: str) -> Alert | None:
        return self._loaded(await cast("Awaitable[dict[str, str]]", self.redis.hgetall(alert_key(alert_id))))

    async def all(self) -> list[Alert]:
        """Return every alert, oldest first, in two round trips."""
        ids = await self.ids()
        if not ids:
            return []
        async with self.redis.pipeline(transaction=False) as pipe:
            for alert_id in ids:
                pipe.hgetall(alert_key(alert_id))
            rows = await pipe.execute()
        found = [alert for alert in map(self._loaded, rows) if alert is not None]
        return sorted(found, key=lambda alert: (alert.created_at, alert.id))

    async def delete(self, alert_id: str) -> bool:
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.srem(IDS, alert_id)
            pipe.delete(alert_key(alert_id), history_key(alert_id), cooldown_key(alert_id))
            removed, _keys = await pipe.execute()
        return bool(removed)

    async def history(self, alert_id: str) -> list[dict[str, Any]]:
        rows = await cast("Awaitable[list[str]]", self.redis.lrange(history_key(alert_id), 0, HISTORY_LENGTH - 1))
        return [json.loads(row) for row in rows]

    async def record(self, alert_id: str, event: Mapping[str, Any]) -> None:
        """Put an event on top of the history, which is cut to its last ``HISTORY_LENGTH`` events."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.lpush(history_key(alert_id), json.dumps(event))
            pipe.ltrim(history_key(alert_id), 0, HISTORY_LENGTH - 1)
            await pipe.execute()

    async def start_cooldown(self, alert_id: str, seconds: float) -> bool:
        """Whether the alert may trigger now. One atomic step, so that two leaders could not both say yes."""
        if seconds <= 0:
            return True
        return bool(await self.redis.set(cooldown_key(alert_id), "1", nx=True, px=max(1, int(seconds * 1000))))

    @staticmethod
    def _loaded(row: Mapping[str, str]) -> Alert | None:
        return Alert(**{name: json.loads(value) for name, value in row.items()}) if row else None

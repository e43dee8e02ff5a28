# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The market: a price for every symbol and every moment, computed from nothing but the two.

The price is a sum of waves (minutes to weeks) and a little noise. Because it depends on the time alone, every process
sees the same market, and an event of the stream can be made again after a restart: nothing is lost with a process.
"""

from __future__ import annotations

import math
import time
import zlib
from functools import lru_cache
from typing import TypedDict

# Symbol to the price around which it moves.
SYMBOLS: dict[str, float] = {
    "BTCUSDT": 62_000.0,
    "ETHUSDT": 3_100.0,
    "BNBUSDT": 560.0,
    "SOLUSDT": 145.0,
    "XRPUSDT": 0.62,
    "AVAXUSDT": 34.0,
    "BTCTRY": 2_050_000.0,
    "ETHTRY": 102_000.0,
}

# Name to length in seconds.
TIMEFRAMES: dict[str, int] = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}

MAX_CANDLES = 1000
_SAMPLES = 12  # points looked at inside one candle for its high and low

# Period in seconds, amplitude as a fraction of the price.
_WAVES = (
    (47.0, 0.0004),
    (613.0, 0.0015),
    (4_177.0, 0.005),
    (19_301.0, 0.011),
    (97_001.0, 0.022),
    (604_319.0, 0.05),
)


class Candle(TypedDict):
    """One candle: the start in epoch seconds, prices in the quote currency, volume in the base currency."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@lru_cache(maxsize=64)
def _phases(symbol: str) -> tuple[float, ...]:
    return tuple(zlib.crc32(f"{symbol}:{n}".encode()) / 2**32 * math.tau for n in range(len(_WAVES)))


def _noise(symbol: str, step: int) -> float:
    """A number in [-1, 1) that looks random and is always the same for the same arguments."""
    return zlib.crc32(f"{symbol}@{step}".encode()) / 2**31 - 1.0


def price(symbol: str, at: float) -> float:
    """Return the price of ``symbol`` at epoch time ``at`` (seconds)."""
    base = SYMBOLS[symbol]
    waves = sum(
        size * math.sin(math.tau * at / period + phase) for (period, size), phase in zip(_WAVES, _phases(symbol), strict=True)
    )
    return _rounded(base * math.exp(waves + 0.0002 * _noise(symbol, int(at * 4))))


def quote(symbol: str, at: float) -> dict[str, float]:
    """Return the best ``bid`` and ``ask`` at epoch time ``at``, around the price; the spread is 0.02 to 0.1 % of it."""
    middle = price(symbol, at)
    half = middle * (0.0003 + 0.0002 * _noise(symbol, int(at)))
    return {"bid": _rounded(middle - half), "ask": _rounded(middle + half)}


def _rounded(value: float) -> float:
    return round(value, 2 if value >= 10 else 5)


@lru_cache(maxsize=20_000)
def _closed_candle(symbol: str, start: int, length: int) -> Candle:
    return _candle(symbol, start, start, start + length)


def _candle(symbol: str, start: int, first: float, last: float) -> Candle:
    span = last - first
    prices = [price(symbol, first + span * n / _SAMPLES) for n in range(_SAMPLES + 1)]
    scale = 4_000_000.0 / SYMBOLS[symbol] * span / 3600
    return {
        "time": start,
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": round(scale * (1.2 + _noise(symbol, start)), 4),
    }


def candles(symbol: str, timeframe: str, limit: int, now: float | None = None) -> list[Candle]:
    """Return the last ``limit`` candles, oldest first; the last one is still open."""
    now = time.time() if now is None else now
    length = TIMEFRAMES[timeframe]
    current = int(now // length) * length
    closed = [_closed_candle(symbol, current - n * length, length) for n in range(limit - 1, 0, -1)]
    return [*closed, _candle(symbol, current, current, max(now, current + 0.001))]

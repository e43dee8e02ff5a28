# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The tools of technical analysis: Fibonacci retracement, Bollinger bands, MACD. Pure functions over closing prices."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypedDict

FIBONACCI_RATIOS = (0.0, 0.236, 0.382, 0.5, 0.618, 0.786, 1.0)


class Level(TypedDict):
    ratio: float
    label: str
    price: float


class Band(TypedDict):
    upper: float
    middle: float
    lower: float


class Macd(TypedDict):
    macd: float
    signal: float
    histogram: float


def fibonacci(high: float, low: float) -> list[Level]:
    """Return the seven retracement levels from ``high`` (0 %) down to ``low`` (100 %)."""
    return [
        {"ratio": ratio, "label": f"{ratio * 100:.1f}%", "price": round(high - (high - low) * ratio, 5)}
        for ratio in FIBONACCI_RATIOS
    ]


def bollinger(closes: Sequence[float], period: int = 20, deviations: float = 2.0) -> list[Band]:
    """Return the bands for every close from number ``period`` on.

    Middle: simple moving average; upper and lower: ``deviations`` population standard deviations away (J. Bollinger).
    """
    bands: list[Band] = []
    for end in range(period, len(closes) + 1):
        window = closes[end - period : end]
        middle = statistics.fmean(window)
        width = deviations * statistics.pstdev(window, middle)
        bands.append({"upper": round(middle + width, 5), "middle": round(middle, 5), "lower": round(middle - width, 5)})
    return bands


def _ema(values: Sequence[float], period: int) -> list[float]:
    """Exponential moving average, smoothing 2 / (period + 1), seeded with the first value."""
    factor = 2 / (period + 1)
    averages: list[float] = []
    for value in values:
        averages.append(value if not averages else averages[-1] + factor * (value - averages[-1]))
    return averages


def macd(closes: Sequence[float], fast: int = 12, slow: int = 26, signal: int = 9) -> list[Macd]:
    """Return MACD, signal and histogram for every close from number ``slow`` on (G. Appel: 12, 26, 9)."""
    difference = [f - s for f, s in zip(_ema(closes, fast), _ema(closes, slow), strict=True)][slow - 1 :]
    return [
        {"macd": round(line, 5), "signal": round(average, 5), "histogram": round(line - average, 5)}
        for line, average in zip(difference, _ema(difference, signal), strict=True)
    ]

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark import market, tools
from spark.alerts import Alert, Invalid, changed, created
from spark.streams import Hub, Ring, resume_from

NOW = 1_760_000_000.0
HOSTS = frozenset({"hooks.slack.com"})


@pytest.mark.parametrize("symbol", market.SYMBOLS)
@pytest.mark.parametrize("timeframe", market.TIMEFRAMES)
def test_candles_are_candles(symbol: str, timeframe: str) -> None:
    candles = market.candles(symbol, timeframe, 50, now=NOW)
    assert len(candles) == 50
    length = market.TIMEFRAMES[timeframe]
    assert [c["time"] for c in candles] == [candles[0]["time"] + n * length for n in range(50)]
    assert candles[-1]["time"] <= NOW < candles[-1]["time"] + length
    for candle in candles:
        assert candle["low"] <= min(candle["open"], candle["close"])
        assert candle["high"] >= max(candle["open"], candle["close"])
        assert candle["volume"] >= 0
    # One closes where the next one opens.
    assert all(a["close"] == b["open"] for a, b in zip(candles[:-2], candles[1:-1], strict=True))


def test_closed_candles_stay_as_they_are() -> None:
    assert market.candles("BTCUSDT", "1h", 10, now=NOW)[:-1] == market.candles("BTCUSDT", "1h", 10, now=NOW + 1)[:-1]


def test_fibonacci() -> None:
    levels = tools.fibonacci(200.0, 100.0)
    assert [level["price"] for level in levels] == [200.0, 176.4, 161.8, 150.0, 138.2, 121.4, 100.0]
    assert levels[4]["label"] == "61.8%"


def test_bollinger_against_values_by_hand() -> None:
    # Population standard deviation of 2, 4, 4, 4, 5, 5, 7, 9 is 2, the mean is 5.
    assert tools.bollinger([2, 4, 4, 4, 5, 5, 7, 9], period=8) == [{"upper": 9.0, "middle": 5.0, "lower": 1.0}]


@given(st.lists(st.floats(1, 1e6), min_size=20, max_size=60))
def test_bollinger_bands_are_ordered(closes: list[float]) -> None:
    bands = tools.bollinger(closes)
    assert len(bands) == len(closes) - 19
    assert all(band["upper"] >= band["middle"] >= band["lower"] for band in bands)


def test_macd_of_a_constant_is_zero_and_of_a_rise_is_positive() -> None:
    assert tools.macd([5.0] * 40)[-1] == {"macd": 0.0, "signal": 0.0, "histogram": 0.0}
    assert tools.macd([float(n) for n in range(60)])[-1]["macd"] > 0
    assert len(tools.macd([5.0] * 40)) == 15


# -- alerts ------------------------------------------------------------------------------------------------------------


def test_created_alert() -> None:
    alert = created({"symbol": "BTCUSDT", "condition": "price_above", "threshold": 7}, HOSTS, now=1.0)
    assert (alert.threshold, alert.enabled, alert.timeframe, alert.created_at) == (7.0, True, "1h", 1.0)
    assert alert.met(7.1) and not alert.met(7.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", "btcusdt"),
        ("symbol", "<script>"),
        ("symbol", ["BTCUSDT"]),
        ("timeframe", "2h"),
        ("condition", "rises"),
        ("condition", {}),
        ("threshold", "7"),
        ("threshold", True),
        ("threshold", float("nan")),
        ("threshold", float("inf")),
        ("threshold", -1),
        ("enabled", "true"),
        ("note", "two\nlines"),
        ("note", "x" * 201),
        ("webhook_url", "http://169.254.169.254/"),
        ("webhook_url", "https://hooks.slack.com@127.0.0.1/"),
        ("cooldown_sec", -1),
        ("id", "other"),
    ],
)
def test_bad_field_is_named(field: str, value: object) -> None:
    good = {"symbol": "BTCUSDT", "condition": "price_above", "threshold": 7}
    with pytest.raises(Invalid) as caught:
        created({**good, field: value}, HOSTS)
    assert caught.value.field == field


@pytest.mark.parametrize("field", ["symbol", "condition", "threshold"])
def test_required_field(field: str) -> None:
    good: dict[str, object] = {"symbol": "BTCUSDT", "condition": "price_above", "threshold": 7}
    del good[field]
    with pytest.raises(Invalid) as caught:
        created(good, HOSTS)
    assert caught.value.field == field


def test_changed_keeps_the_rest() -> None:
    alert: Alert = created({"symbol": "ETHUSDT", "condition": "price_below", "threshold": 7, "note": "n"}, HOSTS)
    other = changed(alert, {"threshold": 8}, HOSTS)
    assert (other.id, other.threshold, other.note, other.symbol) == (alert.id, 8.0, "n", "ETHUSDT")


# -- streams -----------------------------------------------------------------------------------------------------------


def test_events_are_the_same_from_every_process() -> None:
    one, other = Ring("BTCUSDT", 10, 0.5), Ring("BTCUSDT", 10, 0.5)
    number = one.latest(NOW)
    for n in range(number, number + 5):
        one.get(n)
    assert one.get(number + 4) == other.get(number + 4)
    lines = one.get(number).decode().split("\n")
    assert lines[0] == f"id: {number}"
    assert json.loads(lines[2].removeprefix("data: "))["seq"] == number
    assert lines[3:] == ["", ""]


def test_ring_is_bounded() -> None:
    ring = Ring("BTCUSDT", 10, 0.5)
    for number in range(1000):
        ring.get(number)
    assert len(ring._encoded) <= 20


@given(st.floats(0, 4e9), st.sampled_from([0.02, 0.1, 0.25, 0.5, 1.0]))
def test_slots_follow_each_other(now: float, interval: float) -> None:
    ring = Ring("BTCUSDT", 10, interval)
    assert ring.latest(now + interval) - ring.latest(now) in (1, 2)
    assert ring.oldest(now) == ring.latest(now) - 9


@pytest.mark.parametrize(
    ("header", "number"),
    [("41", 42), ("0", 1), (None, None), ("", None), ("-1", None), ("x", None), ("٤١", None), ("9" * 30, None)],
)
def test_resume_from(header: str | None, number: int | None) -> None:
    assert resume_from(header) == number


def test_places_are_counted_for_each_client() -> None:
    async def scenario() -> None:
        hub = Hub(0.5, 10)
        assert hub.enter("a", 2) and hub.enter("a", 2)
        assert not hub.enter("a", 2)
        assert hub.enter("b", 2)
        assert (hub.connected, hub.rejected) == (3, 1)
        hub.leave("a")
        assert hub.enter("a", 2)
        for client in ("a", "a", "b"):
            hub.leave(client)
        assert (hub.connected, dict(hub.per_client)) == (0, {})
        assert not hub.enter("c", 0)

    asyncio.run(scenario())


def test_one_waiting_client_that_leaves_does_not_disturb_the_others() -> None:
    async def scenario() -> None:
        hub = Hub(0.02, 10)
        running = asyncio.create_task(hub.run())
        leaver, stayer = asyncio.create_task(hub.tick()), asyncio.create_task(hub.tick())
        await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.wait_for(stayer, 1)
        hub.close()
        await asyncio.wait_for(hub.tick(), 1)
        running.cancel()
        await asyncio.gather(running, leaver, return_exceptions=True)

    asyncio.run(scenario())

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The executor: one of its instances is elected leader and evaluates the alerts. ``python -m spark.executor``."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
import uuid
from collections.abc import Iterable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from spark import market, notify
from spark.alerts import Alert, AlertStore
from spark.config import Settings
from spark.election import LeaderLock
from spark.releases import Fault, Release
from spark.runtime import Service, run
from spark.streams import StreamTotals, read_totals

log = logging.getLogger("spark.executor")

UNREACHABLE = (RedisError, OSError, TimeoutError)
MAX_NOTIFICATIONS_IN_FLIGHT = 8


class EvaluationError(Exception):
    """The alerts could not be evaluated."""


class StreamsCollector(Collector):
    """The streams of the whole platform, as the web processes report them in Redis."""

    def __init__(self) -> None:
        self.totals = StreamTotals()

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("streams_connected", "Open streams", value=self.totals.connected)
        yield CounterMetricFamily("streams_messages", "Messages sent on streams", value=self.totals.messages)
        yield CounterMetricFamily("streams_errors", "Streams that ended in an error", value=self.totals.errors)


class Executor(Service):
    """Election, evaluation, notifications."""

    def __init__(self, settings: Settings, release: Release) -> None:
        super().__init__(settings, release)
        self.alerts = AlertStore(self.redis)
        self.lock = LeaderLock(
            self.redis,
            # An instance that was killed and is back must not take the old lock for its own.
            owner=f"{settings.instance}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
            ttl=settings.lock_ttl,
            ignore_holder=Fault.TWO_LEADERS in release.fault,
        )
        self._leading = False
        self._reachable = True
        self._changed = asyncio.Event()
        self._in_flight = asyncio.Semaphore(MAX_NOTIFICATIONS_IN_FLIGHT)
        self._next_notification = 0.0
        self._define_metrics()
        self.app = Starlette(routes=[Route("/health", self.get_health), Route("/metrics", self.metrics)])

    def _define_metrics(self) -> None:
        registry = self.registry
        self.active = Gauge("alerts_active", "Alerts that are switched on", registry=registry)
        self.triggered = Counter("alerts_triggered_total", "Alerts that triggered", registry=registry)
        self.suppressed = Counter(
            "alerts_suppressed_total", "Alerts that did not trigger although met", ["reason"], registry=registry
        )
        self.suppressed.labels("cooldown")
        self.errors = Counter("alerts_errors_total", "Evaluations that failed", registry=registry)
        self.evaluations = Counter("alerts_evaluations_total", "Evaluations of all alerts", registry=registry)
        self.duration = Histogram(
            "alerts_evaluation_seconds",
            "Time to evaluate all alerts",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
            registry=registry,
        )
        self.elected = Counter("leader_elected_total", "Elections that this instance won", registry=registry)
        leader = Gauge("leader", "1 while this instance is the leader", registry=registry)
        leader.set_function(lambda: float(self.lock.held))
        scheduler = Gauge("scheduler_enabled", "1 while SCHEDULER_ENABLED is true", registry=registry)
        scheduler.set_function(lambda: float(self.settings.scheduler_enabled))
        self.sent = Counter("notifications_sent_total", "Notifications that were accepted", registry=registry)
        self.failed = Counter("notifications_failed_total", "Notifications that were not accepted", registry=registry)
        self.skipped = Counter("notifications_skipped_total", "Notifications not sent", ["reason"], registry=registry)
        self.skipped.labels("not_configured")
        self.skipped.labels("rate_limit")
        self.redis_up = Gauge("redis_up", "1 if Redis answered at the last scrape", registry=registry)
        self.streams = StreamsCollector()
        registry.register(self.streams)

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await super().start()
        self.spawn(self._elect())
        self.spawn(self._schedule())

    async def stop(self) -> None:
        led = self.lock.held
        await self.lock.release()
        if led:
            log.info("leadership released")
        await super().stop()

    def applied(self, old: Settings) -> None:
        if old.scheduler_enabled != self.settings.scheduler_enabled:
            log.info("scheduler %s", "enabled" if self.settings.scheduler_enabled else "disabled")
        self._changed.set()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past a reload."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    # -- election -------------------------------------------------------------------------------------------------

    async def _elect(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._campaign()
                if not self._reachable:
                    log.info("redis is back")
                self._reachable = True
            except UNREACHABLE as exc:
                if self._reachable:
                    log.warning("redis is unreachable: %s", type(exc).__name__)
                self._reachable = False
            if self._leading and not self.lock.held:
                self._leading = False
                log.warning("lost leadership")
            holding = self._leading and self._reachable
            await self._pause(self.settings.lock_heartbeat if holding else self.settings.lock_retry)

    async def _campaign(self) -> None:
        if not self.settings.scheduler_enabled or Fault.NO_LEADER in self.release.fault:
            if self._leading:
                # Another instance, with the scheduler on, may take over at once.
                self._leading = False
                await self.lock.release()
                log.info("gave up leadership, the scheduler is disabled")
        elif self._leading:
            if await self.lock.extend():
                log.info("heartbeat lock=%s ttl=%gs", self.lock.key, self.settings.lock_ttl)
        elif await self.lock.acquire():
            self._leading = True
            self.elected.inc()
            log.info("became leader owner=%s", self.lock.owner)

    # -- evaluation -----------------------------------------------------------------------------------------------

    async def _schedule(self) -> None:
        while True:
            began = time.monotonic()
            if self.settings.scheduler_enabled and self.lock.held:
                try:
                    await self.poll_once()
                except Exception as exc:  # whatever it was, the next round must come
                    self.errors.inc()
                    log.error("pollOnce failed: %s: %s", type(exc).__name__, exc)
            await asyncio.sleep(max(0.01, self.settings.evaluation_interval - (time.monotonic() - began)))

    async def poll_once(self) -> None:
        """Evaluate every alert that is switched on."""
        began = time.perf_counter()
        if Fault.ERRORS in self.release.fault:
            raise EvaluationError("no candle for the current window")
        counts = {"alerts": 0, "triggered": 0, "suppressed": 0}
        for alert in await self.alerts.all():
            if not alert.enabled:
                continue
            counts["alerts"] += 1
            price = market.price(alert.symbol, time.time())
            if alert.met(price):
                counts["triggered" if await self._trigger(alert, price) else "suppressed"] += 1
        self.evaluations.inc()
        took = time.perf_counter() - began
        self.duration.observe(took)
        log.info("pollOnce %s ms=%.1f", " ".join(f"{k}={v}" for k, v in counts.items()), took * 1000)

    async def _trigger(self, alert: Alert, price: float) -> bool:
        cooldown = self.settings.cooldown if alert.cooldown_sec is None else alert.cooldown_sec
        if not await self.alerts.start_cooldown(alert.id, cooldown):
            self.suppressed.labels("cooldown").inc()
            return False
        event: dict[str, Any] = {
            "at": round(time.time(), 3),
            "symbol": alert.symbol,
            "condition": alert.condition,
            "threshold": alert.threshold,
            "price": price,
            "instance": self.settings.instance,
        }
        await self.alerts.record(alert.id, event)
        self.triggered.inc()
        log.info("triggered alert=%s symbol=%s price=%s", alert.id, alert.symbol, price)
        receivers = notify.targets(self.settings, alert.webhook_url)
        if not receivers:
            self.skipped.labels("not_configured").inc()
        text = f"{alert.symbol} {alert.condition.replace('_', ' ')} {alert.threshold:g}: {price:g}"
        for url, fields in receivers:
            if not self._within_rate():
                self.skipped.labels("rate_limit").inc()
                continue
            # Not awaited: a receiver that is slow must not hold up the next evaluation.
            self.spawn(self._notify(url, {"type": "alert", "alert_id": alert.id, "text": text, **event, **fields}))
        return True

    def _within_rate(self) -> bool:
        """Whether one more notification may go now: they are spread evenly over the minute."""
        rate, now = self.settings.notify_rate, time.monotonic()
        if rate and now < self._next_notification:
            return False
        self._next_notification = now + 60 / rate if rate else 0.0
        return True

    async def _notify(self, url: str, body: dict[str, Any]) -> None:
        async with self._in_flight:
            try:
                await notify.send(url, body, self.settings, self.release)
            except notify.NotificationFailed as exc:
                self.failed.inc()
                log.warning("notification failed: %s", exc)
            else:
                self.sent.inc()

    # -- what it answers ------------------------------------------------------------------------------------------

    async def get_health(self, _request: Request) -> JSONResponse:
        status, body = await self.health()
        body["leader"] = self.lock.held
        body["scheduler_enabled"] = self.settings.scheduler_enabled
        return JSONResponse(body, status_code=status)

    async def observe(self) -> None:
        try:
            self.active.set(sum(alert.enabled for alert in await self.alerts.all()))
            self.streams.totals = await read_totals(self.redis)
            self.redis_up.set(1)
        except UNREACHABLE:
            # Not zero: nobody knows how many there are.
            self.active.set(math.nan)
            self.redis_up.set(0)


if __name__ == "__main__":
    run("executor", Executor)

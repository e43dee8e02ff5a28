# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""web-next: the pages, the API, the event stream and the WebSocket feed. ``python -m spark.web``."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from spark import market, notify, tools
from spark.alerts import MAX_ALERTS, Alert, AlertStore, Invalid, changed, created, symbol_of, timeframe_of, webhook_of
from spark.config import Settings
from spark.releases import Fault, Release
from spark.runtime import Service, run
from spark.streams import REPORT_EVERY, EventStream, Hub, Manner, Reporter, resume_from

log = logging.getLogger("spark.web")

STATIC = Path(__file__).resolve().parent / "static"
STREAM_PATH = "/api/marketdata/stream"
HEALTH_PATH = "/api/public/health"
MAX_BODY = 64 * 1024  # bytes
CANARY_EVENTS = 5
UNREACHABLE = (RedisError, OSError, TimeoutError)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}

Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """An answer that is not a success: HTTP status, what is wrong, and the field that it is about."""

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.field = field


class Front:
    """What happens around every request: security headers, counting, and the delay of the slow release.

    A plain ASGI wrapper: Starlette's convenience class would put a task and a queue between a stream and its client.
    """

    def __init__(self, app: ASGIApp, web: Web) -> None:
        self.app = app
        self.web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        api = path.startswith("/api/")
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if api:
                    headers.setdefault("Cache-Control", "no-store")
                self.web.requests.labels(f"{message['status'] // 100}xx").inc()
                self.web.latency.observe(time.perf_counter() - began)
            await send(message)

        if Fault.SLOW in self.web.release.fault and api and path not in (STREAM_PATH, HEALTH_PATH):
            await asyncio.sleep(self.web.settings.fault_slow)
        await self.app(scope, receive, answer)


class HubCollector(Collector):
    """The streams of this process."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("streams_connected", "Open streams", value=self.hub.connected)
        yield CounterMetricFamily("streams_opened", "Streams that were opened", value=self.hub.opened)
        yield CounterMetricFamily("streams_messages", "Messages sent on streams", value=self.hub.messages)
        yield CounterMetricFamily("streams_errors", "Streams that ended in an error", value=self.hub.errors)
        yield CounterMetricFamily("streams_rejected", "Streams beyond MAX_SSE_CONNECTIONS", value=self.hub.rejected)


class Web(Service):
    """Pages, API, streams."""

    def __init__(self, settings: Settings, release: Release) -> None:
        super().__init__(settings, release)
        self.alerts = AlertStore(self.redis)
        self.hub = Hub(settings.stream_interval, settings.stream_ring, settings.stream_heartbeat)
        self.reporter = Reporter(self.redis, self.hub, settings.instance)
        self.requests = Counter("http_requests_total", "Requests answered", ["status"], registry=self.registry)
        for status in ("2xx", "3xx", "4xx", "5xx"):
            self.requests.labels(status)
        self.latency = Histogram(
            "http_request_seconds",
            "Time until an answer began",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
            registry=self.registry,
        )
        self.sockets = Gauge("websockets_connected", "Open WebSockets", registry=self.registry)
        self.socket_messages = Counter("websockets_messages_total", "Messages sent", registry=self.registry)
        self.sockets_opened = Counter("websockets_opened_total", "WebSockets that were opened", registry=self.registry)
        self.reconnects = Counter(
            "websockets_reconnects_total", "WebSockets opened by a page that has lost one before", registry=self.registry
        )
        self.sockets_closed = Counter("websockets_closed_total", "WebSockets that ended", ["by"], registry=self.registry)
        for by in ("client", "server", "loss"):
            self.sockets_closed.labels(by)
        self.registry.register(HubCollector(self.hub))
        self.app = Front(self._routes(), self)

    def _routes(self) -> Starlette:
        def api(path: str, handler: Handler, *methods: str) -> Route:
            return Route(path, handler, methods=list(methods or ("GET",)))

        return Starlette(
            routes=[
                Route("/", lambda _request: RedirectResponse("/technical-analysis")),
                Route("/technical-analysis", self.page("technical-analysis.html")),
                Route("/alerts", self.page("alerts.html")),
                Route("/btcturk", self.page("btcturk.html")),
                Route("/favicon.ico", lambda _request: FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")),
                *self._broken_scripts(),
                Route("/static/build.js", self.get_build),
                Mount("/static", StaticFiles(directory=STATIC)),
                api(HEALTH_PATH, self.get_health),
                api("/metrics", self.metrics),
                api("/api/canary", self.get_canary),
                api("/api/public/btcturk/ticker", self.get_ticker),
                api("/api/marketdata/symbols", self.get_symbols),
                api("/api/marketdata/candles", self.get_candles),
                api(STREAM_PATH, self.get_stream),
                api("/api/tools/fibonacci", self.get_fibonacci),
                api("/api/tools/bollinger", self.get_bollinger),
                api("/api/tools/macd", self.get_macd),
                api("/api/alerts", self.get_alerts),
                api("/api/alerts", self.post_alert, "POST"),
                api("/api/alerts/{id}", self.get_alert),
                api("/api/alerts/{id}", self.put_alert, "PUT", "PATCH"),
                api("/api/alerts/{id}", self.delete_alert, "DELETE"),
                api("/api/alerts/{id}/toggle", self.toggle_alert, "POST"),
                api("/api/alerts/{id}/history", self.get_history),
                api("/api/notifications", self.get_notifications),
                api("/api/notifications/test", self.test_notification, "POST"),
                WebSocketRoute("/ws", self.feed),
            ],
            exception_handlers={
                Refused: self._refused,
                Invalid: self._invalid,
                **dict.fromkeys(UNREACHABLE, self._no_redis),
            },
        )

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await super().start()
        self.spawn(self.hub.run())
        self.spawn(self._report())

    def quiesce(self) -> None:
        self.hub.close()

    async def stop(self) -> None:
        try:
            async with asyncio.timeout(0.3):
                await self.reporter.report()
                await self.reporter.withdraw()
        except UNREACHABLE:
            log.debug("totals not reported, redis is unreachable")
        await super().stop()

    def applied(self, old: Settings) -> None:
        self.hub.heartbeat = self.settings.stream_heartbeat

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY)
            try:
                await self.reporter.report()
            except UNREACHABLE:
                # The next report carries what this one did not.
                log.debug("totals not reported, redis is unreachable")

    async def observe(self) -> None:
        """The metrics of this process are always up to date."""

    # -- errors ---------------------------------------------------------------------------------------------------

    @staticmethod
    async def _refused(_request: HTTPConnection, exc: Exception) -> Response:
        assert isinstance(exc, Refused)
        body = {"error": str(exc), **({"field": exc.field} if exc.field else {})}
        return JSONResponse(body, status_code=exc.status)

    @staticmethod
    async def _invalid(_request: HTTPConnection, exc: Exception) -> Response:
        assert isinstance(exc, Invalid)
        return JSONResponse({"error": str(exc), "field": exc.field}, status_code=400)

    @staticmethod
    async def _no_redis(_request: HTTPConnection, exc: Exception) -> Response:
        log.warning("redis is unreachable: %s", type(exc).__name__)
        return JSONResponse({"error": "alerts are not available now"}, status_code=503, headers={"Retry-After": "2"})

    # -- pages and health -----------------------------------------------------------------------------------------

    @staticmethod
    def page(name: str) -> Handler:
        async def handler(_request: Request) -> Response:
            return FileResponse(STATIC / name, headers={"Cache-Control": "no-cache"})

        return handler

    def _broken_scripts(self) -> list[Route]:
        """Where the release has the fault, the scripts of the pages with a line that fails; every answer is as good as ever."""
        if Fault.JS_ERROR not in self.release.fault:
            return []

        def route(name: str) -> Route:
            script = (STATIC / name).read_text(encoding="utf-8") + "\nbyId('theme').value = 'dark';\n"
            return Route(f"/static/{name}", lambda _request: Response(script, media_type="text/javascript"))

        return [route(name) for name in ("chart.js", "alerts.js", "feed.js")]

    async def get_health(self, _request: Request) -> Response:
        status, body = await self.health()
        body["websocket_enabled"] = self.settings.websocket_enabled
        return JSONResponse(body, status_code=status)

    async def get_build(self, _request: Request) -> Response:
        """What a bundler writes into the scripts of a build. There is none here: the flag is that of the start of the process."""
        build = json.dumps({"release": self.release.id, "websocket": self.settings.websocket_built})
        headers = {"Cache-Control": "no-cache"}
        return Response(f"'use strict';\n\nconst BUILD = {build};\n", media_type="text/javascript", headers=headers)

    async def get_canary(self, request: Request) -> Response:
        """Take some events to the store and back, for who has the token; the answer is the evidence."""
        if not self.settings.api_token:
            raise Refused(409, "SPARK_API_TOKEN is not set")
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, f"Bearer {self.settings.api_token}".encode()):
            raise Refused(401, "a token is needed")
        # Of each request its own: a sampler may ask in the same moment as a cutover.
        key = f"spark:canary:{self.settings.instance}:{secrets.token_hex(4)}"
        taken, good = [], 0
        for number in range(CANARY_EVENTS):
            began = time.perf_counter()
            event = json.dumps({"number": number, "time": time.time(), **market.quote("BTCTRY", time.time())})
            await self.redis.set(key, event, ex=60)
            good += await self.redis.get(key) == event
            taken.append((time.perf_counter() - began) * 1000)
        latency = {"p50": round(sorted(taken)[CANARY_EVENTS // 2], 3), "max": round(max(taken), 3)}
        return JSONResponse(
            {
                "status": "PASS" if good == CANARY_EVENTS else "FAIL",
                "release": self.release.id,
                "websocket_enabled": self.settings.websocket_built and self.settings.websocket_enabled,
                "events": good,
                "latency_ms": latency,
                "time": round(time.time() * 1000),
            }
        )

    # -- market data and tools ------------------------------------------------------------------------------------

    async def get_symbols(self, _request: Request) -> Response:
        return JSONResponse({"symbols": list(market.SYMBOLS), "timeframes": list(market.TIMEFRAMES)})

    async def get_ticker(self, request: Request) -> Response:
        symbol = symbol_of(request.query_params.get("symbol", "BTCTRY"))
        now = time.time()
        last = market.price(symbol, now)
        return JSONResponse({"symbol": symbol, "last": last, **market.quote(symbol, now), "time": round(now * 1000)})

    @staticmethod
    def _series(request: Request, default_limit: int) -> tuple[str, str, list[market.Candle]]:
        query = request.query_params
        symbol = symbol_of(query.get("symbol", "BTCUSDT"))
        timeframe = timeframe_of(query.get("timeframe", "1h"))
        text = query.get("limit", str(default_limit))
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= market.MAX_CANDLES):
            raise Invalid("limit", f"limit must be a whole number from 1 to {market.MAX_CANDLES}")
        return symbol, timeframe, market.candles(symbol, timeframe, int(text))

    async def get_candles(self, request: Request) -> Response:
        symbol, timeframe, candles = self._series(request, 200)
        return JSONResponse({"symbol": symbol, "timeframe": timeframe, "candles": candles})

    async def get_fibonacci(self, request: Request) -> Response:
        symbol, timeframe, candles = self._series(request, 100)
        high, low = max(c["high"] for c in candles), min(c["low"] for c in candles)
        return JSONResponse(
            {"symbol": symbol, "timeframe": timeframe, "high": high, "low": low, "levels": tools.fibonacci(high, low)}
        )

    async def get_bollinger(self, request: Request) -> Response:
        symbol, timeframe, candles = self._series(request, 100)
        if len(candles) < 20:
            raise Invalid("limit", "limit must be at least 20 for Bollinger bands of 20 periods")
        bands = tools.bollinger([c["close"] for c in candles])
        series = [{"time": c["time"], **band} for c, band in zip(candles[19:], bands, strict=True)]
        return JSONResponse(
            {
                "symbol": symbol,
                "timeframe": timeframe,
                "period": 20,
                "deviations": 2,
                "bands": bands[-1],
                "series": series,
            }
        )

    async def get_macd(self, request: Request) -> Response:
        symbol, timeframe, candles = self._series(request, 100)
        if len(candles) < 35:
            raise Invalid("limit", "limit must be at least 35 for MACD 12, 26, 9")
        lines = tools.macd([c["close"] for c in candles])
        series = [{"time": c["time"], **line} for c, line in zip(candles[25:], lines, strict=True)]
        return JSONResponse({"symbol": symbol, "timeframe": timeframe, "current": lines[-1], "series": series})

    # -- streams --------------------------------------------------------------------------------------------------

    async def get_stream(self, request: Request) -> Response:
        symbol = symbol_of(request.query_params.get("symbol", "BTCUSDT"))
        fault = self.release.fault
        manner = Manner(Fault.BUFFERED in fault, Fault.STALLED in fault)
        client = request.client.host if request.client else "local"
        if request.method == "HEAD":
            # Looks at the stream without opening it: takes no place and is not counted.
            return Response(headers=EventStream(self.hub, symbol, client, None, manner).headers)
        limit = self.settings.max_streams_per_client
        if self.hub.closing.is_set() or not self.hub.enter(client, limit):
            return JSONResponse(
                {"error": f"at most {limit} streams for each client"},
                status_code=429,
                headers={"Retry-After": "5", **self.hub.headers()},
            )
        start = resume_from(request.headers.get("last-event-id"))
        # The ASGI application is called as the answer; it gives the place in the hub back.
        return _Answer(EventStream(self.hub, symbol, client, start, manner))

    async def feed(self, socket: WebSocket) -> None:
        """The WebSocket feed: a message for every time slot, and an answer to ``{"type": "ping"}``."""
        symbol = socket.query_params.get("symbol", "BTCUSDT")
        if not self.settings.websocket_enabled or symbol not in market.SYMBOLS:
            await socket.close(1008)  # before the handshake: the client gets HTTP 403
            return
        await socket.accept()
        self.sockets_opened.inc()
        if socket.query_params.get("attempt", "0") != "0":
            self.reconnects.inc()
        if Fault.WS_DROPPED in self.release.fault:
            self.sockets_closed.labels("server").inc()
            await socket.close(1011)
            return
        self.sockets.inc()
        sending = asyncio.ensure_future(self._send_feed(socket, symbol))
        try:
            await self._read_feed(socket)
        except WebSocketDisconnect as gone:
            ended = "server" if self.hub.closing.is_set() else "client" if gone.code in (1000, 1001, 1005) else "loss"
            self.sockets_closed.labels(ended).inc()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self.sockets.dec()

    async def _say(self, socket: WebSocket, message: dict[str, Any]) -> None:
        await socket.send_text(json.dumps({**message, "sent_at": round(time.time() * 1000)}, separators=(",", ":")))
        self.socket_messages.inc()

    async def _send_feed(self, socket: WebSocket, symbol: str) -> None:
        hello = {"type": "hello", "service": "web-next", "release": self.release.id, "symbol": symbol}
        await self._say(socket, hello)
        ring = self.hub.rings[symbol]
        last = -1
        while not self.hub.closing.is_set():
            number = ring.latest(self.hub.now())
            if number != last:
                last = number
                event = {"type": "tick", "symbol": symbol, "seq": number}
                at = number * ring.interval
                await self._say(socket, {**event, "price": market.price(symbol, at), **market.quote(symbol, at)})
            await self.hub.tick()
        await socket.close(1012)

    async def _read_feed(self, socket: WebSocket) -> None:
        while True:
            try:
                message = json.loads(await socket.receive_text())
            except (ValueError, KeyError):  # not JSON, or not text
                message = None
            if isinstance(message, dict) and message.get("type") == "ping":
                if Fault.WS_SLOW in self.release.fault:
                    await asyncio.sleep(self.settings.fault_ws_slow)
                await self._say(socket, {"type": "pong", "id": message.get("id")})
            else:
                await self._say(socket, {"type": "error", "error": 'send {"type": "ping"}'})

    # -- alerts ---------------------------------------------------------------------------------------------------

    @staticmethod
    async def _body(request: Request, optional: bool = False) -> dict[str, Any]:
        received = bytearray()
        async for chunk in request.stream():
            received += chunk
            if len(received) > MAX_BODY:
                raise Refused(413, f"the body may have at most {MAX_BODY} bytes")
        if optional and not received:
            return {}
        try:
            data = json.loads(received)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise Refused(400, "the body must be a JSON object")
        return data

    async def _alert(self, request: Request) -> Alert:
        alert_id = request.path_params["id"]
        alert = await self.alerts.get(alert_id) if alert_id.isalnum() and len(alert_id) <= 32 else None
        if alert is None:
            raise Refused(404, "no such alert")
        return alert

    async def get_alerts(self, _request: Request) -> Response:
        alerts = await self.alerts.all()
        return JSONResponse({"count": len(alerts), "alerts": [asdict(alert) for alert in alerts]})

    async def post_alert(self, request: Request) -> Response:
        alert = created(await self._body(request), self.settings.allowed_hosts)
        if await self.alerts.count() >= MAX_ALERTS:
            raise Refused(409, f"there are {MAX_ALERTS} alerts already")
        await self.alerts.save(alert)
        return JSONResponse(asdict(alert), status_code=201, headers={"Location": f"/api/alerts/{alert.id}"})

    async def get_alert(self, request: Request) -> Response:
        return JSONResponse(asdict(await self._alert(request)))

    async def put_alert(self, request: Request) -> Response:
        alert = changed(await self._alert(request), await self._body(request), self.settings.allowed_hosts)
        await self.alerts.save(alert)
        return JSONResponse(asdict(alert))

    async def toggle_alert(self, request: Request) -> Response:
        alert = await self._alert(request)
        wanted = await self._body(request, optional=True)
        alert = changed(alert, {"enabled": wanted.get("enabled", not alert.enabled)}, frozenset())
        await self.alerts.save(alert)
        return JSONResponse(asdict(alert))

    async def delete_alert(self, request: Request) -> Response:
        alert = await self._alert(request)
        await self.alerts.delete(alert.id)
        return JSONResponse({"deleted": alert.id})

    async def get_history(self, request: Request) -> Response:
        alert = await self._alert(request)
        return JSONResponse({"id": alert.id, "history": await self.alerts.history(alert.id)})

    # -- notifications --------------------------------------------------------------------------------------------

    async def get_notifications(self, _request: Request) -> Response:
        settings = self.settings
        telegram = bool(settings.telegram_api_url and settings.telegram_token and settings.telegram_chat)
        return JSONResponse(
            {
                "configured": bool(notify.targets(settings)),
                "webhook": bool(settings.webhook_url),
                "telegram": telegram,
                "allowed_hosts": sorted(settings.allowed_hosts),
            }
        )

    async def test_notification(self, request: Request) -> Response:
        data = await self._body(request, optional=True)
        receivers = notify.targets(self.settings, webhook_of(data.get("webhook_url", ""), self.settings.allowed_hosts))
        if not receivers:
            raise Refused(409, "notifications are not configured")
        for url, fields in receivers:
            try:
                body = {"type": "test", "text": "Spark TA: test notification", **fields}
                await notify.send(url, body, self.settings, self.release)
            except notify.NotificationFailed as exc:
                raise Refused(502, f"notification failed: {exc}") from None
        return JSONResponse({"sent": len(receivers)})


class _Answer(Response):
    """Hands the connection over to another ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


if __name__ == "__main__":
    run("web-next", Web)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What the two processes share: start, signals, reload, stop, and the faults that any process can have."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from spark import config, releases
from spark.config import Settings
from spark.releases import Fault, Release

log = logging.getLogger("spark")

REDIS_TIMEOUT = 2.0  # seconds for one command: a Redis that hangs is a Redis that is down
GRACE = 1  # whole seconds that open connections get after SIGTERM


class Service(ABC):
    """One process: an ASGI application, its background tasks, and how it follows signals."""

    app: ASGIApp

    def __init__(self, settings: Settings, release: Release) -> None:
        self.settings = settings
        self.release = release
        self.started = time.monotonic()
        self.redis: Redis = Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REDIS_TIMEOUT,
            # Once more, for a pooled connection that Redis closed when it was restarted; then the caller is told.
            retry=Retry(NoBackoff(), 1),
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaked: list[bytes] = []
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self.registry)
        info = Gauge("spark_build_info", "Which release this is", ["service", "release"], registry=self.registry)
        info.labels(settings.service, release.id).set(1)
        self.reloads = Counter("config_reloads_total", "Reloads by SIGHUP", ["result"], registry=self.registry)
        for result in ("ok", "refused"):
            self.reloads.labels(result)

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the background tasks. Does not wait for Redis: a process that cannot say what is wrong helps no one."""
        if Fault.CRASH in self.release.fault:
            asyncio.get_running_loop().call_later(self.settings.fault_crash_after, self._crash)
        if Fault.LEAK in self.release.fault:
            self.spawn(self._leak())

    def quiesce(self) -> None:
        """Called the moment the process is told to stop, before connections are closed."""
        return

    async def stop(self) -> None:
        """Called after the last connection was closed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.redis.aclose()

    def applied(self, old: Settings) -> None:
        """Called after a reload has put new settings in place."""
        return

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in the background; it is cancelled when the process stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background task ended: %s", error, exc_info=error)

    def reload(self) -> None:
        """Read the configuration again. What is wrong with it is logged, and the old one stays."""
        old = self.settings
        try:
            new = config.load(old.service, self.release)
        except config.ConfigError as exc:
            self.reloads.labels("refused").inc()
            log.error("configuration refused, the old one stays: %s", exc)
            return
        waiting = config.need_restart(old, new)
        self.settings = config.reloaded(old, new)
        logging.getLogger().setLevel(self.settings.log_level)
        self.reloads.labels("ok").inc()
        log.info("configuration reloaded%s", f", needs a restart: {', '.join(waiting)}" if waiting else "")
        self.applied(old)

    # -- what both answer -----------------------------------------------------------------------------------------

    async def redis_ok(self) -> bool:
        try:
            return bool(await self.redis.ping())
        except (RedisError, OSError, TimeoutError):
            return False

    async def health(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the part of the health document that both processes have."""
        redis = await self.redis_ok()
        status = "ok" if redis else "degraded"
        if Fault.UNHEALTHY in self.release.fault:
            status = "starting"
        body = {
            "status": status,
            "service": self.settings.service,
            "release": self.release.id,
            "instance": self.settings.instance,
            "redis": "ok" if redis else "down",
            "uptime": round(time.monotonic() - self.started, 3),
        }
        return (200 if status == "ok" else 503), body

    @abstractmethod
    async def observe(self) -> None:
        """Bring the metrics up to date before a scrape."""

    async def metrics(self, _request: Request) -> Response:
        await self.observe()
        return Response(generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    # -- faults ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _crash() -> None:
        log.critical("fatal: worker state corrupted")
        logging.shutdown()
        os._exit(1)

    async def _leak(self) -> None:
        # Bounded, so that a test that forgets about it does not take the machine down.
        while len(self._leaked) < self.settings.fault_leak_limit * 4:
            self._leaked.append(b"x" * (256 * 1024))
            await asyncio.sleep(0.25 / self.settings.fault_leak_rate)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to ``_serve``: it has to end the streams first, and a stop that was asked for exits 0."""
        yield


async def _serve(service: Service) -> None:
    settings = service.settings
    server = _Server(
        uvicorn.Config(
            service.app,
            host=settings.host,
            port=settings.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_ping_interval=settings.websocket_ping,
            ws_ping_timeout=settings.websocket_ping,
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=GRACE,
        )
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not server.should_exit:
            log.info("stopping")
            server.should_exit = True
            service.quiesce()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    log.info("starting %s release=%s on %s:%d", settings.service, service.release.id, settings.host, settings.port)
    await service.start()
    try:
        await server.serve()
    finally:
        await service.stop()
    log.info("stopped")


def _modest_arenas() -> None:
    """Ask glibc for few heap arenas: with one per thread, a small process looks several times its size."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX


def run(name: str, build: Callable[[Settings, Release], Service]) -> None:
    """Run one process until it is told to stop. Exit code 78 and one line for each mistake when it refuses to start."""
    try:
        release = releases.current()
        settings = config.load(name, release)
    except (releases.UnknownRelease, config.ConfigError) as exc:
        problems = exc.problems if isinstance(exc, config.ConfigError) else [str(exc.args[0])]
        print(f"spark {name}: configuration refused", *(f"  - {p}" for p in problems), sep="\n", file=sys.stderr)
        sys.exit(config.EXIT_CONFIG)
    logging.basicConfig(
        stream=sys.stdout,
        level=settings.log_level,
        format=f"%(asctime)s.%(msecs)03d %(levelname)s {settings.instance.replace('%', '%%')} %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    _modest_arenas()
    asyncio.run(_main(build, settings, release))


async def _main(build: Callable[[Settings, Release], Service], settings: Settings, release: Release) -> None:
    code = 0
    try:
        await _serve(build(settings, release))
    except SystemExit as exc:  # uvicorn's way to say that it could not listen
        code = exc.code if isinstance(exc.code, int) else 1
    logging.shutdown()
    sys.stdout.flush()
    # A notification may still wait for a slow receiver in its thread, and the interpreter would wait for the thread.
    os._exit(code)

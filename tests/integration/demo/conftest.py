# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spark TA as real processes on a real Redis."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.conftest import RedisServer, stop_process, wait_until

DEMO = Path(__file__).resolve().parents[3] / "demo"
sys.path.insert(0, str(DEMO))
HEALTH = {"executor": "/health", "web": "/api/public/health"}

#: Everything that the application waits for, at a pace for tests. The lock outlives a process that is slow for a moment.
QUICK = {
    "ALERT_INTERVAL_MS": "50",
    "LEADER_LOCK_TTL_MS": "2000",
    "LEADER_HEARTBEAT_MS": "200",
    "LEADER_RETRY_MS": "50",
    "STREAM_INTERVAL_MS": "100",
    "STREAM_HEARTBEAT_SEC": "0.3",
    "WS_PING_SEC": "1",
}


@dataclasses.dataclass
class Event:
    """One event of a stream, or a comment (``comment`` set, everything else empty)."""

    id: str = ""
    event: str = ""
    data: str = ""
    comment: str = ""

    def json(self) -> Any:
        return json.loads(self.data)


@dataclasses.dataclass
class App:
    """One process of Spark TA."""

    role: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]
    env_file: Path

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=10, **options)

    def health(self) -> dict[str, Any]:
        document: dict[str, Any] = self.get(HEALTH[self.role]).json()
        return document

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of one series; fails when there is none."""
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        raise AssertionError(f"no series {name}{labels}")

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def reload(self, **values: str) -> None:
        """Put ``values`` into the env file and send SIGHUP; returns when the log says that it was read."""
        seen = self.output().count("configuration re")
        self.env_file.write_text("".join(f"{k}='{v}'\n" for k, v in values.items()), encoding="utf-8")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.output().count("configuration re") > seen, what="the reload")

    def terminate(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds until the process was gone."""
        began = time.monotonic()
        self.process.terminate()
        return self.process.wait(15), time.monotonic() - began

    @contextlib.contextmanager
    def stream(self, path: str = "/api/marketdata/stream", **options: Any) -> Iterator[Stream]:
        options.setdefault("timeout", 10)
        with requests.get(self.url + path, stream=True, **options) as response:
            yield Stream(response)


class Stream:
    """An open event stream, read event by event."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.headers = response.headers
        self.arrivals: list[float] = []
        self._lines = response.iter_lines(chunk_size=1)

    def __iter__(self) -> Iterator[Event]:
        event = Event()
        for raw in self._lines:
            line = raw.decode()
            if not line:
                if event != Event():
                    self.arrivals.append(time.monotonic())
                    yield event
                event = Event()
            elif line.startswith(":"):
                event.comment = line[1:].strip()
            else:
                name, _, value = line.partition(": ")
                if name in ("id", "event", "data"):
                    setattr(event, name, value)

    def ticks(self, count: int) -> list[Event]:
        """Return the next ``count`` events that are ticks."""
        found: list[Event] = []
        for event in self:
            if event.event == "tick":
                found.append(event)
                if len(found) == count:
                    break
        return found


@dataclasses.dataclass
class Spark:
    """The platform of one test: its Redis, and a way to start processes."""

    redis: RedisServer
    client: Redis
    start: Callable[..., App]


def spark_environment(**values: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(DEMO), **values}


@pytest.fixture
def spark(redis_server: Callable[..., RedisServer], free_port: Callable[[], int], tmp_path: Path) -> Iterator[Spark]:
    """Return the platform. ``start(role, release="1.0.0", wait=True, **variables)`` starts one process of it."""
    server = redis_server()
    apps: list[App] = []

    def start(role: str, release: str = "1.0.0", wait: bool = True, **variables: str) -> App:
        port = free_port()
        number = len(apps) + 1
        log, env_file = tmp_path / f"{role}-{number}.log", tmp_path / f"{role}-{number}.env"
        env_file.touch()
        environ = spark_environment(
            SPARK_RELEASE=release,
            REDIS_URL=server.url,
            INSTANCE=f"{role}-{number}",
            APP_ENV_FILE=str(env_file),
            **{f"{role.upper()}_PORT": str(port), **QUICK, **variables},
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"spark.{role}"],
                env=environ,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        app = App(role, f"http://127.0.0.1:{port}", log, process, env_file)
        apps.append(app)
        if wait:

            def up() -> bool:
                if process.poll() is not None:
                    pytest.fail(f"{role} ended with {process.returncode}: {app.output()}", pytrace=False)
                with contextlib.suppress(requests.ConnectionError):
                    return app.get(HEALTH[role]).status_code in (200, 503)
                return False

            wait_until(up, what=role)
        return app

    client: Redis = Redis.from_url(server.url, decode_responses=True)
    with contextlib.closing(client):
        yield Spark(server, client, start)
    for app in apps:
        stop_process(app.process)


@dataclasses.dataclass
class Receiver:
    """A webhook receiver. ``status`` is what it answers; ``location`` makes the answer a redirect."""

    url: str = ""
    host: str = ""
    status: int = 200
    location: str = ""
    delay: float = 0.0
    received: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    paths: list[str] = dataclasses.field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.paths.append(self.path)
            state.received.append(json.loads(body))
            time.sleep(state.delay)
            with contextlib.suppress(OSError):
                self.send_response(state.status)
                if state.location:
                    self.send_header("Location", state.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.host = f"127.0.0.1:{server.server_port}"
    state.url = f"http://{state.host}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()

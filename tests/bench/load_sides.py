# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sides of a comparison of load generators: `ab` and `wrk`, an nginx, and a service whose slow answers are known."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import NotMeasured

FAST, SLOW = 0.02, 0.1
"""Seconds that nine of ten answers take, and that the tenth takes."""

_SCRIPT = """\
done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %d %d %d %.3f %.3f\\n", summary.requests, failed, summary.duration,
    latency:percentile(50), latency:percentile(95)))
end
"""


@dataclass(frozen=True)
class Outcome:
    """What a load generator says. Times in seconds, throughput per second."""

    completed: int
    failed: int
    throughput: float
    p50: float
    p95: float


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, check=True, text=True, capture_output=True, timeout=120).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NotMeasured(f"{Path(command[0]).name}: {getattr(error, 'stderr', None) or error}") from error


def ab(binary: str, url: str, requests: int, concurrency: int, work: Path, keep_alive: bool = False) -> Outcome:
    """Run ``ab``; its percentiles are read from the file that has fractions of a millisecond."""
    table = work / "ab.csv"
    command = [binary, "-q", "-n", str(requests), "-c", str(concurrency), "-e", str(table), *(["-k"] if keep_alive else []), url]
    text = _run(command)
    found = {
        name: re.search(rf"^{pattern}:\s+([\d.]+)", text, re.MULTILINE)
        for name, pattern in (("completed", "Complete requests"), ("failed", "Failed requests"), ("rate", "Requests per second"))
    }
    if any(match is None for match in found.values()):
        raise NotMeasured(f"ab printed something else: {text[-500:]}")
    numbers = {name: float(match.group(1)) for name, match in found.items() if match is not None}
    rows = dict(line.split(",") for line in table.read_text(encoding="utf-8").splitlines()[1:])
    return Outcome(
        int(numbers["completed"]), int(numbers["failed"]), numbers["rate"], float(rows["50"]) / 1000, float(rows["95"]) / 1000
    )


def wrk(binary: str, url: str, seconds: int, concurrency: int, work: Path) -> Outcome:
    """Run ``wrk`` in one thread. It keeps its connections."""
    script = work / "percentiles.lua"
    script.write_text(_SCRIPT, encoding="utf-8")
    text = _run([binary, "-t", "1", "-c", str(concurrency), "-d", f"{seconds}s", "-s", str(script), url])
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", text)
    if found is None:
        raise NotMeasured(f"wrk printed something else: {text[-500:]}")
    completed, failed, duration, p50, p95 = (float(one) for one in found.groups())
    return Outcome(int(completed), int(failed), completed / (duration / 1e6), p50 / 1e6, p95 / 1e6)


async def _serve_slow_tenth(started: Callable[[int, Callable[[], None]], None]) -> None:
    """Serve until told to stop; ``started`` is told the port, and how to stop."""
    count = [0]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                await reader.readuntil(b"\r\n\r\n")
                count[0] += 1
                await asyncio.sleep(SLOW if count[0] % 10 == 0 else FAST)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
                await writer.drain()
            finally:
                writer.close()

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.call_soon_threadsafe(stop.set)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    started(int(server.sockets[0].getsockname()[1]), end)
    await stop.wait()
    server.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0.05)  # closing a connection takes a turn of the loop


_NGINX = """\
daemon off;
pid nginx.pid;
error_log error.log warn;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
{http}
}}
"""


@contextlib.contextmanager
def nginx(binary: str, home: Path, http: str, **values: object) -> Iterator[str]:
    """An nginx of its own below ``home``; gives its address. ``{port}`` and the values are filled into the configuration."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (home / "tmp").mkdir()
    (home / "nginx.conf").write_text(_NGINX.format(http=http.format(port=port, **values)), encoding="utf-8")
    command = [binary, "-p", str(home), "-c", str(home / "nginx.conf")]
    with serving(command, port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def serving(command: list[str], port: int) -> Iterator[None]:
    """A server of this command, from when it accepts connections on the port; ended at the end."""
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as process:
        try:
            deadline = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotMeasured(f"{Path(command[0]).name} did not start")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def slow_tenth() -> Iterator[int]:
    """A service on a port of its own. Every tenth answer takes `SLOW`, the others take `FAST`."""
    told: queue.SimpleQueue[tuple[int, Callable[[], None]]] = queue.SimpleQueue()

    def started(port: int, stop: Callable[[], None]) -> None:
        told.put((port, stop))

    thread = threading.Thread(target=lambda: asyncio.run(_serve_slow_tenth(started)), daemon=True)
    thread.start()
    port, stop = told.get(timeout=20)
    try:
        yield port
    finally:
        stop()
        thread.join()

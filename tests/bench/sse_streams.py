# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand event streams held through nginx by one check: memory of the prober, and missed events.

    python -m tests.bench.sse_streams [--streams 1000] [--hold 10] [--nginx PATH]

Three processes: an application that sends a numbered event to every listener once a second, nginx in front of it with
buffering off, and the prober. The memory is that of the prober process alone: its peak resident set, and by how much it
grew from before the look.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".cache" / "collections"

CONFIGURATION = """\
daemon off;
pid nginx.pid;
error_log error.log warn;
worker_processes 1;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
  access_log off;
  client_body_temp_path tmp/body;
  proxy_temp_path tmp/proxy;
  fastcgi_temp_path tmp/fastcgi;
  uwsgi_temp_path tmp/uwsgi;
  scgi_temp_path tmp/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h; }}
  }}
}}
"""


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def _application(port: int, every: float) -> None:
    """Sends the same numbered event to every listener; ends when standard input is closed."""
    listeners: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            listeners.add(writer)
            await reader.read()
        listeners.discard(writer)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    done = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    number = 0
    async with server:
        while not done.done():
            number += 1
            body = f"id: {number}\ndata: {json.dumps({'n': number, 'sent': time.time(), 'pad': 'x' * 100})}\n\n".encode()
            chunk = b"%x\r\n%s\r\n" % (len(body), body)
            for writer in list(listeners):
                writer.write(chunk)
            await asyncio.wait([done], timeout=every)


def _allow(files: int) -> None:
    """Let this process and its children open so many files, as far as the hard limit lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files if hard == resource.RLIM_INFINITY else min(files, hard), hard))


def _peak() -> int:
    """The peak resident set of this process in bytes.

    Not `ru_maxrss`: on Linux that is inherited through fork and exec, so it would be the peak of whoever started the process.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _probe(url: str, streams: int, hold: float) -> dict[str, Any]:
    """The look, in this process; sizes in bytes, times in seconds."""
    from ansible_collections.golive.cutover.plugins.module_utils.core.options import read_options
    from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context
    from ansible_collections.golive.cutover.plugins.module_utils.probes.sse import SseProbe

    probe = SseProbe()
    raw = {"url": url, "connections": streams, "hold": f"{hold}s", "sent_at": "sent"}
    options = read_options(raw, probe.options, probe.name, [])
    before, peak_before = resource.getrusage(resource.RUSAGE_SELF), _peak()
    begun = time.monotonic()
    seen = probe.look(options, Context(begun + hold + 60))
    seconds = time.monotonic() - begun
    after, peak = resource.getrusage(resource.RUSAGE_SELF), _peak()
    names = ("opened", "failed", "ended_early", "events", "events_total", "missed", "duplicated", "first_event", "buffered")
    return {
        **{name: seen.measures.get(name) for name in names},
        "missing": seen.missing,
        "proof": seen.proof,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "rss_peak_bytes": peak,
        "rss_growth_bytes": peak - peak_before,
    }


@contextlib.contextmanager
def _running(command: list[str], log: Path, port: int, environment: dict[str, str]) -> Iterator[None]:
    """A server process, from when it accepts connections; ended at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, cwd=ROOT)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.05)
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure(streams: int = 1000, hold: float = 10.0, nginx: str | None = None) -> dict[str, Any]:
    """Hold the streams and return what was seen.

    Keys: ``streams``, ``hold`` (seconds), ``opened``, ``failed``, ``ended_early``, ``events`` (fewest on a stream),
    ``events_total``, ``missed``, ``duplicated``, ``first_event`` (seconds, slowest stream), ``buffered``, ``seconds``,
    ``cpu_seconds``, ``rss_peak_bytes``, ``rss_growth_bytes``, ``bytes_per_stream``, ``missing``, ``proof``.
    """
    binary = nginx or str(ROOT / ".cache" / "bin" / "nginx")
    files = 2 * streams + 512
    _allow(files)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(COLLECTIONS), str(ROOT)])}
    itself = [sys.executable, "-m", "tests.bench.sse_streams"]
    with tempfile.TemporaryDirectory(prefix="golive-bench-") as directory:
        home = Path(directory)
        (home / "tmp").mkdir()
        upstream, port = _free_port(), _free_port()
        (home / "nginx.conf").write_text(CONFIGURATION.format(files=files, port=port, upstream=upstream))
        front = [binary, "-p", directory, "-c", str(home / "nginx.conf")]
        with _running([*itself, "--application", str(upstream)], home / "application.log", upstream, environment):
            with _running(front, home / "nginx.log", port, environment):
                # A process of its own, so that the memory is that of the probe and not that of the benchmark.
                asked = [*itself, "--probe", f"http://127.0.0.1:{port}/", "--streams", str(streams), "--hold", str(hold)]
                done = subprocess.run(asked, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=hold + 120)
                if done.returncode:
                    raise RuntimeError(f"the prober ended with {done.returncode}: {done.stderr[-1000:]}")
    seen: dict[str, Any] = json.loads(done.stdout)
    return {"streams": streams, "hold": hold, **seen, "bytes_per_stream": round(seen["rss_growth_bytes"] / streams)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--hold", type=float, default=10.0, help="seconds")
    parser.add_argument("--nginx", help="nginx to use; by default the one in the cache of the project")
    parser.add_argument("--application", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.application:
        asyncio.run(_application(given.application, every=1.0))
        return 0
    if given.probe:
        print(json.dumps(_probe(given.probe, given.streams, given.hold)))
        return 0
    seen = measure(given.streams, given.hold, given.nginx)
    print(json.dumps(seen, indent=2))
    return 0 if seen["opened"] == given.streams and seen["missed"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

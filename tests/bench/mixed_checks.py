# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sixty checks of eleven kinds on one host, as one task: how long all of them take beside the slowest of them.

They ask an nginx, a Redis and a service of their own, whose event stream and counter need to be looked at for seconds. A check that
does not pass is an error and not a result.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import ansible_runs, load_sides
from tests.bench.figures import Figure, Measured, NotMeasured, WrongValues, alternate, single

ROOT = Path(__file__).resolve().parents[2]
TITLE = "60 checks of mixed kinds on one host"
CHECKS = 60
HOLD = 5
"""Seconds that the longest checks look at a stream."""
SAMPLED = 3
"""Seconds between the two samples of a counter."""
TARGET = 1.3

CONFIGURATION = """
server {{
  listen 127.0.0.1:{port};
  location / {{ return 200 'hello world\\n'; }}
}}
"""


class Service(http.server.ThreadingHTTPServer):
    """A metrics page whose counter grows, and an event stream."""

    daemon_threads = True
    request_queue_size = CHECKS

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.begun = time.monotonic()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/events":
            self._events()
            return
        assert isinstance(self.server, Service)
        counted = int((time.monotonic() - self.server.begun) * 10)
        self._begin(
            "text/plain; version=0.0.4", body := f"# TYPE events_total counter\nevents_total {counted}\nactive 2\n".encode()
        )
        self.wfile.write(body)

    def _events(self) -> None:
        self._begin("text/event-stream", None)
        with contextlib.suppress(OSError):  # the client goes when it has seen enough
            for number in range(100):
                self.wfile.write(f"id: {number}\ndata: {{}}\n\n".encode())
                time.sleep(0.5)

    def _begin(self, kind: str, body: bytes | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: a log is not what is measured."""


@contextlib.contextmanager
def _redis(binary: Path, home: Path) -> Iterator[int]:
    """A Redis of its own; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    words = [binary, "--port", port, "--bind", "127.0.0.1", "--dir", home, "--save", "", "--appendonly", "no"]
    with load_sides.serving([str(word) for word in words], port):
        yield port


def checks(front: str, service: str, redis: int, home: Path) -> list[dict[str, Any]]:
    """The sixty: how many of each kind, and what is asked."""
    settings, log = home / "settings.env", home / "service.log"
    settings.write_text("TOKEN=0a1b2c3d4e5f\nMODE=live\n", encoding="utf-8")
    settings.chmod(0o600)
    log.write_text("".join(f"line {number}: became leader\n" for number in range(1000)), encoding="utf-8")
    port = int(front.rsplit(":", 1)[1])
    page = {"url": f"{service}/metrics"}
    kinds: list[tuple[int, dict[str, Any]]] = [
        (16, {"http": {"url": front}, "expect": {"status": "== 200"}}),
        (9, {"metrics": {**page, "name": "active"}, "expect": {"value": "== 2"}}),
        (2, {"metrics": {**page, "name": "events_total", "as": "increase", "over": f"{SAMPLED}s"}, "expect": {"value": ">= 1"}}),
        (2, {"sse": {"url": f"{service}/events", "hold": f"{HOLD}s"}, "expect": {"events": ">= 3"}}),
        (6, {"tcp": {"host": "127.0.0.1", "port": port}, "expect": {"open": "== true"}}),
        (8, {"redis": {"host": "127.0.0.1", "port": redis}, "expect": {"ping": "== true"}}),
        (6, {"command": {"argv": ["true"]}, "expect": {"exit_code": "== 0"}}),
        (4, {"file": {"path": str(settings)}, "expect": {"exists": "== true", "mode": "== 0600"}}),
        (3, {"env_file": {"path": str(settings), "required": ["TOKEN"]}, "expect": {"missing_keys": "== 0"}}),
        (
            2,
            {
                "log": {"file": [str(log)], "tail": "1MB", "patterns": {"leader": "became leader"}},
                "expect": {"count.leader": "== 1000"},
            },
        ),
        (2, {"process": {"pattern": f"redis-server.*:{redis}"}, "expect": {"count": "== 1"}}),
    ]
    asked = [check for count, check in kinds for _number in range(count)]
    return [{"id": f"X-{number:02}", **check} for number, check in enumerate(asked, start=1)]


def slowest(output: str) -> float:
    """The longest check of the playbook's JSON output, in seconds. Raises WrongValues unless all have passed."""
    tasks = [task for play in json.loads(output)["plays"] for task in play["tasks"]]
    verdicts = [verdict for task in tasks for host in task["hosts"].values() for verdict in host.get("verdicts", [])]
    bad = [f"{one['id']}: {one['reason']}" for one in verdicts if one["status"] != "pass"]
    if bad or len(verdicts) != CHECKS:
        raise WrongValues(f"{len(verdicts)} of {CHECKS} checks were asked, not passed: {'; '.join(bad[:5]) or 'none'}")
    return max(float(one["duration"]) for one in verdicts)


def measure(rounds: int = 3) -> Measured:
    """An empty task and the sixty checks in turn, several rounds."""
    longest: list[float] = []
    binaries = ROOT / ".cache/bin"
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="golive-bench-")))
        front = stack.enter_context(load_sides.nginx(str(binaries / "nginx"), home, CONFIGURATION))
        redis = stack.enter_context(_redis(binaries / "redis-server", home))
        service = stack.enter_context(Service())
        serving = threading.Thread(target=service.serve_forever, daemon=True)
        serving.start()
        stack.callback(serving.join)
        stack.callback(service.shutdown)
        tasks: dict[str, list[dict[str, Any]]] = {
            "empty": [{"ansible.builtin.ping": {}}],
            "checks": [{"golive.cutover.check": {"checks": checks(front, service.url, redis, home)}}],
        }
        plays = {name: ansible_runs.write_play(home / f"{name}.yml", list(wanted)) for name, wanted in tasks.items()}
        environment = ansible_runs.environment(home, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")

        def play(name: str) -> float:
            local = ["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
            done = ansible_runs.run([ansible_runs.PLAYBOOK, *local, plays[name]], environment=environment, cwd=home)
            if done.exit_code:
                told = re.search(r'"msg": "(.*)"', done.output)
                raise NotMeasured(f"{name} ended with {done.exit_code}: {told.group(1) if told else done.errors.strip()[-500:]}")
            if name == "checks":
                longest.append(slowest(done.output))
            return done.seconds

        play("checks")  # once for the caches of the disk and of Python
        longest.clear()
        seen = alternate(rounds, {name: lambda name=name: play(name) for name in plays})  # type: ignore[misc]
    empty = Figure("a playbook with one empty task", "s", tuple(seen["empty"]))
    whole = Figure("a playbook with 60 checks of mixed kinds in one task", "s", tuple(seen["checks"]))
    single_one = Figure("the slowest of the 60 checks", "s", tuple(longest))
    beyond = Figure(
        "60 checks beyond an empty task / the slowest of them",
        "x",
        tuple((all_of - empty.median) / one for all_of, one in zip(whole.rounds, single_one.rounds)),
    )
    facts = {"checks": CHECKS, "hold_seconds": HOLD, "sampled_seconds": SAMPLED}
    return Measured([empty, whole, single_one, beyond], [single(beyond, at_most=TARGET), single(whole), single(single_one)], facts)

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forty HTTP checks of an endpoint that answers after 50 ms: one task of ours, forty tasks of ``uri``, and a loop of
``curl | grep | awk``.

The endpoint counts its requests: a side that asked less, or did not see what was served, is an error and not a result.
"""

from __future__ import annotations

import http.server
import json
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import ansible_runs
from tests.bench.figures import Figure, Measured, NotMeasured, WrongValues, alternate, ratio, single

TITLE = "40 HTTP checks of an endpoint that answers after 50 ms"
CHECKS = 40
DELAY = 0.05
TARGET = 15.0
BODY = b"# TYPE alerts_active gauge\nalerts_active 42\n"

LOOP = """\
set -eu
number=0
while [ "$number" -lt {checks} ]; do
  value=$(curl -s "$1" | grep -E "^alerts_active " | awk '{{print $2}}')
  [ "$value" = 42 ] && echo pass
  number=$((number + 1))
done
"""


class Endpoint(http.server.ThreadingHTTPServer):
    """Answers each request after the delay, and counts them."""

    daemon_threads = True
    request_queue_size = 2 * CHECKS

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.counting = threading.Lock()
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/metrics"


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Endpoint)
        with self.server.counting:
            self.server.asked += 1
        time.sleep(DELAY)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the requests are counted."""


def passed(output: str) -> dict[str, int]:
    """What the JSON output of a playbook says: the checks that passed, and the ``uri`` tasks that were answered with 200."""
    tasks = [task for play in json.loads(output)["plays"] for task in play["tasks"]]
    results = [host for task in tasks for host in task["hosts"].values()]
    return {
        "check": sum(verdict["status"] == "pass" for one in results for verdict in one.get("verdicts", [])),
        "uri": sum(one.get("status") == 200 for one in results),
    }


def measure(rounds: int = 5) -> Measured:
    """All sides in turn, several rounds."""
    if shutil.which("curl") is None:
        raise NotMeasured("curl is not there; it is one of the sides")
    cpu: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="golive-bench-") as directory, Endpoint() as endpoint:
        serving = threading.Thread(target=endpoint.serve_forever, daemon=True)
        serving.start()
        home, url = Path(directory), endpoint.url
        checks = [{"id": f"H-{number:02}", "http": {"url": url}, "expect": {"status": "== 200"}} for number in range(CHECKS)]
        uri = {"ansible.builtin.uri": {"url": url, "status_code": 200}}
        plays = {
            "empty": ansible_runs.write_play(home / "empty.yml", []),
            "check": ansible_runs.write_play(home / "check.yml", [{"golive.cutover.check": {"checks": checks}}]),
            "uri": ansible_runs.write_play(home / "uri.yml", [uri] * CHECKS),
        }
        (home / "loop.sh").write_text(LOOP.format(checks=CHECKS), encoding="utf-8")
        environment = ansible_runs.environment(home, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")

        def side(name: str, command: list[object], count: Callable[[str], int], expected: int) -> Callable[[], float]:
            def once() -> float:
                endpoint.asked = 0
                done = ansible_runs.run(command, environment=environment, cwd=home)
                if done.exit_code:
                    raise NotMeasured(f"{name} ended with {done.exit_code}: {(done.errors or done.output).strip()[-500:]}")
                seen = count(done.output)
                if seen != expected or endpoint.asked != expected:
                    raise WrongValues(f"{name}: {seen} of {expected} passed, the endpoint was asked {endpoint.asked} times")
                cpu.setdefault(name, []).append(done.cpu)
                return done.seconds

            return once

        def play(name: str, expected: int) -> Callable[[], float]:
            local = ["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"]
            return side(name, [ansible_runs.PLAYBOOK, *local, plays[name]], lambda out: passed(out).get(name, 0), expected)

        sides = {
            "empty": play("empty", 0),
            "check": play("check", CHECKS),
            "uri": play("uri", CHECKS),
            "loop": side("loop", ["sh", home / "loop.sh", url], lambda out: len(re.findall("^pass$", out, re.M)), CHECKS),
        }
        try:
            play("check", CHECKS)()  # once for the caches of the disk and of Python
            cpu.clear()
            seen = alternate(rounds, sides)
        finally:
            endpoint.shutdown()
            serving.join()
    titles = {
        "empty": "a playbook without tasks",
        "check": "a playbook with one golive.cutover.check",
        "uri": "a playbook with 40 ansible.builtin.uri",
        "loop": "a loop of curl | grep | awk",
    }
    time_of = {name: Figure(title, "s", tuple(seen[name])) for name, title in titles.items()}
    cpu_of = {name: Figure(f"{title}: processor time", "s", tuple(cpu[name])) for name, title in titles.items()}
    results = [
        ratio(
            "40 uri tasks / 1 check task, beyond an empty playbook",
            time_of["uri"],
            time_of["check"],
            less=time_of["empty"],
            at_least=TARGET,
        ),
        ratio("40 uri tasks / 1 check task, whole processes", time_of["uri"], time_of["check"]),
        ratio("the same, processor time beyond an empty playbook", cpu_of["uri"], cpu_of["check"], less=cpu_of["empty"]),
        ratio("loop of curl | grep | awk / 1 check task, whole processes", time_of["loop"], time_of["check"], above=1.0),
        single(time_of["check"]),
    ]
    return Measured([*time_of.values(), *cpu_of.values()], results, {"checks": CHECKS, "delay_seconds": DELAY})

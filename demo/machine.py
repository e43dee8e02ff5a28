# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of the demo: an nginx and a Redis of its own, in one directory and on ports of their own.

They stand for what an operator finds on a host before the cutover: a front that does not know of streams yet, and a Redis with
data and no append-only file. The nginx, the Redis and the services of the real machine are not touched.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jinja2
import redis

ROOT = Path(__file__).resolve().parent.parent
OFFSETS = {"front": 80, "redis": 79, "web": 30, "executor": 41}
"""What is added to the base to get the port of each part. The second executor has the port after the first."""


class MachineError(Exception):
    """Something of the demo's machine did not start; the text says what, and where its log is."""


class Machine:
    """The parts of the machine, started and stopped by hand; everything they write is below ``home``."""

    def __init__(self, home: Path = ROOT / ".demo", binaries: Path = ROOT / ".cache" / "bin") -> None:
        self.home = home
        self.binaries = binaries

    @property
    def ports(self) -> dict[str, int]:
        """The ports, chosen once and kept, so that the inventory finds them."""
        file = self.home / "ports.json"
        if not file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(_free_ports()), encoding="utf-8")
        known: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
        return known

    @property
    def redis(self) -> redis.Redis:
        return redis.Redis(port=self.ports["redis"], socket_timeout=5)

    def start(self) -> None:
        """Start what does not run yet, and wait until it answers."""
        self._start_redis()
        self._start_nginx()

    def stop(self) -> list[str]:
        """End everything that was started from the directory, the release included; returns what was ended."""
        ended = [name for name, file in self._pid_files() if _end(file)]
        for process in _processes_below(self.home):
            os.kill(process, signal.SIGTERM)
            ended.append(f"process {process}")
        return ended

    def _pid_files(self) -> Iterator[tuple[str, Path]]:
        yield "supervisord", self.home / "golive/supervisor/supervisord.pid"
        yield "nginx", self.home / "nginx/nginx.pid"
        yield "redis", self.home / "redis/redis.pid"

    def _start_redis(self) -> None:
        home = self.home / "redis"
        home.mkdir(parents=True, exist_ok=True)
        if _answers(self.ports["redis"]):
            return
        config = home / "redis.conf"
        if not config.exists():
            config.write_text(
                f"port {self.ports['redis']}\nbind 127.0.0.1\ndir {home}\ndaemonize yes\npidfile {home}/redis.pid\n"
                f"logfile {home}/redis.log\nsave 3600 1\n",
                encoding="utf-8",
            )
        self._run([self.binaries / "redis-server", config], home / "redis.log")
        self._wait("redis", home / "redis.log")
        if not self.redis.exists("demo:history"):
            # A data set that was there before the cutover: switching the append-only file on must not lose it.
            with self.redis.pipeline() as pipe:
                for number in range(1000):
                    pipe.hset("demo:history", f"order-{number}", f"filled at {number}")
                    pipe.set(f"demo:order:{number}", number)
                pipe.execute()
            self.redis.save()

    def _start_nginx(self) -> None:
        home = self.home / "nginx"
        for part in ("conf.d", "server.d", "logs", "tmp"):
            (home / part).mkdir(parents=True, exist_ok=True)
        if _answers(self.ports["front"]):
            return
        template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
            (ROOT / "demo/nginx/nginx.conf.j2").read_text(encoding="utf-8")
        )
        config = home / "nginx.conf"
        config.write_text(
            template.render(
                prefix=home,
                listen=f"127.0.0.1:{self.ports['front']}",
                web_upstreams=[f"127.0.0.1:{self.ports['web']}"],
                user="root" if os.geteuid() == 0 else "",
                log_level="warn",
            ),
            encoding="utf-8",
        )
        self._run([self.binaries / "nginx", "-p", home, "-c", config], home / "logs/error.log")
        self._wait("front", home / "logs/error.log")

    def _run(self, command: list[object], log: Path) -> None:
        done = subprocess.run([str(one) for one in command], capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise MachineError(f"{command[0]} did not start: {done.stderr.strip() or done.stdout.strip()} (log: {log})")

    def _wait(self, part: str, log: Path) -> None:
        deadline = time.monotonic() + 15
        while not _answers(self.ports[part]):
            if time.monotonic() > deadline:
                raise MachineError(f"the {part} of the demo does not answer on port {self.ports[part]} (log: {log})")
            time.sleep(0.05)


def _answers(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def _free_ports() -> dict[str, int]:
    """The first block of ports that nobody listens on."""
    for base in range(18000, 28000, 100):
        ports = {name: base + offset for name, offset in OFFSETS.items()}
        if not any(_answers(port) for port in (*ports.values(), ports["executor"] + 1)):
            return ports
    raise MachineError("no free block of ports between 18000 and 28000 on 127.0.0.1")


def _end(pid_file: Path) -> bool:
    """End the process that a pid file names, and wait until it is gone."""
    try:
        pid = int(pid_file.read_text(encoding="utf-8").strip())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return False
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return True


def _processes_below(home: Path) -> list[int]:
    """Processes that work below a directory or name a file there: what a killed supervisor may have left behind.

    The services of a release run in its directory and name nothing of it, so the command line alone would miss them.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            directory = os.readlink(entry / "cwd")
        except OSError:
            continue
        if (f"{home}/" in command or f"{directory}/".startswith(f"{home}/")) and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


if __name__ == "__main__":
    machine = Machine(Path(os.environ.get("GOLIVE_DEMO_HOME") or ROOT / ".demo").resolve())
    if sys.argv[1:] == ["stop"]:
        print("\n".join(machine.stop()))
    else:
        machine.start()
        print(json.dumps(machine.ports))

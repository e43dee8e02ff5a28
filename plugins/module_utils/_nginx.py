# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: one nginx on this host, asked by its own command line and by /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

_DUMPED = re.compile(r"^# configuration file (.+):$", re.MULTILINE)

Runner = Callable[[list[str]], "tuple[int, str, str]"]


class Worker(NamedTuple):
    """A worker process; ``started`` is in clock ticks since boot, so that a number that is used again is another worker."""

    pid: int
    started: int


class Answer(NamedTuple):
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Nginx:
    """How nginx is called: the same binary, main file (``-c``) and prefix (``-p``) every time.

    ``run`` takes a command line and returns its exit code, output and error output, or raises OSError.
    """

    run: Runner
    binary: str = "nginx"
    config: str | None = None
    prefix: str | None = None

    def command(self, *arguments: str) -> list[str]:
        """The command line.

        >>> Nginx(lambda line: (0, "", ""), config="/etc/x.conf").command("-t")
        ['nginx', '-c', '/etc/x.conf', '-t']
        """
        line = [self.binary]
        if self.prefix:
            line += ["-p", self.prefix]
        if self.config:
            line += ["-c", self.config]
        return [*line, *arguments]

    def ask(self, *arguments: str) -> Answer:
        """Run nginx. Raises CutoverError when it cannot be run."""
        try:
            return Answer(*self.run(self.command(*arguments)))
        except FileNotFoundError:
            raise CutoverError(f"there is no {self.binary} on this host") from None
        except OSError as error:
            raise CutoverError(f"{self.binary} cannot be run: {error.strerror}") from None

    def pid_file(self, dump: str) -> str:
        """Where nginx writes its process id, from the dump of its configuration or else from how it was built."""
        named = re.findall(r"^[ \t]*pid[ \t]+([^;\s]+)[ \t]*;", dump, re.MULTILINE)
        built = self.ask("-V").stderr
        default = re.search(r"--pid-path=(\S+)", built)
        path = named[0].strip("'\"") if named else (default[1] if default else "logs/nginx.pid")
        base = re.search(r"--prefix=(\S+)", built)
        return os.path.join(self.prefix or (base[1] if base else "/"), path)


def loaded_files(dump: str) -> set[str]:
    """The files that ``nginx -T`` says it read, with symbolic links resolved."""
    return {os.path.realpath(path) for path in _DUMPED.findall(dump)}


def complaint(stderr: str) -> str:
    """What nginx complains of, without its closing remark that the test failed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"\[(emerg|alert|crit|error)\]", line)] or lines
    return "; ".join(re.sub(r"^nginx: ", "", line) for line in told[:5])


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def master(pid_file: str) -> Worker | None:
    """The running master process, or None."""
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
    except (OSError, ValueError):
        return None
    fields = _stat(pid)
    if fields is None or fields[0] == "Z" or "nginx" not in _title(pid):
        return None
    return Worker(pid, int(fields[19]))


def _title(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def workers(parent: int) -> set[Worker]:
    """The workers that serve new connections: children of the master that are not shutting down."""
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields = _stat(int(name))
        if fields is None or fields[0] == "Z" or int(fields[1]) != parent:
            continue
        title = _title(int(name))
        if title.startswith("nginx: worker process") and "shutting down" not in title:
            found.add(Worker(int(name), int(fields[19])))
    return found

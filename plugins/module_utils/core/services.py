# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Services: what a release is made of when it runs, and when each part of it counts as up.

A service is declared once and means the same on every backend. A service with several instances becomes as many
programs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options, units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option

POLICIES = ("healthy", "running", "completed")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
PLACEHOLDER = re.compile(r"\{(name|instance|port|release|release_dir|home)\}")


@dataclass(frozen=True)
class Ready:
    """How to see that a program is up: a page that answers below 400, a port that accepts, or a time of staying
    alive."""

    http: str | None = None
    tcp: int | None = None
    running: float = 1.0
    """Seconds that the program must have stayed alive."""


@dataclass(frozen=True)
class Service:
    """One service as it was declared, read and complete."""

    name: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    instances: int = 1
    port: int | None = None
    policy: str = "running"
    ready: Ready = field(default_factory=Ready)
    start_timeout: float = 60.0
    """Seconds until the policy must be met."""
    stop_timeout: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    directory: str = "."
    """Working directory, relative to that of the release."""


@dataclass(frozen=True)
class Program:
    """One instance of a service, with nothing left to fill in."""

    name: str
    service: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int | None
    policy: str
    ready: Ready
    start_timeout: float
    stop_timeout: float
    directory: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _name(value: Any) -> str:
    name = options.text(value)
    if not NAME.match(name):
        raise ValueError(f"{name!r} is not a name; expected letters, digits, '.', '_' and '-', at most 63 of them")
    return name


def _scalar(value: Any) -> str:
    """A value of an environment variable; YAML hands numbers and booleans over as such."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        text = str(value)
        if "\0" in text:
            raise ValueError("a value cannot hold a NUL byte")
        return text
    raise ValueError(f"expected a text or a number, got {value!r}")


def _environment(value: Any) -> dict[str, str]:
    clean: dict[str, str] = options.map_of(_scalar)(value)
    wrong = [key for key in clean if not KEY.match(key)]
    if wrong:
        raise ValueError(f"{', '.join(map(repr, wrong))}: not the name of an environment variable")
    return clean


def _command(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list) or not value:
        raise ValueError(f"expected a list of words, such as [python3, -m, app], got {value!r}")
    return tuple(_scalar(word) for word in value)


def _directory(value: Any) -> str:
    path = options.text(value)
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"expected a path inside the release, got {path!r}")
    return path


_READY: dict[str, Option] = {
    "http": Option(options.text, "page that answers below 400"),
    "tcp": Option(options.anything, "port that accepts connections"),
    "running": Option(options.duration, "time of staying alive", 1.0),
}

_PORT = options.integer(1, 65535)

_SERVICE: dict[str, Option] = {
    "name": Option(_name, "name of the service", required=True),
    "command": Option(_command, "the program and its arguments, as a list", ()),
    "environment": Option(_environment, "environment variables that are no secrets", {}),
    "instances": Option(options.integer(1, 64), "how many of them run", 1),
    "port": Option(_PORT, "port of the first instance; the next ones count up"),
    "ready": Option(options.anything, "how to see that it is up"),
    "policy": Option(options.choice(*POLICIES), "what it must reach: healthy, running or completed"),
    "start_timeout": Option(options.duration, "time until it must be up", 60.0),
    "stop_timeout": Option(options.duration, "time between SIGTERM and SIGKILL", 10.0),
    "directory": Option(_directory, "working directory inside the release", "."),
}


def _read_ready(raw: Any, where: str, problems: list[Problem]) -> tuple[Ready, str]:
    """Read ``ready`` and say which policy it stands for when none is named."""
    if raw is None:
        return Ready(), "running"
    if raw in POLICIES:
        return Ready(), str(raw)
    clean = options.read_options(raw, _READY, where, problems)
    if clean["http"] is not None and clean["tcp"] is not None:
        problems.append(Problem(where, "http and tcp exclude each other"))
    tcp: int | None = None
    if clean["tcp"] is not None and clean["tcp"] != "{port}":
        try:
            tcp = _PORT(clean["tcp"])
        except ValueError as error:
            problems.append(Problem(f"{where}.tcp", str(error)))
    elif clean["tcp"] == "{port}":
        tcp = 0
    ready = Ready(clean["http"], tcp, clean["running"])
    return ready, "healthy" if ready.http is not None or ready.tcp is not None else "running"


def read_services(raw: Any, *, commands: bool = True, where: str = "services") -> list[Service]:
    """Read the declared services. ``commands`` says whether the backend starts them by a command of their own.

    Raises InputError with every mistake.
    """
    problems: list[Problem] = []
    if not isinstance(raw, list):
        raise InputError([Problem(where, f"expected a list of services, got {raw!r}")])
    found: list[Service] = []
    for index, one in enumerate(raw):
        name = one.get("name") if isinstance(one, Mapping) else None
        path = f"{where}[{name or index}]"
        clean = options.read_options(one, _SERVICE, path, problems)
        ready, implied = _read_ready(clean["ready"], f"{path}.ready", problems)
        policy = clean["policy"] or implied
        if commands and not clean["command"]:
            problems.append(Problem(f"{path}.command", f"is missing: {_SERVICE['command'].help}"))
        if commands and policy == "healthy" and implied != "healthy":
            problems.append(Problem(f"{path}.ready", "the policy healthy needs http or tcp, so that health can be asked for"))
        if ready.tcp == 0 and clean["port"] is None:
            problems.append(Problem(f"{path}.ready.tcp", "{port} is used, but the service has no port"))
        found.append(
            Service(
                **{key: clean[key] for key in ("command", "environment", "instances", "port", "start_timeout", "stop_timeout")},
                name=str(clean["name"]),
                directory=clean["directory"],
                policy=policy,
                ready=ready,
            )
        )
    names = [program.name for program in programs(found, release="", release_dir="", home="")]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(Problem(where, f"two services or instances are named {name}"))
    if problems:
        raise InputError(problems)
    return found


def _filled(text: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: values[match.group(1)], text)


def programs(services: Sequence[Service], *, release: str, release_dir: str, home: str) -> list[Program]:
    """The programs of the services, in order: names, ports and placeholders filled in.

    The texts of ``command``, ``environment`` and ``ready.http`` may hold ``{name}``, ``{instance}``, ``{port}``,
    ``{release}``, ``{release_dir}`` and ``{home}``. Other braces are left alone.

    >>> [p.name for p in programs([Service("web", instances=2)], release="1", release_dir="/r/1", home="/h")]
    ['web-1', 'web-2']
    """
    found: list[Program] = []
    for service in services:
        for instance in range(1, service.instances + 1):
            name = service.name if service.instances == 1 else f"{service.name}-{instance}"
            port = None if service.port is None else service.port + instance - 1
            values = {
                "name": name,
                "instance": str(instance),
                "port": "" if port is None else str(port),
                "release": release,
                "release_dir": release_dir,
                "home": home,
            }

            ready = service.ready
            if ready.http is not None:
                ready = replace(ready, http=_filled(ready.http, values))
            if ready.tcp == 0:
                ready = replace(ready, tcp=port)
            found.append(
                Program(
                    name=name,
                    service=service.name,
                    command=tuple(_filled(word, values) for word in service.command),
                    environment={key: _filled(value, values) for key, value in service.environment.items()},
                    port=port,
                    policy=service.policy,
                    ready=ready,
                    start_timeout=service.start_timeout,
                    stop_timeout=service.stop_timeout,
                    directory=service.directory,
                )
            )
    return found


def show_wait(program: Program) -> str:
    """What a program is waited for, in words."""
    if program.policy == "completed":
        return "its end with exit code 0"
    if program.ready.http is not None:
        return f"an answer from {program.ready.http}"
    if program.ready.tcp is not None:
        return f"port {program.ready.tcp} to accept connections"
    return f"{units.show(program.ready.running, 'time')} of staying alive"

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The Docker engine for probes: a connection, which containers are meant, and errors in plain words."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

MOST_CONTAINERS = 200
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_ONE_OFF = "com.docker.compose.oneoff"


def _name(value: Any) -> str:
    name = opt.text(value)
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not the name or id of a container")
    return name


def _address(value: Any) -> str:
    address = opt.text(value)
    if not re.match(r"(unix:///|tcp://|https?://)[^@\s]+\Z", address):
        raise ValueError(f"expected unix:///PATH or tcp://HOST:PORT, got {address!r}")
    return address


OPTIONS: Mapping[str, Option] = {
    "name": Option(opt.list_of(_name), "names or ids of containers, each of which must be there"),
    "project": Option(opt.text, "Compose project whose containers are meant, those of compose run excepted"),
    "service": Option(opt.list_of(opt.text), "services of the project, each of which must have a container"),
    "label": Option(opt.map_of(opt.text), "labels that the containers have"),
    "docker_host": Option(_address, "address of the engine; DOCKER_HOST or the usual socket when it is left out"),
}


def problems(options: Mapping[str, Any]) -> list[Problem]:
    found = []
    ways = [key for key in ("name", "project", "label") if options[key]]
    if not ways:
        found.append(Problem("name", "is missing: say which containers by name, project or label"))
    elif "name" in ways and len(ways) > 1:
        found.append(Problem(ways[1], "goes without name"))
    if options["service"] and not options["project"]:
        found.append(Problem("service", "goes with project"))
    return found


@contextlib.contextmanager
def engine(options: Mapping[str, Any], context: Context) -> Iterator[Any]:
    """The low-level client of the engine. Raises ProbeError for whatever goes wrong with it inside the block."""
    try:
        import docker
        from docker import errors, utils
    except ImportError as error:
        raise LibraryMissing("docker") from error
    wanted = options["docker_host"]
    settings = {"base_url": wanted} if wanted else utils.kwargs_from_env()
    where = settings.get("base_url") or "unix:///var/run/docker.sock"
    client = None
    try:
        if where.startswith("unix://"):
            # The library leaves the socket open when there is nobody at its other end.
            with socket.socket(socket.AF_UNIX) as knock:
                knock.settimeout(context.remaining())
                knock.connect(where[len("unix://") :])
        client = docker.APIClient(version="auto", timeout=math.ceil(context.remaining()), **settings)
        yield client
    except ProbeError:
        raise
    except errors.APIError as error:
        raise ProbeError(f"the Docker engine said: {_plain(error.explanation or error)}") from None
    except (errors.DockerException, OSError) as error:  # the errors of requests are OSErrors
        if context.over():
            raise ProbeError(f"the Docker engine at {where} did not answer in time") from None
        raise ProbeError(f"the Docker engine at {where} cannot be reached: {_reason(error)}") from None
    finally:
        if client is not None:
            client.close()


def _plain(text: Any) -> str:
    return " ".join((text.decode(errors="replace") if isinstance(text, bytes) else str(text)).split())[:300]


def _reason(error: BaseException) -> str:
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, (FileNotFoundError, PermissionError, ConnectionRefusedError)) and one.strerror:
            return one.strerror
        if isinstance(one, TimeoutError) or type(one).__name__ in ("ReadTimeout", "ReadTimeoutError", "ConnectTimeout"):
            return "no answer within the time"
        if isinstance(one, BaseException):
            waiting += [*one.args, one.__cause__, one.__context__][:8]
        if len(waiting) > 100:
            break
    return _plain(error)


def containers(options: Mapping[str, Any], client: Any, context: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """What the engine knows of the containers that are meant, and what of them is not there, in words."""
    from docker import errors

    if options["name"]:
        identities: Sequence[str] = options["name"]
    else:
        labels = [f"{key}={value}" for key, value in (options["label"] or {}).items()]
        if options["project"]:
            labels.append(f"{_PROJECT}={options['project']}")
        listed = client.containers(all=True, filters={"label": labels})
        listed = [one for one in listed if (one.get("Labels") or {}).get(_ONE_OFF) != "True" or not options["project"]]
        if options["service"]:
            listed = [one for one in listed if (one.get("Labels") or {}).get(_SERVICE) in options["service"]]
        identities = [one["Id"] for one in listed]
    if len(identities) > MOST_CONTAINERS:
        raise ProbeError(f"{len(identities)} containers are meant, and at most {MOST_CONTAINERS} are looked at")
    found: list[dict[str, Any]] = []
    absent: list[str] = []
    for identity in identities:
        if context.over():
            raise ProbeError(f"the time ran out after {len(found)} of {len(identities)} containers")
        try:
            one = client.inspect_container(identity)
        except errors.NotFound:
            absent.append(f"there is no container {identity}" if options["name"] else "a container was removed meanwhile")
            continue
        if not any(one["Id"] == other["Id"] for other in found):
            found.append(one)
    for service in options["service"] or []:
        if not any((one["Config"].get("Labels") or {}).get(_SERVICE) == service for one in found):
            absent.append(f"the project {options['project']} has no container of the service {service}")
    if not found and not absent:
        what = f"of the project {options['project']}" if options["project"] else "with these labels"
        absent.append(f"there is no container {what}")
    found.sort(key=shown_name)
    return found, absent


def shown_name(container: Mapping[str, Any]) -> str:
    return str(container["Name"]).lstrip("/")


def moment(text: Optional[str]) -> Optional[float]:
    """A time of the engine (RFC 3339 with nanoseconds) in Unix seconds; None for its zero time."""
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text or "")
    if found is None or found.group(1).startswith("0001-"):
        return None
    whole = datetime.datetime.fromisoformat(found.group(1) + found.group(3).replace("Z", "+00:00"))
    return whole.timestamp() + float(found.group(2) or 0)

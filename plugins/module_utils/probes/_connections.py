# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Many connections in one thread: what the probes `sse` and `websocket` share.

Name resolution, TLS, opening with a bound on how many are being opened at once, and a ticker that also notices when
this process itself was held up, so that its own slowness is not blamed on a server.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import re
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, Union
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, Secret, reveal
from ansible_collections.golive.cutover.plugins.module_utils.probes import _http
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

TICK = 0.05
"""Seconds between two looks at the clock and at the stop signal while connections are held."""

AT_ONCE = 100
"""Connections that are being opened at the same time. More would measure the listen queue instead of the service."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")

Headers = Mapping[str, Union[str, Secret]]


OPTIONS: Mapping[str, Option] = {name: option for name, option in _http.OPTIONS.items() if name != "proxy"}
"""Headers, credentials and the verification of certificates, the same as for the probe `http`."""


def problems(options: Mapping[str, Any], reserved: Sequence[str] = ()) -> list[Problem]:
    """Mistakes in the common options. A secret value is not shown."""
    return _http.problems(options) + _header_problems(options["headers"] or {}, reserved)


def own_headers(options: Mapping[str, Any]) -> dict[str, str]:
    """The headers that the options ask for, credentials included, in plain text."""
    headers = {name: str(reveal(value)) for name, value in (options["headers"] or {}).items()}
    if options["bearer"] is not None:
        headers["Authorization"] = f"Bearer {options['bearer'].reveal()}"
    if options["password"] is not None:
        pair = f"{options['username']}:{options['password'].reveal()}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
    return headers


def _header_problems(headers: Headers, reserved: Sequence[str]) -> list[Problem]:
    problems = []
    for name, value in headers.items():
        plain = str(reveal(value))
        if not _TOKEN.match(name):
            problems.append(Problem("headers", f"{name!r} is not the name of a header"))
        elif name.lower() in reserved:
            problems.append(Problem(f"headers.{name}", "is set by the probe itself"))
        elif any(ord(sign) < 32 and sign != "\t" for sign in plain) or "\x7f" in plain:
            problems.append(Problem(f"headers.{name}", "has a line break or another control character in its value"))
        else:
            try:
                plain.encode("latin-1")
            except UnicodeEncodeError:
                problems.append(Problem(f"headers.{name}", "has a character that a header cannot carry"))
    return problems


def explain(error: BaseException) -> str:
    """An error of a connection in the words of a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve: {error.strerror}"
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return "no connection in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError):
        return "connection reset by the server"
    if isinstance(error, OSError):
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return "this process may not open that many files"
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """The TLS settings of a client; ``verify`` may be the path of a CA file. Raises ProbeError if it is unreadable."""
    file = verify if isinstance(verify, str) else None
    try:
        context = ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise ProbeError(f"the CA file {file} cannot be used: {explain(error)}") from error
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def resolve(host: str, port: int, context: Context) -> list[str]:
    """Addresses of a host. Raises ProbeError when there are none in time.

    The system's resolver knows no timeout, so it is asked in a thread that is left behind when it hangs.
    """
    found: list[str] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        try:
            for _family, _kind, _protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                if str(address[0]) not in found:
                    found.append(str(address[0]))
        except (OSError, UnicodeError) as error:
            failed.append(error)
        finally:
            done.set()

    threading.Thread(target=ask, daemon=True).start()
    if not done.wait(context.remaining()):
        raise ProbeError(f"the name {host} did not resolve in time")
    if failed or not found:
        raise ProbeError(f"{host}: {explain(failed[0]) if failed else 'the name has no address'}")
    return found


def allow_files(count: int) -> None:
    """Let this process open so many more files, as far as its own hard limit lets it."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if most > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def connect(
    factory: Callable[[], asyncio.BaseProtocol],
    addresses: Sequence[str],
    port: int,
    tls: ssl.SSLContext | None,
    server_name: str,
    until: float,
    clock: Callable[[], float],
) -> None:
    """Connect to the first address that answers. Raises OSError or TimeoutError."""
    loop = asyncio.get_running_loop()
    extra: dict[str, Any] = {"ssl": tls, "server_hostname": server_name} if tls is not None else {}
    last: BaseException = TimeoutError()
    for index, address in enumerate(addresses):
        patience = max(until - clock(), 0.001) / (len(addresses) - index)
        try:
            await asyncio.wait_for(loop.create_connection(factory, address, port, **extra), patience)
            return
        except (OSError, asyncio.TimeoutError) as error:
            last = error
    raise last


class Dialer:
    """Opens connections to URLs; a host is resolved, and the TLS settings are made, once."""

    def __init__(self, options: Mapping[str, Any], context: Context, until: float) -> None:
        self.until = until
        """When connecting must be over, in the time of the context's clock."""
        self._options = options
        self._context = context
        self._tls: ssl.SSLContext | None = None
        self._addresses: dict[str, list[str]] = {}

    async def dial(self, url: str, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Connect to the host of a URL. Raises OSError, TimeoutError, or ProbeError when there is no host."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        secure = parts.scheme in ("https", "wss")
        port = parts.port or (443 if secure else 80)
        if host not in self._addresses:
            self._addresses[host] = resolve(host, port, self._context)
        if secure and self._tls is None:
            self._tls = tls_context(self._options["verify"])
        tls = self._tls if secure else None
        until = max(self.until, self._context.clock() + TICK)
        await connect(factory, self._addresses[host], port, tls, host, until, self._context.clock)


async def open_all(openers: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run the openers, so many at once as `AT_ONCE` allows. Each deals with its own errors."""
    waiting = iter(openers)

    async def work() -> None:
        for opener in waiting:
            await opener()

    await asyncio.gather(*(work() for _number in range(min(AT_ONCE, len(openers)))))


async def hold(until: float, context: Context, busy: Callable[[], bool] = lambda: True) -> float:
    """Wait until a moment, the end of the look, or until nothing is busy any more.

    Returns the longest time in seconds for which this process did not get to look at its connections.
    """
    stall = 0.0
    while not context.over() and busy():
        before = context.clock()
        pause = min(until - before, context.deadline - before, TICK)
        if pause <= 0:
            break
        await asyncio.sleep(pause)
        stall = max(stall, context.clock() - before - pause)
    return stall


class Closing(Protocol):
    """What `finish` needs to know of a connection."""

    transport: asyncio.Transport | None
    gone: bool
    """Whether the connection was lost, on whichever side, after it was made."""

    def close(self) -> None: ...


async def finish(connections: Sequence[Closing]) -> None:
    """Close all connections, and wait a moment until they are; what then still wants to be written is dropped."""
    for one in connections:
        one.close()
    for _look in range(20):
        if all(one.gone or one.transport is None for one in connections):
            return
        await asyncio.sleep(0.005)
    for one in connections:
        if not one.gone and one.transport is not None:
            one.transport.abort()
    await asyncio.sleep(0.01)


async def race(work: Awaitable[None], context: Context) -> None:
    """Do some work, but no longer than the look may take."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done() and not context.over():
            await asyncio.wait([task], timeout=min(context.remaining(), TICK))
        if task.done():
            task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.1)


def most_common(errors: Sequence[str]) -> str:
    """One line for many errors: the most common one, and how many others there were."""
    if not errors:
        return ""
    counted = {error: errors.count(error) for error in set(errors)}
    first = max(sorted(counted), key=lambda error: counted[error])
    others = len(errors) - counted[first]
    times = f" ({counted[first]} times)" if counted[first] > 1 else ""
    return f"{first}{times}{f', and {others} other errors' if others else ''}"

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Connections that end when the look ends, whatever the other side does.

A socket timeout bounds one read. A server that sends a byte a second, inside the headers or inside a TLS handshake,
never runs into it. So a `Guard` watches the connections of a look and shuts them down when its time is over, and
names are looked up where a resolver that does not answer can be left behind.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from types import TracebackType
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

_POLL = 0.1
"""Seconds between two looks of the guard at the stop signal."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that only look, by RFC 9110, section 9.2.1."""
"""The methods by which HTTP is asked."""

Address = tuple[int, Any]
"""Address family and the address as `socket.connect` takes it."""


def resolve(host: str, port: int, context: Context) -> list[Address]:
    """The addresses of a host, in the order of the resolver.

    Raises ProbeError when there is none, or no answer in time.
    """
    with contextlib.suppress(socket.gaierror):
        return _look_up(host, port, socket.AI_NUMERICHOST)
    answer: queue.Queue[list[Address] | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answer.put(_look_up(host, port, 0))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    while True:
        try:
            found = answer.get(timeout=min(context.remaining(), _POLL))
            break
        except queue.Empty:
            if context.over():
                raise ProbeError(f"the name {host} was not resolved within the time: the resolver did not answer") from None
    if isinstance(found, Exception):
        reason = (found.strerror if isinstance(found, OSError) else None) or str(found)
        raise ProbeError(f"the name {host} does not resolve: {reason}") from found
    return found


def _look_up(host: str, port: int, flags: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _type, _protocol, _name, address in found]


def connect(host: str, port: int, context: Context) -> socket.socket:
    """A TCP connection to the first address of a host that accepts one. What is left of the time is shared between
    the addresses.

    Raises ProbeError when the name cannot be resolved, else the OSError of the last address that was tried.
    """
    addresses = resolve(host, port, context)
    last: OSError = ConnectionError("no address")
    for number, (family, address) in enumerate(addresses):
        if context.over():
            raise TimeoutError("timed out")
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(context.remaining() / (len(addresses) - number), 0.001))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(context.remaining())
            return connection
        except OSError as error:
            connection.close()
            last = error
    raise last


def describe(error: BaseException) -> str:
    """An error of the network in a few words, without the wrapping of the libraries."""
    if isinstance(error, TimeoutError) or str(error) == "timed out":  # Python 3.9 has a class of its own for it
        return "no answer within the time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError):
        return "the connection was reset"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


class Watched:
    """A connection under guard.

    It is held by a duplicate of its descriptor, which stays valid when TLS takes the socket over.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._lock = threading.Lock()
        self._duplicate: socket.socket | None = connection.dup()

    def cut(self) -> None:
        """Shut the connection down; whoever reads from it or writes to it returns at once."""
        with self._lock:
            if self._duplicate is not None:
                with contextlib.suppress(OSError):
                    self._duplicate.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """End the guard. Without this, closing the connection would not be seen by the other side."""
        with self._lock:
            if self._duplicate is not None:
                self._duplicate.close()
                self._duplicate = None


class Guard:
    """Cuts the watched connections when the look is over. ``cut`` tells afterwards whether it had to."""

    def __init__(self, context: Context) -> None:
        self.cut = False
        self._context = context
        self._lock = threading.Lock()
        self._watched: set[Watched] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="guard", daemon=True)

    def __enter__(self) -> Guard:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        with self._lock:
            left, self._watched = self._watched, set()
        for watched in left:
            watched.release()

    def watch(self, connection: socket.socket) -> Watched:
        watched = Watched(connection)
        with self._lock:
            self._watched.add(watched)
            cut = self.cut
        if cut:
            watched.cut()
        return watched

    def release(self, watched: Watched) -> None:
        with self._lock:
            self._watched.discard(watched)
        watched.release()

    def _wait(self) -> None:
        while not self._done.wait(min(self._context.remaining(), _POLL)):
            if self._context.over():
                with self._lock:
                    self.cut = True
                    watched = list(self._watched)
                for one in watched:
                    one.cut()
                return

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small real servers that stream, stall, lie and hang up, each on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context


@dataclass
class Request:
    """What a client asked, and the connection to answer it on."""

    link: socket.socket
    method: str
    path: str
    headers: dict[str, str]
    stop: threading.Event

    def send(self, data: str | bytes) -> None:
        self.link.sendall(data.encode() if isinstance(data, str) else data)

    def wait(self, seconds: float) -> bool:
        """Sleep; false when the server is being stopped."""
        return not self.stop.wait(seconds)

    def head(self, *lines: str, status: str = "200 OK", kind: str | None = "text/event-stream") -> None:
        """Send the head of an answer."""
        own = [f"Content-Type: {kind}"] if kind else []
        self.send("\r\n".join([f"HTTP/1.1 {status}", *own, *lines, "", ""]))

    def chunk(self, data: str) -> None:
        raw = data.encode()
        self.send(b"%x\r\n%s\r\n" % (len(raw), raw))


Handler = Callable[[Request], None]


class StreamServer:
    """Runs a handler for each connection, in a thread of its own."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.tls = tls
        self.stopping = threading.Event()
        self.requests: list[Request] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                link, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), link:
            if self.tls is not None:
                link = self.tls.wrap_socket(link, server_side=True)
            raw = b""
            while b"\r\n\r\n" not in raw:
                more = link.recv(65536)
                if not more:
                    return
                raw += more
            lines = raw.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            method, path, _version = lines[0].split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            request = Request(link, method, path, headers, self.stopping)
            self.requests.append(request)
            with contextlib.suppress(OSError):
                self.handler(request)
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def url(self, path: str = "/stream") -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@contextlib.contextmanager
def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> Iterator[StreamServer]:
    server = StreamServer(handler, tls)
    try:
        yield server
    finally:
        server.stop()


class Market:
    """Publishes a numbered event every so often, to all listeners alike, and keeps a history to go on from.

    ``resume`` false forgets Last-Event-ID, ``replay`` sends everything again. ``framing`` is how a body is sent.
    """

    def __init__(
        self,
        every: float = 0.1,
        *,
        heartbeat: float = 0.0,
        resume: bool = True,
        replay: bool = False,
        framing: str = "chunked",
        ids: str = "{}",
        hint: str = "",
        size: int = 20,
    ) -> None:
        self.begun = time.monotonic()
        self.wall = time.time()
        self.every, self.heartbeat, self.resume, self.replay = every, heartbeat, resume, replay
        self.framing, self.ids, self.hint, self.size = framing, ids, hint, size

    def _event(self, number: int) -> str:
        data = json.dumps({"n": number, "sent": self.wall + number * self.every, "pad": "x" * self.size})
        own = f"id: {self.ids.format(number)}\n" if self.ids else ""
        return f"{own}data: {data}\n\n"

    def __call__(self, request: Request) -> None:
        lines = ["Cache-Control: no-cache", "X-Streams-Connected: 1", "Set-Cookie: session=CANARY-cookie"]
        lines += [self.hint] if self.hint else []
        request.head(*lines, *(["Transfer-Encoding: chunked"] if self.framing == "chunked" else ["Connection: close"]))
        if request.method == "HEAD":
            return
        write = request.chunk if self.framing == "chunked" else request.send
        number = int((time.monotonic() - self.begun) / self.every) + 1
        last = request.headers.get("last-event-id", "")
        if last and self.replay:
            number = 1
        elif last and self.resume:
            number = int(last.rsplit("-", 1)[-1]) + 1
        beat = time.monotonic() + self.heartbeat
        while True:
            due = self.begun + number * self.every
            if self.heartbeat and beat < due:
                if not request.wait(max(beat - time.monotonic(), 0)):
                    return
                write(": heartbeat\n\n")
                beat += self.heartbeat
                continue
            if not request.wait(max(due - time.monotonic(), 0)):
                return
            write(self._event(number))
            number += 1


def certificate(directory: Path, days: int = 30, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A self-signed certificate: the server's TLS settings, and the file that a client must trust."""
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days {days} -subj /CN={name} "
        f"-addext subjectAltName=IP:{name} -keyout {key} -out {cert}".split(),
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


def within(seconds: float) -> Context:
    """A context whose deadline is so many seconds away."""
    return Context(time.monotonic() + seconds)

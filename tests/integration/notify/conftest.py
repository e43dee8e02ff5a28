# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are told: real HTTP and SMTP over real sockets and real TLS.

What cannot be had here says so in its name: `TelegramStandIn` and `SlackStandIn` follow the documented interfaces of the Bot API
and of incoming webhooks and ``chat.postMessage``; `MailStandIn` speaks as much SMTP as a mail program needs.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from tests.integration.probes.servers import Issued, issue

Reply = tuple[int, dict[str, str], Any]


class HttpReceiver:
    """An HTTPS server (or HTTP, without a certificate) that keeps what it was sent. ``replies`` are given out first, one each."""

    def __init__(self, issued: Issued | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.replies: list[Reply | float] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = {"path": self.path, "headers": headers, "json": json.loads(raw), "at": time.monotonic()}
                receiver.requests.append(request)
                next_one: Reply | float | None = receiver.replies.pop(0) if receiver.replies else None
                if isinstance(next_one, float):
                    time.sleep(next_one)
                    next_one = None
                status, more, body = next_one or receiver.answer(request)
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in {**more, "Content-Length": str(len(content))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_args: Any) -> None:
                pass  # a client that refuses our certificate is what some tests want

        self._server = Server(("127.0.0.1", 0), Handler)
        if issued is not None:
            self._server.socket = issued.server_context().wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if issued else 'http'}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def answer(self, request: dict[str, Any]) -> Reply:
        return 200, {}, "thanks"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TelegramStandIn(HttpReceiver):
    """``POST /bot<token>/sendMessage`` of the Bot API, for one token."""

    token = "123456:AAE-canary_token"

    def answer(self, request: dict[str, Any]) -> Reply:
        if request["path"] != f"/bot{self.token}/sendMessage":
            return 404, {}, {"ok": False, "error_code": 404, "description": "Not Found"}
        text = request["json"].get("text", "")
        if not text or len(text) > 4096:
            return 400, {}, {"ok": False, "error_code": 400, "description": "Bad Request: message is too long"}
        return 200, {}, {"ok": True, "result": {"message_id": len(self.requests), "text": text}}


class SlackStandIn(HttpReceiver):
    """An incoming webhook (``/services/…``) and ``chat.postMessage`` with a bot token."""

    webhook = "/services/T0000/B0000/canaryhook"
    token = "xoxb-canary-bot"

    def answer(self, request: dict[str, Any]) -> Reply:
        if request["path"] == "/api/chat.postMessage":
            if request["headers"].get("authorization") != f"Bearer {self.token}":
                return 200, {}, {"ok": False, "error": "invalid_auth"}
            return 200, {}, {"ok": True, "channel": "C1", "ts": "1.2"}
        if request["path"] != self.webhook:
            return 404, {}, "no_service"
        return 200, {}, "ok"


class MailStandIn:
    """As much of SMTP as a mail program needs: EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA. ``mails`` are parsed messages."""

    password = "canary-mail-password"

    def __init__(self, issued: Issued | None, at_once: bool = False) -> None:
        self.mails: list[Any] = []
        self.logins: list[str] = []
        self.refuse: dict[str, int] = {}
        self.busy = 0
        self.issued, self.at_once = issued, at_once
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _peer = self._socket.accept()
            except OSError:
                return
            link.settimeout(5)
            with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as opened:
                opened.callback(link.close)
                self._talk(link, opened)

    def _secured(self, link: socket.socket, opened: contextlib.ExitStack) -> ssl.SSLSocket:
        assert self.issued is not None
        return opened.enter_context(self.issued.server_context().wrap_socket(link, server_side=True))

    def _talk(self, link: socket.socket, opened: contextlib.ExitStack) -> None:
        if self.at_once:
            link = self._secured(link, opened)

        def say(text: str) -> None:
            link.sendall(f"{text}\r\n".encode())

        say("220 mail stand-in")
        file = opened.enter_context(link.makefile("rb"))
        while line := file.readline().decode().strip():
            word = line.split(" ")[0].upper()
            if word == "EHLO":
                offers = ["mail", *(["STARTTLS"] if self.issued and not isinstance(link, ssl.SSLSocket) else []), "AUTH PLAIN"]
                for index, offer in enumerate(offers):
                    say(f"250{'-' if index < len(offers) - 1 else ' '}{offer}")
            elif word == "STARTTLS" and self.issued:
                say("220 go on")
                link = self._secured(link, opened)
                file = opened.enter_context(link.makefile("rb"))
            elif word == "AUTH":
                _none, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                self.logins.append(user)
                say("235 ok" if password == self.password else "535 no")
            elif word == "MAIL" and self.busy:
                self.busy -= 1
                say("451 busy")
            elif word == "RCPT":
                code = next((code for who, code in self.refuse.items() if who in line), 250)
                say(f"{code} that is it")
            elif word == "DATA":
                say("354 go on")
                content = b""
                while (piece := file.readline()) not in (b".\r\n", b""):
                    content += piece
                self.mails.append(message_from_bytes(content, policy=policy.default))
                say("250 taken")
            elif word == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return issue(tmp_path / "tls", names=["localhost", "127.0.0.1"])


@pytest.fixture
def started() -> Iterator[Callable[[Any], Any]]:
    """Return a function that keeps a server and ends it after the test."""
    servers: list[Any] = []

    def keep(server: Any) -> Any:
        servers.append(server)
        return server

    yield keep
    for server in servers:
        server.close()

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role nginx_streaming as a user runs it, with real streams through a real nginx."""

from __future__ import annotations

import contextlib
import http.server
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.server import serve

from tests.conftest import AnsibleResult
from tests.conftest import Nginx as Server

PLAY = [{"hosts": "all", "gather_facts": False, "roles": [{"role": "golive.cutover.nginx_streaming"}]}]
ROLLBACK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {"name": "golive.cutover.nginx_streaming", "tasks_from": "rollback"},
            }
        ],
    }
]
SITE = """
include conf.d/*.conf;
server {
    listen 127.0.0.1:@PORT@;
    include golive.d/*.conf;
    location / { proxy_pass http://127.0.0.1:@UPSTREAM@; }
}
"""


class Events(http.server.BaseHTTPRequestHandler):
    """Small events, too few to fill a buffer, until the client goes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            for number in range(100):
                event = f"id: {number}\ndata: x\n\n".encode()
                self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                self.wfile.flush()
                time.sleep(0.1)
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def event_source() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Events)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.socket.close()


@pytest.fixture
def echo() -> Iterator[int]:
    def answer(link: Any) -> None:
        for message in link:
            link.send(message)

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


def first_event(url: str) -> tuple[float, Any]:
    began = time.monotonic()
    with urllib.request.urlopen(url, timeout=5) as stream:
        assert stream.readline() == b"id: 0\n"
        return time.monotonic() - began, stream.headers


@pytest.fixture
def site(nginx: Callable[..., Server], event_source: int, echo: int, tmp_path: Path) -> tuple[Server, dict[str, Any]]:
    """A running nginx whose site includes our directories, and the variables of the role for it."""
    http_text = SITE.replace("@UPSTREAM@", str(event_source))
    server = nginx(http_text, {"conf.d/none.conf": "# nothing\n"})
    variables = {
        "cutover_environment": "prod",
        "cutover_home": str(tmp_path / "home"),
        "cutover_run": {"id": "run-1"},
        "nginx_streaming_binary": server.binary,
        "nginx_streaming_config": str(server.config),
        "nginx_streaming_prefix": str(server.directory),
        "nginx_streaming_http_dir": str(server.directory / "conf.d"),
        "nginx_streaming_server_dir": str(server.directory / "golive.d"),
        "nginx_streaming_upstreams": [{"name": "golive_web", "servers": [f"127.0.0.1:{event_source}"], "keepalive": 4}],
        "nginx_streaming_locations": [
            {
                "path": "/api/stream",
                "kind": "sse",
                "upstream": "http://golive_web",
                "max_connections": 2,
                "headers": {"X-Frame-Options": "DENY"},
            },
            {"path": "/ws", "match": "=", "kind": "websocket", "upstream": f"http://127.0.0.1:{echo}", "read_timeout": "10m"},
        ],
    }
    return server, variables


def test_streams_go_through_at_once_and_are_limited(
    site: tuple[Server, dict[str, Any]], ansible_playbook: Callable[..., AnsibleResult]
) -> None:
    server, variables = site
    variables["nginx_streaming_upgrade_variable"] = "connection_upgrade"
    planned = ansible_playbook(PLAY, "--check", "--diff", extra_vars=variables)
    assert planned.rc == 0, planned.why
    assert "+    proxy_buffering off;" in planned.output
    assert "+map $http_upgrade $connection_upgrade {" in planned.output
    assert "+    proxy_set_header Connection $connection_upgrade;" in planned.output
    assert not (server.directory / "golive.d").exists()
    done = ansible_playbook(PLAY, "--diff", extra_vars=variables)
    assert done.rc == 0, done.why
    again = ansible_playbook(PLAY, extra_vars=variables)
    assert (again.rc, again.changed()) == (0, 0), again.why

    seconds, headers = first_event(server.url + "/api/stream/candles")
    assert seconds < 1.0
    assert headers["X-Accel-Buffering"] == "no" and headers["X-Frame-Options"] == "DENY"
    with contextlib.ExitStack() as held:
        time.sleep(0.2)
        for _ in range(2):
            held.enter_context(urllib.request.urlopen(server.url + "/api/stream", timeout=5)).readline()
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(server.url + "/api/stream", timeout=5)
    with connect(server.url.replace("http:", "ws:") + "/ws", open_timeout=5, proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(timeout=5) == "hello"


def test_refused_by_nginx_and_put_back(site: tuple[Server, dict[str, Any]], ansible_playbook: Callable[..., AnsibleResult]) -> None:
    server, variables = site
    variables["nginx_streaming_read_timeout"] = "1 fortnight"
    refused = ansible_playbook(PLAY, extra_vars=variables)
    assert refused.rc == 2
    assert "the previous files are back" in refused.output and "golive-streaming.conf" in refused.output
    assert sorted(os.listdir(server.directory / "conf.d")) == ["none.conf"]
    assert os.listdir(server.directory / "golive.d") == []


def test_a_location_that_would_end_a_directive_is_refused(
    site: tuple[Server, dict[str, Any]], ansible_playbook: Callable[..., AnsibleResult]
) -> None:
    server, variables = site
    variables["nginx_streaming_locations"][0]["path"] = "/a { return 200; } location /b"
    refused = ansible_playbook(PLAY, extra_vars=variables)
    assert refused.rc == 2 and "without spaces, semicolons and braces" in refused.output
    variables = {**variables, "nginx_streaming_upgrade_variable": "$connection_upgrade"}
    variables["nginx_streaming_locations"][0]["path"] = "/a"
    refused = ansible_playbook(PLAY, extra_vars=variables)
    assert refused.rc == 2 and "without a dollar sign" in refused.output
    variables["nginx_streaming_locations"] = [{"path": "/a", "kind": "see", "upstrem": "x"}]
    refused = ansible_playbook(PLAY, extra_vars=variables)
    assert "upstrem" in refused.output and "kind must be one of: sse, websocket" in refused.output
    assert not (server.directory / "golive.d").exists()


def test_rolled_back_and_taken_away(site: tuple[Server, dict[str, Any]], ansible_playbook: Callable[..., AnsibleResult]) -> None:
    server, variables = site
    assert ansible_playbook(PLAY, extra_vars=variables).rc == 0
    ours = server.directory / "golive.d/golive-streaming.conf"
    first = ours.read_text()
    changed = {**variables, "cutover_run": {"id": "run-2"}, "nginx_streaming_read_timeout": "5m"}
    assert ansible_playbook(PLAY, extra_vars=changed).rc == 0
    assert "5m" in ours.read_text()
    back = ansible_playbook(ROLLBACK, extra_vars=changed)
    assert back.rc == 0 and back.changed() == 1, back.why
    assert ours.read_text() == first
    untouched = ansible_playbook(ROLLBACK, extra_vars={**variables, "cutover_run": {"id": "run-3"}})
    assert (untouched.rc, untouched.changed()) == (0, 0), untouched.why
    gone = ansible_playbook(PLAY, extra_vars={**variables, "nginx_streaming_state": "absent", "cutover_run": {"id": "run-4"}})
    assert gone.rc == 0, gone.why
    assert not ours.exists()

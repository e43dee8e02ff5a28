# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx in front of the application, with its own configuration and drop-ins as a role would place them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import requests
from websockets.sync.client import connect

from tests.conftest import answers, stop_process, wait_until
from tests.integration.demo.conftest import DEMO, App, Spark, Stream

TEMPLATE = DEMO / "nginx" / "nginx.conf.j2"
UPGRADE = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n"
SOCKET = """
location /ws {
    proxy_pass http://spark_web;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Host $http_host;
}
"""

Front = Callable[..., str]


def rendered(**variables: Any) -> str:
    environment = jinja2.Environment(
        trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**variables)


@pytest.fixture
def front(nginx_bin: str, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Front]:
    """Return ``start(web, **files)``: nginx before ``web``, with drop-ins by relative name; returns its URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start(web: App, files: dict[str, str] | None = None) -> str:
        port = free_port()
        prefix = tmp_path / "front"
        for directory in ("conf.d", "server.d", "logs", "tmp"):
            (prefix / directory).mkdir(parents=True)
        text = rendered(
            prefix=str(prefix), listen=f"127.0.0.1:{port}", web_upstreams=[web.url.removeprefix("http://")], user="root"
        )
        (prefix / "nginx.conf").write_text(text)
        for name, content in (files or {}).items():
            (prefix / name).write_text(content)
        command = [nginx_bin, "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", str(prefix / "logs/error.log")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        assert "[warn]" not in checked.stderr
        started.append(subprocess.Popen([*command, "-g", "daemon off;"], stdin=subprocess.DEVNULL))
        wait_until(lambda: answers(port), what="nginx")
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        stop_process(process)


def test_defaults_of_the_template() -> None:
    text = rendered(prefix="/p")
    assert "listen 127.0.0.1:8080;" in text and "server 127.0.0.1:3000;" in text and "include /p/conf.d/*.conf;" in text
    assert "user " not in text


def test_pages_api_and_stream_through_the_front(spark: Spark, front: Front) -> None:
    web = spark.start("web")
    url = front(web)
    assert requests.get(url + "/technical-analysis", timeout=5).status_code == 200
    assert requests.get(url + "/api/marketdata/candles", timeout=5).status_code == 200
    with requests.get(url + "/api/marketdata/stream", stream=True, timeout=5) as response:
        stream = Stream(response)
        stream.ticks(5)
        # The header of the application alone switches nginx' buffering off.
        assert stream.arrivals[-1] - stream.arrivals[0] > 0.25


def test_buffered_release_is_buffered_by_the_front(spark: Spark, front: Front) -> None:
    url = front(spark.start("web", "1.1.0-buffered", STREAM_INTERVAL_MS="50"))
    with requests.get(url + "/api/marketdata/stream", stream=True, timeout=10) as response:
        stream = Stream(response)
        stream.ticks(10)
        # Even 16 events at a time are held back until a page of nginx is full.
        assert stream.arrivals[-1] - stream.arrivals[0] < 0.2


def test_drop_ins_are_included_at_both_levels(spark: Spark, front: Front) -> None:
    url = front(spark.start("web"), {"conf.d/upgrade.conf": UPGRADE, "server.d/ws.conf": SOCKET})
    with connect(url.replace("http", "ws") + "/ws", proxy=None) as socket:
        assert "hello" in str(socket.recv(5))


def test_application_sees_the_client_behind_the_front(spark: Spark, front: Front) -> None:
    web = spark.start("web", MAX_SSE_CONNECTIONS="1")
    url = front(web)
    path = "/api/marketdata/stream"
    with requests.get(url + path, stream=True, timeout=5, headers={"X-Forwarded-For": "192.0.2.1"}) as one:
        assert one.status_code == 200
        assert requests.get(url + path, timeout=5, headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429
        with requests.get(url + path, stream=True, timeout=5, headers={"X-Forwarded-For": "192.0.2.2"}) as two:
            assert two.status_code == 200

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The scenario probe against a small API that remembers, and that can be told to fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.probes.scenario import ScenarioProbe
from tests.integration.probes.looking import look, mistakes

PROBE = ScenarioProbe()
CREATE = {"name": "create", "method": "POST", "path": "/things", "json": {"a": 1}, "keep": {"thing": "id"}}
READ = {"name": "read", "path": "/things/{thing}"}
DELETE = {"name": "delete", "method": "DELETE", "path": "/things/{thing}", "cleanup": True}


class Api:
    """What the server holds, and how it is to misbehave."""

    def __init__(self) -> None:
        self.things: dict[str, Any] = {}
        self.asked: list[str] = []
        self.read_status = 200
        self.forget_id = False
        self.hang_up_on_read = False


@pytest.fixture
def api() -> Iterator[tuple[Api, str]]:
    state = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            state.asked.append("POST")
            thing = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.things["a b/1"] = thing
            self._answer(201, thing if state.forget_id else {"id": "a b/1", **thing})

        def do_GET(self) -> None:
            state.asked.append(f"GET {self.path}")
            if state.hang_up_on_read:
                self.close_connection = True
                self.connection.close()
                return
            self._answer(state.read_status, {"id": self.path})

        def do_DELETE(self) -> None:
            state.asked.append(f"DELETE {self.path}")
            state.things.clear()
            self._answer(200, {})

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_steps_in_order_with_what_was_kept(api: tuple[Api, str]) -> None:
    state, base = api
    seen = look(PROBE, base_url=base, steps=[CREATE, READ, DELETE])
    assert (seen.measures["status.create"], seen.measures["status.read"], seen.measures["status.delete"]) == (201, 200, 200)
    assert (seen.measures["steps"], seen.proof["requests"]) == (3, 3)
    assert state.asked == ["POST", "GET /things/a%20b%2F1", "DELETE /things/a%20b%2F1"]
    assert seen.document["create"]["id"] == "a b/1"
    assert seen.measures["latency"] == pytest.approx(
        sum(float(seen.measures[f"latency.{name}"]) for name in ("create", "read", "delete"))
    )


def test_an_error_status_is_an_answer(api: tuple[Api, str]) -> None:
    state, base = api
    state.read_status = 500
    assert look(PROBE, base_url=base, steps=[CREATE, READ, DELETE]).measures["status.read"] == 500


def test_what_breaks_off_is_cleaned_up_and_cannot_pass(api: tuple[Api, str]) -> None:
    state, base = api
    state.hang_up_on_read = True
    seen = look(PROBE, base_url=base, steps=[CREATE, READ, {**READ, "name": "again"}, DELETE])
    assert not state.things
    assert "status.read" not in seen.measures
    assert "not asked, because the step read failed" in seen.missing["status.again"]
    assert "latency" in seen.missing
    assert seen.measures["steps"] == 2
    assert seen.proof["error"].startswith("the step read failed")


def test_an_answer_without_what_it_should_keep_ends_the_scenario(api: tuple[Api, str]) -> None:
    state, base = api
    state.forget_id = True
    seen = look(PROBE, base_url=base, steps=[CREATE, READ, DELETE])
    assert state.asked == ["POST"]
    assert seen.missing["status.delete"] == "not asked, because thing was not kept"
    assert "has no 'id' to keep" in seen.proof["error"]


def test_whole_addresses(api: tuple[Api, str]) -> None:
    _state, base = api
    seen = look(PROBE, steps=[{"name": "one", "url": f"{base}/x"}, {"name": "two", "url": f"{base}/y"}])
    assert set(seen.document) == {"one", "two"}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"steps": []}, "has no step"),
        ({"steps": [READ]}, "{thing} was not kept by an earlier step"),
        ({"steps": [CREATE, CREATE]}, "the name stands twice"),
        ({"steps": [{"name": "a b", "path": "/"}]}, "letters, digits and underscores"),
        ({"steps": [{"name": "a"}]}, "expected either path or url"),
        ({"steps": [{"name": "a", "path": "/", "methd": "GET"}]}, "did you mean 'method'"),
        ({"steps": [{"name": "a", "path": "/"}], "base_url": None}, "there is no base_url"),
    ],
)
def test_steps_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, {"base_url": "http://x", **raw}))

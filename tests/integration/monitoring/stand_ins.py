# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be had here or would tell real people: a stand-in of Grafana's HTTP API, and a webhook that keeps what it gets."""

from __future__ import annotations

import http.server
import json
import threading
from types import TracebackType
from typing import Any


class _Served:
    """A server on a port of its own, for as long as the block lasts."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class GrafanaStandIn(_Served):
    """The part of Grafana's HTTP API that an import of a dashboard uses. It checks the key and keeps the dashboards."""

    def __init__(self, key: str) -> None:
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.refuse = False
        grafana = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self, status: int, document: Any) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                uid = self.path.rsplit("/", 1)[-1]
                if self.headers.get("Authorization") != f"Bearer {key}":
                    self._answer(401, {"message": "Invalid API key"})
                elif self.path == "/api/frontend/settings":
                    self._answer(200, {"buildInfo": {"version": "11.2.0"}})
                elif self.path.startswith("/api/dashboards/uid/") and uid in grafana.dashboards:
                    self._answer(200, {"dashboard": grafana.dashboards[uid], "meta": {"folderId": 0}})
                else:
                    self._answer(404, {"message": "Not found"})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.headers.get("Authorization") != f"Bearer {key}" or grafana.refuse:
                    self._answer(403, {"message": "no permission"})
                    return
                board = asked["dashboard"]
                grafana.writes += 1
                grafana.dashboards[board["uid"]] = {**board, "id": 7, "version": grafana.writes}
                self._answer(200, {"uid": board["uid"], "status": "success", "version": grafana.writes})

            def log_message(self, *_args: object) -> None:
                pass

        super().__init__(Handler)


class WebhookStandIn(_Served):
    """Keeps every alert that Alertmanager posts, with what was posted."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.posts.append({"path": self.path, **json.loads(self.rfile.read(int(self.headers["Content-Length"])))})
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        super().__init__(Handler)

    def alerts(self, path: str = "") -> list[dict[str, Any]]:
        """The alerts as they were posted, the oldest first."""
        return [alert for post in list(self.posts) if post["path"].startswith(path) for alert in post["alerts"]]

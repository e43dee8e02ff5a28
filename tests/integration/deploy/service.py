# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of the tests. The second line of the file RELEASE says how it behaves."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

release, mode = Path("RELEASE").read_text(encoding="utf-8").split()
port = int(sys.argv[1])
settings: dict[str, object] = {"level": os.environ.get("LEVEL", "")}

print(f"{release} begins with token {os.environ.get('APP_TOKEN', 'none')}", flush=True)
if mode == "crash":
    print("no configuration for the flux compensator", flush=True)
    sys.exit(3)
if mode == "crash-later":
    import threading

    threading.Timer(1.6, lambda: os._exit(4)).start()


def reload(_signal: int, _frame: object) -> None:
    for line in Path(os.environ["APP_ENV_FILE"]).read_text(encoding="utf-8").splitlines():
        key, _, value = line.strip().partition("=")
        if key == "LEVEL":
            settings["level"] = value.strip("'\"")
    settings["reloaded"] = True


signal.signal(signal.SIGHUP, reload)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        healthy = mode != "unhealthy" or self.path != "/health"
        body = json.dumps(
            {
                "release": release,
                "pid": os.getpid(),
                "name": os.environ.get("NAME"),
                "from_service": os.environ.get("FROM_SERVICE"),
                "token": bool(os.environ.get("APP_TOKEN", "").startswith("CANARY-")),
                "cwd": os.getcwd(),
                **settings,
            }
        ).encode()
        self.send_response(200 if healthy else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


if mode == "slow":
    time.sleep(1.5)
ThreadingHTTPServer.allow_reuse_address = True
ThreadingHTTPServer(("0.0.0.0" if "all" in sys.argv else "127.0.0.1", port), Handler).serve_forever()

# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Ask a process of this container for its health: ``python -m spark.healthcheck executor|web``.

Exit code 0 when it says ok. The standard library alone, because it runs every few seconds.
"""

from __future__ import annotations

import http.client
import os
import sys

_WHERE = {"executor": ("EXECUTOR_PORT", "4001", "/health"), "web": ("WEB_PORT", "3000", "/api/public/health")}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in _WHERE:
        print("usage: python -m spark.healthcheck executor|web", file=sys.stderr)
        return 2
    variable, port, path = _WHERE[arguments[0]]
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get(variable) or port), timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.status, answer.read(4096).decode(errors="replace"))
        return 0 if answer.status == 200 else 1
    except (OSError, http.client.HTTPException) as exc:
        print(type(exc).__name__, exc)
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

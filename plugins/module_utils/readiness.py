# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""One look at whether a program answers. Standard library only, no proxies, in bounded time."""

from __future__ import annotations

import contextlib
import http.client
import socket
import urllib.error
import urllib.request

from ansible_collections.golive.cutover.plugins.module_utils.core.services import Ready

LOOK_SECONDS = 2.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object, **_options: object) -> None:
        return None


def listens(port: int, host: str = "127.0.0.1", timeout: float = 0.5) -> bool:
    """Whether something accepts connections on a port of this host."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=timeout):
        return True
    return False


def look(ready: Ready, timeout: float = LOOK_SECONDS) -> str | None:
    """Why a program does not answer yet, or None when it does. For what has neither page nor port: None."""
    if ready.tcp is not None:
        return None if listens(ready.tcp, timeout=timeout) else f"port {ready.tcp} does not accept connections"
    if ready.http is None:
        return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    request = urllib.request.Request(ready.http, headers={"User-Agent": "golive.cutover"})
    try:
        with opener.open(request, timeout=timeout) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return f"{ready.http} does not answer: {reason or type(error).__name__}"
    return None if status < 400 else f"{ready.http} answers with status {status}"

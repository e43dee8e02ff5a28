# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Notifications: a JSON message to a webhook and, where an API address is set, to Telegram.

Only hosts of NOTIFY_ALLOWED_HOSTS are asked, and redirects are not followed: a redirect would lead around the list.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import IO, Any

from spark.config import Settings, host_allowed
from spark.releases import Fault, Release


class NotificationFailed(Exception):
    """The message was not accepted. The text never holds the URL: with many services it is the secret."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def targets(settings: Settings, webhook_url: str = "") -> list[tuple[str, dict[str, str]]]:
    """Return where to send to: URL and the fields that this receiver wants beside the message."""
    found: list[tuple[str, dict[str, str]]] = []
    if webhook_url or settings.webhook_url:
        found.append((webhook_url or settings.webhook_url, {}))
    if settings.telegram_api_url and settings.telegram_token and settings.telegram_chat:
        base = settings.telegram_api_url.rstrip("/")
        found.append((f"{base}/bot{settings.telegram_token}/sendMessage", {"chat_id": settings.telegram_chat}))
    return found


def _post(url: str, body: Mapping[str, Any], timeout: float) -> None:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with _OPENER.open(request, timeout=timeout):
            return
    except urllib.error.HTTPError as exc:
        exc.close()
        raise NotificationFailed(f"HTTP status {exc.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise NotificationFailed(type(exc).__name__) from None


async def send(url: str, body: Mapping[str, Any], settings: Settings, release: Release) -> None:
    """Deliver one message or raise NotificationFailed."""
    if Fault.NOTIFY_FAILS in release.fault:
        raise NotificationFailed("message could not be rendered")
    if not host_allowed(url, settings.allowed_hosts):
        raise NotificationFailed("host is not in NOTIFY_ALLOWED_HOSTS")
    await asyncio.to_thread(_post, url, body, settings.notify_timeout)

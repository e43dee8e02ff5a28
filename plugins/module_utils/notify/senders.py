# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How one message is handed to a channel, once. What an error says is our own words: those of libraries hold the address.

Sources of the interfaces:

- Slack, incoming webhooks: JSON ``{"text": …}``, answered with 200 and ``ok``; ``chat.postMessage``: the token as a bearer,
  answered with 200 and ``{"ok": true}``, or ``{"ok": false, "error": …}`` when it did not work; 429 with ``Retry-After``;
  ``&``, ``<`` and ``>`` are escaped;
- Telegram, Bot API: ``POST /bot<token>/sendMessage`` with ``chat_id`` and ``text`` of at most 4096 characters; 429 with
  ``parameters.retry_after``;
- e-mail: RFC 5321 (codes 4yz may be tried again, 5yz not), RFC 3207 (STARTTLS), RFC 5322 (Message-ID).
"""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, LibraryMissing
from ansible_collections.golive.cutover.plugins.module_utils.core.options import reveal
from ansible_collections.golive.cutover.plugins.module_utils.notify.channels import PORTS, Channel, url_of

TELEGRAM_LONGEST = 4096
SLACK_LONGEST = 4000
LARGEST_ANSWER = 64 * 1024
AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Answers of HTTP after which it may work later."""


@dataclass(frozen=True)
class Message:
    """What is told. ``key`` names it: a receiver that has seen the key has seen the message."""

    event: str
    environment: str
    run: str
    subject: str
    text: str
    key: str
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> str:
        return f"{self.subject}\n{self.text}".rstrip()


class NotSent(CutoverError):
    """A message did not get through. ``again``: it may later, ``after`` so many seconds where the other side said so."""

    def __init__(self, reason: str, again: bool, after: Optional[float] = None) -> None:
        self.again = again
        self.after = after
        super().__init__(reason)


Left = Callable[[], float]
"""Seconds that are left for one attempt; above zero."""


def send(channel: Channel, message: Message, left: Left) -> str:
    """Hand a message over once; return what is to be noted about it, which is nothing as a rule. Raises NotSent."""
    if channel.kind == "email":
        return _mail(channel, message, left)
    headers = {"User-Agent": "golive.cutover"}
    body: dict[str, Any]
    if channel.kind == "telegram":
        body = {"chat_id": reveal(channel.options["chat_id"]), "text": shortened(message.whole, TELEGRAM_LONGEST)}
    elif channel.kind == "slack":
        body = {"text": shortened(_slack_text(message), SLACK_LONGEST)}
        if channel.options["token"] is not None:
            body["channel"] = channel.options["channel"]
            headers["Authorization"] = f"Bearer {reveal(channel.options['token'])}"
    else:
        body = {
            "event": message.event,
            "environment": message.environment,
            "run": message.run,
            "subject": message.subject,
            "text": message.text,
            "data": dict(message.data),
            "key": message.key,
        }
        headers["Idempotency-Key"] = message.key
        headers.update({name: str(reveal(value)) for name, value in (channel.options["headers"] or {}).items()})
    status, answer = _post(channel, body, headers, left)
    _judge(channel, status, answer)
    return ""


def shortened(text: str, longest: int) -> str:
    """A text that fits; what is left out is said."""
    if len(text) <= longest:
        return text
    return text[: longest - 2].rstrip() + " …"


def _slack_text(message: Message) -> str:
    text = message.whole
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, escaped)
    return text


@dataclass(frozen=True)
class _Answer:
    retry_after: Optional[float]
    text: str


def _post(channel: Channel, body: Mapping[str, Any], headers: Mapping[str, str], left: Left) -> tuple[int, _Answer]:
    try:
        import requests
    except ImportError as error:
        raise LibraryMissing("requests") from error
    with requests.Session() as session:
        # Nothing of the surroundings: a .netrc would add a password, a proxy would see where we go.
        session.trust_env = False
        try:
            with session.post(
                url_of(channel.kind, channel.options),
                json=body,
                headers=dict(headers),
                timeout=left(),
                allow_redirects=False,
                verify=channel.options["ca"] or True,
                stream=True,
            ) as answer:
                after = _number(answer.headers.get("Retry-After"))
                if answer.ok and channel.kind == "webhook":
                    return answer.status_code, _Answer(after, "")  # taken; whatever else comes says nothing about that
                content = b""
                with suppress(requests.RequestException):
                    # The status is the answer; the text only explains it.
                    for piece in answer.iter_content(8192):
                        content += piece
                        if len(content) >= LARGEST_ANSWER or left() <= 0.01:
                            break
                return answer.status_code, _Answer(after, content[:LARGEST_ANSWER].decode("utf-8", "replace"))
        except requests.exceptions.SSLError as error:
            raise NotSent(f"the certificate of {channel.host} was refused: {_ssl_reason(error)}", again=False) from None
        except requests.Timeout:
            raise NotSent(f"{channel.host} did not answer in time", again=True) from None
        except requests.ConnectionError as error:
            raise NotSent(f"{channel.host} cannot be reached: {_link_reason(error)}", again=True) from None
        except (requests.RequestException, ValueError, OSError) as error:
            raise NotSent(f"the message could not be sent to {channel.host} ({type(error).__name__})", again=False) from None


def _judge(channel: Channel, status: int, answer: _Answer) -> None:
    """Raise NotSent unless the other side took the message."""
    said: Mapping[str, Any] = {}
    with suppress(ValueError, RecursionError):
        parsed = json.loads(answer.text)
        said = parsed if isinstance(parsed, dict) else {}
    after = answer.retry_after
    parameters = said.get("parameters")
    if isinstance(parameters, dict) and after is None:
        after = _number(parameters.get("retry_after"))
    why = ""
    for key in ("description", "error"):
        if channel.kind != "webhook" and isinstance(said.get(key), str):
            why = f": {shortened(said[key], 200)}"
            break
    if 300 <= status < 400:
        raise NotSent(f"{channel.host} sent us elsewhere with {status}; redirects are not followed", again=False)
    if not 200 <= status < 300:
        raise NotSent(f"{channel.host} answered {status}{why}", again=status in AGAIN, after=after)
    by_api = channel.kind == "telegram" or (channel.kind == "slack" and channel.options["token"] is not None)
    if by_api and said.get("ok") is not True:
        again = said.get("error") in ("ratelimited", "service_unavailable", "internal_error")
        raise NotSent(f"{channel.host} answered {status} but did not take the message{why}", again=again, after=after)


def _number(value: Any) -> Optional[float]:
    with suppress(TypeError, ValueError):
        number = float(value)
        return number if 0 <= number < 86400 else None
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what is behind it, as far as ``requests`` and ``urllib3`` tell."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(found) < 20:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _ssl_reason(error: BaseException) -> str:
    for one in _causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return one.verify_message
    return "TLS failed"


def _link_reason(error: BaseException) -> str:
    for one in _causes(error):
        if isinstance(one, OSError) and isinstance(one.errno, int) and one.strerror:
            return one.strerror
    return "the connection failed"


# ---------------------------------------------------------------------------------------------------------------------
# E-mail


def _mail(channel: Channel, message: Message, left: Left) -> str:
    options = channel.options
    port = options["port"] or PORTS[options["security"]]
    try:
        trust = ssl.create_default_context(cafile=options["ca"])
    except (OSError, ssl.SSLError):
        raise NotSent(f"the authorities in {options['ca']} cannot be read", again=False) from None
    try:
        with _connected(channel, port, trust, left) as link:
            if options["security"] == "starttls":
                link.starttls(context=trust)
            if options["username"] is not None:
                link.login(options["username"], str(reveal(options["password"])))
            refused = link.send_message(_letter(channel, message))
    except smtplib.SMTPAuthenticationError:
        raise NotSent(f"{channel.host} did not accept the password of {options['username']}", again=False) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _text in error.recipients.values()})
        again = all(400 <= code < 500 for code in codes)
        raise NotSent(f"{channel.host} refused all recipients ({', '.join(map(str, codes))})", again=again) from None
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"{channel.host} answered {error.smtp_code}", again=400 <= error.smtp_code < 500) from None
    except smtplib.SMTPNotSupportedError:
        raise NotSent(f"{channel.host} does not offer what is needed (STARTTLS, or to log in)", again=False) from None
    except ssl.SSLCertVerificationError as error:
        raise NotSent(f"the certificate of {channel.host} was refused: {error.verify_message}", again=False) from None
    except ssl.SSLError:
        raise NotSent(f"TLS with {channel.host} failed", again=False) from None
    except TimeoutError:
        raise NotSent(f"{channel.host} did not answer in time", again=True) from None
    except smtplib.SMTPException as error:
        raise NotSent(f"{channel.host} broke off ({type(error).__name__})", again=True) from None
    except OSError as error:
        raise NotSent(f"{channel.host} cannot be reached: {error.strerror or 'the connection failed'}", again=True) from None
    if refused:
        return f"{len(refused)} of {len(options['to'])} recipients were refused"
    return ""


def _connected(channel: Channel, port: int, trust: ssl.SSLContext, left: Left) -> smtplib.SMTP:
    host = channel.options["host"]
    if channel.options["security"] == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=left(), context=trust)
    return smtplib.SMTP(host, port, timeout=left())


def _letter(channel: Channel, message: Message) -> EmailMessage:
    letter = EmailMessage()
    letter["From"] = channel.options["from"]
    letter["To"] = ", ".join(channel.options["to"])
    letter["Subject"] = " ".join(message.subject.split())
    # The same message always has the same id, so that a mail program shows one that came twice once.
    letter["Message-ID"] = f"<{message.key}@{channel.options['from'].rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.text or message.subject)
    return letter
